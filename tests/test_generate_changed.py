"""Sources whose files changed are made again when that is asked for; remarks on how sources were read are counted."""

import cv2
import numpy as np
import pytest
from job_files import content, failures, generate, make, make_data
from PIL import Image

from albu_diffusemix.cli import main
from albu_diffusemix.store import Source, Store


@pytest.fixture
def data(tmp_path):
    return make_data(tmp_path / "data", 4)


@pytest.fixture
def store(data):
    store = data.with_name("flowers.dm")
    make(data, store)
    return store


def replace(path, seed):
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8))


@pytest.mark.parametrize("workers", [1, 2])
def test_only_what_has_other_pixels_is_made_again(data, store, capsys, workers):
    before = content(store)
    replace(data / "class0/000.png", 100)
    image = cv2.imread(str(data / "class1/001.png"))
    cv2.imwrite(str(data / "class1/001.png"), image, [cv2.IMWRITE_PNG_COMPRESSION, 0])  # other bytes, the same pixels
    assert generate(data, store, "--changed", "--workers", workers) == 0
    out = capsys.readouterr().out
    assert "Changed: 1 of 4 sources that the store knows, to be made again" in out
    assert "Made 1 counterparts" in out
    after = content(store)
    fresh = store.with_name("fresh.dm")
    make(data, fresh)
    assert after == content(fresh)
    assert {key for key in before if before[key] != after[key]} == {("class0/000.png", "0000")}


def test_the_new_counterpart_is_seen_after_a_repair_and_by_the_doctor(data, store, capsys):
    replace(data / "class0/000.png", 100)
    assert main(["doctor", str(data), str(store)]) == 1
    assert "if the file was changed, run generate again with --changed" in capsys.readouterr().out
    assert generate(data, store) == 0
    assert main(["doctor", str(data), str(store)]) == 1
    assert generate(data, store, "--changed") == 0
    assert main(["doctor", str(data), str(store)]) == 0
    (store / "index/merged.idx").unlink()
    assert main(["repair", str(store)]) == 0
    assert main(["verify", str(store)]) == 0
    assert main(["doctor", str(data), str(store)]) == 0


def test_a_second_run_makes_nothing(data, store, capsys):
    replace(data / "class0/000.png", 100)
    generate(data, store, "--changed")
    capsys.readouterr()
    assert generate(data, store, "--changed") == 0
    assert "Changed: 0 of 4" in (out := capsys.readouterr().out)
    assert "Made 0" in out


def test_all_counterparts_of_a_changed_source_are_made_again_and_missing_ones_too(data, store, capsys):
    replace(data / "class0/000.png", 100)
    assert generate(data, store, "--changed", "--per-image", 2, "--dry-run") == 0
    assert "8 wanted, 3 present, 5 to be made" in capsys.readouterr().out
    assert generate(data, store, "--changed", "--per-image", 2) == 0
    assert main(["doctor", str(data), str(store)]) == 0
    assert len(content(store)) == 8


def test_what_the_store_has_beyond_what_is_asked_for_is_made_again_too(data, store):
    assert generate(data, store, "--per-image", 3) == 0
    replace(data / "class0/000.png", 100)
    assert generate(data, store, "--changed") == 0
    fresh = store.with_name("fresh.dm")
    make(data, fresh, per_image=3)
    assert content(store) == content(fresh)


def test_a_source_that_cannot_be_read_keeps_its_counterparts(data, store, capsys):
    before = content(store)
    (data / "class0/000.png").write_bytes(b"no")
    assert generate(data, store, "--changed") == 0
    assert "Changed: 0 of 4 sources that the store knows, to be made again; 1 cannot be read" in capsys.readouterr().out
    assert content(store) == before


def test_a_source_that_failed_is_tried_again_when_its_file_changed(data, store):
    (data / "class0/broken.png").write_bytes(b"no")
    assert generate(data, store) == 1
    assert set(failures(store)) == {("class0/broken.png", "0000")}
    replace(data / "class0/broken.png", 7)
    assert generate(data, store) == 1
    assert generate(data, store, "--changed") == 0
    assert Store.open(store).has("class0/broken.png", "0000")


@pytest.fixture
def faded(data):
    """A file of a transparent image, as it looks over white."""
    pixels = np.full((32, 32, 4), 40, np.uint8)
    pixels[:16, :, 3] = 255
    pixels[16:, :, 3] = 0
    Image.fromarray(pixels).save(data / "class0/faded.png")
    return np.where(pixels[..., 3:] == 0, 255, pixels[..., :3]).astype(np.uint8)


@pytest.mark.usefixtures("faded")
@pytest.mark.parametrize("workers", [1, 2])
def test_transparent_sources_are_counted_once_each(data, capsys, workers):
    store = data.with_name("new.dm")
    generate(data, store, "--per-image", 3, "--workers", workers)
    assert "1 image with transparent parts, which show the colors" in (out := capsys.readouterr().out)
    assert "--background COLOR" in out
    main(["doctor", str(data), str(store)])
    assert "1 image with transparent parts, which show the colors" in capsys.readouterr().out


def test_a_background_is_part_of_the_recipe_and_of_what_the_doctor_reads(data, faded, capsys):
    store = data.with_name("new.dm")
    generate(data, store, "--background", "White")
    assert Store.open(store).recipe.background == "#ffffff"
    assert "composed over the background #ffffff" in capsys.readouterr().out
    assert main(["doctor", str(data), str(store)]) == 0
    assert "composed over the background #ffffff" in capsys.readouterr().out
    opened = Store.open(store)
    assert [record.source for record in opened.variants("class0/faded.png")] == [Source.of(faded)]


@pytest.mark.usefixtures("faded")
def test_a_store_goes_on_with_its_background_and_refuses_another(data, capsys):
    store = data.with_name("new.dm")
    generate(data, store, "--background", "#ffffff", "--limit", 1)
    assert generate(data, store) == 0
    assert generate(data, store, "--background", "black") == 2
    assert "background: the store has '#ffffff', you ask for '#000000'" in capsys.readouterr().err


def test_a_store_without_a_background_says_so_when_one_is_asked_for(data, store, capsys):
    assert "background" not in Store.open(store).recipe.to_json()
    assert generate(data, store, "--background", "black") == 2
    assert "background: the store has None, you ask for '#000000'" in capsys.readouterr().err


def test_a_color_that_is_not_valid_is_refused_with_the_usage(data, store, capsys):
    with pytest.raises(SystemExit, match="2"):
        generate(data, store, "--background", "reddish")
    assert "write it like #ffffff" in (err := capsys.readouterr().err)
    assert "or give one of white, black, gray" in err


@pytest.mark.parametrize("encoding", ["jpeg", "webp"])
def test_an_image_that_is_too_long_for_its_format_fails_alone(data, encoding):
    cv2.imwrite(str(data / "long.png"), np.random.default_rng(1).integers(0, 256, (1, 70_000, 3), dtype=np.uint8))
    store = data.with_name("new.dm")
    assert generate(data, store, "--encoding", encoding) == 1
    assert len(content(store)) == 4
    assert failures(store)["long.png", "0000"].startswith("cannot be encoded: ")


def test_twelve_bits_in_sixteen_are_told_once_with_the_count(data, capsys):
    for number in range(3):
        cv2.imwrite(str(data / f"{number}.png"), np.full((32, 32), 900 * (number + 1), np.uint16))
    store = data.with_name("new.dm")
    generate(data, store, "--per-image", 2)
    assert "3 images with 16 bits a value, of which at most 12 are used" in capsys.readouterr().out
    main(["doctor", str(data), str(store)])
    assert "3 images with 16 bits a value" in capsys.readouterr().out


def test_what_changed_since_is_made_again_too_when_failures_are_tried_again(data, store, capsys):
    replace(data / "class0/000.png", 100)
    (data / "class1/001.png").touch()
    assert generate(data, store) == 0
    assert "Changed" not in capsys.readouterr().out
    assert generate(data, store, "--retry-failed", "--workers", 2) == 0
    out = capsys.readouterr().out
    assert "Changed: 1 of 2 sources that are newer than their counterparts, to be made again" in out
    assert "Made 1 counterparts" in out
    assert main(["doctor", str(data), str(store)]) == 0
    assert generate(data, store, "--retry-failed") == 0
    assert "Made 0" in capsys.readouterr().out

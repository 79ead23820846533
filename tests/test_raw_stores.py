"""Raw counterparts: read without decoding, checked half by half, never wrong, and nobody who cannot read them tries."""

import copy
import gc
import io
import json
import os
import warnings

import numpy as np
import pytest
import webdataset
from hypothesis import given, settings
from hypothesis import strategies as st
from job_files import content, generate, make_data
from precomputed_files import noise
from store_files import child, cut, flip, part_file

from albu_diffusemix.cli import main
from albu_diffusemix.functional import half_box
from albu_diffusemix.generate import estimate
from albu_diffusemix.store import Recipe, Source, Store, StoreError, store_json
from albu_diffusemix.store.raw_images import decode_raw, encode_raw, image_check, read_box

RAW = Recipe("procedural", "f00d", ("snowy",), 64, {"format": "npy"})
JPEG = Recipe("procedural", "f00d", ("snowy",), 64)
HALVES = ("left", "right", "top", "bottom")


def put(writer, number, data):
    source = Source.of(noise(number, 3, 5))
    writer.put(f"{number}.png", "0000", data, prompt="snowy", seed=number, source=source)


@pytest.fixture
def images():
    return [noise(number, 21 + number, 34) for number in range(3)]


@pytest.fixture
def path(tmp_path, images):
    store = Store.create(tmp_path / "raw.dm", RAW)
    with store.writer() as writer:
        for number, image in enumerate(images):
            put(writer, number, encode_raw(image))
    store.merge()
    return store.path


def record_of(store, number):
    return store.variants(f"{number}.png")[0]


def half_of(store, number, half):
    return store.read_box(record_of(store, number), lambda height, width: half_box(height, width, half))


def crop(image, box):
    return image[box[1] : box[3], box[0] : box[2]]


# Files


@given(st.data(), st.integers(1, 40), st.integers(1, 40))
@settings(deadline=None)
def test_any_box_of_a_raw_image_is_that_of_the_image(draws, height, width):
    image = noise(height, height, width)
    data = encode_raw(image)
    x_min, y_min = draws.draw(st.integers(0, width - 1)), draws.draw(st.integers(0, height - 1))
    box = x_min, y_min, draws.draw(st.integers(x_min + 1, width)), draws.draw(st.integers(y_min + 1, height))
    np.testing.assert_array_equal(
        read_box(memoryview(data), image_check("npy", data), lambda *_: box), crop(image, box)
    )
    np.testing.assert_array_equal(np.load(io.BytesIO(data)), image)
    np.testing.assert_array_equal(decode_raw(data), image)


@pytest.mark.parametrize("image", [np.zeros((2, 2, 3), np.float32), np.zeros((2, 2), np.uint8), noise(0, 0, 2)])
def test_what_is_not_an_rgb_image_of_uint8_is_not_made_raw(image):
    with pytest.raises(ValueError, match=r"allowed is uint8 \(H, W, 3\)"):
        encode_raw(image)


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize(
    "data", [npy(noise(0, 4, 4)), npy(np.zeros((4, 4, 3), np.float32)), npy(np.zeros(3)) + bytes(32)]
)
def test_arrays_without_checks_of_halves_are_not_stored(path, data):
    with Store.create(path, RAW).writer() as writer, pytest.raises(StoreError, match=r"raw image"):
        put(writer, 9, data)


def test_a_raw_image_does_not_go_into_a_store_that_does_not_say_so(tmp_path):
    writer = Store.create(tmp_path / "jpeg.dm", JPEG).writer()
    with pytest.raises(StoreError, match="is a raw image, but the recipe of the store makes others"):
        put(writer, 9, encode_raw(noise(9, 4, 4)))


# Stores


def test_each_half_and_the_whole_come_from_the_store(path, images):
    store = copy.copy(Store.open(path))
    for number, image in enumerate(images):
        for half in HALVES:
            np.testing.assert_array_equal(half_of(store, number, half), crop(image, half_box(*image.shape[:2], half)))
        assert store.read(record_of(store, number)) == encode_raw(image)
    assert store.verify() == []


def test_a_forked_process_reads_what_its_parent_has_mapped(path):
    store = Store.open(path)
    expected = half_of(store, 1, "left")
    with child(lambda: _write(path / "seen", half_of(store, 1, "left").tobytes())) as process:
        _wait(process)
        assert (path / "seen").read_bytes() == expected.tobytes()


def _write(file, data):
    file.with_suffix(".tmp").write_bytes(data)
    file.with_suffix(".tmp").rename(file)


def _wait(process):
    os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)


def test_a_half_is_read_while_the_other_is_damaged_and_that_is_found_by_all_who_look(path, images):
    store = Store.open(path)
    record = record_of(store, 1)
    flip(part_file(path), record.location.offset + 128 + 3 * (34 * 2 + 30))  # above and right
    store = Store.open(path)
    for half in ("left", "bottom"):
        np.testing.assert_array_equal(half_of(store, 1, half), crop(images[1], half_box(22, 34, half)))
    for half in ("right", "top"):
        with pytest.raises(StoreError, match=r"the image of 1\.png 0000 is not as written"):
            half_of(store, 1, half)
    for read in (lambda: store.read(record), lambda: store.read_box(record, lambda *_: (0, 0, 34, 22))):
        with pytest.raises(StoreError, match="is not as written"):
            read()
    assert [problem.member for problem in store.verify()] == ["1.png/0000.json"]
    assert Store.repair(path).left == []
    assert [store.has(f"{number}.png", "0000") for store in [Store.open(path)] for number in range(3)] == [
        True,
        False,
        True,
    ]


def test_no_flipped_bit_of_a_raw_image_is_ever_read(path, images):
    location = record_of(Store.open(path), 0).location
    for at in [*range(0, 130, 3), *range(130, location.length - 34, 61), *range(location.length - 34, location.length)]:
        flip(part_file(path), location.offset + at)
        store, right, refused = Store.open(path), 0, 0
        for half in HALVES:
            try:
                np.testing.assert_array_equal(half_of(store, 0, half), crop(images[0], half_box(21, 34, half)))
                right += 1
            except StoreError:
                refused += 1
        assert (right, refused) in {(2, 2), (0, 4)}
        flip(part_file(path), location.offset + at)


def test_a_part_that_is_cut_while_it_is_mapped_is_named(path):
    store = Store.open(path)
    half_of(store, 0, "top")
    cut(part_file(path), 2000)
    with pytest.raises(StoreError, match="is damaged: it has 2000 bytes of"):
        half_of(store, 2, "top")


def test_who_cannot_read_raw_images_is_told_so(path, monkeypatch):
    assert json.loads((path / "store.json").read_bytes())["needs"] == ["raw"]
    monkeypatch.setattr(store_json, "FEATURES", ())
    with pytest.raises(StoreError, match=r"raw\.dm needs raw, which this version cannot read: update albu-diffusemix"):
        Store.open(path)


def test_a_store_needs_raw_from_when_raw_ones_are_mixed_in(tmp_path):
    Store.create(tmp_path / "mixed.dm", JPEG)
    assert json.loads((tmp_path / "mixed.dm" / "store.json").read_bytes())["needs"] == []
    store = Store.create(tmp_path / "mixed.dm", RAW, allow_mixed=True)
    assert json.loads((tmp_path / "mixed.dm" / "store.json").read_bytes())["needs"] == ["raw"]
    with store.writer() as writer:
        put(writer, 0, encode_raw(noise(0, 4, 4)))
    assert half_of(Store.open(store.path), 0, "top").shape == (2, 4, 3)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_restored_store_json_still_needs_raw(path):
    (path / "store.json").unlink()
    for index in path.rglob("*.idx"):
        index.unlink()
    assert Store.repair(path, recipe=RAW).left == []
    assert json.loads((path / "store.json").read_bytes())["needs"] == ["raw"]
    assert half_of(Store.open(path), 0, "top").shape == (10, 34, 3)


def test_webdataset_reads_the_arrays(path, images):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves the files to the garbage collector
        samples = list(webdataset.WebDataset(str(part_file(path)), shardshuffle=False).decode())
        gc.collect()
    assert [sample["json"]["key"] for sample in samples] == ["0.png", "1.png", "2.png"]
    for sample, image in zip(samples, images, strict=True):
        np.testing.assert_array_equal(sample["npy"], image)


# The job, exports and imports


def test_a_job_makes_raw_counterparts_which_go_out_as_png_and_come_back_the_same(tmp_path, capsys):
    data, made = make_data(tmp_path / "data", 3, (21, 34)), tmp_path / "made.dm"
    assert generate(data, made, "--encoding", "raw") == 0
    assert "`<source>/<variant>.npy`" in (made / "README.md").read_text()
    assert (made / "contact-sheet.jpg").is_file()
    assert all(decode_raw(image).shape == (21, 34, 3) for *_, image in content(made).values())
    assert main(["export", str(made), "--to", "folder", "-o", str(tmp_path / "out")]) == 0
    assert {file.suffix for file in (tmp_path / "out").rglob("0000.*")} == {".png"}
    back = ("-o", str(tmp_path / "back.dm"), "--sources", str(data), "--encoding", "raw")
    assert main(["import", str(tmp_path / "out"), *back]) == 0
    assert content(tmp_path / "back.dm") == content(made)
    capsys.readouterr()
    assert generate(data, made, "--per-image", 2) == 0  # goes on as it was begun
    assert {record.encoding for record in Store.open(made).records()} == {"npy"}
    assert main(["status", str(made)]) == 0
    assert "Encoding: raw\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("memory", "said"), [(10**12, "this machine has 1 TB: they fit"), (1, "do not fit; --encoding")]
)
def test_a_dry_run_says_whether_raw_counterparts_fit_into_memory(tmp_path, capsys, monkeypatch, memory, said):
    monkeypatch.setattr(estimate.os, "sysconf", {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": memory}.get)
    data = make_data(tmp_path / "data", 2, (20, 30))
    assert generate(data, tmp_path / "raw.dm", "--encoding", "raw", "--dry-run") == 0
    assert said in capsys.readouterr().out
    assert generate(data, tmp_path / "jpeg.dm", "--dry-run") == 0
    assert "Memory:" not in capsys.readouterr().out

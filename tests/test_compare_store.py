import albumentations as A
import numpy as np
import pytest
from compare_files import NORMALIZE, PLAIN, compare, make_comparison, make_data, rows_in

from albu_diffusemix import DiffuseMix
from albu_diffusemix.cli import main
from albu_diffusemix.compare.comparison import Comparison
from albu_diffusemix.compare.spec import read_spec
from albu_diffusemix.pipelines import mixers, open_pipeline, run_seeded
from albu_diffusemix.store import Store

MIXED = [{"DiffuseMix": {"p": 1}}, *PLAIN]
SPLIT = {"validation": None, "split": {"per_class": 4}, "seeds": 1, "train": {"epochs": 2, "batch_size": 8}}


@pytest.fixture
def comparison(tmp_path):
    return make_comparison(tmp_path, {"mixed": {"pipeline": MIXED, "store": "train.dm"}}, **SPLIT)


def make_store(folder, *flags):
    flags = ("-o", str(folder / "train.dm"), "--backend", "inverting", *flags)
    assert main(["generate", str(folder / "train"), *flags]) == 0


def test_counterparts_of_validation_images_are_never_read(comparison, tmp_path, monkeypatch):
    make_store(tmp_path)
    read, original = set(), Store.read

    def spy(store, record):
        read.add(record.key)
        return original(store, record)

    monkeypatch.setattr(Store, "read", spy)
    assert compare(comparison, "-o", tmp_path / "results") == 0
    training, validation = Comparison(read_spec(comparison)).sets.of_seed(0)
    assert len(validation) == 16
    assert read == {source.key for source in training}
    assert ("crop_and_flip", 0) in rows_in(tmp_path / "results")


def test_a_store_that_lacks_training_images_is_refused_with_the_words_of_the_doctor(comparison, tmp_path, capsys):
    make_store(tmp_path, "--exclude", "class1/*")
    capsys.readouterr()
    assert compare(comparison, "-o", tmp_path / "results") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "arm 'mixed': " in line
    assert "train.dm has a counterpart for 4 of 8 training images; 4 x" in line
    assert "class1/" in line


def test_a_store_that_is_not_there_is_refused(comparison, tmp_path, capsys):
    assert compare(comparison, "-o", tmp_path / "results") == 2
    assert "arm 'mixed': " in capsys.readouterr().err


def test_the_store_of_an_arm_takes_the_place_of_every_backend_and_leaves_its_other_options(tmp_path):
    make_data(tmp_path / "train", 2)
    make_store(tmp_path)
    store = str(tmp_path / "train.dm")
    other = {"name": "precomputed", "store": "$NOT_SET", "on_miss": "passthrough"}
    A.save(A.Compose([A.OneOf([DiffuseMix(), DiffuseMix()]), A.Normalize()]), tmp_path / "a.yaml", data_format="yaml")
    text = (tmp_path / "a.yaml").read_text().replace("backend: procedural", f"backend: {other}", 1)
    (tmp_path / "a.yaml").write_text(text)
    listed = open_pipeline(
        [{"OneOf": {"transforms": [{"DiffuseMix": {"backend": other}}, "DiffuseMix"]}}, NORMALIZE], store
    )
    for pipeline in (open_pipeline(str(tmp_path / "a.yaml"), store), listed):
        first, second = (mixer.backend for mixer in mixers(pipeline))
        assert first == {"name": "precomputed", "store": store, "on_miss": "passthrough"}
        assert second == {"name": "precomputed", "store": store}


@pytest.fixture
def with_and_without(tmp_path):
    """Arms of one store of two counterparts for each image, of which one is rejected."""
    arms = {
        "all": {"pipeline": MIXED, "store": "train.dm", "choices": False},
        "chosen": {"pipeline": MIXED, "store": "train.dm"},
    }
    spec = make_comparison(tmp_path, arms, **SPLIT)
    make_store(tmp_path, "--per-image", "2")
    assert main(["reject", str(tmp_path / "train.dm"), *keys_in(tmp_path / "train"), "--variant", "0001"]) == 0
    return spec


def keys_in(folder):
    return [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.png"))]


def test_arms_draw_from_one_store_with_and_without_its_choices(with_and_without, monkeypatch):
    comparison = Comparison(read_spec(with_and_without))
    read, original = set(), Store.read

    def spy(store, record):
        read.add(record.variant)
        return original(store, record)

    monkeypatch.setattr(Store, "read", spy)
    drawn = {}
    for arm in ("all", "chosen"):
        read.clear()
        assert "metrics" in comparison.run(arm, 0)
        drawn[arm] = set(read)
    assert drawn == {"all": {"0000", "0001"}, "chosen": {"0000"}}


def test_rows_that_were_drawn_with_other_choices_are_not_gone_on_with(with_and_without, tmp_path, capsys):
    assert compare(with_and_without, "-o", tmp_path / "results") == 0
    main(["reject", str(tmp_path / "train.dm"), "class0/00.png", "--variant", "0001", "--undo"])
    capsys.readouterr()
    assert compare(with_and_without, "-o", tmp_path / "results", "--seeds", "2") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "has rows of another arm 'chosen' (counterparts: " in line


def test_choices_without_a_store_are_refused(tmp_path, capsys):
    spec = make_comparison(tmp_path, {"all": {"pipeline": MIXED, "choices": False}}, **SPLIT)
    assert compare(spec, "-o", tmp_path / "results") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "arms.all: choices: false goes with store" in line


def test_what_an_image_becomes_depends_on_its_seed_alone(photograph):
    pipeline = open_pipeline(
        [{"DiffuseMix": {"backend": "inverting"}}, {"RandomCrop": {"height": 40, "width": 40}}, "HorizontalFlip"]
    )
    first = [run_seeded(pipeline, photograph, "key", seed) for seed in range(8)]
    again = [run_seeded(pipeline, photograph, "key", seed) for seed in reversed(range(8))][::-1]
    assert all(np.array_equal(one, two) for one, two in zip(first, again, strict=True))
    assert len({image.tobytes() for image in first}) == 8


def test_transforms_of_a_pipeline_draw_independently():
    image = np.zeros((2, 2, 3), np.uint8)
    image[0, 0] = 200
    pipeline = open_pipeline(["HorizontalFlip", "VerticalFlip"])
    marked = {int(run_seeded(pipeline, image, "key", seed)[0].argmax()) for seed in range(40)}
    assert marked == {0, 1, 2, 3}

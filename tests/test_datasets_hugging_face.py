"""Data sets that the library `datasets` reads."""

import sys

import cv2
import datasets
import huggingface_hub
import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dataset_files import (
    FORMATS,
    IMAGES,
    PNG,
    ROWS,
    flags_of,
    hf_dataset,
    make_folder,
    make_saved_dataset,
    make_saved_dataset_with_keys,
    write_parquet,
)
from datasets import Dataset, Features, Image
from job_files import content, failures, generate

from albu_diffusemix.datasets import Box, find_sources
from albu_diffusemix.images import read_image


def test_a_split_that_is_not_there_is_refused_with_those_that_are(data_folder, refused):
    make_saved_dataset(data_folder)
    refused("'saved' has several splits: give one of train, test as --split", "saved")
    refused("'saved' has no split 'val': give one of train, test as --split", "saved", "--split", "val")


def test_a_saved_data_set_that_is_not_complete_is_refused(data_folder, refused):
    make_saved_dataset_with_keys(data_folder)
    (data_folder / "saved/data-00000-of-00001.arrow").unlink()
    refused("'saved' cannot be loaded: FileNotFoundError: ", "saved")


WRONG_TABLES = {
    "image column": ({"a": [PNG]}, ["--image-column", "b"], "'a.parquet' has no column 'b': its columns are 'a'"),
    "label column": ({"a": [PNG]}, ["--label-column", "b"], "'a.parquet' has no column 'b': its columns are 'a'"),
    "key column": ({"a": [PNG]}, ["--key-column", "b"], "'a.parquet' has no column 'b': its columns are 'a'"),
    "no images": ({"a": ["x"]}, [], "'a.parquet' does not show where it has them: name the column of the images"),
    "two images": ({"a": [PNG], "b": [PNG]}, [], "can have them in 'a' or 'b': name the column of the images as"),
    "text as image": (
        {"a": ["x"]},
        ["--image-column", "a"],
        "column 'a' of 'a.parquet' is of type string: give one with",
    ),
    "two rows with one key": ({"a": [PNG] * 2, "k": ["x", "x"]}, ["--key-column", "k"], "two sources have the key 'x'"),
    "no key": (
        {"a": [PNG] * 2, "k": ["x", None]},
        ["--key-column", "k"],
        "row 1 of 'a.parquet' has no key in column 'k'",
    ),
    "no rows": (
        {"a": pa.array([], pa.binary())},
        [],
        "'a.parquet' cannot be loaded: ValueError: Instruction \"train\" corresponds to no data",
    ),
}


@pytest.mark.parametrize("what", WRONG_TABLES)
def test_a_wrong_table_is_refused_in_one_line(data_folder, refused, what):
    columns, flags, message = WRONG_TABLES[what]
    refused(message, write_parquet(data_folder, **columns), *flags)


def test_a_damaged_table_is_refused_by_name(data_folder, refused):
    (data_folder / "a.parquet").write_bytes(b"PAR1" * 100)
    refused("'a.parquet' cannot be loaded: ArrowInvalid: ", "a.parquet")


def test_a_row_without_an_image_is_a_failure_that_names_it(data_folder, data_store):
    assert generate(write_parquet(data_folder, image=[PNG, None, b"no"]), data_store) == 1
    assert failures(data_store) == {
        ("000001", "0000"): "unreadable: row 1 of 'a.parquet' has no image in column 'image'",
        (
            "000002",
            "0000",
        ): "unreadable: 'row 2 of a.parquet' is not a readable image: it is damaged, or of another format",
    }


def test_the_key_of_a_row_is_its_number_in_the_whole_split_also_in_a_shard(data_folder, data_store):
    data, columns, _, _ = FORMATS["parquet_of_hugging_face"](data_folder)
    for shard in ("0/2", "1/2"):
        assert generate(data, data_store, "--shard", shard, *flags_of(columns)) == 0
    whole = data_store.with_name("whole.dm")
    assert generate(data, whole) == 0
    assert content(data_store) == content(whole)


def test_a_class_that_hugging_face_does_not_know_is_no_label(data_folder, data_store):
    hf_dataset().map(lambda _: {"label": -1}).to_parquet(data_folder / "a.parquet")
    assert {source.label for source in find_sources("a.parquet", data_store)} == {None}


def test_encoded_images_are_turned_as_exif_says_as_files_are(data_folder, data_store):
    turned = PIL.Image.fromarray(IMAGES[0])
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(data_folder / "a.jpg", exif=exif)
    write_parquet(data_folder, image=[(data_folder / "a.jpg").read_bytes()])
    [source] = find_sources("a.parquet", data_store)
    assert source.read().shape == (48, 32, 3)
    np.testing.assert_array_equal(source.read(), read_image(data_folder / "a.jpg"))


def test_images_of_a_table_may_lie_in_files_beside_it(data_folder, data_store):
    make_folder(data_folder)
    [path, *_] = sorted(data_folder.rglob("*.png"))
    Dataset.from_dict({"image": [str(path)]}, Features({"image": Image()})).to_parquet(data_folder / "a.parquet")
    table = pa.table({"image": [{"bytes": None, "path": str(path)}]})
    pq.write_table(table, data_folder / "a.parquet")
    [source] = find_sources("a.parquet", data_store)
    np.testing.assert_array_equal(source.read(), read_image(path))


@pytest.fixture
def hub(data_folder, monkeypatch):
    """A Hub that has one data set, which is loaded from files on this machine."""
    make_saved_dataset(data_folder)
    load, asked = datasets.load_dataset, []
    for split, count in (("train", 6), ("test", 1)):
        hf_dataset().select(range(count)).to_parquet(data_folder / f"{split}-00000-of-00001.parquet")

    def from_here(name, revision):
        asked.append((name, revision))
        files = {split: str(data_folder / f"{split}-00000-of-00001.parquet") for split in ("train", "test")}
        return load("parquet", data_files=files, cache_dir=str(data_folder / "cache"))

    monkeypatch.setattr(datasets, "load_dataset", from_here)
    return asked


def test_a_data_set_of_the_hub_is_loaded_by_name_revision_and_split(hub, data_store):
    assert generate("hf://owner/flowers@v1", data_store, "--split", "train") == 0
    assert hub == [("owner/flowers", "v1")]
    assert {key for key, _ in content(data_store)} == set(ROWS)


@pytest.mark.usefixtures("hub")
def test_a_split_that_the_hub_does_not_have_is_refused(refused):
    refused("'hf://owner/flowers' has several splits: give one of train, test as --split", "hf://owner/flowers")


def test_without_network_the_hub_is_one_line(refused, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    refused("'hf://nobody/nothing' cannot be loaded: ConnectionError", "hf://nobody/nothing")
    refused("'hf://nothing' is not a data set of the Hub: give hf://owner/name", "hf://nothing")


@pytest.mark.parametrize("data", ["a.parquet", "hf://owner/name"])
def test_without_the_library_its_command_is_named(data_folder, refused, monkeypatch, data):
    (data_folder / "a.parquet").touch()
    monkeypatch.setitem(sys.modules, "datasets", None)
    refused("needs datasets: pip install datasets pyarrow", data)


def test_rows_with_transparent_parts_are_compared_as_they_were_read(data_folder, data_store):
    transparent = np.dstack([IMAGES[0], np.tile(np.uint8([[0, 255]]), (32, 24))])
    data = write_parquet(data_folder, image=[cv2.imencode(".png", transparent)[1].tobytes()])
    for _ in range(2):
        assert generate(data, data_store, "--background", "#ffffff") == 0


def test_rows_can_have_prompts_and_boxes(data_folder, data_store):
    box = {"x_min": 0.0, "y_min": 0.0, "x_max": 1.0, "y_max": 0.5, "label": "cat"}
    data = write_parquet(data_folder, image=[PNG] * 2, prompts=[["dusk", "fog"], None], boxes=[[box], None])
    first, other = find_sources(data, data_store)
    assert (first.prompts, first.boxes) == (("dusk", "fog"), (Box(0, 0, 1, 0.5, "cat"),))
    assert (other.prompts, other.boxes) == ((), None)

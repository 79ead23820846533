"""The libraries that people have open a store as it is: webdataset, Hugging Face datasets, tar."""

import gc
import os
import subprocess
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import cv2
import datasets
import numpy as np
import pytest
import webdataset
from store_files import RECIPE, source_of

from albu_diffusemix.store import Store

KEYS = ["class/001.jpg", "class.v2/002.jpg", "caf\u00e9/\u72ac.jpg", "x" * 150 + "/003.png", "004"]
PROMPTS = ["", "snowy", "sunset", "", "snowy"]


@pytest.fixture
def path(tmp_path):
    """Two parts of real JPEGs, with failures at the start, in the middle and at the end."""
    path = tmp_path / "flowers.dm"
    for part in (KEYS[:3], KEYS[3:]):
        with Store.create(path, RECIPE).writer() as writer:
            writer.fail(f"broken/{part[0]}", "0000", "cannot be decoded")
            for key in part:
                for variant in ("0000", "0001"):
                    number = 2 * KEYS.index(key) + int(variant)
                    prompt = PROMPTS[KEYS.index(key)]
                    writer.put(
                        key, variant, jpeg(number), prompt=prompt, seed=2**32 - 1 - number, source=source_of(number)
                    )
                writer.fail(key, "0002", "blank")
    return path


def jpeg(number: int) -> bytes:
    image = np.full((16, 24, 3), 20 * number, np.uint8)
    return cv2.imencode(".jpg", image)[1].tobytes()


def parts(path) -> list[str]:
    return sorted(map(str, (path / "parts").glob("*.tar")))


EXPECTED = {
    f"{key}/{variant}": 2 * number + int(variant) for number, key in enumerate(KEYS) for variant in ("0000", "0001")
}


def test_webdataset_reads_every_image_with_its_record(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves the files to the garbage collector
        samples = list(webdataset.WebDataset(parts(path), shardshuffle=False).decode("rgb8"))
        gc.collect()
    assert {sample["__key__"]: EXPECTED[sample["__key__"]] for sample in samples} == EXPECTED
    for sample in samples:
        number = EXPECTED[sample["__key__"]]
        assert abs(int(sample["jpg"].mean()) - 20 * number) <= 1
        assert sample["json"]["seed"] == 2**32 - 1 - number
        assert f"{sample['json']['key']}/{sample['json']['variant']}" == sample["__key__"]
        assert bytes.fromhex(sample["json"]["pixels"]) == source_of(number).pixels


def test_hugging_face_datasets_reads_every_image_with_its_record(path, tmp_path):
    data = datasets.load_dataset("webdataset", data_files=parts(path), split="train", cache_dir=str(tmp_path / "cache"))
    check(data)


def test_hugging_face_datasets_reads_the_folder_by_its_readme(path, tmp_path):
    check(datasets.load_dataset(str(path), split="train", cache_dir=str(tmp_path / "cache")))


def test_hugging_face_datasets_streams_every_image_with_its_record(path, tmp_path):
    check(
        datasets.load_dataset(
            "webdataset",
            data_files=parts(path),
            split="train",
            streaming=True,
            cache_dir=str(tmp_path / "cache"),
        ),
    )


def check(data) -> None:
    records = list(data)
    assert {record["__key__"]: EXPECTED[record["__key__"]] for record in records} == EXPECTED
    for record in records:
        number = EXPECTED[record["__key__"]]
        assert record["jpg"].size == (24, 16)
        assert abs(np.asarray(record["jpg"]).mean() - 20 * number) <= 1
        assert record["json"]["seed"] == 2**32 - 1 - number
        assert record["json"]["prompt"] == PROMPTS[number // 2]


def test_the_tar_program_unpacks_a_part_without_a_complaint(path, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    done = subprocess.run(["tar", "-xf", parts(path)[0], "-C", out], capture_output=True, text=True, check=False)  # noqa: S607
    assert (done.returncode, done.stderr) == (0, "")
    assert (out / "class.v2/002.jpg/0001.jpg").read_bytes() == jpeg(3)

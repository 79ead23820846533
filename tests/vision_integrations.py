"""The lines of docs/integrations.md for Ultralytics, run as they stand there: `make test-vision`."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("YOLO_OFFLINE", "true")
os.environ.setdefault("YOLO_CONFIG_DIR", tempfile.mkdtemp())
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations as A
import yaml
from ultralytics import YOLO, settings
from ultralytics.data.augment import Albumentations
from ultralytics.data.dataset import YOLODataset

from albu_diffusemix import DiffuseMix
from albu_diffusemix.backends import Counterpart, register_backend
from albu_diffusemix.cli import main
from albu_diffusemix.functional import crop
from albu_diffusemix.images import read_image, write_image

PAGE = Path(__file__).parents[1] / "docs" / "integrations.md"
TRAINING = {"epochs": 1, "imgsz": 64, "batch": 4, "workers": 0, "plots": False, "amp": False, "device": "cpu"}
RED, BLUE = (200, 30, 30), (30, 30, 200)
seen = []


class Recording:
    """Counterparts are what they were made from; remembers the images that it was asked for."""

    prompts = ("same",)
    fingerprint = "recording"

    def check_prompt(self, prompt):
        pass

    def generate(self, requests):
        seen.extend(request.image for request in requests)
        return [Counterpart(np.ascontiguousarray(crop(each.image, each.box)), "ok", "same") for each in requests]


register_backend("recording", "vision_integrations:Recording")


def lines_of(name):
    [code] = re.findall(rf"<!-- run: {name} -->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return code


@pytest.fixture(autouse=True)
def quiet():
    """Nothing is sent anywhere, and nothing that other tests did is seen."""
    settings.update({"sync": False})
    seen.clear()


@pytest.fixture
def data_set(tmp_path, monkeypatch):
    """Four red images, blue below, with a box each."""
    monkeypatch.chdir(tmp_path)
    for number in range(4):
        image = np.full((48, 64, 3), RED, np.uint8)
        image[36:] = BLUE
        write_image(tmp_path / f"set/images/train/{number}.png", image)
        label = tmp_path / f"set/labels/train/{number}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text("0 0.5 0.875 1 0.25\n")
    fields = {"path": str(tmp_path / "set"), "train": "images/train", "val": "images/train", "names": ["blue"]}
    (tmp_path / "set/data.yaml").write_text(yaml.safe_dump(fields))
    return tmp_path / "set/data.yaml"


@pytest.fixture
def namespace(data_set, tmp_path):
    """What the page's lines define, with a store beside them."""
    assert main(["generate", str(data_set), "-o", str(tmp_path / "train.dm"), "--prompt", "sunset"]) == 0
    found = {"__name__": "page"}
    exec(lines_of("ultralytics"), found)  # noqa: S102  our own page
    return found


def dataset(namespace, data_set, cls):
    fields = yaml.safe_load(data_set.read_text()) | {"nc": 1, "channels": 3, "names": {0: "blue"}}
    found = YOLODataset(img_path=str(data_set.parent / "images/train"), imgsz=64, augment=False, data=fields)
    found.augment = True
    found.__class__ = namespace[cls]
    return found


def test_the_data_set_of_the_page_mixes_an_image_with_its_counterpart_in_the_right_colors(namespace, data_set):
    namespace["MIX"] = A.Compose([DiffuseMix(namespace["STORE"], mask_types=("left",), alpha_range=(0.0, 0.0), p=1)])
    label = dataset(namespace, data_set, "MixedDataset").get_image_and_label(0)
    rgb = label["img"][..., ::-1]
    assert (rgb[:, 32:] == read_image(data_set.parent / "images/train/0.png")[:, 32:]).all()
    assert np.abs(rgb[:, :32].astype(int) - read_image(data_set.parent / "images/train/0.png")[:, :32]).mean() > 5
    assert len(label["instances"]) == 1


def test_images_are_left_alone_in_validation(namespace, data_set):
    found = dataset(namespace, data_set, "MixedDataset")
    found.augment = False
    image = found.get_image_and_label(0)["img"][..., ::-1]
    assert (image == read_image(data_set.parent / "images/train/0.png")).all()


def test_the_trainer_of_the_page_trains_on_mixed_images(namespace, data_set, tmp_path):
    namespace["MIX"] = A.Compose([DiffuseMix("recording", p=1)])
    YOLO("yolov8n.yaml").train(
        trainer=namespace["MixingTrainer"], data=str(data_set), project=str(tmp_path / "runs"), **TRAINING
    )
    assert len(seen) >= 4
    assert {tuple(image[0, 0]) for image in seen} == {RED}
    assert {image.shape for image in seen} == {(48, 64, 3)}


def test_a_list_of_augmentations_gets_mosaics_in_bgr(data_set, tmp_path):
    YOLO("yolov8n.yaml").train(
        data=str(data_set),
        project=str(tmp_path / "runs"),
        augmentations=[DiffuseMix("recording", alpha_range=(0.0, 0.0), p=1)],
        close_mosaic=0,
        **TRAINING,
    )
    red, blue = np.mean([image.reshape(-1, 3)[:, [0, 2]].mean(axis=0) for image in seen], axis=0)
    assert blue > red  # of images that are mostly red
    assert {image.shape for image in seen} == {(64, 64, 3)}


def test_a_process_that_does_not_import_us_drops_all_transforms_of_the_list():
    kept = [A.to_dict(A.HorizontalFlip(p=1)), A.to_dict(DiffuseMix(p=1))]
    code = f"from ultralytics.data.augment import Albumentations\nprint(Albumentations(transforms={kept!r}).transform)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "None"
    assert Albumentations(transforms=kept).transform is not None

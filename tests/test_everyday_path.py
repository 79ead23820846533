"""The path of the README from one end to the other: demo, generate, killed and resumed, train, doctor."""

import signal

import albumentations as A
import numpy as np
import pytest
import torch
from job_files import bytes_written, content, start, wait_for
from torch.utils.data import DataLoader, Dataset

from albu_diffusemix import DiffuseMix
from albu_diffusemix.cli import main
from albu_diffusemix.images import find_images, read_image
from albu_diffusemix.store import Store

PER_IMAGE = 40


class Photographs(Dataset):
    """Gives each photograph through a pipeline that was loaded from a file."""

    def __init__(self, folder, pipeline_file):
        self.paths = find_images(folder)
        self.keys = [path.relative_to(folder).as_posix() for path in self.paths]
        self.pipeline = A.load(pipeline_file, data_format="yaml")

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        image = read_image(self.paths[index])
        return self.pipeline(image=image, diffusemix_metadata={"key": self.keys[index]})["image"]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("everyday")
    assert main(["demo", "-o", str(folder)]) == 0
    return folder


def generate(demo, name):
    command = ["generate", str(demo / "photographs"), "-o", str(demo / name), "--backend", "procedural"]
    return [*command, "--per-image", str(PER_IMAGE)]


@pytest.fixture(scope="module")
def store(demo):
    """Made by a run that was killed twice, and then left to end."""
    path = demo / "demo.dm"
    for _ in range(2):
        before = bytes_written(path)
        process = start(demo, generate(demo, "demo.dm"))
        wait_for(lambda before=before: bytes_written(path) > before, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    assert main(generate(demo, "demo.dm")) == 0
    return path


def test_a_run_that_was_killed_twice_makes_what_an_uninterrupted_one_makes(demo, store):
    assert main(generate(demo, "whole.dm")) == 0
    assert content(store) == content(demo / "whole.dm")
    assert len(content(store)) == 4 * PER_IMAGE
    assert Store.open(store).verify() == []


def test_two_spawned_workers_train_from_it_through_a_pipeline_file(demo, store):
    transform = DiffuseMix({"name": "precomputed", "store": str(store)}, mask_types=("left",), alpha_range=(0, 0), p=1)
    pipeline_file = demo / "train.yaml"
    A.save(A.Compose([transform, A.Resize(64, 64), A.ToTensorV2()]), pipeline_file, data_format="yaml")
    photographs = Photographs(demo / "photographs", pipeline_file)
    torch.manual_seed(1)
    loader = DataLoader(photographs, batch_size=2, num_workers=2, multiprocessing_context="spawn")
    images = torch.cat(list(loader))
    assert images.shape == (4, 3, 64, 64)
    sources = np.stack([A.Resize(64, 64)(image=read_image(path))["image"] for path in photographs.paths])
    difference = np.abs(images.permute(0, 2, 3, 1).numpy().astype(int) - sources)
    assert difference[:, :, 33:].max() == 0
    assert difference[:, :, :31].mean(axis=(1, 2, 3)).min() > 3


def test_the_doctor_finds_a_counterpart_for_every_photograph(demo, store, capsys):
    assert main(["doctor", str(demo / "photographs"), str(store)]) == 0
    assert "4 of 4 images (100.0 %)" in capsys.readouterr().out

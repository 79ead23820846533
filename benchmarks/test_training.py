"""The paper's augmentation overhead, (T_aug - T_van) / T_van in percent, of a small network trained on one core.

An epoch reads JPEG files of 256x256, decodes, crops 128x128, flips and normalises them, and trains five convolutions on
them. Epochs with and without DiffuseMix alternate. The larger the network, the smaller the overhead.
"""

import itertools
import time

import albumentations as A
import cv2
import numpy as np
import pytest
import torch
from torch import nn

from albu_diffusemix import DiffuseMix
from benchmarks.photographs import originals, resized
from benchmarks.side_by_side import Spread
from benchmarks.stores import key_of, make_store

IMAGES, BATCH, CROP, CLASSES = {"smoke": 8, "usual": 256, "full": 512}, 32, 128, 8
VANILLA, ROUNDS = "without", 2


@pytest.fixture
def files(tmp_path, measuring):
    """Crops of the photographs, labelled by the photograph they are from."""
    draw = np.random.default_rng(7)
    crops = []
    for number in range(IMAGES[measuring.scale]):
        image = originals()[number % CLASSES]
        side = int(draw.integers(200, 290))
        top, left = (int(draw.integers(0, edge - side + 1)) for edge in image.shape[:2])
        crops.append(resized(image[top : top + side, left : left + side], 256, 256))
        cv2.imwrite(str(tmp_path / key_of(number)), crops[-1][..., ::-1])
    return [str(tmp_path / key_of(number)) for number in range(len(crops))]


def read(path):
    return cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)


def small_network():
    torch.manual_seed(0)
    widths = (3, 32, 64, 128, 128, 256)
    layers = []
    for width, wider in itertools.pairwise(widths):
        layers += [nn.Conv2d(width, wider, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(wider), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], CLASSES))


class Training:
    """One network and its pipeline; an epoch at a time."""

    def __init__(self, files, first) -> None:
        self._files = files
        self._pipeline = A.Compose([*first, A.RandomCrop(CROP, CROP), A.HorizontalFlip(), A.Normalize()], seed=7)
        self._network = small_network()
        self._optimizer = torch.optim.SGD(self._network.parameters(), lr=0.01, momentum=0.9)

    def epoch(self, _turn):
        for start in range(0, len(self._files), BATCH):
            numbers = range(start, min(start + BATCH, len(self._files)))
            images = torch.from_numpy(np.stack([self._augmented(number) for number in numbers])).permute(0, 3, 1, 2)
            loss = nn.functional.cross_entropy(self._network(images), torch.tensor(numbers) % CLASSES)
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()

    def _augmented(self, number):
        image = read(self._files[number])
        return self._pipeline(image=image, diffusemix_metadata={"key": key_of(number)})["image"]


@pytest.mark.once
def test_augmentation_overhead(measuring, tmp_path, files):
    spec = make_store(tmp_path / "store", [read(path) for path in files], 256)
    ways = {
        VANILLA: [],
        "DiffuseMix from a store, p=0.5": [DiffuseMix(spec, p=0.5)],
        "DiffuseMix from a store, p=1": [DiffuseMix(spec, p=1)],
        "DiffuseMix, procedural, p=0.5": [DiffuseMix(p=0.5)],
    }
    trainings = {name: Training(files, first).epoch for name, first in ways.items()}
    if measuring.scale != "smoke":
        for epoch in trainings.values():
            epoch(0)  # decodes fractals, meets every size
    times = measuring.side_by_side(trainings, time.process_time, calls=1, rounds=ROUNDS)
    for name in ways:
        column, per_image = "an image's share of an epoch", times.seconds(name, 1e3 / len(files))
        measuring.report("Training a small network", name, column, per_image, unit="ms")
        if name != VANILLA:
            overhead = Spread.of(100 * (times.rounds[name] / times.rounds[VANILLA] - 1))
            measuring.report("Training a small network", name, "overhead A_O", overhead, unit="%")

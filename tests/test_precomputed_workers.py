"""A store opened before the workers start, read by all of them: every counterpart is that of its own image."""

import albumentations as A
import numpy as np
import pytest
import torch
from precomputed_files import Entry, make_store, noise, precomputed
from torch.utils.data import DataLoader, Dataset

from albu_diffusemix import HalfConcat
from albu_diffusemix.backends import Request, create_backend
from albu_diffusemix.functional import half_concat
from albu_diffusemix.jpeg import encode

COUNT, VARIANTS = 40, 2
LEVELS = {(number, variant): 3 * (2 * number + variant) for number in range(COUNT) for variant in range(VARIANTS)}
SIDE = 32


class Mixed(Dataset):
    """Images of noise, mixed on the left; counterparts are flat, and their level tells which they are.

    Each is mixed three times: by a pipeline with its key, by a pipeline with its pixels, and by a backend that the data
    set carries into the workers, opened as it is.
    """

    def __init__(self, store):
        self.pipeline = A.Compose([HalfConcat(precomputed(store), mask_types=("left",), p=1)])
        self.backend = create_backend(precomputed(store))
        for index in range(len(self)):
            self[index]  # all is open in the parent

    def __len__(self):
        return 3 * COUNT

    def __getitem__(self, index):
        way, number = divmod(index, COUNT)
        image, key = noise(number, SIDE, SIDE), f"{number}.png"
        if way == 0:
            return number, self.pipeline(image=image, diffusemix_metadata={"key": key})["image"]
        if way == 1:
            return number, self.pipeline(image=image)["image"]
        seed = int(torch.randint(2, ()))
        [counterpart] = self.backend.generate([Request(image, None, seed, key, (0, 0, SIDE // 2, SIDE))])
        return number, half_concat(image, counterpart.image, "left")


@pytest.fixture
def store(tmp_path):
    flat = {place: encode(np.full((SIDE, SIDE, 3), level, np.uint8)) for place, level in LEVELS.items()}
    entries = [
        Entry(f"{number}.png", noise(number, SIDE, SIDE), data, variant=f"{variant}")
        for (number, variant), data in flat.items()
    ]
    return make_store(tmp_path / "store", *entries)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_every_read_in_every_worker_and_epoch_is_the_images_own(store, method):
    torch.manual_seed(1)
    loader = DataLoader(
        Mixed(store),
        batch_size=4,
        shuffle=True,
        num_workers=2,
        persistent_workers=True,
        multiprocessing_context=method,
    )
    for _ in range(2):
        seen = [
            (int(number), check(int(number), image.numpy()))
            for numbers, images in loader
            for number, image in zip(numbers, images, strict=True)
        ]
        assert sorted(number for number, _ in seen) == sorted(3 * list(range(COUNT)))
        assert {variant for _, variant in seen} == set(range(VARIANTS))


def check(number, image):
    """Compare an image with the truth, and give the variant that was mixed in."""
    np.testing.assert_array_equal(image[:, SIDE // 2 :], noise(number, SIDE, SIDE)[:, SIDE // 2 :])
    levels = np.unique(image[:, : SIDE // 2])
    variants = [variant for variant in range(VARIANTS) if np.abs(levels - float(LEVELS[number, variant])).max() <= 1]
    assert len(variants) == 1, f"image {number} was given a counterpart of level {levels}"
    return variants[0]

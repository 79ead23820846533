"""Transforms in DataLoader workers."""

import albumentations as A
import conftest  # noqa: F401  registers the backend of these tests in spawned workers too
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from albu_diffusemix import DiffuseMix

IMAGE = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)


class Drawn(Dataset):
    """Gives what a worker's DiffuseMix drew: its seed parameter."""

    def __init__(self, fractals, seed):
        transform = DiffuseMix("inverting", fractals=fractals, p=1)
        self.pipeline = A.Compose([transform], seed=seed, save_applied_params=True)

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return self.pipeline(image=IMAGE)["applied_transforms"][0][1]["seed"]


def epochs(fractals, method="fork", seed=None, torch_seed=1):
    torch.manual_seed(torch_seed)
    loader = DataLoader(Drawn(fractals, seed), batch_size=1, num_workers=2, multiprocessing_context=method)
    return [[int(drawn) for drawn in loader] for _ in range(2)]


@pytest.mark.parametrize("seed", [None, 3])
def test_workers_and_epochs_draw_different_numbers_and_a_seeded_run_repeats(fractals, seed):
    first = epochs(fractals, seed=seed)
    assert len({drawn for epoch in first for drawn in epoch}) == 16
    assert epochs(fractals, seed=seed) == first
    assert epochs(fractals, seed=seed, torch_seed=2) != first


def test_spawned_workers_draw_what_forked_ones_draw(fractals):
    assert epochs(fractals, "spawn") == epochs(fractals, "fork")


def test_the_pipelines_own_seed_counts_in_workers_too(fractals):
    assert epochs(fractals, seed=3) != epochs(fractals, seed=4)

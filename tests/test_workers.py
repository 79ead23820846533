"""Random numbers in DataLoader workers: ours and, with `worker_init_fn`, those of native transforms."""

import functools

import albumentations as A
import numpy as np
import pytest
import torch
from conftest import drawn
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset

from albu_diffusemix import DiffuseMix, worker_init_fn
from albu_diffusemix._host import HOST

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker processes")

IMAGE = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
GREY = np.full((1, 1, 3), 128, np.float32) / 255
LENGTH = 8


def brightness(seed=None):
    """A pipeline of native transforms whose output tells what was drawn."""
    return A.Compose([A.RandomBrightnessContrast(p=1)], seed=seed)


def drawn_brightness(pipeline):
    return float(pipeline(image=GREY)["image"][0, 0, 0])


class Drawn(Dataset):
    """Gives what a worker's pipelines drew: the seed of our transform, and a native one's brightness."""

    def __init__(self, fractals, seed):
        self.ours = A.Compose([DiffuseMix("inverting", fractals=fractals, p=1)], seed=seed)
        self.native = brightness(seed)

    def __len__(self):
        return LENGTH

    def __getitem__(self, index):
        [params] = drawn(self.ours, image=IMAGE)
        return params["seed"], drawn_brightness(self.native)


def epochs(dataset, method="fork", *, workers=2, persistent=False, torch_seed=1, init=worker_init_fn):
    """What two epochs draw: for each epoch a list of (ours, native)."""
    torch.manual_seed(torch_seed)
    loader = DataLoader(
        dataset,
        batch_size=None,
        num_workers=workers,
        persistent_workers=persistent,
        multiprocessing_context=method,
        worker_init_fn=init,
    )
    return [list(loader) for _ in range(2)]


def are_distinct(values):
    values = list(values)
    return len(set(values)) == len(values)


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("workers", [2, 4])
@pytest.mark.parametrize("seed", [None, 3])
def test_workers_and_epochs_draw_different_numbers_and_a_seeded_run_repeats(fractals, seed, workers, persistent):
    run = functools.partial(epochs, workers=workers, persistent=persistent)
    first = run(Drawn(fractals, seed))
    ours, native = zip(*first[0], *first[1], strict=True)
    assert are_distinct(ours)
    assert are_distinct(native)
    assert run(Drawn(fractals, seed)) == first
    assert run(Drawn(fractals, seed), torch_seed=2) != first


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_workers_draw_the_same_whatever_started_them(fractals, method, persistent):
    dataset = Drawn(fractals, seed=3)
    assert epochs(dataset, method, persistent=persistent) == epochs(Drawn(fractals, seed=3), persistent=persistent)


def test_four_spawned_workers_draw_what_four_forked_ones_draw(fractals):
    dataset = Drawn(fractals, seed=None)
    assert epochs(dataset, "spawn", workers=4, persistent=True) == epochs(dataset, workers=4, persistent=True)


def test_the_pipelines_own_seed_counts_in_workers_too(fractals):
    three, four = (epochs(Drawn(fractals, seed)) for seed in (3, 4))
    for one, other in zip(three[0], four[0], strict=True):
        assert one[0] != other[0]
        assert one[1] != other[1]


class Flips:
    """Native transforms of one pipeline that should not move together."""

    def __init__(self):
        self.pipeline = A.Compose([A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5)])

    def __len__(self):
        return 32

    def __getitem__(self, index):
        corners = self.pipeline(image=np.arange(4, dtype=np.uint8).reshape(2, 2))["image"].flatten()
        return int(corners[0])


def test_native_transforms_of_a_pipeline_draw_apart_from_each_other():
    assert {draw for epoch in epochs(Flips(), workers=1) for draw in epoch} == {0, 1, 2, 3}


def test_our_transforms_need_no_worker_init_fn(fractals):
    ours, _ = zip(*(drawn for epoch in epochs(Drawn(fractals, 3), init=None) for drawn in epoch), strict=True)
    assert are_distinct(ours)


@pytest.mark.skipif(HOST != "albumentations", reason="AlbumentationsX seeds its workers itself")
def test_without_it_native_transforms_draw_the_same_in_every_worker_and_epoch(fractals):
    first, second = ([native for _, native in epoch] for epoch in epochs(Drawn(fractals, None), init=None))
    assert first[0] == first[1]
    assert first == second


class Calling(Dataset):
    """Draws with whatever it is given to call."""

    def __init__(self, draw):
        self.draw = draw

    def __len__(self):
        return LENGTH

    def __getitem__(self, index):
        return self.draw()


class Holder:
    """An object of the user's that holds a pipeline among other things."""

    def __init__(self):
        self.settings = {"train": brightness(), "samples": list(range(1000)), "numpy": np}

    def draw(self):
        return drawn_brightness(self.settings["train"])


PIPELINE = brightness()


def draw_from_a_global_name():
    return drawn_brightness(PIPELINE)


def calling_by_closure():
    pipeline = brightness()
    return Calling(lambda: drawn_brightness(pipeline))


@pytest.mark.parametrize(
    "dataset",
    [
        Subset(Calling(Holder().draw), range(LENGTH)),
        ConcatDataset([Calling(Holder().draw), Calling(Holder().draw)]),
        Calling(functools.partial(drawn_brightness, brightness())),
        Calling(draw_from_a_global_name),
        calling_by_closure(),
    ],
    ids=["in a subset", "in a concatenation", "in a partial", "as a global name", "in a closure"],
)
def test_it_finds_the_pipeline_wherever_the_data_set_holds_it(dataset):
    first, second = epochs(dataset)
    assert are_distinct(first[:2])
    assert not set(first) & set(second)


@pytest.mark.skipif(HOST != "albumentations", reason="on AlbumentationsX there is nothing to find")
def test_a_data_set_without_a_pipeline_is_warned_of():
    with pytest.raises(UserWarning, match="found no Albumentations pipeline in the Calling"):
        epochs(Calling(float))


def test_it_is_refused_outside_of_a_worker():
    with pytest.raises(RuntimeError, match="not a DataLoader worker"):
        worker_init_fn(0)

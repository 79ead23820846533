"""A loader with DiffuseMix from a store against the same loader without: files read, decoded, cropped, flipped.

A pass reads every file once. With workers the clock's time counts, of the fastest of some passes a round, for they
share the cores with the process that reads from them; without workers it is the processor's.
"""

import time

import albumentations as A
import cv2
import pytest
from torch.utils.data import DataLoader, Dataset

from albu_diffusemix import DiffuseMix
from benchmarks.lines import LOADER
from benchmarks.photographs import originals, resized
from benchmarks.side_by_side import Spread
from benchmarks.stores import key_of, make_store

FILES = {"smoke": 4, "usual": 96, "full": 192}
PASSES_OF_WORKERS = 3
SIZES = {
    "500x375": lambda number, count: (500, 375),  # noqa: ARG005
    "each its own size": lambda number, count: (500 + 2 * number - count, 375 + number - count // 2),
}
WITHOUT = "without"


class Photographs(Dataset):
    """JPEG files, read and augmented for training."""

    def __init__(self, folder, count, first=()):
        self.pipeline = A.Compose([*first, A.RandomResizedCrop((224, 224)), A.HorizontalFlip(), A.Normalize()], seed=7)
        self.paths = [str(folder / key_of(number)) for number in range(count)]

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        return self.pipeline(image=read(self.paths[index]), diffusemix_metadata={"key": key_of(index)})["image"]


def read(path):
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def loader(dataset, workers):
    if workers == 0:
        return [*range(len(dataset))], dataset.__getitem__
    batches = DataLoader(
        dataset,
        batch_size=16,
        num_workers=workers,
        persistent_workers=True,
        multiprocessing_context="fork",
        worker_init_fn=lambda _: cv2.setNumThreads(1),
    )
    return batches, len


def one_pass(dataset, workers):
    items, take = loader(dataset, workers)

    def read_all(_turn):
        for item in items:
            take(item)

    return read_all


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", SIZES)
def test_with_and_without(measuring, tmp_path, kind, workers):
    count = FILES[measuring.scale]
    for number in range(count):
        image = resized(originals()[number % len(originals())], *SIZES[kind](number, count))
        cv2.imwrite(str(tmp_path / key_of(number)), image[..., ::-1])
    images = [read(tmp_path / key_of(number)) for number in range(count)]
    spec = make_store(tmp_path / "store", images, 256)
    pipelines = {WITHOUT: [], **{f"p={p}": [DiffuseMix(spec, p=p)] for p in (0.5, 1)}}
    passes = {name: one_pass(Photographs(tmp_path, count, first), workers) for name, first in pipelines.items()}
    if measuring.scale != "smoke":
        for read_all in [*passes.values()] * 3:
            read_all(0)  # starts workers, decodes fractals, fills caches
    clock, passes_a_round = (time.perf_counter, PASSES_OF_WORKERS) if workers else (time.thread_time, 1)
    times = measuring.side_by_side(passes, clock, calls=passes_a_round)
    where = f"{kind}, {workers or 'no'} workers"
    for name in pipelines:
        measuring.report("The loader, images a second", name, where, rate(times, name, count), unit="/s")
    for p in (0.5, 1):
        line = LOADER if p == 0.5 else None
        ratio = times.ratio(WITHOUT, f"p={p}")
        measuring.report("The loader's rate with DiffuseMix, without = 1", f"p={p}", where, ratio, line=line)


def rate(times, name, count):
    return Spread.of(count / times.rounds[name])

"""Images a second of a loader with DiffuseMix from a store and without, and with what a user would do instead.

A pass reads every file once, in batches of 16: read, decode, augment, crop, flip, normalize. With workers the clock's
time counts, of the fastest of some passes a round, for they share the cores with the process that reads from them;
without workers it is the processor's.
"""

import random
import time

import albumentations as A
import cv2
import pytest
from torch.utils.data import DataLoader, Dataset, default_collate

from albu_diffusemix import DiffuseMix
from benchmarks.fractals import warm_fractals
from benchmarks.hand_mixing import Collate, with_half_of
from benchmarks.lines import LOADER
from benchmarks.photographs import SOURCE_QUALITY, originals, resized
from benchmarks.side_by_side import Spread
from benchmarks.stores import key_of, make_store

FILES = {"smoke": 4, "usual": 48, "full": 192}
BATCH = 16
PASSES_OF_WORKERS = 3
OF_IMAGENET = [(500, 375)] * 5 + [(375, 500), (500, 333), (333, 500), (500, 334), (500, 400), (400, 300), (500, 500)]
"""Twelve of its usual sizes: about half of its images are 500x375."""
SIZES = {"500x375": [(500, 375)], "ImageNet's sizes": OF_IMAGENET}
PROBABILITIES = {"smoke": (0.5,), "usual": (0.5,), "full": (0.5, 1)}
WITHOUT = "without"
ENCODINGS = {"raw": "raw", "4:2:0": "jpeg", "4:4:4": "jpeg444"}
BY_HAND, IN_BATCHES = "half of a second JPEG", "MixUp or CutMix of a batch"
FROM_FILES = "augmented files of the released code"


class Photographs(Dataset):
    """JPEG files, read and augmented for training."""

    def __init__(self, folder, count, first=(), read=None):
        self._pipeline = A.Compose([*first, A.RandomResizedCrop((224, 224)), A.HorizontalFlip(), A.Normalize()], seed=7)
        self._paths = [str(folder / key_of(number)) for number in range(count)]
        self._read = read or read_image

    def __len__(self):
        return len(self._paths)

    def __getitem__(self, index):
        image = self._read(self._paths[index])
        return self._pipeline(image=image, diffusemix_metadata={"key": key_of(index)})["image"]


class MixedByHand:
    """Read an image, and with probability `p` put half of another image's file into it, at its size."""

    def __init__(self, p, paths):
        self._p, self._paths = p, paths

    def __call__(self, path):
        image = read_image(path)
        if random.random() >= self._p:
            return image
        other = read_image(random.choice(self._paths))
        return with_half_of(image, cv2.resize(other, image.shape[1::-1]))


class ReplacedByFile:
    """Read an image, or with probability `p` the file that the released code saved of it."""

    def __init__(self, p, folder):
        self._p, self._folder = p, folder

    def __call__(self, path):
        return read_image(self._folder / path.rsplit("/", 1)[-1] if random.random() < self._p else path)


def read_image(path):
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def write_photographs(folder, sizes, count):
    for number in range(count):
        image = resized(originals()[number % len(originals())], *sizes[number % len(sizes)])
        cv2.imwrite(str(folder / key_of(number)), image[..., ::-1], SOURCE_QUALITY)
    return [read_image(folder / key_of(number)) for number in range(count)]


def write_augmented(folder, images, spec):
    """As the released code saves them: the whole mixed image, at 256x256."""
    folder.mkdir()
    pipeline = A.Compose([DiffuseMix(spec, p=1)], seed=7)
    for number, image in enumerate(images):
        mixed = pipeline(image=image, diffusemix_metadata={"key": key_of(number)})["image"]
        cv2.imwrite(str(folder / key_of(number)), cv2.resize(mixed, (256, 256))[..., ::-1])
    return folder


def loader(dataset, workers, collate):
    more = {"persistent_workers": True, "multiprocessing_context": "fork"} if workers else {}
    return DataLoader(dataset, BATCH, num_workers=workers, collate_fn=collate, worker_init_fn=one_thread, **more)


def one_thread(_worker):
    cv2.setNumThreads(1)


def ways(folder, images, probabilities):
    """A data set and how it makes a batch, by name."""
    count = len(images)
    specs = {name: make_store(folder / name, images, 256, encoding) for name, encoding in ENCODINGS.items()}
    augmented = write_augmented(folder / "augmented", images, specs["4:2:0"])
    paths = [str(folder / key_of(number)) for number in range(count)]
    found = {WITHOUT: (Photographs(folder, count), default_collate)}
    for p in probabilities:
        for name, spec in specs.items():
            found[f"{name}, p={p}"] = Photographs(folder, count, [DiffuseMix(spec, p=p)]), default_collate
        found[f"{BY_HAND}, p={p}"] = Photographs(folder, count, read=MixedByHand(p, paths)), default_collate
        found[f"{IN_BATCHES}, p={p}"] = Photographs(folder, count), Collate(p)
        found[f"{FROM_FILES}, p={p}"] = Photographs(folder, count, read=ReplacedByFile(p, augmented)), default_collate
    return found


def one_pass(batches):
    def read_all(_turn):
        for batch in batches:
            len(batch)

    return read_all


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.by_scale("kind", smoke=["ImageNet's sizes"], usual=list(SIZES), full=list(SIZES))
def test_with_and_without(measuring, tmp_path, kind, workers):
    count = FILES[measuring.scale]
    images = write_photographs(tmp_path, SIZES[kind], count)
    found = ways(tmp_path, images, PROBABILITIES[measuring.scale])
    if measuring.scale != "smoke":
        warm_fractals(*{image.shape[:2] for image in images})
    passes = {name: one_pass(loader(dataset, workers, collate)) for name, (dataset, collate) in found.items()}
    if measuring.scale != "smoke":
        for read_all in passes.values():
            read_all(0)  # starts workers, fills caches
    clock, passes_a_round = (time.perf_counter, PASSES_OF_WORKERS) if workers else (time.thread_time, 2)
    times = measuring.side_by_side(passes, clock, calls=passes_a_round)
    where = f"{kind}, {workers or 'no'} workers"
    for name in passes:
        measuring.report("Images a second of a loader", name, where, rate(times, name, count), unit="/s")
    lines = LOADER["one size" if len({image.shape for image in images}) == 1 else "several sizes"]
    for name in passes:
        encoding, _, p = name.partition(", p=")
        line = lines.get(encoding) if p == "0.5" else None
        if name != WITHOUT:
            ratio = times.ratio(WITHOUT, name)
            measuring.report("The same, without DiffuseMix = 1", name, where, ratio, line=line)


def rate(times, name, count):
    return Spread.of(count / times.rounds[name])

"""The generation job with a free backend, against bare decode, resize and encode of the same files.

The bare work runs twice: in one loop, as a script would do it, and in as many threads as the job has. Beside it the job
hashes each source's pixels, judges each counterpart, puts restart markers into the JPEG, writes tar and records, reads
the part again to seal it, and makes index, README and contact sheet.
"""

import functools
import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from skimage import data

from albu_diffusemix.backends import Counterpart, register_backend
from albu_diffusemix.datasets import find_sources
from albu_diffusemix.generate import GenerateOptions, make_plan, run
from benchmarks.lines import JOB
from benchmarks.photographs import originals, resized
from benchmarks.side_by_side import Spread

COUNT, ROUNDS, SIZE = {"smoke": 8, "usual": 1000, "full": 2000}, 2, 256
LISTED = {"smoke": [10, 20], "usual": [10_000, 100_000], "full": [10_000, 100_000]}
OURS = "the job"


class Free:
    """Gives the same photograph for each source, which costs nothing and is encoded as a photograph is."""

    fingerprint = "free"
    prompts = ("coffee",)

    def check_prompt(self, prompt):
        pass

    def generate(self, requests):
        return [Counterpart(coffee_of(request.image.shape[1::-1]), "ok", request.prompt) for request in requests]


@functools.cache
def coffee_of(size):
    return resized(data.coffee(), *size)


register_backend("free", "benchmarks.test_job:Free")


class Deaf:
    def outcome(self, outcome):
        pass

    done = note = outcome


def make_folder(folder, count):
    """Photographs of 500 x 375 pixels, as of a common data set."""
    folder.mkdir()
    whole = originals()
    for number in range(count):
        image = np.roll(whole[number % len(whole)], number, axis=1)
        cv2.imwrite(str(folder / f"{number:05d}.jpg"), resized(image, 500, 375)[..., ::-1])


def bare(path):
    image = cv2.imread(str(path))
    height, width = image.shape[:2]
    scale = SIZE / min(height, width)
    small = resized(image, round(width * scale), round(height * scale))
    return cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def in_a_loop(paths):
    return [bare(path) for path in paths]


def in_threads(paths):
    with ThreadPoolExecutor(max(2, len(os.sched_getaffinity(0)))) as pool:
        return list(pool.map(bare, paths))


def the_job(folder, count):
    store = folder.parent / "free.dm"
    options = GenerateOptions(folder, store, "free", size=SIZE)
    summary = run(make_plan(options), Deaf(), threading.Event())
    shutil.rmtree(store)
    assert summary.made == count


def test_listing_the_sources(measuring, tmp_path):
    """A manifest of as many images as a large data set's tenth or hundredth part has, read and checked."""
    counts = LISTED[measuring.scale]
    manifests = {f"{count:,} images": tmp_path / f"{count}.csv" for count in counts}
    for count, manifest in zip(counts, manifests.values(), strict=True):
        lines = (f"n{number % 1000:08d}/n{number % 1000:08d}_{number}.JPEG" for number in range(count))
        manifest.write_text("path,key\n" + "".join(f"{line},{line}\n" for line in lines))
    listing = {name: lambda _turn, path=path: find_sources(path, tmp_path / "s.dm") for name, path in manifests.items()}
    times = measuring.side_by_side(listing, calls=1, rounds=ROUNDS)
    for name in manifests:
        measuring.report("The job, listing its sources", "a manifest", name, times.seconds(name), unit="s")


@pytest.mark.by_scale("clock", smoke=["wall"], usual=["wall"], full=["wall", "processor"])
def test_with_a_free_backend_against_bare_work(measuring, tmp_path, clock):
    count = COUNT[measuring.scale]
    make_folder(tmp_path / "photographs", count)
    paths = sorted((tmp_path / "photographs").iterdir())
    bare_work = {"one loop": lambda _turn: in_a_loop(paths), "threads": lambda _turn: in_threads(paths)}
    times = measuring.side_by_side(
        {**bare_work, OURS: lambda _turn: the_job(tmp_path / "photographs", count)},
        time.perf_counter if clock == "wall" else time.process_time,
        calls=1,
        rounds=ROUNDS,
    )
    for name in bare_work:
        line = JOB if clock == "wall" else None
        table = "The job's rate with a free backend, bare work = 1"
        measuring.report(table, f"against {name}", f"{clock} time", times.ratio(name, OURS), line=line)
    if clock == "wall":
        seconds = Spread.of(count / times.rounds[OURS])
        measuring.report("The job", "images a second", "", seconds, unit="/s")

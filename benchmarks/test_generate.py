"""The generation job with a free backend, against bare decode + resize + encode of the same files, in one run.

The bare work runs twice: in one loop, as a script would do it, and in as many threads as the job has. Rounds alternate
between all of them, and the best round of each counts, so that a busy machine disturbs them alike; processor time is
disturbed least. Beside the bare work the job hashes each source's pixels, judges each counterpart, puts restart markers
into the JPEG, writes tar and records, reads the part again to seal it, and makes index, README and contact sheet.
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
from skimage import data as photographs

from albu_diffusemix.backends import Counterpart, register_backend
from albu_diffusemix.generate import GenerateOptions, make_plan, run

LINE = 0.8
COUNT, ROUNDS, SIZE = 1000, 5, 256
QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 90, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]


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
    return cv2.resize(photographs.coffee(), size, interpolation=cv2.INTER_AREA)


register_backend("free", "test_generate:Free")


class Deaf:
    def outcome(self, outcome):
        pass

    done = note = outcome


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photographs of 500 x 375 pixels, as of a common data set."""
    folder = tmp_path_factory.mktemp("photographs")
    whole = [getattr(photographs, name)() for name in ("astronaut", "chelsea", "coffee", "rocket")]
    for number in range(COUNT):
        image = np.roll(whole[number % len(whole)], number, axis=1)
        small = cv2.resize(image, (500, 375), interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(folder / f"{number:05d}.jpg"), small[..., ::-1])
    return folder


def bare(path):
    image = cv2.imread(str(path))
    height, width = image.shape[:2]
    scale = SIZE / min(height, width)
    small = cv2.resize(image, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", small, QUALITY)[1].tobytes()


def in_a_loop(paths):
    return [bare(path) for path in paths]


def in_threads(paths):
    with ThreadPoolExecutor(max(2, len(os.sched_getaffinity(0)))) as pool:
        return list(pool.map(bare, paths))


def the_job(folder):
    store = folder.parent / "free.dm"
    options = GenerateOptions(folder, store, "free", size=SIZE)
    summary = run(make_plan(options), Deaf(), threading.Event())
    shutil.rmtree(store)
    assert summary.made == COUNT


def best_times(*functions):
    """Wall and processor seconds of each, a row each."""
    seconds = []
    for _ in range(ROUNDS):
        for function in functions:
            started = time.perf_counter(), time.process_time()
            function()
            seconds.append((time.perf_counter() - started[0], time.process_time() - started[1]))
    return np.array(seconds).reshape(ROUNDS, len(functions), 2).min(axis=0)


def test_the_job_with_a_free_backend_against_bare_work(benchmark, folder):
    paths = sorted(folder.iterdir())
    loop, threads, job = best_times(lambda: in_a_loop(paths), lambda: in_threads(paths), lambda: the_job(folder))
    ratios = {"one loop": loop / job, "threads": threads / job}
    print(f"\nthe job: {COUNT / job[0]:.0f} images a second")
    for name, (wall, processor) in ratios.items():
        met = "met" if wall >= LINE else "MISSED"
        print(f"  against bare work in {name:8}: {wall:.2f} x, line {LINE}: {met}; in processor time {processor:.2f} x")
    benchmark.extra_info.update({name: list(ratio) for name, ratio in ratios.items()}, line=LINE)
    benchmark.pedantic(lambda: the_job(folder), rounds=1)

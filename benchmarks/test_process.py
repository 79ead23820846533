"""What a process pays: the time to import the package, and the memory of a worker that trains with it."""

import subprocess
import sys

import pytest

from benchmarks.lines import ADDED_MEMORY, IMPORT
from benchmarks.side_by_side import Spread

HOST, OURS = "albumentations", "albu_diffusemix"
IMPORTING = """
import importlib, sys, time
start = time.process_time()
importlib.import_module(sys.argv[1])
print(time.process_time() - start)
print(*sorted(name for name in sys.modules if "." not in name))
"""
TWO_WORKERS = """
import multiprocessing
import sys
import numpy as np
import albumentations as A
from albu_diffusemix import DiffuseMix
import cv2

def held():
    lines = [line.split() for line in open("/proc/self/smaps_rollup").read().splitlines()[1:]]
    sizes = {name: int(size) / 1024 for name, size, *_ in lines}
    return np.array([sizes["Private_Clean:"] + sizes["Private_Dirty:"], sizes["Rss:"]])

def train(pipeline, size, calls, together, found):
    image = np.zeros((size, size, 3), np.uint8)
    together.wait()
    before = held()
    for _ in range(calls):
        pipeline(image=image, diffusemix_metadata={"counterpart": image})
    together.wait()
    alone, whole = held() - before
    together.wait()
    found.put((alone, alone + (whole - alone) / 2))

size, calls, fork = int(sys.argv[1]), int(sys.argv[2]), multiprocessing.get_context("fork")
pipeline, together, found = A.Compose([DiffuseMix(p=1)], seed=7), fork.Barrier(2), fork.Queue()
workers = [fork.Process(target=train, args=(pipeline, size, calls, together, found)) for _ in range(2)]
for worker in workers:
    worker.start()
for _ in workers:
    print(*found.get())
"""
SIZES = {"smoke": [32], "usual": [224, 512], "full": [224, 512, 1024]}
CALLS = {"smoke": 3, "usual": 1000, "full": 1000}
"""So many that all hundred fractals were met, most of them again and again."""


def output_of(program, *arguments):
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, stdout=-1, text=True, check=True).stdout.splitlines()  # noqa: S603


@pytest.mark.once
def test_import(measuring):
    """Processor seconds inside of fresh processes, one after the other in turns."""
    seconds, modules = {HOST: [], OURS: []}, {}

    def import_both():
        for name, taken in seconds.items():
            time, found = output_of(IMPORTING, name)
            taken.append(float(time))
            modules[name] = set(found.split())

    measuring.repeat(import_both, rounds=3)
    ratios = Spread.of(ours / host for ours, host in zip(seconds[OURS], seconds[HOST], strict=True))
    measuring.report("Import", f"import {OURS}", f"/ import {HOST}", ratios, line=IMPORT)
    for name, taken in seconds.items():
        measuring.report("Import", f"import {name}", "by itself", Spread.of(taken), unit="s")
    assert "torch" in modules[HOST] or "torch" not in modules[OURS], "importing the package imports torch"


@pytest.mark.once
def test_memory_of_a_worker(measuring):
    """What DiffuseMix adds to each of two workers: fractals, as large as they are used, up to the library's bound."""
    megabytes = {size: [] for size in SIZES[measuring.scale]}

    def use_all():
        for size, grown in megabytes.items():
            lines = output_of(TWO_WORKERS, size, CALLS[measuring.scale])
            grown += [tuple(map(float, line.split())) for line in lines]

    measuring.repeat(use_all, rounds=1)
    for size, grown in megabytes.items():
        alone, share = map(Spread.of, zip(*grown, strict=True))
        table, column = "Memory of a worker", f"{size} px"
        measuring.report(table, "DiffuseMix adds", column, share, unit="MB", line=ADDED_MEMORY)
        measuring.report(table, "of it held by one worker alone", column, alone, unit="MB")

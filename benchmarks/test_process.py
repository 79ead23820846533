"""What a process pays: the time to import the package, and the memory of a worker that trains with it."""

import subprocess
import sys

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
PRIVATE = """
import sys
import numpy as np
import albumentations as A
from albu_diffusemix import DiffuseMix
import cv2

def private():
    lines = open("/proc/self/smaps_rollup").read().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Clean", "Private_Dirty"))) / 1024

size, calls = int(sys.argv[1]), int(sys.argv[2])
image = np.zeros((size, size, 3), np.uint8)
pipeline = A.Compose([DiffuseMix(p=1)], seed=7)
before = private()
for _ in range(calls):
    pipeline(image=image, diffusemix_metadata={"counterpart": image})
print(private() - before)
"""
SIZES = {"smoke": [32], "usual": [224, 512], "full": [224, 512, 1024]}
CALLS = {"smoke": 3, "usual": 1000, "full": 1000}
"""So many that all hundred fractals were met, most of them again and again."""


def output_of(program, *arguments):
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, stdout=-1, text=True, check=True).stdout.splitlines()  # noqa: S603


def test_import(measuring):
    """Processor seconds inside of fresh processes, one after the other in turns."""
    seconds, modules = {HOST: [], OURS: []}, {}

    def import_both():
        for name, taken in seconds.items():
            time, found = output_of(IMPORTING, name)
            taken.append(float(time))
            modules[name] = set(found.split())

    measuring.repeat(import_both, rounds=2)
    ratios = Spread.of(ours / host for ours, host in zip(seconds[OURS], seconds[HOST], strict=True))
    measuring.report("Import", f"import {OURS}", f"/ import {HOST}", ratios, line=IMPORT)
    for name, taken in seconds.items():
        measuring.report("Import", f"import {name}", "by itself", Spread.of(taken), unit="s")
    assert "torch" in modules[HOST] or "torch" not in modules[OURS], "importing the package imports torch"


def test_memory_of_a_worker(measuring):
    """What DiffuseMix adds to a worker: fractals, as large as they are used, up to the library's bound."""
    megabytes = {size: [] for size in SIZES[measuring.scale]}

    def use_all():
        for size, grown in megabytes.items():
            grown.append(float(output_of(PRIVATE, size, CALLS[measuring.scale])[0]))

    measuring.repeat(use_all, rounds=1)
    for size, grown in megabytes.items():
        column, added = f"{size} px", Spread.of(grown)
        measuring.report("Memory of a worker", "DiffuseMix adds", column, added, unit="MB", line=ADDED_MEMORY)

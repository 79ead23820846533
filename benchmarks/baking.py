"""Baking against a bare loop of read, the same pipeline and encode: `python -m benchmarks.baking [IMAGES]`.

One thread each, by turns, the fastest of twelve rounds; counterparts come from a store. The bake writes its files, too.
"""

import contextlib
import io
import sys
import tempfile
import threading
import time
from pathlib import Path

import albumentations as A
import cv2
import numpy as np
from skimage import data

from albu_diffusemix import DiffuseMix
from albu_diffusemix.bake import BakeOptions, make_plan, run
from albu_diffusemix.cli import main as command

LINE = 0.8
ROUNDS = 12
SIZES = {"256 px": (256, 256), "500 x 375 px": (500, 375)}
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")


def write_images(folder, count, size):
    for number in range(count):
        image = np.roll(getattr(data, PHOTOGRAPHS[number % 4])(), 7 * number, axis=1)
        path = folder / "abcd"[number % 4] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), cv2.resize(image, size)[..., ::-1])


def bare_loop(folder, pipeline):
    for path in sorted(folder.rglob("*.jpg")):
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        key = path.relative_to(folder).as_posix()
        mixed = pipeline(image=image, diffusemix_metadata={"key": key})["image"]
        cv2.imencode(".jpg", cv2.cvtColor(mixed, cv2.COLOR_RGB2BGR), (cv2.IMWRITE_JPEG_QUALITY, 95))


def seconds(call, *arguments):
    clock, processor = time.perf_counter(), time.process_time()
    call(*arguments)
    return time.perf_counter() - clock, time.process_time() - processor


def measure(root, count, size):
    """Return the fastest of some rounds by turns: the bake's seconds by the clock and by the processor, the loop's."""
    folder, store, file = root / "images", root / "store.dm", root / "pipeline.yaml"
    write_images(folder, count, size)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        command(["generate", str(folder), "-o", str(store), "--prompt", "sunset"])
    pipeline = A.Compose([DiffuseMix({"name": "precomputed", "store": str(store)}, p=1), A.HorizontalFlip(p=0.5)])
    A.save(pipeline, file, data_format="yaml")
    rounds = []
    for number in range(ROUNDS):
        plan = make_plan(BakeOptions(str(folder), root / f"baked{number}", file))
        baked = seconds(run, plan, lambda _: None, threading.Event())
        rounds.append((*baked, *seconds(bare_loop, folder, pipeline)))
    return [min(column) for column in zip(*rounds, strict=True)]


def main(count):
    cv2.setNumThreads(1)
    for name, size in SIZES.items():
        with tempfile.TemporaryDirectory() as folder:
            clock, processor, bare_clock, bare_processor = measure(Path(folder), count, size)
        ratio = bare_processor / processor
        verdict = "met" if ratio >= LINE else f"missed by {LINE - ratio:.2f}"
        each = f"{processor / count * 1e3:.2f} and {bare_processor / count * 1e3:.2f} ms an image"
        print(
            f"{name:14} {ratio:.2f} of the bare loop, line {LINE}: {verdict} ({each}; clock {bare_clock / clock:.2f})"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)

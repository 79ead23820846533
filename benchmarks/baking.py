"""Baking against a bare loop of read, the same pipeline and encode: `python -m benchmarks.baking [IMAGES]`.

One thread each, by turns, the fastest of twelve rounds, in processor time; counterparts come from a store. Both draw
the same and make the same bytes. The bake writes its files, too; what as many files alone take is measured beside it.
All lie in memory where there is /dev/shm: ext4 takes 14 us to make a file, and 660 us where many were deleted before.
"""

import contextlib
import io
import random
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
from albu_diffusemix.keys import derive_seed
from albu_diffusemix.pipelines import reseed

LINE = 0.8
MEMORY = Path("/dev/shm")  # noqa: S108  a name of its own in it
ROUNDS = 12
SIZES = {"256 px": (256, 256), "500 x 375 px": (500, 375)}
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")


def write_images(folder, count, size):
    for number in range(count):
        image = np.roll(getattr(data, PHOTOGRAPHS[number % 4])(), 7 * number, axis=1)
        path = folder / "abcd"[number % 4] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), cv2.resize(image, size)[..., ::-1])


def write_pipeline(root, folder):
    store = root / "store.dm"
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        command(["generate", str(folder), "-o", str(store), "--prompt", "sunset"])
    pipeline = A.Compose([DiffuseMix({"name": "precomputed", "store": str(store)}, p=1), A.HorizontalFlip(p=0.5)])
    A.save(pipeline, root / "pipeline.yaml", data_format="yaml")
    return pipeline


def draws_of(pipeline, keys):
    """What the bake draws each image from, made before the clock starts."""
    reseed(pipeline, 0)  # so that the transforms belong to this process
    seeds = [derive_seed(0, key, "", "0") for key in keys]
    return [(np.random.default_rng(seed), random.Random(seed)) for seed in seeds]


def bare_loop(folder, keys, pipeline, draws):
    made = []
    for key, generators in zip(keys, draws, strict=True):
        image = cv2.cvtColor(cv2.imread(f"{folder}/{key}"), cv2.COLOR_BGR2RGB)
        pipeline.set_random_state(*generators)
        mixed = pipeline(image=image, diffusemix_metadata={"key": key})["image"]
        flags = (cv2.IMWRITE_JPEG_QUALITY, 95)
        made.append(cv2.imencode(".jpg", cv2.cvtColor(mixed, cv2.COLOR_RGB2BGR), flags)[1].tobytes())
    return made


def write_alone(folder, contents):
    for number, content in enumerate(contents):
        with (folder / f"{number}.jpg").open("wb") as file:
            file.write(content)


def seconds(call, *arguments):
    clock, processor = time.perf_counter(), time.process_time()
    call(*arguments)
    return np.array([time.perf_counter() - clock, time.process_time() - processor])


def measure(root, count, size):
    """Return the seconds of the bake, of the loop and of the files alone, each by the clock and by the processor."""
    folder, rounds = root / "images", []
    write_images(folder, count, size)
    pipeline = write_pipeline(root, folder)
    for number in range(ROUNDS):
        plan = make_plan(BakeOptions(str(folder), root / f"baked{number}", root / "pipeline.yaml"))
        keys = [source.key for source in plan.sources]
        baked = seconds(run, plan, lambda _: None, threading.Event())
        looped = seconds(bare_loop, folder, keys, pipeline, draws_of(pipeline, keys))
        made = bare_loop(folder, keys, pipeline, draws_of(pipeline, keys))
        assert made == [(plan.options.output / key.replace(".jpg", "__0.jpg")).read_bytes() for key in keys]
        alone = root / f"alone{number}"
        alone.mkdir()
        rounds.append([baked, looped, seconds(write_alone, alone, made)])
    return np.min(rounds, axis=0)


def main(count):
    cv2.setNumThreads(1)
    for name, size in SIZES.items():
        with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
            baked, looped, alone = measure(Path(folder), count, size)
        ratio, in_memory = looped[1] / baked[1], looped[1] / (baked[1] - alone[1])
        verdict = "met" if ratio >= LINE else f"missed by {LINE - ratio:.2f}"
        each = ", ".join(f"{what[1] / count * 1e3:.2f}" for what in (baked, looped, alone))
        print(
            f"{name:14} {ratio:.2f} of the bare loop, line {LINE}: {verdict}; {in_memory:.2f} without what the files "
            f"alone take (bake, loop, files: {each} ms an image; clock {looped[0] / baked[0]:.2f})"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)

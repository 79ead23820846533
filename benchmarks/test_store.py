"""The store at 10 thousand, 100 thousand and a million entries: opening, looking up, private memory; reading, writing.

The entries are synthetic, the files are real: indexes as the store writes them, parts of the right sizes (with holes in
place of images, which a lookup does not read).
"""

import os
import random
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import xxhash

from albu_diffusemix.store import Recipe, Source, Store
from albu_diffusemix.store.index import ROW, Part
from albu_diffusemix.store.indexing import _assemble
from albu_diffusemix.store.keys import hash_key

OPEN_LINE, LOOKUP_LINE, MEMORY_LINE, GROWTH_LINE = 20e-3, 20e-6, 20.0, 1.5
SIZES = (10_000, 100_000, 1_000_000)
A_PART, IMAGE, PLACE = 10_000, 24_000, 26_624
ROUNDS, BATCH = 60, 200


class Synthetic(NamedTuple):
    path: Path
    keys: list[str]

    def sample(self, count, seed):
        return random.Random(seed).choices(self.keys, k=count)


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    return {count: make_synthetic(folder / f"{count}.dm", count) for count in SIZES}


def make_synthetic(path, count):
    """A merged index of one counterpart each of `count` sources, and parts with holes."""
    Store.create(path, Recipe("procedural", "f00d", ("snowy",)))
    keys = [f"n{number % 1000:08d}/n{number % 1000:08d}_{number}.JPEG" for number in range(count)]
    texts = [key.encode() for key in keys]
    lengths = np.array([len(text) for text in texts])
    numbers = np.arange(count)
    rows = np.zeros(count, ROW)
    rows["key_hi"], rows["key_lo"] = np.frombuffer(b"".join(map(hash_key, keys)), ">u8").reshape(-1, 2).T
    rows["pixels_hi"], rows["pixels_lo"] = np.random.default_rng(0).integers(0, 2**64, (2, count), dtype=np.uint64)
    rows["key_at"], rows["key_length"] = np.cumsum(lengths) - lengths, lengths
    rows["part"], rows["offset"] = numbers // A_PART, 512 + numbers % A_PART * PLACE
    rows["length"], rows["height"], rows["width"], rows["seed"] = IMAGE, 375, 500, numbers
    rows["variant"], rows["prompt"], rows["encoding"] = 1, 2, 1
    parts = [Part(f"part-{number:05d}", A_PART * PLACE + 1024, "00" * 16) for number in range(count // A_PART)]
    for part in parts:
        (path / "parts" / f"{part.name}.tar").touch()
        os.truncate(path / "parts" / f"{part.name}.tar", part.size)
    texts = np.frombuffer(b"".join(texts), np.uint8)
    _assemble(parts, {}, rows, ["", "0000", "snowy"], texts, path / "index" / "merged.idx").save()
    return Synthetic(path, keys)


def timed(function, arguments):
    """Seconds a call."""
    start = time.perf_counter()
    for argument in arguments:
        function(argument)
    return (time.perf_counter() - start) / len(arguments)


def verdict(value, line):
    return f"line {line:g}: {'met' if value <= line else 'MISSED'}"


def test_opening(benchmark, stores):
    times = {count: [] for count in SIZES}
    for _ in range(ROUNDS):
        for count, synthetic in stores.items():
            times[count].append(timed(Store.open, [synthetic.path]))
    print("\nopen")
    for count, seconds in times.items():
        print(f"  {count:9,} entries  {np.median(seconds) * 1e3:6.2f} ms, slowest {max(seconds) * 1e3:6.2f} ms")
    slowest = max(times[SIZES[-1]]) * 1e3
    print(f"  the slowest at a million, {verdict(slowest, OPEN_LINE * 1e3)}")
    benchmark.extra_info.update(milliseconds=slowest)
    benchmark(Store.open, stores[SIZES[-1]].path)


def test_looking_up(benchmark, stores):
    """Batches of random keys alternate between the sizes, so a busy machine disturbs them alike."""
    opened = {count: Store.open(synthetic.path) for count, synthetic in stores.items()}
    kinds = {
        "variants of a key": Store.variants,
        "a key that is not there": lambda store, key: store.variants(f"other/{key}"),
        "variants by pixels": Store.variants_by_pixels,
    }
    print("\nlook up: us at", ", ".join(f"{count:,}" for count in SIZES))
    for kind, ask in kinds.items():
        times = {count: [] for count in SIZES}
        for number in range(ROUNDS):
            for count, store in opened.items():
                questions = stores[count].sample(BATCH, number)
                if kind == "variants by pixels":
                    questions = [store.variants(key)[0].source.pixels for key in questions]
                times[count].append(timed(partial(ask, store), questions))
        medians = [float(np.median(times[count])) for count in SIZES]
        growth = float(np.median(np.divide(times[SIZES[-1]], times[SIZES[0]])))
        print(f"  {kind:24}", *(f"{seconds * 1e6:6.1f}" for seconds in medians), f"  {growth:.2f} x")
        print(f"    {verdict(medians[-1] * 1e6, LOOKUP_LINE * 1e6)}; growth {verdict(growth, GROWTH_LINE)}")
        benchmark.extra_info.update({kind: medians, f"growth, {kind}": growth})
    keys = iter(stores[SIZES[-1]].sample(1_000_000, -1))
    benchmark.pedantic(lambda: opened[SIZES[-1]].variants(next(keys)), rounds=50, iterations=100)


WORKER = """
import random, sys
from albu_diffusemix.store import Store

def private():
    lines = open("/proc/self/smaps_rollup").read().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Clean", "Private_Dirty"))) / 1024

path, count = sys.argv[1], int(sys.argv[2])
before = private()
store = Store.open(path)
for number in random.Random(0).choices(range(count), k=150_000):
    assert store.variants(f"n{number % 1000:08d}/n{number % 1000:08d}_{number}.JPEG")
print("done", flush=True)
sys.stdin.readline()
print(private() - before, flush=True)
sys.stdin.readline()
"""


def private_memory(synthetic):
    """Let two workers look up 150,000 random keys each; return the MB that only one of them holds while both live."""
    command = [sys.executable, "-c", WORKER, str(synthetic.path), str(len(synthetic.keys))]
    workers = [subprocess.Popen(command, stdin=-1, stdout=-1, text=True) for _ in range(2)]  # noqa: S603
    assert [worker.stdout.readline() for worker in workers] == ["done\n"] * 2
    megabytes = []
    for worker in workers:
        worker.stdin.write("measure\n")
        worker.stdin.flush()
        megabytes.append(float(worker.stdout.readline()))
    for worker in workers:
        worker.communicate("end\n")
    return max(megabytes)


def test_private_memory_of_a_worker(benchmark, stores):
    print("\nprivate memory of a worker, the index open and used")
    for count, synthetic in stores.items():
        measure = partial(benchmark.pedantic, rounds=1) if count == SIZES[-1] else lambda work, args: work(*args)
        megabytes = measure(private_memory, args=(synthetic,))
        whole = (synthetic.path / "index" / "merged.idx").stat().st_size / 2**20
        print(f"  {count:9,} entries  {megabytes:5.1f} MB, of an index of {whole:.1f} MB")
    print(f"  {verdict(megabytes, MEMORY_LINE)}")
    benchmark.extra_info.update(megabytes=megabytes)


def test_reading_and_writing(benchmark, tmp_path):
    """Real images of the usual size, and what the check of every read costs of it."""
    count, prompt = 1000, "snowy"
    images = [b"\xff\xd8\xff" + random.Random(number).randbytes(IMAGE) for number in range(50)]
    source = Source(375, 500, bytes(16))
    store = Store.create(tmp_path / "s.dm", Recipe("procedural", "f00d", (prompt,)))
    writer = store.writer()
    start = time.perf_counter()
    for number in range(count):
        writer.put(f"class/{number}.jpg", "0000", images[number % 50], prompt=prompt, seed=number, source=source)
    put = (time.perf_counter() - start) / count
    seal = timed(lambda _: writer.seal(), [None]) / count
    store.merge()
    store = Store.open(store.path)
    rows = list(store.rows())
    random.Random(0).shuffle(rows)
    read = min(timed(store.read, rows) for _ in range(5))
    check = min(timed(xxhash.xxh3_64_intdigest, images) for _ in range(20))
    verify = timed(lambda _: store.verify(), [None])
    print(f"\nimages of {IMAGE / 1000:g} kB: put {put * 1e6:.0f} us, seal {seal * 1e6:.0f} us an image")
    print(f"  read {read * 1e6:.1f} us, of which the check {check * 1e6:.1f} us; verify {count / verify:.0f} images/s")
    benchmark.extra_info.update(put=put, seal=seal, read=read, check=check)
    turns = iter(rows * 10_000)
    benchmark.pedantic(lambda: store.read(next(turns)), rounds=50, iterations=100)

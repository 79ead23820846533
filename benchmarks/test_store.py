"""The store at up to a million entries: opening, looking up, private memory; reading and writing real images.

The entries are synthetic, the files are real: indexes as the store writes them, parts of the right sizes that are
holes, so that every image reads as zeros. Random keys, batches of them alternating between the sizes.
"""

import itertools
import os
import random
import subprocess
import sys
import time
from functools import partial
from typing import NamedTuple

import pytest
import xxhash

from albu_diffusemix.store import Recipe, Source, Store
from benchmarks.lines import LOOKUP, LOOKUP_GROWTH, OPEN, WORKER_MEMORY
from benchmarks.side_by_side import Rotating, Spread
from benchmarks.stores import IMAGE, make_synthetic, reject_some

MILLION = 1_000_000
SIZES = {"smoke": (100, 200), "usual": (10_000, 100_000, MILLION), "full": (10_000, 30_000, 100_000, 300_000, MILLION)}
PARTS = {"smoke": (200, (2, 20)), "usual": (200_000, (20, 200, 2000)), "full": (200_000, (20, 200, 2000))}
"""Entries, and the parts that they lie in. 2,000 parts are 500 GB."""
BATCH, READS, FIRST, WRITINGS = 200, 20, 20, 3
LOOKUPS_OF_A_WORKER = {"smoke": 1000, "usual": 50_000, "full": 150_000}
LOOKUPS = {
    "a key": Store.variants,
    "a key that is not there": lambda store, key: store.variants(f"other/{key}"),
    "pixels": Store.variants_by_pixels,
}


@pytest.fixture(scope="module")
def stores(tmp_path_factory, request):
    folder = tmp_path_factory.mktemp("stores")
    sizes = SIZES[request.config.getoption("scale")]
    return {count: make_synthetic(folder / f"{count}.dm", count) for count in sizes}


def at_a_million(line, count):
    return line if count == MILLION else None


def entries(count):
    return f"{count:,} entries"


def test_opening(measuring, stores):
    candidates = {count: lambda _turn, path=synthetic.path: Store.open(path) for count, synthetic in stores.items()}
    times = measuring.side_by_side(candidates, time.perf_counter, calls=10)
    for count in stores:
        line, spread = at_a_million(OPEN, count), times.seconds(count, 1e3)
        measuring.report("The store", "open", entries(count), spread, unit="ms", line=line)


@pytest.mark.parametrize("kind", LOOKUPS)
def test_looking_up(measuring, stores, kind):
    ask = LOOKUPS[kind]
    candidates = {count: asking(ask, kind, synthetic) for count, synthetic in stores.items()}
    times = measuring.side_by_side(candidates)
    for count in stores:
        line, spread = at_a_million(LOOKUP, count), times.seconds(count, 1e6 / BATCH)
        measuring.report("The store", f"look up {kind}", entries(count), spread, unit="us", line=line)
    smallest, *_, largest = stores
    growth = times.ratio(largest, smallest)
    column = f"{largest:,} / {smallest:,}"
    measuring.report("Growth of a look-up", kind, column, growth, line=at_a_million(LOOKUP_GROWTH, largest))


def asking(ask, kind, synthetic):
    """Ask for one of many batches of random keys at each turn."""
    store = Store.open(synthetic.path)
    batches = [synthetic.sample(BATCH, seed) for seed in range(50)]
    if kind == "pixels":
        batches = [[store.variants(key)[0].source.pixels for key in keys] for keys in batches]
    return Rotating(lambda batch: [ask(store, question) for question in batch], batches, alike=True)


WORKER = """
import random, sys
from albu_diffusemix.store import Store

def private():
    lines = open("/proc/self/smaps_rollup").read().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Clean", "Private_Dirty"))) / 1024

path, count, lookups = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
# Python takes memory in pieces of 1 MiB: each worker begins somewhere else in one.
ballast = [bytes(32) for _ in range(random.SystemRandom().randrange(1 << 14))]
before = private()
store = Store.open(path)
for number in random.Random(0).choices(range(count), k=lookups):
    assert store.variants(f"n{number % 1000:08d}/n{number % 1000:08d}_{number}.JPEG")
print("done", flush=True)
sys.stdin.readline()
print(private() - before, flush=True)
sys.stdin.readline()
"""


def private_memory(synthetic, lookups):
    """Let two workers look up as many random keys each; return the MB that each holds alone while both live."""
    command = [sys.executable, "-c", WORKER, str(synthetic.path), str(len(synthetic.keys)), str(lookups)]
    workers = [subprocess.Popen(command, stdin=-1, stdout=-1, text=True) for _ in range(2)]  # noqa: S603
    assert [worker.stdout.readline() for worker in workers] == ["done\n"] * 2
    megabytes = []
    for worker in workers:
        worker.stdin.write("measure\n")
        worker.stdin.flush()
        megabytes.append(float(worker.stdout.readline()))
    for worker in workers:
        worker.communicate("end\n")
    return megabytes


@pytest.mark.once
def test_private_memory_of_a_worker(measuring, stores):
    measured = list(stores)[
        : 1 if measuring.scale == "smoke" else None
    ]  # two processes that import everything for each
    megabytes = {count: [] for count in measured}

    def measure():
        for count in measured:
            megabytes[count] += private_memory(stores[count], LOOKUPS_OF_A_WORKER[measuring.scale])

    measuring.repeat(measure, rounds=1)
    for count in measured:
        index = (stores[count].path / "index" / "merged.idx").stat().st_size / 2**20
        private, line = Spread.of(megabytes[count]), at_a_million(WORKER_MEMORY, count)
        measuring.report("The store", "private memory of a worker", entries(count), private, unit="MB", line=line)
        measuring.report("The store", "its index", entries(count), Spread.of([index]), unit="MB")


def test_making_the_index(measuring, stores):
    """Sorting and writing it, once for each size when the stores were made."""
    measuring.repeat(lambda: None, rounds=1)
    for count, synthetic in stores.items():
        seconds = Spread.of([synthetic.indexing])
        measuring.report("The store", "make the merged index", entries(count), seconds, unit="s")


def test_by_the_number_of_parts(measuring, tmp_path):
    """As many entries in more and more parts: more than the store keeps open at once."""
    count, numbers = PARTS[measuring.scale]
    stores = {number: make_synthetic(tmp_path / f"{number}.dm", count, count // number) for number in numbers}
    readings = {f"{number:,} parts": reading(synthetic) for number, synthetic in stores.items()}
    openings = {f"open, {number}": partial(opening, synthetic.path) for number, synthetic in stores.items()}
    times = measuring.side_by_side({**readings, **openings}, time.perf_counter)
    for column, number in zip(readings, numbers, strict=True):
        read, opened = times.seconds(column, 1e6 / READS), times.seconds(f"open, {number}", 1e3)
        measuring.report("The store by its parts", "find and read an image", column, read, unit="us")
        measuring.report("The store by its parts", "open", column, opened, unit="ms")


def reading(synthetic):
    store = Store.open(synthetic.path)
    batches = [synthetic.sample(READS, seed) for seed in range(50)]
    return Rotating(lambda batch: [store.get(key, "0000") for key in batch], batches, alike=True)


def opening(path, _turn):
    return Store.open(path)


def test_the_first_look_ups(measuring, stores):
    """After the machine's start: the kernel is asked to forget the index, then it is opened again and asked."""
    *_, (count, synthetic) = stores.items()
    index = synthetic.path / "index" / "merged.idx"
    batches = [synthetic.sample(FIRST, seed) for seed in range(50)]

    def cold(turn):
        with index.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        store = Store.open(synthetic.path)
        start = time.perf_counter()
        for key in batches[turn % len(batches)]:
            store.variants(key)
        seconds.append((time.perf_counter() - start) / FIRST)

    seconds = []
    turns = itertools.count()
    measuring.repeat(lambda: cold(next(turns)))
    spread = Spread.of(1e6 * each for each in seconds)
    measuring.report("The store", f"the first {FIRST} look-ups, index not in memory", entries(count), spread, unit="us")


def test_reading_and_writing(measuring, tmp_path):
    """Real images of the usual size, and what the check of every read costs of it."""
    count = 50 if measuring.scale == "smoke" else 1000
    images = [b"\xff\xd8\xff" + random.Random(number).randbytes(IMAGE) for number in range(50)]
    written = [filled(tmp_path / f"{number}.dm", images, count) for number in range(WRITINGS)]
    store = written[-1].store
    records = list(store.records())
    random.Random(0).shuffle(records)
    times = measuring.side_by_side(
        {
            "read": Rotating(store.read, records, alike=True),
            "its check": Rotating(xxhash.xxh3_64_intdigest, images, alike=True),
        }
    )
    verify = [timed(lambda _: store.verify(), [None]) / count for _ in range(WRITINGS)]
    report = partial(measuring.report, "An image of 24 kB in the store", column="", unit="us")
    for name in ("read", "its check"):
        report(name, spread=times.seconds(name, 1e6))
    writing = {"put": [each.put for each in written], "seal": [each.seal for each in written]}
    for name, seconds in {**writing, "verify": verify}.items():
        report(name, spread=Spread.of(1e6 * each for each in seconds))


@pytest.fixture(scope="module")
def with_rejections(tmp_path_factory, request):
    """A store with verdicts beside the same one without: a tenth of the counterparts is rejected."""
    folder, count = tmp_path_factory.mktemp("rejections"), SIZES[request.config.getoption("scale")][-1]
    plain, chosen = (make_synthetic(folder / f"{name}.dm", count, distinct=True) for name in ("plain", "chosen"))
    return {"without verdicts": plain, "a tenth rejected": chosen}, reject_some(chosen, count // 10)


@pytest.mark.once
def test_opening_with_rejections(measuring, with_rejections):
    stores, seconds = with_rejections
    candidates = {name: partial(opening, synthetic.path) for name, synthetic in stores.items()}
    times = measuring.side_by_side(candidates, time.perf_counter, calls=10)
    count = len(stores["without verdicts"].keys)
    for name in stores:
        line, spread = at_a_million(OPEN, count), times.seconds(name, 1e3)
        measuring.report(f"Rejections, {entries(count)}", "open", name, spread, unit="ms", line=line)
    spread = Spread.of([1e6 * seconds / (count // 10)])
    measuring.report(f"Rejections, {entries(count)}", "reject one", "a tenth rejected", spread, unit="us")


@pytest.mark.once
def test_looking_up_with_rejections(measuring, with_rejections):
    stores, _ = with_rejections
    times = measuring.side_by_side({name: asking(look_up_kept, "a key", each) for name, each in stores.items()})
    count = len(stores["without verdicts"].keys)
    for name in stores:
        line, spread = at_a_million(LOOKUP, count), times.seconds(name, 1e6 / BATCH)
        measuring.report(f"Rejections, {entries(count)}", "look up a key", name, spread, unit="us", line=line)


def look_up_kept(store, key):
    return store.kept(store.variants(key))


class Written(NamedTuple):
    """A store, and the seconds that putting and sealing an image took."""

    store: Store
    put: float
    seal: float


def filled(path, images, count):
    """Write `count` images to a new store."""
    store = Store.create(path, Recipe("procedural", "f00d", ("snowy",)))
    writer, source = store.writer(), Source(375, 500, bytes(16))

    def put(number):
        name, image = f"class/{number}.jpg", images[number % len(images)]
        writer.put(name, "0000", image, prompt="snowy", seed=number, source=source)

    seconds = timed(put, range(count)), timed(lambda _: writer.seal(), [None]) / count
    store.merge()
    return Written(Store.open(path), *seconds)


def timed(function, arguments):
    """Seconds a call."""
    start = time.perf_counter()
    for argument in arguments:
        function(argument)
    return (time.perf_counter() - start) / len(arguments)

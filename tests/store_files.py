"""Stores to test with: small images whose bytes tell which they are, and ways to break files."""

import os
import random
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from albu_diffusemix.store import Recipe, Source, Store, Writer

RECIPE = Recipe({"name": "procedural", "strength": 0.5}, "f00d", ("snowy", "sunset"), size=64)
VARIANT = "0000"
HEAD, SAMPLE = 1024, 2560
"""Bytes of what a part begins with, its recipe, and of each picture in it."""
SOURCE = Source(4, 6, bytes(range(16)))


def picture(number: int, length: int = 900) -> bytes:
    """Bytes that start as a JPEG does and are different for each number."""
    return b"\xff\xd8\xff" + random.Random(number).randbytes(length)


def key_of(number: int) -> str:
    return f"class{number % 3}/{number:05d}.jpg"


def source_of(number: int) -> Source:
    return Source.of(np.full((2, 3, 3), number % 256, np.uint8) + np.arange(3, dtype=np.uint8) * (number // 256))


def put(writer: Writer, number: int, length: int = 900, prompt: str = "snowy") -> None:
    data = picture(number, length)
    writer.put(key_of(number), VARIANT, data, prompt=prompt, seed=number, source=source_of(number))


def make_store(path: Path, count: int = 6, parts: int = 1) -> Store:
    """A store of `count` pictures, dealt to its parts in order."""
    store = Store.create(path, RECIPE)
    for numbers in np.array_split(np.arange(count), parts):
        with store.writer() as writer:
            for number in numbers.tolist():
                put(writer, number)
    return Store.open(path)


def found(store: Store) -> set[int]:
    """The numbers of the pictures in a store, each read and compared with the truth; none may occur twice."""
    numbers = []
    for record in store.records():
        assert store.read(record) == picture(record.seed, record.location.length - 3)
        assert record.key == key_of(record.seed)
        assert store.variants(record.key) == [record]
        numbers.append(record.seed)
    assert len(numbers) == len(set(numbers))
    return set(numbers)


def part_file(path: Path, ending: str = ".tar", number: int = 0) -> Path:
    return sorted((path / "parts").glob(f"*{ending}"))[number]


def cut(file: Path, length: int) -> None:
    os.truncate(file, length)


def flip(file: Path, position: int) -> None:
    """Turn one bit of the byte at the position."""
    with file.open("r+b") as stream:
        stream.seek(position)
        byte = stream.read(1)[0]
        stream.seek(position)
        stream.write(bytes([byte ^ 0x10]))


def abandon(path: Path, count: int, torn: int = 0, start: int = 0) -> Path:
    """Leave an open part behind as a writer does that was killed after `count` pictures and `torn` bytes more."""
    writer = Store.open(path).writer()
    for number in range(start, start + count + 1):
        put(writer, number)
    file = part_file(path, ".tar.open")
    last = HEAD + (file.stat().st_size - HEAD) * count // (count + 1)
    writer._part.close()
    cut(file, last + torn)
    return file


@contextmanager
def quiet_fork() -> Iterator[None]:
    """Do without the warning of forks beside threads: the children do not use theirs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


@contextmanager
def child(work: Callable[[], None]) -> Iterator[int]:
    """Run the work in a forked process, which is killed at the end of the block if it still lives."""
    with quiet_fork():
        process = os.fork()
    if process == 0:
        try:
            work()
        finally:
            os._exit(0)
    try:
        yield process
    finally:
        kill(process)


def kill(process: int) -> None:
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)

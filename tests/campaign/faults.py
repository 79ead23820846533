"""Rounds of faults: one thing in a store is broken; it must be found and repaired, and never give a wrong image."""

import random
import shutil
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

from job_files import arguments

from albu_diffusemix.cli import main
from albu_diffusemix.store import Store, StoreError
from campaign.oracle import Truth, is_complete, pixels_of, wrong_images
from campaign.tally import Tally

Fault = Callable[[Path, random.Random], None]


def flip(file: Path, rng: random.Random) -> None:
    data = bytearray(file.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    file.write_bytes(data)


def cut(file: Path, rng: random.Random) -> None:
    file.write_bytes(file.read_bytes()[: rng.randrange(file.stat().st_size)])


def grow(file: Path, rng: random.Random) -> None:
    with file.open("ab") as stream:
        stream.write(rng.randbytes(rng.randrange(1, 5000)))


def zero(file: Path, rng: random.Random) -> None:
    size = file.stat().st_size
    at = rng.randrange(size)
    with file.open("r+b") as stream:
        stream.seek(at)
        stream.write(bytes(min(rng.choice([1, 512, 4096]), size - at)))


def empty(file: Path, rng: random.Random) -> None:  # noqa: ARG001  as the others
    file.write_bytes(b"")


def remove(file: Path, rng: random.Random) -> None:  # noqa: ARG001  as the others
    file.unlink()


def exchange(file: Path, rng: random.Random) -> None:
    """Put the bytes of another file of the same kind into it."""
    others = [other for other in file.parent.glob(f"*{file.suffix}") if other != file]
    if others:
        shutil.copy(rng.choice(others), file)
    else:
        flip(file, rng)


FAULTS: tuple[Fault, ...] = (flip, flip, flip, cut, grow, zero, empty, remove, exchange)


def round_of_faults(
    folder: Path, data: Path, sound: Path, truth: dict[tuple[str, str], list[Truth]], seed: int, tally: Tally
) -> None:
    """Break one thing in a copy of a sound store, and see what readers, verify, repair and the next run make of it."""
    rng = random.Random(seed)
    store = folder / "broken.dm"
    shutil.rmtree(store, ignore_errors=True)
    shutil.copytree(sound, store)
    index = store / "index/merged.idx"
    older = rng.choice([index.read_bytes(), (sound.parent / "older.idx").read_bytes(), b""])
    index.write_bytes(older) if older else index.unlink()
    file = rng.choice([store / "store.json", *sorted(store.glob("parts/*")), *sorted(store.glob("index/*"))])
    fault = rng.choice(FAULTS)
    before = file.read_bytes()
    fault(file, rng)
    if file.exists() and file.read_bytes() == before:
        return
    what = f"{fault.__name__} {file.relative_to(store)}, seed {seed}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        tally.wrong(wrong_reads(store, truth))
        found = is_found(store) or harmless(file, before)
        repaired = rng.random() < 0.5 or not (store / "store.json").exists() or "store.json" in what
        ended = not repaired or (quiet("repair", str(store)) in (0, 1) and lost(store, truth) <= may_lose(file, fault))
        ended = ended and quiet(*finishing(data, store)) == 0
        ended = ended and Store.open(store).verify() == [] and is_complete(store, truth)
    tally.wrong(wrong_images(store, truth))
    tally.fault(what, found=found, ended=ended)


def lost(path: Path, truth: dict[tuple[str, str], list[Truth]]) -> int:
    return len(truth) - sum(1 for _ in Store.open(path).records())


def may_lose(file: Path, fault: Fault) -> float:
    """How many images a repair may lose: those whose bytes were changed, and no others."""
    if file.suffix != ".tar":
        return 0
    return {flip: 1, zero: 3, grow: 0}.get(fault, float("inf"))


def finishing(data: Path, store: Path) -> list[str]:
    return arguments(data, store, "--per-image", 3)


def quiet(*command: str) -> int:
    """Run the command line in this process, with what it prints kept away."""
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        return main(list(command))


def wrong_reads(path: Path, truth: dict[tuple[str, str], list[Truth]]) -> int:
    """Read everything through the package; an error is allowed, a wrong image is not."""
    wrong = 0
    for key, variant in truth:
        try:
            data, record = Store.open(path).get(key, variant)
        except StoreError:
            continue
        wrong += Truth(record.prompt, record.seed, pixels_of(data)) != truth[key, variant][0]
    return wrong


def is_found(path: Path) -> bool:
    try:
        return bool(Store(path).verify())
    except StoreError:
        return True


def harmless(file: Path, before: bytes) -> bool:
    """Tell whether nothing is lost: store.json differs in white space alone, or there is no merged index."""
    if file.name == "merged.idx":
        return not file.exists()
    return file.name == "store.json" and file.exists() and file.read_bytes().split() == before.split()

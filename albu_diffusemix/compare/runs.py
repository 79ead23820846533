"""Runs of arms and seeds, one row of `results.jsonl` each: a row that is there is done, whoever made it."""

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple

from albu_diffusemix.atomic_files import write_atomically
from albu_diffusemix.compare.comparison import Comparison
from albu_diffusemix.compare.spec import Spec
from albu_diffusemix.text import parse_json

__all__ = ["Results", "Run", "pending", "run_all"]

Row = dict[str, Any]

_SHARED = "comparison.json"


class Run(NamedTuple):
    """An arm and a seed."""

    arm: str
    seed: int


class Results:
    """The folder of a comparison.

    Args:
        folder: Made where it is not there.
        shard: Name of this shard, which then has a file of its own.

    """

    def __init__(self, folder: Path, shard: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._file = folder / f"results{shard}.jsonl"

    def rows(self) -> dict[Run, Row]:
        """Return the rows of all shards, the last of each arm and seed. A line that a kill cut off is passed over."""
        found: dict[Run, Row] = {}
        for path in sorted(self.folder.glob("results*.jsonl")):
            for line in path.read_bytes().splitlines():
                try:
                    row = parse_json(line)
                    found[Run(row["arm"], row["seed"])] = row
                except (ValueError, KeyError, TypeError):
                    continue
        return found

    def append(self, row: Row) -> None:
        """Add a row and see it onto the disk; a disk that is full leaves the file as it was."""
        line = json.dumps(row, allow_nan=False).encode() + b"\n"
        with self._file.open("ab+") as file:
            end = file.seek(0, os.SEEK_END)
            try:
                file.write(line if not end or _ends_line(file, end) else b"\n" + line)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                os.ftruncate(file.fileno(), end)
                raise

    def made_with(self) -> dict[str, Any]:
        """Return what the rows share, and what those of each arm do; empty for a new folder."""
        path = self.folder / _SHARED
        return dict(parse_json(path.read_bytes())) if path.exists() else {}

    def refuse_other(self, comparison: Comparison) -> None:
        """Keep what rows share beside them; refuse a spec that would put rows beside those of another.

        Raises:
            ValueError: The spec differs from that of the rows in more than its seeds and its set of arms.

        """
        arms = {name: comparison.arm(name) for name in comparison.spec.arms}
        now = json.loads(json.dumps({"shared": comparison.shared(), "arms": arms}))
        before = self.made_with() or {"shared": now["shared"], "arms": {}}
        for where, old, new in _differences(before["shared"], now["shared"]):
            raise ValueError(
                f"{self.folder} has rows of another spec ({where}: {old} there, {new} now): give another -o"
            )
        done = {run.arm for run in self.rows()}
        for name in done & set(now["arms"]):
            for where, old, new in _differences(before["arms"].get(name, {}), now["arms"][name]):
                raise ValueError(
                    f"{self.folder} has rows of another arm {name!r} ({where}: {old} there, {new} now): "
                    "give the arm another name, or another -o"
                )
        kept = {**now, "arms": {**before["arms"], **now["arms"]}}
        write_atomically(self.folder / _SHARED, lambda file: file.write(json.dumps(kept, indent=1).encode()))


def pending(
    spec: Spec, rows: dict[Run, Row], shard: tuple[int, int] = (0, 1), *, retry_failed: bool = False
) -> list[Run]:
    """Return the runs that are still to be made: seed by seed, so that every arm of a seed is there early."""
    every = [Run(arm, seed) for seed in spec.seeds for arm in spec.arms]
    mine = [run for number, run in enumerate(every) if number % shard[1] == shard[0]]
    return [run for run in mine if run not in rows or (retry_failed and "failed" in rows[run])]


def run_all(
    comparison: Comparison, runs: list[Run], workers: int, epoch_ended: Callable[[int], object]
) -> Iterator[Row]:
    """Make runs, in this process or in several, and yield their rows as they are done.

    Args:
        comparison: Where it is opened already.
        runs: What to make.
        workers: Processes.
        epoch_ended: Is told how many epochs were trained.

    Raises:
        ValueError: A worker was killed.

    """
    if workers == 1:
        for run in runs:
            yield comparison.run(*run, ended=lambda _: epoch_ended(1))
        return
    context = multiprocessing.get_context("spawn")
    given = (comparison.spec, comparison.threads)
    with ProcessPoolExecutor(min(workers, len(runs) or 1), context, _open, given) as pool:
        try:
            for future in as_completed([pool.submit(_run, run) for run in runs]):
                yield future.result()
                epoch_ended(comparison.spec.train.epochs)
        except BrokenProcessPool as error:
            raise ValueError("a worker was killed, perhaps as memory was short: run the same command again") from error
        except BaseException:
            for process in multiprocessing.active_children():
                process.terminate()
            raise


_opened: list[Comparison] = []


def _open(spec: Spec, threads: int) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that writes the rows
    _opened[:] = [Comparison(spec, threads, checked=True)]


def _end_with_parent() -> None:
    """End this worker when the process that writes the rows was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run(run: Run) -> Row:
    return _opened[0].run(*run)


def _ends_line(file: Any, end: int) -> bool:
    file.seek(end - 1)
    return bool(file.read(1) == b"\n")


def _differences(old: Any, new: Any, where: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in old | new:
            yield from _differences(old.get(name), new.get(name), f"{where}.{name}" if where else str(name))
    elif old != new:
        yield where, old, new

"""Runs of arms and seeds, one row of `results.jsonl` each: a row that is there is done, whoever made it."""

import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple

from albu_diffusemix.atomic_files import write_atomically
from albu_diffusemix.compare.comparison import Comparison
from albu_diffusemix.compare.data import refuse_leaks
from albu_diffusemix.compare.spec import Spec
from albu_diffusemix.text import parse_json
from albu_diffusemix.worker_processes import follow_parent

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
        """Add a row and see it onto the disk; what a kill or a full disk cut off before stays a line of its own."""
        line = json.dumps(row, allow_nan=False).encode() + b"\n"
        with self._file.open("ab+") as file:
            file.seek(0)
            file.write(line if file.read()[-1:] in (b"", b"\n") else b"\n" + line)
            file.flush()
            os.fsync(file.fileno())

    def made_with(self) -> dict[str, Any]:
        """Return what the rows share, and what those of each arm do; empty for a new folder."""
        path = self.folder / _SHARED
        return dict(parse_json(path.read_bytes())) if path.exists() else {}

    def begin(self, comparison: Comparison) -> None:
        """Keep what rows share beside them, unless a leak or rows of another spec forbid to go on.

        Raises:
            OSError: An image cannot be opened.
            ValueError: An image is trained on and validated on too, or cannot be read; or the spec differs from that of
                the rows in more than its seeds and its set of arms.

        """
        now = json.loads(json.dumps(comparison.described()), object_hook=_without_store)
        before = self.made_with() or {"shared": now["shared"], "arms": {}}
        done = {run.arm for run in self.rows()} & now["arms"].keys()
        self._refuse_change("spec", before["shared"], now["shared"], "give")
        for name in done:
            self._refuse_change(
                f"arm {name!r}", before["arms"].get(name, {}), now["arms"][name], "give the arm another name, or"
            )
        files = comparison.sets.files()
        if files is None or files != before.get("files_without_leaks"):
            refuse_leaks(comparison.sets, comparison.pixels)
        kept = {**now, "arms": {**before["arms"], **now["arms"]}, "files_without_leaks": files}
        write_atomically(self.folder / _SHARED, lambda file: file.write(json.dumps(kept, indent=1).encode()))

    def _refuse_change(self, what: str, before: Any, now: Any, advice: str) -> None:
        for where, old, new in _differences(before, now):
            changed = f"{where}: {old} there, {new} now"
            raise ValueError(f"{self.folder} has rows of another {what} ({changed}): {advice} another -o")


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
            yield comparison.run(*run, epoch_ended=lambda: epoch_ended(1))
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
    follow_parent()
    _opened[:] = [Comparison(spec, threads, checked=True)]


def _run(run: Run) -> Row:
    return _opened[0].run(*run)


def _without_store(plain: dict[str, Any]) -> dict[str, Any]:
    """Leave out the path of a store: one that was moved is the same, and its fingerprint stands beside."""
    return {name: value for name, value in plain.items() if name != "store"}


def _differences(old: Any, new: Any, where: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in old | new:
            yield from _differences(old.get(name), new.get(name), f"{where}.{name}" if where else str(name))
    elif old != new:
        yield where, old, new

"""Rounds of kills: a run is killed at a random moment, again and again, while others read and verify; then it ends."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from job_files import arguments, bytes_written, children, environment

from albu_diffusemix.store import Store
from campaign.oracle import Truth, is_complete, wrong_images
from campaign.tally import Tally

READER = """
import json, random, sys
from pathlib import Path
from campaign.oracle import pixels_of
from albu_diffusemix.store import Store
truth = {(key, variant): pixels for key, variant, pixels in json.loads(Path(sys.argv[2]).read_text())}
rng = random.Random(int(sys.argv[3]))
print("ready", flush=True)
while sys.stdin.readline():
    store = Store.open(sys.argv[1])
    records = list(store.records())
    for record in rng.sample(records, min(20, len(records))):
        assert pixels_of(store.read(record)) == truth[record.key, record.variant], record
    assert not [p for p in store.verify() if "writer is dead" not in str(p)], store.verify()
    print(len(records), flush=True)
"""


class Reader:
    """A process that reads and verifies a store each time that it is asked to."""

    def __init__(self, folder: Path, store: Path, truth_file: Path, seed: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", READER, store, truth_file, str(seed)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(folder),
        )
        self._process.stdout.readline()

    def ask(self) -> bool:
        """Have it read; tells whether all was right."""
        try:
            self._process.stdin.write("read\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return False
        return self._process.stdout.readline().strip().isdigit()

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def round_of_kills(
    folder: Path, data: Path, truth: dict[tuple[str, str], list[Truth]], truth_file: Path, seed: int, tally: Tally
) -> None:
    """Make a store by a run that is killed several times, and compare it with the truth."""
    rng = random.Random(seed)
    store = folder / "killed.dm"
    fixed = ("--per-image", 3, "--workers", rng.choice([1, 2, 2]))
    reader: Reader | None = None
    for _ in range(rng.randrange(1, 4)):
        process = start_run(folder, data, store, *fixed)
        wait_for_writing(process, store, rng)
        if reader is None and (store / "store.json").exists():
            reader = Reader(folder, store, truth_file, seed)
        if reader is not None:
            tally.reads(reader.ask())
        tally.kill(kill_something(process, rng))
        if reader is not None:
            tally.reads(reader.ask())
    end = start_run(folder, data, store, *fixed, delay=0.0)
    output = end.communicate()[0]
    if reader is not None:
        tally.reads(reader.ask())
        reader.close()
    tally.wrong(wrong_images(store, truth))
    tally.ended(
        end.returncode == 0 and is_complete(store, truth) and Store.open(store).verify() == [],
        f"kills, seed {seed}: exit {end.returncode}; {output[-400:]}",
    )


def start_run(folder: Path, data: Path, store: Path, *more: object, delay: float = 0.02) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "campaign.run_main", *arguments(data, store, *more, delay=delay)],
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_for_writing(process: subprocess.Popen[str], store: Path, rng: random.Random) -> None:
    """Wait until more was written, and a moment longer; or not at all, to hit what happens at the start."""
    before = bytes_written(store)
    if rng.random() < 0.2:
        time.sleep(rng.uniform(0, 3))
        return
    while process.poll() is None and bytes_written(store) <= before:
        time.sleep(0.002)
    time.sleep(rng.uniform(0, 0.5))


def kill_something(process: subprocess.Popen[str], rng: random.Random) -> str:
    """Kill one worker, or the supervisor, or all at once; then wait until all are gone."""
    workers = children(process) if process.poll() is None else []
    what = rng.choice(["worker", "supervisor", "all"]) if workers else "all"
    if what == "worker":
        kill(rng.choice(workers))
        time.sleep(rng.uniform(0, 0.3))
        kill(process.pid)
    else:
        for pid in [process.pid, *(workers if what == "all" else [])]:
            kill(pid)
    process.communicate()
    return what


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)

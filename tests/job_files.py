"""Data sets and runs for the tests of the generation job."""

import json
import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np

from albu_diffusemix._host import HOST
from albu_diffusemix.cli import main
from albu_diffusemix.generate import GenerateOptions, make_plan, run
from albu_diffusemix.store import Store

TESTS = Path(__file__).parent
SIZE = 32


class Silent:
    """A reporter that keeps what it hears."""

    def __init__(self):
        self.outcomes, self.keys, self.notes = [], [], []

    def outcome(self, outcome):
        self.outcomes.append(outcome)

    def done(self, key):
        self.keys.append(key)

    def note(self, text):
        self.notes.append(text)


def make_data(folder, count, shape=(48, 64)):
    """Noisy images `class<n>/<number>.png`, each different."""
    for number in range(count):
        rng = np.random.default_rng(number)
        coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        path = folder / f"class{number % 3}" / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_LINEAR))
    return folder


def spec(**options):
    return {"name": "negative", **options}


def options_of(data, store, **options):
    given = {"backend": spec(), "size": SIZE, "modules": ("job_backends",), **options}
    return GenerateOptions(data=data, store_path=store, **given)


def make(data, store, reporter=None, stop=None, **options):
    """Run the job in this process; returns its summary."""
    return run(make_plan(options_of(data, store, **options)), reporter or Silent(), stop or threading.Event())


def arguments(data, store, *more, **backend):
    """The command line that makes the same."""
    fixed = ["--backend", json.dumps(spec(**backend)), "--size", str(SIZE), "--import", "job_backends"]
    return ["generate", str(data), "-o", str(store), *fixed, *map(str, more)]


def generate(data, store, *more, **backend):
    return main(arguments(data, store, *more, **backend))


def environment(folder):
    """For subprocesses: the tests' modules, and no torch, which nobody here needs but AlbumentationsX."""
    (folder / "no_torch").mkdir(exist_ok=True)
    if HOST == "albumentations":
        (folder / "no_torch/torch.py").write_text("raise ImportError('not in this test')")
    path = os.pathsep.join([str(folder / "no_torch"), str(TESTS)])
    return {**os.environ, "PYTHONPATH": path, "NO_ALBUMENTATIONS_UPDATE": "1", "PYTHONWARNINGS": "default"}


def start(folder, command, *, file_bytes=resource.RLIM_INFINITY):
    """Start the command line in a process of its own, with a limit on the size of files.

    Coverage could not write its own file within such a limit, so it is not taken there.
    """
    limited = file_bytes != resource.RLIM_INFINITY
    names = environment(folder)
    return subprocess.Popen(
        [sys.executable, "-c", "import sys; from albu_diffusemix.cli import main; sys.exit(main())", *command],
        env={name: value for name, value in names.items() if not (limited and name.startswith("COVERAGE"))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, resource.RLIM_INFINITY)),  # noqa: PLW1509  no threads here
    )


def wait_for(condition, process):
    """Wait until the condition holds, or the process has ended."""
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.005)


def bytes_written(store):
    return sum(path.stat().st_size for path in Path(store).glob("parts/*.tar*"))


def content(store):
    """Everything that matters in a store, with each image read and compared with its check."""
    opened = Store.open(store)
    assert opened.verify() == []
    records = list(opened.records())
    found = {
        (record.key, record.variant): (record.prompt, record.seed, record.source, opened.read(record))
        for record in records
    }
    assert len(found) == len(records)
    return found


def failures(store):
    return {(record.key, record.variant): record.reason for record in Store.open(store).failures()}


def images_so_far(store):
    return Store.open(store).status().images


def children(process):
    """The worker processes of a run."""
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def is_running(worker):
    try:
        return b"generate.local_worker" in Path(f"/proc/{worker}/cmdline").read_bytes()
    except OSError:
        return False

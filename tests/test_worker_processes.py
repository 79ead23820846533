"""Processes that work for another end with it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from albu_diffusemix import worker_processes

WORK = """
import os, time
from pathlib import Path

from worker_processes import map_in_order  # alone, since the package takes seconds to import


def start(folder):
    def work(_):
        (folder / f"{os.getpid()}.pid").touch()
        time.sleep(300)

    return work


if __name__ == "__main__":
    import steps

    list(map_in_order(steps.start, (Path.cwd(),), range(4), 2))
"""


def is_running(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_workers_end_with_a_process_that_was_killed(tmp_path):
    (tmp_path / "steps.py").write_text(WORK)
    environment = {**os.environ, "PYTHONPATH": str(Path(worker_processes.__file__).parent)}
    process = subprocess.Popen([sys.executable, "steps.py"], cwd=tmp_path, env=environment)
    while len(list(tmp_path.glob("*.pid"))) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    workers = [int(file.stem) for file in tmp_path.glob("*.pid")]
    process.send_signal(signal.SIGKILL)
    process.wait()
    end = time.monotonic() + 60
    while any(map(is_running, workers)) and time.monotonic() < end:
        time.sleep(0.01)
    assert not any(map(is_running, workers))

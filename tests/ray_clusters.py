"""Ray clusters for the tests: several raylets on this machine, each with a working directory of its own."""

import contextlib
import os
import threading
import time

from job_files import environment, make

PATIENCE = 60
"""Seconds, for what takes a few."""

FAST = {"health_check_initial_delay_ms": 1000, "health_check_period_ms": 1000, "health_check_failure_threshold": 5}


@contextlib.contextmanager
def cluster_of(patch, folder, *cpus):
    """Start a head without CPUs and a node for each of the numbers, elsewhere than where the tests run."""
    for name, value in environment(folder).items():
        patch.setenv(name, value)
    patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    patch.delenv("RAY_ADDRESS", raising=False)
    from ray.cluster_utils import Cluster  # noqa: PLC0415  an extra, slow to import

    with elsewhere(folder):
        head = {"num_cpus": 0, "include_dashboard": False, "include_log_monitor": False, "_system_config": FAST}
        cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for count in cpus:
            add_node(cluster, folder, num_cpus=count)
        yield cluster
    finally:
        cluster.shutdown()


def add_node(cluster, folder, **arguments):
    with elsewhere(folder):
        return cluster.add_node(**{"num_cpus": 1, **arguments})


@contextlib.contextmanager
def elsewhere(folder):
    """What is started within starts in a folder where nothing lies."""
    before = os.getcwd()  # noqa: PTH109  chdir takes it back
    empty = folder / "elsewhere"
    empty.mkdir(exist_ok=True)
    os.chdir(empty)
    try:
        yield
    finally:
        os.chdir(before)


def lines_beside_the_bar(err):
    """Return what a command printed on stderr beside its bar and the number of actors that a slow machine placed."""
    lines = [line for line in err.splitlines() if line.strip() and "image" not in line]
    return [line for line in lines if "actors placed" not in line]


class Background:
    """A call in a thread; `result` gives what it returned or raises what it raised."""

    def __init__(self, function, *args, **options):
        self._outcome = []
        self._thread = threading.Thread(target=self._run, args=(function, args, options), daemon=True)
        self._thread.start()

    def _run(self, function, args, options):
        try:
            self._outcome.append((function(*args, **options), None))
        except Exception as error:  # noqa: BLE001  raised where it is asked for
            self._outcome.append((None, error))

    def poll(self):
        """As of a process, for `wait_for`."""
        return None if self._thread.is_alive() else 0

    def communicate(self):
        return self._outcome

    def result(self):
        self._thread.join(PATIENCE)
        value, error = self._outcome[0]
        if error is not None:
            raise error
        return value


def finish_here(data, store):
    """Run the local engine, as soon as the actors that are left have seen that their driver is gone."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return make(data, store)
        except ValueError as error:
            if "is being written by a live process" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.5)

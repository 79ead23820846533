"""Of two runs that would make the same counterparts one runs and the other is refused, whatever the timing."""

import fcntl
import os
import signal

import pytest
from job_files import arguments, content, environment, generate, make, make_data, start, wait_for

from albu_diffusemix.store import StoreError
from albu_diffusemix.store.run_lock import RUNS, hold_run

COUNT = 12
DOING = "wait for it"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("runs") / "data", COUNT)


@pytest.fixture
def store(tmp_path):
    return tmp_path / "flowers.dm"


@pytest.fixture
def starting(tmp_path):
    """Start the command line; what still runs at the end of the test is killed."""
    processes = []

    def begin(*command):
        processes.append(start(tmp_path, arguments(*command, delay=0.2)))
        return processes[-1]

    environment(tmp_path)
    yield begin
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("workers", [1, 2])
def test_of_two_runs_that_start_together_one_is_refused(data, store, starting, tmp_path, workers):
    make(data, tmp_path / "whole.dm")
    processes = [starting(data, store, "--workers", workers) for _ in range(2)]
    ends = [process.communicate() for process in processes]
    assert sorted(process.returncode for process in processes) == [0, 2]
    [refused] = [err for process, (_, err) in zip(processes, ends, strict=True) if process.returncode == 2]
    assert "is being written by a live process (the whole store): wait for it, or share the work out" in refused
    assert content(store) == content(tmp_path / "whole.dm")
    assert not (store / RUNS).exists()


def test_shards_that_have_no_source_in_common_run_together(data, store, starting, tmp_path):
    make(data, tmp_path / "whole.dm")
    processes = [starting(data, store, "--shard", shard) for shard in ("0/2", "1/2")]
    for process in processes:
        assert process.wait() == 0, process.communicate()[1]
    assert content(store) == content(tmp_path / "whole.dm")


def test_a_run_that_was_killed_keeps_nobody_out(data, store, starting):
    process = starting(data, store)
    wait_for((store / "store.json").exists, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert generate(data, store) == 0
    assert not (store / RUNS).exists()


def test_a_dry_run_is_allowed_while_another_run_writes(data, store, starting):
    process = starting(data, store)
    wait_for((store / "store.json").exists, process)
    assert generate(data, store, "--dry-run") == 0


@pytest.mark.parametrize(
    ("one", "other"),
    [((0, 1), (0, 1)), ((0, 1), (3, 7)), ((0, 2), (0, 2)), ((0, 2), (2, 4)), ((1, 4), (3, 6)), ((0, 2), (2, 3))],
)
def test_shards_that_have_sources_in_common_are_refused(tmp_path, one, other):
    shared = set(range(one[0], 84, one[1])) & set(range(other[0], 84, other[1]))
    assert shared
    refused = pytest.raises(StoreError, match=r"is being written by a live process \(.*\): wait for it")
    with hold_run(tmp_path, one, DOING, 0), refused, hold_run(tmp_path, other, DOING, 0):
        pass


@pytest.mark.parametrize(("one", "other"), [((0, 2), (1, 2)), ((0, 2), (3, 4)), ((1, 6), (2, 4)), ((5, 8), (6, 8))])
def test_shards_that_have_no_source_in_common_are_not_refused(tmp_path, one, other):
    assert not set(range(one[0], 96, one[1])) & set(range(other[0], 96, other[1]))
    with hold_run(tmp_path, one, DOING, 0), hold_run(tmp_path, other, DOING, 0):
        assert len(list((tmp_path / RUNS).glob("*.lock"))) == 2


def test_a_run_leaves_no_lock_behind_and_no_folder_where_there_was_none(tmp_path):
    with hold_run(tmp_path / "new.dm", (0, 1), DOING, 0):
        assert (tmp_path / "new.dm" / RUNS).exists()
    assert list(tmp_path.iterdir()) == []


def test_where_there_are_no_locks_nobody_is_kept_out(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with hold_run(tmp_path, (0, 1), DOING, 0), hold_run(tmp_path, (0, 1), DOING, 0):
        pass

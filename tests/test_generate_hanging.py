"""Disks that do not answer, backends that do not return, and signals in such a time."""

import shutil
import signal
import threading
from pathlib import Path

import pytest
from job_files import (
    Silent,
    arguments,
    children,
    content,
    failures,
    images_so_far,
    is_running,
    make,
    make_data,
    options_of,
    start,
    wait_for,
)

from albu_diffusemix.datasets import items
from albu_diffusemix.generate import make_plan, read_ahead, run
from albu_diffusemix.images import read_image

COUNT = 12


@pytest.fixture
def data(tmp_path):
    return make_data(tmp_path / "data", COUNT)


@pytest.fixture
def store(tmp_path):
    return tmp_path / "flowers.dm"


@pytest.fixture
def hang(monkeypatch):
    """Let reads of some files hang until the end of the test: late after 0.2 seconds, lost after `lost`."""
    end = threading.Event()

    def begin(keys, lost):
        def read(path):
            if "/".join(Path(path).parts[-2:]) in keys:
                end.wait()
            return read_image(path)

        monkeypatch.setattr(items, "read_image", read)
        monkeypatch.setattr(read_ahead, "_LATE", 0.2)
        monkeypatch.setattr(read_ahead, "_LOST", lost)

    yield begin
    end.set()


@pytest.fixture
def running(tmp_path):
    """Start a run in a process of its own; it is killed at the end of the test."""
    processes = []

    def begin(*more, **backend):
        processes.append(start(tmp_path, arguments(*more, **backend)))
        return processes[-1]

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


def with_hanging_files(data, count):
    for number in range(count):
        shutil.copy(data / "class0/000.png", data / f"class0/{number}-hang.png")


@pytest.mark.parametrize("count", [1, 10])
def test_files_that_cannot_be_read_in_time_are_failures_and_all_others_are_made(data, store, hang, count):
    keys = [source.key for source in make_plan(options_of(data, store)).sources]
    hang(keys[:count], lost=1)
    summary = make(data, store)
    assert (summary.made, summary.failed) == (COUNT - count, count)
    assert failures(store) == {(key, "0000"): "not read within 1 seconds" for key in keys[:count]}


def test_what_was_not_read_in_time_is_tried_again_by_the_next_run(data, store, tmp_path, hang):
    hang(["class1/001.png"], lost=0.5)
    make(data, store)
    hang([], lost=0.5)
    assert make_plan(options_of(data, store)).pending == 1
    assert make(data, store).failed == 0
    make(data, tmp_path / "whole.dm")
    assert content(store) == content(tmp_path / "whole.dm")


def test_others_are_made_before_a_file_that_hangs_is_given_up(data, store, hang):
    class Stopping(Silent):
        def outcome(self, outcome):
            super().outcome(outcome)
            if len(self.outcomes) == COUNT - 1:
                stop.set()

    hang(["class0/000.png"], lost=1e6)
    stop = threading.Event()
    summary = make(data, store, Stopping(), stop)
    assert (summary.made, summary.failed, summary.interrupted) == (COUNT - 1, 0, True)
    assert "class0/000.png" not in {key for key, _ in content(store)}


def test_a_file_that_is_read_late_is_made_after_the_others(data, store, hang, monkeypatch):
    class Waking(Silent):
        def outcome(self, outcome):
            super().outcome(outcome)
            if len(self.outcomes) == COUNT - 1:
                awake.set()

    awake = threading.Event()
    hang([], lost=1e6)
    monkeypatch.setattr(
        items, "read_image", lambda path: (Path(path).name != "000.png" or awake.wait(60)) and read_image(path)
    )
    reporter = Waking()
    run(make_plan(options_of(data, store)), reporter)
    assert [outcome.key for outcome in reporter.outcomes][-1] == "class0/000.png"
    assert len(content(store)) == COUNT


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_first_signal_seals_what_can_be_made_while_files_hang(data, store, running, workers, number):
    make(data, store.with_name("whole.dm"))
    with_hanging_files(data, 10)
    process = running(data, store, "--import", "hanging_reads", "--workers", workers)
    wait_for(lambda: (store / "store.json").exists() and images_so_far(store) == COUNT, process)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert list((store / "parts").glob("*.open")) == []
    assert content(store) == content(store.with_name("whole.dm"))


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_all_processes_though_a_backend_hangs_in_each(data, store, running, workers, number):
    log = store.with_name("log")
    process = running(data, store, "--workers", workers, hang_on="class", batch_size=1, log=str(log))
    wait_for(lambda: log_of(store).count("\n") == workers, process)
    process.send_signal(number)
    wait_for_word("finishing", process)
    started = children(process)
    assert len(started) == (workers if workers > 1 else 0)
    process.send_signal(number)
    assert process.wait(timeout=60) == 130
    wait_until_gone(started)


@pytest.mark.parametrize(("second", "status"), [(signal.SIGTERM, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_workers_that_were_told_to_stop_and_hang_end_with_their_supervisor(data, store, running, second, status):
    process = running(data, store, "--workers", 2, hang_on="/003", batch_size=1, log=str(store.with_name("log")))
    wait_for(lambda: "/003" in log_of(store), process)
    process.send_signal(signal.SIGTERM)
    wait_for_word("finishing", process)
    wait_for(lambda: len(children(process)) == 1, process)  # the other one has sealed its part
    started = children(process)
    process.send_signal(second)
    assert process.wait(timeout=60) == status
    wait_until_gone(started)


def log_of(store):
    log = Path(store.with_name("log"))
    return log.read_text() if log.exists() else ""


def wait_for_word(word, process):
    line = "begin"
    while word not in line:
        assert line, "the process has ended"
        line = process.stderr.readline()


def wait_until_gone(processes):
    ended = threading.Event()
    for _ in range(600):
        if not any(map(is_running, processes)):
            return
        ended.wait(0.1)
    pytest.fail("workers are still there")

import json
import os
import random
import re
import signal
import subprocess
import sys
import time

import pytest
from job_files import (
    arguments,
    bytes_written,
    children,
    content,
    environment,
    failures,
    generate,
    images_so_far,
    is_running,
    make,
    make_data,
    options_of,
    start,
    wait_for,
)

from albu_diffusemix.cli import main
from albu_diffusemix.generate.job import open_job

COUNT = 40
SLOW = 0.02  # seconds an image, so that there is time to kill
RECIPE_BYTES = 1024  # what a part has before its first image


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("crash") / "data", COUNT)


@pytest.fixture(scope="module")
def whole(data):
    """What an uninterrupted run makes."""
    store = data.parent / "whole.dm"
    make(data, store)
    return content(store)


@pytest.fixture
def store(tmp_path):
    return tmp_path / "flowers.dm"


@pytest.fixture
def running(data, store, tmp_path):
    """Start a slow run, and wait until it writes; it is killed at the end of the test."""
    processes = []

    def run(*more, **backend):
        before = bytes_written(store)
        processes.append(start(tmp_path, arguments(data, store, *more, **{"delay": SLOW, **backend})))
        wait_for(lambda: bytes_written(store) > before + RECIPE_BYTES, processes[-1])
        return processes[-1]

    yield run
    for process in processes:
        process.kill()
        process.communicate()


def test_a_run_that_is_killed_again_and_again_ends_as_an_uninterrupted_one(data, store, running, whole):
    kept = 0
    for number in range(3):
        process = running(delay=5 * SLOW)
        time.sleep(random.Random(number).uniform(0, 0.25))
        process.kill()
        process.wait()
        assert images_so_far(store) >= kept
        kept = images_so_far(store)
    assert 0 < kept < COUNT
    assert generate(data, store) == 0
    assert content(store) == whole


def test_the_next_run_counts_what_a_killed_one_left_as_present(data, store, running, capsys):
    process = running()
    process.kill()
    process.wait()
    kept = images_so_far(store)
    assert generate(data, store) == 0
    assert f"{COUNT} wanted, {kept} present, {COUNT - kept} to be made" in capsys.readouterr().out


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGINT, 1), (signal.SIGTERM, 1), (signal.SIGINT, 2)])
def test_a_polite_signal_finishes_the_batch_seals_and_ends_with_130(data, store, running, whole, number, workers):
    process = running("--workers", workers, log=str(store.with_name("log")))
    process.send_signal(number)
    out, err = process.communicate()
    assert process.returncode == 130, err
    assert "Interrupted; run the same command again" in out
    assert "finishing the batches in progress" in err
    assert "Traceback" not in err
    assert list((store / "parts").glob("*.open")) == []
    assert f"Made {len(content(store))} counterparts" in out
    assert {key for key, _ in content(store)} == set(store.with_name("log").read_text().split())
    assert generate(data, store) == 0
    assert content(store) == whole


def test_a_second_ctrl_c_ends_at_once_and_what_was_acknowledged_stays(data, store, running, whole):
    process = running(delay=0.2)
    process.send_signal(signal.SIGINT)
    for line in process.stderr:
        if "finishing" in line:
            process.send_signal(signal.SIGINT)
            break
    _, err = process.communicate()
    assert process.returncode == 130
    assert "albu-diffusemix: interrupted" in err
    assert "Traceback" not in err
    assert images_so_far(store) > 0
    assert generate(data, store) == 0
    assert content(store) == whole


def test_a_worker_that_is_killed_is_replaced_and_its_work_is_done_again(store, running, whole):
    process = running("--workers", 2)
    os.kill(children(process)[0], signal.SIGKILL)
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert "a worker died (signal 9); another takes its place" in err
    assert content(store) == whole


def test_all_workers_may_be_killed_at_once(store, running, whole):
    process = running("--workers", 2)
    for child in children(process):
        os.kill(child, signal.SIGKILL)
    assert process.communicate()[1].count("a worker died") == 2
    assert process.returncode == 0
    assert content(store) == whole


def test_a_source_that_kills_its_workers_is_a_failure_and_all_others_are_made(data, store, tmp_path, whole):
    process = start(tmp_path, arguments(data, store, "--workers", 2, die_on="/031"))
    out, err = process.communicate()
    assert process.returncode == 1, err
    assert err.count("a worker died") == 3
    assert failures(store) == {("class1/031.png", "0000"): "its worker died 3 times (signal 9)"}
    assert "failed: class1/031.png 0000" in out
    assert content(store) == {place: row for place, row in whole.items() if place[0] != "class1/031.png"}


def test_workers_that_all_die_end_the_run(data, store, tmp_path):
    process = start(tmp_path, arguments(data, store, "--workers", 2, "--limit", 30, die_on="class"))
    _, err = process.communicate()
    assert process.returncode == 2
    assert "workers died 9 times (signal 9) and nothing was made in between" in err
    assert "Traceback" not in err


def test_workers_end_when_their_supervisor_is_killed(data, store, running, whole):
    process = running("--workers", 2)
    orphans = children(process)
    process.kill()
    process.communicate()
    assert generate(data, store) == 0
    assert not any(map(is_running, orphans))
    assert content(store) == whole


def test_a_worker_with_nothing_to_do_ends_when_its_supervisor_is_gone(data, store, tmp_path):
    command = [sys.executable, "-m", "albu_diffusemix.generate.local_worker"]
    job = json.dumps(["job", open_job(options_of(data, store)).options.to_json()])
    done = subprocess.run(
        command, input=job + "\n", env=environment(tmp_path), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert done.stdout == ""


def test_a_worker_that_cannot_work_ends_the_run_with_its_own_words(data, store, tmp_path):
    process = start(tmp_path, arguments(data, store, "--workers", 2, fail_on="class"))
    _, err = process.communicate()
    assert process.returncode == 2
    assert "albu-diffusemix: error: backend " in err
    assert "RuntimeError: cannot do class" in err
    assert "Traceback" not in err


def test_status_can_be_asked_while_a_run_is_under_way(store, running, capsys):
    running()
    assert main(["status", str(store)]) == 0
    out = capsys.readouterr().out
    assert re.search(r"Images: [1-9]\d* of [1-9]", out)
    assert re.search(r"In progress: part-00000 \(writer alive\): [1-9]\d* images", out)

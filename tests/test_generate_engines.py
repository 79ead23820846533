import os

import pytest

from albu_diffusemix.datasets import SourceFile
from albu_diffusemix.generate import local_engine
from albu_diffusemix.generate.work_queue import WorkQueue

SOURCES = [SourceFile(f"/data/{name}", name) for name in "abcdef"]


def test_sources_are_handed_out_in_order_and_once():
    queue = WorkQueue(SOURCES)
    assert queue.take(4, idle=True) + queue.take(4, idle=False) == SOURCES
    assert queue.take(4, idle=True) == []
    assert len(queue) == 0


def test_what_a_dead_worker_had_in_progress_comes_first_again():
    queue = WorkQueue(SOURCES)
    queue.died(queue.take(3, idle=True), "signal 9")
    assert queue.take(6, idle=False) == SOURCES


def test_after_two_deaths_a_source_is_handed_out_alone_and_to_an_idle_worker_only():
    queue = WorkQueue(SOURCES)
    for _ in range(2):
        queue.died(queue.take(2, idle=True), "signal 9")
    assert queue.take(6, idle=False) == []
    assert queue.take(6, idle=True) == SOURCES[:1]
    assert queue.take(6, idle=True) == SOURCES[1:2]
    assert queue.take(6, idle=False) == SOURCES[2:]


def test_a_third_death_has_one_culprit_and_its_neighbour_is_made():
    queue = WorkQueue(SOURCES[:2])
    for _ in range(2):
        queue.died(queue.take(2, idle=True), "signal 9")
    queue.take(1, idle=True)
    queue.died(SOURCES[:1], "signal 9")
    assert queue.abandoned == [(SOURCES[0], "its worker died 3 times (signal 9)")]
    assert queue.take(6, idle=True) == SOURCES[1:2]


def test_deaths_without_anything_made_end_the_run_and_something_made_counts_again():
    queue = WorkQueue(SOURCES)
    for _ in range(8):
        queue.died([], "signal 9")
    queue.made()
    for _ in range(8):
        queue.died([], "signal 9")
    with pytest.raises(ValueError, match=r"workers died 9 times \(signal 9\) and nothing was made"):
        queue.died([], "signal 9")


@pytest.mark.parametrize(
    ("visible", "expected"),
    [("0,1", ["0", "1", "0"]), ("GPU-a,GPU-b,GPU-c", ["GPU-a", "GPU-b", "GPU-c"]), ("3", ["3"] * 3), ("", [""] * 3)],
)
def test_each_worker_sees_one_of_several_gpus(monkeypatch, visible, expected):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    seen = [{**os.environ, **local_engine._environment(number)}["CUDA_VISIBLE_DEVICES"] for number in range(3)]
    assert seen == expected


def test_without_the_variable_the_installed_gpus_are_shared_out(monkeypatch, tmp_path):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'GPU 0: One (UUID: a)'\necho 'GPU 1: Two (UUID: b)'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [local_engine._environment(number)["CUDA_VISIBLE_DEVICES"] for number in range(3)] == ["0", "1", "0"]
    program.write_text("#!/bin/sh\nexit 9\n")
    assert "CUDA_VISIBLE_DEVICES" not in local_engine._environment(0)

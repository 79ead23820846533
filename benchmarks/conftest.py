"""One comparison a benchmark, measured at the scale asked for, reported in tables at the end of the run."""

import functools
import os
import platform
import subprocess
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import cpuinfo
import cv2
import numpy as np
import psutil
import pytest
import torch

from benchmarks.lines import Line
from benchmarks.report import ROWS, TIMES, Results, Row, whole_report
from benchmarks.side_by_side import SideBySide, Spread, Times

SCALES = {"smoke": (1, 0.0), "usual": (3, 0.3), "full": (5, 0.6)}
"""Rounds of a process, and seconds a round."""
LONG, ROUNDS_OF_LONG = 0.8, 2
"""Seconds of a round from which on there are fewer of them."""

_rows = pytest.StashKey[list[Row]]()
_start = pytest.StashKey[tuple[float, float]]()


def pytest_addoption(parser):
    parser.addoption(
        "--scale", choices=SCALES, default="usual", help="how much to measure: smoke only shows that it runs"
    )


def pytest_configure(config):
    config.stash[_rows] = []
    config.stash[_start] = _times_of_others()
    config.addinivalue_line("markers", "by_scale(name, smoke=, usual=, full=): values of a parameter at each scale")
    config.addinivalue_line("markers", "once: takes long, and is the same in each process, so one of them measures it")


def pytest_generate_tests(metafunc):
    for mark in metafunc.definition.iter_markers("by_scale"):
        metafunc.parametrize(mark.args[0], mark.kwargs[metafunc.config.getoption("scale")])


def pytest_collection_modifyitems(items):
    """Begin with what users ask first: the rates of loaders, then what a call costs from a store."""
    first = ("test_loader", "test_from_store")
    items.sort(key=lambda item: next((place for place, name in enumerate(first) if name in item.nodeid), len(first)))


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


class Measuring:
    """What one benchmark measures and reports."""

    def __init__(self, benchmark, config) -> None:
        self._benchmark = benchmark
        self._rows = config.stash[_rows]
        self.scale = config.getoption("scale")

    def side_by_side(
        self,
        candidates: Mapping[str, Callable[[int], Any]],
        clock: Callable[[], float] = time.thread_time,
        calls: int | None = None,
        rounds: int | None = None,
    ) -> Times:
        """Measure the candidates in rounds, which pytest-benchmark drives and times as well."""
        usual_rounds, round_seconds = SCALES[self.scale]
        comparison = SideBySide(candidates, round_seconds, clock, calls)
        rounds = rounds or (ROUNDS_OF_LONG if comparison.round_seconds > LONG else usual_rounds)
        self.repeat(comparison.round, rounds)
        return comparison.times()

    def repeat(self, work: Callable[[], Any], rounds: int | None = None) -> None:
        """Let pytest-benchmark call it once a round."""
        usual = SCALES[self.scale][0]
        self._benchmark.pedantic(work, rounds=min(usual, rounds or usual))

    def report(
        self, table: str, name: str, column: str, spread: Spread, *, unit: str = TIMES, line: Line | None = None
    ) -> None:
        """Put one figure into a table."""
        row = Row(table, name, column, spread, unit, line)
        self._rows.append(row)
        self._benchmark.extra_info.setdefault(ROWS, []).append(row.as_json())


@pytest.fixture
def measuring(benchmark, request):
    return Measuring(benchmark, request.config)


def pytest_benchmark_update_machine_info(config, machine_info):
    machine_info["versions"] = machine(config)


def machine(config):
    """Versions, and how many cores other processes kept busy: the more, the less two runs agree."""
    return {**versions(), "other processes kept": others_busy(config)}


@functools.cache
def versions():
    """The machine, and everything whose version moves a figure."""
    return {
        "": f"{_processor()}, {len(os.sched_getaffinity(0))} cores",
        "Python": platform.python_version(),
        _host(): metadata.version(_host()),
        "albucore": metadata.version("albucore"),
        "OpenCV": cv2.__version__,
        "NumPy": np.__version__,
        "Pillow": metadata.version("pillow"),
        "simplejpeg": metadata.version("simplejpeg"),
        "torch": torch.__version__,
        "albu-diffusemix": f"{metadata.version('albu-diffusemix')} {_commit()}",
    }


def pytest_terminal_summary(terminalreporter, config):
    rows = config.stash[_rows]
    if not rows or config.getoption("benchmark_json"):  # a file is read again, with those of other processes
        return
    terminalreporter.write_line(whole_report(Results(rows, machine(config))))


def others_busy(config):
    (before, start), (after, end) = config.stash[_start], _times_of_others()
    return f"{max(0.0, after - before) / max(end - start, 1e-3):.1f} cores busy"


def _times_of_others():
    """Processor seconds of everybody but us and our children, and the time."""
    whole, own = psutil.cpu_times(), os.times()
    return sum(whole) - whole.idle - getattr(whole, "iowait", 0) - sum(own[:4]), own.elapsed


def _processor():
    return cpuinfo.get_cpu_info().get("brand_raw", platform.machine())


def _host():
    installed = {(each.metadata["Name"] or "").lower() for each in metadata.distributions()}
    return "albumentationsx" if "albumentationsx" in installed else "albumentations"


def _commit():
    command = ["git", "describe", "--always", "--dirty"]
    described = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return described.stdout.strip()

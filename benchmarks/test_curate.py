"""Scoring with a free scorer, against a bare loop that reads and decodes the same sources and counterparts.

The bare work runs twice: in one loop, as a script would do it, and in as many threads as scoring has. Beside it scoring
hashes each source's pixels, measures, and writes the figures.
"""

import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from albu_diffusemix.curate import ScoreOptions, plan_scores, run_scores
from albu_diffusemix.datasets import find_sources
from albu_diffusemix.generate import GenerateOptions, make_plan, run
from albu_diffusemix.generate.sheet import decode_record
from albu_diffusemix.store import Store
from benchmarks.lines import SCORING
from benchmarks.test_job import Deaf, make_folder

COUNT, ROUNDS = {"smoke": 8, "usual": 300, "full": 1000}, 3


@pytest.mark.by_scale("clock", smoke=["wall"], usual=["wall", "processor"], full=["wall", "processor"])
@pytest.mark.parametrize("kind", ["pixels", "edges"])
def test_a_free_scorer_against_bare_reading_and_decoding(measuring, tmp_path, kind, clock):
    count, folder = COUNT[measuring.scale], tmp_path / "photographs"
    make_folder(folder, count)
    run(make_plan(GenerateOptions(folder, tmp_path / "s.dm", "free", size=256)), Deaf(), threading.Event())
    store, sources = Store.open(tmp_path / "s.dm"), find_sources(folder, tmp_path / "s.dm")

    def bare(source):
        source.read()
        for record in store.variants(source.key):
            decode_record(store, record)

    def in_threads():
        with ThreadPoolExecutor(max(2, len(os.sched_getaffinity(0)))) as pool:
            list(pool.map(bare, sources))

    def scoring(_turn):
        plan = plan_scores(store, sources, ScoreOptions(kind))
        assert run_scores(plan, lambda *_: None, threading.Event()).scored == count
        shutil.rmtree(store.path / "scores")

    bare_work = {
        "one loop": lambda _turn: [bare(source) for source in sources],
        "threads": lambda _turn: in_threads(),
    }
    times = measuring.side_by_side(
        {**bare_work, "scoring": scoring},
        time.perf_counter if clock == "wall" else time.process_time,
        calls=1,
        rounds=ROUNDS,
    )
    for name in bare_work:
        line = SCORING if clock == "wall" and name == "one loop" else None
        table = "Scoring's rate, bare reading and decoding = 1"
        measuring.report(table, f"{kind}, against {name}", f"{clock} time", times.ratio(name, "scoring"), line=line)

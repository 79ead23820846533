"""Draws under the stacks that people train with: two ranks, two workers, two epochs, each with numbers of its own."""

import json
import multiprocessing
import subprocess
import sys
from pathlib import Path

import albumentations as A
import datasets
import numpy as np
import pytest
import torch
from training_ranks import EPOCHS, LENGTH, RANKS, stacks

from albu_diffusemix import FractalBlend
from albu_diffusemix._host import HOST, worker_seed
from albu_diffusemix.tracing import trace

IMAGE = np.zeros((1, 1, 3), np.uint8)


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What each rank drew, twice, under each stack."""
    folder = tmp_path_factory.mktemp("ranks")
    program = Path(__file__).with_name("training_ranks.py")
    ranks = [
        subprocess.Popen([sys.executable, program, str(rank), folder], stderr=subprocess.PIPE, text=True)
        for rank in range(RANKS)
    ]
    for rank in ranks:
        _, err = rank.communicate(timeout=300)
        assert rank.returncode == 0, err
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(RANKS)]


IN_PLACE = "ours in place of the framework's"
HOSTS_STACKS = [stack for stack in stacks(0) if HOST == "albumentations" or stack != IN_PLACE]
"""AlbumentationsX seeds its workers itself, from torch's seed alone."""


@pytest.mark.parametrize("stack", HOSTS_STACKS)
def test_all_draws_of_ours_differ_whatever_seeds_the_workers(answers, stack):
    ours = [alpha for rank in answers for alpha, _ in rank[stack][0]]
    assert len(set(ours)) == len(ours) == EPOCHS * LENGTH


@pytest.mark.parametrize("stack", [stack for stack in HOSTS_STACKS if "ours" in stack])
def test_all_native_draws_differ_where_our_init_function_is_called_last(answers, stack):
    native = [brightness for rank in answers for _, brightness in rank[stack][0]]
    assert len(set(native)) == len(native) == EPOCHS * LENGTH


@pytest.mark.parametrize("told", [{"RANK": "1"}, {"LOCAL_RANK": "1"}])
def test_a_spawned_worker_learns_its_rank_from_the_environment(monkeypatch, told):
    monkeypatch.setattr(torch.utils.data, "get_worker_info", lambda: "a worker")
    for name in ("RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    alone = worker_seed()
    assert alone == torch.initial_seed()
    for name, rank in told.items():
        monkeypatch.setenv(name, rank)
    assert worker_seed() != alone


@pytest.mark.parametrize("stack", stacks(0))
def test_a_rerun_draws_the_same(answers, stack):
    for rank in answers:
        first, second = rank[stack]
        assert [alpha for alpha, _ in first] == [alpha for alpha, _ in second]


def drawn_after_a_fork(pipeline):
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=lambda: sender.send(alphas_of(pipeline)))
    child.start()
    alphas = receiver.recv()
    child.join()
    return alphas


def alphas_of(pipeline):
    with trace() as calls:
        for _ in range(4):
            pipeline(image=IMAGE)
    return [call.params["alpha"] for call in calls]


@pytest.mark.skipif(HOST != "albumentations", reason="AlbumentationsX hands our transforms its own numbers")
@pytest.mark.parametrize("used_before", [False, True])
def test_processes_that_are_not_workers_of_a_loader_draw_their_own_numbers(used_before):
    pipeline = A.Compose([FractalBlend(alpha_range=(0, 1), p=1)])
    if used_before:
        alphas_of(pipeline)
    draws = [*drawn_after_a_fork(pipeline), *drawn_after_a_fork(pipeline), *alphas_of(pipeline)]
    assert len(set(draws)) == len(draws)


@pytest.mark.skipif(HOST != "albumentations", reason="AlbumentationsX hands our transforms its own numbers")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # datasets forks where threads run
def test_the_processes_of_a_map_draw_their_own_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path))
    pipeline = A.Compose([FractalBlend(alpha_range=(0, 1), p=1)])

    def augment(row):
        with trace() as calls:
            pipeline(image=IMAGE)
        return {**row, "alpha": calls[0].params["alpha"]}

    numbers = datasets.Dataset.from_dict({"number": list(range(LENGTH))})
    drawn = numbers.map(augment, num_proc=2, new_fingerprint="drawn")["alpha"]
    assert len(set(drawn)) == LENGTH


def test_a_seeded_pipeline_draws_the_same_in_every_process():
    def fresh():
        return A.Compose([FractalBlend(alpha_range=(0, 1), p=1)], seed=3)

    assert drawn_after_a_fork(fresh()) == drawn_after_a_fork(fresh()) == alphas_of(fresh())

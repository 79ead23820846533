"""The paper's tables as specs: all of them load, every arm trains, and their numbers are the paper's."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from paper_files import FOLDER, SPECS, make_tiny, on_tiny_data, small

sys.path.append(str(Path(__file__).parents[1]))

from albu_diffusemix.compare.spec import Model, read_spec
from benchmarks.paper import metrics
from benchmarks.paper.wide_resnet import wide_resnet_40_4

TABLES = {"2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "17", "18"}
FIGURES = {"5", "6", "8"}
SMALL = Model(name="small_resnet", options={"width": 2})


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return make_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(autouse=True)
def data_folder(monkeypatch):
    monkeypatch.setenv("DATA", "/nowhere")


@pytest.fixture(scope="module", params=SPECS, ids=lambda path: path.stem)
def ran(request, tiny, tmp_path_factory):
    """A spec on tiny data, and what each of its arms measured after one step."""
    with pytest.MonkeyPatch.context() as changed:
        changed.setenv("DATA", "/nowhere")
        small_spec = small(request.param, tmp_path_factory.mktemp("spec"))
        comparison = on_tiny_data(small_spec, tiny, model=SMALL)
        return comparison.spec, [comparison.run(arm, 0, most_steps=1) for arm in comparison.spec.arms]


def test_every_arm_of_a_spec_takes_a_step(ran):
    _, rows = ran
    assert [row.get("failed") for row in rows] == [None] * len(rows)
    assert {row["steps"] for row in rows} == {1}


def test_published_numbers_are_named_as_the_metrics_are(ran):
    spec, rows = ran
    published = {name for numbers in spec.paper.numbers.values() for name in numbers}
    assert published <= rows[0]["metrics"].keys()


def test_every_table_and_figure_that_compares_trainings_has_a_spec():
    found = [re.match(r"(table|figure)_(\d+)", path.stem).groups() for path in SPECS]
    assert {number for kind, number in found if kind == "table"} == TABLES
    assert {number for kind, number in found if kind == "figure"} == FIGURES


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_the_index_starts_every_spec_by_one_command(path):
    index = (FOLDER / "README.md").read_text()
    assert f"albu-diffusemix compare benchmarks/paper/{path.name} -o results/{path.stem}" in index


def test_baselines_of_table_4_are_clean_errors():
    cells = [
        (error["fgsm_error"], numbers(f"table_2_{name}")[method]["top1"])
        for name in ("cifar100", "tiny_imagenet")
        for method, error in numbers(f"table_4_{name}").items()
        if method != "diffusemix"
    ]
    assert len(cells) == 11
    assert sum(abs(error - (100 - top1)) < 0.005 for error, top1 in cells) == 10


def numbers(name):
    return read_spec(FOLDER / f"{name}.yaml").paper.numbers


def test_a_wide_resnet_of_40_layers_has_40_convolutions():
    model = wide_resnet_40_4(100)
    assert sum(isinstance(each, torch.nn.Conv2d) for each in model.modules()) == 40
    assert sum(weights.numel() for weights in model.parameters()) == pytest.approx(8.95e6, rel=0.01)


class Evaluation:
    """Images, and a model that reads its answer from them."""

    device = torch.device("cpu")

    def __init__(self, images):
        self.images = images

    def batches(self):
        yield self.images

    def floats(self, images):
        return images

    def logits(self, model, pixels):
        return model(pixels)


class Outcome:
    def __init__(self, model, images, labels=None):
        self.model, self.evaluation, self.labels = model, Evaluation(images), labels
        self.logits = model(images)


def bright(pixels):
    """Whether an image is brighter than half, with a margin that grows."""
    brightness = pixels.mean((1, 2, 3))
    return torch.stack([0.5 - brightness, brightness - 0.5], 1) * 50


def test_an_answer_that_never_changes_is_consistent():
    assert metrics.consistency(Outcome(bright, torch.full((4, 3, 16, 16), 0.2))) == {"flip_probability": 0}


def test_an_answer_that_changes_once_counts_once():
    images = torch.full((1, 3, 16, 16), 0.475)  # a sequence that gets brighter by 0.01 a frame crosses 0.5 once
    flips = metrics.changed(Outcome(bright, images), images, metrics.brighter, 10)
    assert flips.sum() == 1


def test_under_noise_answers_are_compared_with_the_first():
    images = torch.zeros((1, 3, 16, 16))
    answers = iter([0, 1, 1, 0])

    def model(_):
        return torch.nn.functional.one_hot(torch.tensor([next(answers)]), 2).float()

    outcome = Outcome(bright, images)
    outcome.model = model
    assert metrics.changed(outcome, images, metrics.noisy, 4).tolist() == [True, True, False]


def test_an_adversary_moves_pixels_as_far_as_it_may_and_no_further():
    near, far = torch.full((1, 3, 4, 4), 0.505), torch.full((1, 3, 4, 4), 0.52)
    outcome = Outcome(bright, torch.cat([near, far]), torch.tensor([1, 1]))
    assert metrics.adversaries(outcome, epsilon=0.01, step=0.002, steps=20) == {"pgd_error": 50}


def test_confidence_in_images_alone_tells_anomalies_apart():
    def sure_of_gray(pixels):
        spread = pixels.std((1, 2, 3))
        return torch.stack([torch.ones_like(spread) * 10 - 50 * spread.clamp(0, 0.1), torch.zeros_like(spread)], 1)

    outcome = Outcome(sure_of_gray, torch.full((8, 3, 16, 16), 0.5))
    assert metrics.anomalies(outcome) == {"auroc": 100}


def test_every_kind_of_anomaly_is_drawn_within_the_range_of_pixels():
    for draw in metrics.ANOMALIES:
        drawn = draw(np.random.default_rng(0), (2, 3, 16, 16))
        assert drawn.shape == (2, 3, 16, 16)
        assert drawn.min() >= 0
        assert drawn.max() <= 1
        assert drawn.std() > 0.1

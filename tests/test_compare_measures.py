import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from albu_diffusemix.compare.corruptions import CORRUPTIONS
from albu_diffusemix.compare.data import Pixels
from albu_diffusemix.compare.evaluation import Evaluation, Outcome, divided_at_normalize, measure
from albu_diffusemix.compare.report import paired
from albu_diffusemix.compare.training import jsd_loss, mix_batch
from albu_diffusemix.datasets import SourceFile
from albu_diffusemix.images import write_image
from albu_diffusemix.pipelines import open_pipeline

CPU = torch.device("cpu")


class Brighter(nn.Module):
    """Says class 1 of images whose mean, as Normalize gives it, is above zero."""

    def forward(self, images):
        mean = images.mean((1, 2, 3))
        return torch.stack([-mean, mean], 1)


def evaluation_of(folder, grays, labels, steps=({"Normalize": {"mean": 0.5, "std": 0.5}},)):
    """Images of one gray each, with their classes."""
    sources = []
    for number, gray in enumerate(grays):
        path = folder / f"{number}.png"
        write_image(path, np.full((8, 8, 3), gray, np.uint8))
        sources.append(SourceFile(str(path), path.name))
    return Evaluation(sources, torch.tensor(labels), divided_at_normalize(open_pipeline(list(steps))), Pixels(), CPU)


def measured(evaluation, model, **metrics):
    outcome = Outcome(evaluation.predict(model), evaluation.labels, ["dark", "bright"], model, evaluation)
    return measure(outcome, metrics)


def test_top_1_and_negative_log_likelihood_are_those_computed_by_hand(tmp_path):
    evaluation = evaluation_of(tmp_path, [0, 255, 255], [0, 1, 0])
    metrics = measured(evaluation, Brighter(), top1={}, top5={}, nll={})
    right, wrong = -math.log(1 / (1 + math.exp(-2))), -math.log(1 / (1 + math.exp(2)))  # logits are -1 and 1
    assert metrics == pytest.approx({"top1": 200 / 3, "top5": 100, "nll": (2 * right + wrong) / 3})


def test_fgsm_moves_pixels_before_normalize_by_epsilon_and_no_further(tmp_path):
    grays = [128 - 20, 128 + 4, 128 + 20]  # the first is dark; the gradient moves each to the other side
    evaluation = evaluation_of(tmp_path, grays, [0, 1, 1])
    for epsilon, error in ((3 / 255, 0), (5 / 255, 100 / 3), (21 / 255, 100)):
        assert measured(evaluation, Brighter(), fgsm={"epsilon": epsilon})["fgsm_error"] == pytest.approx(error)


def test_fgsm_does_not_leave_the_range_of_pixels(tmp_path):
    class FarFromBlack(Brighter):
        def forward(self, images):  # only a pixel below 0 would change the answer
            return super().forward(images + 1 + 1e-3)

    evaluation = evaluation_of(tmp_path, [0], [1])
    assert measured(evaluation, FarFromBlack(), fgsm={"epsilon": 0.5})["fgsm_error"] == 0


def test_calibration_errors_are_those_computed_by_hand():
    chances = torch.tensor([[0.9, 0.1]] * 4 + [[0.4, 0.6]] * 6)
    labels = torch.tensor([0, 0, 0, 1, 1, 1, 1, 0, 0, 0])  # right in 75 % at 0.9, in 50 % at 0.6
    outcome = Outcome(chances.log(), labels, ["a", "b"], Brighter(), None)
    metrics = measure(outcome, {"calibration": {"bins": 10}})
    assert metrics["ece"] == pytest.approx(100 * (0.4 * 0.15 + 0.6 * 0.1), abs=1e-3)
    assert metrics["rms_calibration"] == pytest.approx(100 * math.sqrt(0.4 * 0.15**2 + 0.6 * 0.1**2), abs=1e-3)


def test_an_evaluation_sees_what_the_whole_pipeline_gives(tmp_path):
    steps = [{"Resize": {"height": 4, "width": 6}}, {"Normalize": {"mean": [0.1, 0.2, 0.3], "std": [0.5, 0.6, 0.7]}}]
    evaluation = evaluation_of(tmp_path, [7, 200], [0, 1], steps)
    [batch] = evaluation.batches()
    normalized = evaluation.logits(lambda images: images, evaluation.floats(batch))
    whole = open_pipeline(steps)(image=np.full((8, 8, 3), 200, np.uint8))["image"].transpose(2, 0, 1)
    assert normalized[1].numpy() == pytest.approx(whole, abs=1e-5)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corruptions_grow_with_severity_and_are_the_same_each_time(tmp_path, name, photograph):
    write_image(tmp_path / "0.png", photograph)
    source = SourceFile(str(tmp_path / "0.png"), "0.png")
    seen = divided_at_normalize(open_pipeline(["Normalize"]))
    changes = []
    for severity in (1, 3, 5):
        one, two = (
            next(Evaluation([source], torch.tensor([0]), seen, Pixels(), CPU).batches((name, severity)))
            for _ in range(2)
        )
        assert torch.equal(one, two)
        changes.append(np.abs(one[0].numpy().transpose(1, 2, 0).astype(float) - photograph).mean())
    assert 0 < changes[0] < changes[1] < changes[2]


def test_errors_under_corruptions_are_means_over_severities_and_kinds(tmp_path):
    evaluation = evaluation_of(tmp_path, [80, 200], [0, 1])  # the first is bright at severity 5 only
    metrics = measured(evaluation, Brighter(), corruptions={"names": ["brightness", "blur"], "severities": [1, 5]})
    assert metrics == {"error_brightness": 25.0, "error_blur": 0.0, "corruption_error": 12.5}


def test_an_interval_is_the_one_computed_by_hand_over_the_seeds_that_both_have():
    difference = paired({0: 11.0, 1: 12.0, 2: 13.0, 3: 50.0}, {0: 10.0, 1: 10.0, 2: 10.0, 4: 0.0})
    half = 4.303 / math.sqrt(3)  # the differences are 1, 2 and 3
    assert difference[:4] == pytest.approx((2, 2 - half, 2 + half, 3), abs=1e-3)
    assert not difference.shown
    assert difference.needed == 4  # t is 3.182 there, half of which is below 2; with three it is 2.48


def test_one_seed_has_no_interval_and_shows_nothing():
    difference = paired({0: 1.0}, {0: 0.0})
    assert (difference.mean, difference.seeds, difference.shown) == (1, 1, False)


def test_without_a_true_difference_about_one_interval_in_twenty_leaves_out_zero():
    rng = np.random.default_rng(0)
    shown = [paired(dict(enumerate(rng.normal(size=5))), dict.fromkeys(range(5), 0.0)).shown for _ in range(400)]
    assert 0.03 < np.mean(shown) < 0.07


def test_cutmix_pastes_a_box_and_mixes_targets_by_its_area():
    images = torch.arange(3.0).view(1, 3, 1, 1, 1).expand(2, 3, 3, 20, 30)
    targets = torch.eye(3)
    for seed in range(20):
        mixed, ratios = mix_batch("cutmix", images, targets, 1.0, np.random.default_rng(seed))
        assert torch.equal(mixed[0], mixed[1])
        for number, label in itertools.product(range(3), range(3)):
            assert (mixed[0, number] == label).float().mean() == pytest.approx(float(ratios[number, label]), abs=1e-5)


def test_mixup_blends_images_and_targets_in_one_ratio():
    images = torch.tensor([0.0, 1.0]).view(1, 2, 1, 1, 1).expand(1, 2, 3, 4, 4)
    mixed, ratios = mix_batch("mixup", images, torch.eye(2), 1.0, np.random.default_rng(1))
    assert torch.allclose(mixed[0].mean((1, 2, 3)), ratios[:, 1])
    assert ratios.sum(1).tolist() == pytest.approx([1, 1])


def test_the_divergence_of_views_is_zero_where_they_agree_and_the_logarithm_of_their_number_where_they_do_not():
    sure = 50 * torch.eye(3)
    assert float(jsd_loss(sure[None].expand(3, 3, 3))) == pytest.approx(0, abs=1e-6)
    apart = torch.stack([sure, sure.roll(1, 1), sure.roll(2, 1)])
    assert float(jsd_loss(apart)) == pytest.approx(math.log(3), abs=1e-5)

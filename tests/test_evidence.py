"""The evidence page: it says what the committed rows say, for every arm and metric, and calls filters filters."""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

sys.path.append(str(Path(__file__).parents[1]))

from albu_diffusemix.compare.report import Findings
from albu_diffusemix.compare.runs import Run
from albu_diffusemix.compare.spec import check_spec, read_spec
from albu_diffusemix.images import read_image, write_image
from benchmarks.evidence import fetch, models, page
from benchmarks.evidence.__main__ import FULL, NEEDS, USUAL, store_of

ROOT = Path(__file__).parents[1]
SPECS = sorted(page.FOLDER.glob("*.yaml"))


def findings(**values):
    """Findings of arms that reached these accuracies, seed by seed."""
    arms = {name: {"pipeline": [{"Normalize": {}}]} for name in values}
    given = {"title": "Cats, a model", "data": "cats", "split": {"per_class": 1}, "seeds": 3, "arms": arms}
    spec = check_spec({**given, "reference": next(iter(values))}, "spec", Path())
    rows = {
        Run(name, seed): {
            "arm": name,
            "seed": seed,
            "metrics": {"top1": value, "nll": 1.0},
            "curve": [],
            "seconds": {"training": 1.0},
        }
        for name, reached in values.items()
        for seed, value in enumerate(reached)
    }
    return Findings(spec, rows)


def cells(found, arm):
    (line,) = (line for line in page.table(found) if line.startswith(f"| {arm} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_table_has_every_arm_and_every_metric():
    lines = list(page.table(findings(plain=[50, 60, 70], mixed=[50, 60, 71])))
    assert lines[0] == "| | top1, mean (sd) | top1 ↑ | nll ↓ |"
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["plain", "mixed"]


def test_a_difference_has_half_of_its_interval():
    # Differences 1, 2, 3: mean 2, deviation 1, t of two degrees of freedom 4.303, by sqrt(3).
    assert cells(findings(plain=[50, 60, 70], mixed=[51, 62, 73]), "mixed")[2] == "+2 ± 2.5"


def test_only_a_difference_whose_interval_leaves_out_zero_is_bold():
    found = findings(plain=[50, 60, 70], better=[55, 65, 75.1], equal=[50, 60, 70], unclear=[50, 70, 65])
    bold = {arm: cells(found, arm)[2].startswith("**") for arm in ("better", "equal", "unclear")}
    assert bold == {"better": True, "equal": False, "unclear": False}


def test_the_reference_has_its_own_means():
    assert cells(findings(plain=[50, 60, 70], mixed=[1, 2, 3]), "plain")[1:] == ["60.0 (10.0)", "60", "1"]


def test_a_comparison_that_was_cut_off_says_how_many_seeds_it_has(monkeypatch):
    monkeypatch.setattr(page, "picture", lambda name, _: f"pictures/{name}.png")
    assert "2 of 3 seeds so far" in page.section("cats", findings(plain=[50, 60, 70], mixed=[1, 2]))
    assert "so far" not in page.section("cats", findings(plain=[50, 60, 70], mixed=[1, 2, 3]))


def test_every_picture_is_drawn_and_its_caption_says_that_filters_are_not_diffusion(monkeypatch, tmp_path):
    monkeypatch.setattr(page, "PICTURES", tmp_path)
    section = page.section("cats", findings(plain=[50, 60, 70], mixed=[1, 2, 3]))
    assert cv2.imread(str(tmp_path / "evidence_cats.png")) is not None
    (caption,) = (line for line in section.splitlines() if line.startswith("*Paired"))
    assert "They are not diffusion" in caption


def test_the_page_says_what_the_committed_rows_say(monkeypatch):
    monkeypatch.setattr(page, "picture", lambda name, _: f"pictures/evidence_{name}.png")
    text = (ROOT / page.PAGE).read_text()
    for name in (*USUAL, *FULL):
        found = page.findings_of(name)
        if found.rows:
            assert page.section(name, found) in text
            assert (ROOT / page.PICTURES / f"evidence_{name}.png").is_file()


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_committed_rows_are_those_of_the_committed_spec(path):
    found = page.findings_of(path.stem)
    if not found.rows:
        pytest.skip("not run yet")
    shared = json.loads((page.RESULTS / path.stem / "comparison.json").read_text())["shared"]
    spec = found.spec.model_dump(mode="json")
    assert {name: shared[name] for name in ("split", "model", "train", "metrics")} == {
        name: spec[name] for name in ("split", "model", "train", "metrics")
    }


def test_every_spec_is_run_by_one_of_the_two_commands():
    assert {path.stem for path in SPECS} == {*USUAL, *FULL}


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_the_data_and_the_store_of_a_spec_are_those_that_are_fetched_and_made(path):
    spec = read_spec(path)
    first, *others = NEEDS.get(path.stem, ("stamps",))
    assert Path(spec.data.path).name == first
    assert [Path(spec.validation.path).name] * bool(spec.validation) == others if spec.validation else not others
    assert {Path(arm.store).name for arm in spec.arms.values() if arm.store} == {f"{store_of(path.stem)}.dm"}
    assert {first, *others} <= fetch.DATA.keys()


def test_an_image_lies_in_the_middle_of_gray():
    square = fetch.on_gray(np.zeros((50, 100, 3), np.uint8))
    assert square.shape == (128, 128, 3)
    rows, columns = (np.flatnonzero((square != fetch.GRAY).any(axis=(axis, 2))) for axis in (1, 0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (36, 91, 8, 119)


def test_numbers_are_written_thirty_a_class(tmp_path):
    labels = np.arange(400) % 10
    fetch.write_numbers(tmp_path, np.full((400, 8, 8), 300.0), labels)
    assert [len(list((tmp_path / str(label)).iterdir())) for label in range(10)] == [30] * 10
    assert read_image(tmp_path / "0/0000.png").max() == 255


def test_data_that_a_kill_left_half_made_is_made_again(tmp_path):
    def stopped(folder):
        write_image(folder / "wrong.png", np.zeros((4, 4, 3), np.uint8))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch.once(tmp_path / "data", stopped)
    folder = fetch.once(tmp_path / "data", lambda folder: folder.mkdir())
    assert list(folder.iterdir()) == []


class Blocks(torch.nn.Module):
    """Named as the parts of EfficientNet are."""

    def __init__(self):
        super().__init__()
        self._conv_stem = torch.nn.Conv2d(3, 4, 1)
        self._blocks = torch.nn.ModuleList(torch.nn.Conv2d(4, 4, 1) for _ in range(16))
        self._bn1 = torch.nn.BatchNorm2d(4)

    def forward(self, images):
        return images


def test_first_blocks_and_normalization_stay_as_they_are():
    model = models.FineTuned(Blocks()).train()
    learned = [name for name, weights in model.named_parameters() if weights.requires_grad]
    assert {name.split(".")[2] for name in learned} == {str(number) for number in range(9, 16)}
    assert not any(part.training for part in model.modules() if isinstance(part, torch.nn.BatchNorm2d))

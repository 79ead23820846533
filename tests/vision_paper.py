"""The paper's specs with their real models and crops: every arm takes a step, on images of noise."""

import sys
from pathlib import Path

import pytest
from paper_files import SPECS, make_tiny, on_tiny_data

sys.path.append(str(Path(__file__).parents[1]))

from albu_diffusemix.compare.spec import read_spec


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return make_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_every_arm_of_a_spec_takes_a_step_with_the_real_model(path, tiny, monkeypatch):
    monkeypatch.setenv("DATA", "/nowhere")
    model = read_spec(path).model
    options = {name: value for name, value in model.options.items() if name != "pretrained"}  # a download
    comparison = on_tiny_data(path, tiny, model=model.model_copy(update={"options": options}), metrics={"top1": {}})
    rows = [comparison.run(arm, 0, most_steps=1) for arm in comparison.spec.arms]
    assert [row.get("failed") for row in rows] == [None] * len(rows)

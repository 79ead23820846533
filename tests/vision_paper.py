"""The paper's specs with their real models: every arm takes a step, the reference with the real crops, on noise."""

import sys
from pathlib import Path

import pytest
from paper_files import SPECS, make_tiny, on_tiny_data, small

sys.path.append(str(Path(__file__).parents[1]))

from albu_diffusemix.compare.spec import read_spec


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return make_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(params=SPECS, ids=lambda path: path.stem)
def spec(request, monkeypatch):
    monkeypatch.setenv("DATA", "/nowhere")
    return request.param


def real_model(path):
    """The model of a spec, without its weights, which would be downloaded."""
    model = read_spec(path).model
    options = {name: value for name, value in model.options.items() if name != "pretrained"}
    return model.model_copy(update={"options": options})


def reasons(comparison, arms):
    return [comparison.run(arm, 0, most_steps=1).get("failed") for arm in arms]


def test_every_arm_takes_a_step_with_the_real_model(spec, tiny, tmp_path):
    comparison = on_tiny_data(small(spec, tmp_path), tiny, model=real_model(spec), metrics={"top1": {}})
    assert reasons(comparison, comparison.spec.arms) == [None] * len(comparison.spec.arms)


def test_the_reference_takes_a_step_with_the_real_model_on_real_crops(spec, tiny):
    comparison = on_tiny_data(spec, tiny, model=real_model(spec), metrics={"top1": {}})
    assert reasons(comparison, [comparison.spec.reference]) == [None]

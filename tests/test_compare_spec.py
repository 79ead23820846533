import re
from pathlib import Path

import pytest
import yaml

from albu_diffusemix.compare.spec import METRICS, check_spec, read_spec

WHOLE = """
data: train/
split: {per_class: 10}
evaluation: eval.yaml
model: resnet18
train: {epochs: 30, batch_size: 64, optimizer: sgd, lr: 0.1, schedule: cosine, amp: true}
seeds: 5
metrics: [top1, top5, nll, calibration, {fgsm: {epsilon: 0.01}}, corruptions, "my_project:f1"]
reference: vanilla
arms:
  vanilla: {pipeline: vanilla.yaml}
  diffusemix: {pipeline: diffusemix.yaml, mix: cutmix, loss: jsd, store: flowers.dm}
"""


@pytest.fixture
def spec(tmp_path):
    def read(text=WHOLE, **changed):
        path = tmp_path / "spec.yaml"
        path.write_text(text)
        return read_spec(path, changed)

    return read


def test_paths_are_relative_to_the_folder_of_the_spec(spec, tmp_path):
    read = spec()
    diffusemix = read.arms["diffusemix"]
    paths = (read.data.path, read.evaluation, diffusemix.pipeline, diffusemix.store)
    assert paths == tuple(str(tmp_path / name) for name in ("train", "eval.yaml", "diffusemix.yaml", "flowers.dm"))


def test_a_variable_in_a_path_is_filled_in_and_one_that_is_not_set_is_named(spec, monkeypatch):
    monkeypatch.setenv("DATA", "/somewhere")
    assert spec(data="$DATA/train").data.path == "/somewhere/train"
    monkeypatch.delenv("DATA")
    with pytest.raises(ValueError, match=r"data.path: set the environment variable in '\$DATA/train'"):
        spec(data="$DATA/train")


def test_data_sets_of_python_and_of_the_hub_stay_as_they_are(spec):
    assert spec(data="my_project.data:train").data.path == "my_project.data:train"
    assert spec(data="hf://owner/name").data.path == "hf://owner/name"


def test_metrics_have_their_options_with_the_defaults_of_the_others(spec):
    assert spec().metrics == {**METRICS, "fgsm": {"epsilon": 0.01}, "my_project:f1": {}}


def test_a_number_of_seeds_stands_for_the_first_ones(spec):
    assert spec().seeds == (0, 1, 2, 3, 4)
    assert spec(seeds=[7, 3]).seeds == (7, 3)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"refernce": "vanilla"}, "unknown name 'refernce'; known: .*; did you mean 'reference'?"),
        ({"reference": "vanila"}, "unknown reference 'vanila'; .*did you mean 'vanilla'?"),
        ({"metrics": ["topp1"]}, "metrics: unknown metric 'topp1'; .*did you mean 'top1'?"),
        ({"metrics": [{"fgsm": {"epsilo": 1}}]}, "unknown option of fgsm 'epsilo'; .*did you mean 'epsilon'?"),
        ({"metrics": [{"corruptions": {"names": ["fogg"]}}]}, "unknown corruption 'fogg'; .*did you mean 'fog'?"),
        ({"arms": {"a": {"pipelin": "x"}}}, "arms.a: unknown name 'pipelin'; .*did you mean 'pipeline'?"),
        ({"arms": {"a": {"pipeline": "x", "mix": "cutmx"}}}, "arms.a.mix: .*'cutmix' or 'mixup'; got 'cutmx'"),
        (
            {"arms": {"a": {"pipeline": "x", "train": {"epochs": 3}}}},
            "arms.a.train.epochs.*'lr'.*got 'epochs'",
        ),
        ({"arms": {}}, "arms: .*at least 1"),
        ({"train": {"epochs": "many"}}, "train.epochs: .*integer.*'many'"),
        ({"train": {"lr": 0}}, "train.lr: .*greater than 0; got 0"),
        ({"train": {"milestones": [150, 225]}}, "train.milestones.0: .*less than 1; got 150"),
        ({"seeds": 0}, "seeds: .*at least 1 item"),
        ({"seeds": [0, -1]}, "seeds.1: .*greater than or equal to 0; got -1"),
        ({"metrics": [{"fgsm": 3}]}, "metrics.fgsm: .*dictionary; got 3"),
        ({"metrics": 3}, "metrics: unknown metric '3'"),
        ({"seeds": [1, 1]}, r"seeds: .*different seeds; got \[1, 1\]"),
        ({"split": None}, "give validation, a data set, or split"),
        ({"split": {"per_class": 3, "validation": 0.1}}, "split: give either per_class"),
    ],
)
def test_a_wrong_value_is_named_with_its_place_and_what_is_allowed(spec, tmp_path, changed, said):
    with pytest.raises(ValueError, match=said) as raised:
        spec(**changed)
    assert str(raised.value).startswith(f"{tmp_path / 'spec.yaml'}: ")
    assert "\n" not in str(raised.value)


def test_what_is_not_a_spec_is_refused(spec):
    for text in ("- a list", "just words"):
        with pytest.raises(ValueError, match=r"should be a valid dictionary .*; got"):
            spec(text)
    with pytest.raises(ValueError, match="is not valid YAML"):
        spec("{")
    with pytest.raises(ValueError, match="over 100 deep"):
        spec("[" * 200 + "]" * 200)


def test_the_spec_of_the_documentation_is_one(spec):
    page = (Path(__file__).parents[1] / "docs/compare.md").read_text()
    [text] = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert list(spec(text).arms) == ["vanilla", "diffusemix", "diffusemix_jsd", "cutmix"]


def test_a_spec_given_as_plain_data_is_the_one_of_the_file(spec, tmp_path):
    assert check_spec(yaml.safe_load(WHOLE), "here", tmp_path) == spec()

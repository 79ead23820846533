"""Models of timm by name, in an environment that has it: `make test-vision`."""

import pytest
import torch
from compare_files import PLAIN, compare, make_comparison, rows_in

from albu_diffusemix.compare.models import create_model
from albu_diffusemix.compare.spec import Model


def test_a_model_of_timm_is_trained_by_its_name(tmp_path):
    model = {"name": "resnet18", "options": {"drop_rate": 0.1}}
    spec = make_comparison(tmp_path, {"plain": {"pipeline": PLAIN}}, model=model, seeds=1, metrics=["top1"])
    assert compare(spec, "-o", tmp_path / "results", "--epochs", "1", "--lr", "0.01") == 0
    assert "metrics" in rows_in(tmp_path / "results")["plain", 0]


def test_weights_of_a_model_of_timm_fit_another_number_of_classes(tmp_path):
    trained = create_model(Model(name="resnet18"), 10, seed=1)
    torch.save(trained.state_dict(), tmp_path / "weights.pt")
    loaded = create_model(Model(name="resnet18", weights=str(tmp_path / "weights.pt")), 3, seed=2)
    assert torch.equal(loaded.conv1.weight, trained.conv1.weight)
    assert loaded.fc.weight.shape == (3, 512)


def test_an_unknown_name_of_timm_says_the_nearest():
    with pytest.raises(ValueError, match=r"unknown model 'resnet1888'; did you mean 'resnet18"):
        create_model(Model(name="resnet1888"), 3, seed=0)

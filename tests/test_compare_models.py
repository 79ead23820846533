import pytest
import torch

from albu_diffusemix.compare.models import create_model
from albu_diffusemix.compare.spec import Model


def weights_of(path, classes=5, **options):
    model = create_model(Model(name="small_resnet", options={"width": 4, **options}), classes, seed=1)
    torch.save({"state_dict": {f"module.{name}": value for name, value in model.state_dict().items()}}, path)
    return model


@pytest.mark.parametrize("name", ["small_resnet", "preact_resnet18"])
def test_our_models_take_images_of_any_size_and_start_from_their_seed(name):
    one, two, other = (create_model(Model(name=name, options={"width": 4}), 3, seed).eval() for seed in (1, 1, 2))
    for side in (32, 50):
        images = torch.rand(2, 3, side, side)
        assert one(images).shape == (2, 3)
        assert torch.equal(one(images), two(images))
        assert not torch.equal(one(images), other(images))


def test_preact_resnet_18_has_the_parameters_of_the_published_one():
    without_last_normalization = 11_171_146  # as in the code of Mixup; He et al. normalize once more, 512 channels
    model = create_model(Model(name="preact_resnet18"), 10, seed=0)
    assert sum(parameter.numel() for parameter in model.parameters()) == without_last_normalization + 2 * 512


def test_weights_are_loaded_without_a_last_layer_that_tells_other_classes(tmp_path):
    trained = weights_of(tmp_path / "weights.pt", classes=5)
    model = Model(name="small_resnet", options={"width": 4}, weights=str(tmp_path / "weights.pt"))
    fits, other = create_model(model, 5, seed=2), create_model(model, 7, seed=2)
    assert torch.equal(fits.head.weight, trained.head.weight)
    assert torch.equal(other.stem.weight, trained.stem.weight)
    assert other.head.weight.shape[0] == 7


def test_weights_of_another_model_are_refused_in_one_line(tmp_path):
    weights_of(tmp_path / "weights.pt", width=8)
    model = Model(name="small_resnet", options={"width": 4}, weights=str(tmp_path / "weights.pt"))
    with pytest.raises(
        ValueError, match=r"do not fit the model: .*size mismatch for stem.weight: .*\[8, 3, 3, 3\]"
    ) as raised:
        create_model(model, 5, seed=0)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04"])
def test_a_file_that_is_not_weights_is_refused(tmp_path, content):
    (tmp_path / "weights.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"weights .*weights.pt' cannot be read"):
        create_model(Model(weights=str(tmp_path / "weights.pt")), 5, seed=0)


def test_an_option_that_a_model_does_not_take_is_said():
    with pytest.raises(ValueError, match=r"model 'small_resnet' cannot be made with .*'depth'"):
        create_model(Model(options={"depth": 3}), 5, seed=0)


def test_without_timm_its_models_are_said_to_need_it():
    said = r"unknown model 'resnet18'; known: small_resnet, .*pip install timm"
    with pytest.raises(ValueError, match=said):
        create_model(Model(name="resnet18"), 5, seed=0)

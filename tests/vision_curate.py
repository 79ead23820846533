"""Classifiers of timm score counterparts, in an environment that has it: `make test-vision`."""

import json

import pytest
import timm
import torch
from curate_files import figures, make_photographs, make_store, score

from albu_diffusemix.curate.model_scorers import ClassifierScorer
from albu_diffusemix.curate.scorers import ScoreOptions

LABELS = ("astronaut", "chelsea", "coffee")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "resnet"
    folder.mkdir()
    torch.manual_seed(0)
    network = timm.create_model("test_resnet", num_classes=3)
    torch.save(network.state_dict(), folder / "pytorch_model.bin")
    config = {"architecture": "test_resnet", "num_classes": 3, "num_features": 384, "label_names": list(LABELS)}
    config["pretrained_cfg"] = {
        "input_size": [3, 64, 64],
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
        "num_classes": 3,
        "crop_pct": 1.0,
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_a_classifier_of_timm_in_a_folder_gives_probability_and_rank(model, tmp_path):
    data = make_photographs(tmp_path / "data")
    store = make_store(data, tmp_path / "s.dm")
    assert score(store, data, "--with", "classifier", "--model", model) == 0
    assert set(figures(store, "classifier_rank").values()) <= {1, 2, 3}
    assert all(0 < value < 1 for value in figures(store, "classifier_probability").values())


def test_a_classifier_of_timm_sees_what_timm_itself_makes_of_an_image(model):
    scorer = ClassifierScorer(ScoreOptions("classifier", model=str(model)), set(LABELS))
    assert scorer._classifier.outputs == list(LABELS)
    image = torch.randint(0, 256, (64, 64, 3), dtype=torch.uint8).numpy()
    pixels = scorer._classifier.prepare(image)
    expected = (torch.from_numpy(image).permute(2, 0, 1).float() / 255 - 0.5) / 0.5
    torch.testing.assert_close(pixels, expected, atol=0.02, rtol=0)


def test_a_model_of_timm_by_its_own_name_is_asked_for_on_the_hub(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ValueError, match=r"'timm/resnet18\.a1_in1k' cannot be loaded"):
        ClassifierScorer(ScoreOptions("classifier", model="resnet18.a1_in1k"), {"coffee"})

"""Figures that need a model, on tiny random ones that are saved and loaded by the real code."""

import shutil
import sys

import numpy as np
import pytest
import tiny_models
import torch
from curate_files import figures, make_photographs, make_store, score
from diffusion_tools import PHOTOGRAPHS, THIRD_PARTY_WARNINGS
from transformers import AutoTokenizer, CLIPModel, Dinov2Config, Dinov2Model, ViTConfig, ViTForImageClassification

from albu_diffusemix.clip_filter import SimilarityFilter
from albu_diffusemix.curate.labels import match_outputs
from albu_diffusemix.curate.model_scorers import ClassifierScorer, ClipScorer, EmbeddingScorer
from albu_diffusemix.curate.scorers import ScoreOptions, View
from albu_diffusemix.datasets import SourceFile
from albu_diffusemix.store import Record, Source

pytestmark = [
    *(pytest.mark.filterwarnings(warning) for warning in THIRD_PARTY_WARNINGS),
    pytest.mark.usefixtures("without_pictures"),
]

ASTRONAUT, CAT, COFFEE = PHOTOGRAPHS
OUTPUTS = ("astronaut, spaceman", "tabby cat", "coffee")
_SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
_SMALL |= {"image_size": 32, "patch_size": 8}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    tiny_models.save_clip(folder / "clip")
    tiny_models.save_tokenizer(folder / "clip")
    torch.manual_seed(5)
    vit = ViTForImageClassification(ViTConfig(**_SMALL, id2label=dict(enumerate(OUTPUTS))))
    with torch.no_grad():
        vit.classifier.weight.mul_(50)  # so that its outputs differ
    vit.save_pretrained(folder / "vit")
    Dinov2Model(Dinov2Config(**_SMALL, mlp_ratio=1)).save_pretrained(folder / "dino")
    for name in ("vit", "dino"):
        tiny_models.save_image_processor(folder / name)
    return folder


def view(*images, label="coffee", prompt="snowy"):
    record = Record("a.png", "0000", prompt, 0, Source(1, 1, b""), "png", "")
    return View(SourceFile("", "a.png", label), images[0], [(record, image) for image in images[1:]])


def scored(scorer, *views):
    return scorer.score([prepared for view in views for prepared in scorer.prepare(view)])


def test_clips_figures_are_the_cosines_of_its_own_embeddings(models):
    model = str(models / "clip")
    scorer = ClipScorer(ScoreOptions("clip", model=model, text="a {label}, {prompt}"), ())
    [(image, text)] = scored(scorer, view(CAT, COFFEE))
    assert image == pytest.approx(float(SimilarityFilter(0, 1, model).measure([COFFEE], [CAT])[0]), abs=1e-6)
    tokens = AutoTokenizer.from_pretrained(model)(["a coffee, snowy"], return_tensors="pt", padding="max_length")
    with torch.no_grad():
        words = CLIPModel.from_pretrained(model).get_text_features(**tokens).pooler_output[0]
    embedded = torch.from_numpy(SimilarityFilter(0, 1, model)._embed(COFFEE)[0])
    assert text == pytest.approx(float(torch.nn.functional.cosine_similarity(words, embedded, dim=0)), abs=1e-6)


def test_clip_without_text_needs_no_tokenizer(models):
    (models / "bare").mkdir()
    tiny_models.save_clip(models / "bare")
    without = ClipScorer(ScoreOptions("clip", model=str(models / "bare"), text=""), ())
    assert [len(row) for row in scored(without, view(CAT, CAT))] == [1]
    with pytest.raises(ValueError, match=r"the tokenizer of .* cannot be loaded.*; --text '' does without"):
        ClipScorer(ScoreOptions("clip", model=str(models / "bare")), ())


@pytest.mark.parametrize("text", ["{promt}", "{", "{0}"])
def test_braces_of_clips_text_hold_prompt_and_label_only(models, text):
    with pytest.raises(ValueError, match=r"in braces stand \{prompt\} and \{label\} only"):
        ClipScorer(ScoreOptions("clip", model=str(models / "clip"), text=text), ())


@pytest.mark.parametrize("kind", ["clip", "dino"])
def test_an_embedding_is_nearest_to_itself_and_does_not_depend_on_the_batch(models, kind):
    scorer = EmbeddingScorer(ScoreOptions(kind, model=str(models / kind)), ())
    [(same,), (other,), (last,)] = scored(scorer, view(CAT, CAT, COFFEE), view(ASTRONAUT, COFFEE))
    assert same == pytest.approx(1, abs=1e-5)
    assert other < 0.9999
    assert scored(scorer, view(ASTRONAUT, COFFEE))[0][0] == pytest.approx(last, abs=1e-5)


def test_an_embedding_without_its_pooler_is_the_mean_of_its_tokens(models):
    scorer = EmbeddingScorer(ScoreOptions("dino", model=str(models / "vit")), ())
    assert not scorer._pooled  # a classifier's file has no weights for it
    assert scored(scorer, view(CAT, COFFEE))[0][0] < 0.9999


def test_a_classifier_gives_the_true_labels_probability_and_rank(models):
    scorer = ClassifierScorer(ScoreOptions("classifier", model=str(models / "vit")), {"coffee", "Spaceman"})
    [(probability, rank)], [(other, other_rank)] = (
        scored(scorer, view(ASTRONAUT, CAT, label=label)) for label in ("coffee", "Spaceman")
    )
    pixels = scorer.prepare(view(ASTRONAUT, CAT))[0][0][None]
    with torch.no_grad():
        logits = ViTForImageClassification.from_pretrained(models / "vit")(pixel_values=pixels).logits[0]
    expected = logits.softmax(-1)
    assert (probability, other) == pytest.approx((float(expected[2]), float(expected[0])), abs=1e-6)
    order = logits.argsort(descending=True).tolist()
    assert (rank, other_rank) == (order.index(2) + 1, order.index(0) + 1)


def test_a_label_of_several_outputs_has_their_sum_and_the_best_rank(models, tmp_path):
    (tmp_path / "map.yaml").write_text("drink: [coffee, 1]\npilot: 'spaceman'\n")
    options = ScoreOptions("classifier", model=str(models / "vit"), label_map=tmp_path / "map.yaml")
    scorer = ClassifierScorer(options, {"drink", "pilot", "coffee", "tabby_cat"})
    rows = {
        label: scored(scorer, view(CAT, CAT, label=label))[0] for label in ("drink", "coffee", "tabby_cat", "pilot")
    }
    assert rows["drink"][0] == pytest.approx(rows["coffee"][0] + rows["tabby_cat"][0])
    assert rows["drink"][1] == min(rows["coffee"][1], rows["tabby_cat"][1])
    assert scored(scorer, view(CAT, CAT, label=None)) == [(None, None)]


def test_labels_without_an_output_are_named_with_the_nearest():
    with pytest.raises(ValueError, match=r"2 of 3 labels have no output.*'cofee', nearest 'coffee'; 'x'\. Give"):
        match_outputs({"cofee", "x", "tabby-cat"}, OUTPUTS, {})
    with pytest.raises(ValueError, match=r"'crane' fits several outputs"):
        match_outputs({"crane"}, ("crane", "crane"), {})
    with pytest.raises(ValueError, match=r"'a' \('kofee'\), nearest 'coffee'"):
        match_outputs({"a"}, OUTPUTS, {"a": ("coffee", "kofee")})


def test_a_classifier_of_ones_own_is_a_function_of_images(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n"
        "class Model:\n"
        "    labels = ['bright', 'dark']\n"
        "    def __call__(self, images):\n"
        "        means = [image.mean() / 255 for image in images]\n"
        "        return np.log([[mean, 1 - mean] for mean in means])\n"
        "def broken():\n"
        "    raise RuntimeError('no weights')\n"
        "def plain():\n"
        "    return len\n"
        "class Short(Model):\n"
        "    labels = ['bright', 'dark', 'more']\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    grey = np.full((8, 8, 3), 51, np.uint8)
    scorer = ClassifierScorer(ScoreOptions("classifier", model="mine:Model"), {"bright"})
    assert scored(scorer, view(grey, grey, label="bright")) == [(pytest.approx(0.2), 2)]
    for name, message in (
        ("broken", r"mine:broken\(\) fails: RuntimeError: no weights"),
        ("plain", r"mine:plain\(\) must return a function of a list of images"),
        ("Modell", r"has no 'Modell'; did you mean 'Model'\?"),
    ):
        with pytest.raises(ValueError, match=message):
            ClassifierScorer(ScoreOptions("classifier", model=f"mine:{name}"), {"bright"})
    short = ClassifierScorer(ScoreOptions("classifier", model="mine:Short"), {"bright"})
    with pytest.raises(ValueError, match=r"gives values of shape \(1, 2\); \(1, 3\) were expected"):
        scored(short, view(grey, grey, label="bright"))
    sys.modules.pop("mine")


@pytest.mark.parametrize(
    ("kind", "model", "message"),
    [
        ("classifier", "dino", "is not a classifier: it has no weights for 'classifier.bias'"),
        ("clip", "dino", "(Dinov2Model) is not a CLIP model"),
        ("clip", "nowhere/at/all", "cannot be loaded"),
        ("dino", "empty", "cannot be loaded"),
        ("classifier", "mine_not_there:Model", "module 'mine_not_there' cannot be imported"),
    ],
)
def test_a_model_that_does_not_fit_is_one_line(models, tmp_path, capsys, kind, model, message):
    (models / "empty").mkdir(exist_ok=True)
    data = make_photographs(tmp_path / "data", ["coffee"], count=1)
    store = make_store(data, tmp_path / "s.dm")
    named = str(models / model) if (models / model).exists() else model
    capsys.readouterr()
    assert score(store, data, "--with", kind, "--model", named) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert message in line


def test_a_second_model_of_a_kind_has_figures_of_its_own(models, tmp_path):
    data = make_photographs(tmp_path / "data", ["coffee"], count=2)
    store = make_store(data, tmp_path / "s.dm")
    for name in ("dino", "clip"):
        words = ["--with", "dino", "--model", models / name, "--name", f"by_{name}", "--batch-size", "2"]
        assert score(store, data, *words) == 0
    assert figures(store, "by_dino_cosine") != figures(store, "by_clip_cosine")
    assert None not in {**figures(store, "by_dino_cosine"), **figures(store, "by_clip_cosine")}.values()


def test_other_weights_in_the_same_folder_are_other_settings(models, tmp_path):
    shutil.copytree(models / "dino", tmp_path / "model")
    options = ScoreOptions("dino", model=str(tmp_path / "model"))
    first, same = (EmbeddingScorer(options, ()).fingerprint for _ in range(2))
    assert first == same
    model = Dinov2Model.from_pretrained(tmp_path / "model")
    with torch.no_grad():
        model.layernorm.bias.add_(1)
    model.save_pretrained(tmp_path / "model")
    assert EmbeddingScorer(options, ()).fingerprint != first

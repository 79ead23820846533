"""CLIP's image-image similarity, on a tiny random CLIP that is saved and loaded by the real code."""

import logging
import pickle

import huggingface_hub
import numpy as np
import pytest
import tiny_models
import torch
from diffusion_tools import PHOTOGRAPHS, THIRD_PARTY_WARNINGS
from PIL import Image
from transformers import CLIPImageProcessorPil, CLIPModel

from albu_diffusemix.clip_filter import SimilarityFilter, load_model

pytestmark = [pytest.mark.filterwarnings(warning) for warning in THIRD_PARTY_WARNINGS]

ASTRONAUT, CAT, COFFEE = PHOTOGRAPHS


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return str(tiny_models.save_clip(tmp_path_factory.mktemp("models") / "clip"))


def test_an_image_has_similarity_1_with_itself_at_any_size(clip):
    similarity = SimilarityFilter(0.5, 1, clip).measure(
        [ASTRONAUT, CAT], [ASTRONAUT, np.kron(CAT, np.ones((2, 2, 1))).astype(np.uint8)]
    )
    np.testing.assert_allclose(similarity, 1, atol=1e-2)


def test_similarity_is_the_cosine_of_clips_own_image_embeddings(clip):
    model, processor = CLIPModel.from_pretrained(clip), CLIPImageProcessorPil.from_pretrained(clip)
    pictures = [Image.fromarray(image) for image in (ASTRONAUT, CAT)]
    with torch.no_grad():
        first, second = model.get_image_features(**processor(pictures, return_tensors="pt")).pooler_output
    expected = torch.nn.functional.cosine_similarity(first, second, dim=0)
    [similarity] = SimilarityFilter(0.5, 1, clip).measure([ASTRONAUT], [CAT])
    assert similarity == pytest.approx(float(expected), abs=1e-6)
    assert similarity < 0.999


def test_too_different_and_too_similar_are_told_apart_and_the_bounds_are_accepted(clip):
    noise = np.random.default_rng(0).integers(0, 256, ASTRONAUT.shape, dtype=np.uint8)
    images, sources = [ASTRONAUT, CAT, noise], [ASTRONAUT] * 3
    same, cat, far = (float(value) for value in SimilarityFilter(-1, 1, clip).measure(images, sources))
    assert far < cat < same
    flaws = SimilarityFilter(cat, same - 1e-4, clip).find_flaws(images, sources)
    assert flaws[0].startswith("too similar to its source (similarity 1.000 > ")
    assert flaws[1] is None
    assert flaws[2].startswith("too different from its source (similarity ")


def test_neighbours_do_not_matter(clip):
    judge = SimilarityFilter(0.5, 1, clip)
    together = judge.measure([ASTRONAUT, CAT, COFFEE], [CAT, COFFEE, ASTRONAUT])
    alone = judge.measure([CAT], [COFFEE])
    np.testing.assert_allclose(together[1], alone[0], atol=1e-6)


def test_nothing_in_nothing_out(clip):
    assert SimilarityFilter(0.5, 1, clip).find_flaws([], []) == []


def test_a_pickled_clone_is_small_and_measures_the_same(clip):
    judge = SimilarityFilter(0.5, 1, clip)
    expected = judge.measure([CAT], [ASTRONAUT])
    pickled = pickle.dumps(judge)
    assert len(pickled) < 1000
    assert pickle.loads(pickled).measure([CAT], [ASTRONAUT]) == expected  # noqa: S301  our own


@pytest.mark.parametrize(("low", "high"), [(0.9, 0.6), (0.5, 0.5), (-2, 0), (0, 1.5), (float("nan"), 1)])
def test_bounds_out_of_order_are_refused(low, high):
    with pytest.raises(ValueError, match="-1 <= low < high <= 1; got"):
        SimilarityFilter(low, high)


def test_each_image_needs_its_source(clip):
    with pytest.raises(ValueError, match="got 2 images and 1 sources"):
        SimilarityFilter(0.5, 1, clip).measure([CAT, CAT], [CAT])


def test_a_model_that_embeds_no_images_is_named(tmp_path_factory):
    model = tiny_models.save_instruct_pix2pix(tmp_path_factory.mktemp("models") / "tiny")
    tiny_models.save_image_processor(model / "text_encoder")
    with pytest.raises(ValueError, match=r"\(CLIPTextModel\) embeds no images: give a CLIP model"):
        SimilarityFilter(0.5, 1, str(model / "text_encoder")).measure([CAT], [CAT])


def test_offline_and_missing_says_what_to_download(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    judge = SimilarityFilter(0.5, 1, "me/clip", local_files_only=True)
    with pytest.raises(ValueError, match=r"not in the Hub's cache.*hf download me/clip"):
        judge.measure([CAT], [CAT])


def test_a_model_in_the_hubs_cache_is_found_without_a_network(clip, tmp_path, monkeypatch):
    snapshot = tmp_path / "models--me--clip" / "snapshots" / ("b" * 40)
    snapshot.parent.mkdir(parents=True)
    snapshot.symlink_to(clip)
    (tmp_path / "models--me--clip" / "refs").mkdir()
    (tmp_path / "models--me--clip" / "refs" / "main").write_text("b" * 40)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    found = SimilarityFilter(0.5, 1, "me/clip", local_files_only=True).measure([CAT], [ASTRONAUT])
    assert found == SimilarityFilter(0.5, 1, clip).measure([CAT], [ASTRONAUT])


def test_nothing_is_said_of_each_time_that_the_hub_is_asked_again(monkeypatch, caplog):
    def ask(*_, **__):
        logging.getLogger("huggingface_hub.utils._http").warning("Retrying in 1s [Retry 1/5].")
        raise OSError("no network")

    monkeypatch.setattr(logging.getLogger("huggingface_hub"), "propagate", True)
    monkeypatch.setattr("transformers.AutoModel.from_pretrained", ask)
    with pytest.raises(ValueError, match="no network"):
        load_model("owner/absent")
    assert caplog.records == []
    logging.getLogger("huggingface_hub.utils._http").warning("later")
    assert [record.message for record in caplog.records] == ["later"]

"""The same numbers for a request whatever its neighbours, their order and number, on any number of threads of a CPU.

What the models draw is compared before it is rounded to 8 bits, which would hide almost all that differs.
"""

import functools

import cv2
import numpy as np
import onnx_models
import pytest
import tiny_models
from diffusion_tools import (
    PHOTOGRAPHS,
    THIRD_PARTY_WARNINGS,
    backend_of,
    call_stock,
    drawn_by,
    request,
    requests,
    stock_pipeline,
    threads,
)
from onnx_models import onnx_backend

from albu_diffusemix.clip_filter import SimilarityFilter

pytestmark = [pytest.mark.filterwarnings(warning) for warning in THIRD_PARTY_WARNINGS]

THREADS = (1, 2, 5, 6)
QUICK = {"num_inference_steps": 2, "size": 32, "batch_size": 3}
NEGATIVE = {**QUICK, "negative_prompt": "blurred"}
FAMILIES = {
    "instruct_pix2pix": NEGATIVE,
    "img2img": {**NEGATIVE, "strength": 0.6},
    "xl_img2img": {**NEGATIVE, "strength": 0.6},
    "xl_instruct_pix2pix": NEGATIVE,
}


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    """A backend on each kind of model that takes batches, made once."""
    folder = tmp_path_factory.mktemp("models")

    @functools.cache
    def make(name):
        return backend_of(getattr(tiny_models, f"save_{name}")(folder / name), **FAMILIES[name])

    return make


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    return onnx_models.shared(tmp_path_factory)


def assert_pure(draw):
    """Draw requests together, backwards, among others and alone."""
    wanted = requests(3)
    stranger = request(255 - PHOTOGRAPHS[1], "mosaic", 77)
    together = draw(wanted)
    np.testing.assert_array_equal(draw(wanted[::-1])[::-1], together, "other order")
    np.testing.assert_array_equal(draw([stranger, *wanted[:1], stranger])[1], together[0], "other neighbours")
    np.testing.assert_array_equal(draw(wanted[2:])[0], together[2], "alone")


@pytest.mark.parametrize("count", THREADS)
@pytest.mark.parametrize("name", FAMILIES)
def test_order_neighbours_and_chunks_change_nothing_that_a_model_draws(family, name, count):
    with threads(count):
        assert_pure(lambda wanted: drawn_by(family(name), wanted))


@pytest.mark.parametrize("count", THREADS)
def test_an_image_is_what_the_stock_pipeline_draws_of_it_alone(family, count):
    backend = family("instruct_pix2pix")
    wanted = [request(cv2.resize(PHOTOGRAPHS[0], (32, 32)), seed=3)]
    arguments = {"num_inference_steps": 2, "guidance_scale": 4.0, "image_guidance_scale": 1.5}
    with threads(count):
        expected = call_stock(
            stock_pipeline(backend._settings.model_id), wanted, negative_prompt=["blurred"], **arguments
        )
        np.testing.assert_array_equal(drawn_by(backend, [*requests(1), *wanted])[1:], expected)


@pytest.mark.parametrize("count", THREADS)
def test_order_neighbours_and_chunks_change_nothing_that_onnx_draws(graphs, count):
    backend = onnx_backend(graphs, **NEGATIVE, session_options={"intra_op_num_threads": count})
    assert_pure(lambda wanted: drawn_by(backend, wanted))


def test_the_number_of_threads_changes_nothing_that_onnx_draws(graphs):
    first, *others = [
        drawn_by(onnx_backend(graphs, **QUICK, session_options={"intra_op_num_threads": count}), requests(2))
        for count in THREADS
    ]
    for other in others:
        np.testing.assert_array_equal(other, first)


def test_another_batch_size_changes_nothing_that_a_model_draws(graphs, tmp_path):
    with threads(2):
        model = tiny_models.save_instruct_pix2pix(tmp_path / "tiny")
        one, three = (drawn_by(backend_of(model, **{**NEGATIVE, "batch_size": size}), requests(3)) for size in (1, 3))
        np.testing.assert_array_equal(one, three)
    one, three = (drawn_by(onnx_backend(graphs, **{**QUICK, "batch_size": size}), requests(3)) for size in (1, 3))
    np.testing.assert_array_equal(one, three)


@pytest.mark.parametrize("count", THREADS)
def test_a_similarity_does_not_depend_on_the_pairs_beside_it(tmp_path_factory, count):
    clip = SimilarityFilter(-1, 1, str(tiny_models.save_clip(tmp_path_factory.mktemp("models") / "clip")))
    first, second, third = PHOTOGRAPHS
    images, sources = [first, second, third, first], [second, third, first, third]
    with threads(count):
        together = clip.measure(images, sources)
        np.testing.assert_array_equal(clip.measure(images[::-1], sources[::-1])[::-1], together)
        np.testing.assert_array_equal(clip.measure(images[1:3], sources[1:3]), together[1:3])
        assert clip.measure(images[:1], sources[:1]) == together[0]


def test_another_number_of_threads_changes_no_more_than_rounding(family):
    drawn = []
    for count in THREADS:
        with threads(count):
            drawn.append(drawn_by(family("instruct_pix2pix"), requests(2)))
    for other in drawn[1:]:
        np.testing.assert_allclose(other, drawn[0], atol=1e-4)

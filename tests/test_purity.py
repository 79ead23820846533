"""The same numbers for a request whatever its neighbours, their order and number, on any number of threads of a CPU.

What the models draw is compared before it is rounded to 8 bits, which would hide almost all that differs.
"""

import functools

import numpy as np
import onnx_models
import pytest
import tiny_models
from diffusion_tools import PHOTOGRAPHS, THIRD_PARTY_WARNINGS, backend_of, drawn_by, request, requests, threads
from onnx_models import drawn_by_onnx, onnx_backend

from albu_diffusemix.similarity import SimilarityFilter

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
def test_order_neighbours_and_chunks_change_nothing_that_onnx_draws(graphs, count):
    backend = onnx_backend(graphs, **NEGATIVE, session_options={"intra_op_num_threads": count})
    assert_pure(lambda wanted: drawn_by_onnx(backend, wanted))


def test_the_number_of_threads_changes_nothing_that_onnx_draws(graphs):
    first, *others = [
        drawn_by_onnx(onnx_backend(graphs, **QUICK, session_options={"intra_op_num_threads": count}), requests(2))
        for count in THREADS
    ]
    for other in others:
        np.testing.assert_array_equal(other, first)


def test_another_batch_size_changes_nothing_that_a_model_draws(graphs, tmp_path):
    with threads(2):
        model = tiny_models.save_instruct_pix2pix(tmp_path / "tiny")
        one, three = (drawn_by(backend_of(model, **{**NEGATIVE, "batch_size": size}), requests(3)) for size in (1, 3))
        np.testing.assert_array_equal(one, three)
    one, three = (drawn_by_onnx(onnx_backend(graphs, **{**QUICK, "batch_size": size}), requests(3)) for size in (1, 3))
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

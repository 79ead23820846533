"""What holds for every family, on its tiny checkpoint: the everyday suite and `make test-vision` share it."""

import pickle

import cv2
import numpy as np
from diffusion_tools import PHOTOGRAPHS, backend_of, drawn_by, request

QUICK = {"num_inference_steps": 2}
DIFFERENT_SHAPE = cv2.resize(PHOTOGRAPHS[2], (96, 48))


def quick_backend(model, **options):
    return backend_of(model, **{**QUICK, "name": "diffusers", **options})


def check_purity(backend):
    """Draw three requests together, backwards, one among others, and all again by a pickled clone."""
    wanted = [request(PHOTOGRAPHS[number], prompt, number) for number, prompt in enumerate(("snowy", "autumn", "rain"))]
    together = drawn_by(backend, wanted)
    np.testing.assert_array_equal(drawn_by(backend, wanted[::-1])[::-1], together, "other order")
    np.testing.assert_array_equal(drawn_by(backend, wanted[1:2])[0], together[1], "alone")
    fresh = pickle.loads(pickle.dumps(backend))  # noqa: S301  our own
    np.testing.assert_array_equal(drawn_by(fresh, wanted[2:])[0], together[2], "a fresh instance")
    for first, other in ((0, 1), (1, 2)):
        assert np.abs(together[first] - together[other]).mean() > 1e-3, "another request draws another picture"


def check_shapes(backend, expected):
    """Draw an image that is twice as wide as high, and compare what was drawn with the shape that was asked for."""
    assert drawn_by(backend, [request(DIFFERENT_SHAPE)]).shape == (1, *expected, 3)
    [made] = backend.generate([request(DIFFERENT_SHAPE)])
    assert (made.status, made.image.shape) == ("ok", DIFFERENT_SHAPE.shape)

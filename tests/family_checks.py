"""What holds for every family, on its tiny checkpoint: the everyday suite and `make test-vision` share it."""

import os
import pickle
import signal

import cv2
import numpy as np
import pytest
from diffusion_tools import PHOTOGRAPHS, SIDE, backend_of, drawn_by, request
from job_files import Silent, content, make, make_data
from store_files import child

from albu_diffusemix.store import Store

QUICK = {"num_inference_steps": 2}
MORE = {
    "klein_kv": {"num_inference_steps": 1},
    "longcat": {"size": 1024, "num_inference_steps": 1},
    "omnigen": {"num_inference_steps": 1},
    "turbo": {"strength": 0.5},
    "z_image": {"guidance_scale": 0.0},
}
"""What some families need beside or in place of that."""
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


class Killing(Silent):
    """A reporter that ends its process as SIGKILL does, when the first image is written."""

    def outcome(self, _):
        os.kill(os.getpid(), signal.SIGKILL)


def check_resumed(name, model, folder):
    """Make a store in one run, and the same in a run that is killed after its first image and in one that goes on."""
    data = make_data(folder / "data", 3)
    spec = {"name": "diffusers", "model_id": str(model), "size": SIDE, "device": "cpu", "batch_size": 1, **QUICK}
    given = {"backend": {**spec, **MORE.get(name, {})}, "prompts": ("snowy", "rain")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("albu_diffusemix.generate.pipeline.find_flaw", lambda *_: None)  # what tiny models draw is flat
        make(data, folder / "whole.dm", **given)
        with child(lambda: make(data, folder / "killed.dm", Killing(), **given)) as process:
            os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
        Store.repair(folder / "killed.dm")
        assert 0 < len(content(folder / "killed.dm")) < len(content(folder / "whole.dm"))
        make(data, folder / "killed.dm", **given)
    assert content(folder / "killed.dm") == content(folder / "whole.dm")

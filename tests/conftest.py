"""Shared by all tests: a backend whose counterparts are easy to tell, and images of every allowed format."""

import multiprocessing
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from skimage import data

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

from albu_diffusemix.backends import Counterpart, Request, register_backend
from albu_diffusemix.functional import crop
from albu_diffusemix.tracing import trace

# So that each worker of a fork server need not import them again.
multiprocessing.set_forkserver_preload(["torch.utils.data", "albu_diffusemix", "skimage"])

HOSTS_OWN = {"shape", "cols", "rows"}
"""What the hosts add to a transform's parameters."""


class Inverting:
    """Counterparts are negatives of their sources; with a `status` other than "ok" there are none."""

    prompts = ("negative",)

    def __init__(self, status: str = "ok") -> None:
        if status == "broken":
            raise OSError("no weights in /nowhere")
        self.status = status
        self.fingerprint = f"inverting-{status}"

    def check_prompt(self, prompt: str) -> None:
        if prompt != "negative":
            raise ValueError(f"unknown prompt {prompt!r}; known: negative")

    def generate(self, requests: Sequence[Request]) -> list[Counterpart]:
        return [
            Counterpart(
                np.ascontiguousarray(255 - crop(request.image, request.box)) if self.status == "ok" else None,
                self.status,
                request.prompt or "negative",
            )
            for request in requests
        ]


register_backend("inverting", "conftest:Inverting")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(137)


@pytest.fixture
def photograph() -> np.ndarray:
    """A real photograph, 96x128 RGB uint8."""
    return cv2.resize(data.astronaut(), (128, 96), interpolation=cv2.INTER_AREA)


@pytest.fixture
def fractals(tmp_path: Path, rng: np.random.Generator) -> str:
    """A folder of three small fractals, as `fractals=` takes it."""
    folder = tmp_path / "fractals"
    folder.mkdir()
    for name in "abc":
        cv2.imwrite(str(folder / f"{name}.png"), rng.integers(0, 256, (40, 30, 3), dtype=np.uint8))
    return str(folder)


def make_image(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    image = rng.integers(0, 256, shape, dtype=np.uint8)
    return image if dtype == "uint8" else (image / 255).astype(np.float32)


def drawn(pipeline: Any, **data: Any) -> list[dict[str, Any]]:
    """Run the pipeline, and give what each of our transforms drew, in order, without what the host adds."""
    with trace() as calls:
        pipeline(**data)
    return [{name: value for name, value in call.params.items() if name not in HOSTS_OWN} for call in calls]

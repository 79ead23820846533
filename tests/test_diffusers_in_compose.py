"""A diffusion backend inside of a pipeline, tiny and random."""

import albumentations as A
import cv2
import numpy as np
import pytest
import tiny_models
from diffusion_tools import PHOTOGRAPHS, SIDE, THIRD_PARTY_WARNINGS

from albu_diffusemix import DiffuseMix

pytestmark = [pytest.mark.filterwarnings(warning) for warning in THIRD_PARTY_WARNINGS]


def test_a_diffusion_backend_works_live_in_compose(tmp_path):
    model = tiny_models.save_instruct_pix2pix(tmp_path)
    spec = {"name": "instruct_pix2pix", "model_id": str(model), "size": SIDE, "num_inference_steps": 1, "device": "cpu"}
    image = cv2.resize(PHOTOGRAPHS[0], (90, 70))
    mixed = A.Compose([DiffuseMix(backend=spec, p=1)], seed=3)(image=image)["image"]
    assert (mixed.shape, mixed.dtype) == (image.shape, np.uint8)
    assert np.abs(mixed.astype(int) - image).mean() > 5

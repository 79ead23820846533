"""DiffuseMix (CVPR 2024) for Albumentations pipelines.

Importing this package registers its transforms with the host, so that `A.load` and `A.from_dict` know them.
"""

from albu_diffusemix.backends import create_backend, register_backend
from albu_diffusemix.mixing import unmixed_images
from albu_diffusemix.prompts import PAPER_PROMPTS, PAPER_TEMPLATE, lint_prompt
from albu_diffusemix.transforms import PRESETS, DiffuseMix, FractalBlend, HalfConcat
from albu_diffusemix.workers import worker_init_fn

__version__ = "0.1.0"

__all__ = [
    "PAPER_PROMPTS",
    "PAPER_TEMPLATE",
    "PRESETS",
    "DiffuseMix",
    "FractalBlend",
    "HalfConcat",
    "create_backend",
    "lint_prompt",
    "register_backend",
    "unmixed_images",
    "worker_init_fn",
]

"""Presets: settings of InstructPix2Pix that go together, by name."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from albu_diffusemix.prompts import PAPER_TEMPLATE

__all__ = ["PRESETS", "Preset"]

_DPM_PLUS_PLUS_2M = {
    "name": "DPMSolverMultistepScheduler",
    "algorithm_type": "dpmsolver++",
    "solver_order": 2,
    "use_karras_sigmas": False,
}


class Preset(NamedTuple):
    """Settings of InstructPix2Pix under one name.

    Attributes:
        num_inference_steps: Denoising steps.
        guidance_scale: How strongly the prompt pulls.
        image_guidance_scale: How strongly the source holds; at 1 two passes of the network a step are enough.
        scheduler: The sampler; None is the checkpoint's own.
        template: What is wrapped around each prompt.

    """

    num_inference_steps: int
    guidance_scale: float
    image_guidance_scale: float
    scheduler: str | Mapping[str, Any] | None
    template: str


PRESETS = {
    "paper": Preset(100, 4.0, 1.5, None, PAPER_TEMPLATE),
    "official": Preset(100, 4.0, 1.5, None, "{prompt}"),
    "fast": Preset(20, 4.0, 1.5, _DPM_PLUS_PLUS_2M, PAPER_TEMPLATE),
    "fastest": Preset(10, 4.0, 1.0, _DPM_PLUS_PLUS_2M, PAPER_TEMPLATE),
}
"""`paper` is the paper's setting, `official` the released code's with its bare prompts; the others are less similar
to them, and faster."""

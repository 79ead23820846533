"""What the backends that run InstructPix2Pix have in common: presets, templates, prompts, scales of guidance."""

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from albu_diffusemix.prompts import PAPER_PROMPTS, PAPER_TEMPLATE

__all__ = ["PRESETS", "Preset", "check_guidance", "check_prompt", "check_template", "choose_prompt", "fill"]

_DPM_PLUS_PLUS_2M = {
    "name": "DPMSolverMultistepScheduler",
    "algorithm_type": "dpmsolver++",
    "solver_order": 2,
    "use_karras_sigmas": False,
}


class Preset(NamedTuple):
    """Settings of InstructPix2Pix that go together.

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
"""`paper` is the paper's setting, `official` the released code's with its bare prompts; the others trade likeness to
them for speed."""


def fill(template: str, prompt: str) -> str:
    """Wrap a template around a prompt."""
    return template.replace("{prompt}", prompt)


def check_template(template: str | None) -> None:
    """Raise ValueError for a template without a place for the prompt."""
    if template is not None and (not isinstance(template, str) or "{prompt}" not in template):
        raise ValueError(f"template must hold {{prompt}}, which stands for the effect; got {template!r}")


def check_prompt(prompt: str) -> None:
    """Raise ValueError for an empty prompt; the model takes any other."""
    if not isinstance(prompt, str) or not prompt.strip():
        raise ValueError(f"prompt must name an effect, such as {PAPER_PROMPTS[1]!r}; got {prompt!r}")


def check_guidance(guidance_scale: float, image_guidance_scale: float) -> None:
    """Raise ValueError for scales at which the stock pipeline leaves all guidance out."""
    if guidance_scale <= 1:
        raise ValueError(
            "guidance_scale must be above 1: at 1 and below, InstructPix2Pix switches all guidance off, by the image "
            f"too; got {guidance_scale}"
        )
    if image_guidance_scale < 1:
        raise ValueError(
            "image_guidance_scale must be at least 1: below it, InstructPix2Pix switches all guidance off, by the "
            f"prompt too; got {image_guidance_scale}"
        )


def choose_prompt(seed: int) -> str:
    """Choose one of the paper's prompts by a seed."""
    digest = hashlib.blake2b(f"{seed}:choice of a prompt".encode(), digest_size=8).digest()
    return PAPER_PROMPTS[int.from_bytes(digest, "big") % len(PAPER_PROMPTS)]

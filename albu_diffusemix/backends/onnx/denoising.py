"""InstructPix2Pix's denoising loop in NumPy, for every sampler.

Source: Brooks, Holynski, Efros, InstructPix2Pix (CVPR 2023), https://arxiv.org/abs/2211.09800, equation 3.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.backends.onnx.noise import Noise
from albu_diffusemix.backends.onnx.samplers import Plan, Step

__all__ = ["Guidance", "Latents", "Network", "denoise"]

Latents = NDArray[np.float32]
Network = Callable[[Latents, float], Latents]
"""The UNet with its conditions: latents and pictures, (N, 8, h, w), and the timestep, to its output (N, 4, h, w)."""


class Guidance(NamedTuple):
    """How strongly the prompt pulls, above 1, and how strongly the source holds, at least 1."""

    by_prompt: float
    by_image: float

    @property
    def passes(self) -> int:
        """How many times a step runs the network: at image guidance 1 the pass without either would cancel."""
        return 2 if self.by_image == 1 else 3


def denoise(network: Network, plan: Plan, guidance: Guidance, sources: Latents, seeds: Sequence[int]) -> Latents:
    """Draw the latents of each picture.

    Args:
        network: Takes the passes stacked: all with prompt and picture, all with the picture, all with neither.
        plan: The sampler's steps.
        guidance: Its scales.
        sources: The pictures' latents, (N, 4, h, w).
        seeds: For the noise of each.

    """
    noises = [Noise(seed) for seed in seeds]
    pictures = np.concatenate([sources, sources, np.zeros_like(sources)][: guidance.passes])
    latents = _draw(noises, sources.shape) * np.float32(plan.first_deviation)
    before = np.zeros_like(latents)
    for step in plan.steps:
        scaled = latents * np.float32(step.input_scale)
        predicted = network(np.concatenate([np.concatenate([scaled] * guidance.passes), pictures], 1), step.timestep)
        output = _guide(predicted, guidance)
        clean = _clean(step, plan.clip, latents, output)
        fresh = _draw(noises, latents.shape) if step.following[-1] else before
        latents, before = _sum(step.following, (latents, output, clean, before, fresh)), clean
    return latents


def _draw(noises: Sequence[Noise], shape: tuple[int, ...]) -> Latents:
    return np.stack([noise.draw(shape[1:]) for noise in noises])


def _guide(predicted: Latents, guidance: Guidance) -> Latents:
    by_both, by_image, *by_nothing = np.split(predicted, guidance.passes)
    to_prompt: Latents = np.float32(guidance.by_prompt) * (by_both - by_image)
    if not by_nothing:
        return by_image + to_prompt
    to_image: Latents = np.float32(guidance.by_image) * (by_image - by_nothing[0])
    return by_nothing[0] + to_prompt + to_image


def _clean(step: Step, clip: float | None, latents: Latents, output: Latents) -> Latents:
    clean = _sum(step.clean, (latents, output))
    return clean if clip is None else np.clip(clean, -clip, clip)


def _sum(coefficients: Sequence[float], terms: Sequence[Latents]) -> Latents:
    """Weigh and add; a term without weight is left out, so that what it holds does not matter."""
    weighed = [np.float32(weight) * term for weight, term in zip(coefficients, terms, strict=True) if weight]
    total: Latents = sum(weighed[1:], start=weighed[0])
    return total

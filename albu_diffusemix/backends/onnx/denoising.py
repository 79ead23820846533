"""InstructPix2Pix's denoising loop in NumPy, for every sampler."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.backends.instruct import Guidance
from albu_diffusemix.backends.onnx.noise import Noise
from albu_diffusemix.backends.onnx.samplers import Sampler, Step

__all__ = ["Latents", "Network", "denoise"]

Latents = NDArray[np.float32]
Network = Callable[[Latents, float], Latents]
"""The UNet with its conditions: latents and sources, (N, 8, h, w), and the timestep, to its output (N, 4, h, w)."""


def denoise(network: Network, sampler: Sampler, guidance: Guidance, sources: Latents, seeds: Sequence[int]) -> Latents:
    """Return the latents of each edited image.

    Args:
        network: Takes the passes stacked: all with prompt and source, all with the source, all with neither.
        sampler: Its steps.
        guidance: Its scales.
        sources: The sources' latents, (N, 4, h, w).
        seeds: For the noise of each.

    """
    noises = [Noise(seed) for seed in seeds]
    conditions = np.concatenate([sources, sources, np.zeros_like(sources)][: guidance.passes])
    latents = _draw(noises, sources.shape) * np.float32(sampler.first_deviation)
    before = np.zeros_like(latents)
    for step in sampler.steps:
        scaled = latents * np.float32(step.input_scale)
        predicted = network(np.concatenate([np.concatenate([scaled] * guidance.passes), conditions], 1), step.timestep)
        output = guidance.combine(*np.split(predicted, guidance.passes))
        clean = _clean(step, sampler.clip, latents, output)
        fresh = _draw(noises, latents.shape) if step.following[-1] else before
        latents, before = _sum(step.following, (latents, output, clean, before, fresh)), clean
    return latents


def _draw(noises: Sequence[Noise], shape: tuple[int, ...]) -> Latents:
    return np.stack([noise.draw(shape[1:]) for noise in noises])


def _clean(step: Step, clip: float | None, latents: Latents, output: Latents) -> Latents:
    clean = _sum(step.clean, (latents, output))
    return clean if clip is None else np.clip(clean, -clip, clip)


def _sum(coefficients: Sequence[float], terms: Sequence[Latents]) -> Latents:
    """Return the weighted sum; a term of weight 0 is left out, so that a NaN in it does not matter."""
    weighed = [np.float32(weight) * term for weight, term in zip(coefficients, terms, strict=True) if weight]
    total: Latents = sum(weighed[1:], start=weighed[0])
    return total

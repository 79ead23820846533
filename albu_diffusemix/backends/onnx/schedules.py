"""At which timesteps a sampler calls the network, and how much noise it assumes in the latents there.

A schedule is a list of timesteps, and of noise levels sigma = sqrt((1 - a) / a), a being the cumulative product of the
diffusion's alphas. It follows the scheduler of diffusers in every rounding, since one number later all pixels differ.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "karras", "kept_signal", "noise_levels", "spaced_timesteps"]

Array = NDArray[Any]

_RHO = 7.0  # Karras et al., https://arxiv.org/abs/2206.00364, section 3
_LEAST_SIGNAL = 2.0**-24


def kept_signal(config: Mapping[str, Any]) -> Array:
    """Return the share of the variance that is still signal at each training step, the cumulative product of alphas."""
    betas = _betas(config)
    if config["rescale_betas_zero_snr"]:
        betas = _without_signal_at_the_end(betas)
    kept = np.cumprod((np.float32(1) - betas).astype(np.float64)).astype(np.float32)
    if config["rescale_betas_zero_snr"] and "set_alpha_to_one" not in config:
        kept[-1] = _LEAST_SIGNAL
    return kept


def noise_levels(kept: Array) -> Array:
    """Return sigma at each training step."""
    return np.sqrt((1 - kept) / kept)


def spaced_timesteps(spacing: str, steps: int, trained: int, offset: int, *, beyond: bool = False) -> Array:
    """Choose timesteps, the noisiest first, in double precision; table 2 of https://arxiv.org/abs/2305.08891.

    Args:
        spacing: "linspace", "leading" or "trailing".
        steps: How many.
        trained: Number of training steps.
        offset: What "leading" adds to each.
        beyond: Space one more, and leave out the last, timestep 0.

    """
    count = steps + beyond
    if spacing == "linspace":
        return np.linspace(0, trained - 1, count)[::-1][:steps]
    if spacing == "leading":
        return (np.arange(count) * (trained // count))[::-1][:steps] + float(offset)
    return np.arange(trained, 0, -trained / steps).round()[:steps] - 1


def karras(levels: Array, high: float, low: float, steps: int) -> tuple[Array, Array]:
    """Space noise levels after Karras et al., equation 5, and find the timesteps that have them, between whole ones."""
    ramp = np.linspace(0, 1, steps)
    ends = high ** (1 / _RHO), low ** (1 / _RHO)
    sigmas = (ends[0] + ramp * (ends[1] - ends[0])) ** _RHO
    timesteps = np.interp(np.log(sigmas), np.log(levels), np.arange(len(levels)))
    return sigmas, timesteps


def _betas(config: Mapping[str, Any]) -> Array:
    first, last, count = config["beta_start"], config["beta_end"], config["num_train_timesteps"]
    if config["trained_betas"] is not None:
        return np.array(config["trained_betas"], np.float32)
    if config["beta_schedule"] == "linear":
        return _linspace(first, last, count)
    if config["beta_schedule"] == "scaled_linear":
        return np.square(_linspace(first**0.5, last**0.5, count))
    share = np.arange(count + 1) / count
    bar = np.cos((share + 0.008) / 1.008 * math.pi / 2) ** 2
    betas: Array = np.minimum(1 - bar[1:] / bar[:-1], 0.999)
    return betas.astype(np.float32)


def _linspace(first: float, last: float, count: int) -> Array:
    """Space numbers in single precision as torch does, from both ends to the middle."""
    start, end = np.float32(first), np.float32(last)
    step = (end - start) / np.float32(max(count - 1, 1))
    places = np.arange(count, dtype=np.float32)
    spaced: Array = np.where(places < count // 2, start + step * places, end - step * places[::-1])
    return spaced


def _without_signal_at_the_end(betas: Array) -> Array:
    """Rescale betas so that the last step holds noise alone; algorithm 1 of https://arxiv.org/abs/2305.08891."""
    roots = np.sqrt(np.cumprod((np.float32(1) - betas).astype(np.float64)).astype(np.float32))
    first = roots[0]
    roots = (roots - roots[-1]) * (first / (first - roots[-1]))
    kept = roots**2
    return np.concatenate([1 - kept[:1], 1 - kept[1:] / kept[:-1]])

"""Samplers as tables of coefficients: each step is one sum over what is there.

Sources: Euler and Euler ancestral, Karras et al., https://arxiv.org/abs/2206.00364, algorithms 1 and 2, in the form of
k-diffusion; DDIM, https://arxiv.org/abs/2010.02502, equation 12; DPM-Solver++ 2M, https://arxiv.org/abs/2211.01095,
algorithm 2.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from albu_diffusemix.backends.onnx.schedules import Array, karras, kept_signal, noise_levels, spaced_timesteps

__all__ = ["Sampler", "Step", "make_sampler"]


class Step(NamedTuple):
    """One step of a sampler.

    Attributes:
        timestep: The network's argument.
        input_scale: What the latents are multiplied by before the network sees them.
        clean: Coefficients of latents and output; their sum is the prediction of the clean latents.
        following: Coefficients of latents, output, clean, the clean of the step before, and new noise; their sum is the
            following latents.

    """

    timestep: float
    input_scale: float
    clean: tuple[float, float]
    following: tuple[float, float, float, float, float]


class Sampler(NamedTuple):
    """A sampler for one number of steps.

    Attributes:
        first_deviation: What the first noise is multiplied by.
        clip: Bound of the clean latents, or None.
        steps: In order.

    """

    first_deviation: float
    clip: float | None
    steps: tuple[Step, ...]


def make_sampler(options: Mapping[str, Any], steps: int) -> Sampler:
    """Compute the coefficients of a sampler.

    Args:
        options: Every option of the sampler and its `name`, as `read_options` returns them.
        steps: Denoising steps.

    Raises:
        ValueError: There are more steps than the model was trained with.

    """
    if steps > options["num_train_timesteps"]:
        raise ValueError(
            f"num_inference_steps must be at most {options['num_train_timesteps']}, the steps of training; got {steps}"
        )
    return _MAKERS[options["name"]](dict(options), steps)


def _euler_schedule(options: dict[str, Any], steps: int) -> tuple[Array, Array]:
    kept = kept_signal(options)
    levels = noise_levels(kept)
    trained = options["num_train_timesteps"]
    timesteps = spaced_timesteps(options["timestep_spacing"], steps, trained, options["steps_offset"])
    timesteps = timesteps.astype(np.float32)
    sigmas = np.interp(timesteps, np.arange(len(levels)), levels)
    if options.get("use_karras_sigmas"):
        sigmas, timesteps = karras(levels, sigmas[0], sigmas[-1], steps)
    return timesteps.astype(np.float32), np.append(sigmas, _last_sigma(options, levels)).astype(np.float32)


def _make_euler(options: dict[str, Any], count: int, *, ancestral: bool) -> Sampler:
    timesteps, sigmas = _euler_schedule(options, count)
    highest = float(sigmas.max())
    steps = []
    for timestep, now, then in zip(timesteps.tolist(), sigmas[:-1].tolist(), sigmas[1:].tolist(), strict=True):
        fresh = math.sqrt(then**2 * (now**2 - then**2) / now**2) if ancestral else 0.0
        change = math.sqrt(max(then**2 - fresh**2, 0)) - now
        keep, out = _clean_of_sigma(options["prediction_type"], now)
        following = (1 + change * (1 - keep) / now, -change * out / now, 0.0, 0.0, fresh)
        steps.append(Step(timestep, 1 / math.sqrt(now**2 + 1), (keep, out), following))
    leading = options["timestep_spacing"] == "leading"
    return Sampler(math.sqrt(highest**2 + 1) if leading else highest, None, tuple(steps))


def _clean_of_sigma(prediction: str, sigma: float) -> tuple[float, float]:
    """Return the weights of latents and output where latents are clean + sigma * noise."""
    if prediction == "epsilon":
        return 1.0, -sigma
    if prediction == "v_prediction":
        return 1 / (sigma**2 + 1), -sigma / math.sqrt(sigma**2 + 1)
    return 0.0, 1.0


def _clean_of_signal(prediction: str, signal: float, noise: float) -> tuple[float, float]:
    """Return the weights of latents and output where latents are signal * clean + noise * noise."""
    if prediction == "epsilon":
        return 1 / signal, -noise / signal
    if prediction == "v_prediction":
        return signal, -noise
    return 0.0, 1.0


def _last_sigma(options: dict[str, Any], levels: Array) -> float:
    return float(levels[0]) if options.get("final_sigmas_type") == "sigma_min" else 0.0


def _make_dpm(options: dict[str, Any], steps: int) -> Sampler:
    timesteps, sigmas = _dpm_schedule(options, steps)
    made = []
    for place, timestep in enumerate(timesteps):
        signal, noise = _signal_and_noise(sigmas[place])
        clean = _clean_of_signal(options["prediction_type"], signal, noise)
        second = options["solver_order"] > 1 and place > 0 and not _ends_in_first_order(options, place, len(timesteps))
        before = sigmas[place - 1] if second else None
        following = _dpm_following(options["solver_type"], before, sigmas[place], sigmas[place + 1])
        made.append(Step(timestep, 1.0, clean, following))
    return Sampler(1.0, None, tuple(made))


def _dpm_schedule(options: dict[str, Any], steps: int) -> tuple[list[float], list[float]]:
    levels = noise_levels(kept_signal(options))
    spacing, trained = options["timestep_spacing"], options["num_train_timesteps"]
    timesteps = spaced_timesteps(spacing, steps, trained, options["steps_offset"], beyond=spacing != "trailing").round()
    sigmas = np.interp(timesteps, np.arange(len(levels)), levels)
    if options["use_karras_sigmas"]:
        sigmas, timesteps = karras(levels, float(levels[-1]), float(levels[0]), steps)
        whole = timesteps if options["beta_schedule"] == "squaredcos_cap_v2" else timesteps.round()
        timesteps = np.floor(whole)
    return timesteps.tolist(), np.append(sigmas, _last_sigma(options, levels)).astype(np.float32).tolist()


def _ends_in_first_order(options: dict[str, Any], place: int, steps: int) -> bool:
    few = options["lower_order_final"] and steps < _FEW_STEPS
    return place == steps - 1 and (options["euler_at_final"] or few or options["final_sigmas_type"] == "zero")


def _dpm_following(
    solver: str, before: float | None, now: float, then: float
) -> tuple[float, float, float, float, float]:
    """Return the weights of one step; `before` is given for a second order. The paper's lambda is -log(sigma)."""
    signal, noise = _signal_and_noise(then)
    keep, new = noise / _signal_and_noise(now)[1], signal * (1 - then / now)
    if before is None:
        return keep, 0.0, new, 0.0, 0.0
    length = math.log(now / then)
    slope = new / 2 if solver == "midpoint" else signal * ((then / now - 1) / length + 1)
    slope *= length / math.log(before / now)
    return keep, 0.0, new + slope, -slope, 0.0


def _signal_and_noise(sigma: float) -> tuple[float, float]:
    signal = 1 / math.sqrt(sigma**2 + 1)
    return signal, sigma * signal


def _make_ddim(options: dict[str, Any], steps: int) -> Sampler:
    kept, trained = kept_signal(options), options["num_train_timesteps"]
    timesteps = spaced_timesteps(options["timestep_spacing"], steps, trained, options["steps_offset"]).round()
    final = 1.0 if options["set_alpha_to_one"] else float(kept[0])
    made = []
    for timestep in timesteps.astype(int).tolist():
        earlier = timestep - trained // steps
        now, then = float(kept[timestep]), float(kept[earlier]) if earlier >= 0 else final
        signal, noise = math.sqrt(now), math.sqrt(1 - now)
        clean = _clean_of_signal(options["prediction_type"], signal, noise)
        pull = math.sqrt(1 - then)
        latents, output = _noise_of_signal(options["prediction_type"], signal, noise)
        following = (pull * latents, pull * output, math.sqrt(then), 0.0, 0.0)
        made.append(Step(float(timestep), 1.0, clean, following))
    return Sampler(1.0, options["clip_sample_range"] if options["clip_sample"] else None, tuple(made))


def _noise_of_signal(prediction: str, signal: float, noise: float) -> tuple[float, float]:
    """Return the weights of latents and output for the noise that is in the latents."""
    if prediction == "epsilon":
        return 0.0, 1.0
    if prediction == "v_prediction":
        return noise, signal
    return 1 / noise, -signal / noise


_FEW_STEPS = 15  # under which the last steps of DPM-Solver++ are of lower order
_MAKERS: dict[str, Callable[[dict[str, Any], int], Sampler]] = {
    "DDIMScheduler": _make_ddim,
    "DPMSolverMultistepScheduler": _make_dpm,
    "EulerAncestralDiscreteScheduler": partial(_make_euler, ancestral=True),
    "EulerDiscreteScheduler": partial(_make_euler, ancestral=False),
}

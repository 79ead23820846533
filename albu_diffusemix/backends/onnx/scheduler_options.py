"""The options of a sampler as diffusers names them, their defaults, and what each may be."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from albu_diffusemix.backends.option_rules import COUNT, FLAG, Rule, is_number, is_whole

__all__ = ["SAMPLERS", "read_options"]

_FILE = "scheduler_config.json"


class _Options(NamedTuple):
    defaults: dict[str, Any]
    choices: dict[str, tuple[Any, ...]]


def read_options(config: Mapping[str, Any], wanted: str | Mapping[str, Any] | None) -> dict[str, Any]:
    """Merge a checkpoint's scheduler_config.json with what a user wants, as `from_config` of diffusers does.

    Args:
        config: What the file holds.
        wanted: A class of diffusers by name, or a mapping with its `name` and options; None is the checkpoint's own.

    Returns:
        Every option of the sampler, and its `name`.

    Raises:
        ValueError: There is no such sampler here, or an option or its value is not known.

    """
    given = {"name": wanted} if isinstance(wanted, str) else dict(wanted or {})
    name = given.pop("name", config.get("_class_name"))
    if not isinstance(name, str) or name not in SAMPLERS:
        raise ValueError(f"scheduler must be one of {', '.join(SAMPLERS)} with ONNX; got {name!r}")
    defaults = {**_COMMON, **SAMPLERS[name].defaults}
    choices = {**_COMMON_CHOICES, **SAMPLERS[name].choices}
    known = (*defaults, *SAMPLERS[name].choices)
    for option in given:
        if option not in known:
            raise ValueError(f"{name} has no option {option!r}; it has {', '.join(known)}")
    merged = {option: value for option, value in {**config, **given}.items() if option in known}
    for option, value in merged.items():
        where = "scheduler" if option in given else _FILE
        _check(f"{where}: {option} of {name}", value, choices.get(option), _rule(option, defaults))
    options = {**defaults, **merged, "name": name}
    _check_lengths(options)
    return options


def _check(what: str, value: Any, choices: tuple[Any, ...] | None, rule: Rule | None) -> None:
    if choices is not None and value not in choices:
        raise ValueError(f"{what} can be {', '.join(map(repr, choices))} with ONNX; got {value!r}")
    if rule is not None and not rule.holds(value):
        raise ValueError(f"{what} must be {rule.words}; got {value!r}")


def _rule(option: str, defaults: Mapping[str, Any]) -> Rule | None:
    return FLAG if isinstance(defaults.get(option), bool) else _RULES.get(option)


def _check_lengths(options: Mapping[str, Any]) -> None:
    """Refuse numbers that are right each alone, and do not go together."""
    trained, betas = options["num_train_timesteps"], options["trained_betas"]
    if options["steps_offset"] >= trained:
        raise ValueError(f"steps_offset must be under num_train_timesteps, {trained}; got {options['steps_offset']}")
    if betas is not None and len(betas) != trained:
        raise ValueError(f"trained_betas must hold num_train_timesteps, {trained}, numbers; got {len(betas)}")


def _is_share(value: Any) -> bool:
    return is_number(value) and 0 < value < 1


_BETA = Rule("a number between 0 and 1", _is_share)
_RULES = {
    "num_train_timesteps": COUNT,
    "steps_offset": Rule("a whole number of at least 0", lambda value: is_whole(value) and value >= 0),
    "beta_start": _BETA,
    "beta_end": _BETA,
    "trained_betas": Rule(
        "None or a list of numbers between 0 and 1",
        lambda value: value is None or (isinstance(value, list) and all(map(_is_share, value))),
    ),
    "clip_sample_range": Rule("a number above 0", lambda value: is_number(value) and value > 0),
}
_COMMON = {
    "num_train_timesteps": 1000,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "trained_betas": None,
    "prediction_type": "epsilon",
    "steps_offset": 0,
    "rescale_betas_zero_snr": False,
    "timestep_spacing": "linspace",
}
_COMMON_CHOICES = {
    "beta_schedule": ("linear", "scaled_linear", "squaredcos_cap_v2"),
    "prediction_type": ("epsilon", "v_prediction", "sample"),
    "timestep_spacing": ("linspace", "leading", "trailing"),
}
_SIGMAS = {"use_karras_sigmas": False, "final_sigmas_type": "zero"}
_SIGMAS_CHOICES: dict[str, tuple[Any, ...]] = {
    "final_sigmas_type": ("zero", "sigma_min"),
    "use_exponential_sigmas": (False,),
    "use_beta_sigmas": (False,),
}

SAMPLERS = {
    "DDIMScheduler": _Options(
        {"timestep_spacing": "leading", "clip_sample": True, "clip_sample_range": 1.0, "set_alpha_to_one": True},
        {"thresholding": (False,)},
    ),
    "DPMSolverMultistepScheduler": _Options(
        {
            **_SIGMAS,
            "solver_order": 2,
            "solver_type": "midpoint",
            "lower_order_final": True,
            "euler_at_final": False,
        },
        {
            **_SIGMAS_CHOICES,
            "solver_order": (1, 2),
            "solver_type": ("midpoint", "heun"),
            "algorithm_type": ("dpmsolver++",),
            "thresholding": (False,),
            "use_lu_lambdas": (False,),
            "use_flow_sigmas": (False,),
            "use_dynamic_shifting": (False,),
            "lambda_min_clipped": (-math.inf,),
            "variance_type": (None,),
        },
    ),
    "EulerAncestralDiscreteScheduler": _Options({}, {"prediction_type": ("epsilon", "v_prediction")}),
    "EulerDiscreteScheduler": _Options(
        _SIGMAS,
        {
            **_SIGMAS_CHOICES,
            "interpolation_type": ("linear",),
            "timestep_type": ("discrete",),
            "sigma_min": (None,),
            "sigma_max": (None,),
        },
    ),
}

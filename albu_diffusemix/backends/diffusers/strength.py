"""How many steps of image to image are taken, and that the source is among what they start from."""

import itertools

__all__ = ["taken_strength"]

_MOST_STEPS = 1000
_HUNDREDTHS = 100


def taken_strength(steps: int, strength: float, noise: str) -> float:
    """Return the strength to call a pipeline with, so that `int(steps * strength)` of its steps are taken.

    Pipelines of diffusion count so; those of flow round up, and would start from noise alone sooner than they say. The
    first of all steps starts from noise alone in models of flow, and from hardly more in those of diffusion.

    Args:
        steps: Denoising steps.
        strength: Share of them that is taken, in (0, 1].
        noise: "flow", or another.

    Raises:
        ValueError: No step would be taken, or all of them; the message says what works.

    """
    if _is_right(steps, strength):
        return (int(steps * strength) - 0.5) / steps if noise == "flow" else strength
    if int(steps * strength) < 1:
        fault = "leaves no step, so that nothing would be edited"
    else:
        fault = "takes every step, and the first starts from noise, so that the source would be lost"
    raise ValueError(
        f"strength {strength} of num_inference_steps {steps} {fault}: the nearest that work are "
        f"{' or '.join(_nearest(steps, strength))}"
    )


def _nearest(steps: int, strength: float) -> list[str]:
    """Return what may be given in place of the steps, and in place of the strength; both where one is not enough."""
    counts = (count for count in range(steps, _MOST_STEPS) if _is_right(count, strength))
    shares = [share / _HUNDREDTHS for share in range(1, _HUNDREDTHS) if _is_right(steps, share / _HUNDREDTHS)]
    near = [f"num_inference_steps {count}" for count in itertools.islice(counts, 1)]
    near += [f"strength {min(shares, key=lambda share: abs(share - strength))}"] if shares else []
    return near or [f"num_inference_steps {max(steps, 2)} with strength 0.5"]


def _is_right(steps: int, strength: float) -> bool:
    return 1 <= int(steps * strength) < steps

"""How many steps of image to image are taken, and that the source is among what they start from."""

__all__ = ["taken_strength"]

_MOST_STEPS = 1000
_HUNDREDTHS = 100


def taken_strength(steps: int, strength: float, noise: str) -> float:
    """Return the strength to call a pipeline with, so that `int(steps * strength)` of its steps are taken.

    Pipelines of diffusion count so; those of flow round up, and would start from noise alone sooner than they say.

    Args:
        steps: Denoising steps.
        strength: Share of them that is taken, in (0, 1].
        noise: "flow", where the first step is noise alone, or another.

    Raises:
        ValueError: No step would be taken, or all that start from noise alone; the message says what works.

    """
    if _is_right(steps, strength, noise):
        return (int(steps * strength) - 0.5) / steps if noise == "flow" else strength
    if int(steps * strength) < 1:
        fault = "leaves no step, so that nothing would be edited"
    else:
        fault = "takes every step, and the first starts from noise alone, so that the source would be lost"
    near = [f"num_inference_steps {count}" for count in _first(range(steps, _MOST_STEPS), strength, noise)]
    shares = [share / _HUNDREDTHS for share in range(1, _HUNDREDTHS + 1)]
    right = [share for share in shares if _is_right(steps, share, noise)]
    near += [f"strength {min(right, key=lambda share: abs(share - strength))}"] if right else []
    raise ValueError(
        f"strength {strength} of num_inference_steps {steps} {fault}: the nearest that work are {' or '.join(near)}"
    )


def _is_right(steps: int, strength: float, noise: str) -> bool:
    taken = int(steps * strength)
    return taken >= 1 and not (noise == "flow" and taken >= steps)


def _first(counts: range, strength: float, noise: str) -> list[int]:
    return next(([count] for count in counts if _is_right(count, strength, noise)), [])

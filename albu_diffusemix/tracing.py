"""What our transforms were called with while a pipeline ran, for those who show what happened inside."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from albu_diffusemix._host import HostTransform
from albu_diffusemix.functional import Image

__all__ = ["TracedCall", "record_call", "trace"]

_calls: ContextVar[list["TracedCall"] | None] = ContextVar("albu_diffusemix_calls", default=None)


class TracedCall(NamedTuple):
    """One call of a transform of ours, as `trace` keeps it.

    Attributes:
        transform: The transform that was applied.
        image: The image that it was handed.
        params: What had been sampled for it.

    """

    transform: HostTransform
    image: Image
    params: dict[str, Any]


@contextmanager
def trace() -> Iterator[list[TracedCall]]:
    """Keep the calls of our transforms on single images while a pipeline runs, to show what happened inside.

    Yields:
        Filled call by call, in order.

    Examples:
        >>> import numpy as np
        >>> from albu_diffusemix import DiffuseMix
        >>> from albu_diffusemix.tracing import trace
        >>> with trace() as calls:
        ...     image = DiffuseMix(prompts=("snowy",), p=1)(image=np.zeros((8, 8, 3), np.uint8))["image"]
        >>> calls[0].params["prompt"]
        'snowy'

    """
    calls: list[TracedCall] = []
    token = _calls.set(calls)
    try:
        yield calls
    finally:
        _calls.reset(token)


def record_call(transform: HostTransform, image: Image, params: dict[str, Any]) -> None:
    """Add a call to those that `trace` keeps; outside of its block nothing is kept."""
    calls = _calls.get()
    if calls is not None:
        calls.append(TracedCall(transform, image, params))

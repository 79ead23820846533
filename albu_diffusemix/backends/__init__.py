"""Makers of counterparts: the one seam between the transforms, the job and any generator of images."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]
"""`(x_min, y_min, x_max, y_max)` in pixels, the upper ends excluded."""

Status = Literal["ok", "blank", "nonfinite", "nsfw", "missing"]


class Request(NamedTuple):
    """What a counterpart is made from.

    Attributes:
        image: The source, `(H, W, 3)` uint8 RGB, C-contiguous.
        prompt: The effect to apply; None lets the backend choose one of its own, by `seed`.
        seed: Moves everything random in the counterpart.
        key: Name of the source in its data set, or None where there is none.
        box: The part of the counterpart that will be used.

    """

    image: NDArray[np.uint8]
    prompt: str | None
    seed: int
    key: str | None
    box: Box


class Counterpart(NamedTuple):
    """What a backend made of one request.

    Attributes:
        image: The requested box, `(box height, box width, 3)` uint8 RGB; None unless `status` is "ok".
        status: "ok", or why there is no image.
        prompt: The prompt that was used.

    """

    image: NDArray[np.uint8] | None
    status: Status
    prompt: str


class Backend(Protocol):
    """A maker of counterparts. Pure: a counterpart depends on its request and the fingerprint alone."""

    @property
    def fingerprint(self) -> str:
        """Digest of everything that changes pixels, apart from the request."""

    @property
    def prompts(self) -> tuple[str, ...]:
        """The prompts to choose from when the user names none; empty where each image has its own."""

    def generate(self, requests: Sequence[Request]) -> list[Counterpart]:
        """Make one counterpart for each request, in order."""

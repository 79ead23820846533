"""Whether a server uses what it is told: the image, and the seed."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.backends import BackendUnavailableError
from albu_diffusemix.backends.editing import ModelInput
from albu_diffusemix.backends.images_api.settings import Settings
from albu_diffusemix.prompts import PAPER_PROMPTS

__all__ = ["check"]


def check(edit: Callable[[Sequence[ModelInput]], Sequence[NDArray[np.uint8] | str]], settings: Settings) -> None:
    """Ask for four images: one, the same again, with another seed, and of the negative.

    Raises:
        BackendUnavailableError: Seed or image are ignored; or none of the four is drawn.

    """
    down, right = (np.linspace(0, 255, side).astype(np.uint8) for side in settings.sides(2, 3))
    image = np.stack(np.broadcast_arrays(down[:, None], right[None, :], np.uint8(96)), axis=-1)
    prompt = settings.template.replace("{prompt}", PAPER_PROMPTS[0])
    asked = [(image, 1), (image, 1), (image, 2), (255 - image, 1)]
    answers = edit([ModelInput(np.ascontiguousarray(pixels), prompt, seed) for pixels, seed in asked])
    refused = [answer for answer in answers if isinstance(answer, str)]
    if refused:
        raise BackendUnavailableError(f"the server at {settings.base_url} draws no test image: {refused[0]}")
    one, again, other, negative = (np.asarray(answer, np.float32) for answer in answers)
    by_chance, by_seed = np.abs(one - again).mean(), np.abs(one - other).mean()
    # Servers that add up a batch in another order differ a little each time, far less than another seed makes them.
    if by_chance >= by_seed / 2 and not settings.seedless:
        seen = "the same image" if by_seed == 0 else "other images each time"
        raise BackendUnavailableError(
            f"the server at {settings.base_url} ignores the seed: it draws {seen}; give one that it uses, or say "
            "seedless: true, and a run can then not be repeated"
        )
    if np.abs(one - negative).mean() <= by_chance:
        raise BackendUnavailableError(
            f"the server at {settings.base_url} ignores the image: of its negative it draws the same; "
            "is the model one that edits?"
        )

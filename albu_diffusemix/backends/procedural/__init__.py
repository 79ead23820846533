"""Counterparts from OpenCV filters, one for each of the paper's prompts: no weights, no GPU, and not diffusion."""

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.backends import Counterpart, Request
from albu_diffusemix.backends.pixels import check_request
from albu_diffusemix.backends.procedural.art import crayon, mosaic, ukiyo_e, watercolor
from albu_diffusemix.backends.procedural.sky import aurora, rainbow, sunset
from albu_diffusemix.backends.procedural.weather import autumn, rain, snowy
from albu_diffusemix.functional import crop
from albu_diffusemix.prompts import PAPER_PROMPTS

VERSION = 1
"""Raised with every change of a filter that changes pixels."""
SMALLEST_SIDE, LARGEST_SIDE, LONGEST_EDGE = 128, 1024, 16384
"""Pixels: filters work between these geometric mean sides, and never on a longer edge than OpenCV can warp."""


class Effect(NamedTuple):
    """A filter, the share of a large photograph's finest detail it lets through, and other words that ask for it."""

    filter: Callable[[NDArray[np.uint8], np.random.Generator], NDArray[np.uint8]]
    detail: float
    words: str


EFFECTS = {
    "autumn": Effect(autumn, 0.9, "autumn autumnal fall foliage leaf leaves october november"),
    "snowy": Effect(snowy, 0.8, "snowy snow snowing snowfall snowstorm winter wintry blizzard frost frosty icy"),
    "sunset": Effect(sunset, 0.7, "sunset sunrise dusk dawn evening twilight"),
    "watercolor art": Effect(watercolor, 0.0, "watercolor watercolour aquarelle painting painted painterly"),
    "rainbow": Effect(rainbow, 0.9, "rainbow spectrum"),
    "aurora": Effect(aurora, 0.5, "aurora borealis polaris northern"),
    "mosaic": Effect(mosaic, 0.0, "mosaic tile tiled tessera tesserae"),
    "ukiyo-e": Effect(ukiyo_e, 0.0, "ukiyo ukiyoe woodblock woodcut japanese hokusai hiroshige"),
    "a sketch with crayon": Effect(crayon, 0.0, "sketch sketched crayon pastel chalk drawing drawn pencil"),
    "rain": Effect(rain, 0.8, "rain rainy raining rainfall rainstorm drizzle shower wet"),
}


class Procedural:
    """OpenCV filters for the paper's prompts: every pipeline runs at once, with no weights and no GPU. Not diffusion.

    Each prompt has one filter that keeps the subject's outlines where they are. The nine prompts of the paper are in
    `prompts`; "rain", the tenth of the authors' supplementary code, is available by name. Any other prompt gets the
    filter that is nearest by word, see `nearest_prompt`. The same image, prompt and seed give the same bytes, in any
    order and on any number of threads; another seed gives other flakes, directions, strengths and hues.

    Source: DiffuseMix (CVPR 2024), section 4, for the prompts. The filters are this package's own.

    Examples:
        >>> import numpy as np
        >>> from albu_diffusemix.backends import Request
        >>> from albu_diffusemix.backends.procedural import Procedural
        >>> image = np.zeros((64, 48, 3), np.uint8)
        >>> left_half = Request(image, "snow", seed=7, key=None, box=(0, 0, 24, 64))
        >>> [counterpart] = Procedural().generate([left_half])
        >>> counterpart.image.shape, counterpart.status, counterpart.prompt
        ((64, 24, 3), 'ok', 'snowy')

    """

    fingerprint: str = f"procedural-{VERSION}"
    prompts: tuple[str, ...] = PAPER_PROMPTS

    def __repr__(self) -> str:
        return "Procedural()  # OpenCV filters, not diffusion"

    def check_prompt(self, prompt: str) -> None:
        """Raise ValueError for a prompt that has no word of the ten, with a list of them.

        Any other is drawn by the filter that `nearest_prompt` names.
        """
        nearest_prompt(prompt)

    def generate(self, requests: Sequence[Request]) -> list[Counterpart]:
        """Filter each request's image and cut out its box.

        Args:
            requests: Images `(H, W, 3)` uint8 RGB of any size from 1x1 up, only read. A prompt of None is chosen among
                `prompts` by the request's seed.

        Returns:
            One for each request, in order: C-contiguous, status "ok". Its prompt is the filter that
                was used, also where the request has it in other words.

        Raises:
            ValueError: If a prompt has no known word, an image is not `(H, W, 3)` uint8, or a box is empty
                or reaches beyond its image.

        """
        return [self._make(request) for request in requests]

    def _make(self, request: Request) -> Counterpart:
        check_request(request)
        prompt = self._choose(request.seed) if request.prompt is None else nearest_prompt(request.prompt)
        made = _at_working_size(request.image, EFFECTS[prompt], _generator(request.seed, prompt))
        return Counterpart(np.ascontiguousarray(crop(made, request.box)), "ok", prompt)

    def _choose(self, seed: int) -> str:
        return self.prompts[_generator(seed, "choice of a prompt").integers(len(self.prompts))]


def nearest_prompt(prompt: str) -> str:
    """Find the known prompt that shares the most words with `prompt`; the earlier one of the table if several do.

    Args:
        prompt: What the user asked for. Case, punctuation and order do not matter; synonyms count.

    Returns:
        One of the ten prompts that have a filter.

    Raises:
        ValueError: If no word is known; the message lists the prompts that are.

    Examples:
        >>> nearest_prompt("A snowy day!")
        'snowy'
        >>> nearest_prompt("watercolour painting")
        'watercolor art'

    """
    if prompt in EFFECTS:
        return prompt
    asked = set(re.findall(r"[a-z]+", prompt.lower()))
    asked |= {word.removesuffix("s") for word in asked}
    shared = {name: len(asked.intersection(effect.words.split())) for name, effect in EFFECTS.items()}
    best = max(shared, key=lambda name: shared[name])
    if shared[best] == 0:
        raise ValueError(f"unknown prompt {prompt!r} for the procedural backend; it knows: {', '.join(EFFECTS)}")
    return best


def _generator(seed: int, purpose: str) -> np.random.Generator:
    digest = hashlib.blake2b(f"{seed}:{purpose}".encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


def _at_working_size(image: NDArray[np.uint8], effect: Effect, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Filter a tiny image enlarged and a huge one reduced, so that effects look alike at every size."""
    height, width = image.shape[:2]
    scale = _working_scale(height, width)
    if scale == 1:
        return effect.filter(image, rng)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if scale > 1:
        made = effect.filter(_resized(image, size, cv2.INTER_CUBIC), rng)
        return _resized(made, (width, height), cv2.INTER_AREA)
    reduced = _resized(image, size, cv2.INTER_AREA)
    made = _resized(effect.filter(reduced, rng), (width, height), cv2.INTER_CUBIC)
    if effect.detail == 0:
        return made
    restored = _resized(reduced, (width, height), cv2.INTER_CUBIC)
    lost = cv2.addWeighted(image, effect.detail, restored, -effect.detail, 0, dtype=cv2.CV_16S)
    return np.asarray(cv2.add(made, lost, dtype=cv2.CV_8U), np.uint8)


def _working_scale(height: int, width: int) -> float:
    side = float(np.sqrt(height * width))
    wanted = min(max(side, SMALLEST_SIDE), LARGEST_SIDE) / side
    return min(wanted, LONGEST_EDGE / max(height, width))


def _resized(image: NDArray[np.uint8], size: tuple[int, int], interpolation: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(image, size, interpolation=interpolation), np.uint8)

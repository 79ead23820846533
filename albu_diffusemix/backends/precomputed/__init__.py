"""Counterparts that were made before, read from a store: the everyday path of training."""

import os
from collections.abc import Sequence
from typing import Literal, get_args

import cv2
import numpy as np
import xxhash
from numpy.typing import NDArray

from albu_diffusemix.backends import Counterpart, Request
from albu_diffusemix.backends.precomputed.matching import Explainer, Mismatch, find
from albu_diffusemix.backends.precomputed.store_paths import filled_in
from albu_diffusemix.functional import Box, crop
from albu_diffusemix.jpeg import decode_box
from albu_diffusemix.prompts import is_filled_from
from albu_diffusemix.store import Recipe, Record, Store, StoreError
from albu_diffusemix.store.raw_images import ENCODING as RAW

__all__ = ["Precomputed"]

Miss = Literal["error", "passthrough"]

VERSION = 1
"""Raised with every change of how a counterpart is chosen or fitted to the image."""


class Precomputed:
    """Counterparts from a store that `albu-diffusemix generate` made.

    An image is looked up by its key, or by its pixels where the call gives no key. Of its counterparts (those of the
    request's prompt, if there is one) the seed chooses: the same seed, the same one. Only the part that the mask uses
    is decoded. A counterpart that was made from other pixels is never used: the error names what happened
    to the image. The store may be opened before a DataLoader starts its workers, by fork, spawn or forkserver.

    Args:
        store: The store's folder. `~` and `$NAME` in it are filled in when it is opened; a relative path is looked for
            where the script was started.
        on_miss: What to do with an image that the store has nothing for. "error" says why; "passthrough" leaves
            the image unmixed, warns once and counts. Default: "error".
        on_mismatch: What to do where the key is there, but the pixels differ. "error" names the cause. "stretch"
            allows a stretch of the whole image, as by `A.Resize`, and decoders that differ by a grey level. It still
            refuses an image whose height and width are the source's exchanged, and the very source flipped, turned or
            BGR; what was cropped, padded or letterboxed, or flipped, turned or BGR *and* resized or decoded
            differently, it cannot detect. Default: "error".
        variant: The only one of each image's counterparts to take, such as "0000", so that none is left to chance.
            Default: None, any of them.
        choices: Whether counterparts that are rejected are left out. False takes them too, to measure what choosing
            them does. Default: True.

    Attributes:
        prompts: Empty: each image has its own.

    Raises:
        ValueError: An option is not allowed; a name in the path is not set; there is no store, it is damaged, of a
            newer format, or cannot be read.

    Examples:
        >>> from albu_diffusemix.backends.precomputed import Precomputed
        >>> Precomputed("flowers.dm", on_miss="ignore")
        Traceback (most recent call last):
        ValueError: on_miss must be 'error' or 'passthrough'; got 'ignore'

    """

    prompts: tuple[str, ...] = ()

    def __init__(
        self,
        store: str,
        on_miss: Miss = "error",
        on_mismatch: Mismatch = "error",
        variant: str | None = None,
        choices: bool = True,  # noqa: FBT001, FBT002  an option of a spec, which is given by name
    ) -> None:
        _check_option("on_miss", on_miss, get_args(Miss))
        _check_option("on_mismatch", on_mismatch, get_args(Mismatch))
        if not isinstance(store, str) or not store:
            hint = ": give str(path)" if isinstance(store, os.PathLike) else ""
            raise ValueError(f"store must be the path of a store's folder; got {store!r}{hint}")
        if not isinstance(variant, str | None):
            raise ValueError(f"variant must be a variant's name, such as '0000', or None; got {variant!r}")  # noqa: TRY004
        if not isinstance(choices, bool):
            raise ValueError(f"choices must be true or false; got {choices!r}")  # noqa: TRY004  as for all options
        self.variant = variant
        self.choices = choices
        self.on_miss = on_miss
        self.on_mismatch = on_mismatch
        self._store = Store.open(filled_in(store))

    def __repr__(self) -> str:
        return f"Precomputed({str(self._store.path)!r}, on_miss={self.on_miss!r}, on_mismatch={self.on_mismatch!r})"

    @property
    def fingerprint(self) -> str:
        """Digest of how the counterparts were made, how one is chosen and which are rejected; a store may grow."""
        made = repr([recipe.to_json() for recipe in self._recipes()])
        variant = "" if self.variant is None else f"-{self.variant}"
        digest_of_rejected = self._store.rejected_digest() if self.choices else "with-rejected"
        rejected = digest_of_rejected and f"-{digest_of_rejected}"
        digest = xxhash.xxh3_64_hexdigest(made.encode())
        return f"precomputed-{VERSION}-{digest}-{self.on_mismatch}{variant}{rejected}"

    def check_prompt(self, prompt: str) -> None:
        """Raise ValueError for a prompt that nothing in the store was made with, with a list of those that are."""
        known = list(dict.fromkeys(prompt for recipe in self._recipes() for prompt in recipe.every_prompt))
        if not any(is_filled_from(prompt, other) for other in known):
            raise ValueError(
                f"no counterpart in {self._store.path} has the prompt {prompt!r}; it has: {_listed(known)}"
            )

    def generate(self, requests: Sequence[Request]) -> list[Counterpart]:
        """Read the requested part of one counterpart for each request.

        Args:
            requests: Images `(H, W, 3)` uint8 RGB, whole and unchanged as they came from the data
                set. A prompt of None takes any of the image's counterparts.

        Returns:
            One for each request, in order, of the box's size; status "ok", or "missing" where
                `on_miss` is "passthrough".

        Raises:
            ValueError: None is there and `on_miss` is "error", or it was made from other pixels or is damaged.

        """
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> Counterpart:
        match = find(
            self._store,
            request.image,
            request.key,
            request.prompt,
            self.on_mismatch,
            self.variant,
            choices=self.choices,
        )
        if match.records:
            named = [record for record in match.records if record.variant == request.variant]
            records = named or match.records
            record = records[request.seed % len(records)]
            return Counterpart(self._read(record, request), "ok", record.prompt, record.variant)
        if match.missing and self.on_miss == "passthrough":
            return Counterpart(None, "missing", request.prompt or "")
        raise ValueError(self._complaint(request, missing=match.missing))

    def _read(self, record: Record, request: Request) -> NDArray[np.uint8]:
        box, size = request.box, request.image.shape[:2]
        if record.encoding == RAW:
            return _resized(self._store.read_box(record, lambda *stored: _scaled(box, size, stored)), box)
        data = self._store.read(record)
        try:
            part = _decode(data, record.encoding, box, size)
        except ValueError as error:
            raise StoreError(
                f"{record.key} {record.variant} in {self._store.path} cannot be decoded: {error}"
            ) from error
        return _resized(part, request.box)

    def _complaint(self, request: Request, *, missing: bool) -> str:
        explainer = Explainer(self._store, choices=self.choices)
        cause = explainer.explain(request.image, request.key, request.prompt, self.variant)
        name = "the image (it was given no key)" if request.key is None else f"key {request.key!r}"
        if missing:
            sources = self._store.status().sources
            return f"no counterpart for {name} among the {sources:,} sources of {self._store.path}: {cause}"
        return f"the counterpart of {name} in {self._store.path} does not fit: {cause}"

    def _recipes(self) -> list[Recipe]:
        return [self._store.recipe, *self._store.mixed]


def _check_option(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be {' or '.join(map(repr, allowed))}; got {value!r}")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names)) or "none"


def _decode(data: bytes, encoding: str, box: Box, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Decode the part of a stored counterpart that covers `box` of its source of `size`, height and width."""
    if encoding == "jpg":
        part = decode_box(data, lambda height, width: _scaled(box, size, (height, width)))
        return part if part.ndim == 3 else np.asarray(cv2.cvtColor(part, cv2.COLOR_GRAY2RGB), np.uint8)  # noqa: PLR2004
    whole = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if whole is None:
        raise ValueError(f"OpenCV reads no {encoding} in its {len(data)} bytes")
    part = crop(whole, _scaled(box, size, whole.shape[:2]))
    return np.asarray(cv2.cvtColor(part, cv2.COLOR_BGR2RGB), np.uint8)


def _scaled(box: Box, size: tuple[int, int], stored: tuple[int, int]) -> Box:
    if size == stored:
        return box
    y_min, y_max = _span(box[1], box[3], size[0], stored[0])
    x_min, x_max = _span(box[0], box[2], size[1], stored[1])
    return x_min, y_min, x_max, y_max


def _span(start: int, end: int, side: int, stored: int) -> tuple[int, int]:
    """Round an interval of a side to the nearest stored pixels, at least one."""
    first, last = ((2 * edge * stored + side) // (2 * side) for edge in (start, end))
    first = min(first, stored - 1)
    return first, max(last, first + 1)


def _resized(part: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    height, width = box[3] - box[1], box[2] - box[0]
    if part.shape[:2] == (height, width):
        return part
    # Bilinear takes two pixels on each axis, which is enough until half the size; areas cost eight times as much.
    shrinks = part.shape[0] > 2 * height or part.shape[1] > 2 * width
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(part, (width, height), interpolation=interpolation), np.uint8)

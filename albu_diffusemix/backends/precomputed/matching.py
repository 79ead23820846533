"""Which counterparts of a store belong to an image, and why some images have none.

A counterpart that is not aligned with its image would spoil the training without an error, so a hit by key counts only
if the pixels are those that the counterpart was made from. `Explainer` then tries what often happens to images before
they are mixed.
"""

import itertools
from functools import cached_property
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.backends.precomputed.changes import FIRST, UPRIGHT, Change, change_among, change_of, is_sideways
from albu_diffusemix.prompts import is_filled_from
from albu_diffusemix.store import Record, Source, Store

__all__ = ["SAME_ROOT", "Cause", "Explainer", "Match", "Mismatch", "find"]

Mismatch = Literal["error", "stretch"]
Pixels = NDArray[np.uint8]

EXAMPLES = 1000
"""Entries of the store that are looked at for what its keys are like."""

SAME_ROOT = "give keys that are relative to the same root as when the store was made"
STRETCH = '"on_mismatch": "stretch" in the backend\'s spec allows it'

CHANGED = "if the file was changed, run generate again with --changed"


class Match(NamedTuple):
    """The counterparts that belong to an image.

    Attributes:
        records: The counterparts, ordered by key and variant.
        missing: Where there are no records: whether the store has none for that image and prompt, or all of them are
            rejected. Otherwise it has some, but they were made from other pixels.

    """

    records: list[Record]
    missing: bool


class Cause(NamedTuple):
    """Why an image has no counterpart.

    Attributes:
        what: The reason, in the same words for all images that share it.
        detail: What is special about this image; may be empty.
        advice: What to do.

    """

    what: str
    detail: str
    advice: str

    def __str__(self) -> str:
        return f"{self.what}{f' ({self.detail})' if self.detail else ''}: {self.advice}"


def find(
    store: Store,
    image: Pixels,
    key: str | None,
    prompt: str | None,
    on_mismatch: Mismatch = "error",
    variant: str | None = None,
    *,
    choices: bool = True,
) -> Match:
    """Look up an image: by its key, or by its pixels where it has no key.

    Args:
        store: Where to look.
        image: The source, `(H, W, 3)` uint8 RGB.
        key: Its path relative to the root of its data set, or None.
        prompt: The only effect to look for; None takes all.
        on_mismatch: What a hit by key with other pixels is. "error": no match. "stretch": a match, unless the image
            is the source itself flipped, turned or BGR, or has the source's height and width exchanged.
        variant: The only variant to look for; None takes all.
        choices: Whether what is rejected is not found.

    Raises:
        StoreError: The key is not valid, or the store is damaged.

    """
    records = _wanted(_records(store, image, key), prompt, variant)
    records = store.kept(records) if choices else records
    if key is None or not records:
        return Match(records, missing=not records)
    fitting = _same(records, image)
    if not fitting and on_mismatch == "stretch":
        aligned = {source for source in {record.source for record in records} if not _is_misaligned(image, source)}
        fitting = [record for record in records if record.source in aligned]
    return Match(fitting, missing=False)


class Explainer:
    """Says why `find` gave no records.

    Args:
        store: Where it looked.
        choices: Whether what is rejected was not found.

    """

    def __init__(self, store: Store, *, choices: bool = True) -> None:
        self._store = store
        self._choices = choices

    def explain(self, image: Pixels, key: str | None, prompt: str | None = None, variant: str | None = None) -> Cause:
        """Return the cause for one image; the arguments are those of `find`.

        Raises:
            StoreError: As for `find`.

        """
        records = _records(self._store, image, key)
        wanted = _wanted(records, prompt, variant)
        if wanted and self._choices and not self._store.kept(wanted):
            return _rejected(wanted)
        if records and not _wanted(records, prompt, None):
            return _other_prompts(records, prompt)
        if records and not wanted:
            return _other_variants(records, variant)
        if records:
            by_pixels = self._store.variants_by_pixels(Source.of(image).pixels)
            return _wrong_key(key, by_pixels[0]) if by_pixels else _other_pixels(image, records[-1].source)
        return self._unknown_pixels(image) if key is None else self._unknown_key(image, key)

    def _unknown_pixels(self, image: Pixels) -> Cause:
        change = change_among(image, lambda source: self._store.variants_by_pixels(source.pixels))
        if change is not None:
            return _changed(change)
        if not self._examples:
            return _EMPTY
        return Cause(
            "no source in the store has these pixels",
            f"{image.shape[1]}x{image.shape[0]}",
            f"{FIRST}; if another program decoded the file, give the image's key; if it is new, generate again",
        )

    def _unknown_key(self, image: Pixels, key: str) -> Cause:
        by_pixels = self._store.variants_by_pixels(Source.of(image).pixels)
        if by_pixels:
            advice = f"{SAME_ROOT}; if the file was renamed or copied, generate again"
            return Cause("the store has the image under another key", _arrow(key, by_pixels[0].key), advice)
        failure = self._failure(key)
        if failure is not None:
            return Cause(
                f"no counterpart could be made: {failure.reason}", "", "run generate again with --retry-failed"
            )
        if not self._examples:
            return _EMPTY
        near = self._near_key(key)
        if near is not None:
            return Cause("the store has a key like it, with other folders or ending", _arrow(key, near), SAME_ROOT)
        example = f"its keys are like {self._examples[0].key!r}"
        return Cause("the store has no such key", example, f"{SAME_ROOT}; if the image is new, generate again")

    def _failure(self, key: str) -> Record | None:
        found = (self._store.find(key, variant) for variant in self._variants)
        return next((record for record in found if record is not None and record.failed), None)

    def _near_key(self, key: str) -> str | None:
        """Try the key with fewer folders, more folders and other endings, as far as the store's own suggest them."""
        asked = PurePosixPath(key)
        tries = [
            *("/".join(asked.parts[first:]) for first in range(1, len(asked.parts))),
            *(f"{folder}/{key}" for folder in self._folders),
            *(str(asked.with_suffix(ending)) for ending in self._endings),
        ]
        return next((known for known in tries if self._has(known)), None)

    def _has(self, key: str) -> bool:
        try:
            return bool(self._store.variants(key))
        except ValueError:
            return False

    @cached_property
    def _examples(self) -> list[Record]:
        return list(itertools.islice(self._store.records(), EXAMPLES))

    @cached_property
    def _variants(self) -> list[str]:
        records = self._examples or itertools.islice(self._store.failures(), EXAMPLES)
        return sorted({record.variant for record in records})

    @cached_property
    def _folders(self) -> list[str]:
        return sorted(
            {str(folder) for record in self._examples for folder in PurePosixPath(record.key).parents} - {"."}
        )

    @cached_property
    def _endings(self) -> list[str]:
        return sorted({PurePosixPath(record.key).suffix for record in self._examples} - {""})


_EMPTY = Cause(
    "the store is empty", "", "run generate; what a killed run left behind is seen when the same command was run again"
)


def _records(store: Store, image: Pixels, key: str | None) -> list[Record]:
    return store.variants_by_pixels(Source.of(image).pixels) if key is None else store.variants(key)


def _wanted(records: list[Record], prompt: str | None, variant: str | None) -> list[Record]:
    if prompt is not None:
        records = [record for record in records if is_filled_from(record.prompt, prompt)]
    return records if variant is None else [record for record in records if record.variant == variant]


def _same(records: list[Record], image: Pixels) -> list[Record]:
    """Keep those made from what the image is; it is hashed, all of it at every call, where the size of one agrees."""
    size = image.shape[:2]
    for record in records:
        if record.source[:2] == size:
            source = Source.of(image)
            return [record for record in records if record.source == source]
    return []


def _is_misaligned(image: Pixels, source: Source) -> bool:
    """Return whether a counterpart of this source is misaligned, as far as that shows without the source."""
    return is_sideways(image, source) or change_of(image, source) is not None


def _rejected(records: list[Record]) -> Cause:
    return Cause(
        "its counterparts are rejected",
        ", ".join(repr(record.variant) for record in records),
        "`albu-diffusemix reject --undo` brings them back, generate --replace-rejected makes others in their place",
    )


def _changed(change: Change) -> Cause:
    return Cause(f"the image is {change.what}", "", change.advice)


def _other_prompts(records: list[Record], prompt: str | None) -> Cause:
    return Cause(
        f"its counterparts have other prompts than {prompt!r}",
        ", ".join(sorted({record.prompt for record in records})),
        "leave prompts=None to take what each image has, or generate with --all-prompts",
    )


def _other_variants(records: list[Record], variant: str | None) -> Cause:
    return Cause(
        f"it has no such counterpart of the variant {variant!r}",
        f"it has {', '.join(repr(record.variant) for record in records)}",
        "leave 'variant' out of the backend's spec to take any of them",
    )


def _other_pixels(image: Pixels, source: Source) -> Cause:
    change = change_of(image, source)
    if change is not None:
        return _changed(change)
    height, width = image.shape[:2]
    sizes = f"{width}x{height}, the source was {source.width}x{source.height}"
    if is_sideways(image, source):
        return Cause("the image lies on its side", sizes, UPRIGHT)
    if (height, width) != source[:2]:
        what = "the image has another size than its source: cut out, resized or padded"
        return Cause(what, sizes, f"{FIRST}; if the whole image was stretched, as by A.Resize, {STRETCH}; {CHANGED}")
    return Cause(
        "the image has other pixels than its source",
        "it is grey" if _is_grey(image) else "",
        f"{FIRST}; if another decoder read the file, which differs by a grey level, {STRETCH}; {CHANGED}",
    )


def _is_grey(image: Pixels) -> bool:
    return np.array_equal(image[..., 0], image[..., 1]) and np.array_equal(image[..., 1], image[..., 2])


def _wrong_key(key: str | None, record: Record) -> Cause:
    return Cause(
        "the key is that of another image",
        f"given {key!r}, the store has these pixels as {record.key!r}",
        "give each image its own key",
    )


def _arrow(asked: str, known: str) -> str:
    return f"asked for {asked!r}, the store has {known!r}"

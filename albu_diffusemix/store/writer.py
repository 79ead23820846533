"""Writing counterparts: one process, one part at a time, acknowledged when the kernel has the bytes."""

import contextlib
import os
from pathlib import Path
from types import TracebackType
from typing import Any, final

from albu_diffusemix.keys import UNKNOWN_SOURCE, Source, check_name, normalise_key
from albu_diffusemix.store.files import StoreError
from albu_diffusemix.store.members import encode_sample, sniff, uint32
from albu_diffusemix.store.open_part import OpenPart
from albu_diffusemix.store.raw_images import ENCODING as RAW
from albu_diffusemix.store.records import Record

PART_BYTES = 1 << 28
"""A writer seals its part at 256 MiB and starts the next: about 10,000 counterparts of 256 px."""


@final
class Writer:
    """Appends to parts of its own; made by `Store.writer`, used in a `with` block, which seals at its end.

    Also when the block ends with an error what was acknowledged is sealed, and if that fails as well (a full disk), it
    stays in the open part for the next `Store.create` to salvage. A part is started when something is put in it. A
    writer belongs to one thread of one process.

    Args:
        folder: The store's folder of parts.
        fields: What store.json says.
        made_with: What each part is to say of how it was made.
        label: Start of the parts' names.
        part_bytes: A part is sealed when it has that many bytes.

    """

    def __init__(
        self, folder: Path, fields: dict[str, Any], made_with: dict[str, Any], label: str, part_bytes: int
    ) -> None:
        self._folder = folder
        self._fields = fields
        self._made_with = made_with
        self._label = label
        self._part_bytes = part_bytes
        self._process = os.getpid()
        self._part: OpenPart | None = None
        self._written: set[tuple[str, str, bool]] = set()

    def put(
        self, key: str, variant: str, data: bytes, *, prompt: str, seed: int, source: Source, used_prompt: str = ""
    ) -> None:
        """Store an image. When this returns, the kernel has it: the death of the process does not lose it.

        A later part's image takes the place of an earlier one's with the same key and variant.

        Args:
            key: Path of the source relative to the data set's root.
            variant: Name of the counterpart among those of its source; no dots.
            data: The image file: JPEG, PNG or WebP; in a store of raw images also one of
                `albu_diffusemix.store.raw_images.encode_raw`.
            prompt: The effect.
            seed: What moved everything random, in [0, 2^32).
            source: `Source.of` the image that it was made from.
            used_prompt: What the backend used in place of the prompt, if it did.

        Raises:
            StoreError: An argument is wrong, this part has that key and variant already, or the disk is full or fails;
                what was acknowledged before stays.

        """
        encoding = sniff(data)
        if not encoding:
            raise StoreError(f"data for {key!r} {variant!r} starts with {data[:8]!r}: give a JPEG, PNG or WebP file")
        if encoding == RAW and self._made_with["recipe"]["encoding"].get("format") != RAW:
            raise StoreError(f"data for {key!r} {variant!r} is a raw image, but the recipe of the store makes others")
        self._append(key, variant, data, prompt, seed, source, encoding, "", used_prompt)

    def fail(
        self,
        key: str,
        variant: str,
        reason: str,
        *,
        prompt: str = "",
        seed: int = 0,
        source: Source = UNKNOWN_SOURCE,
    ) -> None:
        """Store that there is no image, and why, as durably as an image. An image put later takes its place.

        Args:
            key: Path of the source relative to the data set's root.
            variant: Name of the counterpart among those of its source; no dots.
            reason: Why, in a few words; not empty.
            prompt: The effect.
            seed: What moved everything random, in [0, 2^32).
            source: `Source.of` the image, where it could be read.

        Raises:
            StoreError: As for `put`.

        """
        if not reason:
            raise StoreError(f"reason for {key!r} {variant!r} is empty: say why there is no image")
        self._append(key, variant, b"", prompt, seed, source, "", reason)

    def seal(self) -> None:
        """Make what was put permanent and visible to those who open the store from now on; survives a power loss.

        Raises:
            StoreError: It cannot be written; it stays in the open part, for the next `Store.create` to salvage.

        """
        self._check_process()
        part, self._part = self._part, None
        self._written.clear()
        if part is not None:
            part.seal(self._fields)

    def __enter__(self) -> "Writer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.seal()
            return
        with contextlib.suppress(StoreError):  # the first error is the one to show
            self.seal()

    def _append(
        self,
        key: str,
        variant: str,
        data: bytes,
        prompt: str,
        seed: int,
        source: Source,
        encoding: str,
        reason: str,
        used_prompt: str = "",
    ) -> None:
        self._check_process()
        record = Record(normalise_key(key), check_name(variant, "variant"), prompt, seed, source, encoding, reason)
        _check(record, used_prompt)
        if self._part is not None and self._part.size >= self._part_bytes:
            self.seal()
        name = (record.key, record.variant, record.failed)
        if name in self._written:
            raise StoreError(
                f"{record.key} {record.variant} was written by this writer already: two sources with one key?"
            )
        if self._part is None:
            self._part = OpenPart.create(self._folder, self._label)
            self._part.append_recipe(self._made_with)
        self._part.append(encode_sample(record, data, used_prompt))
        self._written.add(name)

    def _check_process(self) -> None:
        if self._process != os.getpid():
            raise StoreError(f"this writer belongs to process {self._process}: make one in process {os.getpid()}")


def _check(record: Record, used_prompt: str) -> None:
    where = f"of {record.key} {record.variant}"
    uint32(record.seed, f"seed {where}")
    uint32(record.source.height, f"source height {where}")
    uint32(record.source.width, f"source width {where}")
    if len(record.source.pixels) != len(UNKNOWN_SOURCE.pixels):
        raise StoreError(f"source pixels {where}: {record.source.pixels!r}, give the 16 bytes of hash_pixels")
    for text in (record.prompt, record.reason, used_prompt):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise StoreError(f"text {text!r} {where} cannot be written as UTF-8: {error.reason}") from error

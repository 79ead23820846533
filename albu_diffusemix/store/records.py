"""A record, what is known of one counterpart or failure, and its location, where its bytes lie."""

from typing import NamedTuple

from albu_diffusemix.keys import Source

__all__ = ["ENCODINGS", "NOT_WRITTEN", "Location", "Part", "Record", "part_order"]

ENCODINGS = ("", "jpg", "png", "webp", "npy")
"""File name extensions by their number in an index; 0 is a failure, which has no image."""


class Location(NamedTuple):
    """Where the bytes of an image lie, or those of a failure's record.

    Attributes:
        part: Name of the part.
        offset: First byte in the part's tar.
        length: Bytes.
        check: xxh3-64 of these bytes; of a raw image see `albu_diffusemix.store.raw_images`.

    """

    part: str
    offset: int
    length: int
    check: int


NOT_WRITTEN = Location("", 0, 0, 0)


class Record(NamedTuple):
    """What is known of one counterpart, or of one failure.

    Attributes:
        key: The source's normalised key.
        variant: Which of the source's counterparts.
        prompt: The effect.
        seed: What moved everything random, in [0, 2^32).
        source: Height, width and pixel hash of the image that it was made from.
        encoding: "jpg", "png", "webp" or "npy" (raw); empty for a failure.
        reason: Why there is no image; empty for an image.
        location: Where its bytes lie.

    """

    key: str
    variant: str
    prompt: str
    seed: int
    source: Source
    encoding: str
    reason: str
    location: Location = NOT_WRITTEN

    @property
    def failed(self) -> bool:
        """Whether this is a failure or a reject, without an image."""
        return not self.encoding

    @property
    def precedence(self) -> tuple[bool, tuple[int, str], int]:
        """Of two with one key and variant the greater is seen: an image before a failure, then the later part."""
        return (not self.failed, part_order(self.location.part), self.location.offset)


class Part(NamedTuple):
    """A sealed part as its index knows it: name, bytes, and the xxh3-128 of the tar in hexadecimal."""

    name: str
    size: int
    hash: str


def part_order(name: str) -> tuple[int, str]:
    """Order parts by the number at the end of their names, then by the names."""
    digits = name[len(name.rstrip("0123456789")) :]
    return (int(digits or 0), name)

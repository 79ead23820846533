"""What stays the same on every machine: keys, names of variants and parts, hashes and seeds."""

import functools
import json
import re
import unicodedata
from typing import NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray

MAX_KEY_BYTES = 4000
"""Longest key in UTF-8: with a variant behind it, it is still a path that Linux opens."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_WRONG = {
    r"\A\Z": "is empty: give the path relative to the data set's root, such as 'class/001.jpg'",
    r"\A(/|[A-Za-z]:/)": "is absolute: give the path relative to the data set's root",
    r"\\": "has a backslash: write the path with '/', or rename the file",
    r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]": "has a control character or bytes that are not UTF-8: rename the file",
    r"(\A|/)\.{0,2}(/|\Z)": "has an empty, '.' or '..' component: give the plain path below the data set's root",
    r"\A__[^/]*__(/|\Z)": "starts with a folder __like_this__, which readers of WebDataset skip: rename the folder",
}
_ANY_WRONG = re.compile("|".join(_WRONG))
_SHOWN = 100


class Source(NamedTuple):
    """What a counterpart was made from, as far as the alignment guard needs it.

    Attributes:
        height: Rows of the source image in pixels.
        width: Columns of the source image in pixels.
        pixels: xxh3-128 of the pixels, 16 bytes; see `hash_pixels`.

    """

    height: int
    width: int
    pixels: bytes

    @classmethod
    def of(cls, image: NDArray[np.generic]) -> "Source":
        """Describe an image `(H, W)` or `(H, W, C)`."""
        return cls(image.shape[0], image.shape[1], hash_pixels(image))


UNKNOWN_SOURCE = Source(0, 0, bytes(16))
"""The source of a failure whose image could not be read."""


def normalise_key(key: str) -> str:
    """Return the key as the store knows it: a relative POSIX path in Unicode's composed form (NFC).

    A file system may hand out the same name composed or decomposed; both are one key.

    Args:
        key: Path of the source relative to the root of its data set, such as "class/001.jpg".

    Raises:
        ValueError: The key is empty, absolute, longer than 4,000 bytes, has an empty, `.` or `..` component, a
            backslash, a control character, bytes that are not UTF-8, or starts with a folder `__like_this__`, which
            readers of WebDataset skip.

    Examples:
        >>> from albu_diffusemix.keys import normalise_key
        >>> normalise_key("cafe\u0301/001.jpg") == "caf\u00e9/001.jpg"
        True

    """
    if not isinstance(key, str):
        raise ValueError(  # noqa: TRY004  as for all wrong keys
            f"key {key!r} is a {type(key).__name__}: give a str, the path relative to the data set's root"
        )
    if not key.isascii():
        key = unicodedata.normalize("NFC", key)
    if _ANY_WRONG.search(key):
        complaint = next(text for pattern, text in _WRONG.items() if re.search(pattern, key))
        raise ValueError(f"key {_shortened(key)} {complaint}")
    if len(key) > MAX_KEY_BYTES // 4 and len(key.encode()) > MAX_KEY_BYTES:
        raise ValueError(f"key {_shortened(key)} is longer than {MAX_KEY_BYTES} bytes: shorten the path")
    return key


def _shortened(key: str) -> str:
    return repr(key) if len(key) <= _SHOWN else f"{key[:_SHOWN]!r}... ({len(key)} characters)"


def check_name(name: str, what: str) -> str:
    """Return the name of a variant or a part if readers of WebDataset and file systems take it.

    Raises:
        ValueError: It is not 1 to 64 of A-Z, a-z, 0-9, `_`, `-`, the first a letter or digit. In particular a dot
            would end the sample's key for readers of WebDataset.

    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"{what} {name!r}: give 1 to 64 of A-Z a-z 0-9 _ -, starting with a letter or digit")
    return name


def hash_key(key: str) -> bytes:
    """Return the xxh3-128 of a normalised key's UTF-8, 16 bytes.

    Two different keys share it with odds of n^2 / 2^129: about 1 in 10^23 for 100 million keys.
    """
    return bytes(xxhash.xxh3_128_digest(key.encode()))


def hash_pixels(image: NDArray[np.generic]) -> bytes:
    """Return the xxh3-128 of shape, dtype and bytes of an image, 16 bytes.

    The bytes are those of the C-contiguous array, after a line such as `256x384x3|u1`: sides joined by `x`, then
    NumPy's `dtype.str`. An image and its transpose, or its float copy, differ.

    Args:
        image: Any array; the store's sources are `(H, W, 3)` uint8 RGB.

    Examples:
        >>> import numpy as np
        >>> from albu_diffusemix.keys import hash_pixels
        >>> hash_pixels(np.zeros((2, 3, 3), np.uint8)).hex()
        '21d3bced90b2b0be425446a729be9ce7'

    """
    digest = xxhash.xxh3_128(_first_line(image.shape, image.dtype.str))
    digest.update(np.ascontiguousarray(image).data)
    return bytes(digest.digest())


@functools.lru_cache(1024)
def _first_line(shape: tuple[int, ...], dtype: str) -> bytes:
    return f"{'x'.join(map(str, shape))}{dtype}\n".encode()


def derive_seed(base_seed: int, key: str, prompt: str, variant: str, attempt: int = 0) -> int:
    """Return the seed of one counterpart, in [0, 2^32): the same whatever the engine, order, batch or resume.

    It has 32 bits because that is what the Mersenne Twisters of PyTorch and NumPy take.

    Args:
        base_seed: One number for the whole store.
        key: The source's normalised key.
        prompt: The effect.
        variant: The variant's name.
        attempt: 0, then 1, 2, ... when a counterpart was rejected and is made again.

    Examples:
        >>> derive_seed(0, "class/001.jpg", "snowy", "0000") == derive_seed(0, "class/001.jpg", "snowy", "0001")
        False

    """
    return digest(base_seed, key, prompt, variant, attempt) & 0xFFFFFFFF


def digest(*parts: object) -> int:
    """Return a number of 64 bits that depends on all of the parts, plain data for JSON, and on nothing else."""
    return int(xxhash.xxh3_64_intdigest(json.dumps(parts).encode()))

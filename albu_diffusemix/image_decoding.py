"""Decoding image files as people see them, and remarks on those of which not all can be seen."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from albu_diffusemix import image_headers as headers
from albu_diffusemix.text import in_one_line

__all__ = ["check_color", "decode_image", "describe_remarks", "reading"]

Pixels = NDArray[np.uint8]

_REMARKS = {
    "transparent": (
        "with transparent parts, which show the colors that were hidden there: --background COLOR composes them over a "
        "color, and training must then read them in the same way"
    ),
    "composed": "with transparent parts, composed over the background {background}: training must read them so as well",
    "dark": (
        "with 16 bits a value, of which at most 12 are used: read with 8 bits, they are nearly black; multiply their "
        "values, by 16 for 12 bits, or save them with 8 bits"
    ),
}
_NEARLY_BLACK = 15  # the largest value of 12 bits in 16 when 8 bits are read
_MOST_BITS = 12
_COLOR = re.compile("#[0-9a-f]{6}")
_FLOAT, _LONG = 3, 32  # a TIFF's sample format, and its bits that OpenCV does not turn into 8
_ALPHA = 3
_UNASSOCIATED, _ASSOCIATED = 2, 1  # what the alpha of a TIFF is
_KINDS = (("GIF", 0, (b"GIF8",)), ("JPEG 2000", 4, (b"jP  ",)), ("AVIF", 8, (b"avif", b"avis")))
_ASKED = (headers.SAMPLE_FORMAT, headers.BITS, headers.SAMPLES, headers.PHOTOMETRIC)
_BANDS = {0: 2, 1: 2, 2: 4, 3: 2}  # channels of a TIFF that can be read, alpha among them: grey, RGB, a palette


@dataclass
class _Reading:
    """How images are read in the block of `reading`, and what was remarked."""

    background: str | None = None
    remarks: set[str] = field(default_factory=set)


_current: ContextVar[_Reading | None] = ContextVar("albu_diffusemix_reading", default=None)


@contextmanager
def reading(background: str | None = None) -> Iterator[set[str]]:
    """Compose what is read in the block over a color, and keep remarks on it, for `describe_remarks`.

    Args:
        background: A color such as "#ffffff"; None leaves what is hidden in transparent parts.

    Yields:
        Filled while images are read in this thread.

    Raises:
        ValueError: The color is not valid.

    """
    current = _Reading(None if background is None else check_color(background))
    token = _current.set(current)
    try:
        yield current.remarks
    finally:
        _current.reset(token)


def describe_remarks(counts: Mapping[str, int], background: str | None = None) -> list[str]:
    """Say each remark in a line.

    Args:
        counts: Of how many images each remark was made.
        background: What transparent parts were composed over.

    """
    return [
        f"{counts[name]:,} image{'s' * (counts[name] != 1)} {text.format(background=background)}"
        for name, text in _REMARKS.items()
        if counts.get(name)
    ]


def check_color(color: str) -> str:
    """Return a color if it is written like "#ffffff".

    Raises:
        ValueError: It is not.

    """
    if not isinstance(color, str) or not _COLOR.fullmatch(color):
        raise ValueError(f"color {color!r}: write it like #ffffff, with two digits or letters a to f for each channel")
    return color


def decode_image(data: bytes, name: str) -> Pixels:
    """Decode an image file: turned upright where EXIF says so, the first frame, without transparency.

    Args:
        data: The file.
        name: What to call it in errors.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        MemoryError: It does not fit in memory.
        ValueError: It is not an image that OpenCV can read.

    """
    reason = _unreadable_tiff(data) if headers.is_tiff(data) else ""
    if reason:
        raise ValueError(f"{name!r} {reason}")
    decoded = _decoded(_with_associated_alpha(data), cv2.IMREAD_COLOR, name)
    if decoded is None:
        raise ValueError(
            f"{name!r} {_lacking_codec(data) or 'is not a readable image: it is damaged, or of another format'}"
        )
    image = np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8)
    current = _current.get()
    return image if current is None else _remarked(image, data, name, current)


def _decoded(data: bytes, flags: int, name: str) -> NDArray[Any] | None:
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError from error
        reason = in_one_line(error.err or error)
        raise ValueError(f"{name!r} is not a readable image: {reason}") from error


def _remarked(image: Pixels, data: bytes, name: str, current: _Reading) -> Pixels:
    if headers.has_sixteen_bits(data) and image.max() <= _NEARLY_BLACK:
        whole = _decoded(data, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR, name)
        if whole is not None and 0 < int(whole.max()).bit_length() <= _MOST_BITS:
            current.remarks.add("dark")
    if not headers.may_be_transparent(data):
        return image
    alpha = _alpha(image, data, name)
    if alpha is None or alpha.shape != image.shape[:2] or alpha.min() == np.iinfo(np.uint8).max:
        return image
    current.remarks.add("transparent" if current.background is None else "composed")
    if current.background is None:
        return image
    return _composed(image, alpha, current.background, multiplied=_is_multiplied(data))


def _alpha(image: Pixels, data: bytes, name: str) -> Pixels | None:
    """Return the alpha channel, turned as the image is, if it is; None where there is none."""
    whole = _decoded(_with_associated_alpha(data), cv2.IMREAD_UNCHANGED, name)
    if whole is None or whole.ndim <= 2 or whole.shape[2] <= _ALPHA:  # noqa: PLR2004  height and width alone
        return None
    high_bytes = np.asarray(whole >> 8 if whole.dtype == np.uint16 else whole, np.uint8)
    upright = _upright(high_bytes, headers.orientation(data))
    turned = np.array_equal(upright[..., _ALPHA - 1 :: -1], image)  # not every OpenCV turns every format
    return (upright if turned else high_bytes)[..., _ALPHA]


def _upright(image: Pixels, orientation: int) -> Pixels:
    """Turn an image as EXIF's orientation asks for."""
    if orientation >= 5:  # noqa: PLR2004  from 5 on, rows and columns are exchanged
        image = image.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return image[::-1] if orientation in (3, 4, 7, 8) else image


def _composed(image: Pixels, alpha: Pixels, background: str, *, multiplied: bool) -> Pixels:
    opaque = alpha[..., np.newaxis].astype(np.uint16)
    behind = np.array(list(bytes.fromhex(background[1:])), np.uint16) * (255 - opaque)
    if multiplied:
        return np.minimum(image + (behind + 127) // 255, 255).astype(np.uint8)
    return np.asarray((image * opaque + behind + 127) // 255, np.uint8)


def _with_associated_alpha(data: bytes) -> bytes:
    """Say in a TIFF that its colors are multiplied by its alpha already: where they are not, libtiff would do it."""
    alpha = _tiff_alpha(data)
    if alpha is None or alpha.value != _UNASSOCIATED:
        return data
    order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"
    return data[: alpha.place] + _ASSOCIATED.to_bytes(2, order) + data[alpha.place + 2 :]


def _is_multiplied(data: bytes) -> bool:
    alpha = _tiff_alpha(data)
    return alpha is not None and alpha.value == _ASSOCIATED


def _tiff_alpha(data: bytes) -> headers.TiffField | None:
    """Return what a TIFF says of its alpha channel; None where it has none, or is another file."""
    return headers.tiff_fields(data).get(headers.EXTRA_SAMPLES) if headers.is_tiff(data) else None


def _unreadable_tiff(data: bytes) -> str:
    """Return what a TIFF holds that is no picture of 8 or 16 bits; empty where it may be read."""
    fields = headers.tiff_fields(data)
    kind, bits, bands, photometric = (fields[tag].value if tag in fields else 1 for tag in _ASKED)
    if kind == _FLOAT or bits >= _LONG:
        numbers = "floats" if kind == _FLOAT else "whole numbers"
        return f"is a TIFF of {numbers} with {bits} bits: scale it to 0 to 255 and save it with 8 bits"
    if bands > _BANDS.get(photometric, bands):
        return f"is a TIFF of {bands} bands: save the three that are to be red, green and blue as an RGB image"
    return ""


def _lacking_codec(data: bytes) -> str:
    """Return which decoder this OpenCV was built without, if the file needs it; else empty."""
    for kind, place, magics in _KINDS:
        if data[place : place + 4] not in magics:
            continue
        built = re.search(rf"^\s*{kind}:\s*(.*)$", cv2.getBuildInformation(), re.MULTILINE)
        if not built or built[1].startswith("NO"):
            return f"is {kind}, which this OpenCV ({cv2.__version__}) cannot read: update OpenCV, or convert the file"
    return ""

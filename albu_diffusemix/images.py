"""Image files: finding, reading and writing them."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.atomic_files import write_atomically
from albu_diffusemix.image_headers import declared_size
from albu_diffusemix.regular_files import open_regular

__all__ = ["IMAGE_SUFFIXES", "MOST_PIXELS", "check_ending", "decode_image", "find_images", "read_image", "write_image"]

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

MOST_PIXELS = 1 << 28
"""Images with more pixels are not decoded, since 268 million are 0.8 GB, and some are read at the same time."""

_LARGE = "make it smaller, or leave it out"


def find_images(folder: Path) -> list[Path]:
    """Return all image files below a folder, by their endings, in the order of their paths.

    Args:
        folder: Searched with its sub-folders; hidden files and folders are passed over.

    Returns:
        Paths that begin with `folder`; empty where there are no images.

    """
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES
        and not path.is_dir()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an image file as people see it: turned upright where EXIF says so, without transparency.

    Args:
        path: BMP, JPEG, PNG, TIFF or WebP.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        OSError: The file cannot be opened, or is not a regular file: a folder, a FIFO, a socket, a device.
        ValueError: It is not an image that OpenCV can read, has more than 2^28 pixels, or does not fit in memory.

    """
    try:
        with open_regular(path) as file:
            data = file.read()
    except MemoryError as error:
        raise _too_large(repr(str(path))) from error
    return decode_image(data, repr(str(path)))


def decode_image(data: bytes, name: str) -> NDArray[np.uint8]:
    """Decode an image file, as `read_image` does.

    Args:
        data: The bytes of the file.
        name: What to call it in messages.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ValueError: As `read_image`.

    """
    width, height = declared_size(data)
    if width * height > MOST_PIXELS:
        raise ValueError(f"{name} is too large: {width} x {height} pixels, at most {MOST_PIXELS:,}; {_LARGE}")
    try:
        return _decoded(data, name)
    except MemoryError as error:
        raise _too_large(name) from error


def _too_large(name: str) -> ValueError:
    return ValueError(f"{name} is too large: it does not fit in memory; {_LARGE}")


def _decoded(data: bytes, name: str) -> NDArray[np.uint8]:
    reason = f"it is damaged, or not {', '.join(IMAGE_SUFFIXES)}"
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    except cv2.error as error:
        decoded, reason = None, " ".join(str(error.err or error).split())
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError from error
    if decoded is None:
        raise ValueError(f"{name} is not a readable image: {reason}")
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8)


def check_ending(path: Path) -> None:
    """Refuse a path that `write_image` cannot write to.

    Args:
        path: Where an image is to go.

    Raises:
        ValueError: The ending names no format.

    """
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise ValueError(f"{str(path)!r} must end in one of {', '.join(IMAGE_SUFFIXES)}")


def write_image(path: Path, image: NDArray[np.uint8]) -> None:
    """Write an image file, in the format that its ending names: beside its place first, then renamed.

    Args:
        path: Where it goes; missing folders are made.
        image: (H, W, 3) uint8 RGB.

    Raises:
        OSError: The file cannot be written.
        ValueError: The ending names no format.

    """
    check_ending(path)
    _, encoded = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: file.write(encoded.tobytes()))

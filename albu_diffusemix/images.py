"""Image files: finding, reading and writing them."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.atomic_files import write_atomically
from albu_diffusemix.image_decoding import decode_image
from albu_diffusemix.image_headers import declared_size
from albu_diffusemix.regular_files import read_regular

__all__ = ["IMAGE_SUFFIXES", "MOST_PIXELS", "check_ending", "find_images", "read_encoded", "read_image", "write_image"]

WRITTEN_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
IMAGE_SUFFIXES = (*WRITTEN_SUFFIXES, ".avif", ".gif", ".jfif", ".jp2", ".pbm", ".pgm", ".ppm")

MOST_PIXELS = 1 << 28
"""Images with more pixels are not decoded, since 268 million are 0.8 GB, and some are read at the same time."""

_LARGE = "make it smaller, or leave it out"


def find_images(folder: Path, others: Counter[str] | None = None, but: Path | None = None) -> list[Path]:
    """Return all image files below a folder, by their endings, in the order of their paths.

    Args:
        folder: Searched with its sub-folders and the folders that links lead to; hidden ones are passed over, and so is
            a link to a folder that it lies in.
        others: Counts the files that are passed over, by their endings.
        but: A folder that is passed over.

    Returns:
        Paths that begin with `folder`; empty where there are no images.

    Raises:
        OSError: The folder cannot be read.

    """
    others = Counter() if others is None else others
    found = []
    for path in _walk(folder, others, but):
        ending = path.suffix.lower()
        if ending in IMAGE_SUFFIXES:
            found.append(path)
        else:
            others[ending or "without an ending"] += 1
    return sorted(found)


def _walk(folder: Path, others: Counter[str], but: Path | None) -> Iterator[Path]:
    """Yield what is not a folder; each folder is known by device and inode, so that a circle of links ends."""
    skipped = _identity(but) if but is not None and but.exists() else None
    left = [(folder, frozenset([_identity(folder)]))]
    while left:
        place, above = left.pop()
        try:
            with os.scandir(place) as listed:
                entries = [entry for entry in listed if not entry.name.startswith(".")]
        except PermissionError:
            if place == folder:
                raise
            others["folder that cannot be read"] += 1
            continue
        for entry in entries:
            path = place / entry.name
            if not entry.is_dir():
                yield path
            elif (found := _identity(path)) not in above and found != skipped:
                left.append((path, above | {found}))


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def read_image(path: str | Path) -> NDArray[np.uint8]:
    """Read an image file as people see it: turned upright where EXIF says so, without transparency.

    Args:
        path: AVIF, BMP, GIF (the first frame), JPEG, JPEG 2000, PBM, PGM, PNG, PPM, TIFF or WebP. Of 16 bits the higher
            8 are read.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        OSError: The file cannot be opened, or is not a regular file: a folder, a FIFO, a socket, a device.
        ValueError: It is not an image that OpenCV can read, has more than 2^28 pixels, or does not fit in memory.

    """
    try:
        data = read_regular(path)
    except MemoryError as error:
        raise _too_large(str(path)) from error
    return read_encoded(data, str(path))


def read_encoded(data: bytes, name: str) -> NDArray[np.uint8]:
    """Read the bytes of an image file, as `read_image` does.

    Args:
        data: The file.
        name: What to call it in errors.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ValueError: As `read_image`.

    """
    width, height = declared_size(data)
    if width * height > MOST_PIXELS:
        raise ValueError(f"{name!r} is too large: {width} x {height} pixels, at most {MOST_PIXELS:,}; {_LARGE}")
    try:
        return decode_image(data, name)
    except MemoryError as error:
        raise _too_large(name) from error


def _too_large(name: str) -> ValueError:
    return ValueError(f"{name!r} is too large: it does not fit in memory; {_LARGE}")


def check_ending(path: Path) -> None:
    """Refuse a path that `write_image` cannot write to.

    Args:
        path: Where an image is to go.

    Raises:
        ValueError: The ending names no format.

    """
    if path.suffix.lower() not in WRITTEN_SUFFIXES:
        raise ValueError(f"{str(path)!r} must end in one of {', '.join(WRITTEN_SUFFIXES)}")


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

"""Image files: finding, reading and writing them."""

import os
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["IMAGE_SUFFIXES", "check_ending", "find_images", "read_image", "write_image"]

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


def find_images(folder: Path) -> list[Path]:
    """Give all image files below a folder, by their endings, in the order of their paths.

    Args:
        folder (Path): Searched with its sub-folders; hidden files and folders are passed over.

    Returns:
        list[Path]: Paths that begin with `folder`; empty where there are none.

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
        path (Path): BMP, JPEG, PNG, TIFF or WebP.

    Returns:
        np.ndarray: (H, W, 3) uint8 RGB.

    Raises:
        OSError: The file cannot be opened.
        ValueError: It is no image that OpenCV can read.

    """
    data = np.frombuffer(path.read_bytes(), np.uint8)
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if decoded is None:
        raise ValueError(f"{str(path)!r} is no readable image: damaged, or not {', '.join(IMAGE_SUFFIXES)}")
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8)


def check_ending(path: Path) -> None:
    """Refuse a path that `write_image` cannot write to.

    Args:
        path (Path): Where an image is to go.

    Raises:
        ValueError: The ending names no format.

    """
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise ValueError(f"{str(path)!r} must end in one of {', '.join(IMAGE_SUFFIXES)}")


def write_image(path: Path, image: NDArray[np.uint8]) -> None:
    """Write an image file, in the format that its ending names: beside its place first, then renamed.

    Args:
        path (Path): Where it goes; missing folders are made.
        image (np.ndarray): (H, W, 3) uint8 RGB.

    Raises:
        OSError: The file cannot be written.
        ValueError: The ending names no format.

    """
    check_ending(path)
    _, encoded = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(encoded.tobytes())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)

"""The image files of a folder that somebody else made: nothing outside of it is read, wherever its links lead."""

import os
from pathlib import Path

from albu_diffusemix.images import IMAGE_SUFFIXES

__all__ = ["find_inside", "leads_out"]


def find_inside(folder: Path) -> tuple[list[Path], list[str]]:
    """Find the image files below a folder, by their endings; links are followed as long as they stay inside.

    Hidden files and folders are passed over.

    Args:
        folder: Where to search.

    Returns:
        The paths of the files in order, and why others are left out: each a path with its reason.

    Raises:
        OSError: The folder cannot be read.

    """
    found: list[Path] = []
    reasons: list[str] = []
    _search(folder, folder, (os.path.realpath(folder),), found, reasons)
    return sorted(found), reasons


def leads_out(path: Path, folder: Path) -> bool:
    """Tell whether a path below a folder leads to another place by links."""
    real = os.path.realpath(folder)
    return os.path.commonpath([real, os.path.realpath(path)]) != real


def _search(place: Path, root: Path, above: tuple[str, ...], found: list[Path], reasons: list[str]) -> None:
    """Go through one folder; `above` are the real paths of those that it lies in, so that a circle of links ends."""
    with os.scandir(place) as listed:
        entries = sorted(listed, key=lambda entry: entry.name)
    for entry in entries:
        path = place / entry.name
        if entry.name.startswith("."):
            continue
        linked = entry.is_symlink()
        if linked and leads_out(path, root) and (entry.is_dir() or _names_image(path)):
            reasons.append(f"{str(path)!r}: it is a link that leads out of {str(root)!r}")
        elif entry.is_dir():
            real = os.path.realpath(path)
            if real in above:
                reasons.append(f"{str(path)!r}: it is a link to a folder that it lies in")
            else:
                _search(path, root, (*above, real), found, reasons)
        elif _names_image(path) and entry.is_file():
            found.append(path)
        elif _names_image(path):
            reasons.append(f"{str(path)!r}: it is not a regular file")


def _names_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES

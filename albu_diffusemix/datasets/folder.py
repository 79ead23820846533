"""A folder of images as a data set."""

from pathlib import Path

from albu_diffusemix.datasets.items import SourceFile
from albu_diffusemix.images import IMAGE_SUFFIXES, find_images

__all__ = ["files_in_folder"]


def files_in_folder(folder: Path, store_path: Path | None = None) -> list[SourceFile]:
    """Find the images of a folder and its sub-folders; the key of each is its path below the folder.

    The label is the first folder of the key, if it has one.

    Args:
        folder: The root of the data set.
        store_path: A store inside the folder is not part of the data set.

    Raises:
        OSError: The folder cannot be read.
        ValueError: There are no images.

    """
    paths = find_images(folder)
    if store_path is not None and store_path.resolve().is_relative_to(folder.resolve()):
        inside = folder / store_path.resolve().relative_to(folder.resolve())
        paths = [path for path in paths if not path.is_relative_to(inside)]
    if not paths:
        state = "holds no images" if any(folder.iterdir()) else "is empty"
        raise ValueError(f"folder {str(folder)!r} {state}; looked for {', '.join(IMAGE_SUFFIXES)}")
    return [_source_file(path, path.relative_to(folder).as_posix()) for path in paths]


def _source_file(path: Path, key: str) -> SourceFile:
    label, slash, _ = key.partition("/")
    return SourceFile(str(path), key, label if slash else None)

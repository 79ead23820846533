"""A folder of images as a data set."""

from collections import Counter
from pathlib import Path

from albu_diffusemix.datasets.items import SourceFile
from albu_diffusemix.images import IMAGE_SUFFIXES, find_images

__all__ = ["files_in_folder"]


def files_in_folder(
    folder: Path, store_path: Path | None = None, others: Counter[str] | None = None
) -> list[SourceFile]:
    """Find the images of a folder and its sub-folders; the key of each is its path below the folder.

    The label is the first folder of the key, if it has one. Links to folders are followed, as torchvision's ImageFolder
    does; the key is the path through the link.

    Args:
        folder: The root of the data set.
        store_path: A store inside the folder is not part of the data set.
        others: Counts the files that are not images, by their endings.

    Raises:
        OSError: The folder cannot be read.
        ValueError: There are no images.

    """
    others = Counter() if others is None else others
    paths = find_images(folder, others, store_path)
    if not paths:
        state = "holds no images" if any(folder.iterdir()) else "is empty"
        counts = ", ".join(f"{count:,} {ending}" for ending, count in others.most_common())
        found = f" and found {counts}" if counts else ""
        raise ValueError(f"folder {str(folder)!r} {state}; looked for {', '.join(IMAGE_SUFFIXES)}{found}")
    return [_source_file(path, path.relative_to(folder).as_posix()) for path in paths]


def _source_file(path: Path, key: str) -> SourceFile:
    label, slash, _ = key.partition("/")
    return SourceFile(str(path), key, label if slash else None)

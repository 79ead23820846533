"""The order in which sources are made, so that batches of one shape fill."""

from collections.abc import Sequence
from pathlib import Path

from albu_diffusemix.backends import Backend
from albu_diffusemix.datasets import SourceFile
from albu_diffusemix.datasets.tars import TAR_SUFFIX
from albu_diffusemix.image_headers import declared_size, orientation

__all__ = ["sort_by_shape"]

_HEADER = 1 << 16  # bytes, in which the size of nearly every image file stands
_SIDEWAYS = range(5, 9)  # orientations of EXIF that exchange height and width


def sort_by_shape(sources: Sequence[SourceFile], backend: Backend) -> list[SourceFile]:
    """Return sources by the shape in which the backend sees them, where shapes differ and it makes batches.

    What is made does not depend on the order. Sources whose size does not stand in their first bytes come first.

    Args:
        sources: In any order, which is kept among those of one shape.
        backend: Tells shapes by its method `bucket`, if it has one.

    """
    bucket = getattr(backend, "bucket", None)
    if bucket is None or getattr(backend, "batch_size", 1) == 1 or bucket(1, 1) is None:
        return list(sources)

    def shape(source: SourceFile) -> tuple[int, int]:
        height, width = _size(source)
        return tuple(bucket(height, width)) if height and width else (0, 0)

    return sorted(sources, key=shape)


def _size(source: SourceFile) -> tuple[int, int]:
    """Return the height and width that an image file declares; zeros where it is none or does not say."""
    if source.position is not None and Path(source.path).suffix.lower() != TAR_SUFFIX:
        return 0, 0
    try:
        with Path(source.path).open("rb") as file:
            file.seek(source.position or 0)
            header = file.read(_HEADER)
    except OSError:
        return 0, 0
    width, height = declared_size(header)
    return (width, height) if orientation(header) in _SIDEWAYS else (height, width)

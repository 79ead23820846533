"""Whether the rows of a data set are still those that a store knows by their numbers."""

from collections.abc import Sequence

from albu_diffusemix.datasets import SourceFile, spread
from albu_diffusemix.store import Source, Store

__all__ = ["refuse_moved_rows"]

_LOOKED_UP = 64
_READ = 8


def refuse_moved_rows(store: Store, sources: Sequence[SourceFile]) -> None:
    """Read a few images of a file that holds many, and compare them with those that the store was made from.

    Where a row was put in or taken out, all rows behind it have other numbers, and would have the counterparts of other
    images. Rows that were added at the end are not refused.

    Args:
        store: Where counterparts of the sources may be.
        sources: All of the data set.

    Raises:
        ValueError: An image is not the one that the store has under its key.

    """
    numbered = [source for source in sources if source.position is not None]
    known = [source for source in (*spread(numbered, _LOOKED_UP), *numbered[-1:]) if store.variants(source.key)]
    for source in (*spread(known, _READ), *known[-1:]):
        image = _read(source)
        if image is not None and image not in {record.source for record in store.variants(source.key)}:
            raise ValueError(
                f"{source.path!r} has another image as {source.key!r} now than when {str(store.path)!r} was made: if "
                "rows were added in between or removed, make a new store, and give keys that stay, as --key-column"
            )


def _read(source: SourceFile) -> Source | None:
    try:
        return Source.of(source.read())
    except (OSError, ValueError):
        return None  # the run will say it

"""Where a data set has what is wanted of it, as the flags of the commands say."""

from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["NO_COLUMNS", "Columns", "choose_column"]


class Columns(NamedTuple):
    """Where a data set has what is wanted of it; None where that is to be found out.

    Attributes:
        images: Folder of the images that a table names.
        key: Column with the keys.
        label: Column with the classes.
        image: Column with the images.
        split: The part of a data set from Hugging Face, such as "train".

    """

    images: str | None = None
    key: str | None = None
    label: str | None = None
    image: str | None = None
    split: str | None = None

    def refuse_all_but(self, *used: str, where: str) -> None:
        """Raise ValueError where something was given that a data set has no use for."""
        for name in self._fields:
            if getattr(self, name) is not None and name not in used:
                allowed = ", ".join(_FLAGS[use] for use in used) or "none of these flags"
                raise ValueError(f"{_FLAGS[name]} is not for {where}, which takes {allowed}: leave it out")


NO_COLUMNS = Columns()

_FLAGS = {name: f"--{name}" if name in ("images", "split") else f"--{name}-column" for name in Columns._fields}


def choose_column(
    what: str, name: str | None, columns: Iterable[str], where: str, candidates: Iterable[str] = ()
) -> str:
    """Return the column that was asked for, or the only candidate.

    Args:
        what: What it has: "image", "key" or "label".
        name: What was asked for; None for nothing.
        columns: All columns.
        where: What to call the data set in messages.
        candidates: The columns that it can be if none was asked for.

    Raises:
        ValueError: There is no such column, or not one candidate.

    """
    known = list(columns)
    found = list(candidates) if name is None else [column for column in known if column == name]
    if len(found) == 1:
        return found[0]
    there = f"its columns are {', '.join(map(repr, known)) or 'none at all'}"
    if name is not None:
        raise ValueError(f"{where} has no column {name!r}: {there}; give one of them as {_FLAGS[what]}")
    several = f"can have them in {' or '.join(map(repr, found))}" if found else "does not show where it has them"
    raise ValueError(f"{where} {several}: name the column of the {what}s as {_FLAGS[what]}; {there}")

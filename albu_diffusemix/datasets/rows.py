"""What data sets in one file or object have in common: rows with keys, columns by name, and staying open."""

import os
import threading
from collections.abc import Callable, Iterable
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

__all__ = [
    "NO_COLUMNS",
    "Columns",
    "Row",
    "choose_column",
    "keep_open",
    "once",
    "refuse_missing_row",
    "require",
    "row_key",
]

Opened = TypeVar("Opened")

_MOST_OPEN = 16
_CALLING = threading.RLock()


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

_FLAGS = {
    "images": "--images",
    "key": "--key-column",
    "label": "--label-column",
    "image": "--image-column",
    "split": "--split",
}


class Row(NamedTuple):
    """An image in a file or object that holds many.

    Attributes:
        key: Its name in the data set.
        label: Its class; None where the data set gives no class.
        position: Its number in the file or object; in a tar the offset of its bytes.
        size: In a tar the number of its bytes.

    """

    key: str
    label: str | None
    position: int
    size: int = 0


def row_key(number: int) -> str:
    """Return the key of a row that has no other.

    Examples:
        >>> row_key(17), row_key(1234567)
        ('000017', '1234567')

    """
    return f"{number:06d}"


def choose_column(name: str | None, candidates: Iterable[str], columns: Iterable[str], flag: str, where: str) -> str:
    """Return the column that was asked for, or the only candidate.

    Args:
        name: What was asked for; None for nothing.
        candidates: The columns that it can be.
        columns: All of them.
        flag: The flag that names it.
        where: What to call the data set in messages.

    Raises:
        ValueError: There is no such column, or not one candidate.

    """
    found, known = list(candidates), list(columns)
    if name is not None:
        found = [column for column in known if column == name]
    if len(found) == 1:
        return found[0]
    columns_there = f"its columns are {', '.join(map(repr, known)) or 'none at all'}"
    if name is not None:
        raise ValueError(f"{where} has no column {name!r}: {columns_there}; give one of them as {flag}")
    several = f"can have them in {' or '.join(map(repr, found))}" if found else "does not show where it has them"
    what = flag.removeprefix("--").removesuffix("-column")
    raise ValueError(f"{where} {several}: name the column of the {what}s as {flag}; {columns_there}")


def keep_open(open_it: Callable[..., Opened], path: str, *arguments: Any) -> Opened:
    """Open a file once in each process, however many threads ask; a forked process opens it again.

    Args:
        open_it: A function that opens it.
        path: The file; one that was replaced is opened again.
        arguments: What the function takes beside the path.

    Raises:
        OSError: There is no such file, or as the function raises.
        ValueError: As the function raises.

    """
    status = Path(path).stat()
    version = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
    return once(open_it, path, *arguments, version=version)


def once(call: Callable[..., Opened], *arguments: Any, version: object = None) -> Opened:
    """Call a function once in each process and for each version of its arguments, however many threads ask."""
    with _CALLING:
        opened: Opened = _call(os.getpid(), version, call, *arguments)
        return opened


@lru_cache(_MOST_OPEN)
def _call(_process: int, _version: object, call: Callable[..., Any], *arguments: Any) -> Any:
    return call(*arguments)


def refuse_missing_row(where: str, number: int, count: int) -> None:
    """Raise ValueError where a data set, replaced meanwhile, has no such row any more."""
    if number >= count:
        raise ValueError(f"{where!r} has only {count:,} rows now, and no row {number}: run again with what is there")


def require(module: str, package: str, what: str) -> Any:
    """Import a module of a package that is optional.

    Raises:
        ValueError: It is not installed.

    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ValueError(f"{what} needs {package}: pip install {package}") from error

"""What was opened stays open: data sets in files that hold many images, and braces in the names of such files."""

import re
import threading
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["expand_braces", "find_files", "keep_open", "version_of"]

Opened = TypeVar("Opened")

_MOST_OPEN = 16
_CALLING = threading.RLock()
_BRACES = re.compile(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}")
_MOST_FILES = 100_000


def keep_open(open_it: Callable[..., Opened], *arguments: Any, version: object = None) -> Opened:
    """Call a function once for each version of its arguments, however many threads ask."""
    with _CALLING:
        opened: Opened = _call(open_it, version, *arguments)
        return opened


@lru_cache(_MOST_OPEN)
def _call(open_it: Callable[..., Any], _version: object, *arguments: Any) -> Any:
    return open_it(*arguments)


def version_of(path: str) -> tuple[int, ...]:
    """Return what tells a file from one that replaced it.

    Raises:
        OSError: There is no such file.

    """
    status = Path(path).stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def find_files(pattern: str) -> list[str]:
    """Return the file of this name, or those that a pattern stands for.

    Raises:
        ValueError: A file is not there, or as `expand_braces`.

    """
    files = [pattern] if Path(pattern).exists() else expand_braces(pattern)
    missing = next((file for file in files if not Path(file).exists()), None)
    if missing is not None:
        raise ValueError(f"there is no {missing!r}: check the path")
    return files


def expand_braces(pattern: str) -> list[str]:
    """Return the names that a pattern stands for, as a shell and WebDataset expand it.

    Raises:
        ValueError: A range goes downwards, or has too many numbers.

    Examples:
        >>> expand_braces("{a,b}-{08..10}.tar")
        ['a-08.tar', 'a-09.tar', 'a-10.tar', 'b-08.tar', 'b-09.tar', 'b-10.tar']

    """
    found = _BRACES.search(pattern)
    if found is None:
        return [pattern]
    first, last, words = found.groups()
    if words is None:
        if not 0 <= int(last) - int(first) < _MOST_FILES:
            raise ValueError(f"{found[0]!r} in {pattern!r} is not a range: give up to {_MOST_FILES:,} numbers, upwards")
        words = ",".join(f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1))
    rests = expand_braces(pattern[found.end() :])
    return [pattern[: found.start()] + word + rest for word in words.split(",") for rest in rests]

"""The errors of a store, which say what to do, and JSON with a check."""

import errno
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xxhash

from albu_diffusemix.text import parse_json

_ADVICE = {
    errno.ENOSPC: "free some space and run again; everything acknowledged so far is kept",
    errno.EDQUOT: "raise the quota or free some space and run again; everything acknowledged so far is kept",
    errno.EFBIG: "raise the limit on file sizes and run again; everything acknowledged so far is kept",
    errno.EACCES: "ask for permission on that path or choose another",
    errno.EPERM: "ask for permission on that path or choose another",
    errno.EROFS: "the file system is mounted read-only; choose another path",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "a file stands where a folder is needed; choose another path",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
}


class StoreError(ValueError):
    """A store, a part of it, or what was asked of it is wrong. The message says what, where and what to do."""


_SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def is_shortage(error: StoreError) -> bool:
    """Tell whether a file could not be read for want of handles or memory: then nothing is wrong with the file."""
    return isinstance(error.__cause__, OSError) and error.__cause__.errno in _SHORTAGES


class explained:  # noqa: N801  used as a function; a class because each read of an image comes by here
    """Turn an OSError of the block into one line: what failed, where, why and what to do."""

    def __init__(self, doing: str, path: Path | str) -> None:
        self._doing = doing
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, OSError):
            return
        advice = _ADVICE.get(error.errno or 0, "")
        reason = error.strerror or str(error)
        raise StoreError(f"cannot {self._doing} {self._path}: {reason}" + (f": {advice}" if advice else "")) from error


def dump_checked(fields: Mapping[str, Any], indent: int | None = None) -> bytes:
    r"""Write the fields as UTF-8 JSON with a last field `check`.

    The check is the xxh3-64, in hexadecimal, of the other fields as JSON in the order of the file, without white space
    between tokens and without `\u` escapes: it does not change when the file is only laid out in another way.

    Examples:
        >>> load_checked(dump_checked({"key": "class/001.jpg"}), "an example")
        {'key': 'class/001.jpg'}

    """
    separators = (",", ":") if indent is None else (",", ": ")
    whole = {**fields, "check": _check(fields)}
    return json.dumps(whole, ensure_ascii=False, indent=indent, separators=separators).encode()


def load_checked(data: bytes, what: str) -> dict[str, Any]:
    """Read what `dump_checked` wrote.

    Raises:
        StoreError: The bytes are cut off, changed, or something else; the message starts with `what`.

    """
    try:
        fields = parse_json(data)
        check = fields.pop("check")
        intact = check == _check(fields)
    except (ValueError, AttributeError, TypeError, KeyError):
        intact = False
    if not intact:
        raise StoreError(f"{what} is damaged: its {len(data)} bytes do not agree with their check")
    return dict(fields)


def _check(fields: Mapping[str, Any]) -> str:
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    return str(xxhash.xxh3_64_hexdigest(text.encode()))

"""Files that are whole or not there: written beside and renamed, JSON with a check, errors that say what to do."""

import contextlib
import errno
import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

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


@contextlib.contextmanager
def explained(doing: str, path: Path | str) -> Iterator[None]:
    """Turn an OSError of the block into one line: what failed, where, why and what to do."""
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "")
        reason = error.strerror or str(error)
        raise StoreError(f"cannot {doing} {path}: {reason}" + (f": {advice}" if advice else "")) from error


def write_beside(path: Path, write: Callable[[BinaryIO], object], *, keep: bool = False) -> None:
    """Make `path` hold what `write` writes, or leave it as it was: temporary file, fsync, rename, fsync of the folder.

    Args:
        path: The file to make or replace.
        write: Called with the temporary file, open for binary writing.
        keep: Leave a file that is already there as it is, whoever of several writers made it.

    Raises:
        OSError: The file cannot be written; the temporary file is gone.

    """
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with _new_file(beside) as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        if keep:
            _place(beside, path)
        else:
            beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _new_file(path: Path) -> BinaryIO:
    return path.open("xb")


def _place(beside: Path, path: Path) -> None:
    try:
        path.hardlink_to(beside)
    except FileExistsError:
        pass
    except OSError:  # a file system without hard links
        if not path.exists():
            beside.replace(path)
    beside.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make renames in the folder survive a power loss."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def dump_checked(fields: Mapping[str, Any], indent: int | None = None) -> bytes:
    r"""Write the fields as UTF-8 JSON with a last field `check`.

    The check is the xxh3-64, in hexadecimal, of the other fields as JSON in the order of the file, without white space
    between tokens and without `\u` escapes: it does not change when the file is only laid out anew.

    Example:
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

"""WebDataset tars as a data set: local `.tar` files, given by name or by a pattern such as `train-{0000..0099}.tar`.

A sample is what follows one another under one name; the name up to its first dot is the key. Its image is the member
with an image's ending. Its class is the text of its member `.cls`, or the "label" of its `.json`. `--image-column` and
`--label-column` name other endings, or a field of the `.json`.

The headers of all tars are read once; an image is then read from its place, so that nothing is held in memory.
"""

import os
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.datasets.rows import Columns, Row, keep_open
from albu_diffusemix.images import IMAGE_SUFFIXES, read_encoded
from albu_diffusemix.regular_files import open_regular
from albu_diffusemix.text import parse_json

__all__ = ["TAR_SUFFIX", "expand_braces", "read_tar_image", "tar_rows"]

TAR_SUFFIX = ".tar"

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_LIST = re.compile(r"\{([^{}]*,[^{}]*)\}")
_MOST_FILES = 100_000
_BLOCK = 512
_LONGEST_LABEL = 1 << 20


def expand_braces(pattern: str) -> list[str]:
    """Return the names that a pattern stands for, as a shell and WebDataset expand it.

    Raises:
        ValueError: A range goes downwards, or has too many numbers.

    Examples:
        >>> expand_braces("{a,b}-{08..10}.tar")
        ['a-08.tar', 'a-09.tar', 'a-10.tar', 'b-08.tar', 'b-09.tar', 'b-10.tar']

    """
    found = min(filter(None, (kind.search(pattern) for kind in (_RANGE, _LIST))), key=re.Match.start, default=None)
    if found is None:
        return [pattern]
    if found.re is _RANGE:
        first, last = found.groups()
        if not 0 <= int(last) - int(first) < _MOST_FILES:
            raise ValueError(f"{found[0]!r} in {pattern!r} is not a range: give up to {_MOST_FILES:,} numbers, upwards")
        words = [f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1)]
    else:
        words = found[1].split(",")
    rests = expand_braces(pattern[found.end() :])
    return [pattern[: found.start()] + word + rest for word in words for rest in rests]


def tar_rows(path: str, columns: Columns) -> Iterator[Row]:
    """List the samples of a tar.

    Args:
        path: The file.
        columns: `image` and `label` are endings.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not a plain tar, breaks off, or a sample has no image.

    """
    with open_regular(Path(path)) as file:
        name, members = "", dict[str, tuple[int, int]]()
        for member in _members(file, path):
            key, ending = _split(member.name)
            if key != name and members:
                yield _row(file, path, name, members, columns)
                members = {}
            name, members[ending] = key, (member.offset_data, member.size)
        if members:
            yield _row(file, path, name, members, columns)


def read_tar_image(path: str, offset: int, size: int) -> NDArray[np.uint8]:
    """Return the image at a place in a tar, (H, W, 3) uint8 RGB.

    Raises:
        OSError: The file cannot be read.
        ValueError: There is no image that can be read.

    """
    return read_encoded(keep_open(_OpenTar, path).read(offset, size), f"{path} at {offset:,}")


class _OpenTar:
    """A tar that several threads read from at the same time."""

    def __init__(self, path: str) -> None:
        with open_regular(Path(path)) as file:
            self._handle = os.dup(file.fileno())
        finalize(self, os.close, self._handle)

    def read(self, offset: int, size: int) -> bytes:
        return os.pread(self._handle, size, offset)


def _members(file: BinaryIO, path: str) -> Iterator[tarfile.TarInfo]:
    try:
        tar: Any  # typeshed does not know its members
        with tarfile.open(fileobj=file, mode="r:") as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # it would keep them all
                if member.isfile() and not PurePosixPath(member.name).name.startswith("."):
                    yield member
            end = tar.offset
    except tarfile.ReadError as error:
        reason = "breaks off" if "unexpected end" in str(error) else "is not a plain tar"
        raise ValueError(f"{path!r} {reason} ({error}): {_ADVICE}") from error
    if _read(file, end, _BLOCK) != bytes(_BLOCK):  # tarfile takes half a header for the end
        raise ValueError(f"{path!r} breaks off after {end:,} bytes, without the end that a tar has: {_ADVICE}")


_ADVICE = "copy or write it again; what is compressed must be unpacked"


def _split(name: str) -> tuple[str, str]:
    """Split a member's name into the key and the ending, as WebDataset does."""
    folder, slash, file = name.removeprefix("./").rpartition("/")
    stem, _, ending = file.partition(".")
    return folder + slash + stem, ending.lower()


def _row(file: BinaryIO, path: str, key: str, members: dict[str, tuple[int, int]], columns: Columns) -> Row:
    images = [ending for ending in members if _is_image(ending, columns.image)]
    if len(images) != 1:
        found = "several images" if images else "no image"
        raise ValueError(
            f"sample {key!r} of {path!r} has {found}; its members end in {', '.join(map(repr, members))}: "
            "name the ending of the images as --image-column, or leave the sample out"
        )
    offset, size = members[images[0]]
    try:
        return Row(key, _label(file, members, columns.label), offset, size)
    except ValueError as error:
        raise ValueError(f"the label of sample {key!r} of {path!r} cannot be read: {error}") from error


def _is_image(ending: str, asked_for: str | None) -> bool:
    return ending == asked_for.lower().lstrip(".") if asked_for else f".{ending.rpartition('.')[2]}" in IMAGE_SUFFIXES


def _label(file: BinaryIO, members: dict[str, tuple[int, int]], asked_for: str | None) -> str | None:
    ending = asked_for.lower().lstrip(".") if asked_for else "cls"
    if ending in members:
        return _text(file, members[ending]).strip() or None
    if "json" not in members:
        if asked_for:
            raise ValueError(f"its members end in {', '.join(map(repr, members))}; give one as --label-column")
        return None
    fields = parse_json(_text(file, members["json"]))
    name = asked_for or "label"
    if asked_for and (not isinstance(fields, dict) or name not in fields):
        raise ValueError(f"it has no member and its .json no field {name!r}: give another as --label-column")
    label = fields.get(name) if isinstance(fields, dict) else None
    return None if label is None else str(label)


def _text(file: BinaryIO, place: tuple[int, int]) -> str:
    offset, size = place
    if size > _LONGEST_LABEL:
        raise ValueError(f"it has {size:,} bytes, at most {_LONGEST_LABEL:,}")
    return _read(file, offset, size).decode()


def _read(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size)

"""WebDataset tars as a data set: local `.tar` files, given by name or by a pattern such as `train-{0000..0099}.tar`.

A sample is what follows one another under one name; the name up to its first dot is the key. Its image is the member
with an image's ending. Its class is the text of its member `.cls`, or the "label" of its `.json`. `--image-column` and
`--label-column` name other endings, or a field of the `.json`.

The headers of all tars are read once; an image is then read from its place, so that nothing is held in memory.
"""

import os
import tarfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.datasets.columns import Columns
from albu_diffusemix.datasets.items import READERS, SourceFile
from albu_diffusemix.datasets.opened import find_files, keep_open, version_of
from albu_diffusemix.images import IMAGE_SUFFIXES, read_encoded
from albu_diffusemix.regular_files import open_regular
from albu_diffusemix.text import parse_json

__all__ = ["TAR_SUFFIX", "samples_in_tars"]

TAR_SUFFIX = ".tar"

_BLOCK = 512
_LONGEST_LABEL = 1 << 20
_ADVICE = "copy or write it again; what is compressed must be unpacked"


class _Member(NamedTuple):
    key: str
    ending: str
    offset: int
    size: int


def samples_in_tars(data: str, columns: Columns) -> list[SourceFile]:
    """List the samples of a tar, or of those that a pattern stands for.

    Args:
        data: The file or the pattern.
        columns: `image` and `label` are endings.

    Raises:
        OSError: A file cannot be read.
        ValueError: One is not there, is not a plain tar or breaks off, or a sample has no image.

    """
    columns.refuse_all_but("label", "image", where=repr(data))
    found: list[SourceFile] = []
    for path in find_files(data):
        with open_regular(Path(path)) as file:
            samples = groupby(_members(file, path), key=lambda member: member.key)
            found += [_sample(file, path, key, list(members), columns) for key, members in samples]
    if not found:
        raise ValueError(f"{data!r} holds no samples: give tars with images")
    return found


def _read(source: SourceFile) -> NDArray[np.uint8]:
    tar = keep_open(_OpenTar, source.path, version=version_of(source.path))
    offset = source.position or 0
    return read_encoded(os.pread(tar.handle, source.size, offset), f"{source.path} at {offset:,}")


READERS["tar"] = _read


class _OpenTar:
    """A tar that several threads read from at the same time."""

    def __init__(self, path: str) -> None:
        with open_regular(Path(path)) as file:
            self.handle = os.dup(file.fileno())
        finalize(self, os.close, self.handle)


def _members(file: BinaryIO, path: str) -> Iterator[_Member]:
    try:
        tar: Any  # typeshed does not know its members
        with tarfile.open(fileobj=file, mode="r:") as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # it would keep them all
                folder, slash, name = member.name.removeprefix("./").rpartition("/")
                stem, _, ending = name.partition(".")
                if member.isfile() and stem:
                    yield _Member(folder + slash + stem, ending.lower(), member.offset_data, member.size)
            end = tar.offset
    except tarfile.ReadError as error:
        reason = "breaks off" if "unexpected end" in str(error) else "is not a plain tar"
        raise ValueError(f"{path!r} {reason} ({error}): {_ADVICE}") from error
    if _bytes(file, end, _BLOCK) != bytes(_BLOCK):  # tarfile takes half a header for the end
        raise ValueError(f"{path!r} breaks off after {end:,} bytes, without the end that a tar has: {_ADVICE}")


def _sample(file: BinaryIO, path: str, key: str, members: list[_Member], columns: Columns) -> SourceFile:
    images = [member for member in members if _is_image(member.ending, columns.image)]
    endings = ", ".join(repr(member.ending) for member in members)
    if len(images) != 1:
        found = "several images" if images else "no image"
        raise ValueError(
            f"sample {key!r} of {path!r} has {found}; its members end in {endings}: "
            "name the ending of the images as --image-column, or leave the sample out"
        )
    try:
        label = _label(file, {member.ending: member for member in members}, columns.label)
    except ValueError as error:
        raise ValueError(
            f"the label of sample {key!r} of {path!r} cannot be read: {error}; its members end in {endings}"
        ) from error
    return SourceFile(path, key, label, images[0].offset, images[0].size, kind="tar")


def _is_image(ending: str, asked_for: str | None) -> bool:
    if asked_for:
        return ending == asked_for.lower().lstrip(".")
    return f".{ending.rpartition('.')[2]}" in IMAGE_SUFFIXES


def _label(file: BinaryIO, members: dict[str, _Member], asked_for: str | None) -> str | None:
    text = members.get(asked_for.lower().lstrip(".") if asked_for else "cls")
    fields = None
    if text is not None:
        return _text(file, text).strip() or None
    if "json" in members:
        fields = parse_json(_text(file, members["json"]))
    label = fields.get(asked_for or "label") if isinstance(fields, dict) else None
    if label is None and asked_for:
        raise ValueError(f"there is no {asked_for!r}, nor in a .json: give another --label-column")
    return None if label is None else str(label)


def _text(file: BinaryIO, member: _Member) -> str:
    if member.size > _LONGEST_LABEL:
        raise ValueError(f"it has {member.size:,} bytes, at most {_LONGEST_LABEL:,}")
    return _bytes(file, member.offset, member.size).decode()


def _bytes(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size)

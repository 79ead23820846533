"""Rows as members of a tar, and back: what a counterpart looks like inside of a part.

A part begins with a member `__recipe__`: JSON with a check that says how its counterparts were made, as in store.json.
`<key>/<variant>.jpg` (or `.png`, `.webp`, `.npy`) is followed by `<key>/<variant>.json`, its record. A failure is a
record alone, `__failed__/<key>/<variant>`, which readers of WebDataset skip. Every record has the same fields with the
same types, so that tables can be made of them: key, variant, prompt, used_prompt (what the backend made of the prompt;
not in records of format version 1), seed, height, width, pixels (the source's hash in hexadecimal), image (xxh3-64 of
the image file in hexadecimal; of a raw image see `raw_images`; empty for a failure), reason (empty for an image),
check.
"""

import errno
import os
import tarfile
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

from albu_diffusemix.keys import Source, check_name, normalise_key
from albu_diffusemix.store.files import StoreError, dump_checked, load_checked
from albu_diffusemix.store.raw_images import ENCODING, MAGIC, image_check
from albu_diffusemix.store.records import ENCODINGS, Location, Record
from albu_diffusemix.text import printable

END = bytes(2 * tarfile.BLOCKSIZE)
"""What closes a tar."""

_BLOCK = tarfile.BLOCKSIZE
_FAILED = "__failed__/"
_RECIPE = "__recipe__"  # readers of WebDataset skip names __like_this__
_LONGEST_MEMBER = 1 << 30
_TIME = 315_532_800  # 1980-01-01: the same bytes whenever they are written, and a date that every archiver takes
_LONGEST_PAX = _CHUNK = 1 << 16
_MAGIC = ((b"\xff\xd8\xff", "jpg"), (b"\x89PNG\r\n\x1a\n", "png"), (b"RIFF", "webp"), (MAGIC, ENCODING))


class Problem(NamedTuple):
    """Something wrong in a store: the file, the member or record in it (or nothing), and what."""

    file: str
    member: str
    what: str

    def __str__(self) -> str:
        return printable(": ".join(filter(None, self)))


class Sample(NamedTuple):
    """A record, and where its members start and end in their part."""

    record: Record
    start: int
    end: int


class PartRecipe(NamedTuple):
    """What a part says of how it was made, and where that starts and ends in it."""

    fields: dict[str, Any]
    start: int
    end: int


class _Member(NamedTuple):
    name: str
    start: int
    data_at: int
    data: bytes
    end: int


def sniff(data: bytes) -> str:
    """Return one of `ENCODINGS` for an image file, by its first bytes; empty for anything else."""
    return next((encoding for magic, encoding in _MAGIC if data.startswith(magic)), "")


def uint32(value: object, what: str) -> int:
    """Return the value if it is an int in [0, 2^32).

    Raises:
        StoreError: It is not.

    """
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 32:
        raise StoreError(f"{what} {value!r}: give an int from 0 to 4294967295")
    return value


def encode_sample(record: Record, data: bytes, used_prompt: str = "") -> bytes:
    """Return the members of a sample as they stand in a tar.

    Args:
        record: What is known of it; its location is not read.
        data: The image file; empty for a failure.
        used_prompt: What the backend used in place of the prompt; empty where it used the prompt.

    Raises:
        StoreError: A raw image does not agree with its own checks.

    """
    fields = dump_checked(
        {
            "key": record.key,
            "variant": record.variant,
            "prompt": record.prompt,
            "used_prompt": used_prompt or record.prompt,
            "seed": record.seed,
            "height": record.source.height,
            "width": record.source.width,
            "pixels": record.source.pixels.hex(),
            "image": "" if record.failed else f"{image_check(record.encoding, data):016x}",
            "reason": record.reason,
        },
    )
    stem = f"{record.key}/{record.variant}"
    if record.failed:
        return _header(_FAILED + stem, len(fields)) + _padded(fields)
    image = _header(f"{stem}.{record.encoding}", len(data)) + _padded(data)
    return image + _header(f"{stem}.json", len(fields)) + _padded(fields)


def encode_recipe(fields: dict[str, Any]) -> bytes:
    """Return the member that a part begins with: what it says of how it was made."""
    data = dump_checked(fields)
    return _header(_RECIPE, len(data)) + _padded(data)


def scan(file: BinaryIO, part: str) -> Iterator[Sample | PartRecipe | Problem]:
    """Read a part from end to end and yield its recipe, its whole samples and what is wrong between them.

    Only samples whose record and image agree with their checks are yielded, whatever the rest of the file looks like.

    Args:
        file: The tar, open for reading, sealed or in progress.
        part: The part's name.

    """
    image: _Member | None = None
    for member in _members(file):
        if isinstance(member, Problem):
            yield member._replace(file=f"{part}.tar")
            continue
        extension = member.name.rpartition(".")[2]
        if extension in ENCODINGS[1:]:
            if image:
                yield Problem(f"{part}.tar", image.name, "its record is missing")
            image = member
            continue
        try:
            yield _part_recipe(member) if member.name == _RECIPE else _sample(part, image, member)
        except StoreError as error:
            yield Problem(f"{part}.tar", member.name, str(error))
        image = None
    if image:
        yield Problem(f"{part}.tar", image.name, "its record is missing")


def _part_recipe(member: _Member) -> PartRecipe:
    return PartRecipe(load_checked(member.data, "its recipe"), member.start, member.end)


def _sample(part: str, image: _Member | None, member: _Member) -> Sample:
    failed = member.name.startswith(_FAILED)
    if not failed and not member.name.endswith(".json"):
        raise StoreError("it belongs to no counterpart")
    fields = load_checked(member.data, "its record")
    encoding = "" if failed or image is None else image.name.rpartition(".")[2]
    record = _record(fields, encoding)
    stem = f"{record.key}/{record.variant}"
    if member.name != (_FAILED + stem if failed else f"{stem}.json"):
        raise StoreError(f"its record is that of {stem}")
    if failed:
        return Sample(record._replace(location=_location(part, member, "")), member.start, member.end)
    if image is None or image.name != f"{stem}.{encoding}" or image.end != member.start:
        raise StoreError("its image is missing or damaged")
    location = _location(part, image, encoding)
    if fields["image"] != f"{location.check:016x}":
        raise StoreError("its image is damaged: the bytes do not agree with their check")
    return Sample(record._replace(location=location), image.start, member.end)


def _location(part: str, member: _Member, encoding: str) -> Location:
    return Location(part, member.data_at, len(member.data), image_check(encoding, member.data))


def _record(fields: dict[str, Any], encoding: str) -> Record:
    try:
        height, width, seed = (uint32(fields[name], name) for name in ("height", "width", "seed"))
        pixels = bytes.fromhex(fields["pixels"])
        if len(pixels) != 16:  # noqa: PLR2004, bytes of an xxh3-128
            raise StoreError(f"pixels {fields['pixels']!r}")
        key = normalise_key(fields["key"])
        variant = check_name(fields["variant"], "variant")
        prompt, reason = str(fields["prompt"]), str(fields["reason"])
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"its record is not one of this format: {error}") from error
    return Record(key, variant, prompt, seed, Source(height, width, pixels), encoding, reason)


def _members(file: BinaryIO) -> Iterator[_Member | Problem]:
    size = os.fstat(file.fileno()).st_size
    at = lost = 0  # `lost` to `at` could not be read as members
    while at < size:
        member = _read_member(file, at, size)
        if member is None:
            at = _next_data(file, at + _BLOCK, size)
            continue
        if lost < at:
            yield Problem("", "", f"bytes {lost} to {at} belong to no member")
        if isinstance(member, Problem):
            yield member
            return
        yield member
        at = lost = member.end
    if lost < size and not _blank(file, lost):
        yield Problem("", "", f"bytes {lost} to {size} belong to no member")


def _read_member(file: BinaryIO, start: int, size: int) -> _Member | Problem | None:
    """Read a member with its data, or what is wrong if the file ends inside of it; None where no member starts."""
    file.seek(start)
    path = ""
    try:
        info = tarfile.TarInfo.frombuf(file.read(_BLOCK), "utf-8", "surrogateescape")
        if info.type == tarfile.XHDTYPE and 0 < info.size <= _LONGEST_PAX:
            path = _pax_path(file.read(_whole_blocks(info.size))[: info.size])
            info = tarfile.TarInfo.frombuf(file.read(_BLOCK), "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError):
        return None
    name = path or info.name
    if info.type != tarfile.REGTYPE or info.size < 0:
        return None
    data_at = file.tell()
    end = data_at + _whole_blocks(info.size)
    if end > size:
        return Problem("", name, f"it is cut off: {size - data_at} of {info.size} bytes are there")
    if info.size > _LONGEST_MEMBER:
        return Problem("", name, f"it has {info.size} bytes, more than the {_LONGEST_MEMBER} that a member may have")
    return _Member(name, start, data_at, file.read(info.size), end)


def _pax_path(payload: bytes) -> str:
    while payload:
        length = int(payload.partition(b" ")[0])
        if length <= 0:
            return ""
        keyword, _, value = payload[:length].partition(b" ")[2].partition(b"=")
        if keyword == b"path":
            return value[:-1].decode()
        payload = payload[length:]
    return ""


def _next_data(file: BinaryIO, start: int, size: int) -> int:
    """Return the first block from `start` on that lies on the disk: the holes of a sparse file may be endless."""
    if not hasattr(os, "SEEK_DATA"):  # Windows
        return start
    before = os.lseek(file.fileno(), 0, os.SEEK_CUR)  # the file's buffer relies on that
    try:
        at = os.lseek(file.fileno(), start, os.SEEK_DATA)
    except OSError as error:
        return size if error.errno == errno.ENXIO else start
    finally:
        os.lseek(file.fileno(), before, os.SEEK_SET)
    return at - at % _BLOCK


def _blank(file: BinaryIO, start: int) -> bool:
    size = os.fstat(file.fileno()).st_size
    at = _next_data(file, start, size)
    while at < size:
        file.seek(at)
        if any(file.read(_CHUNK)):
            return False
        at = _next_data(file, at + _CHUNK, size)
    return True


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    info.mtime = _TIME
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _BLOCK)


def _whole_blocks(size: int) -> int:
    return size + -size % _BLOCK

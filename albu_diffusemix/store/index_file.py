"""The file of an index: NumPy arrays, one after the other, after a head that says where each lies.

`numpy.load`, called again and again on the open file, reads them all. Numbers are little-endian but for the hashes,
which are kept as their 16 bytes:

===========  ======  ==================================================================================================
head         uint8   JSON with a check, padded with spaces: format, version, the parts covered, a copy of store.json,
                     recipe (what this part says of how it was made; only in the index of one part), xxh3-64 of strings
                     (with string_ends before), and for each array below its offset from the end of the head and its
                     length
key_hi       uint64  the first 8 bytes of each row's key hash as a big-endian number, ascending
rows         `ROW`   one row an entry, ordered by key hash, then by the variant's name; one entry a key and variant
pixel_hi     uint64  as key_hi, of the hash of the source's pixels, for images only
string_ends  uint64  where each string ends in `strings`
key_start    uint32  of 2^b + 1 numbers the i-th says where the hashes that start with the b bits i begin in key_hi
pixel_start  uint32  the same for pixel_hi
pixel_row    uint32  the row that each of pixel_hi belongs to
strings      uint8   UTF-8 of variants, prompts and reasons, sorted; the first is empty
keys         uint8   UTF-8 of the keys
check        uint64  xxh3-64 of everything before these last 8 bytes
===========  ======  ==================================================================================================
"""

import io
import mmap
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray

from albu_diffusemix.keys import check_name
from albu_diffusemix.regular_files import open_regular
from albu_diffusemix.store.files import StoreError, dump_checked, explained, load_checked
from albu_diffusemix.store.index_rows import ROW
from albu_diffusemix.store.records import ENCODINGS, Part

__all__ = ["SECTIONS", "Contents", "check_ranges", "read_file", "write_file"]

FORMAT = "albu-diffusemix index"
VERSION = 1
SECTIONS = {
    "key_hi": np.dtype("<u8"),
    "rows": ROW,
    "pixel_hi": np.dtype("<u8"),
    "string_ends": np.dtype("<u8"),
    "key_start": np.dtype("<u4"),
    "pixel_start": np.dtype("<u4"),
    "pixel_row": np.dtype("<u4"),
    "strings": np.dtype("u1"),
    "keys": np.dtype("u1"),
    "check": np.dtype("<u8"),
}
_NPY_LENGTH = re.compile(rb"'shape': \((\d{1,18}),\)")
_CHECK_BYTES = 8


class Contents(NamedTuple):
    """What an index file says.

    Attributes:
        parts: The parts covered, in `part_order`.
        fields: A copy of store.json.
        recipe: What the part says of how it was made; None in the index of many parts, or of a part that does not say.
        arrays: The arrays of the table above, without the head.
        data: The bytes of the file; None before it is written.

    """

    parts: tuple[Part, ...]
    fields: dict[str, Any]
    recipe: dict[str, Any] | None
    arrays: dict[str, Any]
    data: memoryview | None = None


def read_file(path: Path, *, mapped: bool) -> Contents:
    """Read an index file.

    Args:
        path: The file.
        mapped: Map it, which holds one file handle, and check its head and strings only. Else read all of it into
            memory, which holds no handle, and compare all with its check.

    Raises:
        StoreError: The file is missing, cut off, damaged or of a newer format.

    """
    with explained("read", path), open_regular(path) as file:
        if file.seek(0, io.SEEK_END) == 0:
            raise StoreError(f"{path} is damaged: it is empty")
        file.seek(0)
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if mapped else file.read())
    start = 10 + int.from_bytes(data[8:10], "little")
    end = start + _npy_length(bytes(data[:start]))
    head = load_checked(bytes(data[start:end]), str(path))
    if head.get("format") != FORMAT:
        raise StoreError(f"{path} is not an index of a store")
    if head.get("version") != VERSION:
        raise StoreError(f"{path} has format version {head.get('version')!r}, this is {VERSION}: update the package")
    try:
        contents = _contents(head, data, end)
        if not mapped:
            check_ranges(contents)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StoreError(f"{path} is damaged: {error}") from error
    return contents


def write_file(file: BinaryIO, contents: Contents) -> None:
    """Write the file described at the top of this module."""
    arrays = {**contents.arrays, "check": np.zeros(1, SECTIONS["check"])}
    headers = {name: _npy_header(arrays[name]) for name in SECTIONS}
    sections: dict[str, tuple[int, int]] = {}
    end = 0
    for name in SECTIONS:
        sections[name] = (end + len(headers[name]), len(arrays[name]))
        end += len(headers[name]) + arrays[name].nbytes
    recipe = {"recipe": contents.recipe} if contents.recipe else {}
    head = dump_checked(
        {
            "format": FORMAT,
            "version": VERSION,
            "sections": sections,
            "strings": _hash_strings(arrays),
            "parts": contents.parts,
            "store": contents.fields,
            **recipe,
        },
    )
    head += b" " * (-len(head) % 64)
    digest = xxhash.xxh3_64()
    pieces: list[Any] = [_npy_header(np.frombuffer(head, np.uint8)), head]
    for name in SECTIONS:
        pieces += [headers[name], arrays[name].view(np.uint8).data]
    for piece in pieces[:-1]:
        digest.update(piece)
        file.write(piece)
    file.write(digest.intdigest().to_bytes(_CHECK_BYTES, "little"))


def check_ranges(contents: Contents) -> None:
    """Compare the whole file with its check, and every number in it with what it points into.

    Raises:
        StoreError: Something does not agree. A check alone proves nothing about a file that somebody made up.

    """
    arrays, data = contents.arrays, contents.data
    if data is not None and int(arrays["check"][0]) != xxhash.xxh3_64_intdigest(data[:-_CHECK_BYTES]):
        raise StoreError(f"its {len(data)} bytes do not agree with their check")
    rows, ends = arrays["rows"], arrays["string_ends"]
    keys_end = rows["key_at"] + rows["key_length"]
    sizes = np.array([part.size for part in contents.parts], np.uint64)
    sound = (
        _all_below(rows["part"], len(sizes))
        and all(_all_below(rows[name], len(ends)) for name in ("variant", "prompt", "reason"))
        and _all_below(rows["encoding"], len(ENCODINGS))
        and _all_below(keys_end, len(arrays["keys"]) + 1)
        and bool(np.all(keys_end >= rows["key_at"]))
        and bool(np.all(ends[1:] >= ends[:-1]))
        and int(ends[-1] if len(ends) else 0) == len(arrays["strings"])
        and bool(np.all(rows["offset"] <= sizes[rows["part"]] - np.minimum(rows["length"], sizes[rows["part"]])))
        and bool(np.all(rows["length"] <= sizes[rows["part"]]))
        and np.array_equal(arrays["key_hi"], rows["key_hi"])
        and bool(np.all(rows["key_hi"][1:] >= rows["key_hi"][:-1]))
        and _all_below(arrays["pixel_row"], len(rows))
        and np.array_equal(arrays["pixel_hi"], rows["pixels_hi"][arrays["pixel_row"]])
    )
    if not sound:
        raise StoreError("it points to places that are not there")


def _contents(head: Mapping[str, Any], data: memoryview, start: int) -> Contents:
    parts = tuple(_part(*fields) for fields in head["parts"])
    arrays = _sections(data, start, head["sections"])
    if head["strings"] != _hash_strings(arrays):
        raise StoreError("its strings do not agree with their check")
    recipe = head.get("recipe")
    return Contents(parts, dict(head["store"]), dict(recipe) if recipe else None, arrays, data)


def _part(name: object, size: object, digest: object) -> Part:
    if not isinstance(name, str) or not isinstance(digest, str):
        raise StoreError(f"part {name!r} with the hash {digest!r}")
    return Part(check_name(name, "part"), _count(size, 1 << 63), digest)


def _sections(data: memoryview, start: int, sections: Mapping[str, Any]) -> dict[str, Any]:
    places = {name: (_count(sections[name][0], len(data)), _count(sections[name][1], len(data))) for name in SECTIONS}
    needed = start + places["check"][0] + _CHECK_BYTES
    if needed != len(data) or places["check"][1] != 1:
        raise StoreError(f"it has {len(data)} bytes of {needed}")
    return {name: np.frombuffer(data, SECTIONS[name], length, start + at) for name, (at, length) in places.items()}


def _count(number: object, most: int) -> int:
    if not isinstance(number, int) or not 0 <= number <= most:
        raise StoreError(f"{number!r} is not a number from 0 to {most}")
    return number


def _all_below(numbers: NDArray[Any], limit: int) -> bool:
    return not len(numbers) or int(numbers.max()) < limit


def _hash_strings(arrays: dict[str, Any]) -> str:
    digest = xxhash.xxh3_64(arrays["string_ends"].view(np.uint8).data)
    digest.update(arrays["strings"].data)
    return str(digest.hexdigest())


def _npy_header(array: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, np.lib.format.header_data_from_array_1_0(array))
    return stream.getvalue()


def _npy_length(header: bytes) -> int:
    """Return the length of a `.npy` array of bytes, or 0 if this is not the header of one."""
    found = _NPY_LENGTH.search(header)
    return int(found[1]) if found else 0

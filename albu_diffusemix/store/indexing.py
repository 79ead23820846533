"""Making indexes: of one part from its records, of many parts from theirs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.keys import hash_key
from albu_diffusemix.store.index import Index
from albu_diffusemix.store.index_file import Contents
from albu_diffusemix.store.index_rows import ROW, ROW_STRUCT, check_row
from albu_diffusemix.store.records import ENCODINGS, Part, Record, part_order

_PER_BUCKET = 4


def index_part(
    part: Part, records: Sequence[Record], fields: dict[str, Any], path: Path, recipe: dict[str, Any] | None = None
) -> Index:
    """Index the records of one part.

    Args:
        part: The part.
        records: Its records, in any order.
        fields: What store.json says.
        path: Where the index is to lie; nothing is written.
        recipe: What the part says of how it was made, if it does.

    """
    strings = sorted({"", *(text for record in records for text in (record.variant, record.prompt, record.reason))})
    numbers = {text: number for number, text in enumerate(strings)}
    keys = {record.key: record.key.encode() for record in records}
    starts = dict(zip(keys, np.cumsum([0, *map(len, keys.values())]).tolist(), strict=False))
    packed = b"".join(_pack(record, numbers, starts[record.key], len(keys[record.key])) for record in records)
    array = np.frombuffer(bytearray(packed), ROW)
    contents = assemble([part], fields, array, strings, np.frombuffer(b"".join(keys.values()), np.uint8))
    return Index(contents._replace(recipe=recipe), path)


def join_indexes(indexes: Sequence[Index], fields: dict[str, Any], path: Path) -> Index:
    """Join indexes of distinct parts; of entries with one key and variant the one of highest precedence stays.

    Making it takes about three times its size in memory for a while.

    Args:
        indexes: What to join; an empty sequence gives an empty index.
        fields: What store.json says.
        path: Where the index is to lie; nothing is written.

    """
    parts = sorted((part for index in indexes for part in index.parts), key=lambda part: part_order(part.name))
    places = {part: place for place, part in enumerate(parts)}
    strings = sorted({"", *(text for index in indexes for text in index.texts())})
    numbers = {text: number for number, text in enumerate(strings)}
    rows = np.empty(sum(map(len, indexes)), ROW)
    start = key_start = 0
    for index in indexes:
        own = rows[start : start + len(index)]
        own[:] = index.arrays["rows"]
        number_of = np.array([numbers[text] for text in index.texts()], np.uint32)
        for field in ("variant", "prompt", "reason"):
            own[field] = number_of[own[field]]
        own["part"] = np.array([places[part] for part in index.parts], np.uint32)[own["part"]]
        own["key_at"] += np.uint64(key_start)
        start += len(own)
        key_start += len(index.arrays["keys"])
    keys = np.concatenate([np.empty(0, np.uint8), *(index.arrays["keys"] for index in indexes)])
    return Index(assemble(parts, fields, rows, strings, keys), path)


def _pack(record: Record, numbers: dict[str, int], key_at: int, key_length: int) -> bytes:
    return ROW_STRUCT.pack(
        hash_key(record.key),
        record.source.pixels,
        record.location.offset,
        record.location.check,
        key_at,
        record.location.length,
        record.source.height,
        record.source.width,
        record.seed,
        0,
        numbers[record.variant],
        numbers[record.prompt],
        numbers[record.reason],
        key_length,
        ENCODINGS.index(record.encoding),
        0,
    )


def assemble(
    parts: Sequence[Part],
    fields: dict[str, Any],
    rows: NDArray[Any],
    strings: list[str],
    keys: NDArray[np.uint8],
) -> Contents:
    """Return the arrays of an index, from rows in any order whose numbers point into `parts`, `strings` and `keys`."""
    rows = _winners(rows)
    raw = rows.view(np.uint8).data
    rows["check"] = [check_row(raw[start : start + ROW.itemsize]) for start in range(0, len(raw), ROW.itemsize)]
    images = np.flatnonzero(rows["encoding"])
    by_pixels = images[np.lexsort((rows["pixels_lo"][images], rows["pixels_hi"][images]))]
    key_hi, pixel_hi = rows["key_hi"].astype("<u8"), rows["pixels_hi"][by_pixels].astype("<u8")
    texts = [text.encode() for text in strings]
    arrays = {
        "key_hi": key_hi,
        "rows": rows,
        "pixel_hi": pixel_hi,
        "string_ends": np.cumsum([len(text) for text in texts], dtype="<u8"),
        "key_start": _starts(key_hi),
        "pixel_start": _starts(pixel_hi),
        "pixel_row": by_pixels.astype("<u4"),
        "strings": np.frombuffer(b"".join(texts), np.uint8),
        "keys": keys,
    }
    return Contents(tuple(parts), fields, None, arrays)


def _winners(rows: NDArray[Any]) -> NDArray[Any]:
    """Sort by key hash and variant, and keep of each the row of highest precedence."""
    hi, lo = (rows[field].astype("<u8") for field in ("key_hi", "key_lo"))
    order = np.lexsort((~rows["offset"], ~rows["part"], rows["encoding"] == 0, rows["variant"], lo, hi))
    hi, lo, variant = hi[order], lo[order], rows["variant"][order]
    first = np.ones(len(order), bool)
    first[1:] = (hi[1:] != hi[:-1]) | (lo[1:] != lo[:-1]) | (variant[1:] != variant[:-1])
    return rows[order[first]]


def _starts(column: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """Cut a column of evenly spread numbers into buckets of about four, by their first bits."""
    bits = max(1, (len(column) // _PER_BUCKET).bit_length())
    edges = np.arange(1 << bits, dtype=np.uint64) << np.uint64(64 - bits)
    return np.append(np.searchsorted(column, edges), len(column)).astype("<u4")

"""Many entries of an index at once, as columns: of a million of them a record each would take too long."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.keys import hash_key
from albu_diffusemix.store.index import Index

__all__ = ["find_rows", "keys_of"]

_AT_ONCE = 1 << 16


def keys_of(index: Index, rows: NDArray[np.int64]) -> Iterator[str]:
    """Yield the key of each of some rows."""
    texts = index.arrays["keys"].data
    for some in np.array_split(rows, len(rows) // _AT_ONCE + 1):
        starts, lengths = (index.arrays["rows"][name][some].tolist() for name in ("key_at", "key_length"))
        yield from (str(texts[at : at + length], "utf-8") for at, length in zip(starts, lengths, strict=True))


def find_rows(index: Index, keys: Sequence[str], variants: Sequence[str]) -> NDArray[np.int64]:
    """Return the row of each key and variant, -1 for what is not there.

    Args:
        index: Compared with its check, as `Store.whole_index` returns it.
        keys: Normalised keys.
        variants: As many names.

    """
    codes = {text: number for number, text in enumerate(index.texts())}
    wanted = np.array([codes.get(variant, -1) for variant in variants], np.int64)
    hashes = np.frombuffer(b"".join(map(hash_key, keys)), ">u8").reshape(-1, 2).astype(np.uint64)
    column, rows = index.arrays["key_hi"], index.arrays["rows"]
    found, left = np.full(len(keys), -1, np.int64), np.arange(len(keys))
    place = np.searchsorted(column, hashes[:, 0])
    while True:
        left = left[place[left] < len(column)]
        left = left[column[place[left]] == hashes[left, 0]]
        if not len(left):
            return found
        row = rows[place[left]]
        same = (row["key_lo"] == hashes[left, 1]) & (row["variant"] == wanted[left])
        found[left[same]] = place[left[same]]
        left = left[~same]
        place[left] += 1

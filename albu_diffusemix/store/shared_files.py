"""What of a store is given to others: sealed parts and their indexes, nothing else that lies in its folder."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from albu_diffusemix.store import Store
from albu_diffusemix.store.catalog import MERGED
from albu_diffusemix.store.part_files import INDEX, PARTS, SEALED, sealed_file
from albu_diffusemix.store.store_json import STORE_JSON

__all__ = ["Contents", "look_through", "shared_files"]


class Contents(NamedTuple):
    """What the parts of a store hold.

    Attributes:
        prompts: How many counterparts each prompt has, the most first; those that are rejected do not count.
        encodings: Endings of the image files, such as "jpg".
        images: How many of these each part has, with 0 for a part of failures alone.

    """

    prompts: dict[str, int]
    encodings: list[str]
    images: dict[str, int]


def look_through(store: Store) -> Contents:
    """Count what the parts that belong to a store hold, without reading the images.

    Raises:
        StoreError: The store cannot be read.

    """
    prompts: Counter[str] = Counter()
    images: Counter[str] = Counter({failure.location.part: 0 for failure in store.failures()})
    encodings: set[str] = set()
    for record in store.records():
        images[record.location.part] += 0  # also a part of which all is rejected is given
        if store.is_rejected(record):
            continue
        prompts[record.prompt] += 1
        images[record.location.part] += 1
        encodings.add(record.encoding)
    return Contents(dict(prompts.most_common()), sorted(encodings), dict(sorted(images.items())))


def shared_files(store: Store, contents: Contents) -> dict[str, Path]:
    """Return the files to give away, by name, store.json last: what has no store.json is not taken for a store.

    Parts in progress, locks, parts of other stores and all else in the folder are left out, and so are README.md and
    its picture, which shows sources. The names of parts end in `.tar`, whatever they end in on disk.

    """
    folder = store.path / PARTS
    files = {f"{PARTS}/{part}{SEALED}": sealed_file(folder, part) for part in contents.images}
    files |= {f"{PARTS}/{part}{INDEX}": folder / (part + INDEX) for part in contents.images}
    files |= {name: store.path / name for name in (MERGED, STORE_JSON)}
    return {name: file for name, file in files.items() if file.exists()}

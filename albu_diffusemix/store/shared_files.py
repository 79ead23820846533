"""What of a store is given to others: sealed parts and their indexes, nothing else that lies in its folder.

What is rejected is left out: parts that hold such images are copied without them, with a failure in the place of each,
so that no run makes it again. Who reads the copy needs to know nothing of verdicts.
"""

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from albu_diffusemix.store import Store
from albu_diffusemix.store.catalog import MERGED
from albu_diffusemix.store.choices import CHOICES, REJECTED
from albu_diffusemix.store.files import explained
from albu_diffusemix.store.index import Index
from albu_diffusemix.store.indexing import join_indexes
from albu_diffusemix.store.part_files import INDEX, PARTS, SEALED, sealed_file
from albu_diffusemix.store.parts import copy_part, read_index
from albu_diffusemix.store.store_json import STORE_JSON, load, restore

__all__ = ["Contents", "copies_without_rejected", "look_through", "shared_files"]


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


def copies_without_rejected(store: Store, contents: Contents, folder: Path) -> dict[str, Path]:
    """Write what takes the place of some of the shared files, because they hold or speak of what is rejected.

    Args:
        store: What is given away.
        contents: What it holds.
        folder: An empty folder, for copies of the parts that hold rejected images.

    Returns:
        The files by name; empty where the store has no verdicts.

    Raises:
        StoreError: The store cannot be read, or the folder not be written.

    """
    fields = load(store.path)
    if CHOICES not in fields.get("needs", []):
        return {}
    fields["needs"] = [feature for feature in fields["needs"] if feature != CHOICES]
    with explained("write in", folder):
        (folder / PARTS).mkdir(parents=True)
        indexes = [_clean_index(store, part, folder / PARTS, fields) for part in contents.images]
        if (store.path / MERGED).exists():
            (folder / MERGED).parent.mkdir()
            join_indexes(indexes, fields, folder / MERGED).save()
        restore(folder, fields)
    return {file.relative_to(folder).as_posix(): file for file in sorted(folder.rglob("*")) if file.is_file()}


def _clean_index(store: Store, part: str, copies: Path, fields: dict[str, Any]) -> Index:
    index = read_index(store.path / PARTS, part, fields)[0]
    if any(store.is_rejected(record) for record in index.records() if not record.failed):
        tar = sealed_file(store.path / PARTS, part)
        copy_part(tar, copies / (part + SEALED), store.is_rejected, REJECTED, fields)
        return read_index(copies, part, fields)[0]
    return index

"""The page to look at counterparts: one file that works with no server and no network, or one that a server answers."""

import base64
import hashlib
import json
import secrets
from collections.abc import Callable, Iterable
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import cv2

from albu_diffusemix.atomic_files import write_atomically
from albu_diffusemix.curate.pictures import Picture, Sources, counterpart_picture, source_picture
from albu_diffusemix.curate.table import Query, ReviewTable
from albu_diffusemix.datasets import spread
from albu_diffusemix.store.files import StoreError

__all__ = ["MOST_INSIDE", "MOST_SHOWN", "live_page", "store_names", "write_page"]

MOST_INSIDE = 24 << 20
"""Bytes of pictures that a page carries inside; when they are more, all lie in a folder beside it."""

MOST_SHOWN = 20_000
"""Counterparts of a page that is one file: with more, browsers become slow."""

_SIDE = 256  # pixels
_POLICY = "default-src 'none'; script-src {script}; style-src {style}; {rest}; base-uri 'none'; form-action 'none'"
_ALONE, _SERVED = "img-src data: file: 'self'", "img-src 'self' data:; connect-src 'self'"


def write_page(
    table: ReviewTable, sources: Sources, output: Path, limit: int | None, progress: Callable[[], object]
) -> list[str]:
    """Write a page that needs nothing else, but for a folder beside it where its pictures are more than 24 MiB.

    Args:
        table: What to show.
        sources: Where the sources are.
        output: The page, such as review.html; the folder is then review_files.
        limit: Counterparts at the most, chosen evenly; None for all.
        progress: Called after each counterpart.

    Returns:
        Why pictures are missing, a line for each that cannot be shown.

    Raises:
        OSError: It cannot be written.
        ValueError: There is nothing to show, or more than a page can hold.

    """
    facets = table.facets()
    rows = [row for [row] in table.page(Query())["rows"]]
    if not rows:
        raise ValueError("there is no counterpart to show: generate some first")
    if limit is None and len(rows) > MOST_SHOWN:
        raise ValueError(
            f"{len(rows):,} counterparts are too many for one page, at most {MOST_SHOWN:,}: use --serve, or --limit"
        )
    rows = spread(rows, limit or len(rows))
    pictures, problems = _Pictures(output), list[str]()
    for number, row in enumerate(rows):
        _add_pictures(row, table, sources, pictures, problems)
        row["id"] = number
        progress()
    data = {"id": secrets.token_hex(8), **_names(table), **facets, "rows": rows, "pictures": pictures.addresses()}
    page = _page(data, _ALONE).encode()
    write_atomically(output, lambda file: file.write(page))
    return problems


def live_page(table: ReviewTable) -> str:
    """Return the page that asks a server for rows and pictures."""
    return _page({"id": "", **_names(table), "labels": [], "figures": []}, _SERVED)


def store_names(table: ReviewTable) -> list[str]:
    """Return the stores' names, each a different one."""
    names = [store.path.resolve().name for store in table.stores]
    return [name if names.count(name) == 1 else f"{name} ({place})" for place, name in enumerate(names, 1)]


class _Pictures:
    """Pictures by name, kept inside of the page as long as they are small enough together."""

    def __init__(self, output: Path) -> None:
        self._folder = output.with_name(f"{output.stem}_files")
        self._inside: dict[str, Picture] = {}
        self._beside: dict[str, str] = {}
        self._size = 0

    def __contains__(self, name: str) -> bool:
        return name in self._inside or name in self._beside

    def put(self, name: str, picture: Picture) -> None:
        self._inside[name] = picture
        self._size += len(picture.data)
        if self._size > MOST_INSIDE:
            self._move()

    def addresses(self) -> dict[str, str]:
        inside = {
            name: f"data:{picture.media_type};base64,{base64.b64encode(picture.data).decode()}"
            for name, picture in self._inside.items()
        }
        return {**inside, **self._beside}

    def _move(self) -> None:
        self._folder.mkdir(exist_ok=True)
        for name, picture in self._inside.items():
            file = self._folder / f"{name}.{picture.ending}"
            file.write_bytes(picture.data)
            self._beside[name] = f"{self._folder.name}/{file.name}"
        self._inside.clear()


def _add_pictures(
    row: dict[str, Any], table: ReviewTable, sources: Sources, pictures: _Pictures, problems: list[str]
) -> None:
    number = row["id"]
    store, record = table.store_of(number), table.record(number)
    source = f"s{hashlib.blake2b(record.source.pixels + record.key.encode(), digest_size=8).hexdigest()}"
    wanted: Iterable[tuple[str, str, Callable[[], Picture]]] = (
        ("picture", f"c{number}", lambda: counterpart_picture(store, record, _SIDE)),
        ("source", source, lambda: source_picture(store, record, sources, _SIDE)),
    )
    for field, name, draw in wanted if sources else list(wanted)[:1]:
        row[field] = name
        if name in pictures:
            continue
        try:
            pictures.put(name, draw())
        except (StoreError, OSError, ValueError, MemoryError, cv2.error) as error:
            problems.append(f"{record.key} {record.variant}: {error}")


def _names(table: ReviewTable) -> dict[str, Any]:
    return {"stores": store_names(table), "prompts": table.prompts}


def _page(data: dict[str, Any], allowed: str) -> str:
    script, style, page = (
        files(__package__).joinpath(f"review.{ending}").read_text("utf-8") for ending in ("js", "css", "html")
    )
    policy = _POLICY.format(script=_hashed(script), style=_hashed(style), rest=allowed)
    inside = json.dumps(data, allow_nan=False).replace("<", "\\u003c")  # no text can end the script element
    return Template(page).substitute(policy=policy, style=style, script=script, data=inside)


def _hashed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

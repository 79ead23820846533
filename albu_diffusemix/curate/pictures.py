"""The pictures of a page: sources and counterparts, made small."""

import functools
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.contact_sheet import draw_text, fit
from albu_diffusemix.datasets import NO_COLUMNS, Columns, SourceFile, find_sources
from albu_diffusemix.datasets.coco import is_coco
from albu_diffusemix.datasets.hugging_face import is_saved
from albu_diffusemix.datasets.yolo import is_yolo
from albu_diffusemix.image_decoding import reading
from albu_diffusemix.image_headers import declared_size
from albu_diffusemix.keys import Source
from albu_diffusemix.store import Record, Store
from albu_diffusemix.store.raw_images import ENCODING as RAW
from albu_diffusemix.store.raw_images import decode_raw

__all__ = ["Picture", "Sources", "counterpart_picture", "source_picture"]

_TYPES = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp"}
_QUALITY = 85
_BANNER, _SIDE_OF_BANNER = 18, 256
_INK, _WARNING = (255, 255, 255), (179, 38, 30)


class Picture(NamedTuple):
    """An image file, and its media type."""

    data: bytes
    media_type: str

    @property
    def ending(self) -> str:
        """What its file's name ends in."""
        return next(ending for ending, media_type in _TYPES.items() if media_type == self.media_type)


class Sources:
    """What counterparts were made from, by their keys. A plain folder is asked for files by name, and never listed.

    Args:
        data: The data set, as for `albu_diffusemix.datasets.open_data`; None where it was not given.
        store_path: A store inside the folder is not part of the data set.
        columns: Where the data set has what is wanted of it.

    """

    def __init__(self, data: str | None, store_path: Path, columns: Columns = NO_COLUMNS) -> None:
        self._data, self._store_path, self._columns = data, store_path, columns
        path = Path(data or "")
        special = (is_yolo, is_coco, is_saved)
        self._folder = path if data and path.is_dir() and not any(check(path) for check in special) else None

    def __bool__(self) -> bool:
        return self._data is not None

    def find(self, key: str) -> SourceFile | None:
        """Return the source of a normalised key, or None where the data set has no such image."""
        if self._folder is not None and (self._folder / key).is_file():
            return SourceFile(str(self._folder / key), key)
        return self._by_key.get(key)

    def label(self, key: str) -> str:
        """Return the class of a key: what the data set says, else the key's first folder; empty if it has none."""
        if self._data and self._folder is None and key in self._by_key:
            return self._by_key[key].label or ""
        return key.partition("/")[0] if "/" in key else ""

    @functools.cached_property
    def _by_key(self) -> dict[str, SourceFile]:
        if self._data is None:
            return {}
        return {source.key: source for source in find_sources(self._data, self._store_path, self._columns)}


def counterpart_picture(store: Store, record: Record, side: int) -> Picture:
    """Return a counterpart as it is stored if a browser shows that and it is small; else as a smaller JPEG.

    Raises:
        StoreError: It is damaged.

    """
    data = store.read(record)
    if record.encoding == RAW:
        return _jpeg(decode_raw(data), side)
    if max(declared_size(data)) <= side:
        return Picture(data, _TYPES[record.encoding])
    stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if stored is None:
        raise ValueError(f"{record.key} {record.variant} is not an image that OpenCV reads")
    return _jpeg(np.asarray(cv2.cvtColor(stored, cv2.COLOR_BGR2RGB), np.uint8), side)


def source_picture(store: Store, record: Record, sources: Sources, side: int) -> Picture:
    """Return the source of a counterpart; what is not the image that it was made from says so across its top.

    Raises:
        OSError: Its file cannot be opened.
        ValueError: The data set has no such image, or it cannot be read.

    """
    source = sources.find(record.key)
    if source is None:
        raise ValueError(f"the data set has no image {record.key!r}")
    with reading(store.recipe.background):
        image = source.read()
    small = fit(image, side) if max(image.shape[:2]) > side else image
    if Source.of(image) != record.source:
        small = fit(small, _SIDE_OF_BANNER)
        small[:_BANNER] = _WARNING
        draw_text(small, "not the image it was made from", (4, 13), 0.4, _INK)
    return _jpeg(small, side)


def _jpeg(image: NDArray[np.uint8], side: int) -> Picture:
    small = fit(image, side) if max(image.shape[:2]) > side else image
    _, data = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return Picture(data.tobytes(), "image/jpeg")

"""The picture in a store's README: a few sources beside their counterparts."""

from collections.abc import Callable, Sequence
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.contact_sheet import Cell, draw_sheet
from albu_diffusemix.datasets import SourceFile, spread
from albu_diffusemix.image_decoding import reading
from albu_diffusemix.store import Record, Store
from albu_diffusemix.store.raw_images import ENCODING as RAW

__all__ = ["SHOWN", "contact_sheet", "decode_record"]

SHOWN = 30
"""Sources to choose from for a contact sheet, since not each has counterparts yet."""

_ROWS, _COUNTERPARTS = 6, 4
_QUALITY = 85


def contact_sheet(store: Store, sources: Sequence[SourceFile]) -> bytes:
    """Show some sources beside their counterparts.

    What cannot be read is left white: a picture is never a reason for a run to end.

    Args:
        store: Where the counterparts are.
        sources: Where to choose from; a few.

    Returns:
        A JPEG file; empty where there is nothing to show.

    """
    found = [(source, store.kept(store.variants(source.key))[:_COUNTERPARTS]) for source in sources]
    with reading(store.recipe.background):
        records = [_cells(source, made, store) for source, made in spread([pair for pair in found if pair[1]], _ROWS)]
    if not records:
        return b""
    sheet = cv2.cvtColor(draw_sheet(records, ("source", "counterparts")), cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", sheet, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()


def _cells(source: SourceFile, made: Sequence[Record], store: Store) -> list[Cell]:
    counterparts = [Cell(_read(partial(decode_record, store, record)), record.prompt) for record in made]
    return [Cell(_read(source.read), source.key), *counterparts]


def _read(read: Callable[[], NDArray[np.uint8]]) -> NDArray[np.uint8] | None:
    try:
        return read()
    except (OSError, ValueError, MemoryError, cv2.error):
        return None


def decode_record(store: Store, record: Record) -> NDArray[np.uint8]:
    """Return a whole counterpart, (H, W, 3) uint8 RGB.

    Raises:
        ValueError: It cannot be read or decoded.

    """
    if record.encoding == RAW:
        return store.read_box(record, lambda height, width: (0, 0, width, height))
    data = np.frombuffer(store.read(record), np.uint8)
    stored = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if stored is None:
        raise ValueError("not an image that OpenCV reads")
    return np.asarray(cv2.cvtColor(stored, cv2.COLOR_BGR2RGB), np.uint8)

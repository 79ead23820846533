"""Arrays of NumPy as a data set: a `.npy` or `.npz` file with the images, and perhaps their labels.

Images are (N, H, W), (N, H, W, 1) or (N, H, W, 3) uint8. In a `.npz` they are the array `images`, the labels `labels`.
Beside `images.npy` the labels are in `labels.npy`, beside `train_images.npy` in `train_labels.npy`. An image's key is
its row. A `.npy` is mapped, so that nothing is held in memory; the images of a `.npz` are, by each process.
"""

import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.datasets.columns import Columns, choose_column
from albu_diffusemix.datasets.items import READERS, SourceFile, refuse_missing_row, row_key
from albu_diffusemix.datasets.opened import keep_open, version_of
from albu_diffusemix.functional import to_rgb

__all__ = ["ARRAY_SUFFIXES", "rows_of_arrays"]

ARRAY_SUFFIXES = (".npy", ".npz")

Loaded = TypeVar("Loaded")

_ALLOWED = "(N, H, W), (N, H, W, 1) or (N, H, W, 3) of uint8"


def rows_of_arrays(path: str, columns: Columns) -> list[SourceFile]:
    """List the images.

    Args:
        path: The file.
        columns: `image` and `label` are arrays of a `.npz`; beside a `.npy`, `label` is the name of a file.

    Raises:
        OSError: A file cannot be read.
        ValueError: It is damaged or has no such array, shape or dtype is not allowed, or there is not one label for
            each image.

    """
    columns.refuse_all_but("label", "image", where=repr(path))
    if not Path(path).exists():
        raise ValueError(f"there is no {path!r}: check the path")
    image = _choose("image", columns.image, path, "images") or ""
    images = _open_images(path, image)
    labels = _labels(path, columns.label)
    if labels is not None and labels.shape not in ((len(images),), (len(images), 1)):
        raise ValueError(
            f"{path!r} has {len(images):,} images, and labels of shape {labels.shape}: give one label for each image"
        )
    texts = map(_text, labels.ravel().tolist()) if labels is not None else [None] * len(images)
    return [SourceFile(path, row_key(row), text, row, 0, image, kind="array") for row, text in enumerate(texts)]


def _read(source: SourceFile) -> NDArray[np.uint8]:
    images = keep_open(_open_images, source.path, source.column, version=version_of(source.path))
    row = refuse_missing_row(source, len(images))
    return np.array(to_rgb(images[row]))  # a copy, since the bytes of a mapped file can change


READERS["array"] = _read


def _open_images(path: str, column: str) -> NDArray[np.uint8]:
    images = _load(path, column)
    where = f"array {column!r} of {path!r}" if column else repr(path)
    if images.ndim not in (3, 4) or images.shape[3:] not in ((), (1,), (3,)) or images.dtype != np.uint8:
        raise ValueError(f"{where} has shape {images.shape} and dtype {images.dtype}: give {_ALLOWED}{_advice(images)}")
    if 0 in images.shape:
        raise ValueError(f"{where} has shape {images.shape}: it holds no images")
    return images


def _advice(images: NDArray[Any]) -> str:
    if images.ndim == 4 and images.shape[1] in (1, 3) and images.shape[3] not in (1, 3):  # noqa: PLR2004  N, C, H, W
        return "; images.transpose(0, 2, 3, 1) moves the channels to the end"
    if images.dtype.kind == "f":
        return "; numpy.rint(255 * images).astype('uint8') turns values from 0 to 1 into it"
    return ""


def _labels(path: str, name: str | None) -> NDArray[Any] | None:
    if path.lower().endswith(".npz"):
        array = _choose("label", name, path, "labels")
        return _load(path, array) if array else None
    beside = Path(path).with_name(f"{name or Path(path).stem.replace('images', 'labels')}.npy")
    if beside.exists() and beside != Path(path):
        return _load(str(beside), "")
    if name is not None:
        raise ValueError(f"there are no labels {str(beside)!r} beside {path!r}: give the name of a file there")
    return None


def _choose(what: str, name: str | None, path: str, usual: str) -> str | None:
    """Return the array of a `.npz` with the images or labels; None where there are no labels, or one array is all."""
    if path.lower().endswith(".npy"):
        return None
    names = _load_npz(path, list)
    there = [array for array in names if array == usual]
    if what == "label" and name is None and not there:
        return None
    return choose_column(what, name, names, repr(path), there)


def _load(path: str, name: str) -> NDArray[Any]:
    if name:
        return _load_npz(path, lambda arrays: arrays[name])
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise _damaged(path, error) from error
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{path!r} is not an array of NumPy, whatever its ending says")  # noqa: TRY004  bad input
    return array


def _load_npz(path: str, get: Callable[[Any], Loaded]) -> Loaded:
    with Path(path).open("rb") as file:  # NumPy leaves a damaged one open
        try:
            return get(np.lib.npyio.NpzFile(file, allow_pickle=False))
        except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise _damaged(path, error) from error


def _text(label: Any) -> str:
    return label.decode(errors="replace") if isinstance(label, bytes) else str(label)


def _damaged(path: str, error: Exception) -> ValueError:
    return ValueError(
        f"{path!r} cannot be read as arrays of NumPy: {error}; write it again with numpy.save or numpy.savez"
    )

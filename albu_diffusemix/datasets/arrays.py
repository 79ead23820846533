"""Arrays of NumPy as a data set: a `.npy` or `.npz` file with the images, and perhaps their labels.

Images are (N, H, W), (N, H, W, 1) or (N, H, W, 3) uint8. In a `.npz` they are the array `images`, the labels `labels`.
Beside `images.npy` the labels are in `labels.npy`, beside `train_images.npy` in `train_labels.npy`. An image's key is
its row. Arrays are mapped, not read, unless a `.npz` is compressed.
"""

import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.datasets.rows import Columns, Row, choose_column, keep_open, refuse_missing_row, row_key
from albu_diffusemix.functional import to_rgb

__all__ = ["ARRAY_SUFFIXES", "array_column", "array_rows", "read_array_row"]

ARRAY_SUFFIXES = (".npy", ".npz")

_ALLOWED = "(N, H, W), (N, H, W, 1) or (N, H, W, 3) of uint8"
_LOCAL_HEADER = struct.Struct("<26xHH")  # of a file in a ZIP: the lengths of its name and of the field behind it


def array_column(path: str, columns: Columns) -> str:
    """Return the name of the array with the images; empty for a `.npy`, which has one.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is damaged, or has no such array.

    """
    if _is_single(path):
        return ""
    names = _names(path)
    return choose_column(
        columns.image, [name for name in names if name == "images"], names, "--image-column", repr(path)
    )


def array_rows(path: str, column: str, columns: Columns) -> Iterator[Row]:
    """List the images.

    Args:
        path: The file.
        column: From `array_column`.
        columns: `label` names the array of the labels.

    Raises:
        OSError: A file cannot be read.
        ValueError: Shape or dtype is not allowed, or there is not one label for each image.

    """
    images = keep_open(_open_images, path, column)
    labels = _labels(path, columns.label)
    if labels is not None and labels.shape not in ((len(images),), (len(images), 1)):
        raise ValueError(
            f"{path!r} has {len(images):,} images, and labels of shape {labels.shape}: give one label for each image"
        )
    for row in range(len(images)):
        yield Row(row_key(row), None if labels is None else _text(labels[row].item()), row)


def read_array_row(path: str, column: str, row: int) -> NDArray[np.uint8]:
    """Return the image of a row, (H, W, 3) uint8 RGB.

    Raises:
        OSError: The file cannot be read.
        ValueError: As `array_rows`, or there is no such row any more.

    """
    images = keep_open(_open_images, path, column)
    refuse_missing_row(path, row, len(images))
    return np.array(to_rgb(images[row]))  # a copy, since the bytes of a mapped file can change


def _is_single(path: str) -> bool:
    return path.lower().endswith(".npy")


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
    if not _is_single(path):
        names = _names(path)
        if name is None and "labels" not in names:
            return None
        return _load(path, choose_column(name or "labels", (), names, "--label-column", repr(path)))
    beside = Path(path).with_name(f"{name or Path(path).stem.replace('images', 'labels')}.npy")
    if name is None and (beside == Path(path) or not beside.exists()):
        return None
    if not beside.exists():
        raise ValueError(f"there are no labels {str(beside)!r} beside {path!r}: give the name of a file there")
    return _load(str(beside), "")


def _text(label: Any) -> str:
    return label.decode(errors="replace") if isinstance(label, bytes) else str(label)


def _names(path: str) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
    except zipfile.BadZipFile as error:
        raise _damaged(path, error) from error


def _load(path: str, name: str) -> NDArray[Any]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False) if not name else _load_member(path, f"{name}.npy")
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise _damaged(path, error) from error
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{path!r} is not an array of NumPy, whatever its ending says")  # noqa: TRY004  bad input
    return array


def _load_member(path: str, member: str) -> NDArray[Any]:
    """Map an array of a `.npz`; where it is compressed, read it."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(member)
        with archive.open(info) as data:
            if info.compress_type != zipfile.ZIP_STORED:
                return np.asarray(np.lib.format.read_array(data, allow_pickle=False))
            shape, fortran, dtype = _read_header(data)
            start = _start_of(path, info) + data.tell()
    if dtype.hasobject:
        raise ValueError("it holds objects of Python")
    order: Literal["F", "C"] = "F" if fortran else "C"
    mapped: NDArray[Any] = np.memmap(path, dtype, "r", start, shape, order)
    return mapped


def _read_header(data: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    first = np.lib.format.read_magic(data) == (1, 0)
    return np.lib.format.read_array_header_1_0(data) if first else np.lib.format.read_array_header_2_0(data)


def _start_of(path: str, info: zipfile.ZipInfo) -> int:
    with Path(path).open("rb") as file:
        file.seek(info.header_offset)
        lengths = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    return info.header_offset + _LOCAL_HEADER.size + int(sum(lengths))


def _damaged(path: str, error: Exception) -> ValueError:
    return ValueError(
        f"{path!r} cannot be read as arrays of NumPy: {error}; write it again with numpy.save or numpy.savez"
    )

"""The fractals to blend in: open a library, resize its images, remember them within a memory bound."""

import os
from collections import OrderedDict, deque
from importlib import resources
from pathlib import Path
from threading import Lock
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.images import IMAGE_SUFFIXES, find_images, read_image

__all__ = ["BUILTIN", "FractalLibrary", "shared_library"]

BUILTIN = "builtin"
MEMORY_BOUND = 128 * 2**20
"""Bytes that a library remembers, in each process: the 100 built-in fractals take 79 MB decoded."""

RECENT_SIZES = 16
"""Sizes of images that a library keeps in mind, to tell those that come again."""

_shared: dict[tuple[int, str], "FractalLibrary"] = {}


class _Memory:
    """Arrays by key, the least recently used forgotten beyond a number of bytes."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._held = 0
        self._arrays: OrderedDict[tuple[int, ...], NDArray[np.uint8]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: tuple[int, ...]) -> NDArray[np.uint8] | None:
        with self._lock:
            if key in self._arrays:
                self._arrays.move_to_end(key)
            return self._arrays.get(key)

    def put(self, key: tuple[int, ...], array: NDArray[np.uint8]) -> None:
        with self._lock:
            if key in self._arrays or array.nbytes > self._bound:
                return
            self._arrays[key] = array
            self._held += array.nbytes
            while self._held > self._bound:
                self._held -= self._arrays.popitem(last=False)[1].nbytes


class FractalLibrary:
    """Fractal images by number, opened when they are first asked for.

    Decoded images are remembered, and smaller ones resized to a size that comes again; beyond `memory_bound` the least
    recently used are forgotten. Use `shared_library`, which gives each process one of its own.

    Args:
        source: "builtin", or a folder of images (BMP, JPEG, PNG, TIFF, WebP; searched with its sub-folders).
            Default: "builtin".
        memory_bound: Bytes to remember at the most. Default: 128 MiB.

    Raises:
        ValueError: The folder does not exist or holds no images.

    Examples:
        >>> from albu_diffusemix.fractals import FractalLibrary
        >>> library = FractalLibrary()
        >>> len(library)
        100
        >>> library.get(0, height=224, width=320).shape
        (224, 320, 3)

    """

    def __init__(self, source: str = BUILTIN, memory_bound: int = MEMORY_BOUND) -> None:
        self.source = source
        self._paths = _builtin_paths() if source == BUILTIN else _folder_paths(source)
        self._memory = _Memory(memory_bound)
        self._recent_sizes: deque[tuple[int, ...]] = deque(maxlen=RECENT_SIZES)

    def __len__(self) -> int:
        return len(self._paths)

    def name(self, index: int) -> str:
        """Return a fractal's file name.

        Args:
            index: Its number, from 0.

        Returns:
            The file's name, without its folder.

        """
        return self._paths[index].name

    def get(self, index: int, height: int, width: int, out: NDArray[Any] | None = None) -> NDArray[np.uint8]:
        """Return one fractal resized to an image's size (paper, section 3.2: one fractal over the whole image).

        Args:
            index: Its number, from 0, in the order of the file names.
            height: Height in pixels.
            width: Width in pixels.
            out: An array that may be written to; used where a fractal has to be resized that is
                not worth remembering, and `out` has its shape and dtype. Default: None.

        Returns:
            (height, width, 3) uint8 RGB, read-only unless it is `out`.

        Raises:
            OSError: The file cannot be opened.
            ValueError: There is no such number, or the file is not a readable image.

        """
        if not 0 <= index < len(self._paths):
            raise ValueError(f"fractal_index must lie in [0, {len(self)}) for fractals {self.source!r}; got {index}")
        remembered = self._memory.get((index, height, width))
        if remembered is not None:
            return remembered
        decoded = self._decode(index)
        if decoded.shape[:2] == (height, width):
            return decoded
        to_remember = self._worth_remembering(height, width, decoded)
        resized = _resized(decoded, height, width, None if to_remember else out)
        if resized is not out:
            resized.flags.writeable = False
        if to_remember:
            self._memory.put((index, height, width), resized)
        return resized

    def _worth_remembering(self, height: int, width: int, decoded: NDArray[np.uint8]) -> bool:
        """Keep decoded images from being driven out by resized ones that never come again, or are larger than they."""
        came_before = (height, width) in self._recent_sizes
        if not came_before:
            self._recent_sizes.append((height, width))
        return came_before and height * width * 3 <= decoded.nbytes

    def _decode(self, index: int) -> NDArray[np.uint8]:
        decoded = self._memory.get((index,))
        if decoded is None:
            decoded = read_image(self._paths[index])
            decoded.flags.writeable = False
            self._memory.put((index,), decoded)
        return decoded


def shared_library(source: str) -> FractalLibrary:
    """Return this process's one library for a source; a forked or spawned process gets its own.

    Args:
        source: As for `FractalLibrary`.

    Returns:
        The same instance for the same source in the same process.

    Raises:
        ValueError: As for `FractalLibrary`.

    """
    process_and_source = (os.getpid(), source)
    if process_and_source not in _shared:
        _shared[process_and_source] = FractalLibrary(source)
    return _shared[process_and_source]


def _resized(image: NDArray[np.uint8], height: int, width: int, out: NDArray[Any] | None) -> NDArray[np.uint8]:
    """Halve while that is possible, then interpolate: an eighth of the time of averaging areas at once.

    OpenCV writes to `out` where it fits, else to a new array; of `out` it may give back another view.
    """
    while image.shape[0] >= 2 * height and image.shape[1] >= 2 * width:
        half = (image.shape[1] // 2, image.shape[0] // 2)
        image = np.asarray(cv2.resize(image, half, interpolation=cv2.INTER_AREA), np.uint8)
    resized = np.asarray(cv2.resize(image, (width, height), out, interpolation=cv2.INTER_LINEAR), np.uint8)
    return out if out is not None and np.may_share_memory(resized, out) else resized


def _builtin_paths() -> list[Path]:
    folder = resources.files("albu_diffusemix.fractal_assets")
    paths = sorted(Path(str(path)) for path in folder.iterdir() if path.name.endswith(".jpg"))
    if not paths:
        raise ValueError(f"the built-in fractals are missing from {str(folder)!r}: install albu-diffusemix again")
    return paths


def _folder_paths(source: str) -> list[Path]:
    folder = Path(source)
    if not folder.is_dir():
        raise ValueError(f"fractals must be {BUILTIN!r} or a folder of images; there is no folder {source!r}")
    paths = find_images(folder)
    if not paths:
        raise ValueError(f"fractals folder {source!r} holds no images; looked for {', '.join(IMAGE_SUFFIXES)}")
    return paths

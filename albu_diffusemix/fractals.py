"""The fractals to blend in: open a library, resize its images, remember them within a memory bound."""

import copy
import mmap
import os
from collections import Counter
from importlib import resources
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import cv2
import numpy as np
import xxhash
from numpy.typing import NDArray

from albu_diffusemix.images import IMAGE_SUFFIXES, find_images, read_image

__all__ = ["BUILTIN", "FractalLibrary", "shared_library"]

BUILTIN = "builtin"
MEMORY_BOUND = 80 * 2**20
"""Bytes that a library remembers, in each process: the 100 built-in fractals take 79 MB as they are."""

MOST_SIZES = 16
"""Sizes of images that a library tells apart; where there are more, it remembers no fractal at any of them."""

LARGEST_SHARED = 512 * 512 * 3
"""Bytes of the largest images that a process shares with those that it forks: of a built-in fractal."""

_shared: dict[tuple[int, str], "FractalLibrary"] = {}


class _Source(NamedTuple):
    """A fractal as it was read, or halved as often as all sizes so far allow.

    Attributes:
        image: Its pixels.
        whole: Height and width before it was halved for the last time; None if it never was.

    """

    image: NDArray[np.uint8]
    whole: tuple[int, int] | None

    def serves(self, height: int, width: int) -> bool:
        """Tell whether an image of this size would be made from it, too."""
        return self.whole is None or _can_be_halved(self.whole, height, width)

    def halved(self, height: int, width: int) -> "_Source":
        """Halve while that is possible: then to interpolate takes an eighth of the time of averaging areas at once."""
        source = self
        while _can_be_halved(source.image.shape, height, width):
            whole = source.image.shape[:2]
            half = cv2.resize(source.image, (whole[1] // 2, whole[0] // 2), interpolation=cv2.INTER_AREA)
            source = _Source(np.asarray(half, np.uint8), (whole[0], whole[1]))
        return source


class _Memory:
    """Images by key; beyond a number of bytes the first ones are forgotten."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._held = 0
        self._sources: dict[tuple[int, ...], _Source] = {}
        self._lock = Lock()
        self.get = self._sources.get

    def copied(self) -> "_Memory":
        """Return one with the same images, with a lock that no thread of another process holds."""
        memory = _Memory(self._bound)
        for key, source in list(self._sources.items()):
            memory.put(key, source)
        return memory

    def put(self, key: tuple[int, ...], source: _Source) -> None:
        source.image.flags.writeable = False
        if source.image.nbytes > self._bound:
            return
        with self._lock:
            self._remove(key)
            self._sources[key] = source
            self._held += source.image.nbytes
            while self._held > self._bound:
                self._remove(next(iter(self._sources)))

    def forget(self, key: tuple[int, ...]) -> None:
        with self._lock:
            self._remove(key)

    def _remove(self, key: tuple[int, ...]) -> None:
        removed = self._sources.pop(key, None)
        if removed is not None:
            self._held -= removed.image.nbytes


class _ForkedMemory:
    """Images by number, each at a place of its own in memory that a process shares with those that it forks.

    There is no lock: all of them would write the same bytes to a place, and what lies there counts only with its check,
    which is written last. What nobody writes to takes no memory.
    """

    def __init__(self, count: int) -> None:
        self._pixels = np.frombuffer(mmap.mmap(-1, count * LARGEST_SHARED), np.uint8).reshape(count, -1)
        self._heads = np.frombuffer(mmap.mmap(-1, count * 24), np.uint64).reshape(count, 3)  # height, width, check

    def get(self, index: int) -> NDArray[np.uint8] | None:
        """Return what was put there by any of the processes; None where there is nothing, or not all of it."""
        height, width, check = self._heads[index].tolist() if index < len(self._heads) else (0, 0, 0)
        pixels = self._pixels[index, : height * width * 3] if check else None
        if pixels is None or xxhash.xxh3_64_intdigest(pixels.data) != check:
            return None
        return pixels.reshape(height, width, 3)

    def put(self, index: int, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Put an image there if it fits, and return it from where it lies."""
        if index >= len(self._heads) or image.size > LARGEST_SHARED:
            return image
        self._pixels[index, : image.size] = image.reshape(-1)
        self._heads[index, :2] = image.shape[:2]
        self._heads[index, 2] = xxhash.xxh3_64_intdigest(image.data)
        return self._pixels[index, : image.size].reshape(image.shape)


class FractalLibrary:
    """Fractal images by number, opened when they are first asked for.

    Images are remembered as large as they are needed: at the size of the user's images where few sizes come again and
    again, else as they were read, or halved where all sizes are small. Beyond `memory_bound` the first ones are
    forgotten. Use `shared_library`, which gives each process one of its own; those of forked processes share what they
    remember as it was read.

    Args:
        source: "builtin", or a folder of images (BMP, JPEG, PNG, TIFF, WebP; searched with its sub-folders).
            Default: "builtin".
        memory_bound: Bytes to remember at the most. Default: 80 MiB.

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
        self._memory_bound = memory_bound
        self._forked = _ForkedMemory(min(len(self._paths), MEMORY_BOUND // LARGEST_SHARED))
        self._memory = _Memory(memory_bound)
        self._times: Counter[tuple[int, int]] = Counter()

    def __len__(self) -> int:
        return len(self._paths)

    def in_forked_process(self) -> "FractalLibrary":
        """Return a library for a process that was forked from that of this one: the same files, and what it remembers.

        What is remembered is never written to, so it lies once for both.
        """
        library = copy.copy(self)
        library._memory, library._times = self._memory.copied(), self._times.copy()  # noqa: SLF001  of this very class
        return library

    def name(self, index: int) -> str:
        """Return a fractal's file name.

        Args:
            index: Its number, from 0.

        Returns:
            The file's name, without its folder.

        """
        return self._paths[index].name

    def get(self, index: int, height: int, width: int) -> NDArray[np.uint8]:
        """Return one fractal resized to an image's size (paper, section 3.2: one fractal over the whole image).

        Args:
            index: Its number, from 0, in the order of the file names.
            height: Height in pixels.
            width: Width in pixels.

        Returns:
            (height, width, 3) uint8 RGB, read-only.

        Raises:
            OSError: The file cannot be opened.
            ValueError: There is no such number, or the file is not a readable image.

        """
        remembered = self._memory.get((index, height, width))
        return self._resized(index, height, width) if remembered is None else remembered.image

    def _resized(self, index: int, height: int, width: int) -> NDArray[np.uint8]:
        if not 0 <= index < len(self._paths):
            raise ValueError(f"fractal_index must lie in [0, {len(self)}) for fractals {self.source!r}; got {index}")
        if len(self._times) <= MOST_SIZES:
            self._times[height, width] += 1
        source = self._source(index, height, width)
        resized = source if source.shape[:2] == (height, width) else _interpolated(source, height, width)
        resized.flags.writeable = False
        self._remember(index, resized)
        return resized

    def _source(self, index: int, height: int, width: int) -> NDArray[np.uint8]:
        """Return what is interpolated to this size."""
        known = self._memory.get((index,))
        if known is not None and known.serves(height, width):
            return known.halved(height, width).image
        whole = self._forked.get(index)
        source = _Source(read_image(self._paths[index]) if whole is None else whole, None).halved(height, width)
        stays_whole = len(self._times) > 1 or source.image.shape[:2] == (height, width)
        if whole is None and source.whole is None and stays_whole:
            source = _Source(self._forked.put(index, source.image), None)
        self._memory.put((index,), source)
        return source.image

    def _remember(self, index: int, resized: NDArray[np.uint8]) -> None:
        """Remember a size that comes again, if all fractals fit at all such sizes, and whole ones where others come."""
        times = list(self._times.items())
        come_again = {size for size, count in times if count > 1}
        bytes_each = sum(height * width * 3 for height, width in come_again)
        fits = len(times) <= MOST_SIZES and bytes_each * len(self) <= self._memory_bound
        if resized.shape[:2] not in come_again or not fits:
            return
        self._memory.put((index, *resized.shape[:2]), _Source(resized, None))
        if len(come_again) == len(times):
            self._memory.forget((index,))


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
    library = _shared.get(process_and_source)
    if library is None:
        before_fork = next((each for (_, known), each in list(_shared.items()) if known == source), None)
        library = FractalLibrary(source) if before_fork is None else before_fork.in_forked_process()
        _shared[process_and_source] = library
    return library


def _can_be_halved(shape: tuple[int, ...], height: int, width: int) -> bool:
    return shape[0] >= 2 * height and shape[1] >= 2 * width


def _interpolated(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


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

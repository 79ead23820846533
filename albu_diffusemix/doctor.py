"""Whether a data set fits a store, before a long training: which images have counterparts, and why others have none.

The data set is looked at as training will see it: its images go through the same look-up and the same alignment guard.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.backends.precomputed.matching import SAME_ROOT, Cause, Explainer, Mismatch, find
from albu_diffusemix.functional import check_image, to_rgb
from albu_diffusemix.generate.scan import find_sources
from albu_diffusemix.images import read_image
from albu_diffusemix.import_paths import import_asked_for
from albu_diffusemix.keys import normalise_key
from albu_diffusemix.store import Store

__all__ = ["Coverage", "Files", "Finding", "Items", "Sample", "examine", "open_data", "summarise"]


class Sample(NamedTuple):
    """An image of a data set.

    Attributes:
        name: What to call it in a report.
        key: Its key, or None where the data set gives none.
        image: `(H, W, 3)` uint8 RGB; None where it cannot be had.
        problem: Why it cannot.

    """

    name: str
    key: str | None
    image: NDArray[np.uint8] | None
    problem: str = ""


class Finding(NamedTuple):
    """What was found out about one image: its name, and why it has no counterpart; None where it has one."""

    name: str
    cause: Cause | None


class Group(NamedTuple):
    """Images without a counterpart that share a cause: their number, the name of the first, and its cause."""

    images: int
    example: str
    cause: Cause


@dataclass
class Coverage:
    """How much of a data set has counterparts.

    Attributes:
        total: Images.
        covered: Those with a counterpart that fits.
        groups: The others, by `Cause.what`.

    """

    total: int = 0
    covered: int = 0
    groups: dict[str, Group] = field(default_factory=dict)


class Files:
    """Images in files, as the job finds them: below a folder, or listed in a manifest.

    Args:
        data: The folder or manifest.
        store: A store below the folder is no part of the data set.

    Attributes:
        count: How many there are.

    Raises:
        OSError: The folder or manifest cannot be read.
        ValueError: There are no images, or a line of the manifest is wrong.

    """

    def __init__(self, data: Path, store: Path) -> None:
        self._sources = find_sources(data, store)
        self.count = len(self._sources)

    def samples(self) -> Iterator[Sample]:
        """Read one image after the other."""
        for path, key in self._sources:
            try:
                yield Sample(key, key, read_image(Path(path)))
            except (OSError, ValueError) as error:
                yield Sample(key, key, None, str(error))


class Items:
    """Items of a data set, as PyTorch has them.

    An item is an image, a tuple or list that begins with one, or a mapping that has one under "image". Images are NumPy
    arrays as the transforms take them, or PIL's. An item's key is what a mapping has under "key"; else what the data
    set's `keys` has in its place, a sequence or a method that gives one; else there is none, and pixels are looked up.

    Args:
        dataset: Something with `__len__` and `__getitem__`, or only with `__iter__`.
        name: What to call it in messages.

    Attributes:
        count: How many there are; None where there is no `__len__`.

    Raises:
        ValueError: It is no such thing, it is empty, or has not one key an item.

    """

    def __init__(self, dataset: Any, name: str) -> None:
        indexed = hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")
        if not indexed and not hasattr(dataset, "__iter__"):
            kind = type(dataset).__name__
            raise ValueError(f"{name} is of type {kind}: name a data set of images, or a function that gives one")
        self._dataset = dataset
        self._name = name
        self.count = len(dataset) if indexed else None
        if self.count == 0:
            raise ValueError(f"{name} is empty: name a data set of images")
        self._keys = self._own_keys()

    def samples(self) -> Iterator[Sample]:
        """Take one item after the other.

        Raises:
            ValueError: An item holds no image, or a data set that can only be iterated fails.

        """
        if self.count is None:
            yield from (self._sample(number, item) for number, item in self._iterated())
            return
        for number in range(self.count):
            try:
                item = self._dataset[number]
            except Exception as error:  # noqa: BLE001  a data set is anybody's code
                yield Sample(f"item {number}", None, None, f"{type(error).__name__}: {error}")
            else:
                yield self._sample(number, item)

    def _iterated(self) -> Iterator[tuple[int, Any]]:
        try:
            yield from enumerate(self._dataset)
        except Exception as error:
            raise ValueError(f"{self._name} stops with {type(error).__name__}: {error}") from error

    def _own_keys(self) -> list[Any] | None:
        keys = getattr(self._dataset, "keys", None)
        if keys is None or self.count is None:
            return None
        listed = list(keys() if callable(keys) else keys)
        if len(listed) != self.count:
            raise ValueError(f"{self._name} has {len(listed)} keys for {self.count} items: give one for each")
        return listed

    def _sample(self, number: int, item: Any) -> Sample:
        place = f"item {number} of {self._name}"
        key = self._keys[number] if self._keys is not None else None
        image = item
        if isinstance(item, Mapping):
            key, image = item.get("key", key), item.get("image")
        elif isinstance(item, tuple | list) and item:
            image = item[0]
        if not isinstance(key, str | None):
            raise ValueError(f"the key of {place} must be a string; got {key!r}")  # noqa: TRY004  shown as bad input
        return Sample(key or f"item {number}", key, _as_rgb(image, place))


Data: TypeAlias = Files | Items


def open_data(data: str, store: Path) -> Data:
    """Open what the command line names: an image folder, a manifest, or a data set in an importable module.

    Args:
        data: A folder, a manifest, or `module:attribute`. The attribute is a data set, or called without arguments to
            give one.
        store: A store below the folder is no part of the data set.

    Raises:
        OSError: The folder or manifest cannot be read.
        ValueError: There is no such folder, module or attribute, the call fails, or what it gives holds no images.

    """
    if Path(data).exists():
        return Files(Path(data), store)
    module, colon, attribute = data.partition(":")
    if not (module and colon and attribute):
        raise ValueError(f"{data!r} is no image folder, manifest or 'module:dataset', such as 'my_project.data:train'")
    found = _attribute(import_asked_for(module), attribute)
    is_data = hasattr(found, "__getitem__") or hasattr(found, "__iter__")
    if isinstance(found, type) or (callable(found) and not is_data):
        found = _call(found, data)
    return Items(found, data)


def examine(data: Data, store: Store, on_mismatch: Mismatch = "error") -> Iterator[Finding]:
    """Look each image of a data set up in a store, as the precomputed backend does.

    Args:
        data: What `open_data` gave.
        store: Where the counterparts are.
        on_mismatch: As in the backend's spec.

    Yields:
        One finding for each image, in order.

    Raises:
        ValueError: An item of the data set holds no image, or the store is damaged.

    """
    explainer = Explainer(store)
    for sample in data.samples():
        yield Finding(sample.name, _cause(sample, store, explainer, on_mismatch))


def summarise(findings: Iterable[Finding]) -> Coverage:
    """Count findings, and keep the first of each cause.

    Args:
        findings: What `examine` yields.

    """
    coverage = Coverage()
    for name, cause in findings:
        coverage.total += 1
        if cause is None:
            coverage.covered += 1
            continue
        group = coverage.groups.get(cause.what, Group(0, name, cause))
        coverage.groups[cause.what] = group._replace(images=group.images + 1)
    return coverage


def _cause(sample: Sample, store: Store, explainer: Explainer, on_mismatch: Mismatch) -> Cause | None:
    if sample.image is None:
        return Cause("the image cannot be read", sample.problem, "repair it, or leave it out")
    try:
        key = None if sample.key is None else normalise_key(sample.key)
    except ValueError as error:
        return Cause("its key is not valid in a store", str(error), SAME_ROOT)
    if find(store, sample.image, key, None, on_mismatch).rows:
        return None
    return explainer.explain(sample.image, key)


def _attribute(module: Any, name: str) -> Any:
    if not hasattr(module, name):
        close = difflib.get_close_matches(name, vars(module), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"module {module.__name__!r} has no {name!r}{hint}")
    return getattr(module, name)


def _call(function: Any, name: str) -> Any:
    try:
        return function()
    except Exception as error:
        raise ValueError(f"{name}() gives no data set: {type(error).__name__}: {error}") from error


def _as_rgb(image: Any, place: str) -> NDArray[np.uint8]:
    if hasattr(image, "convert") and hasattr(image, "getbands"):  # PIL's, which need not be installed
        return np.asarray(image.convert("RGB"), np.uint8)
    try:
        check_image(image)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{place} holds no image as DiffuseMix takes it, of NumPy or PIL: {error}") from error
    return to_rgb(image)

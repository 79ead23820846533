"""Any data set of Python, such as one of PyTorch, named `module:attribute`.

The attribute is a data set, or a function or class that gives one when called without arguments.

An item is an image, a tuple or list that begins with one, or a mapping that has one under "image". Images are NumPy
arrays as the transforms take them, or PIL's. An item's key is what a mapping has under "key"; otherwise what the data
set's `keys` has at its index, a sequence or a method that returns one. Otherwise it has no key; in a store it is then
its number, such as `000017`. Its class is what the data set's `targets` has at its index, by its name where there are
`classes`, as in torchvision; in a list also the "label" of a mapping, or what stands second in a tuple. The mappings of
a list can have "prompts", "mask" and "boxes" too, as the lines of a manifest.
"""

import threading
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.datasets.items import READERS, SourceFile, read_extras, refuse_missing_row, row_key
from albu_diffusemix.datasets.opened import keep_open
from albu_diffusemix.functional import check_image, to_rgb
from albu_diffusemix.import_paths import import_asked_for
from albu_diffusemix.text import did_you_mean

__all__ = ["ObjectDataset", "ObjectItem", "import_dataset"]


class ObjectItem:
    """An item of a data set of Python, got from it when it is asked for.

    Args:
        dataset: The data set.
        number: Its number there.

    """

    def __init__(self, dataset: "ObjectDataset", number: int) -> None:
        self._dataset = dataset
        self._number = number

    @cached_property
    def value(self) -> Any:
        """The item as the data set gives it, or the error that it raised."""
        return self._dataset.value(self._number)

    @property
    def key(self) -> str | None:
        """Its key, or None where it has no key."""
        return self._dataset.key(self._number, self.value)

    def read(self) -> NDArray[np.uint8]:
        """Return the image, (H, W, 3) uint8 RGB.

        Raises:
            ValueError: The data set raised an error, or gave no image.

        """
        where = f"item {self._number} of {self._dataset.name}"
        image: Any = self.value.get("image") if isinstance(self.value, Mapping) else self.value
        if isinstance(image, tuple | list) and image:
            image = image[0]
        if isinstance(image, Exception):
            raise ValueError(f"{where} cannot be read: {type(image).__name__}: {image}")  # noqa: TRY004  its own error
        if hasattr(image, "convert") and hasattr(image, "getbands"):  # PIL's, which need not be installed
            return np.asarray(image.convert("RGB"), np.uint8)
        try:
            check_image(image)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{where} is not an image that DiffuseMix takes, of NumPy or PIL: {error}") from error
        return to_rgb(image)


class ObjectDataset:
    """A data set of Python, to iterate over.

    Args:
        dataset: Something with `__len__` and `__getitem__`, or only with `__iter__`.
        name: What to call it in messages.

    Raises:
        ValueError: It is not a data set, it is empty, or does not have one key for each item.

    """

    def __init__(self, dataset: Any, name: str) -> None:
        indexed = hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")
        if not indexed and not hasattr(dataset, "__iter__"):
            kind = type(dataset).__name__
            raise ValueError(f"{name} is of type {kind}: name a data set of images, or a function that gives one")
        self._dataset = dataset
        self.name = name
        self._count = len(dataset) if indexed else None
        if self._count == 0:
            raise ValueError(f"{name} is empty: name a data set of images")
        self._turn = threading.Lock()
        self._keys = self._of_each("keys")

    def __length_hint__(self) -> int:
        """Return the number of items; 0 where it is not known."""
        return self._count or 0

    def __iter__(self) -> Iterator[ObjectItem]:
        """Get one item after the other.

        Raises:
            ValueError: A data set that can only be iterated fails, or a key is not text.

        """
        if self._count is not None:
            yield from (ObjectItem(self, number) for number in range(self._count))
            return
        try:
            for number, value in enumerate(self._dataset):
                item = ObjectItem(self, number)
                item.value = value
                yield item
        except Exception as error:
            raise ValueError(f"{self.name} stops with {type(error).__name__}: {error}") from error

    def rows(self) -> Iterator[SourceFile]:
        """List the items, with a key for each.

        Only a list, and a data set with a "key" in its items and no `keys`, is read for it.

        Raises:
            ValueError: It can only be iterated, a key is not text, or there is not one class for each item.

        """
        if self._count is None:
            raise ValueError(
                f"{self.name} can only be iterated: give it __len__ and __getitem__, for workers to share it"
            )
        targets, names = self._of_each("targets"), getattr(self._dataset, "classes", None)
        read = isinstance(self._dataset, list | tuple) or (self._keys is None and _fields(self.value(0)).get("key"))
        for number in range(self._count):
            value = self.value(number) if read else None
            key = self.key(number, value)
            label = _label_of(value) if targets is None else _class_name(targets[number], names)
            yield SourceFile(
                self.name,
                row_key(number) if key is None else key,
                label,
                number,
                **read_extras(_extras_of(value), f"item {number} of {self.name}"),
                kind="object",
            )

    def value(self, number: int) -> Any:
        """Return an item, or the error that the data set raised; one at a time, as it need not be made for threads."""
        try:
            with self._turn:
                return self._dataset[number]
        except Exception as error:  # noqa: BLE001  a data set is anybody's code
            return error

    def key(self, number: int, value: Any) -> str | None:
        """Return the key of an item, or None where it has no key.

        Raises:
            ValueError: It is not text.

        """
        key = _fields(value).get("key", self._keys[number] if self._keys is not None else None)
        if not isinstance(key, str | None):
            raise ValueError(f"the key of item {number} of {self.name} must be a string; got {key!r}")  # noqa: TRY004  shown as bad input
        return key

    def _of_each(self, attribute: str) -> list[Any] | None:
        """Return what the data set has for each of its items, if it has such."""
        values = getattr(self._dataset, attribute, None)
        if values is None or self._count is None:
            return None
        values = values() if callable(values) else values
        listed = values.tolist() if hasattr(values, "tolist") else list(values)
        if len(listed) != self._count:
            raise ValueError(f"{self.name} has {len(listed)} {attribute} for {self._count} items: give one for each")
        return listed


def import_dataset(name: str) -> ObjectDataset:
    """Import a data set `module:attribute`, or call what gives one.

    Raises:
        ValueError: There is no such module or attribute, the call fails, or the result is not a data set.

    """
    module, _, attribute = name.partition(":")
    found = _attribute(import_asked_for(module), attribute)
    is_data = hasattr(found, "__getitem__") or hasattr(found, "__iter__")
    if isinstance(found, type) or (callable(found) and not is_data):
        try:
            found = found()
        except Exception as error:
            raise ValueError(f"{name}() gives no data set: {type(error).__name__}: {error}") from error
    return ObjectDataset(found, name)


def _read(source: SourceFile) -> NDArray[np.uint8]:
    module = import_asked_for(source.path.partition(":")[0])
    dataset = keep_open(import_dataset, source.path, version=module)
    return ObjectItem(dataset, refuse_missing_row(source, dataset.__length_hint__())).read()


READERS["object"] = _read


def _fields(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _extras_of(value: Any) -> dict[str, Any]:
    """Return what is meant as a manifest's lines have it: others call arrays of masks and boxes by these names too."""
    given = {name: _fields(value).get(name) for name in ("prompts", "mask", "boxes")}
    return {name: extra for name, extra in given.items() if isinstance(extra, str | list | tuple)}


def _label_of(value: Any) -> str | None:
    label = value[1] if isinstance(value, tuple | list) and len(value) > 1 else _fields(value).get("label")
    return str(label) if isinstance(label, str | int | np.integer) else None


def _class_name(target: Any, names: Any) -> str:
    known = isinstance(target, int | np.integer) and names is not None and 0 <= target < len(names)
    return str(names[target] if known else target)


def _attribute(module: Any, name: str) -> Any:
    if not hasattr(module, name):
        raise ValueError(f"module {module.__name__!r} has no {name!r}{did_you_mean(name, vars(module))}")
    return getattr(module, name)

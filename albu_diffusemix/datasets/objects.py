"""Any data set of Python, such as one of PyTorch, named `module:attribute`.

The attribute is a data set, or a function or class that gives one when called without arguments.

An item is an image, a tuple or list that begins with one, or a mapping that has one under "image". Images are NumPy
arrays as the transforms take them, or PIL's. An item's key is what a mapping has under "key"; otherwise what the data
set's `keys` has at its index, a sequence or a method that returns one. Otherwise it has no key; in a store it is then
its number, such as `000017`. Its class is what the data set's `targets` has at its index, by its name where there are
`classes`, as in torchvision; in a list also the "label" of a mapping, or what stands second in a tuple.
"""

import difflib
import threading
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.datasets.rows import Row, once, refuse_missing_row, row_key
from albu_diffusemix.functional import check_image, to_rgb
from albu_diffusemix.import_paths import import_asked_for

__all__ = ["ObjectDataset", "ObjectItem", "import_dataset", "read_object"]


class ObjectItem(NamedTuple):
    """An item of a data set of Python.

    Attributes:
        key: Its key, or None where it has no key.
        image: (H, W, 3) uint8 RGB; None where the data set raised an error.
        problem: This error.

    """

    key: str | None
    image: NDArray[np.uint8] | None
    problem: str = ""

    def read(self) -> NDArray[np.uint8]:
        """Return the image.

        Raises:
            ValueError: The data set raised an error.

        """
        if self.image is None:
            raise ValueError(self.problem)
        return self.image


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
        self._name = name
        self._count = len(dataset) if indexed else None
        if self._count == 0:
            raise ValueError(f"{name} is empty: name a data set of images")
        self._turn = threading.Lock()
        self._keys = self._own_keys()

    def __length_hint__(self) -> int:
        """Return the number of items; 0 where it is not known."""
        return self._count or 0

    def rows(self) -> Iterator[Row]:
        """List the items, with a key for each.

        Only a list, and a data set with a "key" in its items and no `keys`, is read for it.

        Raises:
            ValueError: It can only be iterated, a key is not text, or there is not one class for each item.

        """
        if self._count is None:
            raise ValueError(
                f"{self._name} can only be iterated: give it __len__ and __getitem__, for workers to share it"
            )
        labels = self._own_labels()
        read = isinstance(self._dataset, list | tuple) or (self._keys is None and _key_of(self.value(0)) is not None)
        for number in range(self._count):
            value = self.value(number) if read else None
            key, _ = self._key_and_image(number, value)
            label = labels[number] if labels is not None else _label_of(value)
            yield Row(row_key(number) if key is None else key, label, number)

    def value(self, number: int) -> Any:
        """Get an item as the data set gives it; one at a time, since a data set need not be made for threads.

        Raises:
            ValueError: It has no such item, or cannot read it.

        """
        try:
            with self._turn:
                return self._dataset[number]
        except Exception as error:
            raise ValueError(
                f"item {number} of {self._name} cannot be read: {type(error).__name__}: {error}"
            ) from error

    def image(self, number: int) -> NDArray[np.uint8]:
        """Return the image of an item.

        Raises:
            ValueError: As `value`, or it holds no image.

        """
        refuse_missing_row(self._name, number, self._count or 0)
        value = self.value(number)
        return _as_rgb(self._key_and_image(number, value)[1], f"item {number} of {self._name}")

    def __iter__(self) -> Iterator[ObjectItem]:
        """Get one item after the other.

        Raises:
            ValueError: An item holds no image, or a data set that can only be iterated fails.

        """
        if self._count is None:
            yield from (self._item(number, value) for number, value in self._iterated())
            return
        for number in range(self._count):
            try:
                value = self._dataset[number]
            except Exception as error:  # noqa: BLE001  a data set is anybody's code
                yield ObjectItem(None, None, f"{type(error).__name__}: {error}")
            else:
                yield self._item(number, value)

    def _iterated(self) -> Iterator[tuple[int, Any]]:
        try:
            yield from enumerate(self._dataset)
        except Exception as error:
            raise ValueError(f"{self._name} stops with {type(error).__name__}: {error}") from error

    def _own_keys(self) -> list[Any] | None:
        keys = getattr(self._dataset, "keys", None)
        if keys is None or self._count is None:
            return None
        listed = list(keys() if callable(keys) else keys)
        if len(listed) != self._count:
            raise ValueError(f"{self._name} has {len(listed)} keys for {self._count} items: give one for each")
        return listed

    def _own_labels(self) -> list[str] | None:
        targets = getattr(self._dataset, "targets", None)
        if targets is None:
            return None
        listed = targets.tolist() if hasattr(targets, "tolist") else list(targets)
        if len(listed) != self._count:
            raise ValueError(f"{self._name} has {len(listed)} targets for {self._count} items: give one for each")
        names = getattr(self._dataset, "classes", None)
        return [_class_name(target, names) for target in listed]

    def _item(self, number: int, value: Any) -> ObjectItem:
        key, image = self._key_and_image(number, value)
        return ObjectItem(key, _as_rgb(image, f"item {number} of {self._name}"))

    def _key_and_image(self, number: int, value: Any) -> tuple[str | None, Any]:
        key = self._keys[number] if self._keys is not None else None
        image = value
        if isinstance(value, Mapping):
            key, image = value.get("key", key), value.get("image")
        elif isinstance(value, tuple | list) and value:
            image = value[0]
        if not isinstance(key, str | None):
            raise ValueError(f"the key of item {number} of {self._name} must be a string; got {key!r}")  # noqa: TRY004  shown as bad input
        return key, image


def read_object(name: str, number: int) -> NDArray[np.uint8]:
    """Return the image of an item of a data set `module:attribute`, which each process opens once.

    Raises:
        ValueError: As `import_dataset`; or the item cannot be read, or holds no image.

    """
    module, _, attribute = name.partition(":")
    return once(import_dataset, module, attribute, version=import_asked_for(module)).image(number)


def import_dataset(module: str, attribute: str) -> ObjectDataset:
    """Import a data set, or call what gives one.

    Raises:
        ValueError: There is no such module or attribute, the call fails, or the result is not a data set.

    """
    name = f"{module}:{attribute}"
    found = _attribute(import_asked_for(module), attribute)
    is_data = hasattr(found, "__getitem__") or hasattr(found, "__iter__")
    if isinstance(found, type) or (callable(found) and not is_data):
        try:
            found = found()
        except Exception as error:
            raise ValueError(f"{name}() gives no data set: {type(error).__name__}: {error}") from error
    return ObjectDataset(found, name)


def _key_of(value: Any) -> Any:
    return value.get("key") if isinstance(value, Mapping) else None


def _label_of(value: Any) -> str | None:
    label = value.get("label") if isinstance(value, Mapping) else None
    if isinstance(value, tuple | list) and len(value) > 1:
        label = value[1]
    return str(label) if isinstance(label, str | int | np.integer) else None


def _class_name(target: Any, names: Any) -> str:
    known = isinstance(target, int | np.integer) and names is not None and 0 <= target < len(names)
    return str(names[target] if known else target)


def _attribute(module: Any, name: str) -> Any:
    if not hasattr(module, name):
        close = difflib.get_close_matches(name, vars(module), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"module {module.__name__!r} has no {name!r}{hint}")
    return getattr(module, name)


def _as_rgb(image: Any, place: str) -> NDArray[np.uint8]:
    if hasattr(image, "convert") and hasattr(image, "getbands"):  # PIL's, which need not be installed
        return np.asarray(image.convert("RGB"), np.uint8)
    try:
        check_image(image)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{place} is not an image that DiffuseMix takes, of NumPy or PIL: {error}") from error
    return to_rgb(image)

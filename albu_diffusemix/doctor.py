"""Whether a data set fits a store, before a long training: which images have counterparts, and why others have not.

The data set is looked at as training will see it: its images go through the same look-up and the same alignment guard.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import cv2

from albu_diffusemix.backends.precomputed.matching import SAME_ROOT, Cause, Explainer, Mismatch, find
from albu_diffusemix.datasets import Item
from albu_diffusemix.image_decoding import reading
from albu_diffusemix.keys import normalise_key
from albu_diffusemix.store import Store

__all__ = ["Coverage", "Finding", "examine", "summarize"]


class Finding(NamedTuple):
    """What was found out about one image.

    Attributes:
        name: Its key, or its number.
        cause: Why it has no counterpart; None where it has one.
        remarks: On how it was read, see `albu_diffusemix.image_decoding`.

    """

    name: str
    cause: Cause | None
    remarks: Collection[str] = ()


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
        remarks: Of how many images each remark was made.

    """

    total: int = 0
    covered: int = 0
    groups: dict[str, Group] = field(default_factory=dict)
    remarks: Counter[str] = field(default_factory=Counter)


def examine(
    data: Iterable[Item], store: Store, on_mismatch: Mismatch = "error", *, choices: bool = True
) -> Iterator[Finding]:
    """Look each image of a data set up in a store, as the precomputed backend does.

    Args:
        data: As `albu_diffusemix.datasets.open_data` returns it.
        store: Where the counterparts are.
        on_mismatch: As in the backend's spec.
        choices: As in the backend's spec.

    Yields:
        One finding for each image, in order.

    Raises:
        ValueError: An item of the data set holds no image, or the store is damaged.

    """
    explainer = Explainer(store, choices=choices)
    for number, item in enumerate(data):
        with reading(store.recipe.background) as remarks:
            cause = _cause(item, store, explainer, on_mismatch, choices=choices)
        yield Finding(item.key or f"item {number}", cause, remarks)


def summarize(findings: Iterable[Finding]) -> Coverage:
    """Count findings, and keep the first of each cause.

    Args:
        findings: What `examine` yields.

    """
    coverage = Coverage()
    for name, cause, remarks in findings:
        coverage.total += 1
        coverage.remarks.update(remarks)
        if cause is None:
            coverage.covered += 1
            continue
        group = coverage.groups.get(cause.what, Group(0, name, cause))
        coverage.groups[cause.what] = group._replace(images=group.images + 1)
    return coverage


def _cause(item: Item, store: Store, explainer: Explainer, on_mismatch: Mismatch, *, choices: bool) -> Cause | None:
    try:
        image = item.read()
    except (OSError, ValueError, MemoryError, cv2.error) as error:
        return Cause("the image cannot be read", str(error), "repair it, or leave it out")
    try:
        key = None if item.key is None else normalise_key(item.key)
    except ValueError as error:
        return Cause("its key is not valid in a store", str(error), SAME_ROOT)
    if find(store, image, key, None, on_mismatch, choices=choices).records:
        return None
    return explainer.explain(image, key)

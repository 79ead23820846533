"""Which files of a data set are taken, and what was passed over."""

import fnmatch
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from albu_diffusemix.datasets.items import Item, SourceFile
from albu_diffusemix.keys import normalise_key

__all__ = ["Selection"]

Taken = TypeVar("Taken", bound=Item)

_MASK_FOLDERS = {
    *("annotation", "annotations", "ground_truth", "groundtruth", "gt", "label", "labels", "mask", "masks"),
    *("segmentation", "segmentationclass", "segmentationobject", "segmentations", "trimaps"),
}
_SHOWN_ENDINGS = 8
_SHOWN_NAMES = 5


class Selection:
    """Takes items of a data set, and counts what it does not take.

    Args:
        exclude: Patterns of keys that are left out, such as "masks/*" or "*_mask.png"; "*" stands for any characters,
            "/" among them. One that names a folder leaves out all that is in it.

    Attributes:
        endings: Number of files that are not images, by their endings.
        excluded: Number of items that a pattern left out.
        refused: Why files were not taken whose names cannot be keys.
        masks: Number of the items taken that look like masks, by the pattern that would leave them out.

    """

    def __init__(self, exclude: Sequence[str] = ()) -> None:
        self.endings: Counter[str] = Counter()
        self.excluded = 0
        self.refused: list[str] = []
        self.masks: Counter[str] = Counter()
        patterns = [fnmatch.translate(text) for pattern in exclude for text in (pattern, f"{pattern.rstrip('/')}/*")]
        self._left_out = re.compile("|".join(patterns)) if patterns else None

    def take(self, items: Iterable[Taken]) -> Iterator[Taken]:
        """Yield the items that no pattern leaves out."""
        for item in items:
            if item.key is not None and self._left_out is not None and self._left_out.match(item.key):
                self.excluded += 1
                continue
            yield item

    def with_valid_keys(self, files: Iterable[SourceFile]) -> Iterator[SourceFile]:
        """Yield the files whose names can be keys, with these keys as a store knows them."""
        for file in files:
            try:
                key = normalise_key(file.key)
            except ValueError as error:
                self.refused.append(str(error))
                continue
            self._count_mask(key)
            yield file._replace(key=key)

    def describe(self) -> list[str]:
        """Say in a few lines what was passed over; nothing where that was nothing."""
        shown = self.endings.most_common(_SHOWN_ENDINGS)
        counts = [f"{count:,} {ending}" for ending, count in shown]
        others = self.endings.total() - sum(count for _, count in shown)
        if others:
            counts.append(f"{others:,} with other endings")
        if self.excluded:
            counts.append(f"{self.excluded:,} by --exclude")
        lines = [f"Passed over: {', '.join(counts)}"] if counts else []
        if self.refused:
            lines.append(f"Passed over: {self.refusal()}")
        return lines

    def refusal(self) -> str:
        """Say how many files have names that cannot be keys, the first of them, and what to do."""
        shown = "; ".join(self.refused[:_SHOWN_NAMES])
        more = f"; and {len(self.refused) - _SHOWN_NAMES:,} more" if len(self.refused) > _SHOWN_NAMES else ""
        files = "file whose name" if len(self.refused) == 1 else "files whose names"
        return f"{len(self.refused):,} {files} cannot be a key: rename them. {shown}{more}"

    def doubts(self) -> list[str]:
        """Say which of the items that were taken look like masks."""
        return [
            f"{count:,} sources look like masks, not images: --exclude {pattern!r} leaves them out"
            for pattern, count in self.masks.most_common()
        ]

    def _count_mask(self, key: str) -> None:
        folder, _, name = key.rpartition("/")
        parts = folder.split("/") if folder else []
        for number, part in enumerate(parts):
            if part.lower() in _MASK_FOLDERS:
                self.masks["/".join([*parts[: number + 1], "*"])] += 1
                return
        if name.rpartition(".")[0].lower().endswith("_mask"):
            self.masks["*_mask.*"] += 1

"""Each transform with each way to its counterparts, made ready for the images that a test has."""

from pathlib import Path
from typing import Any, NamedTuple

import albumentations as A
import numpy as np
from precomputed_files import Entry, counterpart_of, make_store
from xxhash import xxh3_64_hexdigest

from albu_diffusemix import DiffuseMix, FractalBlend, HalfConcat
from albu_diffusemix.functional import to_rgb

SEED = 5


class Case(NamedTuple):
    """A transform, and where its counterparts come from: "procedural", "precomputed", "given", or "" for none."""

    kind: type
    source: str

    def __str__(self) -> str:
        return f"{self.kind.__name__} {self.source}".strip()


CASES = [
    *(Case(kind, source) for kind in (DiffuseMix, HalfConcat) for source in ("procedural", "precomputed", "given")),
    Case(FractalBlend, ""),
]


class Mix(NamedTuple):
    """A transform, and the counterparts of its images where a call has to bring them."""

    transform: A.ImageOnlyTransform
    counterparts: list[np.ndarray] | None

    def __call__(
        self, *after: A.BasicTransform, compose: dict[str, Any] | None = None, **targets: Any
    ) -> dict[str, Any]:
        """Give what a pipeline that begins with this transform, always of the same seed, makes of the targets."""
        return A.Compose([self.transform, *after], seed=SEED, **compose or {})(**targets, **self.metadata())

    def metadata(self) -> dict[str, Any]:
        if self.counterparts is None:
            return {}
        return {"diffusemix_metadata": {"counterpart": np.stack(self.counterparts)}}

    def alone(self, place: int) -> "Mix":
        """Give the same for one of the images."""
        return self if self.counterparts is None else self._replace(counterparts=[self.counterparts[place]])


def make_mix(case: Case, folder: Path, *images: np.ndarray, p: float = 1.0) -> Mix:
    """Make a case ready for these images, each (H, W) or (H, W, C), which are all that it will see."""
    if case.source == "precomputed":
        return Mix(case.kind({"name": "precomputed", "store": _store_of(images, folder)}, p=p), None)
    counterparts = [_inverted(image) for image in images] if case.source == "given" else None
    return Mix(case.kind(p=p), counterparts)


def _store_of(images: tuple[np.ndarray, ...], folder: Path) -> str:
    """A store in the folder that knows these images by their pixels; made once for the same images."""
    sources = [to_rgb(image) for image in images]
    path = folder / xxh3_64_hexdigest(b"".join(repr(source.shape).encode() + source.tobytes() for source in sources))
    if path.exists():
        return str(path)
    entries = [Entry(f"{place}.jpg", source, counterpart_of(source, 32, 48)) for place, source in enumerate(sources)]
    return make_store(path, *entries)


def _inverted(image: np.ndarray) -> np.ndarray:
    return (255 - image) if image.dtype == np.uint8 else (1 - image)


def pixels_in_a_process(mix: Mix, image: np.ndarray) -> np.ndarray:
    """What a process of a pool does; it seeds, for AlbumentationsX starts another stream in a spawned process."""
    pipeline = A.Compose([mix.transform])
    pipeline.set_random_seed(SEED)
    return pipeline(image=image, **mix.metadata())["image"]

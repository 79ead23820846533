"""A comparison, opened: its images, pipelines and model are there and fit; `run` trains one arm with one seed."""

import platform
import time
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import albumentations as A
import torch

import albu_diffusemix
from albu_diffusemix._host import HOST
from albu_diffusemix.backends import create_backend
from albu_diffusemix.compare.data import Pixels, open_sets
from albu_diffusemix.compare.evaluation import (
    Evaluation,
    Outcome,
    accuracy,
    divided_at_normalize,
    measure,
    metric_function,
)
from albu_diffusemix.compare.models import create_model
from albu_diffusemix.compare.spec import Arm, Spec
from albu_diffusemix.compare.training import Views, batches_of, settled, train
from albu_diffusemix.datasets import spread
from albu_diffusemix.doctor import examine, summarize
from albu_diffusemix.keys import digest
from albu_diffusemix.pipelines import leaves, mixers, open_pipeline, run_seeded
from albu_diffusemix.store import Store
from albu_diffusemix.text import in_one_line

__all__ = ["PLAIN", "Comparison"]

PLAIN = "crop_and_flip"
"""Name of the arm that is added where none only crops and flips."""

_CROPS = {"RandomCrop", "RandomResizedCrop"}
_BESIDE_CROPS = {
    *("CenterCrop", "CropAndPad", "HorizontalFlip", "LongestMaxSize", "Normalize", "Pad", "PadIfNeeded"),
    *("Resize", "SmallestMaxSize", "ToFloat", "ToTensorV2"),
}
_LOOKED_AT = 4
_TRIED_STEPS = 4
FAILURES = (FloatingPointError, ValueError, OSError, RuntimeError, MemoryError)


class Comparison:
    """What a spec describes.

    Args:
        spec: Arms get names; one that only crops and flips is added where none does.
        threads: Threads that training computes with; other numbers of threads give other last digits.
        checked: Another process has opened the same spec, so that nothing need be checked.

    Attributes:
        spec: The spec, with all arms and a reference.
        pipelines: Of each arm.

    Raises:
        OSError: Something cannot be read.
        ValueError: Data, pipelines, model or metrics are not there or do not fit each other; a class lacks images, arms
            give other sizes, or a store lacks images. Leaks are looked for by `Results.begin`.

    """

    def __init__(self, spec: Spec, threads: int = 1, *, checked: bool = False) -> None:
        self.spec, self.threads = spec, threads
        self.sets, self.pixels = open_sets(spec), Pixels()
        self.pipelines = {
            name: _named(f"arm {name!r}", partial(open_pipeline, choices=arm.choices), arm.pipeline, arm.store)
            for name, arm in spec.arms.items()
        }
        if not checked:
            self._check()
        first = next(iter(self.pipelines))
        height, width = self._size(first)
        normalize = {"Normalize": _normalize(self.pipelines[first])}
        self._add_plain([{"RandomResizedCrop": {"size": (height, width)}}, "HorizontalFlip", normalize])
        default: Any = [{"Resize": {"height": height, "width": width}}, normalize]
        self.evaluation_pipeline = _named("evaluation", open_pipeline, spec.evaluation or default)
        self.seen = _named("evaluation", divided_at_normalize, self.evaluation_pipeline)
        self._evaluation = lru_cache(maxsize=1)(self._evaluation_of)

    def _check(self) -> None:
        for seed in self.spec.seeds:
            self.sets.of_seed(seed)
        for name, pipeline in self.pipelines.items():
            _named(f"arm {name!r}", self._refuse_lacking_store, pipeline)
        for name in self.spec.metrics:
            metric_function(name)
        create_model(self.spec.model, len(self.sets.classes), 0)
        sizes = {name: self._size(name) for name in self.pipelines}
        first = next(iter(sizes))
        for name, size in sizes.items():
            if size != sizes[first]:
                raise ValueError(f"arm {first!r} gives {_x(sizes[first])}, arm {name!r} {_x(size)}: make them equal")

    def _add_plain(self, steps: list[Any]) -> None:
        """Add an arm that only crops and flips where there is none, and choose the reference."""
        arms = self.spec.arms
        plain = [name for name, arm in arms.items() if _is_plain(arm, self.pipelines[name])]
        if not plain and PLAIN in arms:
            raise ValueError(f"arm {PLAIN!r} does more than to crop and to flip: give it another name")
        if not plain:
            arms = {PLAIN: Arm(pipeline=tuple(steps)), **arms}
            self.pipelines = {PLAIN: open_pipeline(steps), **self.pipelines}
        [first, *_] = plain or [PLAIN]
        self.plain = self.pipelines[first]
        self.spec = self.spec.model_copy(update={"arms": arms, "reference": self.spec.reference or first})

    def run(
        self, name: str, seed: int, epoch_ended: Callable[[], object] = bool, most_steps: int | None = None
    ) -> dict[str, Any]:
        """Train one arm with one seed and measure it.

        Args:
            name: Of the arm.
            seed: Decides split, initial weights, order and augmentation; the same for all arms but for the last.
            epoch_ended: Is called at the end of each epoch.
            most_steps: Stop after so many steps.

        Returns:
            A row of results; with "failed", the reason, where the loss diverged or something could not be read.

        """
        row = {"arm": name, "seed": seed, **_made_with(self.threads)}
        try:
            with settled(self.threads) as device:
                return {**row, **self._run(name, seed, device, epoch_ended, most_steps)}
        except FAILURES as error:
            return {**row, "failed": in_one_line(error) or type(error).__name__}

    def _run(
        self, name: str, seed: int, device: torch.device, epoch_ended: Callable[[], object], most_steps: int | None
    ) -> dict[str, Any]:
        arm, spec, classes = self.spec.arms[name], self.spec, self.sets.classes
        options = spec.train.model_copy(update={str(name): value for name, value in arm.train.items()})
        training, _ = self.sets.of_seed(seed)
        pipeline = self.pipelines[name]
        views = [self.plain, pipeline, pipeline] if arm.loss == "jsd" else [pipeline]
        data = Views(training, self.sets.labels(training), len(classes), self.pixels, views, seed)
        batches = batches_of(len(training), options.batch_size, options.epochs, seed)[:most_steps]
        model = create_model(spec.model, len(classes), seed).to(device)
        evaluation = self._evaluation(seed, device)
        curve = []
        for point in train(model, data, batches, arm, options, device):
            if options.curve_every and point["epoch"] % options.curve_every == 0:
                logits = evaluation.predict(model)
                point["nll"] = float(torch.nn.functional.cross_entropy(logits, evaluation.labels))
                point |= {f"top{best}": accuracy(logits, evaluation.labels, best) for best in (1, 5)}
            curve.append(point)
            epoch_ended()
        began = time.perf_counter()
        logits = evaluation.predict(model)
        seconds = {"training": sum(point["seconds"] for point in curve), "prediction": time.perf_counter() - began}
        metrics = measure(Outcome(logits, evaluation.labels, classes, model, evaluation), spec.metrics)
        seconds["evaluation"] = time.perf_counter() - began
        return {"metrics": metrics, "curve": curve, "steps": len(batches), "images": len(training), "seconds": seconds}

    def estimate(self, name: str) -> float:
        """Return about how many seconds a run of an arm takes, from a few of its steps.

        Raises:
            ValueError: It fails.

        """
        row, options = self.run(name, self.spec.seeds[0], most_steps=_TRIED_STEPS), self.spec.train
        if "failed" in row:
            raise ValueError(f"arm {name!r} fails: {row['failed']}")
        steps = len(batches_of(row["images"], options.batch_size, 1, 0)) * options.epochs
        curves = options.epochs // options.curve_every if options.curve_every else 0
        seconds = row["seconds"]
        training = seconds["training"] * steps / row["steps"]
        return float(training + seconds["evaluation"] + curves * seconds["prediction"])

    @property
    def prompts(self) -> dict[str, int]:
        """How many prompts each arm has that names them."""
        named = {name: mixers(pipeline) for name, pipeline in self.pipelines.items()}
        return {name: len(found[0].prompts) for name, found in named.items() if found and found[0].prompts}

    def _evaluation_of(self, seed: int, device: torch.device) -> Evaluation:
        _, sources = self.sets.of_seed(seed)
        labels = torch.tensor(self.sets.labels(sources))
        return Evaluation(sources, labels, self.seen, self.pixels, device, self.spec.train.loader_workers)

    def _size(self, name: str) -> tuple[int, int]:
        """Return the height and width of what an arm gives, seen on a few images that are trained on."""
        training, _ = self.sets.of_seed(self.spec.seeds[0])
        given = [
            (self.pipelines[name], self.pixels.read(source), source.key, 0) for source in spread(training, _LOOKED_AT)
        ]
        images = [_named(f"arm {name!r}", run_seeded, *each) for each in given]
        [(channels, height, width), *others] = {image.shape for image in images}
        if channels != 3 or images[0].dtype != "float32":  # noqa: PLR2004
            raise ValueError(f"arm {name!r} gives {images[0].dtype} of {channels} channels: end it in A.Normalize()")
        if others:
            sizes = f"{_x((height, width))} and {_x(others[0][1:])}"
            raise ValueError(f"arm {name!r} gives images of several sizes, {sizes}: end it in a crop")
        return height, width

    def _refuse_lacking_store(self, pipeline: Any) -> None:
        """Refuse a store without counterparts for images that are trained on, with the doctor's words."""
        trained_on = sorted({source for seed in self.spec.seeds for source in self.sets.of_seed(seed)[0]})
        specs = [mixer.backend for mixer in mixers(pipeline) if isinstance(mixer.backend, dict)]
        for spec in specs:
            if spec["name"] != "precomputed" or spec.get("on_miss") == "passthrough":
                continue
            asked = {"on_mismatch": spec.get("on_mismatch", "error"), "choices": spec.get("choices", True)}
            found = summarize(examine(trained_on, Store.open(spec["store"]), **asked))
            for images, example, cause in found.groups.values():
                has = f"{spec['store']} has a counterpart for {found.covered:,} of {found.total:,} training images"
                raise ValueError(f"{has}; {images:,} x {cause.what}, such as {example}: {cause.advice}")

    def described(self) -> dict[str, Any]:
        """Return what all rows of a results folder share, and what those of each arm do, as plain data."""
        spec, sets = self.spec, self.sets
        listed = [(source.key, source.label) for source in (*sets.data, *(sets.validation or ()))]
        shared = {
            **spec.model_dump(mode="json", include={"split", "model", "train", "metrics"}),
            "images": f"{len(listed):,} images, {digest(listed):016x}",
            "evaluation": A.to_dict(self.evaluation_pipeline)["transform"],
        }
        arms = {
            name: {
                **arm.model_dump(mode="json", exclude={"pipeline", "store", "choices", "generation_seconds"}),
                "pipeline": A.to_dict(self.pipelines[name])["transform"],
                "counterparts": [create_backend(mixer.backend).fingerprint for mixer in mixers(self.pipelines[name])],
            }
            for name, arm in spec.arms.items()
        }
        return {"shared": shared, "arms": arms}


def _made_with(threads: int) -> dict[str, Any]:
    packages = {"albu-diffusemix": albu_diffusemix, HOST: A, "torch": torch}
    versions = {name: str(package.__version__) for name, package in packages.items()}
    cuda = torch.cuda.is_available()
    device = torch.cuda.get_device_name() if cuda else f"CPU, {threads} thread{'s' * (threads > 1)}"
    return {"device": device, "versions": {**versions, "Python": platform.python_version()}}


def _named(what: str, function: Any, *arguments: Any) -> Any:
    """Call a function, and say in its errors what they are of."""
    try:
        return function(*arguments)
    except (ValueError, OSError) as error:
        raise ValueError(f"{what}: {in_one_line(error)}") from error


def _is_plain(arm: Arm, pipeline: Any) -> bool:
    """Return whether an arm crops and flips and does nothing else to speak of."""
    names = {type(leaf).__name__ for leaf in leaves(pipeline)}
    usual = arm.mix is None and arm.loss == "cross_entropy" and not arm.train
    return usual and names <= {*_CROPS, *_BESIDE_CROPS} and "HorizontalFlip" in names and not names.isdisjoint(_CROPS)


def _normalize(pipeline: Any) -> dict[str, Any]:
    """Return the arguments of a pipeline's Normalize, or of one with its defaults."""
    *_, last = A.Normalize(), *(leaf for leaf in leaves(pipeline) if isinstance(leaf, A.Normalize))
    return {name: getattr(last, name) for name in ("mean", "std", "max_pixel_value")}


def _x(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]} px"

"""A comparison, opened: its images, pipelines and model are there and fit; `run` trains one arm with one seed."""

import platform
import time
from functools import cached_property, lru_cache
from typing import Any

import albumentations as A
import torch

import albu_diffusemix
from albu_diffusemix._host import HOST
from albu_diffusemix.backends import create_backend
from albu_diffusemix.compare.data import Pixels, open_sets, refuse_leaks
from albu_diffusemix.compare.evaluation import Evaluation, Outcome, accuracy, measure, metric_function
from albu_diffusemix.compare.models import create_model
from albu_diffusemix.compare.pipelines import (
    crops_and_flips,
    digest,
    divided_at_normalize,
    load,
    mixers,
    run_seeded,
)
from albu_diffusemix.compare.spec import Arm, Spec
from albu_diffusemix.compare.training import DivergedError, Progress, Views, batches_of, settled, train
from albu_diffusemix.datasets import SourceFile, spread
from albu_diffusemix.doctor import examine, summarize
from albu_diffusemix.pipelines import leaves
from albu_diffusemix.store import Store
from albu_diffusemix.text import in_one_line

__all__ = ["PLAIN", "Comparison"]

PLAIN = "crop_and_flip"
"""Name of the arm that is added where none only crops and flips."""

_LOOKED_AT = 4
_TRIED_STEPS = 4
FAILURES = (DivergedError, ValueError, OSError, RuntimeError, MemoryError)


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
        ValueError: Data, pipelines, model or metrics are not there or do not fit each other; a class lacks images, an
            image is trained on and validated on, arms give other sizes, or a store lacks images.

    """

    def __init__(self, spec: Spec, threads: int = 1, *, checked: bool = False) -> None:
        self.spec = spec
        self.threads = threads
        self.sets = open_sets(spec)
        self.pixels = Pixels()
        self.pipelines = {
            name: _named(f"arm {name!r}", load, arm.pipeline, arm.store) for name, arm in spec.arms.items()
        }
        if not checked:
            self._check_data()
        first = next(iter(self.pipelines))
        size, normalize = self._size(first), _normalize(self.pipelines[first])
        plain = [name for name, pipeline in self.pipelines.items() if self._is_plain(spec.arms[name], pipeline)]
        arms = dict(spec.arms)
        if not plain and PLAIN in arms:
            raise ValueError(f"arm {PLAIN!r} does more than to crop and to flip: give it another name")
        if not plain:
            steps: Any = [{"RandomResizedCrop": {"size": size}}, "HorizontalFlip", {"Normalize": normalize}]
            arms = {PLAIN: Arm(pipeline=tuple(steps)), **arms}
            self.pipelines = {PLAIN: load(steps), **self.pipelines}
        self.plain = self.pipelines[plain[0] if plain else PLAIN]
        self.spec = spec.model_copy(update={"arms": arms, "reference": spec.reference or (plain or [PLAIN])[0]})
        default: Any = [{"Resize": {"height": size[0], "width": size[1]}}, {"Normalize": normalize}]
        self.evaluation_pipeline = _named("evaluation", load, spec.evaluation or default)
        self.seen = _named("evaluation", divided_at_normalize, self.evaluation_pipeline)
        self._evaluation = lru_cache(maxsize=1)(self._evaluation_of)
        if not checked:
            self._check_arms()

    def _check_data(self) -> None:
        """Refuse a class that lacks images, a leak, and a store that lacks images, before a pipeline is run."""
        for seed in self.spec.seeds:
            self.sets.of_seed(seed)
        refuse_leaks(self.sets, self.pixels)
        for name, pipeline in self.pipelines.items():
            _named(f"arm {name!r}", self._refuse_lacking_store, pipeline)

    def _check_arms(self) -> None:
        """Refuse a metric that is not there, a model that cannot be made, and arms that give other sizes."""
        for name in self.spec.metrics:
            metric_function(name)
        create_model(self.spec.model, len(self.sets.classes), 0)
        sizes = {name: self._size(name) for name in self.pipelines}
        [(first, size), *others] = sizes.items()
        for name, other in others:
            if other != size:
                raise ValueError(f"arm {first!r} gives {_x(size)}, arm {name!r} {_x(other)}: make them equal")

    def run(self, name: str, seed: int, ended: Any = None, most_steps: int | None = None) -> dict[str, Any]:
        """Train one arm with one seed and measure it.

        Args:
            name: Of the arm.
            seed: Decides split, initial weights, order and augmentation; the same for all arms but for the last.
            ended: Is called at the end of each epoch.
            most_steps: Stop after so many steps.

        Returns:
            A row of results; with "failed", the reason, where the loss diverged or something could not be read.

        """
        row = {"arm": name, "seed": seed, **self._made_with}
        try:
            with settled(self.threads) as device:
                return {**row, **self._run(name, seed, device, ended, most_steps)}
        except FAILURES as error:
            return {**row, "failed": in_one_line(error) or type(error).__name__}

    def _run(self, name: str, seed: int, device: torch.device, ended: Any, most_steps: int | None) -> dict[str, Any]:
        arm, spec, classes = self.spec.arms[name], self.spec, self.sets.classes
        options = spec.train.model_copy(update={str(name): value for name, value in arm.train.items()})
        training, _ = self.sets.of_seed(seed)
        labels = [classes.index(str(source.label)) for source in training]
        pipeline = self.pipelines[name]
        views = [self.plain, pipeline, pipeline] if arm.loss == "jsd" else [pipeline]
        model = create_model(spec.model, len(classes), seed).to(device)
        evaluation, curve = self._evaluation(seed, device), []

        def at_end(progress: Progress) -> None:
            point = {"epoch": progress.epoch + 1, "loss": progress.loss, "seconds": progress.seconds}
            if options.curve_every and (progress.epoch + 1) % options.curve_every == 0:
                logits = evaluation.predict(model)
                point["nll"] = float(torch.nn.functional.cross_entropy(logits, evaluation.labels))
                point |= {f"top{best}": accuracy(logits, evaluation.labels, best) for best in (1, 5)}
            curve.append(point)
            if ended:
                ended(progress)

        data = Views(training, labels, self.pixels, views, seed)
        steps = train(model, data, arm, options, len(classes), device, at_end, most_steps)
        began = time.perf_counter()
        logits = evaluation.predict(model)
        seconds = {"training": sum(point["seconds"] for point in curve), "prediction": time.perf_counter() - began}
        outcome = Outcome(logits, evaluation.labels, classes, model, evaluation)
        metrics = measure(outcome, spec.metrics)
        seconds["evaluation"] = time.perf_counter() - began
        return {"metrics": metrics, "curve": curve, "steps": steps, "images": len(training), "seconds": seconds}

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
        labels = torch.tensor([self.sets.classes.index(str(source.label)) for source in sources])
        return Evaluation(sources, labels, self.seen, self.pixels, device, self.spec.train.loader_workers)

    @cached_property
    def _made_with(self) -> dict[str, Any]:
        cuda = torch.cuda.is_available()
        return {
            "device": torch.cuda.get_device_name() if cuda else f"CPU, {self.threads} thread{'s' * (self.threads > 1)}",
            "versions": {
                "albu-diffusemix": albu_diffusemix.__version__,
                HOST: A.__version__,
                "torch": str(torch.__version__),
                "Python": platform.python_version(),
            },
        }

    def _size(self, name: str) -> tuple[int, int]:
        """Return the height and width of what an arm gives, seen on a few images that are trained on."""
        training, _ = self.sets.of_seed(self.spec.seeds[0])
        sizes = {self._shape(name, source) for source in spread(training, _LOOKED_AT)}
        if len(sizes) > 1:
            raise ValueError(
                f"arm {name!r} gives images of several sizes, {' and '.join(map(_x, sizes))}: end it in a crop"
            )
        return sizes.pop()

    def _shape(self, name: str, source: SourceFile) -> tuple[int, int]:
        image = _named(f"arm {name!r}", run_seeded, self.pipelines[name], self.pixels.read(source), source.key, 0)
        if image.dtype != "float32" or image.shape[0] != 3:  # noqa: PLR2004
            raise ValueError(f"arm {name!r} gives {image.dtype} of {image.shape[0]} channels: end it in A.Normalize()")
        return image.shape[1], image.shape[2]

    def _is_plain(self, arm: Arm, pipeline: Any) -> bool:
        return arm.mix is None and arm.loss == "cross_entropy" and not arm.train and crops_and_flips(pipeline)

    def _refuse_lacking_store(self, pipeline: Any) -> None:
        """Refuse a store without counterparts for images that are trained on, with the doctor's words."""
        trained_on = {source for seed in self.spec.seeds for source in self.sets.of_seed(seed)[0]}
        for mixer in mixers(pipeline):
            spec = mixer.backend
            if isinstance(spec, dict) and spec["name"] == "precomputed" and spec.get("on_miss") != "passthrough":
                asked = {"on_mismatch": spec.get("on_mismatch", "error"), "choices": spec.get("choices", True)}
                findings = examine(sorted(trained_on), Store.open(spec["store"]), **asked)
                coverage = summarize(findings)
                for images, example, cause in coverage.groups.values():
                    raise ValueError(
                        f"{spec['store']} has a counterpart for {coverage.covered:,} of {coverage.total:,} training "
                        f"images; {images:,} x {cause.what}, such as {example}: {cause.advice}"
                    )

    def shared(self) -> dict[str, Any]:
        """Return what all rows of a results folder share, as plain data without the paths."""
        shared = self.spec.model_dump(mode="json", include={"split", "model", "train", "metrics"})
        listed = [(source.key, source.label) for source in (*self.sets.data, *(self.sets.validation or ()))]
        images = f"{len(listed):,} images, {digest(listed):016x}"
        return {**shared, "images": images, "evaluation": A.to_dict(self.evaluation_pipeline)["transform"]}

    def arm(self, name: str) -> dict[str, Any]:
        """Return what rows of an arm share, as plain data without the paths."""
        plain = self.spec.arms[name].model_dump(mode="json", exclude={"pipeline", "store", "generation_seconds"})
        pipeline = self.pipelines[name]
        made = [create_backend(mixer.backend).fingerprint for mixer in mixers(pipeline)]
        return {**plain, "pipeline": _without_paths(A.to_dict(pipeline)["transform"]), "counterparts": made}


def _without_paths(plain: Any) -> Any:
    if isinstance(plain, list):
        return [_without_paths(one) for one in plain]
    if isinstance(plain, dict):
        return {name: _without_paths(value) for name, value in plain.items() if name != "store"}
    return plain


def _named(what: str, function: Any, *arguments: Any) -> Any:
    """Call a function, and say in its errors what they are of."""
    try:
        return function(*arguments)
    except (ValueError, OSError) as error:
        raise ValueError(f"{what}: {in_one_line(error)}") from error


def _normalize(pipeline: Any) -> dict[str, Any]:
    """Return the arguments of a pipeline's Normalize, or of one with its defaults."""
    found = [leaf for leaf in leaves(pipeline) if isinstance(leaf, A.Normalize)] or [A.Normalize()]
    return {"mean": found[-1].mean, "std": found[-1].std, "max_pixel_value": found[-1].max_pixel_value}


def _x(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]} px"

"""What is compared: the spec, a YAML file, checked before anything is trained."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic import ValidationInfo as Info

from albu_diffusemix.compare.corruptions import CORRUPTIONS
from albu_diffusemix.regular_files import read_text
from albu_diffusemix.text import in_one_line, refuse_unknown
from albu_diffusemix.yaml_bombs import parse_yaml

__all__ = ["METRICS", "Arm", "Data", "Model", "Spec", "Split", "Train", "check_spec", "read_spec"]

METRICS: dict[str, dict[str, Any]] = {
    "top1": {},
    "top5": {},
    "nll": {},
    "calibration": {"bins": 15},
    "fgsm": {"epsilon": 8 / 255},
    "corruptions": {"names": ["noise", "blur", "fog", "tint", "jpeg"], "severities": [1, 3, 5]},
}
"""The metrics, each with its options and their defaults."""


def _placed(text: str, info: Info) -> str:
    """Return a path relative to the folder of the spec, with `~` and `$NAME` filled in."""
    filled = os.path.expanduser(os.path.expandvars(text))  # noqa: PTH111  it raises nothing
    there = Path(info.context or "", filled)
    if "$" in filled and not there.exists():
        raise ValueError(f"set the environment variable in {text!r}, or write out the path")
    return filled if ":" in filled and not there.exists() else str(there)


def _by_name(metrics: Any) -> Any:
    """Return the options of each metric by its name; in a list of metrics some may stand without options."""
    listed = metrics if isinstance(metrics, list | tuple) else [metrics]
    pairs = [pair for one in listed for pair in (one.items() if isinstance(one, dict) else [(str(one), {})])]
    return {name: options or {} for name, options in pairs}


def _with_defaults(metrics: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    for name, options in metrics.items():
        if ":" not in name:
            refuse_unknown("metric", [name], [*METRICS, "module:metric"])
            refuse_unknown(f"option of {name}", options, METRICS[name])
            refuse_unknown("corruption", options.get("names", ()), CORRUPTIONS)
    return {name: {**METRICS.get(name, {}), **options} for name, options in metrics.items()}


def _first_ones(seeds: Any) -> Any:
    return tuple(range(seeds)) if isinstance(seeds, int) else seeds


def _distinct(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"must be different seeds; got {list(seeds)}")
    return seeds


_Path = Annotated[str, AfterValidator(_placed)]
_Pipeline = _Path | tuple[dict[str, Any] | str, ...]
_Metrics = Annotated[dict[str, dict[str, Any]], BeforeValidator(_by_name), AfterValidator(_with_defaults)]
_Seed = Annotated[int, Field(ge=0)]
_Seeds = Annotated[tuple[_Seed, ...], Field(min_length=1), BeforeValidator(_first_ones), AfterValidator(_distinct)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)
    alone: ClassVar[str] = ""  # the name of a value that may stand alone

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_names(cls, given: Any) -> Any:
        given = {cls.alone: given} if cls.alone and isinstance(given, str) else given
        if isinstance(given, dict):
            refuse_unknown("name", given, cls.model_fields)
        return given


class Data(_Part):
    """A data set: as on the command line, with the columns where it has them."""

    alone = "path"
    path: _Path
    images: _Path | None = None
    key: str | None = None
    label: str | None = None
    image: str | None = None
    split: str | None = None
    exclude: tuple[str, ...] = ()


class Split(_Part):
    """Which images of `data` are trained on, drawn for each seed: so many of each class, or all but a fraction."""

    per_class: int | None = Field(default=None, ge=1)
    validation: float | None = Field(default=None, gt=0, lt=1)

    @model_validator(mode="after")
    def _one_of_both(self) -> "Split":
        if (self.per_class is None) == (self.validation is None):
            raise ValueError("give either per_class, images of each class to train on, or validation, a fraction")
        return self


class Model(_Part):
    """A model: its name, or `module:factory`; weights to start from; all other options go to the factory."""

    alone = "name"
    name: str = "small_resnet"
    weights: _Path | None = None
    options: dict[str, Any] = {}


class Train(_Part):
    """How each arm is trained."""

    epochs: int = Field(default=30, ge=1)
    batch_size: int = Field(default=64, ge=2)
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: float = Field(default=0.1, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = Field(default=5e-4, ge=0)
    schedule: Literal["constant", "cosine", "step"] = "cosine"
    milestones: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.5, 0.75)
    gamma: float = Field(default=0.1, gt=0)
    warmup_epochs: int = Field(default=0, ge=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    amp: bool = True
    curve_every: int = Field(default=1, ge=0)
    loader_workers: int = Field(default=0, ge=0)


class Arm(_Part):
    """One of the things that are compared.

    Attributes:
        pipeline: File of a pipeline, or a list of transforms, each `{Name: {argument: value}}`.
        store: Replaces the backend of each DiffuseMix and HalfConcat of the pipeline by this store.
        choices: False draws also what is rejected in the store, to see what choosing does.
        mix: Mixing of the images of a batch, after the pipeline; with "jsd" the three views are mixed alike.
        mix_alpha: Both parameters of the Beta distribution that CutMix and Mixup draw from.
        mix_p: How many of the batches are mixed.
        loss: "cross_entropy", or "jsd": also the Jensen-Shannon divergence of three views, as in AugMix.
        jsd_weight: What the divergence is multiplied by.
        train: What differs from the spec's `train`: what leaves the number of steps as it is.
        generation_seconds: How long the making of the store took, for the overhead.

    """

    pipeline: _Pipeline
    store: _Path | None = None
    choices: bool = True
    mix: Literal["cutmix", "mixup"] | None = None
    mix_alpha: float = Field(default=1.0, gt=0)
    mix_p: float = Field(default=1.0, gt=0, le=1)
    loss: Literal["cross_entropy", "jsd"] = "cross_entropy"
    jsd_weight: float = Field(default=12.0, gt=0)
    train: dict[Literal["lr", "weight_decay", "momentum", "label_smoothing", "warmup_epochs"], float] = {}
    generation_seconds: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _choices_of_a_store(self) -> "Arm":
        if not self.choices and self.store is None:
            raise ValueError("choices: false goes with store, whose rejected counterparts are drawn then: give both")
        return self


class Paper(_Part):
    """Published numbers, shown beside: their table, and for each arm or other method its metrics."""

    table: str
    numbers: dict[str, dict[str, float]] = {}


class Spec(_Part):
    """A comparison.

    Attributes:
        title: First line of the report.
        notes: Shown in the report, such as where the hyperparameters come from.
        data: What is trained on, and validated on too where `validation` is not given.
        validation: Images that the arms are measured on.
        split: Which images of `data` are trained on.
        evaluation: Pipeline for validation images, with `Normalize` near its end; None resizes to what the arms give.
        model: What is trained.
        train: How.
        seeds: Each seed is one run of every arm.
        metrics: Names or `module:metric`, with options where they have some.
        reference: The arm that the others are compared with; None takes the one that only crops and flips.
        arms: By name. One that only crops and flips is added where none does.
        paper: Published numbers.

    """

    title: str = "Comparison"
    notes: tuple[str, ...] = ()
    data: Data
    validation: Data | None = None
    split: Split | None = None
    evaluation: _Pipeline | None = None
    model: Model = Model()
    train: Train = Train()
    seeds: _Seeds = (0, 1, 2, 3, 4)
    metrics: _Metrics = {name: METRICS[name] for name in ("top1", "top5", "nll", "calibration")}
    reference: str | None = None
    arms: dict[str, Arm] = Field(min_length=1)
    paper: Paper | None = None

    @model_validator(mode="after")
    def _known_and_whole(self) -> "Spec":
        if self.validation is None and self.split is None:
            raise ValueError("give validation, a data set, or split, such as {per_class: 10}")
        if self.reference is not None:
            refuse_unknown("reference", [self.reference], self.arms)
        return self


def read_spec(path: Path, changed: Mapping[str, Any] | None = None, train: Mapping[str, Any] | None = None) -> Spec:
    """Read a spec.

    Args:
        path: A YAML file. Paths in it are relative to its folder; `~` and `$NAME` are filled in.
        changed: Values in place of those of the file.
        train: Values in place of those of its `train`.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not a spec; the message names the place in it.

    """
    text = read_text(path)
    try:
        given = parse_yaml(text)
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"{str(path)!r} is not valid YAML: {in_one_line(error)}") from error
    if isinstance(given, dict):
        given = {**given, **(changed or {})}
        given = {**given, "train": {**given.get("train", {}), **train}} if train else given
    return check_spec(given, str(path), path.parent)


def check_spec(given: Any, where: str, folder: Path) -> Spec:
    """Return the spec that plain data gives, with the paths in it relative to a folder.

    Raises:
        ValueError: It is not a spec.

    """
    try:
        return Spec.model_validate(given, context=folder)
    except ValidationError as error:
        first = error.errors()[0]
        place = "".join(f"{part}." for part in first["loc"]).rstrip(".")
        reason = str(first["msg"]).removeprefix("Value error, ")
        got = "" if first["type"] == "value_error" else f"; got {first['input']!r}"
        raise ValueError(": ".join(filter(None, (where, place, reason))) + got) from None

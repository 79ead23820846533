"""The options of a generation job: plain data that other processes can be told."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

from albu_diffusemix.backends import BackendSpec
from albu_diffusemix.datasets import NO_COLUMNS, Columns
from albu_diffusemix.generate.encoding import Encoding

__all__ = ["DRAWS", "Draw", "Engine", "GenerateOptions", "ResolvedOptions"]

Engine: TypeAlias = Literal["local", "ray"]
Draw: TypeAlias = Literal["without_replacement", "with_replacement"]
DRAWS: tuple[Draw, ...] = ("without_replacement", "with_replacement")

Options = TypeVar("Options", bound="GenerateOptions")


@dataclass(frozen=True)
class GenerateOptions:
    """A generation job.

    What is None was not given: the store's recipe says it where there is a store, else the defaults of
    `ResolvedOptions` hold.

    Attributes:
        data: A folder of images or another data set, see `albu_diffusemix.datasets.open_data`; a path becomes text.
        store_path: Folder of the store, new or to be continued; text becomes a path.
        backend: The backend's spec.
        prompts: The effects to choose from; for a new store the backend's own unless given.
        prompts_by_class: The effects to choose from for some classes, by label. The others have `prompts`, and none if
            these are not given.
        class_names: What `{label}` in a prompt is replaced by; labels that are not in it are written with spaces for
            underscores.
        per_image: Counterparts for each source, each with a prompt drawn at random (Algorithm 1 of the paper).
        all_prompts: One counterpart for each source and prompt instead.
        balance: Raise `per_image` for small classes, until each has so many images and counterparts together.
        size: Shorter side of the counterparts in pixels, where the source is larger.
        encoding: "jpeg" (quality 90, 4:2:0; halves can be cut out of the bytes), "jpeg444" (the same in 4:4:4), "raw"
            (the pixels, read without decoding), "png" or "webp" (quality 90). In a store of 4:4:4 "jpeg" is "jpeg444".
        shard: `(i, n)`: only the sources whose key's hash leaves the remainder i when divided by n.
        engine: "local" or "ray".
        ray_address: A Ray cluster; None starts Ray on this machine.
        runtime_env: Ray's `runtime_env` for the actors, such as `{"working_dir": "."}`; None for no such environment.
        gpus_per_worker: GPUs that each Ray actor takes, fractions allowed; None takes one where the backend uses one
            and the cluster has some.
        workers: Processes that make counterparts; with the local engine, 1 is this process itself.
        similarity: Options of `albu_diffusemix.clip_filter.SimilarityFilter`, `low` and `high` among them, to reject
            counterparts too far from their sources, or too near.
        retry_failed: Try again what failed in earlier runs, and make again sources whose files are newer than the parts
            with their counterparts, if their pixels differ.
        replace_rejected: Make the next attempt, from another seed, of each counterpart that is rejected.
        limit: Take only that many sources of those for which something is to be made; None takes all.
        base_seed: What all seeds are derived from.
        draw: How the prompts of each source are drawn: "without_replacement", so that no prompt comes twice before all
            were used, or "with_replacement", as in Algorithm 1 of the paper.
        allow_mixed: Continue a store that was made with other parameters.
        exclude: Patterns of keys that are left out, see `albu_diffusemix.datasets.Selection`.
        background: Color such as "#ffffff" that transparent parts of sources are composed over; None drops their alpha.
        changed: Look at the sources that the store knows, and make again those whose pixels differ by now.
        modules: Modules to import first in every process, because they register backends.
        columns: Where the data set has its images, keys and labels.

    Examples:
        >>> from pathlib import Path
        >>> from albu_diffusemix.generate import GenerateOptions
        >>> options = GenerateOptions(Path("/data/train"), Path("/data/train.dm"), "procedural", per_image=2)
        >>> GenerateOptions.from_json(options.to_json()) == options
        True

    """

    data: str | PathLike[str]
    store_path: Path
    backend: BackendSpec | None = None
    prompts: tuple[str, ...] | None = None
    prompts_by_class: Mapping[str, tuple[str, ...]] | None = None
    class_names: Mapping[str, str] | None = None
    per_image: int = 1
    all_prompts: bool = False
    balance: int | None = None
    size: int | None = None
    encoding: Encoding | None = None
    shard: tuple[int, int] = (0, 1)
    engine: Engine = "local"
    ray_address: str | None = None
    runtime_env: Mapping[str, Any] | None = None
    gpus_per_worker: float | None = None
    workers: int = 1
    similarity: Mapping[str, Any] | None = None
    retry_failed: bool = False
    replace_rejected: bool = False
    limit: int | None = None
    base_seed: int | None = None
    draw: Draw | None = None
    allow_mixed: bool = False
    exclude: tuple[str, ...] = ()
    background: str | None = None
    changed: bool = False
    modules: tuple[str, ...] = ()
    columns: Columns = NO_COLUMNS

    def __post_init__(self) -> None:
        object.__setattr__(self, "data", fspath(self.data))
        object.__setattr__(self, "store_path", Path(self.store_path))

    def to_json(self) -> dict[str, Any]:
        """Return the options as plain JSON values, with absolute paths."""
        data = Path(self.data).absolute() if Path(self.data).exists() else self.data
        return {**asdict(self), "data": str(data), "store_path": str(self.store_path.absolute())}

    @classmethod
    def from_json(cls: type[Options], fields: dict[str, Any]) -> Options:  # noqa: PYI019  Python 3.10 has no Self
        """Return the options that `to_json` returned."""
        listed = ("prompts", "shard", "exclude", "modules")
        lists = {name: tuple(fields[name]) for name in listed if fields[name] is not None}
        by_class = fields["prompts_by_class"]
        tuples = None if by_class is None else {label: tuple(prompts) for label, prompts in by_class.items()}
        columns = Columns(*fields["columns"])
        return cls(**{**fields, **lists, "prompts_by_class": tuples, "columns": columns})


@dataclass(frozen=True)
class ResolvedOptions(GenerateOptions):
    """A generation job of which everything is known; its defaults are those of a new store.

    Attributes:
        prompts: As given, or the backend's own once the job is open; empty where only classes have prompts.
        class_names: None where `{label}` stays as it is, as in stores that were made when nothing replaced it.
        raised: The classes that `balance` gives more than `per_image`, see `albu_diffusemix.generate.balance`.
        similarity: None for no such filter.
        prompts_by_source: Whether the data set gives sources prompts of their own.

    """

    backend: BackendSpec = "procedural"
    prompts: tuple[str, ...] = ()
    class_names: Mapping[str, str] | None = field(default_factory=dict)
    size: int = 256
    encoding: Encoding = "jpeg"
    base_seed: int = 0
    draw: Draw = "without_replacement"
    raised: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    prompts_by_source: bool = False

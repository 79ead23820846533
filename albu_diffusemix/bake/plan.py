"""What to bake: the sources, how, and how much of it is there already."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import albumentations as A
import xxhash

from albu_diffusemix._host import BOX_FORMAT
from albu_diffusemix.bake.baker import NUMBER_OF_BOX, Baker
from albu_diffusemix.bake.names import refuse_clashes
from albu_diffusemix.bake.output import RECIPE, Progress, read_progress
from albu_diffusemix.datasets import NO_COLUMNS, Columns, Selection, SourceFile, box_classes, find_sources, spread
from albu_diffusemix.datasets.coco import is_coco
from albu_diffusemix.datasets.yolo import is_yolo
from albu_diffusemix.import_paths import import_asked_for
from albu_diffusemix.pipelines import leaves, load_pipeline
from albu_diffusemix.regular_files import read_text
from albu_diffusemix.store.recipe import plain
from albu_diffusemix.text import parse_json

__all__ = ["FORMATS", "BakeOptions", "BakePlan", "make_plan"]

FORMATS = ("folder", "yolo", "coco", "webdataset")
_TRIED = 3
_SHOWN = 5


@dataclass(frozen=True)
class BakeOptions:
    """What to bake, and how.

    Attributes:
        data: What `albu_diffusemix.datasets.open_data` opens.
        output: Folder of the baked set, a new one or one to continue.
        pipeline: A file that `A.save` wrote.
        per_image: Mixed images for each source.
        keep_originals: Whether each source goes along as it is.
        output_format: One of `FORMATS`; None takes that of a detection set, and a folder for others.
        base_seed: What all seeds are derived from.
        workers: Processes; 1 is this process itself.
        retry_failed: Begin again at the first image that failed.
        exclude: Patterns of keys that are left out.
        modules: Modules to import first in each process.
        columns: Where the data set has its images, keys and labels.

    """

    data: str
    output: Path
    pipeline: Path
    per_image: int = 1
    keep_originals: bool = False
    output_format: str | None = None
    base_seed: int = 0
    workers: int = 1
    retry_failed: bool = False
    exclude: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    columns: Columns = NO_COLUMNS


class BakePlan(NamedTuple):
    """A baked set, as far as it is there and as it is to be.

    Attributes:
        options: What was asked for.
        recipe: What the bytes of the set depend on, beside the data set's images, as JSON values.
        sources: In the order in which they are baked.
        versions: What each of them becomes: None for itself, and numbers.
        selection: What was passed over.
        progress: How much is there.

    """

    options: BakeOptions
    recipe: dict[str, Any]
    sources: list[SourceFile]
    versions: list[int | None]
    selection: Selection
    progress: Progress

    @property
    def total(self) -> int:
        """The number of images that the set is to have."""
        return len(self.sources) * len(self.versions)


def make_plan(options: BakeOptions) -> BakePlan:
    """Look at data set, pipeline and output; nothing is written.

    Raises:
        OSError: Something cannot be read.
        ValueError: Something cannot be baked so: the message says what to do.

    """
    for module in options.modules:
        import_asked_for(module)
    pipeline, selection = load_pipeline(options.pipeline), Selection(options.exclude)
    sources = find_sources(options.data, options.output, options.columns, selection)
    versions = [*([None] if options.keep_originals else []), *range(options.per_image)]
    recipe = _recipe(options, pipeline, sources)
    refuse_clashes(sources, recipe["format"], versions)
    _refuse_other_output(options.output, recipe)
    total = len(sources) * len(versions)
    progress = read_progress(options.output, recipe["format"], total, until_failure=options.retry_failed)
    if not progress.done:
        _try(Baker(recipe), sources)
    return BakePlan(options, recipe, sources, versions, selection, progress)


def _recipe(options: BakeOptions, pipeline: Any, sources: list[SourceFile]) -> dict[str, Any]:
    digest, data = xxhash.xxh3_128(), Path(options.data)
    for source in sources:
        digest.update(json.dumps([source.key, source.label, source.boxes, source.mask is not None]).encode())
    has_boxes = any(source.boxes is not None for source in sources)
    output_format = options.output_format or ("yolo" if is_yolo(data) else "coco" if is_coco(data) else "folder")
    if output_format in {"yolo", "coco"} and not has_boxes:
        raise ValueError(f"{options.data!r} has no boxes, which --format {output_format} is for: choose another format")
    return plain(
        {
            "format_version": 1,
            "pipeline": _spec(pipeline, options, has_boxes=has_boxes),
            "per_image": options.per_image,
            "keep_originals": options.keep_originals,
            "format": output_format,
            "base_seed": options.base_seed,
            "sources": len(sources),
            "data_set": digest.hexdigest(),
            "boxes": has_boxes,
            "masks": any(source.mask is not None for source in sources),
            "classes": sorted({source.label for source in sources if source.label is not None}),
            "categories": box_classes(data, sources, first=1 if output_format == "coco" else 0),
        }
    )


def _spec(pipeline: Any, options: BakeOptions, *, has_boxes: bool) -> Any:
    """Return a pipeline as JSON values; boxes are given to it as fractions, and known again by their numbers."""
    file = repr(str(options.pipeline))
    whole = pipeline if isinstance(pipeline, A.Compose) else A.Compose([pipeline])
    spec = whole.to_dict()
    given = spec["transform"].get("bbox_params") or {}
    for_boxes = ["bbox_params"] * bool(given) + [type(leaf).__name__ for leaf in leaves(whole)]
    wanting = next((name for name in for_boxes if "bbox" in name.lower()), "")
    if wanting and not has_boxes:
        advice = "give a set of YOLO or COCO, or take this out of the pipeline"
        raise ValueError(f"{file} has {wanting}, and {options.data!r} has no boxes: {advice}")
    if given.get("bbox_type", "hbb") != "hbb":
        raise ValueError(f"{file} wants turned boxes (bbox_type), which no data set has: remove it")
    if has_boxes:
        spec["transform"]["bbox_params"] = {**given, BOX_FORMAT: "albumentations", "label_fields": [NUMBER_OF_BOX]}
    return spec


def _refuse_other_output(output: Path, recipe: dict[str, Any]) -> None:
    file = output / RECIPE
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if not file.is_file():
        raise ValueError(f"{str(output)!r} holds something else than a baked set: choose a new or an empty folder")
    try:
        different = list(_differences(parse_json(read_text(file)), recipe))
    except ValueError as error:
        raise ValueError(f"{str(file)!r} is not valid JSON ({error}): bake into a new folder") from error
    if different:
        shown = "; ".join(different[:_SHOWN])
        raise ValueError(f"{str(output)!r} was begun otherwise ({shown}): go on with the same, or give a new folder")


def _differences(old: Any, new: Any, place: str = "") -> Iterator[str]:
    pairs = None
    if isinstance(old, dict) and isinstance(new, dict):
        pairs = [(f"{place}.{name}".lstrip("."), old.get(name), new.get(name)) for name in {**old, **new}]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = [(f"{place}[{number}]", *pair) for number, pair in enumerate(zip(old, new, strict=True))]
    for inner, one, other in pairs or ():
        yield from _differences(one, other, inner)
    if pairs is None and old != new:
        yield f"{place}: {old!r} there, {new!r} now"


def _try(baker: Baker, sources: list[SourceFile]) -> None:
    """Raise ValueError where each of a few images fails: then it is the pipeline or the data set, not an image."""
    rows = [baker.bake(source, [0])[0].row for source in spread(sources, _TRIED)]
    if all("failed" in row for row in rows):
        raise ValueError(f"{rows[0]['source']!r} cannot be baked, and so it is with others: {rows[0]['failed']}")

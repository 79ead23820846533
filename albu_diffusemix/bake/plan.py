"""What to bake: the sources, how, and how much of it is there already."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import albumentations as A
import xxhash

from albu_diffusemix._host import BOX_FORMAT
from albu_diffusemix.bake.baker import NUMBER_OF_BOX, Baker, stem_of
from albu_diffusemix.datasets import NO_COLUMNS, Columns, Selection, SourceFile, box_classes, find_sources, spread
from albu_diffusemix.datasets.coco import is_coco
from albu_diffusemix.datasets.yolo import is_yolo
from albu_diffusemix.import_paths import import_asked_for
from albu_diffusemix.keys import normalise_key
from albu_diffusemix.pipelines import leaves, load_pipeline
from albu_diffusemix.regular_files import read_text
from albu_diffusemix.store.recipe import plain
from albu_diffusemix.text import parse_json

__all__ = ["FORMATS", "RECIPE", "ROWS", "BakeOptions", "BakePlan", "make_plan", "read_rows"]

FORMATS = ("folder", "yolo", "coco", "webdataset")
RECIPE, ROWS = "bake.json", "rows.jsonl"
_IN_TAR = 1000  # images
_TRIED = 3
_SHOWN = 5
_LONGEST = 230  # bytes of a name before its number and endings; file systems allow 255 with them


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
        selection: What was passed over.
        each: The number of images of each source.
        total: The number of images that the set is to have.
        unit: How many images get their rows together, once their files are in their places: one, or those of a tar.
        done: How many of them are there, the first ones.
        failed: How many of these failed.
        size: Bytes of their rows.

    """

    options: BakeOptions
    recipe: dict[str, Any]
    sources: list[SourceFile]
    selection: Selection
    each: int
    total: int
    unit: int
    done: int
    failed: int
    size: int


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
    recipe, each = _recipe(options, pipeline, sources), options.per_image + options.keep_originals
    _refuse_inside(options)
    total, unit = each * len(sources), _IN_TAR if recipe["format"] == "webdataset" else 1
    _refuse_clashes(recipe, sources)
    _refuse_other_output(options.output, recipe)
    done, failed, size = _progress(options.output, unit, total, until_failure=options.retry_failed)
    if not done:
        _try(Baker(recipe), sources)
    return BakePlan(options, recipe, sources, selection, each, total, unit, done, failed, size)


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


def _refuse_clashes(recipe: dict[str, Any], sources: list[SourceFile]) -> None:
    """Raise ValueError where two images would have one name, or a name is one that file systems refuse."""
    seen: dict[str, str] = {}
    for source in sources:
        key, label, stem = source.key, source.label or "", normalise_key(stem_of(source, recipe["format"]))
        if "/" in label and not key.startswith(f"{label}/"):
            raise ValueError(f"{key!r}: label {label!r} cannot be the name of a folder: write no '/' in it")
        if len(stem.rpartition("/")[2].encode()) > _LONGEST:
            raise ValueError(f"key {key!r}: its name is longer than {_LONGEST} bytes: shorten it")
        if stem in seen:
            raise _clash(seen[stem], key, "without its ending")
        seen[stem] = key
    for stem in seen if recipe["keep_originals"] else ():
        other, _, number = stem.rpartition("__")
        if other in seen and number in map(str, range(recipe["per_image"])):
            raise _clash(seen[stem], seen[other], f"and its number {number}")


def _clash(one: str, other: str, how: str) -> ValueError:
    return ValueError(f"{one!r} and {other!r} {how} would have one name in the baked set: rename one, or --exclude it")


def _refuse_inside(options: BakeOptions) -> None:
    """Raise ValueError where the baked images would be found among the sources, by whoever reads these next."""
    data, output = Path(options.data), options.output
    if data.is_dir() and not is_yolo(data) and output.resolve().is_relative_to(data.resolve()):
        raise ValueError(f"{str(output)!r} lies in {options.data!r}, as a class of it: choose a folder beside it")


def _refuse_other_output(output: Path, recipe: dict[str, Any]) -> None:
    file = output / RECIPE
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if not file.is_file():
        raise ValueError(f"{str(output)!r} holds something else than a baked set: choose a new or an empty folder")
    try:
        old, new = _flat(parse_json(read_text(file))), _flat(recipe)
    except ValueError as error:
        raise ValueError(f"{str(file)!r} is not valid JSON ({error}): bake into a new folder") from error
    places = [place for place in {**old, **new} if old.get(place) != new.get(place)]
    if places:
        shown = "; ".join(f"{place}: {old.get(place)!r} there, {new.get(place)!r} now" for place in places[:_SHOWN])
        raise ValueError(f"{str(output)!r} was begun otherwise ({shown}): go on with the same, or give a new folder")


def _flat(value: Any, place: str = "") -> dict[str, Any]:
    """Return the values in nested JSON, by the places where they stand."""
    inner = {}
    if isinstance(value, dict):
        inner = {f"{place}.{name}".lstrip("."): each for name, each in value.items()}
    if isinstance(value, list):
        inner = {f"{place}[{number}]": each for number, each in enumerate(value)}
    found = {below: one for name, each in inner.items() for below, one in _flat(each, name).items()}
    return found or {place: value}


def _progress(output: Path, unit: int, total: int, *, until_failure: bool) -> tuple[int, int, int]:
    """Count the rows whose files are there, those that failed, and their bytes.

    They count up to the last whole unit, or to the first failure where that is asked for. A kill may have cut off the
    last row, and a power loss the files behind the last rows.
    """
    progress, failed, size = (0, 0, 0), 0, 0
    for number, (line, row) in enumerate(read_rows(output), 1):
        failed, size = failed + ("failed" in row), size + len(line)
        sizes = {output / name: length for name, length in row.get("bytes", {}).items()}
        are_there = all(path.exists() and path.stat().st_size == length for path, length in sizes.items())
        if (failed and until_failure) or not are_there:
            break
        if number % unit == 0 or number == total:
            progress = number, failed, size
    return progress


def read_rows(output: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Yield the rows of a set, each as it is written and as it is meant; the last may be cut off, and is then none."""
    if (output / ROWS).exists():
        with (output / ROWS).open("rb") as lines:
            yield from ((line, json.loads(line)) for line in lines if line.endswith(b"\n"))


def _try(baker: Baker, sources: list[SourceFile]) -> None:
    """Raise ValueError where each of a few images fails: then it is the pipeline or the data set, not an image."""
    rows = [sample.row for source in spread(sources, _TRIED) for sample in baker.bake(source) if sample.row["n"] == 0]
    if all("failed" in row for row in rows):
        raise ValueError(f"{rows[0]['source']!r} cannot be baked, and so it is with others: {rows[0]['failed']}")

"""Imports: a folder of counterparts that somebody else made, as a store.

A file is matched with its source by its path, relative to the folder and to the data set's root:

    <class>/<file>_generated_<prompt>_<number>.jpg   of <class>/<file>, <file> with its ending or without
    <key>/<variant>.jpg                              of <key>, as `albu-diffusemix export --to folder` writes it

The sources themselves are needed, because a store keeps the hash of their pixels: it is what later tells that a
counterpart lies on the image that it was made from.
"""

import os
import re
import threading
from collections import defaultdict, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.datasets import NO_COLUMNS, Columns, Selection, SourceFile, find_sources, spread
from albu_diffusemix.exchange.exporter import RECORDS
from albu_diffusemix.exchange.inside_folder import find_inside, leads_out
from albu_diffusemix.generate.class_prompts import slug
from albu_diffusemix.generate.encoding import ENCODINGS, Encoding, continued, encode
from albu_diffusemix.generate.exclusive_runs import exclusive_run
from albu_diffusemix.generate.reports import Outcome, Reporter, Summary, Tally
from albu_diffusemix.generate.sheet import SHOWN, contact_sheet
from albu_diffusemix.images import read_image
from albu_diffusemix.keys import UNKNOWN_SOURCE, check_name, normalise_key
from albu_diffusemix.prompts import PAPER_PROMPTS, RAIN
from albu_diffusemix.quality import find_flaw
from albu_diffusemix.regular_files import open_regular, read_text
from albu_diffusemix.store import Recipe, Source, Store, Writer
from albu_diffusemix.store.members import sniff, uint32
from albu_diffusemix.store.store_json import STORE_JSON
from albu_diffusemix.text import in_one_line, parse_json

__all__ = ["ImportOptions", "ImportPlan", "plan_import", "run_import"]

_GENERATED = re.compile(r"(?P<file>.+)_generated_(?P<prompt>.+)_(?P<number>\d+)")
_EMBEDDED_EXIF = re.compile(rb"Exif\x00\x00|eXIf|EXIF")  # as JPEG, PNG and WebP carry it
_KNOWN_PROMPTS = {slug(prompt): prompt for prompt in (*PAPER_PROMPTS, RAIN)}
_BACKEND = "imported"
_THREADS = 4
_RGB = 3


@dataclass(frozen=True)
class ImportOptions:
    """What is to be imported, and where to.

    Attributes:
        folder: The counterparts.
        data: Their sources, a data set as for the generation job.
        store_path: Folder of the store, a new one or one to continue.
        columns: Where the data set has its images and keys.
        encoding: What the store holds. Files of this encoding are kept byte for byte, others encoded again.
        allow_mixed: Go on with a store that was made otherwise.
        exclude: Patterns of the keys of sources that are left out, see `albu_diffusemix.datasets.Selection`.

    """

    folder: Path
    data: str
    store_path: Path
    encoding: Encoding = "jpeg"
    allow_mixed: bool = False
    exclude: tuple[str, ...] = ()
    columns: Columns = NO_COLUMNS


class Arrival(NamedTuple):
    """A file that was matched with its source: where it is, and what it will be in the store."""

    path: Path
    variant: str
    prompt: str
    seed: int


class ImportPlan(NamedTuple):
    """What an import is going to do.

    Attributes:
        options: The import.
        arrivals: Each source with its counterparts.
        pending: Number of these counterparts.
        unmatched: Files that cannot be imported, each with the reason.
        selection: What was passed over when the sources were looked for.

    """

    options: ImportOptions
    arrivals: list[tuple[SourceFile, list[Arrival]]]
    pending: int
    unmatched: list[str]
    selection: Selection


def plan_import(options: ImportOptions) -> ImportPlan:
    """Match the files of a folder with their sources, by their paths; nothing is opened but the table of an export.

    Raises:
        OSError: A folder cannot be read.
        ValueError: There are no images or no sources, or no file has a source.

    """
    if not options.folder.is_dir():
        raise ValueError(f"{str(options.folder)!r} is not a folder: give the one with the counterparts")
    paths, unmatched = find_inside(options.folder)
    if not paths:
        raise ValueError(f"folder {str(options.folder)!r} holds no images" + (f"; {unmatched[0]}" if unmatched else ""))
    selection = Selection(options.exclude)
    matcher = _Matcher(options.folder, find_sources(options.data, options.store_path, options.columns, selection))
    arrivals: dict[SourceFile, dict[str, Arrival]] = defaultdict(dict)
    for path in paths:
        try:
            source, arrival = matcher.match(path)
        except ValueError as error:
            unmatched.append(f"{str(path)!r}: {error}")
            continue
        other = arrivals[source].setdefault(arrival.variant, arrival)
        if other is not arrival:
            unmatched.append(f"{str(path)!r}: {str(other.path)!r} is the variant {arrival.variant!r} already")
    if not arrivals:
        raise ValueError(f"none of {len(paths):,} files in {str(options.folder)!r} has a source; {unmatched[0]}")
    groups = [(source, list(found.values())) for source, found in arrivals.items()]
    return ImportPlan(options, groups, sum(len(found) for _, found in groups), unmatched, selection)


def run_import(plan: ImportPlan, reporter: Reporter, stop: threading.Event) -> Summary:
    """Write the matched counterparts into the store, then its merged index and README.

    What the store has already is passed over. What cannot be read, or is of no use (see `albu_diffusemix.quality`),
    becomes a failure.

    Args:
        plan: From `plan_import`.
        reporter: Hears of each counterpart when the store has acknowledged it.
        stop: When set, what is in progress is written and sealed, and nothing more.

    Raises:
        ValueError: The store was made otherwise, is being written by somebody else, or cannot be written.

    """
    options = plan.options
    prompts = sorted({arrival.prompt for _, found in plan.arrivals for arrival in found if arrival.prompt})
    tally = Tally(reporter)
    with exclusive_run(options.store_path, (0, 1), "wait until it has ended, then import"):
        plan = plan._replace(options=replace(options, encoding=_continued(options)))
        recipe = Recipe(_BACKEND, _BACKEND, tuple(prompts), None, ENCODINGS[plan.options.encoding])
        store = Store.create(options.store_path, recipe, allow_mixed=options.allow_mixed)
        _write_all(plan, store, tally, stop)
        if not stop.is_set():
            _complete(plan)
    return tally.summary(interrupted=stop.is_set())


def _continued(options: ImportOptions) -> Encoding:
    if not (options.store_path / STORE_JSON).exists():
        return options.encoding
    store = Store.open(options.store_path)
    return continued(options.encoding, (store.recipe, *store.mixed))


class _Carried(NamedTuple):
    """A source's counterparts, read: each an image file, or why not."""

    key: str
    source: Source
    files: list[tuple[Arrival, bytes, str]]


class _Matcher:
    def __init__(self, folder: Path, sources: list[SourceFile]) -> None:
        self._folder = folder
        self._by_key = {source.key: source for source in sources}
        self._by_stem: dict[str, list[SourceFile]] = defaultdict(list)
        for source in sources:
            self._by_stem[str(PurePosixPath(source.key).with_suffix(""))].append(source)
        self._records = _read_records(folder / RECORDS)

    def match(self, path: Path) -> tuple[SourceFile, Arrival]:
        """Raise ValueError where there is no source, or more than one."""
        relative = path.relative_to(self._folder)
        generated = _GENERATED.fullmatch(relative.stem)
        if generated:
            source = self._find(relative.with_name(generated["file"]).as_posix())
            prompt = generated["prompt"].replace("_", " ")
            return source, Arrival(path, f"{slug(prompt)}-{int(generated['number'])}", prompt, 0)
        source = self._find(relative.parent.as_posix())
        variant = check_name(relative.stem, "variant")
        guess = "" if variant.isdigit() else _KNOWN_PROMPTS.get(variant, variant.replace("-", " "))
        prompt, seed = self._records.get(relative.as_posix(), (guess, 0))
        return source, Arrival(path, variant, prompt, seed)

    def _find(self, name: str) -> SourceFile:
        key = normalise_key(name)
        candidates = [self._by_key[key]] if key in self._by_key else self._by_stem.get(key, [])
        if not candidates:
            raise ValueError(f"there is no source {key!r}")
        if len(candidates) > 1:
            raise ValueError(f"{key!r} can be {candidates[0].key!r} or {candidates[1].key!r}")
        return candidates[0]


def _read_records(table: Path) -> dict[str, tuple[str, int]]:
    """Prompt and seed of each file of an exported folder."""
    if not os.path.lexists(table):
        return {}
    if leads_out(table, table.parent):
        raise ValueError(f"{str(table)!r} is a link that leads out of its folder: remove it, or copy the file")
    records = {}
    for number, line in enumerate(read_text(table).split("\n"), 1):
        if not line.strip():
            continue
        try:
            fields = parse_json(line)
            fields["prompt"].encode()
            records[str(fields["file"])] = (fields["prompt"], uint32(fields["seed"], "seed"))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{str(table)!r} line {number} is not one that an export writes ({error}): correct or remove it"
            ) from error
    return records


def _write_all(plan: ImportPlan, store: Store, tally: Tally, stop: threading.Event) -> None:
    with store.writer("import") as writer, ThreadPoolExecutor(_THREADS) as pool:
        for carried in _read_ahead(pool, plan, store):
            for outcome in _put_all(writer, carried):
                tally.outcome(outcome)
            tally.done(carried.key)
            if stop.is_set():
                break


def _read_ahead(pool: ThreadPoolExecutor, plan: ImportPlan, store: Store) -> Iterator[_Carried]:
    reading: deque[Future[_Carried]] = deque()
    for source, found in plan.arrivals:
        missing = [arrival for arrival in found if not store.has(source.key, arrival.variant)]
        reading.append(pool.submit(_carry, source, missing, plan.options.encoding))
        if len(reading) > _THREADS:
            yield reading.popleft().result()
    while reading:
        yield reading.popleft().result()


def _carry(file: SourceFile, arrivals: list[Arrival], encoding: Encoding) -> _Carried:
    if not arrivals:
        return _Carried(file.key, UNKNOWN_SOURCE, [])
    try:
        image = file.read()
    except (OSError, ValueError) as error:
        reason = f"its source is unreadable: {in_one_line(error)}"
        return _Carried(file.key, UNKNOWN_SOURCE, [(arrival, b"", reason) for arrival in arrivals])
    return _Carried(file.key, Source.of(image), [(arrival, *_load(arrival, image, encoding)) for arrival in arrivals])


def _load(arrival: Arrival, source: NDArray[np.uint8], encoding: Encoding) -> tuple[bytes, str]:
    """Return the image file, or why it is of no use."""
    try:
        image = read_image(arrival.path)
        with open_regular(arrival.path) as file:
            data = file.read()
    except (OSError, ValueError) as error:
        return b"", f"unreadable: {in_one_line(error)}"
    height, width = image.shape[:2]
    flaw = find_flaw(image, np.asarray(cv2.resize(source, (width, height), interpolation=cv2.INTER_AREA), np.uint8))
    if flaw:
        return b"", flaw
    return (data if _can_stay(data, encoding) else encode(image, encoding)), ""


def _can_stay(data: bytes, encoding: Encoding) -> bool:
    """Tell whether the bytes are of the encoding and mean the same to a reader that knows nothing of orientation."""
    if sniff(data) != ENCODINGS[encoding]["format"] or _EMBEDDED_EXIF.search(data):
        return False
    stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return stored is not None and stored.dtype == np.uint8 and stored.shape[2:] == (_RGB,)


def _put_all(writer: Writer, carried: _Carried) -> Iterator[Outcome]:
    key, source, files = carried
    for arrival, data, reason in files:
        if reason:
            writer.fail(key, arrival.variant, reason, prompt=arrival.prompt, source=source)
        else:
            writer.put(key, arrival.variant, data, prompt=arrival.prompt, seed=arrival.seed, source=source)
        yield Outcome(key, arrival.variant, reason, 0, len(data))


def _complete(plan: ImportPlan) -> None:
    Store.open(plan.options.store_path).merge()
    store = Store.open(plan.options.store_path)
    shown = spread([source for source, _ in plan.arrivals], SHOWN)
    store.write_readme("Imported from a folder of images.", contact_sheet(store, shown))

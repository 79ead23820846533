"""Make the built-in fractals: draw parameters, render, measure, accept, write.

    python -m fractal_assets.rendering.generate                  makes all of them again
    python -m fractal_assets.rendering.generate --check          compares the shipped ones with their manifest
    python -m fractal_assets.rendering.generate --sheet all.png  lays them out on one page, to look at

Run it from the root of a checkout. An image depends only on its family, its place in the family, the base seed and the
attempt, so each can be rendered alone, and again. Rendering needs numba.
"""

import argparse
import multiprocessing
import os
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple, NoReturn

import cv2
import numpy as np
from tqdm import tqdm

from fractal_assets.rendering.aliases import Array, Image
from fractal_assets.rendering.checking import faults_in_files, faults_in_renderings, least_distance
from fractal_assets.rendering.compiled import NumbaMissingError
from fractal_assets.rendering.families import FAMILIES
from fractal_assets.rendering.manifest import (
    FOLDER,
    SIDE,
    Record,
    decoded,
    encoded,
    pixel_hash,
    read_manifest,
    write_manifest,
)
from fractal_assets.rendering.measures import (
    LEAST_DISTANCE,
    LEAST_SYMMETRIC,
    SYMMETRIC,
    distance,
    measure,
    out_of_range,
    thumbnail,
)

BASE_SEED = 2024
DRAFT_SIDE = 256
MOST_ATTEMPTS = 200
TILE_SIDE = 176
TILES_IN_A_ROW = 10


class Place(NamedTuple):
    """One image to find: its family, its place there, and the attempt to begin with."""

    family: str
    order: int
    attempt: int

    @property
    def name(self) -> str:
        """The image's name, such as `flame_00`."""
        return f"{self.family}_{self.order:02d}"


class Candidate(NamedTuple):
    """An image within the ranges, found at `place.attempt`."""

    place: Place
    record: Record
    jpeg: bytes
    thumbnail: Array


def seed_of(place: Place, base_seed: int) -> int:
    """Derive the seed of an attempt from the base seed, the family, the place in it and the attempt."""
    family = list(FAMILIES).index(place.family)
    words = np.random.SeedSequence([base_seed, family, place.order, place.attempt]).generate_state(1)
    return int(words[0])


def find_candidate(place: Place, base_seed: int) -> Candidate:
    """Try attempt after attempt until an image's draft, and then the image as it will ship, lie within the ranges.

    Args:
        place: The image, and the attempt to begin with.
        base_seed: Seed of the set.

    Returns:
        The first candidate.

    Raises:
        RuntimeError: No attempt of 200 was within the ranges.
    """
    family = FAMILIES[place.family]
    for attempt in range(place.attempt, place.attempt + MOST_ATTEMPTS):
        tried = place._replace(attempt=attempt)
        seed = seed_of(tried, base_seed)
        params = family.draw(np.random.default_rng(seed), place.order)
        if out_of_range(measure(family.render(params, DRAFT_SIDE))):
            continue
        jpeg = encoded(family.render(params, SIDE))
        image = decoded(jpeg)
        measured = measure(image)
        if not out_of_range(measured):
            record = Record(f"{place.name}.jpg", place.family, seed, params, measured, pixel_hash(image))
            return Candidate(tried, record, jpeg, thumbnail(image))
    raise RuntimeError(f"{place.name}: none of {MOST_ATTEMPTS} attempts lies within the ranges")


def find_all(base_seed: int, workers: int) -> list[Candidate]:
    """Find every image of the set, no two of them nearer than the least distance.

    The images are searched for in parallel, in rounds. Within a round they are accepted in order, and one that is too
    similar to an accepted one is searched for again in the next round. So the result does not depend on the number of
    workers.

    Args:
        base_seed: Seed of the set.
        workers: Processes to use.

    Returns:
        The accepted candidates, in the order of the families.
    """
    places = [
        Place(name, order, attempt)
        for name, family in FAMILIES.items()
        for order, attempt in enumerate(family.first_attempts)
    ]
    wanted = places
    accepted: dict[str, Candidate] = {}
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(workers, mp_context=context) as pool,
        tqdm(total=len(places), desc="fractals", unit="image") as bar,
    ):
        while wanted:
            found = pool.map(find_candidate, wanted, [base_seed] * len(wanted))
            wanted = _accept(found, accepted, bar)
    return [accepted[place.name] for place in places]


def write_all(folder: Path, candidates: list[Candidate]) -> None:
    """Write images and manifest into a folder, each beside its place and renamed; the manifest comes last."""
    folder.mkdir(parents=True, exist_ok=True)
    for candidate in candidates:
        beside = folder / f".{candidate.record.file}.part"
        beside.write_bytes(candidate.jpeg)
        beside.replace(folder / candidate.record.file)
    write_manifest(folder, [candidate.record for candidate in candidates])


def write_sheet(folder: Path, path: Path) -> None:
    """Lay all images of a folder out on one page, ten in a row, each with its name.

    Args:
        folder: Where images and manifest lie.
        path: The page to write, a PNG or JPEG by its name.

    Raises:
        ValueError: The page cannot be written under that name.
    """
    tiles = [_tile(folder, record.file) for record in read_manifest(folder)]
    blank = np.zeros_like(tiles[0])
    tiles += [blank] * (-len(tiles) % TILES_IN_A_ROW)
    rows = [np.hstack(tiles[at : at + TILES_IN_A_ROW]) for at in range(0, len(tiles), TILES_IN_A_ROW)]
    try:
        written, data = cv2.imencode(path.suffix or ".png", np.vstack(rows))
    except cv2.error as error:
        raise ValueError(f"{path}: OpenCV writes no {path.suffix!r} images; name it .png or .jpg") from error
    if written:
        path.write_bytes(data.tobytes())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return 0 when all is well, else 1."""
    options = _parser().parse_args(arguments)
    try:
        if options.sheet is not None:
            return _sheet(options.folder, options.sheet)
        if options.check is not None:
            return _check(options.folder, options.check)
        return _generate(options.folder, options.base_seed, options.workers)
    except (NumbaMissingError, OSError, RuntimeError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _accept(found: Iterable[Candidate], accepted: dict[str, Candidate], bar: "tqdm[NoReturn]") -> list[Place]:
    again = []
    for candidate in found:
        if any(distance(candidate.thumbnail, other.thumbnail) < LEAST_DISTANCE for other in accepted.values()):
            again.append(candidate.place._replace(attempt=candidate.place.attempt + 1))
            continue
        accepted[candidate.place.name] = candidate
        bar.update()
    return again


def _tile(folder: Path, name: str) -> Image:
    image = decoded((folder / name).read_bytes())
    small = cv2.resize(image, (TILE_SIDE, TILE_SIDE), interpolation=cv2.INTER_AREA)
    framed = cv2.copyMakeBorder(small, 2, 16, 2, 2, cv2.BORDER_CONSTANT, value=(24, 24, 24))
    cv2.putText(
        framed, Path(name).stem, (5, TILE_SIDE + 14), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (210, 210, 210), 1, cv2.LINE_AA
    )
    return np.asarray(framed[..., ::-1], dtype=np.uint8)


def _generate(folder: Path, base_seed: int, workers: int) -> int:
    candidates = find_all(base_seed, workers)
    write_all(folder, candidates)
    nearest, first, second = least_distance({item.record.file: decoded(item.jpeg) for item in candidates})
    symmetric = sum(item.record.measured["mirror_correlation"] > SYMMETRIC for item in candidates)
    megabytes = sum(len(item.jpeg) for item in candidates) / 1e6
    print(f"{len(candidates)} images, {megabytes:.1f} MB, in {folder}")
    print(f"least distance {nearest:.2f} ({first}, {second}); {symmetric} with mirror correlation over {SYMMETRIC}")
    if symmetric < LEAST_SYMMETRIC:
        raise RuntimeError(f"{symmetric} mirror-symmetric images, at least {LEAST_SYMMETRIC} are required")
    return 0


def _check(folder: Path, count: int) -> int:
    records = read_manifest(folder)
    faults = faults_in_files(folder, records) + faults_in_renderings(folder, records, count)
    for fault in faults:
        print(fault)
    if not faults:
        print(f"{len(records)} images agree with their manifest; {min(count, len(records))} rendered again")
    return 1 if faults else 0


def _sheet(folder: Path, path: Path) -> int:
    write_sheet(folder, path)
    print(f"wrote {path}")
    return 0


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a count of images: 0 or more")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="generate", description="Make the built-in fractals, or check them.")
    parser.add_argument(
        "--folder", type=Path, default=FOLDER, help="where images and manifest lie (default: %(default)s)"
    )
    parser.add_argument("--base-seed", type=int, default=BASE_SEED, help="seed of the set (default: %(default)s)")
    parser.add_argument("--workers", type=_count, default=os.cpu_count() or 1, help="processes (default: %(default)s)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--check", type=_count, nargs="?", const=5, metavar="N",
        help="check all shipped images, and render N of them again (default: 5)",
    )  # fmt: skip
    what.add_argument("--sheet", type=Path, metavar="FILE", help="write one page with all images")
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""Check shipped fractals against their manifest, and against what their parameters render today."""

from collections import Counter
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fractal_assets.rendering.aliases import Image
from fractal_assets.rendering.families import FAMILIES
from fractal_assets.rendering.manifest import SIDE, Record, decoded, encoded, pixel_hash
from fractal_assets.rendering.measures import (
    LEAST_DISTANCE,
    LEAST_SYMMETRIC,
    MEASURES,
    SYMMETRIC,
    distance,
    measure,
    out_of_range,
    thumbnail,
)

# Mean absolute difference in grey levels. A last digit that differs on another processor sends the chaos game along
# another orbit, which moves an image by 2 to 3.5; the two images that are most alike are 27 apart.
TOLERANCE = 5.0
MEASURE_TOLERANCE = 0.001


def faults_in_files(folder: Path, records: list[Record]) -> list[str]:
    """Compare the files of a folder with its manifest: names, sizes, hashes, measures, ranges, families, distances.

    Args:
        folder: Where the images lie.
        records: Its manifest.

    Returns:
        One line for each fault, naming the file and the value; empty when all is well.
    """
    faults = _faults_in_names(folder, records) + _faults_in_families(records)
    images: dict[str, Image] = {}
    for record in records:
        path = folder / record.file
        if not path.is_file():
            continue
        try:
            images[record.file] = decoded(path.read_bytes())
        except ValueError as error:
            faults.append(f"{record.file}: {error}")
            continue
        faults += _faults_in_image(record, images[record.file])
    nearest, first, second = least_distance(images)
    if nearest < LEAST_DISTANCE:
        faults.append(f"{first}: distance {nearest:.2f} from {second}, at least {LEAST_DISTANCE} is required")
    return faults


def faults_in_renderings(folder: Path, records: list[Record], count: int) -> list[str]:
    """Render some images again, taken from the families in turn, and compare their pixels with the shipped ones.

    Args:
        folder: Where the images lie.
        records: Its manifest.
        count: How many to render.

    Returns:
        One line for each image that differs by more than `TOLERANCE` grey levels in the mean.
    """
    faults = []
    for record in tqdm(across_families(records)[:count], desc="rendering again", unit="image"):
        if record.family not in FAMILIES or not (folder / record.file).is_file():
            continue
        rendered = decoded(encoded(FAMILIES[record.family].render(record.params, SIDE)))
        shipped = decoded((folder / record.file).read_bytes())
        if shipped.shape != rendered.shape:
            continue
        difference = float(np.abs(rendered.astype(np.float32) - shipped).mean())
        if difference > TOLERANCE:
            faults.append(
                f"{record.file}: differs by {difference:.2f} grey levels from its rendering, at most {TOLERANCE}"
            )
    return faults


def across_families(records: list[Record]) -> list[Record]:
    """Order records so that any first few come from different families: the first of each, the second of each, ..."""
    seen: Counter[str] = Counter()
    places: list[tuple[int, int, Record]] = []
    for record in records:
        places.append((seen[record.family], len(places), record))
        seen[record.family] += 1
    return [record for _, _, record in sorted(places, key=lambda place: place[:2])]


def least_distance(images: dict[str, Image]) -> tuple[float, str, str]:
    """Find the two images that are most alike: their distance and their names; infinity for fewer than two."""
    names = list(images)
    thumbnails = [thumbnail(image) for image in images.values()]
    pairs = [
        (distance(thumbnails[first], thumbnails[second]), names[first], names[second])
        for first in range(len(names))
        for second in range(first + 1, len(names))
    ]
    return min(pairs, default=(float("inf"), "", ""))


def _faults_in_names(folder: Path, records: list[Record]) -> list[str]:
    listed, present = {record.file for record in records}, {path.name for path in folder.glob("*.jpg")}
    missing = [f"{name}: in the manifest, not in the folder" for name in sorted(listed - present)]
    return missing + [f"{name}: in the folder, not in the manifest" for name in sorted(present - listed)]


def _faults_in_families(records: list[Record]) -> list[str]:
    counts = Counter(record.family for record in records)
    required = {name: family.size for name, family in FAMILIES.items()}
    faults = [
        f"manifest: {counts[name]} images of family {name}, {required.get(name, 0)} are required"
        for name in sorted(counts.keys() | required.keys())
        if counts[name] != required.get(name, 0)
    ]
    symmetric = sum(record.measured["mirror_correlation"] > SYMMETRIC for record in records)
    if symmetric < LEAST_SYMMETRIC:
        faults.append(
            f"manifest: {symmetric} images with mirror correlation over {SYMMETRIC}, at least {LEAST_SYMMETRIC}"
        )
    return faults


def _faults_in_image(record: Record, image: Image) -> list[str]:
    if image.shape != (SIDE, SIDE, 3):
        return [f"{record.file}: shape {image.shape}, not {(SIDE, SIDE, 3)}"]
    faults = []
    if pixel_hash(image) != record.pixel_hash:
        faults.append(f"{record.file}: pixel hash {pixel_hash(image)}, the manifest says {record.pixel_hash}")
    measured = measure(image)
    faults += [
        f"{record.file}: {name} {measured[name]}, the manifest says {record.measured[name]}"
        for name in MEASURES
        if abs(measured[name] - record.measured[name]) > MEASURE_TOLERANCE
    ]
    return faults + [f"{record.file}: {fault}" for fault in out_of_range(measured)]

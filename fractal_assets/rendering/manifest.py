"""`manifest.csv`: one row for each image, with what made it and what was measured on its decoded pixels."""

import csv
import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from fractal_assets.rendering.aliases import Image, Params
from fractal_assets.rendering.measures import MEASURES

FOLDER = Path(__file__).resolve().parents[1]
MANIFEST = "manifest.csv"
COLUMNS = ("file", "family", "seed", "parameters", *MEASURES, "pixel_hash")
SIDE = 512
JPEG_QUALITY = 90


class Record(NamedTuple):
    """A row of the manifest: the file, its family, the seed of its parameters, and what was measured."""

    file: str
    family: str
    seed: int
    params: Params
    measured: dict[str, float]
    pixel_hash: str


def read_manifest(folder: Path) -> list[Record]:
    """Read the manifest of a folder.

    Args:
        folder: Where `manifest.csv` lies.

    Returns:
        The records, in the order of the rows.

    Raises:
        FileNotFoundError: There is no manifest.
        ValueError: Its columns are not `COLUMNS`, or a row cannot be read.
    """
    path = folder / MANIFEST
    with path.open(newline="", encoding="utf-8") as lines:
        rows = csv.DictReader(lines)
        if tuple(rows.fieldnames or ()) != COLUMNS:
            raise ValueError(f"{path} has the columns {rows.fieldnames}, not {list(COLUMNS)}")
        return [_record(row, f"{path}, row {number}") for number, row in enumerate(rows, start=1)]


def write_manifest(folder: Path, records: list[Record]) -> None:
    """Write the manifest beside its place and rename it."""
    beside = folder / f".{MANIFEST}.part"
    with beside.open("w", newline="", encoding="utf-8") as lines:
        rows = csv.writer(lines, lineterminator="\n")
        rows.writerow(COLUMNS)
        for record in records:
            params = json.dumps(record.params, separators=(",", ":"))
            measured = [record.measured[name] for name in MEASURES]
            rows.writerow([record.file, record.family, record.seed, params, *measured, record.pixel_hash])
    beside.replace(folder / MANIFEST)


def encoded(image: Image) -> bytes:
    """Encode RGB as a JPEG of quality 90 without chroma subsampling (4:4:4), the form in which the images ship."""
    options = [
        cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
        cv2.IMWRITE_JPEG_OPTIMIZE, 1,
    ]  # fmt: skip
    _, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    return data.tobytes()


def decoded(data: bytes) -> Image:
    """Decode a JPEG to RGB.

    Raises:
        ValueError: The bytes are not an image that OpenCV reads.
    """
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if bgr is None:
        raise ValueError(f"{len(data)} bytes are not an image that OpenCV can decode")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def pixel_hash(image: Image) -> str:
    """Hash an image's shape and decoded pixels: 32 hexadecimal digits of BLAKE2b."""
    digest = hashlib.blake2b(repr(image.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image).tobytes())
    return digest.hexdigest()


def _record(row: dict[str, str], where: str) -> Record:
    try:
        return Record(
            file=row["file"],
            family=row["family"],
            seed=int(row["seed"]),
            params=json.loads(row["parameters"]),
            measured={name: float(row[name]) for name in MEASURES},
            pixel_hash=row["pixel_hash"],
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where} cannot be read: {error}") from error

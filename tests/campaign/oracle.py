"""What a store holds, as `tarfile` and Pillow alone see it: no line of the package is used to judge the package."""

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import NamedTuple

from PIL import Image


class Truth(NamedTuple):
    """What one counterpart must be."""

    prompt: str
    seed: int
    pixels: str


def read_store(path: Path) -> dict[tuple[str, str], list[Truth]]:
    """Decode every image of every sealed part: what each key and variant is, as often as it occurs."""
    found: dict[tuple[str, str], list[Truth]] = {}
    for part in sorted(path.glob("parts/*.tar")):
        with tarfile.open(part) as tar:
            files = {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}
        for name, data in files.items():
            if name.endswith(".json"):
                record = json.loads(data)
                image = files[name.removesuffix("json") + "jpg"]
                truth = Truth(record["prompt"], record["seed"], pixels_of(image))
                found.setdefault((record["key"], record["variant"]), []).append(truth)
    return found


def pixels_of(image: bytes) -> str:
    """Return a digest of the decoded pixels of an image file, or why there are none."""
    try:
        decoded = Image.open(io.BytesIO(image)).convert("RGB")
    except OSError as error:
        return str(error)
    return hashlib.sha256(repr(decoded.size).encode() + decoded.tobytes()).hexdigest()


def wrong_images(path: Path, truth: dict[tuple[str, str], list[Truth]]) -> int:
    """Count the images of a store that are not what they must be."""
    return sum(image != truth[name][0] for name, images in read_store(path).items() for image in images)


def is_complete(path: Path, truth: dict[tuple[str, str], list[Truth]]) -> bool:
    """Tell whether a store holds every image, and nothing else."""
    return {name: set(images) for name, images in read_store(path).items()} == {
        name: set(images) for name, images in truth.items()
    }

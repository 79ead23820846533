"""Pipelines whose files are kept, as each host wrote them, in tests/golden/pipelines.

`python tests/pipeline_files.py` writes those of the host that is installed.
"""

from importlib.metadata import version
from pathlib import Path

import albumentations as A

from albu_diffusemix import DiffuseMix, FractalBlend, HalfConcat
from albu_diffusemix._host import HOST

FOLDER = Path(__file__).parent / "golden" / "pipelines"
KINDS = ("classify", "detect")
FORMATS = ("yaml", "json")
HOSTS = ("albumentations-2.0.8", "albumentationsx-2.5.1")
[THIS_HOST] = [host for host in HOSTS if host.startswith(f"{HOST}-")]


def make_pipeline(kind: str) -> A.Compose:
    """All of our transforms among native ones, arguments unlike their defaults; "detect" has boxes and keypoints."""
    mixing = {"prompts": ("snowy", "sunset"), "mask_types": ("left", "cutmix"), "seam_width": 0.25}
    transforms = [
        DiffuseMix({"name": "procedural"}, **mixing, alpha_range=(0.1, 0.3), metadata_key="mine", p=0.75),
        A.OneOf([HalfConcat("procedural", **mixing, p=0.5), FractalBlend(alpha_range=(0.05, 0.1), p=0.5)], p=0.5),
        A.RandomCrop(64, 64, p=1),
        A.HorizontalFlip(p=0.5),
        A.Normalize(p=1),
    ]
    if kind == "classify":
        return A.Compose(transforms)
    return A.Compose(
        transforms,
        bbox_params=A.BboxParams("pascal_voc", label_fields=["names"]),
        keypoint_params=A.KeypointParams("xy"),
    )


def path_of(host: str, kind: str, data_format: str) -> Path:
    return FOLDER / f"{host}_{kind}.{data_format}"


if __name__ == "__main__":
    distribution, _, wanted = THIS_HOST.partition("-")
    if version(distribution) != wanted:
        raise SystemExit(f"the files are those of {THIS_HOST}; installed is {version(distribution)}")
    for kind in KINDS:
        for data_format in FORMATS:
            A.save(make_pipeline(kind), path_of(THIS_HOST, kind, data_format), data_format=data_format)

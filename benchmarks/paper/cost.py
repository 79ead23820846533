"""What each spec costs on one H100, by arithmetic: `python -m benchmarks.paper.cost` writes it into the index.

It needs timm, for the models of timm: `.venv-vision/bin/python -m benchmarks.paper.cost`.
"""

import os
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from albu_diffusemix.compare.models import create_model
from albu_diffusemix.compare.spec import read_spec
from albu_diffusemix.pipelines import leaves, open_pipeline

FOLDER = Path(__file__).parent
INDEX = FOLDER / "README.md"
BEGIN, END = "<!-- costs -->\n", "<!-- end of costs -->"
TRAINING_RATE = 70e12
"""Floating-point operations a second: an assumption, 2,850 images a second of ResNet-50 at 224 px."""

GENERATION_RATE = 790e12
COUNTERPART = 54.9e12
"""Of InstructPix2Pix in the paper's setting: 100 steps of 3 passes at 256 px."""

IMAGENET_SIDE = 224  # where crops are resized
PASSES = 3  # forward, and two for the gradients
SIZES = {
    "aircraft": (100, 6_667),
    "cars": (196, 8_144),
    "cifar100": (100, 50_000),
    "cub": (200, 5_994),
    "flowers102/all": (102, 7_371),
    "flowers102/train": (102, 1_020),
    "imagenet": (1000, 1_281_167),
    "tiny-imagenet-200": (200, 100_000),
}
"""Classes, and images that are trained on."""

COUNTERPARTS = {"imagenet.dm": 1, "flowers102.dm": 9 * 8_189 / 7_371}  # an image that is trained on; others have nine
TEN_PROMPTS = "_ten_prompts.dm"


def rows():
    """A line of the table for each spec."""
    os.environ.setdefault("DATA", "/data")
    for path in sorted(FOLDER.glob("*.yaml"), key=order):
        spec = read_spec(path)
        training, generating = hours_of_training(spec), hours_of_generation(spec)
        yield (
            f"| {spec.paper.table} | `{path.stem}` | {len(spec.arms)} | {len(spec.seeds)} | "
            f"{training / len(spec.seeds):.2g} h | {training:.2g} h | {generating:.2g} h |"
        )


def order(path):
    kind, number, *rest = path.stem.split("_")
    return kind == "figure", int(number), rest


def hours_of_training(spec):
    """All arms and seeds, without loading, and without measuring."""
    classes, images = size_of(spec)
    views = sum(3 if arm.loss == "jsd" else 1 for arm in spec.arms.values())
    each = operations(spec, classes) * PASSES * images * spec.train.epochs
    return each * views * len(spec.seeds) / TRAINING_RATE / 3600


def hours_of_generation(spec):
    """The store, which specs on the same data share."""
    _, images = size_of(spec)
    stores = {Path(arm.store).name for arm in spec.arms.values() if arm.store}
    counterparts = sum(images * (10 if name.endswith(TEN_PROMPTS) else COUNTERPARTS.get(name, 9)) for name in stores)
    return counterparts * COUNTERPART / GENERATION_RATE / 3600


def size_of(spec):
    path = spec.data.path
    (found,) = (size for name, size in SIZES.items() if f"/{name}/" in f"{path}/")
    return found


def operations(spec, classes):
    """Floating-point operations of a forward pass of one image."""
    crops = [leaf.height for leaf in leaves(open_pipeline(spec.arms["vanilla"].pipeline)) if hasattr(leaf, "height")]
    side = crops[0] if crops else IMAGENET_SIDE
    options = {name: value for name, value in spec.model.options.items() if name != "pretrained"}
    with torch.device("meta"):
        model = create_model(spec.model.model_copy(update={"options": options}), classes, 0).eval()
        counter = FlopCounterMode(display=False)
        with counter:
            model(torch.empty(1, 3, side, side))
    return counter.get_total_flops()


def main():
    text = INDEX.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    head = "| | spec | arms | seeds | training a seed | training | counterparts |\n|---|---|---|---|---|---|---|\n"
    INDEX.write_text(f"{before}{BEGIN}{head}{chr(10).join(rows())}\n{END}{after}")


if __name__ == "__main__":
    main()

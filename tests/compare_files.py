"""Small comparisons: two classes of small images, a model that learns them in a few steps, and pipelines in a spec."""

import json
from pathlib import Path

import numpy as np
import yaml
from torch import nn

from albu_diffusemix.cli import main
from albu_diffusemix.images import write_image

SIDE = 16
NORMALIZE = {"Normalize": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}}
PLAIN = [{"RandomCrop": {"height": SIDE, "width": SIDE}}, "HorizontalFlip", NORMALIZE]
MODEL = "compare_files:brightness_model"
TRAIN = {"epochs": 3, "batch_size": 8, "lr": 0.5, "weight_decay": 0.0}


def brightness_model(num_classes):
    """Tell classes by the mean color."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, num_classes))


def shade(label, number, *, inverted=False):
    """A noisy image, dark or bright by its label; no two are the same."""
    noise = np.random.default_rng(1000 * label + number).integers(0, 60, (SIDE, SIDE, 3), dtype=np.uint8)
    image = noise + np.uint8(195 * label)
    return 255 - image if inverted else image


def make_data(folder, count=12, *, first=0, inverted=False):
    """A folder with two classes of shades."""
    for label in (0, 1):
        for number in range(first, first + count):
            write_image(folder / f"class{label}" / f"{number:02d}.png", shade(label, number, inverted=inverted))
    return folder


def write_spec(path, arms, **changed):
    """A spec for the data beside it."""
    spec = {
        "data": "train",
        "validation": "validation",
        "model": MODEL,
        "train": TRAIN,
        "seeds": 2,
        "metrics": ["top1", "nll"],
        "arms": arms,
        **changed,
    }
    path.write_text(yaml.safe_dump({name: value for name, value in spec.items() if value is not None}, sort_keys=False))
    return path


def make_comparison(folder, arms, **changed):
    """Two sets of shades, and the spec of arms on them."""
    make_data(folder / "train")
    make_data(folder / "validation", first=100)
    return write_spec(folder / "spec.yaml", arms, **changed)


def compare(*arguments):
    """Run the command; return its exit status."""
    return main(["compare", *map(str, arguments)])


def rows_in(results):
    """What a comparison measured, by arm and seed, without its times."""
    lines = [line for path in sorted(Path(results).glob("results*.jsonl")) for line in path.read_text().splitlines()]
    return {(row["arm"], row["seed"]): timeless(row) for row in map(json.loads, lines)}


def timeless(row):
    curve = [{name: value for name, value in point.items() if name != "seconds"} for point in row.get("curve", ())]
    return {**{name: value for name, value in row.items() if name != "seconds"}, "curve": curve}

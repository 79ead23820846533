"""The paper's specs on tiny data, for the tests that take steps of their arms."""

import re
from pathlib import Path

import numpy as np
from job_files import make

from albu_diffusemix.compare.comparison import Comparison
from albu_diffusemix.compare.spec import read_spec
from albu_diffusemix.images import write_image
from albu_diffusemix.prompts import PAPER_PROMPTS

FOLDER = Path(__file__).parents[1] / "benchmarks/paper"
SPECS = sorted(FOLDER.glob("*.yaml"))
PROMPTS = (*PAPER_PROMPTS, "rain")
SMALLER = {"512": "20", "448": "16", "256": "20", "224": "16"}
COUNT = {"train": 2, "test": 1}


def make_tiny(folder):
    """Images of two classes in two folders, and a store with a counterpart of each for every prompt."""
    for side, count in COUNT.items():
        for number in range(2 * count):
            image = np.random.default_rng([count, number]).integers(0, 256, (20, 24, 3), dtype=np.uint8)
            write_image(folder / side / f"class{number % 2}" / f"{number}.png", image)
    make(folder / "train", folder / "train.dm", prompts=PROMPTS, all_prompts=True)
    return folder


def small(path, folder):
    """A spec with small crops, as a file in a folder."""
    text = re.sub(r"\b(512|448|256|224)\b", lambda found: SMALLER[found[0]], path.read_text())
    copy = folder / path.name
    copy.write_text(text)
    return copy


def on_tiny_data(path, folder, **changed):
    """The comparison of a spec, but for its data, stores and processes that load."""
    spec = read_spec(path)
    data = spec.data.model_copy(update={"path": str(folder / "train")})
    there = None if spec.validation is None else spec.validation.model_copy(update={"path": str(folder / "test")})
    train = spec.train.model_copy(update={"loader_workers": 0, "batch_size": 2, "curve_every": 0})
    arms = {
        name: arm.model_copy(update={"store": arm.store and str(folder / "train.dm")})
        for name, arm in spec.arms.items()
    }
    updated = {"data": data, "validation": there, "train": train, "arms": arms, "seeds": (0,), **changed}
    return Comparison(spec.model_copy(update=updated))

"""Stores with figures for the tests of scoring and choosing."""

import csv

import cv2
import numpy as np
from job_files import make
from skimage import data

from albu_diffusemix.cli import main
from albu_diffusemix.curate import ScoreOptions, plan_scores, read_scores, run_scores
from albu_diffusemix.datasets import find_sources
from albu_diffusemix.store import Store


def make_photographs(folder, classes=("astronaut", "chelsea"), count=3, side=64):
    """Different parts of real photographs, `<class>/<number>.png`."""
    for name in classes:
        whole = cv2.cvtColor(getattr(data, name)(), cv2.COLOR_RGB2BGR)
        for number in range(count):
            path = folder / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            part = whole[20 * number : 20 * number + 240, 20 * number : 20 * number + 240]
            cv2.imwrite(str(path), cv2.resize(part, (side, side), interpolation=cv2.INTER_AREA))
    return folder


def make_store(folder, store, **options):
    make(folder, store, size=64, encoding="raw", **options)
    return store


def score(*words):
    return main(["score", *map(str, words)])


def choose(*words):
    return main(["choose", *map(str, words)])


def put_figures(store, data_folder, values, monkeypatch, name="toy"):
    """Score with figures of one's own choice: `values` has one for each counterpart, in the order of the keys."""

    class Toy:
        figures, fingerprint, batch_size = {"figure": "float64"}, "toy", 2

        def prepare(self, view):
            return [values[place[record.key, record.variant]] for record, _ in view.counterparts]

        def score(self, prepared):
            return [(value,) for value in prepared]

    opened = Store.open(store)
    place = {name: number for number, name in enumerate(sorted((r.key, r.variant) for r in opened.records()))}
    monkeypatch.setattr("albu_diffusemix.curate.free_scorers.PixelScorer", Toy)
    plan = plan_scores(opened, find_sources(data_folder, store), ScoreOptions("pixels", name=name))
    return run_scores(plan, lambda *_: None, _Never())


def figures(store, name):
    table = read_scores(Store.open(store))
    ids = zip(table["key"].to_pylist(), table["variant"].to_pylist(), strict=True)
    return dict(zip(ids, table[name].to_pylist(), strict=True))


def rejected(store):
    opened = Store.open(store)
    return {(record.key, record.variant) for record in opened.records() if opened.is_rejected(record)}


def read_csv(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def noise(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


class _Never:
    def is_set(self):
        return False

"""Stores to review: crops of real photographs and two counterparts of each."""

import json
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
from skimage import data

from albu_diffusemix.curate.pictures import Sources
from albu_diffusemix.curate.table import ReviewTable
from albu_diffusemix.store import Recipe, Source, Store

PROMPTS = ("snowy", "sunset")
HOSTILE = "odd/<script>document.title='bad'</script> \"&'.png"


def write_photographs(folder: Path, count: int) -> Path:
    """Write crops of two photographs into two classes, and one whose name is not harmless."""
    names = [f"{('cat', 'astronaut')[number % 2]}/{number:03d}.png" for number in range(count - 1)]
    for number, name in enumerate([*names, HOSTILE]):
        photograph = (data.chelsea(), data.astronaut())[number % 2]
        left = 7 * number % 150
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), cv2.cvtColor(photograph[10:250, left : left + 300], cv2.COLOR_RGB2BGR))
    return folder


def make_store(path: Path, folder: Path, prompts=PROMPTS, recipe_id: str = "f00d") -> Store:
    """Make counterparts that are the photograph with another tint, one for each prompt."""
    store = Store.create(path, Recipe("procedural", recipe_id, tuple(prompts), size=64))
    with store.writer() as writer:
        for file in sorted(folder.rglob("*.png")):
            image = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)
            for number, prompt in enumerate(prompts):
                small = cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA)
                tint = np.roll(small, number + 1, axis=2)
                encoded = cv2.imencode(".jpg", tint)[1].tobytes()
                key = file.relative_to(folder).as_posix()
                writer.put(key, f"{number:04d}", encoded, prompt=prompt, seed=number, source=Source.of(image))
    return Store.open(path)


def scores_of(store: Store):
    """Scores as `read_scores` returns them: the first of each counterpart is known, the last has none."""
    records = list(store.records())[:-1]
    columns = {"key": [record.key for record in records], "variant": [record.variant for record in records]}
    return pa.table({**columns, "clip_image": [number / 100 for number in range(len(records))]})


def table_of(*stores: Store, folder: Path | None = None, read_scores=None) -> tuple[ReviewTable, Sources]:
    sources = Sources(folder and str(folder), stores[0].path)
    return ReviewTable(stores, sources.label, read_scores), sources


def data_in(page: str) -> dict:
    """Return what a page carries, read as a browser reads it: up to the first end of a script element."""
    return json.loads(page.split('<script type="application/json" id="data">')[1].split("</script>", maxsplit=1)[0])

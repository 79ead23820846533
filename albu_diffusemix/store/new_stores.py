"""The folder of a new store: what may lie there before, and what is made first."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from albu_diffusemix.store import store_json
from albu_diffusemix.store.catalog import MERGED
from albu_diffusemix.store.choices import CHOICES
from albu_diffusemix.store.files import StoreError, explained
from albu_diffusemix.store.part_files import PARTS
from albu_diffusemix.store.readme import write_readme
from albu_diffusemix.store.recipe import Recipe
from albu_diffusemix.store.run_lock import RUNS

__all__ = ["lay_out", "refuse_other_files"]


def refuse_other_files(root: Path) -> None:
    """Raise StoreError if a new store cannot be made in the folder because it holds something else."""
    with explained("create", root):
        own = {PARTS, "index", CHOICES, RUNS, "README.md"}
        found = [file.name for file in root.iterdir()] if root.is_dir() else []
        foreign = sorted(name for name in found if name not in own and not name.endswith(".tmp"))
        has_parts = (root / PARTS).is_dir() and any((root / PARTS).iterdir())
    if (root / store_json.STORE_JSON).exists():
        return
    if has_parts:
        raise StoreError(f"{root} has no store.json: {store_json.restore_advice(root)}")
    if foreign:
        raise StoreError(f"{root} holds {foreign[0]!r} but no store.json: choose a new or an empty folder")


def lay_out(root: Path, recipe: Recipe, provenance: Mapping[str, Any]) -> None:
    """Make the folders and, last of all, store.json: without it nothing is taken for a store."""
    refuse_other_files(root)
    with explained("create", root):
        root.mkdir(parents=True, exist_ok=True)
        (root / PARTS).mkdir(exist_ok=True)
        (root / MERGED).parent.mkdir(exist_ok=True)
    write_readme(root, [recipe], "", b"")
    store_json.publish(root, recipe, provenance)

"""store.json: how the counterparts of a store were made, for programs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from albu_diffusemix.atomic_files import write_atomically
from albu_diffusemix.regular_files import open_regular
from albu_diffusemix.store.choices import CHOICES, choices_files
from albu_diffusemix.store.files import StoreError, dump_checked, explained, load_checked
from albu_diffusemix.store.locks import locked
from albu_diffusemix.store.raw_images import ENCODING as RAW
from albu_diffusemix.store.recipe import Recipe, describe_differences, plain
from albu_diffusemix.text import parse_json, printable

__all__ = ["STORE_JSON", "admit", "check_fields", "load", "publish", "require", "restore", "restore_advice"]

STORE_JSON = "store.json"
FORMAT = "albu-diffusemix store"
VERSION = 2
FEATURES = ("raw", CHOICES)
"""What a store may say that its readers need to know, and this version does know."""


def publish(root: Path, recipe: Recipe, provenance: Mapping[str, Any]) -> None:
    """Write store.json unless there is one; of several processes that do it at once, one wins.

    Raises:
        StoreError: It cannot be written, or the provenance has something that JSON has not.

    """
    fields = {
        "format": FORMAT,
        "version": VERSION,
        "needs": [],
        "recipe": recipe.to_json(),
        "mixed": [],
        "provenance": plain(provenance),
    }
    _write(root, fields, keep=True)


def restore(root: Path, fields: Mapping[str, Any]) -> None:
    """Write store.json as `load` returned it once, or with what a part says of how it was made.

    Raises:
        StoreError: It cannot be written.

    """
    usual = {"format": FORMAT, "version": VERSION, "needs": [], "recipe": {}, "mixed": [], "provenance": {}}
    _write(root, {**usual, **fields})


def load(root: Path) -> dict[str, Any]:
    """Read store.json: format, version, recipe, mixed (other recipes that were allowed in), provenance.

    Raises:
        StoreError: There is no store, it is damaged, or of a newer format.

    """
    path = root / STORE_JSON
    if not root.exists():
        looked = "" if root.is_absolute() else f" (looked for {root.absolute()})"
        raise StoreError(
            f"no store at {root}{looked}: check the path, or make one with `albu-diffusemix generate DATA -o {root}`"
        )
    if not root.is_dir():
        raise StoreError(f"{root} is a file, a store is a folder: check the path")
    with explained("read", path):
        if not path.exists():
            raise StoreError(f"{root} {_without_json(root)}")
        with open_regular(path) as file:
            data = file.read()
    version = _version(data)
    if version > VERSION:
        raise StoreError(f"{root} has format version {version}, newer than {VERSION}: update albu-diffusemix")
    unknown = [feature for feature in _needs(data) if feature not in FEATURES]
    if unknown:
        raise StoreError(f"{root} needs {', '.join(unknown)}, which this version cannot read: update albu-diffusemix")
    try:
        fields = load_checked(data, str(path))
    except StoreError as error:
        raise StoreError(f"{error}; {restore_advice(root)}") from error
    if fields.get("format") != FORMAT:
        raise StoreError(f"{path} is not that of a store: check the path")
    check_fields(fields, str(path))
    return fields


def restore_advice(root: Path) -> str:
    """Say how store.json comes back."""
    return f"`albu-diffusemix repair {root}` restores it from what its parts say"


def _without_json(root: Path) -> str:
    if not any(root.iterdir()):
        return "is an empty folder: it is not a store; check the path"
    if any((root / "parts").glob("*")):
        return f"has no store.json: {restore_advice(root)}"
    return "has no store.json: it is not a store; check the path"


def check_fields(fields: dict[str, Any], where: str) -> None:
    """Check that there are the fields of a store.json.

    Raises:
        StoreError: One is missing, or is of another form; the message starts with `where`.

    """
    try:
        for recipe in [fields["recipe"], *fields["mixed"]]:
            Recipe.from_json(recipe)
        fields["provenance"] = dict(fields["provenance"])
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{where} is not one of format version {VERSION}: {error}") from error


def admit(root: Path, recipe: Recipe, *, allow_mixed: bool) -> dict[str, Any]:
    """Compare the recipe with the store's, record it there if it differs and that is allowed, and return store.json.

    Raises:
        StoreError: It differs; the message lists the differences.

    """
    with locked(root):
        return _admit(root, load(root), recipe.to_json(), allow_mixed=allow_mixed)


def require(root: Path, feature: str) -> None:
    """Say in store.json that readers need to know a feature; those that do not know it refuse the store from then on.

    Raises:
        StoreError: There is no store, or store.json cannot be written.

    """
    if feature in load(root).get("needs", []):
        return
    with locked(root):
        fields = load(root)
        _write(root, {**fields, "version": VERSION, "needs": [*fields.get("needs", []), feature]})


def _admit(root: Path, fields: dict[str, Any], wanted: dict[str, Any], *, allow_mixed: bool) -> dict[str, Any]:
    current = {**fields, "version": VERSION, "needs": _all_needs(root, fields)}
    if wanted == fields["recipe"] or wanted in fields["mixed"]:
        if current != fields:
            _write(root, current)
        return current
    if not allow_mixed:
        differences = describe_differences(fields["recipe"], wanted)
        raise StoreError(
            f"{root} was made with other parameters ({differences}): "
            "use those, choose another folder, or allow mixed ones (--allow-mixed)",
        )
    current["mixed"] = [*fields["mixed"], wanted]
    _write(root, current)
    return current


def _write(root: Path, fields: Mapping[str, Any], *, keep: bool = False) -> None:
    data = dump_checked({**fields, "needs": _all_needs(root, fields)}, indent=2)
    with explained("write", root / STORE_JSON):
        write_atomically(root / STORE_JSON, lambda file: file.write(data), keep=keep)


def _all_needs(root: Path, fields: Mapping[str, Any]) -> list[str]:
    """Return what readers must know: what the store says already, and what its recipes make and its folder holds."""
    formats = {recipe.get("encoding", {}).get("format") for recipe in (fields["recipe"], *fields["mixed"])}
    found = [*(["raw"] if RAW in formats else []), *([CHOICES] if choices_files(root) else [])]
    return sorted({*fields.get("needs", []), *found})


def _version(data: bytes) -> int:
    """Return the format version of any store.json, also one with a newer way of checking; 0 where it is missing."""
    version = _said(data, "version")
    return version if isinstance(version, int) else 0


def _needs(data: bytes) -> list[str]:
    """Return the features that readers of any store.json must know, as `_version` does."""
    needs = _said(data, "needs")
    return [printable(feature) for feature in needs] if isinstance(needs, list) else []


def _said(data: bytes, name: str) -> object:
    try:
        return parse_json(data)[name]
    except (ValueError, TypeError, KeyError):
        return None

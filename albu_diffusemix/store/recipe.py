"""How the counterparts of a store were made: store.json for programs, README.md for people."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from albu_diffusemix.regular_files import open_regular
from albu_diffusemix.store.files import StoreError, dump_checked, explained, load_checked, write_beside
from albu_diffusemix.store.locks import locked
from albu_diffusemix.text import parse_json, printable

FORMAT = "albu-diffusemix store"
VERSION = 2
FEATURES: tuple[str, ...] = ()
"""What a store may say that its readers need to know, and this version does know."""
STORE_JSON = "store.json"

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_ABSENT = "nothing"
_WHERE_ABSENT = {"draw": "with_replacement"}  # what made the bytes before a recipe could say so
_README = """\
---
configs:
- config_name: default
  data_files: parts/*.tar
---

# Counterparts for DiffuseMix

Images made once by `albu-diffusemix generate`, to be mixed into training images by
[albu-diffusemix](https://pypi.org/project/albu-diffusemix/):

```python
DiffuseMix(backend={{"name": "precomputed", "store": "{name}"}}, p=0.5)
```

The parts are plain WebDataset tars: `<source>/<variant>.jpg` with a `.json` beside it that names the source, the prompt
and the seed. Any archiver, `webdataset` and `datasets.load_dataset("webdataset", data_files="parts/*.tar")` open them.
{picture}
## How it was made

{recipes}
{text}"""


@dataclass(frozen=True)
class Recipe:
    """What all counterparts of a store have in common. A store is not continued with another recipe.

    Attributes:
        backend: The backend's spec, a name or a dict.
        fingerprint: The backend's digest of everything that changes pixels.
        prompts: The effects to choose from.
        size: Side of the counterparts in pixels; None keeps each source's own.
        encoding: Format and its options.
        base_seed: What all seeds are derived from.
        similarity: Options of the filter by likeness to the source; None where there was none.
        draw: How each source's prompts are drawn: "with_replacement", as in Algorithm 1 of the paper, or
            "without_replacement", so that none comes twice before all were used.

    """

    backend: str | Mapping[str, Any]
    fingerprint: str
    prompts: tuple[str, ...]
    size: int | None = None
    encoding: Mapping[str, Any] = field(default_factory=lambda: {"format": "jpg", "quality": 90})
    base_seed: int = 0
    similarity: Mapping[str, Any] | None = None
    draw: str = "with_replacement"

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as plain JSON values; fields that later versions added are left out at their defaults.

        Raises:
            StoreError: It has something that JSON has not.

        """
        fields = asdict(self)
        for name, meant in _WHERE_ABSENT.items():
            if fields[name] == meant:
                del fields[name]
        return _plain(fields)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Recipe":
        """Return the recipe that `to_json` gave."""
        return cls(**{**fields, "prompts": tuple(fields["prompts"])})


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
        "provenance": _plain(provenance),
    }
    _write(root, fields, keep=True)


def restore(root: Path, fields: Mapping[str, Any]) -> None:
    """Write store.json as `load` returned it once, or with what a part says of how it was made.

    Raises:
        StoreError: It cannot be written.

    """
    usual = {"format": FORMAT, "version": VERSION, "needs": [], "recipe": {}, "mixed": [], "provenance": {}}
    _write(root, {**usual, **fields})


def made_with(fields: Mapping[str, Any], recipe: Recipe) -> dict[str, Any]:
    """Return what a part says of how it was made: store.json with its own recipe, and without those of others."""
    return {**{name: value for name, value in fields.items() if name != "mixed"}, "recipe": recipe.to_json()}


def is_known(fields: Mapping[str, Any], recipe: object) -> bool:
    """Tell whether a part belongs to a store: its recipe is one of the store's, or it does not say which it has."""
    if not isinstance(recipe, Mapping):
        return True
    return _pixels_of(recipe) in [_pixels_of(known) for known in (fields["recipe"], *fields["mixed"])]


def _pixels_of(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the backend's spec, which may say more than changes pixels; the fingerprint tells all that does."""
    return {name: value for name, value in recipe.items() if name != "backend"}


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


def _admit(root: Path, fields: dict[str, Any], wanted: dict[str, Any], *, allow_mixed: bool) -> dict[str, Any]:
    current = {**fields, "version": VERSION, "needs": fields.get("needs", [])}
    if wanted == fields["recipe"] or wanted in fields["mixed"]:
        if current != fields:
            _write(root, current)
        return current
    if not allow_mixed:
        differences = "; ".join(_differences({**_WHERE_ABSENT, **fields["recipe"]}, {**_WHERE_ABSENT, **wanted}))
        raise StoreError(
            f"{root} was made with other parameters ({differences}): "
            "use those, choose another folder, or allow mixed ones (--allow-mixed)",
        )
    current["mixed"] = [*fields["mixed"], wanted]
    _write(root, current)
    return current


def write_readme(root: Path, made: Sequence[Recipe], text: str, picture: bytes) -> None:
    """Write README.md, and the picture in it beside.

    Raises:
        StoreError: The picture is neither JPEG nor PNG, or a file cannot be written.

    """
    link = ""
    if picture:
        ending = {_JPEG: "jpg", _PNG[:3]: "png"}.get(picture[:3])
        if ending is None:
            raise StoreError(
                f"the picture for {root} starts with {picture[:8]!r}: give the bytes of a JPEG or PNG file"
            )
        link = f"\n![Sources and their counterparts](contact-sheet.{ending})\n"
        with explained("write", root / f"contact-sheet.{ending}"):
            write_beside(root / f"contact-sheet.{ending}", lambda file: file.write(picture))
    blocks = [f"```json\n{json.dumps(recipe.to_json(), indent=2, ensure_ascii=False)}\n```" for recipe in made]
    listed = "\n\nand, later, some of them:\n\n".join(blocks)
    page = _README.format(
        name=printable(root.name), picture=link, recipes=listed, text=f"\n{text.strip()}\n" if text else ""
    )
    with explained("write", root / "README.md"):
        write_beside(root / "README.md", lambda file: file.write(page.encode()))


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return dict(json.loads(json.dumps(fields, allow_nan=False, ensure_ascii=False).encode()))
    except (TypeError, ValueError) as error:
        raise StoreError(f"{fields!r} cannot be written as JSON: {error}") from error


def _write(root: Path, fields: Mapping[str, Any], *, keep: bool = False) -> None:
    data = dump_checked(fields, indent=2)
    with explained("write", root / STORE_JSON):
        write_beside(root / STORE_JSON, lambda file: file.write(data), keep=keep)


def _version(data: bytes) -> int:
    """Return the format version of any store.json, also one whose check is made in a newer way; 0 if it says none."""
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


def _differences(old: object, new: object, name: str = "") -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            inner = f"{name}.{key}" if name else str(key)
            yield from _differences(old.get(key, _ABSENT), new.get(key, _ABSENT), inner)
    elif old != new:
        yield f"{name}: the store has {old!r}, you ask for {new!r}"

"""A recipe: what all counterparts of a store have in common."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from albu_diffusemix.store.files import StoreError

__all__ = ["Recipe", "describe_differences", "is_known", "made_with", "plain"]

_ABSENT = "nothing"
_WHERE_ABSENT = {"draw": "with_replacement", "background": None}  # what made the bytes before a recipe could say so


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
        similarity: Options of the filter by likeness to the source; None for no such filter.
        draw: How each source's prompts are drawn: "with_replacement", as in Algorithm 1 of the paper, or
            "without_replacement", so that no prompt comes twice before all were used.
        background: Color such as "#ffffff" that transparent parts of the sources were composed over; None where their
            alpha was dropped.

    """

    backend: str | Mapping[str, Any]
    fingerprint: str
    prompts: tuple[str, ...]
    size: int | None = None
    encoding: Mapping[str, Any] = field(default_factory=lambda: {"format": "jpg", "quality": 90})
    base_seed: int = 0
    similarity: Mapping[str, Any] | None = None
    draw: str = "with_replacement"
    background: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as plain JSON values; fields that later versions added are left out at their defaults.

        Raises:
            StoreError: It has something that JSON has not.

        """
        fields = asdict(self)
        for name, meant in _WHERE_ABSENT.items():
            if fields[name] == meant:
                del fields[name]
        return plain(fields)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Recipe":
        """Return the recipe that `to_json` gave."""
        return cls(**{**fields, "prompts": tuple(fields["prompts"])})


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


def describe_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Say in one line what differs between two recipes, each as `Recipe.to_json` returned it."""
    return "; ".join(_differences({**_WHERE_ABSENT, **old}, {**_WHERE_ABSENT, **new}))


def plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields as they are after JSON: tuples are lists, keys are strings.

    Raises:
        StoreError: There is something that JSON does not have.

    """
    try:
        return dict(json.loads(json.dumps(fields, allow_nan=False, ensure_ascii=False).encode()))
    except (TypeError, ValueError) as error:
        raise StoreError(f"{fields!r} cannot be written as JSON: {error}") from error


def _differences(old: object, new: object, name: str = "") -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            inner = f"{name}.{key}" if name else str(key)
            yield from _differences(old.get(key, _ABSENT), new.get(key, _ABSENT), inner)
    elif old != new:
        yield f"{name}: the store has {old!r}, you ask for {new!r}"

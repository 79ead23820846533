"""A recipe: what all counterparts of a store have in common."""

import json
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from albu_diffusemix.store.files import StoreError

__all__ = ["Recipe", "describe_differences", "is_known", "made_with", "plain"]

_ABSENT = "nothing"
_MOST_DIFFERENCES = 10
_WHERE_ABSENT = {
    "draw": "with_replacement",
    "prompts_by_class": None,
    "class_names": None,
    "background": None,
    "prompts_by_source": False,
}
"""What made the bytes before a recipe could say so."""


@dataclass(frozen=True)
class Recipe:
    """What all counterparts of a store have in common. A store is not continued with another recipe.

    Attributes:
        backend: The backend's spec, a name or a dict.
        fingerprint: The backend's digest of everything that changes pixels.
        prompts: The effects to choose from.
        prompts_by_class: For some labels, the effects to choose from instead; None for no such labels.
        class_names: What `{label}` in a prompt is replaced by, for labels that are not simply written with spaces for
            underscores; None where `{label}` stays as it is.
        size: Side of the counterparts in pixels; None keeps each source's own.
        encoding: Format and its options.
        base_seed: What all seeds are derived from.
        similarity: Options of the filter by likeness to the source; None for no such filter.
        draw: How each source's prompts are drawn: "with_replacement", as in Algorithm 1 of the paper, or
            "without_replacement", so that no prompt comes twice before all were used.
        background: Color such as "#ffffff" that transparent parts of the sources were composed over; None where their
            alpha was dropped.
        prompts_by_source: Whether sources that the data set gives prompts of their own have these instead.

    """

    backend: str | Mapping[str, Any]
    fingerprint: str
    prompts: tuple[str, ...]
    size: int | None = None
    encoding: Mapping[str, Any] = field(default_factory=lambda: {"format": "jpg", "quality": 90})
    base_seed: int = 0
    similarity: Mapping[str, Any] | None = None
    draw: str = "with_replacement"
    prompts_by_class: Mapping[str, tuple[str, ...]] | None = None
    class_names: Mapping[str, str] | None = None
    background: str | None = None
    prompts_by_source: bool = False

    @property
    def every_prompt(self) -> tuple[str, ...]:
        """All effects, those of all classes too, each once."""
        of_classes = (self.prompts_by_class or {}).values()
        return tuple(dict.fromkeys(prompt for chosen in (self.prompts, *of_classes) for prompt in chosen))

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
        lists = {"prompts": tuple(fields["prompts"])}
        by_class = fields.get("prompts_by_class")
        if by_class is None:
            return cls(**{**fields, **lists})
        tuples = {label: tuple(prompts) for label, prompts in by_class.items()}
        return cls(**{**fields, **lists, "prompts_by_class": tuples})


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
    found = list(_differences({**_WHERE_ABSENT, **old}, {**_WHERE_ABSENT, **new}))
    left = len(found) - _MOST_DIFFERENCES
    return "; ".join([*found[:_MOST_DIFFERENCES], *([f"and {left:,} more"] if left > 0 else [])])


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
        yield f"{name}: the store has {_shown(old)}, you ask for {_shown(new)}"


def _shown(value: object) -> str:
    """A mapping may have an entry for each of a thousand classes."""
    return reprlib.repr(value) if isinstance(value, dict) else repr(value)

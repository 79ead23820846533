"""What options that were not given are: those of the store that is gone on with, else those of a new one."""

from typing import Any

from albu_diffusemix.backends import shared_backend
from albu_diffusemix.generate.encoding import ENCODINGS
from albu_diffusemix.generate.options import GenerateOptions, ResolvedOptions
from albu_diffusemix.store import Recipe, Store

__all__ = ["fill_in"]

_ENCODING_OF = {options["format"]: name for name, options in ENCODINGS.items()}


def fill_in(options: GenerateOptions, store: Store | None) -> ResolvedOptions:
    """Take what was not given from the store: from the first of its recipes that agrees with what was given.

    Where none agrees the first one serves, and the comparison of recipes says later what differs.

    Args:
        options: As the user gave them.
        store: The one that is gone on with; None for a new one.

    Raises:
        ValueError: The backend cannot be had, be it the given one or the store's.

    """
    given = {name: value for name, value in vars(options).items() if value is not None and value != ()}
    if store is None:
        return ResolvedOptions(**given)
    recipes = (store.recipe, *store.mixed)
    recipe = next((recipe for recipe in recipes if _agrees(given, recipe)), store.recipe)
    resolved = ResolvedOptions(**{**_said_by(recipe), **given})
    if "backend" not in given:
        _try_backend(store, recipe)
    return resolved


def _agrees(given: dict[str, Any], recipe: Recipe) -> bool:
    """A backend agrees by its fingerprint: options such as a batch size change no pixel."""
    if "backend" in given and shared_backend(given["backend"]).fingerprint != recipe.fingerprint:
        return False
    said = {"size": recipe.size, "similarity": recipe.similarity, **_said_by(recipe)}
    return all(given[name] == value for name, value in said.items() if name in given and name != "backend")


def _said_by(recipe: Recipe) -> dict[str, Any]:
    said = {
        "backend": recipe.backend,
        "prompts": recipe.prompts,
        "size": recipe.size,
        "encoding": _ENCODING_OF.get(recipe.encoding.get("format")),
        "similarity": recipe.similarity,
        "base_seed": recipe.base_seed,
        "draw": recipe.draw,
    }
    return {name: value for name, value in said.items() if value is not None}


def _try_backend(store: Store, recipe: Recipe) -> None:
    try:
        shared_backend(recipe.backend)
    except ValueError as error:
        raise ValueError(
            f"{store.path} was made by the backend {recipe.backend!r}, which cannot be had here: {error}; "
            "--import the module that registers it, or choose another with --backend and --allow-mixed"
        ) from error

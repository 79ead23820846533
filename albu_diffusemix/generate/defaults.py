"""What options that were not given are: those of the store that is continued, else those of a new one."""

from dataclasses import replace
from typing import Any

from albu_diffusemix.backends import Backend, shared_backend
from albu_diffusemix.generate.encoding import continued, encoding_of
from albu_diffusemix.generate.options import GenerateOptions, ResolvedOptions
from albu_diffusemix.store import Recipe, Store

__all__ = ["resolve_options"]


def resolve_options(options: GenerateOptions, store: Store | None) -> tuple[ResolvedOptions, Backend]:
    """Take what was not given from the store: from the first of its recipes that agrees with what was given.

    If no recipe agrees, the first one is used, and the comparison of recipes says later what differs.

    Args:
        options: As the user gave them, or resolved already.
        store: The one that is continued; None for a new one.

    Returns:
        All options, and this process's backend, which the recipes are compared with.

    Raises:
        ValueError: The backend cannot be built, be it the given one or the store's.

    """
    if isinstance(options, ResolvedOptions):
        return options, shared_backend(options.backend)
    given = _given(options)
    if store is None:
        resolved = ResolvedOptions(**given)
        return resolved, shared_backend(resolved.backend)
    backend = shared_backend(given["backend"]) if "backend" in given else None
    recipes = (store.recipe, *store.mixed)
    if "encoding" in given:
        given["encoding"] = continued(given["encoding"], recipes)
    recipe = next((recipe for recipe in recipes if _agrees(given, backend, recipe)), store.recipe)
    resolved = ResolvedOptions(**{**_said_by(recipe), **given})
    if "class_names" not in given and _prompts_of(resolved) == _prompts_of(recipe):
        resolved = replace(resolved, class_names=recipe.class_names)  # None: it was made when nothing replaced {label}
    return resolved, _backend_of(store, recipe) if backend is None else backend


def _given(options: GenerateOptions) -> dict[str, Any]:
    """Leave out what was not given; prompts and prompts by class are one thing, of which one part says the other."""
    given = {name: value for name, value in vars(options).items() if value is not None and value != ()}
    by_class = {label: tuple(prompts) for label, prompts in (given.pop("prompts_by_class", None) or {}).items()}
    if options.prompts or by_class:
        given |= {"prompts": tuple(options.prompts or ()), "prompts_by_class": by_class or None}
    return given


def _prompts_of(made: ResolvedOptions | Recipe) -> tuple[object, object]:
    return made.prompts, made.prompts_by_class


def _agrees(given: dict[str, Any], backend: Backend | None, recipe: Recipe) -> bool:
    """A backend agrees by its fingerprint: options such as a batch size change no pixel."""
    if backend is not None and backend.fingerprint != recipe.fingerprint:
        return False
    said = {name: getattr(recipe, name) for name in ("size", "similarity", "prompts_by_class", "class_names")}
    said |= _said_by(recipe)
    return all(given[name] == value for name, value in said.items() if name in given and name != "backend")


def _said_by(recipe: Recipe) -> dict[str, Any]:
    said = {
        "backend": recipe.backend,
        "prompts": recipe.prompts,
        "prompts_by_class": recipe.prompts_by_class,
        "class_names": recipe.class_names,
        "size": recipe.size,
        "encoding": encoding_of(recipe),
        "similarity": recipe.similarity,
        "base_seed": recipe.base_seed,
        "draw": recipe.draw,
        "background": recipe.background,
        "prompts_by_source": recipe.prompts_by_source,
    }
    return {name: value for name, value in said.items() if value is not None}


def _backend_of(store: Store, recipe: Recipe) -> Backend:
    try:
        return shared_backend(recipe.backend)
    except ValueError as error:
        raise ValueError(
            f"{store.path} was made by the backend {recipe.backend!r}, which does not work here: {error}; "
            "--import the module that registers it, or choose another with --backend and --allow-mixed"
        ) from error

"""What a run is going to do: its sources, compared with what the store has."""

import importlib
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

import cv2

from albu_diffusemix.backends import Backend, shared_backend
from albu_diffusemix.generate.encoding import ENCODINGS
from albu_diffusemix.generate.options import GenerateOptions
from albu_diffusemix.generate.scan import SourceFile, find_sources
from albu_diffusemix.generate.sheet import SHOWN, spread
from albu_diffusemix.generate.variants import choose_prompts, find_missing, variants_of
from albu_diffusemix.import_paths import append_working_directory
from albu_diffusemix.store import Recipe, Store
from albu_diffusemix.store.keys import hash_key
from albu_diffusemix.store.recipe import STORE_JSON

__all__ = ["Plan", "import_modules", "make_plan", "open_backend", "open_store", "recover", "refuse_other_writers"]

_GRACE = 2.0  # seconds for the workers of a run that was killed to let go of their parts
_PAUSE = 0.05


class Plan(NamedTuple):
    """What a run is going to do.

    Attributes:
        options: The job.
        prompts: The effects to choose from.
        sources: The sources for which something is to be made.
        found: Sources in the data set.
        in_shard: Those of this shard.
        wanted: Counterparts that these are to have.
        present: Those of them that the store has.
        failed: Those that failed before and are left alone.
        pending: Those that are to be made.
        shown: Some sources of the shard, spread over it, for the README.

    """

    options: GenerateOptions
    prompts: tuple[str, ...]
    sources: list[SourceFile]
    found: int
    in_shard: int
    wanted: int
    present: int
    failed: int
    pending: int
    shown: list[SourceFile]


def make_plan(options: GenerateOptions) -> Plan:
    """Find the sources and compare them with the store; nothing is written.

    Raises:
        OSError: The data cannot be read.
        ValueError: Data, options or store are wrong, among others because the store was made with other parameters.

    """
    _check(options)
    backend = open_backend(options)
    prompts = choose_prompts(options, backend)
    everything = find_sources(options.data, options.store)
    in_shard = [source for source in everything if _belongs(source.key, options.shard)]
    store = _existing(options)
    if store:
        _check_recipe(store, options, backend, prompts)
    left: list[SourceFile] = []
    wanted = present = failed = pending = 0
    for source in in_shard:
        variants = variants_of(source.key, prompts, options)
        missing = find_missing(store, source.key, variants, retry_failed=options.retry_failed)
        wanted += len(variants)
        present += missing.present
        failed += missing.failed
        if missing.variants and len(left) < (options.limit or sys.maxsize):
            left.append(source)
            pending += len(missing.variants)
    found, shown = len(everything), spread(in_shard, SHOWN)
    return Plan(options, prompts, left, found, len(in_shard), wanted, present, failed, pending, shown)


def recover(options: GenerateOptions) -> None:
    """Seal what a killed run left in the store, so that a plan counts it as present.

    Raises:
        ValueError: As `make_plan`.

    """
    _check(options)
    backend = open_backend(options)
    if _existing(options) is not None:
        open_store(options, backend, choose_prompts(options, backend))


def open_backend(options: GenerateOptions) -> Backend:
    """Give this process's backend, after the modules that may register it.

    Raises:
        ValueError: A module cannot be imported, or the backend's spec is wrong.

    """
    import_modules(options.modules)
    return shared_backend(options.backend)


def import_modules(modules: Iterable[str]) -> None:
    """Import the user's modules, also from the working directory: that is looked into last.

    Raises:
        ValueError: One cannot be imported.

    """
    for module in modules:
        append_working_directory()
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise ValueError(f"module {module!r} cannot be imported: {error}; check the name and PYTHONPATH") from error


def open_store(options: GenerateOptions, backend: Backend, prompts: tuple[str, ...]) -> Store:
    """Open the store for writing; makes it where it is new, and salvages what dead writers left.

    Raises:
        ValueError: As `Store.create`, in particular where it was made with other parameters.

    """
    existing = _existing(options)
    recipe = _recipe(options, backend, prompts, existing)
    provenance = {"package": "albu-diffusemix", "data": options.data.name, "opencv": cv2.__version__}
    if existing is None and hasattr(backend, "provenance"):
        provenance |= backend.provenance()
    return Store.create(options.store, recipe, provenance=provenance, allow_mixed=options.allow_mixed)


def refuse_other_writers(store: Store, doing: str) -> None:
    """Raise ValueError if a live process writes to the store; one that was just killed has two seconds to be gone."""
    end = time.monotonic() + _GRACE
    while True:
        alive = [part.part for part in store.status().writing if part.writer == "alive"]
        if not alive:
            return
        if time.monotonic() > end:
            raise ValueError(f"{store.path} is being written by a live process (part {alive[0]}): {doing}")
        time.sleep(_PAUSE)


def _check(options: GenerateOptions) -> None:
    index, count = options.shard
    if not 0 <= index < count:
        raise ValueError(f"shard {index}/{count}: give i/n with i from 0 to n - 1")
    for name in ("per_image", "size", "workers"):
        if getattr(options, name) < 1:
            raise ValueError(f"{name} is {getattr(options, name)}: give a whole number of at least 1")
    if options.encoding not in ENCODINGS:
        raise ValueError(f"encoding {options.encoding!r}: give one of {', '.join(ENCODINGS)}")


def _belongs(key: str, shard: tuple[int, int]) -> bool:
    index, count = shard
    return count == 1 or int.from_bytes(hash_key(key), "big") % count == index


def _existing(options: GenerateOptions) -> Store | None:
    return Store.open(options.store) if (options.store / STORE_JSON).exists() else None


def _check_recipe(store: Store, options: GenerateOptions, backend: Backend, prompts: tuple[str, ...]) -> None:
    known = [recipe.to_json() for recipe in (store.recipe, *store.mixed)]
    if not options.allow_mixed and _recipe(options, backend, prompts, store).to_json() not in known:
        open_store(options, backend, prompts)  # raises, and says what differs


def _recipe(options: GenerateOptions, backend: Backend, prompts: tuple[str, ...], store: Store | None) -> Recipe:
    """Options of a backend that its fingerprint does not know, such as a batch size, may differ: no pixel changes."""
    recipe = Recipe(
        options.backend,
        backend.fingerprint,
        prompts,
        options.size,
        ENCODINGS[options.encoding],
        options.base_seed,
        options.similarity,
    )
    for stored in (store.recipe, *store.mixed) if store else ():
        if stored.fingerprint == recipe.fingerprint:
            return replace(recipe, backend=stored.backend)
    return recipe

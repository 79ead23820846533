"""What a run is going to do: its sources, compared with what the store has."""

import contextlib
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2

from albu_diffusemix.backends import Backend, shared_backend
from albu_diffusemix.datasets import SourceFile, find_sources, spread
from albu_diffusemix.generate.defaults import fill_in
from albu_diffusemix.generate.encoding import ENCODINGS
from albu_diffusemix.generate.options import DRAWS, GenerateOptions, ResolvedOptions
from albu_diffusemix.generate.sheet import SHOWN
from albu_diffusemix.generate.variants import choose_prompts, find_missing, variants_of
from albu_diffusemix.import_paths import import_asked_for
from albu_diffusemix.keys import hash_key
from albu_diffusemix.store import Recipe, Store, refuse_other_files
from albu_diffusemix.store.run_lock import hold_run
from albu_diffusemix.store.store_json import STORE_JSON
from albu_diffusemix.text import printable

__all__ = [
    "Plan",
    "alone",
    "existing_store",
    "import_modules",
    "make_plan",
    "open_backend",
    "open_store",
    "recover",
    "refuse_other_writers",
    "resolve",
]

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
        keys: Those of the sources whose counterparts the store is to have when the run has ended, made or failed.

    """

    options: ResolvedOptions
    prompts: tuple[str, ...]
    sources: list[SourceFile]
    found: int
    in_shard: int
    wanted: int
    present: int
    failed: int
    pending: int
    shown: list[SourceFile]
    keys: list[str]


def make_plan(options: GenerateOptions) -> Plan:
    """Find the sources and compare them with the store; nothing is written.

    Raises:
        OSError: The data cannot be read.
        ValueError: Data, options or store are wrong, among others because the store was made with other parameters.

    """
    job = resolve(options)
    backend = open_backend(job)
    prompts = choose_prompts(job, backend)
    everything = find_sources(job.data, job.store)
    in_shard = [source for source in everything if _belongs(source.key, job.shard)]
    store = existing_store(job)
    if store:
        _check_recipe(store, job, backend, prompts)
    left: list[SourceFile] = []
    keys: list[str] = []
    wanted = present = failed = pending = 0
    for source in in_shard:
        variants = variants_of(source.key, prompts, job)
        missing = find_missing(store, source.key, variants, retry_failed=job.retry_failed)
        wanted += len(variants)
        present += missing.present
        failed += missing.failed
        if missing.variants and len(left) >= (job.limit or sys.maxsize):
            continue
        keys.append(source.key)
        if missing.variants:
            left.append(source)
            pending += len(missing.variants)
    found, shown = len(everything), spread(in_shard, SHOWN)
    return Plan(job, prompts, left, found, len(in_shard), wanted, present, failed, pending, shown, keys)


def resolve(options: GenerateOptions) -> ResolvedOptions:
    """Find out what was not given: from the store where there is one, else it is the default.

    Raises:
        ValueError: An option is wrong, a module cannot be imported, the backend or the store cannot be had, or the
            folder of a new store holds something else.

    """
    if isinstance(options, ResolvedOptions):
        return options
    _check(options)
    import_modules(options.modules)
    store = existing_store(options)
    if store is None:
        refuse_other_files(options.store)
    return fill_in(options, store)


def recover(options: GenerateOptions) -> Store | None:
    """Seal what a killed run left in the store, so that a plan counts it as present; None where there is no store.

    Raises:
        ValueError: The store is damaged, or cannot be written.

    """
    store = existing_store(options)
    return None if store is None else Store.create(options.store, store.recipe)


def existing_store(options: GenerateOptions) -> Store | None:
    """Open the store for reading; None where it is new.

    Raises:
        ValueError: It is damaged, or of a newer format.

    """
    return Store.open(options.store) if (options.store / STORE_JSON).exists() else None


def open_backend(options: ResolvedOptions) -> Backend:
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
        import_asked_for(module)


def open_store(options: ResolvedOptions, backend: Backend, prompts: tuple[str, ...]) -> Store:
    """Open the store for writing; makes it where it is new, and salvages what dead writers left.

    Raises:
        ValueError: As `Store.create`, in particular where it was made with other parameters.

    """
    existing = existing_store(options)
    recipe = _recipe(options, backend, prompts, existing)
    provenance = {"package": "albu-diffusemix", "data": printable(options.data.name), "opencv": cv2.__version__}
    if existing is None and hasattr(backend, "provenance"):
        provenance |= backend.provenance()
    return Store.create(options.store, recipe, provenance=provenance, allow_mixed=options.allow_mixed)


@contextlib.contextmanager
def alone(store: Path, shard: tuple[int, int], doing: str) -> Iterator[None]:
    """Keep other runs out of a shard of the store, or out of all of it, within the block.

    Args:
        store: Folder of the store, which need not be there yet.
        shard: `(i, n)`; (0, 1) is the whole store.
        doing: What to do where another process works there.

    Raises:
        ValueError: Another process works there; one that was just killed has two seconds to be gone.

    """
    with hold_run(store, shard, doing, _GRACE):
        if shard[1] == 1 and (store / STORE_JSON).exists():
            refuse_other_writers(Store.open(store), doing)
        yield


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
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ValueError(f"{name} is {value}: give a whole number of at least 1")
    for name, allowed in (("encoding", tuple(ENCODINGS)), ("draw", DRAWS)):
        if getattr(options, name) not in (None, *allowed):
            raise ValueError(f"{name} {getattr(options, name)!r}: give one of {', '.join(allowed)}")


def _belongs(key: str, shard: tuple[int, int]) -> bool:
    index, count = shard
    return count == 1 or int.from_bytes(hash_key(key), "big") % count == index


def _check_recipe(store: Store, options: ResolvedOptions, backend: Backend, prompts: tuple[str, ...]) -> None:
    known = [recipe.to_json() for recipe in (store.recipe, *store.mixed)]
    if not options.allow_mixed and _recipe(options, backend, prompts, store).to_json() not in known:
        open_store(options, backend, prompts)  # raises, and says what differs


def _recipe(options: ResolvedOptions, backend: Backend, prompts: tuple[str, ...], store: Store | None) -> Recipe:
    """Options of a backend that its fingerprint does not know, such as a batch size, may differ: no pixel changes."""
    recipe = Recipe(
        options.backend,
        backend.fingerprint,
        prompts,
        options.size,
        ENCODINGS[options.encoding],
        options.base_seed,
        options.similarity,
        options.draw,
    )
    for stored in (store.recipe, *store.mixed) if store else ():
        if stored.fingerprint == recipe.fingerprint:
            return replace(recipe, backend=stored.backend)
    return recipe

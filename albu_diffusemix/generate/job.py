"""A job, opened: its options resolved, its backend built and its store looked at, once in each process.

An `OpenJob` is made at the top of a process and handed down; nothing else in the job opens a backend or a store. Where
the store is opened again, the method that does it says why.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2

from albu_diffusemix.backends import Backend
from albu_diffusemix.datasets import SourceFile
from albu_diffusemix.generate.balance import raise_small_classes
from albu_diffusemix.generate.class_prompts import choose_prompts, look_at_prompts
from albu_diffusemix.generate.defaults import resolve_options
from albu_diffusemix.generate.encoding import ENCODINGS
from albu_diffusemix.generate.options import DRAWS, GenerateOptions, ResolvedOptions
from albu_diffusemix.generate.variants import Missing, Variant, find_missing, variants_of
from albu_diffusemix.image_decoding import check_color
from albu_diffusemix.import_paths import import_asked_for
from albu_diffusemix.store import Recipe, Source, Store, Writer, refuse_other_files
from albu_diffusemix.store.part_files import PARTS, sealed_file
from albu_diffusemix.store.store_json import STORE_JSON
from albu_diffusemix.text import printable

__all__ = ["OpenJob", "open_job"]

_DEFAULT_BATCH_SIZE = 16


class OpenJob:
    """What a process knows of its job.

    Args:
        options: All of them; the prompts are those that are chosen from.
        backend: This process's one.
        store: As `look_again` keeps it.

    Attributes:
        options: See above.
        backend: See above.
        store: As it was when it was last looked at; None where it is new.
        batch_size: How many requests at once suit the backend.

    """

    def __init__(self, options: ResolvedOptions, backend: Backend, store: Store | None) -> None:
        self.options = options
        self.backend = backend
        self.store = store
        self.batch_size = int(getattr(backend, "batch_size", _DEFAULT_BATCH_SIZE))
        self._writable: Store | None = None

    def look_at_sources(self, sources: Sequence[SourceFile]) -> None:
        """Check the prompts of all sources, and find how many counterparts the small classes are to have.

        Args:
            sources: All of the data set, whatever this run makes of it.

        Raises:
            ValueError: A class has no prompts, a label is missing, the backend cannot do a prompt, or the store was
                made with other parameters.

        """
        self.options = look_at_prompts(sources, self.options, self.backend)
        self.refuse_other_recipe()
        least, usual = self.options.balance, self.options.per_image
        raised = {} if least is None else raise_small_classes(sources, usual, least)
        self.options = replace(self.options, raised=raised)

    def variants_of(self, source: SourceFile) -> list[Variant]:
        """Return the counterparts that a source is to have."""
        return variants_of(source, self.options)

    def find_missing(self, source: SourceFile, image: Source | None = None) -> Missing:
        """Compare what a source is to have with the store.

        Args:
            source: Which one.
            image: What it is now; if the job looks at it again, all that was made from other pixels is missing.

        """
        made_from = image if self.looks_again_at(source) else None
        variants = self.variants_of(source)
        return find_missing(self.store, source.key, variants, self.options, made_from)

    def looks_again_at(self, source: SourceFile) -> bool:
        """Return whether a source may have changed since its counterparts were made, and the job is to find out.

        When failures are tried again, this is asked of the files that are newer than the parts with their counterparts.
        """
        if self.options.changed or not self.options.retry_failed or self.store is None or source.position is not None:
            return self.options.changed
        parts = {record.location.part for record in self.store.variants(source.key)}
        files = [sealed_file(self.store.path / PARTS, part) for part in parts]
        try:
            return bool(files) and Path(source.path).stat().st_mtime_ns > max(file.stat().st_mtime_ns for file in files)
        except OSError:
            return False  # reading it, or the store, will say why

    def look_up(self, source: SourceFile, image: Source | None) -> list[Variant]:
        """Return what a source lacks; before its image was read (None), all that it may lack."""
        unread = image is None and self.looks_again_at(source)
        return self.variants_of(source) if unread else self.find_missing(source, image).variants

    def store_exists(self) -> bool:
        """Return whether there is a store now, without opening it."""
        return (self.options.store_path / STORE_JSON).exists()

    def look_again(self) -> None:
        """Open the store again, to see the parts that other processes have sealed since.

        Raises:
            ValueError: It is damaged, or of a newer format.

        """
        self.store = Store.open(self.options.store_path) if self.store_exists() else None

    def recover(self) -> None:
        """Open the store again and first seal what dead processes left, so that it counts as present.

        Raises:
            ValueError: It is damaged, or cannot be written.

        """
        self.store = Store.recover(self.options.store_path) if self.store_exists() else None
        self._writable = None

    def writer(self) -> Writer:
        """Return a writer of parts. The first one makes the store where it is new, and records a mixed recipe.

        Raises:
            ValueError: As `Store.create`, in particular where the store was made with other parameters.

        """
        if self._writable is None:
            if self.store is None:
                self.look_again()  # another process may have made it since, with another batch size of the same backend
            self._writable = self.store = Store.create(
                self.options.store_path,
                self._recipe(),
                provenance=self._provenance() if self.store is None else {},
                allow_mixed=self.options.allow_mixed,
            )
        index, count = self.options.shard
        return self._writable.writer("part" if count == 1 else f"shard-{index}-of-{count}")

    def refuse_other_recipe(self) -> None:
        """Raise ValueError if the store was made with other parameters, and mixed ones are not allowed."""
        if self.store is None or self.options.allow_mixed:
            return
        recipe = self._recipe()
        if recipe.to_json() not in [known.to_json() for known in (self.store.recipe, *self.store.mixed)]:
            Store.create(self.options.store_path, recipe)  # raises, and says what differs

    def _recipe(self) -> Recipe:
        """Return the job's recipe; options of a backend that change no pixel, such as a batch size, are the store's."""
        recipe = Recipe(
            self.options.backend,
            self.backend.fingerprint,
            self.options.prompts,
            self.options.size,
            ENCODINGS[self.options.encoding],
            self.options.base_seed,
            self.options.similarity,
            self.options.draw,
            self.options.prompts_by_class,
            self.options.class_names,
            self.options.background,
            self.options.prompts_by_source,
        )
        for stored in (self.store.recipe, *self.store.mixed) if self.store else ():
            if stored.fingerprint == recipe.fingerprint:
                return replace(recipe, backend=stored.backend)
        return recipe

    def _provenance(self) -> Mapping[str, Any]:
        own = {"package": "albu-diffusemix", "data": printable(Path(self.options.data).name), "opencv": cv2.__version__}
        return own | self.backend.provenance() if hasattr(self.backend, "provenance") else own


def open_job(options: GenerateOptions, *, recover: bool = False) -> OpenJob:
    """Open a job in this process. Nothing is written but with `recover`.

    Args:
        options: What was not given is taken from the store where there is one, else it is the default.
        recover: First seal what dead processes left in the store, so that it counts as present.

    Raises:
        ValueError: An option is wrong, a module cannot be imported, the backend cannot be built, the store cannot be
            opened or was made with other parameters, or the folder of a new store holds something else.

    """
    _check(options)
    for module in options.modules:
        import_asked_for(module)
    store = _open_store(options, recover=recover)
    resolved, backend = resolve_options(options, store)
    job = OpenJob(choose_prompts(resolved, backend), backend, store)
    job.refuse_other_recipe()
    return job


def _open_store(options: GenerateOptions, *, recover: bool) -> Store | None:
    if not (options.store_path / STORE_JSON).exists():
        refuse_other_files(options.store_path)
        return None
    return Store.recover(options.store_path) if recover else Store.open(options.store_path)


def _check(options: GenerateOptions) -> None:
    index, count = options.shard
    if not 0 <= index < count:
        raise ValueError(f"shard {index}/{count}: give i/n with i from 0 to n - 1")
    for name in ("per_image", "size", "workers", "balance"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ValueError(f"{name} is {value}: give a whole number of at least 1")
    if options.balance is not None and options.all_prompts:
        raise ValueError("balance needs per_image: with all_prompts a source has one counterpart for each prompt")
    if options.background is not None:
        check_color(options.background)
    for name, allowed in (("encoding", tuple(ENCODINGS)), ("draw", DRAWS)):
        if getattr(options, name) not in (None, *allowed):
            raise ValueError(f"{name} {getattr(options, name)!r}: give one of {', '.join(allowed)}")

"""Where counterparts lie on disk: made once, read many times, by any number of processes.

    flowers.dm/
      store.json             how the counterparts were made: what all of them have in common
      README.md              the same for people, with a picture
      parts/<part>.tar       sealed parts: plain WebDataset tars, never changed
      parts/<part>.tar.open  parts in progress, each with one writer
      parts/<part>.idx       indexes of sealed parts
      index/merged.idx       one index of many parts, memory-mapped
      choices/*.jsonl        verdicts on counterparts, which are only ever added
      index/choices.idx      the last verdict on each, memory-mapped

What is promised: `Writer.put` returns when the kernel has the bytes, so a process that is killed loses nothing that was
acknowledged. Sealing (at the end of a `with` block, and whenever a part is full) synchronises with the disk: from then
on a power loss costs nothing either; before, it can cost what was written since the last sealing. Writers never wait
for each other. Readers lock nothing and write nothing. No image is returned whose bytes do not agree with their check.
"""

import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.functional import Box
from albu_diffusemix.keys import Source, check_name, normalise_key
from albu_diffusemix.store import health, store_json
from albu_diffusemix.store.catalog import Catalog, advice
from albu_diffusemix.store.choices import CHOICES, ChoicesFile, Verdict, read_verdicts, settled
from albu_diffusemix.store.choices_index import Choices, compile_choices
from albu_diffusemix.store.files import StoreError
from albu_diffusemix.store.health import OpenStatus, Repair, Status
from albu_diffusemix.store.index import Index
from albu_diffusemix.store.locks import refuse_without_locks
from albu_diffusemix.store.members import Problem
from albu_diffusemix.store.new_stores import lay_out, refuse_other_files
from albu_diffusemix.store.part_files import PARTS
from albu_diffusemix.store.readme import write_readme
from albu_diffusemix.store.recipe import Recipe, made_with
from albu_diffusemix.store.records import Location, Record
from albu_diffusemix.store.recovery import recover, write_merged
from albu_diffusemix.store.remote import find_store
from albu_diffusemix.store.writer import PART_BYTES, Writer

__all__ = [
    "Location",
    "OpenStatus",
    "Problem",
    "Recipe",
    "Record",
    "Repair",
    "Source",
    "Status",
    "Store",
    "StoreError",
    "Verdict",
    "Writer",
    "refuse_other_files",
]


class Store:
    """Counterparts on disk, by key and by pixels.

    A handle is small: it opens what it needs when it is first used in a process, and can be pickled, forked and copied.
    It shows the parts that were sealed when it was first used; open it again to see later ones. Where the system has no
    file locks, as Windows, a store can be read; all that would write raises StoreError.

    Args:
        path: The store's folder. `Store.open` and `Store.create` tell at once what is wrong with it; this, when used.

    Examples:
        >>> import tempfile, numpy as np
        >>> from albu_diffusemix.store import Recipe, Source, Store
        >>> image = np.zeros((2, 2, 3), np.uint8)
        >>> jpeg = bytes.fromhex("ffd8ffd9")
        >>> path = tempfile.mkdtemp() + "/flowers.dm"
        >>> store = Store.create(path, Recipe("procedural", "f00d", ("snowy",)))
        >>> with store.writer() as writer:
        ...     writer.put("class/001.jpg", "0000", jpeg, prompt="snowy", seed=7, source=Source.of(image))
        >>> store = Store.open(path)
        >>> [record.prompt for record in store.variants("class/001.jpg")]
        ['snowy']
        >>> store.get("class/001.jpg", "0000")[0] == jpeg
        True

    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._recipe: Recipe | None = None  # of what is written, if not the store's own
        self._snapshot: _Snapshot | None = None
        self._choices_file = ChoicesFile(self.path)

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        recipe: Recipe,
        *,
        provenance: Mapping[str, Any] | None = None,
        allow_mixed: bool = False,
    ) -> "Store":
        """Open a store for writing: make it, or go on with it.

        What dead writers left behind is salvaged; live ones are not disturbed. Sealed parts that were cut off or
        touched are compared with their checks and written again without what is damaged, with one warning: what was
        lost is missing then. Several processes may do all of this at once.

        Args:
            path: The store's folder, new, empty or a store.
            recipe: What its counterparts have in common.
            provenance: Anything else worth knowing later, such as the command and versions; kept, never compared.
            allow_mixed: Go on with another recipe than the store's. It is recorded in store.json.

        Raises:
            StoreError: The folder holds something else; the store was made with another recipe (the message lists the
                differences), is damaged, of a newer format, or cannot be written; or recipe or provenance have
                something that JSON has not.

        """
        root = Path(path)
        refuse_without_locks(root)
        if not (root / store_json.STORE_JSON).exists():
            lay_out(root, recipe, provenance or {})
        return cls._recovered(root, store_json.admit(root, recipe, allow_mixed=allow_mixed), recipe)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "Store":
        """Open a store for reading. Nothing is written, so a read-only folder will do.

        Warns where an index is damaged; the parts are read in its place then.

        Args:
            path: The store's folder, or `hf://owner/name[@revision]` for one of the Hugging Face Hub.

        Raises:
            StoreError: There is no store, it is damaged, of a newer format, or cannot be read or downloaded.

        """
        store = cls(find_store(path))
        store._snapshot = _Snapshot.of(store.path, store_json.load(store.path))
        return store

    @classmethod
    def recover(cls, path: str | os.PathLike[str]) -> "Store":
        """Open a store once what dead writers left behind is salvaged and damaged parts are repaired, as `create` does.

        Raises:
            StoreError: There is no store, it is damaged, of a newer format, or cannot be read or written.

        """
        return cls._recovered(Path(path), store_json.load(Path(path)))

    @classmethod
    def _recovered(cls, root: Path, fields: dict[str, Any], recipe: Recipe | None = None) -> "Store":
        refuse_without_locks(root)
        repaired = recover(root, fields)
        if repaired:
            warnings.warn(
                f"{root} was damaged in {len(repaired)} place(s), the first: {repaired[0]}. It was repaired; what was "
                "lost is missing now, and can be made again.",
                stacklevel=3,
            )
        store = cls(root)
        store._recipe = recipe
        store._snapshot = _Snapshot.of(root, fields)
        return store

    @classmethod
    def repair(cls, path: str | os.PathLike[str], *, assume_dead: bool = False, recipe: Recipe | None = None) -> Repair:
        """Repair what can be repaired, and say what was wrong and what is left.

        A lost or damaged store.json is restored from what the parts and indexes say, dead writers' parts are sealed,
        damaged parts are written again from their whole samples, indexes are made again. Images that are lost are
        missing afterwards, not wrong. What belongs to another store is named and left as it is.

        Args:
            path: The store's folder.
            assume_dead: Also seal open parts where the file system has no locks to tell whether their writers live.
                Only when nobody writes.
            recipe: How the store was made, where nothing in it remembers that.

        Raises:
            StoreError: Something cannot be repaired, read or written.

        """
        refuse_without_locks(Path(path))
        return health.repair(Path(path), assume_dead=assume_dead, recipe=recipe)

    @property
    def recipe(self) -> Recipe:
        """What the counterparts have in common."""
        return Recipe.from_json(self._now.fields["recipe"])

    @property
    def mixed(self) -> tuple[Recipe, ...]:
        """The other recipes that were allowed in."""
        return tuple(Recipe.from_json(fields) for fields in self._now.fields["mixed"])

    @property
    def provenance(self) -> dict[str, Any]:
        """What `create` was told to keep."""
        return dict(self._now.fields["provenance"])

    def variants(self, key: str) -> list[Record]:
        """Return the counterparts of a source, ordered by variant; empty where there are no counterparts.

        Raises:
            StoreError: The key is not valid (see `albu_diffusemix.keys.normalise_key`), or the parts cannot be
                read.

        """
        return [record for record in self._now.catalog.by_key(normalise_key(key)) if not record.failed]

    def variants_by_pixels(self, pixels: bytes) -> list[Record]:
        """Return the counterparts made from a source with these pixels, ordered by key and variant.

        Args:
            pixels: The hash, as in `Source.of(image).pixels`.

        Raises:
            StoreError: The parts cannot be read.

        """
        return self._now.catalog.by_pixels(pixels)

    def find(self, key: str, variant: str) -> Record | None:
        """Return the record of a counterpart or of a failure, or None where there is neither.

        Raises:
            StoreError: The key is not valid, or the parts cannot be read.

        """
        return next(
            (record for record in self._now.catalog.by_key(normalise_key(key)) if record.variant == variant), None
        )

    def has(self, key: str, variant: str) -> bool:
        """Tell whether there is an image. A failure does not count as one.

        Raises:
            StoreError: The key is not valid, or the parts cannot be read.

        """
        record = self.find(key, variant)
        return record is not None and not record.failed

    def read(self, record: Record) -> bytes:
        """Return the image file of a record.

        Raises:
            StoreError: The record is a failure, or the part is missing, cut off or changed.

        """
        if record.failed:
            raise StoreError(f"{record.key} {record.variant} has no image in {self.path}: {record.reason}")
        return self._now.catalog.read(record)

    def read_box(self, record: Record, choose: Callable[[int, int], Box]) -> NDArray[np.uint8]:
        """Return a box of a raw image, a record's whose encoding is "npy". Little more than the box is read.

        Args:
            record: The image's.
            choose: Returns `(x_min, y_min, x_max, y_max)`, not empty, for the image's height and width.

        Raises:
            StoreError: The part is missing, cut off or changed.

        """
        return self._now.catalog.read_box(record, choose)

    def get(self, key: str, variant: str) -> tuple[bytes, Record]:
        """Return the image file of a counterpart, and its record.

        Raises:
            StoreError: There is no such image, or it is damaged.

        """
        record = self.find(key, variant)
        if record is None:
            raise StoreError(f"{self.path} has no variant {variant!r} of key {key!r}")
        return self.read(record), record

    def records(self) -> Iterator[Record]:
        """Yield all counterparts in the order of their bytes on disk, for an export."""
        return (record for record in self._now.catalog.records() if not record.failed)

    def kept_records(self) -> Iterator[Record]:
        """Yield the counterparts that are not rejected, in the order of their bytes on disk."""
        return (record for record in self.records() if not self.is_rejected(record))

    def whole_index(self) -> Index:
        """Return one index of all images and failures, compared with its check, for what goes through columns.

        Raises:
            StoreError: The parts cannot be read.

        """
        return self._now.catalog.whole()

    rows = records  # another name, for scripts that treat a store as a table

    def failures(self) -> Iterator[Record]:
        """Yield all failures and rejects for which there is no image."""
        return (record for record in self._now.catalog.records() if record.failed)

    def choose(self, verdicts: Iterable[Verdict]) -> int:
        """Write verdicts on counterparts: training, exports and baked sets leave out those that are rejected.

        Nothing is removed: a later acceptance brings a counterpart back. Any number of processes may do this at once.
        Where it returns, the verdicts survive a power loss. This handle shows them at once, others when they open the
        store again.

        Args:
            verdicts: All are checked before the first one is written.

        Returns:
            How many were written.

        Raises:
            StoreError: A verdict is on what is not there or was made again since, or is not a verdict: none is written
                then. Or they cannot be written.

        """
        refuse_without_locks(self.path)
        now = time.time()
        given = [settled(verdict, self.find, now) for verdict in verdicts]
        if not given:
            return 0
        store_json.require(self.path, CHOICES)
        for file, line, verdict in self._choices_file.append(given):
            self._now.choices.note(file, line, verdict)
        if self._now.choices.is_long:
            self._snapshot = self._now._replace(choices=compile_choices(self.path))
        return len(given)

    def verdicts(self) -> Iterator[Verdict]:
        """Yield all verdicts that the store holds by now, in order: of one image the last one counts.

        Raises:
            StoreError: They cannot be read.

        """
        return read_verdicts(self.path)

    def is_rejected(self, record: Record) -> bool:
        """Tell whether a counterpart is rejected: by the last verdict on it, as it is now."""
        return self._now.choices.rejects(record)

    def kept(self, records: list[Record]) -> list[Record]:
        """Leave out the records of counterparts that are rejected."""
        choices = self._now.choices
        return [record for record in records if not choices.rejects(record)] if choices else records

    def rejected_digest(self) -> str:
        """Return a digest of which counterparts are rejected; empty where no counterpart is."""
        return self._now.choices.digest()

    def writer(self, label: str = "part", part_bytes: int = PART_BYTES) -> "Writer":
        """Return a writer of parts named after the label. Any number may write at once, in any number of processes.

        Args:
            label: Start of the parts' names; stores that were made apart can be joined by copying their parts
                together if their labels differ.
            part_bytes: A part is sealed when it has that many bytes.

        """
        refuse_without_locks(self.path)
        fields = self._now.fields
        recipe = made_with(fields, self._recipe or self.recipe)
        return Writer(self.path / PARTS, fields, recipe, check_name(label, "label"), part_bytes)

    def merge(self) -> None:
        """Write one index for all sealed parts, and one for the verdicts, which makes opening fast, and is shared.

        Raises:
            StoreError: It cannot be written, or a part cannot be read.

        """
        refuse_without_locks(self.path)
        damaged = write_merged(self.path, self._now.fields)
        if damaged:
            warnings.warn(
                f"{len(damaged)} problem(s) in {self.path}, the first: {damaged[0]}. Its index was made again.",
                stacklevel=2,
            )
        compile_choices(self.path)

    def verify(self) -> list[Problem]:
        """Compare every byte of every sealed part with its index, and return all that is wrong.

        Raises:
            StoreError: The store cannot be read.

        """
        return health.verify(self.path)

    def status(self) -> Status:
        """Count what is there, also while others write.

        Raises:
            StoreError: The store cannot be read.

        """
        return health.status(self.path, self._now.catalog, self._now.choices)

    def write_readme(self, text: str = "", picture: bytes = b"") -> None:
        """Write the store's README.md: what it is, how it was made, and what the job has to say.

        Args:
            text: Markdown for the end of the page.
            picture: A contact sheet, the bytes of a JPEG or PNG file; kept beside the page.

        Raises:
            StoreError: The picture is neither, or the files cannot be written.

        """
        write_readme(self.path, [self.recipe, *self.mixed], text, picture)

    def __reduce__(self) -> tuple[type["Store"], tuple[Path]]:
        return type(self), (self.path,)

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r})"

    @property
    def _now(self) -> "_Snapshot":
        if self._snapshot is None:
            self._snapshot = _Snapshot.of(self.path, store_json.load(self.path))
        return self._snapshot


class _Snapshot(NamedTuple):
    fields: dict[str, Any]
    catalog: Catalog
    choices: Choices

    @classmethod
    def of(cls, root: Path, fields: dict[str, Any]) -> "_Snapshot":
        catalog, choices = Catalog(root, fields), Choices(root)
        problems = [*catalog.problems, *choices.problems]
        if problems:
            warnings.warn(
                f"{root} has {len(problems)} problem(s), the first: {problems[0]}. "
                f"What is whole is read; {advice(root)}.",
                stacklevel=3,
            )
        return cls(fields, catalog, choices)

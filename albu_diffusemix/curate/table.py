"""The counterparts of some stores as columns, which a million of them fit in: sorted, filtered, and shown in pages."""

import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.store import Record, Store, Verdict
from albu_diffusemix.store.choices import ACCEPT, REJECT, UNDO, check_of
from albu_diffusemix.store.columns import find_rows, keys_of
from albu_diffusemix.text import in_one_line, parse_json, unknown

__all__ = ["Query", "ReviewTable", "Scores"]

Numbers = NDArray[np.int64]
Scores = Callable[[Store], Any]
"""Returns the scores of a store, a table of pyarrow: key, variant, and one column a figure."""

_VERDICTS = ("", ACCEPT, REJECT)
_BARS = 40


class Query(NamedTuple):
    """Which counterparts are wanted, in which order.

    Attributes:
        sort: The figure to sort by; empty for the order in which they were made.
        descending: Whether the highest comes first.
        label: Number of the class; None for all.
        prompt: Number of the prompt; None for all.
        store: Number of the store; None for all.
        verdict: "accept", "reject", or "none" for those without a verdict; empty for all.
        group: Whether all of one source come together.
        limits: The least and the greatest value of each figure; None is no limit.

    """

    sort: str = ""
    descending: bool = False
    label: int | None = None
    prompt: int | None = None
    store: int | None = None
    verdict: str = ""
    group: bool = False
    limits: Mapping[str, tuple[float | None, float | None]] = {}

    @classmethod
    def parse(cls, text: str) -> "Query":
        """Return what a page asks for in JSON.

        Raises:
            ValueError: It is something else.

        """
        try:
            given = parse_json(text)
            numbers = {name: int(given[name]) for name in ("label", "prompt", "store") if given[name] != ""}
            limits = {str(name): (_number(low), _number(high)) for name, (low, high) in given["limits"].items()}
            texts = {name: str(given[name]) for name in ("sort", "verdict")}
            flags = {name: bool(given[name]) for name in ("descending", "group")}
            fields: dict[str, Any] = {**texts, **flags, **numbers, "limits": limits}
            return cls(**fields)
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"{text[:200]!r} is not a query of this page: {error!r}") from error


class ReviewTable:
    """Counterparts of some stores, those that were rejected among them.

    Opening it reads the indexes only. Verdicts, classes and scores are there once `facets` was called.

    Args:
        stores: One, or several that are compared.
        label_of: Returns the class of a key; empty where it has no class.
        read_scores: Returns the scores of a store.

    Attributes:
        prompts: All prompts, sorted; columns hold their numbers.

    Raises:
        StoreError: A store cannot be read.

    """

    def __init__(
        self, stores: Sequence[Store], label_of: Callable[[str], str], read_scores: Scores | None = None
    ) -> None:
        self.stores = list(stores)
        self._label_of = label_of
        self._read_scores = read_scores
        self._lock = threading.Lock()
        self._indexes = [store.whole_index() for store in stores]
        self._texts = [index.texts() for index in self._indexes]
        images = [np.flatnonzero(index.arrays["rows"]["encoding"]) for index in self._indexes]
        self._store = np.repeat(np.arange(len(stores), dtype=np.int16), [len(rows) for rows in images])
        self._row = np.concatenate(images)
        self._starts = np.cumsum([0, *map(len, images)])
        self.prompts, self._prompt = self._coded_prompts()
        self._verdict, self._said = np.zeros(len(self), np.int8), dict[int, list[Verdict]]()

    def __len__(self) -> int:
        return len(self._row)

    def _read_verdicts(self) -> None:
        """Read all verdicts; those that others wrote meanwhile are among them."""
        verdicts, said = np.zeros(len(self), np.int8), dict[int, list[Verdict]]()
        with self._lock:
            for number, store in enumerate(self.stores):
                given = list(store.verdicts())
                places = self._locate(number, [each.key for each in given], [each.variant for each in given])
                checks = self._indexes[number].arrays["rows"]["image_check"][self._row[places]].tolist()
                for place, check, each in zip(places.tolist(), checks, given, strict=True):
                    if place >= 0 and int(each.check, 16) == check:
                        verdicts[place] = _number_of(each)
                        said.setdefault(place, []).append(each)
            self._verdict, self._said = verdicts, said

    def record(self, number: int) -> Record:
        """Return what the store knows of a counterpart.

        Raises:
            ValueError: There is no such number.

        """
        if not 0 <= number < len(self):
            raise ValueError(f"there is no counterpart {number}: the last one is {len(self) - 1}")
        record: Record = self._indexes[self._store[number]].record(int(self._row[number]))
        return record

    def store_of(self, number: int) -> Store:
        """Return the store that a counterpart is in."""
        return self.stores[int(self._store[number])]

    def choose(self, changes: Iterable[tuple[int, str]], rule: str = "") -> None:
        """Write verdicts into the stores.

        Args:
            changes: Numbers of counterparts and verdicts, "accept" or "reject"; empty takes a verdict back.
            rule: By what it was decided; empty where a person did.

        Raises:
            StoreError: They cannot be written.
            ValueError: A number or verdict is wrong.

        """
        by_store: dict[int, list[tuple[int, Verdict]]] = {}
        for number, text in changes:
            record, by = self.record(number), rule if text else UNDO
            verdict = Verdict(record.key, record.variant, text or ACCEPT, rule=by, check=check_of(record))
            by_store.setdefault(int(self._store[number]), []).append((number, verdict))
        with self._lock:
            for place, given in by_store.items():
                self.stores[place].choose([verdict for _, verdict in given])
                for number, verdict in given:
                    self._verdict[number] = _number_of(verdict)
                    self._said.setdefault(number, []).append(verdict)

    def find(self, query: Query) -> Numbers:
        """Return the numbers of the counterparts that a query asks for, in its order.

        Raises:
            ValueError: It names a figure or verdict that is not known.

        """
        chosen = np.ones(len(self), bool)
        if query.label is not None:
            chosen &= self._labels[1] == query.label
        for column, wanted in ((self._prompt, query.prompt), (self._store, query.store)):
            if wanted is not None:
                chosen &= column == wanted
        if query.verdict:
            names = ("none", ACCEPT, REJECT)
            if query.verdict not in names:
                raise ValueError(unknown("verdict", query.verdict, names))
            chosen &= self._verdict == names.index(query.verdict)
        for name, (low, high) in query.limits.items():
            scores = self._figure(name)
            chosen &= (scores >= (-np.inf if low is None else low)) & (scores <= (np.inf if high is None else high))
        numbers: Numbers = self._order[chosen[self._order]]
        if query.sort:
            scores = self._figure(query.sort)[numbers]  # not a number comes last, whatever the order
            numbers = numbers[np.argsort(-scores if query.descending else scores, kind="stable")]
        return numbers

    def page(self, query: Query, start: int = 0, count: int | None = None) -> dict[str, Any]:
        """Return some of what a query asks for, and how many there are.

        Args:
            query: What is asked for.
            start: The first unit: a counterpart, or with `group` a source.
            count: Units at the most; None for all.

        """
        numbers = self.find(query)
        groups = self._groups[numbers] if query.group else np.arange(len(numbers))
        first = np.zeros(len(self) + 1, np.int64)
        first[groups[::-1]] = np.arange(len(groups))[::-1]  # of several the last assignment counts: the first place
        units = groups[first[groups] == np.arange(len(groups))]
        wanted = units[start : None if count is None else start + count]
        rows: dict[int, list[dict[str, Any]]] = {unit: [] for unit in wanted.tolist()}
        places = np.flatnonzero(np.isin(groups, wanted)) if query.group else wanted
        for place in places.tolist():
            rows[int(groups[place])].append(self._shown(int(numbers[place])))
        verdicts = np.bincount(self._verdict, minlength=len(_VERDICTS)).tolist()
        counts = {"total": len(self), "accepted": verdicts[1], "rejected": verdicts[2]}
        return {"units": len(units), "matching": len(numbers), "rows": list(rows.values()), **counts}

    def verdict(self, number: int) -> str:
        """Return "accept", "reject", or nothing."""
        return _VERDICTS[self._verdict[number]]

    def facets(self) -> dict[str, Any]:
        """Read verdicts, classes and scores; return all classes, and each figure with its histogram."""
        self._read_verdicts()
        return {"labels": self._labels[0], "figures": [_histogram(name, self._figure(name)) for name in self._scores]}

    def _shown(self, number: int) -> dict[str, Any]:
        """Return what a page shows of a counterpart; scores and class once they were read."""
        record = self.record(number)
        known = "_labels" in vars(self)
        scores = [scores[number] for scores in self._scores.values()] if "_scores" in vars(self) else []
        return {
            "id": number,
            "key": record.key,
            "variant": record.variant,
            "store": int(self._store[number]),
            "prompt": int(self._prompt[number]),
            "label": int(self._labels[1][number]) if known else None,
            "verdict": self.verdict(number),
            "said": [_said(verdict) for verdict in self._said.get(number, ())],
            "scores": [float(score) if np.isfinite(score) else None for score in scores],
            "ratio": record.source.width / record.source.height if record.source.height else 1,
            "check": check_of(record),
        }

    def _coded_prompts(self) -> tuple[list[str], NDArray[np.int32]]:
        """Return the prompts, and the number of each counterpart's among them."""
        columns = [index.arrays["rows"]["prompt"][rows] for index, rows in self._by_store()]
        used = [np.flatnonzero(np.bincount(column)) for column in columns]
        each = [[texts[number] for number in numbers] for texts, numbers in zip(self._texts, used, strict=True)]
        prompts = sorted(set().union(*each))
        codes = [np.zeros(len(texts), np.int32) for texts in self._texts]
        for code, numbers, names in zip(codes, used, each, strict=True):
            code[numbers] = [prompts.index(name) for name in names]
        return prompts, np.concatenate([code[column] for code, column in zip(codes, columns, strict=True)])

    @functools.cached_property
    def _order(self) -> Numbers:
        places = []
        for start, (index, rows) in zip(self._starts.tolist(), self._by_store(), strict=False):
            part, offset = (index.arrays["rows"][name][rows].astype(np.uint64) for name in ("part", "offset"))
            places.append(start + np.argsort((part << np.uint64(40)) + offset))  # a part has less than 2^40 bytes
        return np.concatenate(places)

    @functools.cached_property
    def _groups(self) -> Numbers:
        """For each counterpart a number that it shares with all of the same source."""
        hashes = np.concatenate([index.arrays["key_hi"][rows] for index, rows in self._by_store()])
        return np.unique(hashes, return_inverse=True)[1]

    @functools.cached_property
    def _labels(self) -> tuple[list[str], NDArray[np.int32]]:
        """The classes, and the number of each counterpart's among them."""
        codes: dict[str, int] = {}
        found = (codes.setdefault(self._label_of(key), len(codes)) for key in self._keys())
        column = np.fromiter(found, np.int32, len(self))
        names = sorted(codes)
        places = np.empty(len(names), np.int32)
        places[[codes[name] for name in names]] = np.arange(len(names))
        return names, places[column]

    @functools.cached_property
    def _scores(self) -> dict[str, NDArray[np.float64]]:
        figures: dict[str, NDArray[np.float64]] = {}
        read_scores = self._read_scores or (lambda _: None)
        for number, table in enumerate(map(read_scores, self.stores)):
            if table is None:
                continue
            places = self._locate(number, table["key"].to_pylist(), table["variant"].to_pylist())
            there = places >= 0
            for name in table.column_names[2:]:
                column = figures.setdefault(name, np.full(len(self), np.nan, np.float64))
                column[places[there]] = np.asarray(table[name].to_numpy(), np.float64)[there]
        return {name: column for name, column in figures.items() if np.isfinite(column).any()}

    def _keys(self) -> Iterator[str]:
        """Yield the key of each counterpart, in the order of their numbers."""
        for index, rows in self._by_store():
            yield from keys_of(index, rows)

    def _figure(self, name: str) -> NDArray[np.float64]:
        if name not in self._scores:
            raise ValueError(unknown("figure", name, list(self._scores)))
        return self._scores[name]

    def _by_store(self) -> list[tuple[Any, Numbers]]:
        bounds = zip(self._starts[:-1], self._starts[1:], strict=True)
        return [(index, self._row[start:end]) for index, (start, end) in zip(self._indexes, bounds, strict=True)]

    def _locate(self, store: int, keys: Sequence[str], variants: Sequence[str]) -> Numbers:
        """Return the numbers of a store's counterparts, -1 for what is not there: all at once, for they may be many."""
        index = self._indexes[store]
        numbers = np.full(len(index) + 1, -1, np.int64)  # the last is that of row -1, which is not there
        numbers[self._row[self._starts[store] : self._starts[store + 1]]] = np.arange(*self._starts[store : store + 2])
        return numbers[find_rows(index, keys, variants)]


def _number_of(verdict: Verdict) -> int:
    return 0 if verdict.rule == UNDO else _VERDICTS.index(verdict.verdict)


def _said(verdict: Verdict) -> str:
    by = f" by {verdict.rule}" if verdict.rule else ""
    return in_one_line(f"{verdict.verdict}ed{by}{f': {verdict.reason}' if verdict.reason else ''}")


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _histogram(name: str, scores: NDArray[np.float64]) -> dict[str, Any]:
    known = scores[np.isfinite(scores)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    counts, _ = np.histogram(known, _BARS, (low, high if high > low else low + 1))
    return {"name": name, "low": low, "high": high, "counts": counts.tolist()}

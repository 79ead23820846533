"""Choices by rule: an expression over the figures says which counterparts stay, a share of the best may stay of these.

Expressions are DuckDB's, computed in memory with access to files, to the network and to settings switched off.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from albu_diffusemix.curate.score_files import read_counterparts
from albu_diffusemix.store import Store, StoreError, Verdict
from albu_diffusemix.store.choices import ACCEPT, REJECT, UNDO
from albu_diffusemix.text import in_one_line, unknown

__all__ = ["GROUPS", "Choice", "Rule", "apply_rule", "undo_rules"]

GROUPS = {"class": "label", "prompt": "prompt"}
"""What counterparts are ranked by, and the columns."""

_LOCKED = (
    "SET enable_external_access = false",
    "SET python_enable_replacements = false",
    "SET lock_configuration = true",
)
_HIDDEN = {"check"}
_MISSING = re.compile(r'column "([^"]*)" not found|have a column named "([^"]*)"')


class Rule(NamedTuple):
    """Which counterparts stay.

    Attributes:
        where: An expression over the figures, key, variant, prompt and label that is true for those that stay.
        keep_best: The share of these that stays, above 0 and at most 1.
        by: The figure, or an expression, by which the best are found: those where it is greatest.
        per: A name in `GROUPS`: the share is taken of each class or prompt; None takes it of all.

    """

    where: str = "true"
    keep_best: float = 1.0
    by: str = ""
    per: str | None = None

    def __str__(self) -> str:
        per = f" per {self.per}" if self.per else ""
        best = f"the best {self.keep_best:g} by {self.by}{per}"
        named = [self.where] * (self.where != "true") + [best] * (self.keep_best < 1)
        return ", ".join(named) or "true"


class Choice(NamedTuple):
    """What a rule does to a store.

    Attributes:
        verdicts: To be written by `Store.choose`: on what changes only.
        total: Counterparts.
        goes: Those that are rejected now.
        returns: Those that a rule had rejected, and that stay now.
        unscored: Those without a figure that the rule needs, which stay as they are.
        by_person: Those that a person decided on, which stay as they are.
        groups: For each name in `GROUPS` and each of its values, how many are rejected then, and of how many.
        emptied: Classes that would lose all that they have.
        without: Sources that lose the last counterpart that they have, which training then misses.

    """

    verdicts: list[Verdict]
    total: int
    goes: int
    returns: int
    unscored: int
    by_person: int
    groups: dict[str, dict[str, tuple[int, int]]]
    emptied: list[str]
    without: list[str]


def apply_rule(store: Store, rule: Rule) -> Choice:
    """Find what a rule changes; nothing is written.

    It replaces the rules before it: what these rejected and this one keeps returns. What a person decided stays.

    Raises:
        StoreError: The store or its figures cannot be read, or DuckDB is not installed.
        ValueError: The rule is not valid; the message says what is.

    """
    if not 0 < rule.keep_best <= 1:
        raise ValueError(f"--keep-best must be above 0 and at most 1; got {rule.keep_best}")
    if (rule.keep_best < 1) != bool(rule.by):
        raise ValueError("--keep-best SHARE and --by FIGURE go together: give both")
    return _choose(store, str(rule), _Expressions(read_counterparts(store)).rows(rule))


def undo_rules(store: Store) -> Choice:
    """Find what returns when all that rules rejected is taken back; what a person decided stays.

    Raises:
        StoreError: As `apply_rule`.

    """
    columns = ("key", "variant", "prompt", "label", "check")
    table = read_counterparts(store, figures=False)  # which may be damaged, and say nothing here
    rows = zip(*(table[name].to_pylist() for name in columns), strict=True)
    return _choose(store, UNDO, ((*row, True) for row in rows))


class _Expressions:
    """A table in DuckDB, for expressions of the user."""

    def __init__(self, table: Any) -> None:
        try:
            import duckdb  # noqa: PLC0415  optional
        except ImportError as error:
            raise StoreError("a choice needs duckdb: pip install duckdb pyarrow") from error
        self._error: type[Exception] = duckdb.Error
        self._columns = [name for name in table.column_names if name not in _HIDDEN]
        self._connection = duckdb.connect()
        self._connection.register("arrow", table)
        self._connection.execute("CREATE TABLE counterparts AS SELECT * FROM arrow")
        self._connection.unregister("arrow")
        for statement in _LOCKED:
            self._connection.execute(statement)

    def rows(self, rule: Rule) -> Iterator[tuple[Any, ...]]:
        """Yield key, variant, prompt, label and check of each counterpart, and whether it stays; None: not known."""
        self._check(rule.where, "--where", ("BOOLEAN",))
        if rule.by:
            self._check(rule.by, "--by", ("DOUBLE", "FLOAT", "INTEGER", "BIGINT", "DECIMAL"))
        group = f"passes, figure IS NULL{f', {GROUPS[rule.per]}' if rule.per else ''}"
        query = f"""
            WITH looked_at AS (SELECT *, ({rule.where}\n) AS passes, ({rule.by or "0"}\n) AS figure FROM counterparts)
            SELECT key, variant, prompt, label, "check", CASE
                WHEN passes IS NULL OR NOT passes THEN passes
                WHEN figure IS NULL THEN NULL
                ELSE row_number() OVER (PARTITION BY {group} ORDER BY figure DESC, key, variant)
                    <= ceil(round(count(*) OVER (PARTITION BY {group}) * {rule.keep_best!r}, 6)) END
            FROM looked_at ORDER BY key, variant"""  # noqa: S608  the expressions can reach this one table only
        found: list[tuple[Any, ...]] = self._connection.execute(query).fetchall()
        return iter(found)

    def _check(self, expression: str, flag: str, kinds: tuple[str, ...]) -> None:
        """Refuse what is not one expression of the wanted kind."""
        query = f"SELECT *, ({expression}\n) AS value FROM counterparts"  # noqa: S608  as above
        try:
            if not expression.strip():
                raise ValueError(f"{flag} is empty: give an expression, such as 'clip_image > 0.6'")
            statements = self._connection.extract_statements(query)
            if len(statements) != 1:
                raise ValueError(f"{flag} {expression!r} is not one expression")
            kind = str(self._connection.execute(f"DESCRIBE {query}").fetchall()[-1][1])
            self._connection.execute(f"SELECT count(value) FROM ({query})")  # noqa: S608  as above
        except self._error as error:
            raise ValueError(f"{flag} {expression!r}: {self._explained(error)}") from error
        if not kind.startswith(kinds):
            wanted = "true or false" if kinds == ("BOOLEAN",) else "a number"
            raise ValueError(f"{flag} {expression!r} gives {kind}: it must give {wanted}")

    def _explained(self, error: Exception) -> str:
        missing = _MISSING.search(str(error))
        if missing:
            return unknown("column", missing[1] or missing[2], self._columns)
        return in_one_line(str(error).partition("\n\n")[0])


def _choose(store: Store, rule: str, rows: Iterator[tuple[Any, ...]]) -> Choice:
    last = {(verdict.key, verdict.variant, verdict.check): verdict for verdict in store.verdicts()}
    verdicts, counts = [], Counter[str]()
    groups: dict[str, dict[str, list[int]]] = {name: {} for name in GROUPS}
    before: set[str] = set()
    sources_before, sources_after = dict[str, None](), set[str]()
    for key, variant, prompt, label, check, stays in rows:
        old = last.get((key, variant, f"{check:016x}"))
        rejected = old is not None and old.verdict == REJECT
        by_person = old is not None and not old.rule
        changes = not by_person and stays is not None and stays == rejected
        if changes:
            verdicts.append(Verdict(key, variant, ACCEPT if stays else REJECT, "", rule))
        counts.update(
            total=1, goes=changes and not stays, returns=changes and stays, unscored=stays is None, by_person=by_person
        )
        before |= {label} if label is not None and not rejected else set()
        sources_before |= {} if rejected else {key: None}
        sources_after |= set() if rejected != changes else {key}
        for name, value in zip(GROUPS, (label, prompt), strict=True):
            count = groups[name].setdefault("" if value is None else value, [0, 0])
            count[0] += rejected != changes
            count[1] += 1
    after = {
        name: {value: (gone, total) for value, (gone, total) in sorted(group.items())} for name, group in groups.items()
    }
    emptied = [label for label, (gone, total) in after["class"].items() if gone == total and label in before]
    names = ("total", "goes", "returns", "unscored", "by_person")
    without = [key for key in sources_before if key not in sources_after]
    return Choice(verdicts, **{name: counts[name] for name in names}, groups=after, emptied=emptied, without=without)

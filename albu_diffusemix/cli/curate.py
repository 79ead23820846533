"""Commands that measure counterparts and throw out by figures: score, scores, choose."""

import argparse
import contextlib
from pathlib import Path
from typing import Any

from albu_diffusemix.cli.common import (
    DONE,
    INTERRUPTED,
    SOME_FAILED,
    STORE,
    add_exclude,
    add_shard,
    complain,
    positive,
    say,
    store_folder,
)
from albu_diffusemix.cli.data_flags import DATA, add_data_flags, columns_of
from albu_diffusemix.cli.progress import Bar, stoppable
from albu_diffusemix.curate import (
    SCORERS,
    Choice,
    Rule,
    ScoreOptions,
    ScoreSummary,
    apply_rule,
    plan_scores,
    run_scores,
    undo_rules,
)
from albu_diffusemix.curate.report import write_report
from albu_diffusemix.curate.rules import GROUPS
from albu_diffusemix.curate.tables import describe_scores, figures_of, read_table, write_table
from albu_diffusemix.datasets import Selection, find_sources
from albu_diffusemix.generate import Outcome
from albu_diffusemix.store import Record, Store, StoreError

__all__ = ["add_commands"]

_SHOWN = 10
_SHOWN_GROUPS = 30


def add_commands(commands: Any) -> None:
    """Add the commands of this room to the parser's."""
    _add_score(commands)
    _add_scores(commands)
    _add_choose(commands)


def _add_score(commands: Any) -> None:
    score = commands.add_parser("score", help="measure every counterpart of a store beside its source, once")
    score.add_argument("store", type=store_folder, metavar="STORE", help="folder of the store")
    score.add_argument("data", metavar="DATA", help=DATA)
    add_data_flags(score)
    score.add_argument("--with", dest="kind", choices=list(SCORERS), required=True, help="what measures")
    score.add_argument("--name", help="what the figures' names begin with, for a second model of a kind (the kind)")
    score.add_argument(
        "--model", metavar="ID", help="model: an id on the Hub or of timm, a folder, or module:factory (the kind's own)"
    )
    score.add_argument("--revision", help="branch, tag or commit of the model on the Hub (main)")
    score.add_argument("--device", default="auto", help="cuda, cuda:1, mps, cpu or auto (%(default)s)")
    score.add_argument(
        "--batch-size", type=positive, default=32, metavar="N", help="counterparts that a model sees at once (32)"
    )
    score.add_argument(
        "--text",
        default="{prompt}",
        help="what CLIP compares counterparts with, {prompt} and {label} in it; '' for nothing (%(default)s)",
    )
    score.add_argument(
        "--label-map",
        type=Path,
        metavar="FILE",
        help="YAML of labels with the classifier's outputs that stand for each",
    )
    add_shard(score, "score")
    add_exclude(score)
    score.set_defaults(run=_score)


def _add_scores(commands: Any) -> None:
    scores = commands.add_parser("scores", help="show what was measured, or write it with the choices to a file")
    scores.add_argument("store", metavar="STORE", help=STORE)
    scores.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help=".csv or .parquet, a row for each counterpart"
    )
    scores.add_argument("--per", choices=list(GROUPS), default="prompt", help="whose means are shown (%(default)s)")
    scores.set_defaults(run=_scores)


def _add_choose(commands: Any) -> None:
    choose = commands.add_parser("choose", help="reject counterparts by what was measured, or take that back")
    choose.add_argument("store", type=store_folder, metavar="STORE", help="folder of the store")
    choose.add_argument(
        "--where",
        default="true",
        metavar="EXPRESSION",
        help="true for those that stay, such as 'classifier_rank <= 10 and clip_image > 0.6' (all)",
    )
    choose.add_argument(
        "--keep-best", type=float, default=1.0, metavar="SHARE", help="share of these that stays, such as 0.8 (all)"
    )
    choose.add_argument(
        "--by",
        default="",
        metavar="FIGURE",
        help="figure by which the best are found: the greatest, or with --by=-FIGURE the least",
    )
    choose.add_argument("--per", choices=list(GROUPS), help="take that share of each class or prompt (of all)")
    choose.add_argument("--dry-run", action="store_true", help="print what would go, and write nothing")
    choose.add_argument("--undo", action="store_true", help="bring back all that was rejected by rules")
    choose.add_argument("--force", action="store_true", help="even where a class loses all its counterparts")
    choose.set_defaults(run=_choose)


def _score(options: argparse.Namespace) -> int:
    store, selection = Store.open(options.store), Selection(options.exclude)
    sources = find_sources(options.data, store.path, columns_of(options), selection)
    given = {name: value for name, value in vars(options).items() if name in ScoreOptions.__dataclass_fields__}
    plan = plan_scores(store, sources, ScoreOptions(**given), options.shard)
    say(f"Counterparts: {plan.present + plan.pending:,}, {plan.present:,} scored before, {plan.pending:,} to be scored")
    say(*selection.describe())
    if not plan.present + plan.pending:
        raise ValueError(f"{options.store} has no counterparts of {options.data}: `albu-diffusemix doctor` says why")
    with contextlib.closing(Bar(plan.pending)) as bar, stoppable() as stop:
        summary = run_scores(plan, lambda record, reason: bar.outcome(_outcome(record, reason)), stop)
    say(*_describe_scored(summary, options.store))
    if summary.interrupted:
        return INTERRUPTED
    if summary.scored:
        _report(Store.open(options.store))
    return SOME_FAILED if summary.failures else DONE


def _outcome(record: Record, reason: str) -> Outcome:
    return Outcome(record.key, record.variant, reason, 0, 0)


def _describe_scored(summary: ScoreSummary, store: Path) -> list[str]:
    failures = summary.failures
    lines = [f"Scored {summary.scored:,} counterparts; {len(failures):,} failed"]
    lines += [f"  failed: {record.key} {record.variant}: {reason}" for record, reason in failures[:_SHOWN]]
    lines += [f"  ... and {len(failures) - _SHOWN:,} more"] if len(failures) > _SHOWN else []
    return [
        *lines,
        f"{'Interrupted; run the same command again to go on' if summary.interrupted else 'Store'}: {store}",
    ]


def _scores(options: argparse.Namespace) -> int:
    store = Store.open(options.store)
    table = read_table(store)
    if options.output:
        write_table(table, options.output)
        say(f"Wrote {table.num_rows:,} counterparts: {options.output}")
        return DONE
    if not figures_of(table):
        raise ValueError(f"{store.path} has no scores yet: albu-diffusemix score {store.path} DATA --with pixels")
    rows = describe_scores(table, options.per)
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    for first, *others in rows:
        cells = [text.rjust(width) for text, width in zip(others, widths[1:], strict=True)]
        say("  ".join([first.ljust(widths[0]), *cells]))
    return DONE


def _choose(options: argparse.Namespace) -> int:
    store = Store.open(options.store)
    rule = Rule(options.where, options.keep_best, options.by, options.per)
    if options.undo and rule != Rule():
        raise ValueError("--undo takes back what all rules rejected: give it alone")
    if not options.undo and rule == Rule():
        raise ValueError("give --where EXPRESSION, --keep-best SHARE --by FIGURE, or --undo")
    choice = undo_rules(store) if options.undo else apply_rule(store, rule)
    if choice.emptied and not (options.force or options.dry_run):
        say(*_describe(choice))
        some = f"{len(choice.emptied):,} of {len(choice.groups['class']):,} classes"
        raise ValueError(
            f"{some} would lose all their counterparts, such as {choice.emptied[0]!r}: give a wider rule, or --force; "
            "nothing was written"
        )
    if options.dry_run:
        say(*_describe(choice), "Nothing was written.")
        return DONE
    written = store.choose(choice.verdicts)  # before anything is said, which may fail: `choose ... | head`
    say(*_describe(choice), f"Wrote {written:,} verdicts: {options.store}")
    _report(store)
    return DONE


def _report(store: Store) -> None:
    """Bring README.md up to date; all else is done then, and a page about it can be done without."""
    try:
        write_report(store)
    except (StoreError, OSError) as error:
        complain(f"README.md does not say what the scores say: {error}")


def _describe(choice: Choice) -> list[str]:
    rejected, total = (sum(count[place] for count in choice.groups["class"].values()) for place in (0, 1))
    share = 100 * rejected / total if total else 0.0
    changes = f"{choice.goes:,} go, {choice.returns:,} return"
    lines = [f"Counterparts: {total:,}; {changes}; {rejected:,} ({share:.1f} %) are rejected then"]
    if choice.unscored:
        lines.append(
            f"{choice.unscored:,} stay as they are: they lack a figure, which `albu-diffusemix score` measures"
        )
    if choice.by_person:
        lines.append(f"{choice.by_person:,} stay as a person decided")
    if choice.without:
        lines.append(
            f"{len(choice.without):,} sources have no counterpart left then, such as {choice.without[0]}: training "
            'stops at them, or leaves them unmixed with "on_miss": "passthrough"'
        )
    for name, counts in choice.groups.items():
        lines += [f"Rejected by {name}:", *_counts(counts)]
    return lines


def _counts(counts: dict[str, tuple[int, int]]) -> list[str]:
    shown = sorted(counts.items(), key=lambda item: -item[1][0])
    lines = [f"{gone:>9,} of {total:,}  {name or '(no name)'}" for name, (gone, total) in shown[:_SHOWN_GROUPS]]
    return [*lines, f"{'':9} ... and {len(shown) - _SHOWN_GROUPS:,} more"] if len(shown) > _SHOWN_GROUPS else lines

"""What `generate` is told and tells of the classes of a data set."""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path

from albu_diffusemix.cli.common import positive
from albu_diffusemix.generate import ClassCounts, GenerateOptions, Plan
from albu_diffusemix.generate.class_files import DEFAULT, read_class_names, read_prompts_by_class
from albu_diffusemix.generate.class_prompts import name_unknown_labels
from albu_diffusemix.prompts import lint_prompt
from albu_diffusemix.text import printable

__all__ = ["add_class_flags", "class_table", "find_doubts", "read_class_files"]

_ClassFiles = tuple[tuple[str, ...], Mapping[str, tuple[str, ...]] | None, Mapping[str, str] | None]


def add_class_flags(command: argparse._ActionsContainer) -> None:
    """Add the flags for prompts and numbers by class."""
    command.add_argument(
        "--prompts-by-class",
        type=Path,
        metavar="FILE",
        help="YAML file of labels with their prompts; those of all other classes stand at 'default'",
    )
    command.add_argument(
        "--class-names",
        type=Path,
        metavar="FILE",
        help="YAML file of labels with what {label} in a prompt is replaced by (the label, spaces for underscores)",
    )
    command.add_argument(
        "--balance",
        type=positive,
        metavar="N",
        help="more counterparts for small classes, until each has N images and counterparts together (no such number)",
    )


def read_class_files(options: argparse.Namespace) -> _ClassFiles:
    """Read the files that the flags name; return default prompts, prompts by class and class names."""
    by_class = read_prompts_by_class(options.prompts_by_class) if options.prompts_by_class else None
    default = by_class.pop(DEFAULT, ()) if by_class else ()
    return default, by_class, read_class_names(options.class_names) if options.class_names else None


def find_doubts(given: GenerateOptions, plan: Plan) -> Iterator[str]:
    """Yield what is odd in the prompts, and in the labels beside them, that were given."""
    shown = {source.label for source in plan.shown if source.label is not None}
    by_class = given.prompts_by_class or {}
    for prompt in given.prompts or ():
        yield from lint_prompt(prompt, shown)
    for label, prompts in by_class.items():
        for prompt in prompts:
            yield from lint_prompt(prompt, shown - {label})
    for labels in (by_class, given.class_names or {}):
        yield from name_unknown_labels(labels, plan.labels)


def class_table(plan: Plan) -> list[str]:
    """Return lines that say of each class how much there is and will be; none where no source has a label."""
    if not plan.labels:
        return []
    head = ("class", "sources", "wanted", "present", "failed", "together")
    rows = [
        ("(no label)" if label is None else printable(label), *(f"{count:,}" for count in _counts_of(counts)))
        for label, counts in sorted(plan.classes.items(), key=lambda item: item[0] or "")
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in (head, *rows)]


def _counts_of(counts: ClassCounts) -> tuple[int, ...]:
    return counts.sources, counts.wanted, counts.present, counts.failed, counts.together

"""What the commands have in common: exit statuses, types of arguments, one-line errors, progress bars."""

import argparse
import sys
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from tqdm import tqdm

from albu_diffusemix.store.remote import HUB
from albu_diffusemix.text import in_one_line, printable

__all__ = [
    "DONE",
    "INTERRUPTED",
    "SOME_FAILED",
    "STORE",
    "USAGE",
    "add_exclude",
    "add_new_store",
    "add_shard",
    "complain",
    "one_line",
    "positive",
    "say",
    "shard",
    "store_folder",
    "with_bar",
]

DONE, SOME_FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

STORE = "folder of the store, or hf://owner/name[@revision]"
"""What a command that reads a store says of its argument."""


def add_exclude(parser: Any) -> None:
    """Add `--exclude` to a command's parser."""
    parser.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="PATTERN",
        help="leave out keys like this, such as 'masks/*'; may be given several times",
    )


def add_new_store(parser: Any) -> None:
    """Add `-o STORE` to the parser of a command that makes a store."""
    parser.add_argument(
        "-o",
        "--output",
        type=store_folder,
        required=True,
        metavar="STORE",
        help="folder of the store: a new one, or one to continue",
    )


def add_shard(parser: Any, what: str) -> None:
    """Add `--shard`, with what the command does in a word, to its parser."""
    parser.add_argument(
        "--shard",
        type=shard,
        default=(0, 1),
        metavar="i/n",
        help=f"{what} only share i of n, counted from 0, such as 0/4",
    )


def positive(text: str) -> int:
    """Read a whole number of at least 1, as argparse's `type`."""
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1; got {text!r}")
    return int(text)


def shard(text: str) -> tuple[int, int]:
    """Read a share of the work, as argparse's `type`."""
    index, _, count = text.partition("/")
    if not (index.isdigit() and count.isdigit() and int(index) < int(count)):
        raise argparse.ArgumentTypeError(f"must be i/n with i from 0 to n - 1, such as 0/4; got {text!r}")
    return int(index), int(count)


def store_folder(text: str) -> Path:
    """Read the folder of a store that is written to, as argparse's `type`."""
    if text.startswith(HUB):
        raise argparse.ArgumentTypeError(f"{text!r} can only be read: pull it into a folder first, and push that")
    return Path(text)


def with_bar(items: list[Any]) -> "tqdm[Any]":
    """Go through items with a progress bar, where there is a terminal to show it."""
    return tqdm(items, unit="image", leave=False, disable=None)


def say(*lines: object, error: bool = False) -> None:
    """Print lines on standard output, or on standard error, each in one line whatever it holds."""
    for line in lines:
        print(printable(line), file=sys.stderr if error else sys.stdout)


def complain(text: object) -> None:
    """Print a line of this program's on standard error."""
    say(f"albu-diffusemix: {text}", error=True)


def one_line(error: Exception) -> str:
    """Say an error in one line; the host wraps what is wrong with an argument in several."""
    cause = error.__cause__
    if isinstance(cause, ValidationError):
        first = cause.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return f"{place + ': ' if place else ''}{first['msg'].removeprefix('Value error, ')}"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename!r}: {error.strerror}" if error.filename else error.strerror
    return in_one_line(error)

"""Fetch, make counterparts, compare, and write the page: `python -m benchmarks.evidence [NAME ...] [--page]`.

Rows that are there are not made again, so a run that was cut off goes on.
"""

import argparse
import os
import shutil
import sys

from albu_diffusemix.cli import main as albu_diffusemix
from benchmarks.evidence.fetch import FOLDER, data
from benchmarks.evidence.page import FOLDER as SPECS
from benchmarks.evidence.page import PICTURES, RESULTS, write_page

USUAL = ("stamps", "digits", "stamps_filtered")
FULL = ("stamps_masks", "stamps_lambda", "stamps_severities", "mnist", "emoji")
NEEDS = {
    "digits": ("digits",),
    "mnist": ("mnist",),
    "emoji": ("openmoji", "noto"),
}
"""Data sets of a spec, the one with a store first; those that are not named need the stamps."""
FILTERED = {"stamps_filtered": ("edges", ("--keep-best", "0.8", "--by", "edges_whole", "--per", "class"))}
"""Specs with a store of their own, from which a rule throws out some: what measures, and the rule."""


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evidence")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(USUAL)} (default); {', '.join(FULL)}")
    parser.add_argument("--full", action="store_true", help="all of them")
    parser.add_argument("--page", action="store_true", help="only write the page from the rows that are there")
    options = parser.parse_args()
    names = options.names or [*USUAL, *(FULL if options.full else ())]
    failed = 0 if options.page else sum(map(compare, names))
    write_page([*USUAL, *FULL])
    return min(failed, 1)


def compare(name):
    """Make the rows of a spec that are missing; the exit status."""
    first, *others = NEEDS.get(name, ("stamps",))
    folders = [data(each) for each in (first, *others)]
    store = FOLDER / f"{store_of(name)}.dm"
    # PNG, so that the pixels do not depend on how a version encodes JPEG.
    albu_diffusemix(["generate", str(folders[0]), "-o", str(store), "--all-prompts", *PIXELS])
    if name in FILTERED:
        scorer, rule = FILTERED[name]
        albu_diffusemix(["score", str(store), str(folders[0]), "--with", scorer])
        albu_diffusemix(["choose", str(store), *rule])
        shutil.copyfile(store / "scores.png", PICTURES / "scores.png")
    workers = len(os.sched_getaffinity(0))
    spec = SPECS / f"{name}.yaml"
    return albu_diffusemix(["compare", str(spec), "-o", str(RESULTS / name), "--workers", str(workers)])


def store_of(name):
    """The name of the store that a spec reads: others must not see what is rejected for one."""
    return name if name in FILTERED else NEEDS.get(name, ("stamps",))[0]


PIXELS = ("--backend", "procedural", "--encoding", "png")


if __name__ == "__main__":
    sys.exit(main())

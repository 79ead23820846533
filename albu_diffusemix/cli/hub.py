"""Commands that share a store on the Hugging Face Hub: push, pull."""

import argparse
from pathlib import Path
from typing import Any

from albu_diffusemix.cli.common import DONE, say
from albu_diffusemix.generate import describe_size
from albu_diffusemix.hub import plan_push, pull, push
from albu_diffusemix.store import Store
from albu_diffusemix.store.remote import HUB, HubAddress

__all__ = ["add_commands"]


def add_commands(commands: Any) -> None:
    """Add the commands of this room to the parser's."""
    _add_push(commands)
    _add_pull(commands)


def _add_push(commands: Any) -> None:
    pushing = commands.add_parser("push", help="upload a store to the Hugging Face Hub, as a data set with a card")
    pushing.add_argument("store", metavar="STORE", help="folder of the store")
    pushing.add_argument("repository", metavar="owner/name", help="data set on the Hub; it is made if it is not there")
    pushing.add_argument("--license", metavar="ID", help="license of the counterparts, such as cc-by-4.0; required")
    pushing.add_argument("--sources", metavar="NAME", help="data set that they were made from, for the card")
    pushing.add_argument("--public", action="store_true", help="let everybody see it (only you and your organization)")
    pushing.add_argument("--dry-run", action="store_true", help="print the card and what would be sent; send nothing")
    pushing.set_defaults(run=_push)


def _add_pull(commands: Any) -> None:
    pulling = commands.add_parser("pull", help="download a store from the Hugging Face Hub")
    pulling.add_argument("repository", metavar="owner/name[@revision]", help="data set on the Hub")
    pulling.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="STORE",
        help="a new or an empty folder (the Hub's cache, where hf://owner/name finds it)",
    )
    pulling.set_defaults(run=_pull)


def _push(options: argparse.Namespace) -> int:
    plan = plan_push(options.store, options.repository, options.license, public=options.public, sources=options.sources)
    seen = "public" if plan.public else "private"
    say(f"{plan.images:,} counterparts, {len(plan.files) + 1:,} files, {describe_size(plan.size)}; {seen}")
    if options.dry_run:
        say(*(f"  {name}" for name in plan.files), "  README.md:")
        say(*(f"    {line}" for line in plan.card.splitlines()), "Nothing was sent.")
        return DONE
    say(f"Pushed: {push(plan)}")
    return DONE


def _pull(options: argparse.Namespace) -> int:
    address = HubAddress.of(options.repository)
    folder = pull(address, options.output)
    images = Store.open(folder).status().images
    say(f"Pulled {images:,} counterparts: {options.output or f'{HUB}{options.repository.removeprefix(HUB)}'}")
    return DONE

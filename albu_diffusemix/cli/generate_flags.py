"""What `generate` may be told, and how each flag is read."""

import argparse
import math
from pathlib import Path
from typing import Any

from albu_diffusemix.backends import BackendSpec
from albu_diffusemix.cli.classes import add_class_flags
from albu_diffusemix.cli.common import add_exclude, add_new_store, add_shard, positive
from albu_diffusemix.cli.data_flags import DATA, add_data_flags
from albu_diffusemix.generate import DRAWS, ENCODINGS, ResolvedOptions
from albu_diffusemix.image_decoding import check_color
from albu_diffusemix.text import parse_json

__all__ = ["add_generate_flags"]

_COLORS = {"white": "#ffffff", "black": "#000000", "gray": "#808080"}
_SHOWN = 100  # characters of a long argument
_NEW = ResolvedOptions
"""Its defaults are those of a new store; with an existing one, what is not given is what that store says."""


def add_generate_flags(command: argparse.ArgumentParser) -> None:
    """Add all flags of `generate`, each group under a heading of the help."""
    command.add_argument("data", metavar="DATA", help=DATA)
    add_new_store(command)
    command.add_argument(
        "--dry-run",
        action="store_true",
        help="print how long it will take and how large the store will be, and make nothing",
    )
    add_data_flags(command)
    _add_sources(command.add_argument_group("the images"))
    _add_prompts(command.add_argument_group("the prompts"))
    _add_images(command.add_argument_group("the counterparts"))
    _add_filter(command.add_argument_group("what is rejected as it is made"))
    _add_continuing(command.add_argument_group("what an existing store already has"))
    _add_engine(command.add_argument_group("where it runs"))


def _add_sources(group: argparse._ActionsContainer) -> None:
    add_exclude(group)
    group.add_argument(
        "--background",
        type=_color,
        metavar="COLOR",
        help="compose transparent parts of sources over white, black, gray or #rrggbb (their alpha is dropped)",
    )
    group.add_argument("--limit", type=positive, metavar="N", help="stop after N sources (all)")


def _add_prompts(group: argparse._ActionsContainer) -> None:
    group.add_argument("--prompt", action="append", help="a prompt; may be given several times (the backend's own)")
    group.add_argument("--prompts-file", type=Path, metavar="FILE", help="text file with one prompt on each line")
    add_class_flags(group)
    variants = group.add_mutually_exclusive_group()
    variants.add_argument(
        "--per-image",
        type=positive,
        default=1,
        metavar="M",
        help="counterparts for each image, each with a random prompt (1)",
    )
    variants.add_argument("--all-prompts", action="store_true", help="one counterpart for each image and prompt")
    group.add_argument(
        "--draw",
        type=lambda text: text.replace("-", "_"),
        choices=list(DRAWS),
        metavar="{" + ",".join(map(_in_dashes, DRAWS)) + "}",
        help=f"whether a source's prompts may repeat before all were used ({_in_dashes(_NEW.draw)})",
    )


def _add_images(group: argparse._ActionsContainer) -> None:
    group.add_argument(
        "--backend", type=_spec, metavar="NAME_OR_JSON", help="the backend that makes the counterparts (procedural)"
    )
    group.add_argument(
        "--base-seed", type=int, metavar="N", help=f"number that all seeds are derived from ({_NEW.base_seed})"
    )
    group.add_argument(
        "--size", type=positive, metavar="N", help=f"shorter side of the counterparts in pixels ({_NEW.size})"
    )
    group.add_argument(
        "--encoding",
        choices=list(ENCODINGS),
        help="format of the image files: JPEG with one color for four pixels, JPEG with a color for each, raw pixels "
        f"(eight times the bytes, fastest to train from), PNG or WebP ({_NEW.encoding})",
    )


def _add_filter(group: argparse._ActionsContainer) -> None:
    group.add_argument(
        "--similarity",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="reject counterparts whose similarity to their source, by CLIP, lies outside (no such filter)",
    )
    group.add_argument("--similarity-model", metavar="ID", help="a CLIP model, from the Hub or a folder")


def _add_continuing(group: argparse._ActionsContainer) -> None:
    group.add_argument(
        "--retry-failed", action="store_true", help="try again what failed before, and files that changed since"
    )
    group.add_argument(
        "--replace-rejected",
        action="store_true",
        help="make the next attempt of each counterpart that is rejected, from another seed",
    )
    group.add_argument(
        "--changed",
        action="store_true",
        help="look at the sources that the store knows, and make again those whose pixels differ by now",
    )
    group.add_argument("--allow-mixed", action="store_true", help="continue a store made with other parameters")


def _add_engine(group: argparse._ActionsContainer) -> None:
    group.add_argument(
        "--workers", type=positive, default=1, metavar="N", help="processes, or actors of Ray (%(default)s)"
    )
    add_shard(group, "make")
    group.add_argument(
        "--engine", choices=["local", "ray"], default="local", help="processes of this machine, or Ray (%(default)s)"
    )
    group.add_argument(
        "--ray-address", metavar="ADDRESS", help="address of a Ray cluster (Ray is started on this machine)"
    )
    group.add_argument(
        "--runtime-env", type=_json_object, metavar="JSON", help="what Ray sends to its actors, such as your modules"
    )
    group.add_argument(
        "--gpus-per-worker",
        type=_share,
        metavar="N",
        help="GPUs of a Ray actor, such as 0.5 (1 if the backend uses one)",
    )
    group.add_argument(
        "--import",
        action="append",
        default=[],
        dest="modules",
        metavar="MODULE",
        help="module to import first in each process, such as one that registers a backend",
    )


def _in_dashes(name: str) -> str:
    return name.replace("_", "-")


def _spec(text: str) -> BackendSpec:
    return _json_object(text) if text.lstrip().startswith("{") else text


def _json_object(text: str) -> dict[str, Any]:
    shown = repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
    try:
        value = parse_json(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{shown} is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"must be a JSON object; got {shown}")
    return value


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf or (value > 1 and value % 1):
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 1, or a whole number; got {text!r}")
    return value


def _color(text: str) -> str:
    try:
        return check_color(_COLORS.get(text.lower(), text.lower()))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}, or give one of {', '.join(_COLORS)}") from error

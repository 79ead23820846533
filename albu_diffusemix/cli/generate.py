"""Commands that make stores: generate."""

import argparse
import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from albu_diffusemix.backends import BackendSpec
from albu_diffusemix.cli.classes import add_class_flags, class_table, find_doubts, read_class_files
from albu_diffusemix.cli.common import (
    DONE,
    INTERRUPTED,
    SOME_FAILED,
    add_exclude,
    complain,
    positive,
    say,
    store_folder,
)
from albu_diffusemix.cli.data_flags import DATA, add_data_flags, columns_of
from albu_diffusemix.cli.progress import Bar, describe_duration, describe_summary, stoppable
from albu_diffusemix.clip_filter import SimilarityFilter
from albu_diffusemix.generate import (
    DRAWS,
    ENCODINGS,
    GenerateOptions,
    Plan,
    ResolvedOptions,
    describe_size,
    estimate_cost,
    make_plan,
    memory_size,
    run,
)
from albu_diffusemix.image_decoding import check_color, describe_remarks
from albu_diffusemix.regular_files import read_text
from albu_diffusemix.text import parse_json

__all__ = ["add_commands"]


_COLORS = {"white": "#ffffff", "black": "#000000", "gray": "#808080"}
_SHOWN = 100  # characters of a long argument
_RAW_TO_JPEG = 8  # bytes of raw images to those of JPEG
_MOST_REPLACED = 20  # prompts; with the class in them there may be thousands
_NEW = ResolvedOptions
"""Its defaults are those of a new store; with an existing one, what is not given is what that store says."""


def add_commands(commands: Any) -> None:
    """Add the command to the parser's."""
    generate = commands.add_parser(
        "generate",
        help="make the counterparts of a data set, into a store",
        epilog="Values in brackets are those of a new store; an existing store knows its own.",
    )
    generate.add_argument("data", metavar="DATA", help=DATA)
    add_data_flags(generate)
    generate.add_argument(
        "-o",
        "--output",
        type=store_folder,
        required=True,
        metavar="STORE",
        help="folder of the store: a new one, or one to continue",
    )
    generate.add_argument(
        "--backend", type=_spec, metavar="NAME_OR_JSON", help="the backend that makes the counterparts (procedural)"
    )
    generate.add_argument("--prompt", action="append", help="a prompt; may be given several times (the backend's own)")
    generate.add_argument("--prompts-file", type=Path, metavar="FILE", help="text file with one prompt on each line")
    add_class_flags(generate)
    variants = generate.add_mutually_exclusive_group()
    variants.add_argument(
        "--per-image",
        type=positive,
        default=1,
        metavar="M",
        help="counterparts for each image, each with a random prompt (1)",
    )
    variants.add_argument("--all-prompts", action="store_true", help="one counterpart for each image and prompt")
    generate.add_argument("--size", type=positive, help=f"shorter side of the counterparts in pixels ({_NEW.size})")
    generate.add_argument(
        "--encoding",
        choices=list(ENCODINGS),
        help="format of the image files: JPEG with one color for four pixels, JPEG with a color for each, raw pixels "
        f"(eight times the bytes, fastest to train from), PNG or WebP ({_NEW.encoding})",
    )
    generate.add_argument(
        "--shard",
        type=shard,
        default=(0, 1),
        metavar="i/n",
        help="make only share i of n, counted from 0, such as 0/4",
    )
    generate.add_argument(
        "--engine", choices=["local", "ray"], default="local", help="processes of this machine, or Ray (%(default)s)"
    )
    generate.add_argument(
        "--ray-address", metavar="ADDRESS", help="address of a Ray cluster (Ray is started on this machine)"
    )
    generate.add_argument(
        "--runtime-env", type=_json_object, metavar="JSON", help="what Ray sends to its actors, such as your modules"
    )
    generate.add_argument(
        "--gpus-per-worker",
        type=_share,
        metavar="N",
        help="GPUs of a Ray actor, such as 0.5 (1 if the backend uses one)",
    )
    generate.add_argument(
        "--workers", type=positive, default=1, help="number of processes, or of Ray actors (%(default)s)"
    )
    generate.add_argument(
        "--similarity",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="reject counterparts whose similarity to their source, by CLIP, lies outside (no such filter)",
    )
    generate.add_argument("--similarity-model", metavar="ID", help="a CLIP model, from the Hub or a folder")
    generate.add_argument(
        "--retry-failed", action="store_true", help="try again what failed before, and files that changed since"
    )
    generate.add_argument(
        "--replace-rejected",
        action="store_true",
        help="make the next attempt of each counterpart that is rejected, from another seed",
    )
    generate.add_argument(
        "--changed",
        action="store_true",
        help="look at the sources that the store knows, and make again those whose pixels differ by now",
    )
    add_exclude(generate)
    generate.add_argument(
        "--background",
        type=_color,
        metavar="COLOR",
        help="compose transparent parts of sources over white, black, gray or #rrggbb (their alpha is dropped)",
    )
    generate.add_argument("--limit", type=positive, metavar="N", help="stop after N sources (all)")
    generate.add_argument("--base-seed", type=int, help=f"number that all seeds are derived from ({_NEW.base_seed})")
    generate.add_argument(
        "--draw",
        type=lambda text: text.replace("-", "_"),
        choices=list(DRAWS),
        metavar="{" + ",".join(map(_in_dashes, DRAWS)) + "}",
        help=f"whether a source's prompts may repeat before all were used ({_in_dashes(_NEW.draw)})",
    )
    generate.add_argument("--allow-mixed", action="store_true", help="continue a store made with other parameters")
    generate.add_argument(
        "--import",
        action="append",
        default=[],
        dest="modules",
        metavar="MODULE",
        help="module to import first in each process, such as one that registers a backend",
    )
    generate.add_argument(
        "--dry-run",
        action="store_true",
        help="print how long it will take and how large the store will be, and make nothing",
    )
    generate.set_defaults(run=_generate)


def _generate(options: argparse.Namespace) -> int:
    given = _job(options)
    plan = make_plan(given, recover=not options.dry_run)
    for warning in [*find_doubts(given, plan), *plan.selection.doubts()]:
        complain(f"warning: {warning}")
    if given.backend is None:
        say(f"Backend: {plan.options.backend}")
    say(*_describe(plan), *plan.selection.describe())
    if options.dry_run:
        say(*class_table(plan))
        _print_cost(plan)
        return DONE
    with contextlib.closing(Bar(plan.pending)) as bar, stoppable() as stop:
        summary = run(plan, bar, stop)
    say(*_describe_replaced(sorted(summary.replaced.items())))
    say(*describe_summary(summary, options.output), *describe_remarks(summary.remarks, plan.options.background))
    if summary.interrupted:
        return INTERRUPTED
    return SOME_FAILED if summary.failed or plan.failed or summary.missing or plan.selection.refused else DONE


def _job(options: argparse.Namespace) -> GenerateOptions:
    names = GenerateOptions.__dataclass_fields__
    given = {name: value for name, value in vars(options).items() if name in names}
    default, by_class, class_names = read_class_files(options)
    return GenerateOptions(
        **{
            **given,
            "store_path": options.output,
            "columns": columns_of(options),
            "prompts": _prompts(options, default),
            "prompts_by_class": by_class,
            "class_names": class_names,
            "modules": tuple(options.modules),
            "exclude": tuple(options.exclude),
            "similarity": _similarity(options),
        }
    )


def _prompts(options: argparse.Namespace, default: tuple[str, ...]) -> tuple[str, ...]:
    prompts = options.prompt or []
    if options.prompts_file:
        lines = read_text(options.prompts_file).splitlines()
        prompts += [line.strip() for line in lines if line.strip()]
    if prompts and default:
        raise ValueError(
            f"{str(options.prompts_by_class)!r} has prompts at 'default', and there are others beside it: "
            "give --prompt and --prompts-file, or these"
        )
    return tuple(prompts) or default


def _similarity(options: argparse.Namespace) -> dict[str, Any] | None:
    if options.similarity is None:
        if options.similarity_model:
            raise ValueError("--similarity-model needs --similarity LOW HIGH beside it")
        return None
    low, high = options.similarity
    model = {"model_id": options.similarity_model} if options.similarity_model else {}
    SimilarityFilter(low, high, **model)
    return {"low": low, "high": high, **model}


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


def shard(text: str) -> tuple[int, int]:
    """Read a share of the work, as argparse's `type`."""
    index, _, count = text.partition("/")
    if not (index.isdigit() and count.isdigit() and int(index) < int(count)):
        raise argparse.ArgumentTypeError(f"must be i/n with i from 0 to n - 1, such as 0/4; got {text!r}")
    return int(index), int(count)


def _describe(plan: Plan) -> list[str]:
    index, count = plan.options.shard
    shard = f", {plan.in_shard:,} in shard {index}/{count}" if count > 1 else ""
    rejected = f" ({plan.rejected:,} rejected, which --replace-rejected makes again)" if plan.rejected else ""
    present = f"{plan.present:,} present{rejected}"
    failed = f", {plan.failed:,} failed before (--retry-failed tries them again)" if plan.failed else ""
    lines = [
        f"Sources: {plan.found:,}{shard}",
        f"Counterparts: {plan.wanted:,} wanted, {present}{failed}, {plan.pending:,} to be made",
    ]
    changed, looked_at, unreadable = plan.changed
    if plan.options.changed or looked_at:
        which = "the store knows" if plan.options.changed else "are newer than their counterparts"
        skipped = f"; {unreadable:,} cannot be read, whose counterparts stay" if unreadable else ""
        lines.append(f"Changed: {len(changed):,} of {looked_at:,} sources that {which}, to be made again{skipped}")
    return lines


def _describe_replaced(replaced: list[tuple[str, str]]) -> Iterator[str]:
    for prompt, used in replaced[:_MOST_REPLACED]:
        yield f"Prompt {prompt!r} was drawn as {used!r}, which is the nearest that the backend knows"
    if len(replaced) > _MOST_REPLACED:
        yield f"{len(replaced) - _MOST_REPLACED:,} more prompts were drawn as the nearest that the backend knows"


def _describe_memory(plan: Plan, size: float) -> Iterator[str]:
    """Raw counterparts are fast only where they need not come from the disk at every epoch."""
    memory = memory_size()
    if plan.options.encoding != "raw" or not memory:
        return
    smaller = f"they do not fit; --encoding jpeg takes about {describe_size(size / _RAW_TO_JPEG)}"
    yield (
        "Memory: raw counterparts are read fast while all of them fit into it; this machine has "
        f"{describe_size(memory)}: {'they fit' if size < memory else smaller}"
    )


def _print_cost(plan: Plan) -> None:
    if not plan.pending:
        return
    cost = estimate_cost(plan)
    workers = plan.options.workers
    several = f"; {describe_duration(cost.seconds / workers)} if {workers} workers do not slow each other" * (
        workers > 1
    )
    failed = f", {cost.failed} of them failed" * bool(cost.failed)
    say(
        f"Time: {describe_duration(cost.seconds)} in one worker{several}",
        f"Size: {describe_size(cost.size)}",
        *_describe_memory(plan, cost.size),
        f"Measured on {cost.measured} counterparts{failed}; nothing was written.",
    )

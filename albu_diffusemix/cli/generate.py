"""The command that makes stores: generate."""

import argparse
import contextlib
from collections.abc import Iterator
from typing import Any

from albu_diffusemix.cli.classes import class_table, find_doubts, read_class_files
from albu_diffusemix.cli.common import DONE, INTERRUPTED, SOME_FAILED, complain, say
from albu_diffusemix.cli.data_flags import columns_of
from albu_diffusemix.cli.generate_flags import add_generate_flags
from albu_diffusemix.cli.progress import Bar, describe_duration, describe_summary, stoppable
from albu_diffusemix.clip_filter import SimilarityFilter
from albu_diffusemix.generate import (
    GenerateOptions,
    Plan,
    describe_size,
    estimate_cost,
    make_plan,
    memory_size,
    run,
)
from albu_diffusemix.image_decoding import describe_remarks
from albu_diffusemix.regular_files import read_text

__all__ = ["add_commands"]


_RAW_TO_JPEG = 8  # bytes of raw images to those of JPEG
_MOST_REPLACED = 20  # prompts; with the class in them there may be thousands


def add_commands(commands: Any) -> None:
    """Add the command to the parser's."""
    generate = commands.add_parser(
        "generate",
        help="make the counterparts of a data set, into a store",
        epilog="Values in brackets are those of a new store; an existing store knows its own.",
    )
    add_generate_flags(generate)
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

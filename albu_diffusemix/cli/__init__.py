"""The command line: the only room that prints and exits."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from albu_diffusemix.cli import bake, choices, compare, curate, exchange, generate, hub, onnx, pictures, review, store
from albu_diffusemix.cli.common import INTERRUPTED, SOME_FAILED, USAGE, complain, one_line
from albu_diffusemix.cli.versions import ShowVersions
from albu_diffusemix.import_paths import leave_out_working_directory
from albu_diffusemix.text import make_output_printable, printable

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: What follows the program's name; None takes it from the process.

    Returns:
        Exit status: 0 done, 1 some inputs failed, 2 wrong usage, 130 interrupted.

    """
    leave_out_working_directory()
    make_output_printable()
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # such as of `| head`, which has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SOME_FAILED
    except (OSError, ValueError, MemoryError, RecursionError) as error:
        complain(f"error: {one_line(error)}")
        return USAGE
    except KeyboardInterrupt:
        complain("interrupted")
        return INTERRUPTED
    return status


class _Parser(argparse.ArgumentParser):
    """Arguments may hold anything; the complaints about them are one printable line each."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="albu-diffusemix",
        description="DiffuseMix (CVPR 2024) for Albumentations pipelines.",
    )
    parser.add_argument(
        "--version", action=ShowVersions, nargs=0, help="print the versions that a bug report needs, and exit"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    pictures.add_commands(commands)
    generate.add_commands(commands)
    bake.add_commands(commands)
    exchange.add_commands(commands)
    hub.add_commands(commands)
    curate.add_commands(commands)
    compare.add_commands(commands)
    onnx.add_commands(commands)
    store.add_commands(commands)
    choices.add_commands(commands)
    review.add_commands(commands)
    return parser

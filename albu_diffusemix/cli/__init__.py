"""The command line: the only room that prints and exits."""

import argparse
import sys
from collections.abc import Sequence

from albu_diffusemix import __version__
from albu_diffusemix.cli import exchanging, exporting, making, pictures, stores
from albu_diffusemix.cli.words import INTERRUPTED, USAGE, one_line
from albu_diffusemix.import_paths import leave_out_working_directory
from albu_diffusemix.text import make_output_printable

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments (Sequence[str] | None): What follows the program's name; None takes it from the process.

    Returns:
        int: Exit status: 0 done, 1 some inputs failed, 2 wrong usage, 130 interrupted.

    """
    leave_out_working_directory()
    make_output_printable()
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except (OSError, ValueError) as error:
        print(f"albu-diffusemix: error: {one_line(error)}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        print("albu-diffusemix: interrupted", file=sys.stderr)
        return INTERRUPTED
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="albu-diffusemix",
        description="DiffuseMix (CVPR 2024) for Albumentations pipelines.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    pictures.add_commands(commands)
    making.add_commands(commands)
    exchanging.add_commands(commands)
    exporting.add_commands(commands)
    stores.add_commands(commands)
    return parser

"""Commands that make models for other runtimes: export-onnx."""

import argparse
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from albu_diffusemix.cli.common import DONE, positive, say

__all__ = ["add_commands"]

_PACKAGES = ("torch", "diffusers", "transformers", "onnx", "onnxscript", "onnxruntime", "tokenizers")


def add_commands(commands: Any) -> None:
    """Add the commands of this room to the parser's."""
    export = commands.add_parser("export-onnx", help="make ONNX graphs of InstructPix2Pix, for the backend onnx")
    export.add_argument("model", metavar="MODEL", help="a folder that diffusers saved, or an id on the Hub")
    export.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="the folder to make")
    export.add_argument("--fp16", action="store_true", help="weights of 16 bits")
    export.add_argument("--opset", type=positive, default=18, help="version of the operators (%(default)s)")
    export.add_argument(
        "--exporter", choices=["dynamo", "torchscript"], default="dynamo", help="exporter of torch to use (%(default)s)"
    )
    export.set_defaults(run=_export_onnx)


def _export_onnx(options: argparse.Namespace) -> int:
    missing = [package for package in _PACKAGES if find_spec(package) is None]
    if missing:
        raise ValueError(f"export-onnx needs {', '.join(missing)}, not installed here: pip install {' '.join(missing)}")
    from albu_diffusemix.backends.onnx.export import export_onnx  # noqa: PLC0415  imports torch

    differences = export_onnx(
        options.model, options.output, fp16=options.fp16, opset=options.opset, exporter=options.exporter
    )
    for name, difference in differences.items():
        say(f"{name:<13} differs from torch by {difference:.1e} of the largest value")
    say(f"Exported: {options.output}")
    return DONE

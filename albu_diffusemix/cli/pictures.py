"""Commands that show pictures: demo and preview."""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.cli.common import DONE, SOME_FAILED, complain, one_line, positive, say, with_bar
from albu_diffusemix.cli.data_flags import DATA, add_data_flags, columns_of
from albu_diffusemix.datasets import Columns, Item, SourceFile, is_data, open_data, spread
from albu_diffusemix.demo import demo_photographs, write_pipeline
from albu_diffusemix.images import check_ending, write_image
from albu_diffusemix.preview import Cell, contact_sheet, default_pipeline, force_ours, load_pipeline, steps, summary

__all__ = ["add_commands"]


def add_commands(commands: Any) -> None:
    """Add the commands of this room to the parser's."""
    _add_demo(commands)
    _add_preview(commands)


def _add_demo(commands: Any) -> None:
    demo = commands.add_parser("demo", help="show DiffuseMix on real photographs, with no weights and no GPU")
    demo.add_argument("-o", "--output", type=Path, default=Path("diffusemix_demo"), help="folder (%(default)s)")
    demo.add_argument("--seed", type=int, default=7, help="seed of the pipeline (%(default)s)")
    demo.set_defaults(run=_demo)


def _add_preview(commands: Any) -> None:
    preview = commands.add_parser("preview", help="show, step by step, what a pipeline makes of your images")
    preview.add_argument("data", nargs="+", metavar="DATA_OR_IMAGE", help=f"image files, or data sets: {DATA}")
    add_data_flags(preview)
    preview.add_argument(
        "-o", "--output", type=Path, required=True, metavar="SHEET", help="image file to write, such as sheet.png"
    )
    preview.add_argument("--pipeline", type=Path, metavar="FILE", help="what A.save wrote (default: DiffuseMix alone)")
    preview.add_argument("--rows", type=positive, default=8, help="images to show at the most (%(default)s)")
    preview.add_argument("--seed", type=int, default=0, help="seed of the pipeline (%(default)s)")
    preview.set_defaults(run=_preview)


def _demo(options: argparse.Namespace) -> int:
    photographs = demo_photographs()
    pipeline_file, sheet_file = options.output / "pipeline.yaml", options.output / "sheet.png"
    for name, image in photographs:
        write_image(options.output / "photographs" / f"{name}.png", image)
    write_pipeline(pipeline_file)
    pipeline = _seeded(load_pipeline(pipeline_file), options.seed)
    rows = [steps(image, name, pipeline) for name, image in with_bar(photographs)]
    write_image(sheet_file, contact_sheet(rows, summary(pipeline)))
    say(f"Photographs: {options.output / 'photographs'}", f"Pipeline: {pipeline_file}", f"Contact sheet: {sheet_file}")
    say("Its counterparts are OpenCV filters, not diffusion.")
    return DONE


def _preview(options: argparse.Namespace) -> int:
    check_ending(options.output)
    items = spread(list(_items(options.data, columns_of(options))), options.rows)
    pipeline = _seeded(load_pipeline(options.pipeline) if options.pipeline else default_pipeline(), options.seed)
    force_ours(pipeline)
    skipped: list[str] = []
    rows = list(_rows(items, pipeline, skipped))
    for reason in skipped:
        complain(f"skipped: {reason}")
    if rows:
        write_image(options.output, contact_sheet(rows, summary(pipeline)))
        say(f"Contact sheet: {options.output} ({len(rows)} shown, {len(skipped)} skipped)")
    else:
        complain(f"nothing to show: all {len(skipped)} images skipped")
    return SOME_FAILED if skipped else DONE


def _rows(items: list[Item], pipeline: Any, skipped: list[str]) -> Iterator[list[Cell]]:
    for name, image in _read(items, skipped):
        try:
            yield steps(image, name, pipeline)
        except (MemoryError, cv2.error) as error:  # one image, such as one that is huge, must not end the sheet
            skipped.append(f"{name!r}: {one_line(error) or 'it does not fit in memory'}")


def _read(items: list[Item], skipped: list[str]) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    for item in with_bar(items):
        try:
            yield item.key or "", item.read()
        except (OSError, ValueError, MemoryError, cv2.error) as error:
            skipped.append(one_line(error))


def _items(everything: Iterable[str], columns: Columns) -> Iterator[Item]:
    for data in everything:
        path = Path(data)
        if is_data(data):
            yield from open_data(data, columns=columns)
        else:
            yield SourceFile(data, "/".join(path.parts[-2:]))  # in a data set, its folder is its class


def _seeded(pipeline: Any, seed: int) -> Any:
    pipeline.set_random_seed(seed)
    return pipeline

"""Commands that show pictures: demo and preview."""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.cli.common import DONE, SOME_FAILED, complain, one_line, positive, say, with_bar
from albu_diffusemix.demo import demo_photographs, write_pipeline
from albu_diffusemix.images import IMAGE_SUFFIXES, check_ending, find_images, read_image, write_image
from albu_diffusemix.preview import contact_sheet, default_pipeline, force_ours, load_pipeline, steps, summary

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
    preview.add_argument("images", nargs="+", type=Path, metavar="FOLDER_OR_IMAGE")
    preview.add_argument("-o", "--output", type=Path, required=True, metavar="SHEET", help="such as sheet.png")
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
    paths = _spread(list(_image_paths(options.images)), options.rows)
    pipeline = _seeded(load_pipeline(options.pipeline) if options.pipeline else default_pipeline(), options.seed)
    force_ours(pipeline)
    skipped: list[str] = []
    rows = [steps(image, _short(path), pipeline) for path, image in _readable(paths, skipped)]
    for reason in skipped:
        complain(f"skipped: {reason}")
    if rows:
        write_image(options.output, contact_sheet(rows, summary(pipeline)))
        say(f"Contact sheet: {options.output} ({len(rows)} shown, {len(skipped)} skipped)")
    else:
        complain(f"nothing to show: all {len(skipped)} images skipped")
    return SOME_FAILED if skipped else DONE


def _readable(paths: list[Path], skipped: list[str]) -> Iterator[tuple[Path, NDArray[np.uint8]]]:
    for path in with_bar(paths):
        try:
            image = read_image(path)
        except (OSError, ValueError) as error:
            skipped.append(one_line(error))
        else:
            yield path, image


def _image_paths(given: Iterable[Path]) -> Iterator[Path]:
    for path in given:
        if not path.is_dir():
            yield path
            continue
        found = find_images(path)
        if not found:
            raise ValueError(f"folder {str(path)!r} holds no images; looked for {', '.join(IMAGE_SUFFIXES)}")
        yield from found


def _short(path: Path) -> str:
    """Name a file by its folder too: in a data set that is its class."""
    return "/".join(path.parts[-2:])


def _spread(paths: list[Path], most: int) -> list[Path]:
    """Choose evenly, so that a folder sorted by class shows several of them."""
    return [paths[place * len(paths) // most] for place in range(most)] if len(paths) > most else paths


def _seeded(pipeline: Any, seed: int) -> Any:
    pipeline.set_random_seed(seed)
    return pipeline

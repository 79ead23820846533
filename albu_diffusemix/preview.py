"""Contact sheets of what a pipeline makes of a few images, step by step, a row for each (as the paper's figure 4)."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import albumentations as A
import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.backends import BackendSpec
from albu_diffusemix.contact_sheet import Cell, draw_sheet
from albu_diffusemix.fractals import shared_library
from albu_diffusemix.functional import crop, to_rgb, whole_box
from albu_diffusemix.masks import MASKS
from albu_diffusemix.mixing import CounterpartMixin, FractalMixin
from albu_diffusemix.pipelines import as_picture, leaves, load_pipeline
from albu_diffusemix.tracing import TracedCall, trace
from albu_diffusemix.transforms import DiffuseMix, FractalBlend, HalfConcat

__all__ = ["Cell", "contact_sheet", "default_pipeline", "force_ours", "load_pipeline", "steps", "summary"]

Picture = NDArray[np.uint8]

COLUMNS = ("input", "counterpart", "mask", "hybrid", "fractal", "result")
NOTHING = Cell(None, "")


def default_pipeline() -> Any:
    """Return the pipeline to show by default: DiffuseMix with its defaults, on every image.

    Returns:
        A new pipeline.

    """
    return A.Compose([DiffuseMix(p=1)])


def force_ours(pipeline: Any) -> None:
    """Set p of our transforms in a pipeline to 1, so that every row of a sheet shows them.

    Args:
        pipeline: Changed in place, nested pipelines too.

    Raises:
        ValueError: It holds no transform of this package.

    """
    ours = [leaf for leaf in leaves(pipeline) if isinstance(leaf, DiffuseMix | HalfConcat | FractalBlend)]
    if not ours:
        raise ValueError("the pipeline holds no DiffuseMix, HalfConcat or FractalBlend to show")
    for transform in ours:
        transform.p = 1.0


def summary(pipeline: Any) -> str:
    """Return one line that says what a sheet shows: what made the counterparts, and which transforms ran.

    Args:
        pipeline: Any pipeline.

    Returns:
        One line that names what made the counterparts, and the transforms.

    """
    transforms = list(leaves(pipeline))
    backends = {_backend_name(leaf.backend) for leaf in transforms if isinstance(leaf, DiffuseMix | HalfConcat)}
    made = f"Counterparts: {', '.join(sorted(backends))}. " if backends else ""
    return f"{made}Pipeline: {', '.join(type(leaf).__name__ for leaf in transforms)}."


def steps(image: Picture, caption: str, pipeline: Any) -> list[Cell]:
    """Run a pipeline on one image and show what our transforms did inside.

    Args:
        image: (H, W, 3) uint8 RGB.
        caption: What stands below the input.
        pipeline: Any pipeline for a single image.

    Returns:
        One for each of `COLUMNS`; empty where a step did not happen.

    """
    with trace() as calls:
        result = pipeline(image=image)["image"]
    concat = next((call for call in calls if isinstance(call.transform, CounterpartMixin)), None)
    blend = next((call for call in calls if isinstance(call.transform, FractalMixin)), None)
    shown = as_picture(result)
    return [
        Cell(image, caption),
        *(_concat_cells(concat) if concat else [NOTHING] * 3),
        _fractal_cell(blend) if blend else NOTHING,
        Cell(shown, "" if shown is not None else "normalized, or a tensor"),
    ]


def contact_sheet(rows: Iterable[list[Cell]], footer: str) -> Picture:
    """Draw rows of cells below the names of the columns.

    Args:
        rows: As `steps` gives them.
        footer: What stands below all rows, as `summary` says it.

    Returns:
        (H, W, 3) uint8 RGB.

    """
    return draw_sheet(list(rows), COLUMNS, footer)


def _concat_cells(call: TracedCall) -> list[Cell]:
    transform, image, params = cast("CounterpartMixin", call.transform), call.image, call.params
    height, width = image.shape[:2]
    mask, mask_params = MASKS[params["mask_type"]], params["mask_params"]
    source = to_rgb(image)
    [counterpart] = transform.ask(params, [(source, whole_box(image))])
    box = mask.box(height, width, transform.seam_width, mask_params)
    black, white = np.zeros((height, width, 3), np.uint8), np.full((height, width, 3), 255, np.uint8)
    shape = mask.hybrid(black, crop(white, box), transform.seam_width, mask_params)
    if counterpart.image is None:
        return [Cell(None, counterpart.status), Cell(shape, params["mask_type"]), NOTHING]
    hybrid = mask.hybrid(source, crop(counterpart.image, box), transform.seam_width, mask_params)
    return [Cell(counterpart.image, counterpart.prompt), Cell(shape, params["mask_type"]), Cell(hybrid, "")]


def _fractal_cell(call: TracedCall) -> Cell:
    library = shared_library(cast("FractalMixin", call.transform).fractals)
    index = call.params["fractal_index"]
    fractal = library.get(index, call.image.shape[0], call.image.shape[1])
    return Cell(fractal, f"{Path(library.name(index)).stem}, {call.params['alpha']:.2f}")


def _backend_name(spec: BackendSpec) -> str:
    name = spec if isinstance(spec, str) else str(spec["name"])
    return "procedural, not diffusion" if name == "procedural" else name

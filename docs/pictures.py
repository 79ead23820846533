"""Draw the pictures of the documentation again: `make pictures`."""

from pathlib import Path

import cv2
import numpy as np

from albu_diffusemix.backends import Request, create_backend
from albu_diffusemix.demo import demo_photographs, write_pipeline
from albu_diffusemix.fractals import FractalLibrary
from albu_diffusemix.images import write_image
from albu_diffusemix.preview import contact_sheet, load_pipeline, steps, summary
from albu_diffusemix.prompts import PAPER_PROMPTS, RAIN

PICTURES = Path(__file__).parent / "pictures"
DEMO_SEED = 7
TILE = 128


def demo():
    """The sheet that `albu-diffusemix demo` writes."""
    pipeline_file = PICTURES / "pipeline.yaml"
    write_pipeline(pipeline_file)
    pipeline = load_pipeline(pipeline_file)
    pipeline_file.unlink()
    pipeline.set_random_seed(DEMO_SEED)
    return contact_sheet([steps(image, name, pipeline) for name, image in demo_photographs()], summary(pipeline))


def procedural():
    """Every filter on every photograph, below the names of the prompts."""
    backend = create_backend("procedural")
    tiles = [_square(image) for _, image in demo_photographs()]
    columns = [np.concatenate([_caption("source"), *tiles])]
    for prompt in (*PAPER_PROMPTS, RAIN):
        requests = [Request(tile, prompt, 3, None, (0, 0, TILE, TILE)) for tile in tiles]
        made = [counterpart.image for counterpart in backend.generate(requests)]
        columns.append(np.concatenate([_caption(prompt.removeprefix("a sketch with ")), *made]))
    return np.concatenate(columns, axis=1)


def fractals():
    """All built-in fractals, ten in a row."""
    library = FractalLibrary()
    tiles = [library.get(index, 96, 96) for index in range(len(library))]
    return np.concatenate([np.concatenate(tiles[row : row + 10], axis=1) for row in range(0, len(tiles), 10)])


def _square(image):
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = np.ascontiguousarray(image[top : top + side, left : left + side])
    return cv2.resize(square, (TILE, TILE), interpolation=cv2.INTER_AREA)


def _caption(text):
    paper = np.full((24, TILE, 3), 255, np.uint8)
    return cv2.putText(paper, text, (4, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (90, 90, 90), 1, cv2.LINE_AA)


if __name__ == "__main__":
    for draw in (demo, procedural, fractals):
        write_image(PICTURES / f"{draw.__name__}.jpg", draw())

"""Draw the pictures of the documentation again: `make pictures`."""

from pathlib import Path

import albumentations as A
import cv2
import numpy as np

from albu_diffusemix.backends import Request, create_backend
from albu_diffusemix.contact_sheet import draw_text
from albu_diffusemix.demo import demo_photographs, write_pipeline
from albu_diffusemix.fractals import FractalLibrary
from albu_diffusemix.preview import contact_sheet, load_pipeline, steps, summary
from albu_diffusemix.prompts import PAPER_PROMPTS, RAIN
from albu_diffusemix.transforms import DiffuseMix, FractalBlend

PICTURES = Path(__file__).parent / "pictures"
DEMO_SEED = 7
QUALITY = 85
TILE, GAP, CAPTION = 224, 8, 26
FRACTAL = 120
FAINT, FRAME, BOX = (90, 90, 90), (205, 205, 205), (255, 196, 0)
FACE = (64, 4, 132, 84)


def demo():
    """Draw the sheet that `albu-diffusemix demo` writes."""
    pipeline_file = PICTURES / "pipeline.yaml"
    write_pipeline(pipeline_file)
    pipeline = load_pipeline(pipeline_file)
    pipeline_file.unlink()
    pipeline.set_random_seed(DEMO_SEED)
    return contact_sheet([steps(image, name, pipeline) for name, image in demo_photographs()], summary(pipeline))


def procedural():
    """Draw every filter on two photographs, below its prompt."""
    photographs = dict(demo_photographs())
    tiles = [square(photographs[name]) for name in ("astronaut", "coffee")]
    columns = [np.concatenate([framed("source", tile) for tile in tiles])]
    for prompt in (*PAPER_PROMPTS, RAIN):
        columns.append(np.concatenate([framed(prompt, counterpart_of(tile, prompt)) for tile in tiles]))  # noqa: PERF401
    return in_fours([*columns, np.full_like(columns[0], 255)])


def fractals():
    """Draw all built-in fractals, ten in a row."""
    library = FractalLibrary()
    tiles = [library.get(index, FRACTAL, FRACTAL) for index in range(len(library))]
    return np.concatenate([np.concatenate(tiles[row : row + 10], axis=1) for row in range(0, len(tiles), 10)])


def masks():
    """Draw each kind of mask above the hybrid that it makes."""
    image = square(dict(demo_photographs())["chelsea"])
    kinds = [
        *((kind, kind, 0.0, 1) for kind in ("left", "right", "top", "bottom")),
        ("left, seam_width=0.3", "left", 0.3, 1),
        ("cutmix", "cutmix", 0.0, 5),
        ("mixup", "mixup", 0.0, 7),
        ("whole", "whole", 0.0, 1),
    ]
    columns = []
    for caption, kind, seam_width, seed in kinds:
        transform = DiffuseMix(mask_types=(kind,), seam_width=seam_width, prompts=("autumn",), p=1)
        cells = steps(image, "", A.Compose([transform], seed=seed))
        columns.append(np.concatenate([framed(caption, cells[2].picture), framed("", cells[3].picture)]))
    return in_fours(columns)


def pipelines():
    """Draw what a few pipelines make of a photograph: it, and three draws of each pipeline."""
    image = square(dict(demo_photographs())["astronaut"])
    crop = A.RandomResizedCrop((TILE, TILE), scale=(0.5, 1))
    rows = [
        ("FractalBlend", [FractalBlend(p=1)]),
        ("DiffuseMix", [DiffuseMix(p=1)]),
        ('DiffuseMix, mask_types=("cutmix",)', [DiffuseMix(mask_types=("cutmix",), p=1)]),
        ("DiffuseMix, RandomResizedCrop, HorizontalFlip", [DiffuseMix(p=1), crop, A.HorizontalFlip()]),
        ("DiffuseMix, Affine, with a bounding box", [DiffuseMix(p=1), A.Affine(rotate=(-20, 20), p=1)]),
    ]
    bands = []
    for seed, (caption, transforms) in enumerate(rows, 3):
        boxes = [FACE] if "box" in caption else []
        params = A.BboxParams("pascal_voc", label_fields=["names"]) if boxes else None
        pipeline = A.Compose(transforms, bbox_params=params, seed=seed)
        tiles = [with_boxes(image, boxes), *(outcome(pipeline, image, boxes) for _ in range(3))]
        bands.append(np.concatenate([framed("", tile) for tile in tiles], axis=1))
        draw_text(bands[-1], caption, (GAP, 18), 0.5, FAINT)
    return np.concatenate(bands)


def outcome(pipeline, image, boxes):
    """Call a pipeline, and draw the boxes into its image."""
    given = {"bboxes": boxes, "names": ["face"] * len(boxes)} if boxes else {}
    made = pipeline(image=image, **given)
    return with_boxes(made["image"], made.get("bboxes", []))


def with_boxes(image, boxes):
    """Draw boxes into a copy of an image."""
    picture = image.copy()
    for x_min, y_min, x_max, y_max in np.rint(boxes).astype(int):
        cv2.rectangle(picture, (x_min, y_min), (x_max, y_max), BOX, 2)
    return picture


def counterpart_of(tile, prompt):
    """Make a procedural counterpart of a whole tile."""
    request = Request(tile, prompt, 3, None, (0, 0, TILE, TILE))
    return create_backend("procedural").generate([request])[0].image


def square(image):
    """Cut the middle out of an image, as a tile."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    middle = np.ascontiguousarray(image[top : top + side, left : left + side])
    return cv2.resize(middle, (TILE, TILE), interpolation=cv2.INTER_AREA)


def in_fours(columns):
    """Lay columns out, four beside each other."""
    return np.concatenate([np.concatenate(columns[row : row + 4], axis=1) for row in range(0, len(columns), 4)])


def framed(caption, tile):
    """Put a tile on paper, below its caption."""
    paper = np.full((TILE + CAPTION + GAP, TILE + GAP, 3), 255, np.uint8)
    paper[CAPTION : CAPTION + TILE, GAP // 2 : GAP // 2 + TILE] = tile
    cv2.rectangle(paper, (GAP // 2, CAPTION), (GAP // 2 + TILE - 1, CAPTION + TILE - 1), FRAME)
    draw_text(paper, caption, (GAP, 18), 0.5, FAINT)
    return paper


if __name__ == "__main__":
    for draw in (demo, procedural, fractals, masks, pipelines):
        picture = cv2.cvtColor(draw(), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(PICTURES / f"{draw.__name__}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])

"""Procedural filters of art: watercolor, mosaic, ukiyo-e, crayon. OpenCV, not diffusion."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.backends.procedural.tools import (
    SUBPIXEL_BITS,
    Color,
    Image,
    Plane,
    as_float,
    as_image,
    blend,
    blur,
    draw_lines,
    edge_strength,
    fixed_point,
    flatten,
    grid,
    luma,
    noise,
    resize,
    rgb,
    saturate,
    side_of,
    smoothstep,
    stretch,
    times,
    tinted,
)

PAPERS = ((1.0, 0.985, 0.95), (0.99, 0.965, 0.91), (0.98, 0.985, 0.99))
GROUTS = ((0.78, 0.74, 0.68), (0.16, 0.14, 0.14), (0.50, 0.46, 0.43))
INK = (0.10, 0.09, 0.13)
WOODBLOCKS = (
    (0.12, 0.11, 0.16),
    (0.10, 0.21, 0.39),
    (0.25, 0.42, 0.60),
    (0.59, 0.73, 0.77),
    (0.95, 0.90, 0.77),
    (0.87, 0.77, 0.58),
    (0.85, 0.62, 0.27),
    (0.79, 0.27, 0.17),
    (0.52, 0.26, 0.17),
    (0.28, 0.41, 0.31),
    (0.56, 0.61, 0.39),
    (0.93, 0.75, 0.60),
    (0.50, 0.50, 0.47),
)
WASHI = (0.93, 0.875, 0.75)
SEAL = (0.76, 0.17, 0.12)
TITLE = ((0.94, 0.84, 0.58), (0.93, 0.80, 0.72), (0.80, 0.86, 0.80))
BOKASHI = ((0.09, 0.22, 0.44), (0.09, 0.22, 0.44), (0.76, 0.25, 0.18))

Frame = tuple[float, float, float, float]
"""Left, top, width and height in [0, 1] of the picture."""


def watercolor(image: Image, rng: np.random.Generator) -> Image:
    """Transparent washes that pool at their edges over a pencil drawing, on grained paper with a ragged rim."""
    scene = as_float(image)
    flat = flatten(flatten(scene, 0.008), 0.014)
    luminous = saturate(np.power(flat, np.float32(0.7)), rng.uniform(1.45, 1.8))
    density = np.clip(_wash_density(luma(flat), rng), 0.25, 2.4)
    pigment = np.power(np.maximum(luminous, np.float32(0.03)), rgb(density))
    pencil = 0.45 * smoothstep(0.004, 0.035, blur(luma(scene), 0.007) - blur(luma(scene), 0.003))
    drawn = blend(pigment, (0.25, 0.22, 0.26), pencil)
    paper = PAPERS[rng.integers(len(PAPERS))]
    painted = blend(times(drawn, paper), paper, _bare_paper(scene, rng))
    tooth = 0.6 * noise(scene, 110, rng) + 0.4 * noise(scene, 55, rng)
    return as_image(painted * rgb(0.92 + 0.12 * tooth))


def _wash_density(tone: Plane, rng: np.random.Generator) -> Plane:
    """How thick the paint lies: it clouds at random, granulates, and gathers where a wash ends."""
    clouds = 0.35 + 1.05 * noise(tone, 4, rng, octaves=3)
    wobble = tone + 0.12 * (noise(tone, 12, rng, octaves=2) - 0.5)
    steps = np.floor(wobble * 5).astype(np.float32)
    pools = np.clip(blur(steps, 0.007) - steps, 0, 1) * (0.35 + smoothstep(0.03, 0.15, edge_strength(tone, 0.01)))
    grains = 0.3 * (noise(tone, 80, rng) - 0.5)
    return np.asarray(clouds + 0.9 * pools + grains, np.float32)


def _bare_paper(scene: Plane, rng: np.random.Generator) -> Plane:
    """Where no paint fell: a rim that the brush left ragged."""
    rows, columns = grid(scene)
    rim = np.minimum(np.minimum(rows, 1 - rows), np.minimum(columns, 1 - columns))
    ragged = rim + 0.03 * (noise(scene, (40, 5), rng) + noise(scene, (5, 40), rng) - 1) + 0.025 * noise(scene, 7, rng)
    return smoothstep(0.052, 0.042, ragged)


def mosaic(image: Image, rng: np.random.Generator) -> Image:
    """Glazed tiles in grout; each tile turns with the lines of the picture and has one colour."""
    scene = as_float(image)
    vivid = saturate(blend(scene, stretch(scene), 0.6), 1.45)
    grout = tinted(0.9 + 0.2 * noise(scene, 90, rng), GROUTS[rng.integers(len(GROUTS))])
    cell = max(2, round(rng.uniform(0.026, 0.034) * side_of(scene)))
    label, gap, bevel = _tesserae(vivid, cell, rng)
    glazed = _fired_colors(vivid, label, rng)[label] + rgb(0.14 * bevel)
    stained = blend(grout, glazed, 0.4)
    return as_image(blend(stained, glazed, smoothstep(0.06, 0.08 + min(1.2 / cell, 0.2), gap)))


def _fired_colors(scene: Plane, label: NDArray[np.intp], rng: np.random.Generator) -> Plane:
    """Each tile's mean colour, a little off as every firing is."""
    flat = label.ravel()
    area = np.maximum(np.bincount(flat), 1)
    means = np.stack([np.bincount(flat, channel.ravel()) / area for channel in cv2.split(scene)], axis=1)
    fired = means * rng.uniform(0.84, 1.14, (len(area), 1)) + rng.uniform(-0.035, 0.035, (len(area), 3))
    return fired.astype(np.float32)


def _tesserae(scene: Plane, cell: int, rng: np.random.Generator) -> tuple[NDArray[np.intp], Plane, Plane]:
    """For each pixel its tile, how far the next tile is beyond it, and its height on the bevel; unit: cells.

    A tile is where its own square reaches first: squares stand on a jittered grid, turned with the picture's lines.
    """
    height, width = scene.shape[:2]
    squares = _squares(scene, cell, rng)
    index = np.arange(squares[0].size).reshape(squares[0].shape)
    down, across = np.mgrid[0:height, 0:width].astype(np.float32) / np.float32(cell)
    best, second = np.full((2, height, width), np.inf, np.float32)
    label, bevel = np.zeros((height, width), np.intp), np.zeros((height, width), np.float32)
    for row, column in np.ndindex(3, 3):
        window = np.s_[..., row : index.shape[0] - 2 + row, column : index.shape[1] - 2 + column]
        center_y, center_x, cosine, sine = _enlarge(squares[window], cell, (height, width))
        y, x = down - center_y, across - center_x
        away = np.maximum(np.abs(x * cosine + y * sine), np.abs(y * cosine - x * sine))
        nearer = away < best
        second = np.minimum(second, np.maximum(best, away))
        best = np.minimum(best, away)
        np.copyto(label, _enlarge(index[window], cell, (height, width)), where=nearer)
        np.copyto(bevel, -x - y, where=nearer)
    return label, second - best, bevel


def _squares(scene: Plane, cell: int, rng: np.random.Generator) -> Plane:
    """Row, column, cosine and sine of the grid's squares, one ring of them beyond the picture."""
    rows, columns = -(-scene.shape[0] // cell) + 2, -(-scene.shape[1] // cell) + 2
    centers = np.mgrid[-1 : rows - 1, -1 : columns - 1] + rng.uniform(0.37, 0.63, (2, rows, columns))
    double = resize(_line_direction(scene), (rows, columns), cv2.INTER_AREA)
    angle = np.arctan2(double[..., 1], double[..., 0]) / 2
    return np.stack([*centers, np.cos(angle), np.sin(angle)]).astype(np.float32)


def _enlarge(values: NDArray[Any], cell: int, size: tuple[int, int]) -> NDArray[Any]:
    return values.repeat(cell, axis=-2).repeat(cell, axis=-1)[..., : size[0], : size[1]]


def _line_direction(scene: Plane) -> Plane:
    """Cosine and sine of twice the angle across the picture's lines, averaged over a neighbourhood."""
    soft = blur(luma(scene), 0.008)
    across, down = cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1)
    tensor = np.dstack([across * across - down * down, 2 * across * down])
    return blur(np.asarray(tensor, np.float32), 0.025)


def ukiyo_e(image: Image, rng: np.random.Generator) -> Image:
    """A woodblock print: few flat colours, ink outlines, a graded sky, washi, a title strip and a seal."""
    scene = as_float(image)
    flat = flatten(flatten(scene, 0.01), 0.016)
    blocks = _woodblock_colors(saturate(stretch(flat), 1.35), rng)
    wood = 1 - 0.12 * smoothstep(0.45, 0.8, noise(scene, (60, 3), rng, octaves=2))
    printed = _bokashi(blocks * rgb(wood), rng)
    fine, wide = blur(luma(scene), 0.0035), blur(luma(scene), 0.0065)
    inked = blend(printed, INK, smoothstep(0.006, 0.03, wide - fine))
    fibres = 0.94 + 0.1 * noise(scene, (30, 90), rng)
    sheet = as_image(_margin(inked) * rgb(fibres))
    _title_and_seal(sheet, rng)
    return sheet


def _woodblock_colors(scene: Plane, rng: np.random.Generator) -> Plane:
    """The nearest colour of a limited palette, hue before lightness."""
    palette = np.clip(np.array(WOODBLOCKS) * rng.uniform(0.9, 1.1, (len(WOODBLOCKS), 3)), 0, 1).astype(np.float32)
    have = np.asarray(cv2.cvtColor(palette[None], cv2.COLOR_RGB2Lab), np.float32)[0]
    want = cv2.split(cv2.cvtColor(scene, cv2.COLOR_RGB2Lab))
    least, nearest = np.full(want[0].shape, np.inf, np.float32), np.zeros(want[0].shape, np.uint8)
    for index, (light, green_red, blue_yellow) in enumerate(have):
        hue = np.square(want[1] - green_red) + np.square(want[2] - blue_yellow)
        distance = np.square(want[0] - light) + np.float32(2.25) * hue
        np.copyto(nearest, index, where=distance < least)
        least = np.minimum(least, distance)
    table = np.zeros((1, 256, 3), np.float32)
    table[0, : len(palette)] = palette
    return np.asarray(cv2.LUT(cv2.cvtColor(nearest, cv2.COLOR_GRAY2RGB), table), np.float32)


def _bokashi(scene: Plane, rng: np.random.Generator) -> Plane:
    """The printer's gradation: wet colour wiped along the upper edge."""
    rows, columns = grid(scene)
    color = BOKASHI[rng.integers(len(BOKASHI))]
    cover = 0.95 * smoothstep(rng.uniform(0.25, 0.4), 0.0, rows + 0 * columns)
    return blend(scene, tinted(0.35 + 0.75 * luma(scene), color), cover)


def _margin(scene: Plane) -> Plane:
    """An inked frame and a rim of bare washi."""
    rows, columns = grid(scene)
    height, width = scene.shape[:2]
    inward = np.minimum(np.minimum(rows, 1 - rows) * height, np.minimum(columns, 1 - columns) * width)
    inward = inward / side_of(scene)
    framed = blend(scene, INK, smoothstep(0.028, 0.024, inward))
    return blend(framed, WASHI, smoothstep(0.021, 0.017, inward))


def _title_and_seal(sheet: Image, rng: np.random.Generator) -> None:
    """Draw a strip of brush strokes that only look like writing, and a red seal below it, in an upper corner."""
    height, width = sheet.shape[:2]
    wide, tall = 0.085 * side_of(sheet) / width, 0.085 * side_of(sheet) / height
    left = 0.05 if rng.random() < 0.5 else 0.95 - wide  # noqa: PLR2004 - a coin
    _panel(sheet, (left, 0.05, wide, 3.4 * tall), TITLE[rng.integers(len(TITLE))], INK)
    places = [(left, 0.05 + (0.2 + glyph) * tall, wide, tall) for glyph in range(3)]
    draw_lines(sheet, [line for place in places for line in _glyph(place, rng)], 0.006, _levels(INK))
    seal = (left + 0.1 * wide, 0.05 + 3.55 * tall, 0.8 * wide, 0.8 * tall)
    _panel(sheet, seal, SEAL, SEAL)
    draw_lines(sheet, _glyph(seal, rng), 0.006, _levels(WASHI))


def _panel(sheet: Image, box: Frame, color: Color, frame: Color) -> None:
    left, top, wide, tall = box
    corners = np.array([[left, top], [left + wide, top], [left + wide, top + tall], [left, top + tall], [left, top]])
    points = fixed_point(corners * (sheet.shape[1], sheet.shape[0]))
    cv2.fillPoly(sheet, [points], _levels(color), cv2.LINE_AA, SUBPIXEL_BITS)
    draw_lines(sheet, [corners], 0.006, _levels(frame))


def _glyph(box: Frame, rng: np.random.Generator) -> list[NDArray[np.float64]]:
    left, top, wide, tall = box
    levels, halves = np.sort(rng.uniform(0.15, 0.8, 3)), rng.uniform(0.15, 0.32, 3)
    bars = [np.array([[0.5 - half, at], [0.5 + half, at - 0.04]]) for at, half in zip(levels, halves, strict=True)]
    stem = np.array([[0.5, 0.08], [rng.uniform(0.44, 0.56), 0.85]])
    sweep = np.array([[0.48, 0.45], [0.36, 0.68], [rng.uniform(0.18, 0.3), 0.86]])
    lines = [*bars, stem, sweep, sweep * (-1, 1) + (1, 0)]
    return [line * (wide, tall) + (left, top) for line in lines]


def _levels(color: Color) -> Color:
    return (255 * color[0], 255 * color[1], 255 * color[2])


def crayon(image: Image, rng: np.random.Generator) -> Image:
    """Waxy strokes that catch on the tooth of white paper, laid in several directions, with drawn outlines."""
    scene = as_float(image)
    flat = flatten(scene, 0.012)
    tone = luma(stretch(flat))
    wax = saturate(np.clip(flat * 1.1 + 0.06, 0, 1), rng.uniform(1.7, 2.1))
    tooth, hatch = noise(scene, 130, rng), _hatching(scene, rng)
    press = 0.62 * smoothstep(1.05, 0.15, tone) + 0.12 * smoothstep(0.02, 0.2, _colorfulness(wax))
    body = smoothstep(0.0, 0.3, 0.62 * hatch + 0.38 * tooth - 0.55 + press) * (0.62 + 0.36 * hatch)
    sheet = blend(np.full_like(scene, 0.985), wax * rgb(1.12 - 0.3 * hatch), body)
    across = _strokes(scene, rng.uniform(100, 150), rng)
    deep = smoothstep(0.0, 0.2, 0.65 * across + 0.35 * tooth - 0.3 - 0.8 * tone)
    sheet = blend(sheet, wax * np.float32(0.45), deep * 0.7)
    outline = smoothstep(0.10, 0.35, edge_strength(luma(flat), 0.006)) * smoothstep(0.15, 0.5, tooth)
    return as_image(blend(sheet, wax * np.float32(0.28), outline * 0.9))


def _colorfulness(light: Plane) -> Plane:
    red, green, blue = cv2.split(light)
    most, least = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    return np.asarray(most - least, np.float32)


def _hatching(scene: Plane, rng: np.random.Generator) -> Plane:
    """Noise drawn out along strokes whose direction changes from patch to patch."""
    first = rng.uniform(20, 70)
    patches = noise(scene, 5, rng)
    total = _strokes(scene, first, rng)
    for turn, level in ((55, 0.42), (110, 0.6)):
        total = blend(total, _strokes(scene, first + turn, rng), smoothstep(level - 0.01, level + 0.01, patches))
    return total


def _strokes(scene: Plane, angle: float, rng: np.random.Generator) -> Plane:
    height, width = scene.shape[:2]
    straight = noise(scene, (70, 6), rng)
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
    turned = cv2.warpAffine(straight, turn, (width, height), borderMode=cv2.BORDER_REFLECT)
    return np.asarray(turned, np.float32)

"""The arithmetic of DiffuseMix on plain arrays: no transform, no randomness, no files.

Images are uint8 in [0, 255] or float32 in [0, 1], of shape (H, W), (H, W, 1) or (H, W, C) with C >= 3, of which the
first three channels are RGB. Inputs are never written to, unless named as `out`; outputs are contiguous, of the
input's shape and dtype.
"""

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "HALVES",
    "Box",
    "Half",
    "Image",
    "Piece",
    "check_image",
    "crop",
    "cutmix",
    "cutmix_box",
    "cutmix_pieces",
    "fractal_blend",
    "half_box",
    "half_concat",
    "half_pieces",
    "join",
    "match_format",
    "mixup",
    "prepare_image",
    "to_rgb",
    "whole_box",
]

Image: TypeAlias = NDArray[Any]
Box: TypeAlias = tuple[int, int, int, int]
"""`(x_min, y_min, x_max, y_max)` in pixels, the upper ends excluded."""

Piece: TypeAlias = tuple[Box, Image]
"""Where a part of a hybrid lies, and its pixels: at least one, often a view. The pieces of a hybrid cover it once; what
comes next can take them where they lie, with no copy in between."""

Half = Literal["left", "right", "top", "bottom"]
HALVES: tuple[Half, ...] = get_args(Half)

RGB_CHANNELS = 3
_MOST_OVERSHOOT = 0.1  # what cubic resizing and sharpening leave beyond [0, 1]


def check_image(image: Any) -> None:
    """Refuse what is not an image.

    Args:
        image: The candidate.

    Raises:
        TypeError: It is not a NumPy array.
        ValueError: Its dtype, its number of dimensions or channels, or a side of zero is not allowed; or values of
            float32 lie outside [0, 1] by more than 0.1, or are not numbers.

    """
    _check_format(image)
    _value_range(image)


def prepare_image(image: Any) -> Image:
    """Return an image as the arithmetic takes it: contiguous, and where float32 overshoots [0, 1] a little, clipped.

    Args:
        image: The candidate.

    Returns:
        The image itself where it is contiguous and in its range, else a copy. Channels beyond the third
            keep their values.

    Raises:
        TypeError: As `check_image`.
        ValueError: As `check_image`.

    """
    _check_format(image)
    low, high = _value_range(image)
    prepared: Image = np.ascontiguousarray(image)
    if low < 0 or high > 1:
        prepared = image.copy()
        np.clip(_rgb_of(prepared), 0, 1, out=_rgb_of(prepared))
    return prepared


def _check_format(image: Any) -> None:
    if not isinstance(image, np.ndarray):
        raise TypeError(f"image must be a NumPy array of shape (H, W) or (H, W, C); got {type(image).__name__}")
    if image.dtype not in (np.uint8, np.float32):
        raise ValueError(f"image must be uint8 in [0, 255] or float32 in [0, 1]; got dtype {image.dtype}")
    if image.ndim not in (2, 3):
        raise ValueError(f"image must be of shape (H, W) or (H, W, C); got shape {image.shape}")
    if 0 in image.shape:
        raise ValueError(f"image must be at least 1x1 with at least one channel; got shape {image.shape}")
    if image.ndim == RGB_CHANNELS and image.shape[2] == 2:  # noqa: PLR2004  grey has one, RGB three
        raise ValueError(f"image must have 1 channel (grey), 3 (RGB) or more (RGB first); got 2 in shape {image.shape}")


def _rgb_of(image: Image) -> Image:
    return image[..., :RGB_CHANNELS] if image.ndim == RGB_CHANNELS else image


def _value_range(image: Image) -> tuple[float, float]:
    """Return the least and the greatest value, as parts of the whole range; only float32 is looked through."""
    if image.dtype == np.uint8:
        return 0, 1
    low, high = float(_rgb_of(image).min()), float(_rgb_of(image).max())
    if -_MOST_OVERSHOOT <= low <= high <= 1 + _MOST_OVERSHOOT:
        return low, high
    if np.isnan(low):
        raise ValueError("image of float32 must hold numbers in [0, 1]; got NaN: look for it before DiffuseMix")
    advice = (
        "if its range is 0 to 255, divide it by 255"
        if low >= -_MOST_OVERSHOOT
        else "put DiffuseMix before A.Normalize, which gives such values"
    )
    raise ValueError(f"image of float32 must lie in [0, 1]; got values from {low:.4g} to {high:.4g}: {advice}")


def crop(image: Image, box: Box) -> Image:
    """Return a view of a part of the image.

    Args:
        image: (H, W) or (H, W, C).
        box: `(x_min, y_min, x_max, y_max)` in pixels, upper ends excluded.

    Returns:
        A view, not contiguous in general.

    """
    x_min, y_min, x_max, y_max = box
    return image[y_min:y_max, x_min:x_max]


def whole_box(image: Image) -> Box:
    """Return the box of all pixels.

    Args:
        image: (H, W) or (H, W, C).

    Returns:
        `(0, 0, W, H)`.

    """
    return (0, 0, image.shape[1], image.shape[0])


def half_box(height: int, width: int, mask_type: Half, seam_width: float = 0.0) -> Box:
    """Return the part of the counterpart that `half_concat` uses.

    Args:
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        mask_type: The half: "left", "right", "top" or "bottom". Of an odd side, left and top are the smaller.
        seam_width: Length of the soft seam as a fraction of the divided side, in [0, 1]. Default: 0.

    Returns:
        `(x_min, y_min, x_max, y_max)`, the half widened by its share of the seam.

    Raises:
        ValueError: `mask_type` names no half, or `seam_width` lies outside [0, 1].

    Examples:
        >>> from albu_diffusemix.functional import half_box
        >>> half_box(480, 640, "right")
        (320, 0, 640, 480)

    """
    if mask_type not in HALVES:
        raise ValueError(f"mask_type must be one of {', '.join(HALVES)}; got {mask_type!r}")
    if not 0 <= seam_width <= 1:
        raise ValueError(f"seam_width must lie in [0, 1], as a fraction of the side; got {seam_width}")
    side = width if mask_type in ("left", "right") else height
    start, end = _seam(side, seam_width)
    return {
        "left": (0, 0, end, height),
        "right": (start, 0, width, height),
        "top": (0, 0, width, end),
        "bottom": (0, start, width, height),
    }[mask_type]


def half_concat(image: Image, counterpart: Image, mask_type: Half, seam_width: float = 0.0) -> Image:
    """Concatenate a half of the counterpart with the other half of the image (paper, equation 1).

    `H = C * M + I * (1 - M)`, with M one on the half named by `mask_type`. With a soft seam of n pixels, M climbs over
    the middle from 0 to 1 in n even steps, both ends included.

    Args:
        image: I, (H, W) or (H, W, C), uint8 or float32.
        counterpart: C, of the image's shape and dtype; or only the part of it that `half_box` names.
        mask_type: Where the counterpart goes: "left", "right", "top" or "bottom".
        seam_width: Length of the soft seam as a fraction of the divided side, in [0, 1]; 0 is the paper's hard
            edge. Default: 0.

    Returns:
        The hybrid, of the image's shape and dtype.

    Raises:
        ValueError: A bad `mask_type` or `seam_width`, or a counterpart that does not fit.

    References:
        DiffuseMix: https://arxiv.org/abs/2405.14881, section 3.2, equation 1

    Examples:
        >>> import numpy as np
        >>> from albu_diffusemix.functional import half_concat
        >>> image, counterpart = np.zeros((2, 4), np.uint8), np.full((2, 4), 9, np.uint8)
        >>> half_concat(image, counterpart, "right")
        array([[0, 0, 9, 9],
               [0, 0, 9, 9]], dtype=uint8)

    """
    return join(half_pieces(image, counterpart, mask_type, seam_width), np.empty(image.shape, image.dtype))


def half_pieces(image: Image, counterpart: Image, mask_type: Half, seam_width: float = 0.0) -> list[Piece]:
    """Return the pieces that `half_concat` joins: the half of the counterpart, the rest of the image, the seam.

    Args:
        image: As for `half_concat`, and so are the others.
        counterpart: C.
        mask_type: The half.
        seam_width: Of the soft seam. Default: 0.

    Returns:
        Two of them, or three with a seam; fewer where the image has only one row or column.

    Raises:
        ValueError: As for `half_concat`.

    """
    height, width = image.shape[:2]
    box = half_box(height, width, mask_type, seam_width)
    part = _part_of(counterpart, image, box)
    across = mask_type in ("left", "right")
    side = width if across else height
    start, end = _seam(side, seam_width)
    part_first = mask_type in ("left", "top")
    in_part, in_image = ((0, start), (end, side)) if part_first else ((end, side), (0, start))
    strips = [(in_part, part, box), (in_image, image, (0, 0, width, height))]
    pieces = [_strip(source, placed, across, *span) for span, source, placed in strips if span[0] < span[1]]
    if start < end:
        weight = _ramp(end - start, rising=not part_first)
        shape = [-1 if axis == across else 1 for axis in range(image.ndim)]
        place, mixed_in = _strip(part, box, across, start, end)
        pieces.append((place, _mix(crop(image, place), mixed_in, weight.reshape(shape))))
    return pieces


def cutmix_box(height: int, width: int, center_x: float, center_y: float, area: float) -> Box:
    """Place a box of the image's proportions, cut off at the image's border (CutMix, section 3.1).

    Args:
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        center_x: Centre as a fraction of the width, in [0, 1].
        center_y: Centre as a fraction of the height, in [0, 1].
        area: Area of the whole box as a fraction of the image's, in [0, 1].

    Returns:
        `(x_min, y_min, x_max, y_max)`; it may be empty.

    References:
        CutMix: https://arxiv.org/abs/1905.04899

    Examples:
        >>> from albu_diffusemix.functional import cutmix_box
        >>> cutmix_box(100, 200, center_x=0.5, center_y=0.5, area=0.25)
        (50, 25, 150, 75)

    """
    box_width, box_height = round(width * area**0.5), round(height * area**0.5)
    x_min, y_min = int(center_x * width) - box_width // 2, int(center_y * height) - box_height // 2
    return (
        min(max(x_min, 0), width),
        min(max(y_min, 0), height),
        min(max(x_min + box_width, 0), width),
        min(max(y_min + box_height, 0), height),
    )


def cutmix(image: Image, counterpart: Image, box: Box) -> Image:
    """Paste a box of the counterpart (paper, appendix 4: "CutMix + DiffuseMix").

    Args:
        image: (H, W) or (H, W, C), uint8 or float32.
        counterpart: Of the image's shape and dtype; or only the part of it that `box` names.
        box: `(x_min, y_min, x_max, y_max)` in pixels, inside of the image.

    Returns:
        The hybrid, of the image's shape and dtype.

    Raises:
        ValueError: The counterpart does not fit.

    """
    return join(cutmix_pieces(image, counterpart, box), np.empty(image.shape, image.dtype))


def cutmix_pieces(image: Image, counterpart: Image, box: Box) -> list[Piece]:
    """Return the pieces that `cutmix` joins: the box of the counterpart, and the image around it.

    Args:
        image: As for `cutmix`, and so are the others.
        counterpart: C.
        box: `(x_min, y_min, x_max, y_max)` in pixels, inside of the image.

    Returns:
        Up to five of them.

    Raises:
        ValueError: The counterpart does not fit.

    """
    height, width = image.shape[:2]
    x_min, y_min, x_max, y_max = box
    around = (0, 0, width, y_min), (0, y_min, x_min, y_max), (x_max, y_min, width, y_max), (0, y_max, width, height)
    pieces = [(box, _part_of(counterpart, image, box)), *[(side, crop(image, side)) for side in around]]
    return [piece for piece in pieces if piece[1].size > 0]


def mixup(image: Image, counterpart: Image, weight: float) -> Image:
    """Blend image and counterpart, `weight * C + (1 - weight) * I` (paper, appendix 4: "Mixup + DiffuseMix").

    Args:
        image: I, (H, W) or (H, W, C), uint8 or float32.
        counterpart: C, of the image's shape and dtype.
        weight: Share of the counterpart, in [0, 1].

    Returns:
        The hybrid, of the image's shape and dtype.

    Raises:
        ValueError: The counterpart does not fit.

    References:
        mixup: https://arxiv.org/abs/1710.09412

    """
    return _blend(image, _part_of(counterpart, image, whole_box(image)), weight)


def join(pieces: Sequence[Piece], out: Image) -> Image:
    """Put the pieces of a hybrid together.

    Args:
        pieces: They cover `out`.
        out: Where to write the hybrid, of the pieces' dtype; nothing that a piece is a view of.

    Returns:
        `out`.

    """
    for box, piece in pieces:
        crop(out, box)[...] = piece
    return out


def fractal_blend(image: Image, fractal: Image, alpha: float, out: Image | None = None) -> Image:
    """Blend a fractal into the image, `A = alpha * F + (1 - alpha) * H` (paper, equation 2).

    Args:
        image: H, (H, W) or (H, W, C), uint8 or float32.
        fractal: F, of the image's shape and dtype; uint8 also goes with an image of float32.
        alpha: The fractal's opacity, the paper's lambda, in [0, 1]; 0.2 in the paper's experiments.
        out: Where to write the result: an array of the image's shape and dtype, or a box of one,
            which may be the image or the fractal itself. Default: a new one.

    Returns:
        The blended image, of the image's shape and dtype; uint8 is rounded, not cut off.

    Raises:
        ValueError: `alpha` lies outside [0, 1], or the fractal does not fit.

    References:
        DiffuseMix: https://arxiv.org/abs/2405.14881, section 3.2, equation 2

    Examples:
        >>> import numpy as np
        >>> from albu_diffusemix.functional import fractal_blend
        >>> fractal_blend(np.full((1, 2), 100, np.uint8), np.full((1, 2), 200, np.uint8), alpha=0.2)
        array([[120, 120]], dtype=uint8)

    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must lie in [0, 1]; got {alpha}")
    if fractal.shape != image.shape or fractal.dtype not in (image.dtype, np.uint8):
        raise ValueError(f"fractal must match the image, {_format(image)}; got {_format(fractal)}")
    return _blend(image, fractal, alpha, out)


def to_rgb(image: Image) -> NDArray[np.uint8]:
    """Rewrite an image as what every backend sees.

    Args:
        image: (H, W), (H, W, 1) or (H, W, C), uint8 or float32.

    Returns:
        (H, W, 3) uint8 RGB, contiguous. Grey is replicated; of more than three channels the first three
        are taken; float32 is rounded to the nearest of 256 levels.

    """
    rgb = image[..., :RGB_CHANNELS] if image.ndim == RGB_CHANNELS else image[..., np.newaxis]
    if rgb.shape[2] == 1:
        rgb = np.repeat(rgb, RGB_CHANNELS, axis=2)
    if rgb.dtype == np.float32:
        rgb = np.rint(np.clip(rgb, 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(rgb)


def match_format(rgb: NDArray[np.uint8], target: Image) -> Image:
    """Rewrite uint8 RGB in the dtype and channels of `target`: the way back from `to_rgb`.

    Args:
        rgb: (H, W, 3) uint8.
        target: (H, W), (H, W, 1) or (H, W, C), uint8 or float32, of the same height and width, which
                may be zero.

    Returns:
        Of the target's shape and dtype. Grey is the luma of BT.601; channels beyond the third are
            the target's own.

    """
    if target.size == 0:
        return target
    if target.ndim == 2 or target.shape[2] == 1:  # noqa: PLR2004  (H, W) is grey
        converted: Image = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).reshape(target.shape)
    else:
        converted = rgb
    if target.dtype == np.float32:
        converted = converted * np.float32(1 / 255)
    if converted.shape != target.shape:
        converted = np.concatenate([converted, target[..., RGB_CHANNELS:]], axis=2)
    return converted


def _seam(side: int, seam_width: float) -> tuple[int, int]:
    length = round(seam_width * side)
    start = side // 2 - length // 2
    return start, start + length


def _ramp(length: int, *, rising: bool) -> NDArray[np.float32]:
    ramp = np.linspace(0, 1, length, dtype=np.float32) if length > 1 else np.full(1, 0.5, np.float32)
    return ramp if rising else 1 - ramp


def _part_of(counterpart: Image, image: Image, box: Box) -> Image:
    if counterpart.dtype == image.dtype and counterpart.shape[2:] == image.shape[2:]:
        if counterpart.shape == image.shape:
            return crop(counterpart, box)
        if counterpart.shape[:2] == (box[3] - box[1], box[2] - box[0]):
            return counterpart
    raise ValueError(f"counterpart must match the image, {_format(image)}; got {_format(counterpart)}")


def _format(image: Image) -> str:
    return f"shape {image.shape} and dtype {image.dtype}"


def _strip(source: Image, placed: Box, across: bool, first: int, last: int) -> Piece:  # noqa: FBT001  private
    """Cut columns (`across`) or rows of the image, `first` to `last`, out of what lies `placed` in it."""
    x_min, y_min, x_max, y_max = placed
    if across:
        return (first, y_min, last, y_max), source[:, first - x_min : last - x_min]
    return (x_min, first, x_max, last), source[first - y_min : last - y_min]


def _mix(image: Image, part: Image, weight: NDArray[np.float32]) -> Image:
    mixed = image * (1 - weight) + part * weight
    return np.rint(mixed).astype(np.uint8) if image.dtype == np.uint8 else mixed


def _blend(image: Image, other: Image, weight: float, out: Image | None = None) -> Image:
    result = np.empty(image.shape, image.dtype) if out is None else out
    rows = image.shape[0]
    if other.dtype != image.dtype:
        weight_of_other, depth = weight / 255, cv2.CV_32F
    else:
        weight_of_other, depth = weight, -1
    # Rows of numbers: OpenCV takes no more than four channels everywhere.
    flat = image.reshape(rows, -1), other.reshape(rows, -1), result.reshape(rows, -1)
    cv2.addWeighted(flat[0], 1 - weight, flat[1], weight_of_other, 0, dst=flat[2], dtype=depth)
    return result

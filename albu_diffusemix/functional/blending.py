"""Two images become one, weighed."""

import cv2
import numpy as np

from albu_diffusemix.functional.formats import Image, format_of

__all__ = ["blend", "check_blend", "fractal_blend"]

_BYTES = np.dtype(np.uint8)
_MOST_CHANNELS = 4
"""OpenCV takes no more than four channels everywhere."""


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
    check_blend(image, fractal, alpha)
    return blend(image, fractal, alpha, out)


def check_blend(image: Image, fractal: Image, alpha: float) -> None:
    """Raise ValueError for what `fractal_blend` does not take."""
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must lie in [0, 1]; got {alpha}")
    if fractal.shape != image.shape or fractal.dtype not in (image.dtype, _BYTES):
        raise ValueError(f"fractal must match the image, {format_of(image)}; got {format_of(fractal)}")


def blend(image: Image, other: Image, weight: float, out: Image | None = None) -> Image:
    """Return `weight * other + (1 - weight) * image`; one of bytes also goes with an image of floats."""
    result = np.empty(image.shape, image.dtype) if out is None else out
    weight_of_other, depth = (weight, -1) if other.dtype == image.dtype else (weight / 255, cv2.CV_32F)
    first, second, target = image, other, result
    if image.ndim > 2 and image.shape[2] > _MOST_CHANNELS:  # noqa: PLR2004  (H, W) is grey
        first, second, target = (each.reshape(each.shape[0], -1) for each in (image, other, result))
    cv2.addWeighted(first, 1 - weight, second, weight_of_other, 0, dst=target, dtype=depth)
    return result

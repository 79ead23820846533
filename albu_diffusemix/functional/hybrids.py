"""The hybrid of an image and its counterpart: a half of it, a box of it, or a mixture."""

import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.functional.blending import blend, check_blend
from albu_diffusemix.functional.boxes import Box, Half, HalfPlaces, crop, half_places, whole_box
from albu_diffusemix.functional.formats import Image, format_of

__all__ = ["cutmix", "half_concat", "half_concat_blend", "mixup"]


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
    places = half_places(image.shape[0], image.shape[1], mask_type, seam_width)
    return joined(places, image, _part_of(counterpart, image, places.part))


def half_concat_blend(
    image: Image, counterpart: Image, mask_type: Half, fractal: Image, alpha: float, seam_width: float = 0.0
) -> Image:
    """Do all of DiffuseMix in one pass, `A = alpha * F + (1 - alpha) * H` (paper, equation 3).

    It gives what `half_concat` and then `fractal_blend` give. Where the halves lie one above the other, both are
    blended from where they are. Side by side they are put together first: half rows are slow to read.

    Args:
        image: As for `half_concat`.
        counterpart: As for `half_concat`.
        mask_type: As for `half_concat`.
        fractal: As for `fractal_blend`.
        alpha: As for `fractal_blend`.
        seam_width: As for `half_concat`. Default: 0.

    Returns:
        The mixed image, of the image's shape and dtype.

    Raises:
        ValueError: As for `half_concat` and `fractal_blend`.

    References:
        DiffuseMix: https://arxiv.org/abs/2405.14881, section 3.2, equation 3

    Examples:
        >>> import numpy as np
        >>> from albu_diffusemix.functional import half_concat_blend
        >>> image, counterpart, fractal = (np.full((2, 2), value, np.uint8) for value in (0, 100, 200))
        >>> half_concat_blend(image, counterpart, "top", fractal, alpha=0.2)
        array([[120, 120],
               [ 40,  40]], dtype=uint8)

    """
    places = half_places(image.shape[0], image.shape[1], mask_type, seam_width)
    return joined_and_blended(places, image, _part_of(counterpart, image, places.part), fractal, alpha)


def joined(places: HalfPlaces, image: Image, part: Image) -> Image:
    """Do what `half_concat` does, with the part of the counterpart that belongs to these places."""
    hybrid = image.copy()  # whole rows are read faster than half of each
    if places.pure:
        x_min, y_min, x_max, y_max = places.pure
        hybrid[y_min:y_max, x_min:x_max] = _within(part, places.part, places.pure) if places.seam else part
    if places.seam:
        crop(hybrid, places.seam)[...] = _mixed_at(places.seam, places, image, part)
    return hybrid


def joined_and_blended(places: HalfPlaces, image: Image, part: Image, fractal: Image, alpha: float) -> Image:
    """Do what `half_concat_blend` does, with the part of the counterpart that belongs to these places."""
    check_blend(image, fractal, alpha)
    if places.across or places.seam:
        hybrid = joined(places, image, part)
        return blend(hybrid, fractal, alpha, hybrid)
    mixed = np.empty(image.shape, image.dtype)
    if places.pure:
        _, first, _, last = places.pure
        blend(part, fractal[first:last], alpha, mixed[first:last])
    if places.rest:
        _, first, _, last = places.rest
        blend(image[first:last], fractal[first:last], alpha, mixed[first:last])
    return mixed


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
    part = _part_of(counterpart, image, box)
    hybrid = image.copy()
    crop(hybrid, box)[...] = part
    return hybrid


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
    return blend(image, _part_of(counterpart, image, whole_box(image)), weight)


def _part_of(counterpart: Image, image: Image, box: Box) -> Image:
    if counterpart.dtype == image.dtype and counterpart.shape[2:] == image.shape[2:]:
        if counterpart.shape == image.shape:
            return crop(counterpart, box)
        if counterpart.shape[:2] == (box[3] - box[1], box[2] - box[0]):
            return counterpart
    raise ValueError(f"counterpart must match the image, {format_of(image)}; got {format_of(counterpart)}")


def _within(part: Image, placed: Box, box: Box) -> Image:
    """Cut a box of the image out of the part of it that lies at `placed`."""
    left, top = placed[:2]
    return part[box[1] - top : box[3] - top, box[0] - left : box[2] - left]


def _mixed_at(seam: Box, places: HalfPlaces, image: Image, part: Image) -> Image:
    """Mix image and counterpart where the seam lies."""
    x_min, y_min, x_max, y_max = seam
    weight = _ramp(x_max - x_min if places.across else y_max - y_min, rising=places.rising)
    weight = weight.reshape([-1 if axis == places.across else 1 for axis in range(image.ndim)])
    mixed = crop(image, seam) * (1 - weight) + _within(part, places.part, seam) * weight
    return np.rint(mixed) if image.dtype == np.uint8 else mixed


def _ramp(length: int, *, rising: bool) -> NDArray[np.float32]:
    ramp = np.linspace(0, 1, length, dtype=np.float32) if length > 1 else np.full(1, 0.5, np.float32)
    return ramp if rising else 1 - ramp

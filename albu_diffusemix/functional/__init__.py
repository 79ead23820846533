"""The arithmetic of DiffuseMix on plain arrays: no transform, no randomness, no files.

Images are uint8 in [0, 255] or float32 in [0, 1], of shape (H, W), (H, W, 1) or (H, W, C) with C >= 3, of which the
first three channels are RGB. Inputs are never written to, unless named as `out`; outputs are contiguous, of the
input's shape and dtype.
"""

from albu_diffusemix.functional.blending import fractal_blend
from albu_diffusemix.functional.boxes import HALVES, Box, Half, crop, cutmix_box, half_box, whole_box
from albu_diffusemix.functional.formats import (
    RGB_CHANNELS,
    Image,
    check_image,
    match_format,
    prepare_image,
    to_rgb,
)
from albu_diffusemix.functional.hybrids import cutmix, half_concat, half_concat_blend, mixup

__all__ = [
    "HALVES",
    "RGB_CHANNELS",
    "Box",
    "Half",
    "Image",
    "check_image",
    "crop",
    "cutmix",
    "cutmix_box",
    "fractal_blend",
    "half_box",
    "half_concat",
    "half_concat_blend",
    "match_format",
    "mixup",
    "prepare_image",
    "to_rgb",
    "whole_box",
]

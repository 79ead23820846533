"""The Albumentations transforms: DiffuseMix, and its two halves HalfConcat and FractalBlend."""

import random
from typing import Any

from albu_diffusemix._host import ImageOnlyTransform
from albu_diffusemix.arguments import BlendArguments, ConcatArguments
from albu_diffusemix.backends import BackendSpec
from albu_diffusemix.fractals import BUILTIN, shared_library
from albu_diffusemix.functional import HALVES, Image, fractal_blend
from albu_diffusemix.functional.formats import with_channels_of
from albu_diffusemix.masks import MASKS
from albu_diffusemix.mixing import BaseMix, CounterpartMixin, FractalMixin

__all__ = ["PRESETS", "DiffuseMix", "FractalBlend", "HalfConcat"]

PRESETS: dict[str, dict[str, Any]] = {
    "paper": {"mask_types": HALVES, "seam_width": 0.0, "alpha_range": (0.2, 0.2)},
    "official": {"mask_types": ("right", "bottom"), "seam_width": 20 / 256, "alpha_range": (0.2, 0.2)},
}
"""Arguments for `DiffuseMix`: as the paper says, and as the authors' released code does (to one grey level)."""

METADATA_KEY = "diffusemix_metadata"


class HalfConcat(CounterpartMixin, BaseMix, ImageOnlyTransform):
    """Replace a half of the image by the same half of its counterpart, an edited image of the same scene: DiffuseMix
    without its fractals.

    Put it first in the pipeline: a counterpart belongs to the whole image, before any crop or flip.

    Args:
        backend (str | dict[str, Any]): What makes the counterparts: a backend's name, or a dict with `name` and its
            options. Default: "procedural" (OpenCV filters for the paper's prompts, not diffusion).
        prompts (tuple[str, ...] | None): Effects to choose from; None takes the backend's own. Default: None.
        mask_types (tuple[str, ...]): Where the counterpart goes, one of them at each call: "left", "right", "top",
            "bottom"; also "cutmix" (a random box), "mixup" (blended everywhere) and "whole" (the counterpart as it is).
            Default: the four halves.
        seam_width (float): Length of the soft seam between the halves as a fraction of the divided side, in [0, 1];
            0 is the paper's hard edge. Default: 0.0.
        metadata_key (str): Name under which a call may give `{"key": ...}`, the image's name in its data set, or
            `{"counterpart": array}`, so that no backend is asked. Default: "diffusemix_metadata".
        p (float): Probability of applying the transform, in [0, 1]. Default: 0.5.

    Targets:
        image, images, volume, volumes

    Image types:
        uint8, float32

    Number of channels:
        1, 3, or more than 3 (the first three are RGB, the others keep their values)

    Raises:
        ValueError: An argument is not allowed, or an image has another dtype, two channels or a side of zero.

    Examples:
        >>> import numpy as np
        >>> import albumentations as A
        >>> from albu_diffusemix import HalfConcat
        >>> image = np.random.randint(0, 256, (100, 120, 3), dtype=np.uint8)
        >>> pipeline = A.Compose([HalfConcat(mask_types=("left", "right"), p=1), A.HorizontalFlip()], seed=137)
        >>> pipeline(image=image)["image"].shape
        (100, 120, 3)

    References:
        DiffuseMix: https://arxiv.org/abs/2405.14881, section 3.2, equation 1

    """

    class InitSchema(ConcatArguments):
        pass

    def __init__(
        self,
        backend: BackendSpec = "procedural",
        prompts: tuple[str, ...] | None = None,
        mask_types: tuple[str, ...] = HALVES,
        seam_width: float = 0.0,
        metadata_key: str = METADATA_KEY,
        p: float = 0.5,
    ) -> None:
        super().__init__(p=p)
        self.backend = backend
        self.prompts = prompts
        self.mask_types = mask_types
        self.seam_width = seam_width
        self.metadata_key = metadata_key

    def sample(self, rng: random.Random, data: dict[str, Any]) -> dict[str, Any]:
        return self.sample_hybrid(rng, data)

    def applied_arguments(self, params: dict[str, Any]) -> dict[str, Any]:
        return self.applied_hybrid(params)

    def mix(self, images: list[Image], params: dict[str, Any]) -> list[Image]:
        mask, seam_width, mask_params = MASKS[params["mask_type"]], self.seam_width, params["mask_params"]
        return [
            image if part is None else mask.hybrid(image, part, seam_width, mask_params)
            for image, part in zip(images, self.parts(images, params), strict=True)
        ]


class FractalBlend(FractalMixin, BaseMix, ImageOnlyTransform):
    """Blend a random fractal image into the whole image at a low opacity, which adds structure without changing what
    the image shows: the last step of DiffuseMix.

    Args:
        alpha_range (tuple[float, float]): Range of the fractal's opacity, the paper's lambda, within [0, 1].
            Default: (0.2, 0.2).
        fractals (str): "builtin", or a folder of images to use in place of the built-in hundred. Default: "builtin".
        p (float): Probability of applying the transform, in [0, 1]. Default: 0.5.

    Targets:
        image, images, volume, volumes

    Image types:
        uint8, float32

    Number of channels:
        1, 3, or more than 3 (the first three are RGB, the others keep their values)

    Raises:
        ValueError: An argument is not allowed, or an image has another dtype, two channels or a side of zero.

    Examples:
        >>> import numpy as np
        >>> import albumentations as A
        >>> from albu_diffusemix import FractalBlend
        >>> image = np.random.randint(0, 256, (100, 120, 3), dtype=np.uint8)
        >>> A.Compose([FractalBlend(alpha_range=(0.1, 0.3), p=1)], seed=137)(image=image)["image"].dtype
        dtype('uint8')

    References:
        DiffuseMix: https://arxiv.org/abs/2405.14881, section 3.2, equation 2

    """

    class InitSchema(BlendArguments):
        pass

    def __init__(
        self,
        alpha_range: tuple[float, float] = (0.2, 0.2),
        fractals: str = BUILTIN,
        p: float = 0.5,
    ) -> None:
        super().__init__(p=p)
        self.alpha_range = alpha_range
        self.fractals = fractals

    def sample(self, rng: random.Random, data: dict[str, Any]) -> dict[str, Any]:
        del data
        return self.sample_fractal(rng)

    def applied_arguments(self, params: dict[str, Any]) -> dict[str, Any]:
        return self.applied_fractal(params)

    def mix(self, images: list[Image], params: dict[str, Any]) -> list[Image]:
        library, index, alpha = shared_library(self.fractals), params["fractal_index"], params["alpha"]
        fractals = [library.get(index, image.shape[0], image.shape[1]) for image in images]
        return [
            fractal_blend(image, with_channels_of(fractal, image), alpha)
            for image, fractal in zip(images, fractals, strict=True)
        ]


class DiffuseMix(CounterpartMixin, FractalMixin, BaseMix, ImageOnlyTransform):
    """Replace a half of the image by that half of its counterpart, an edited image of the same scene, then blend a
    fractal into it: DiffuseMix (CVPR 2024).

    Put it first in the pipeline: a counterpart belongs to the whole image, before any crop or flip. Masks, boxes,
    keypoints and labels stay as they are, since nothing in the image moves. An image whose counterpart is missing stays
    as it is, with one warning in each process; `unmixed_images` counts them.

    Args:
        backend (str | dict[str, Any]): What makes the counterparts: a backend's name, or a dict with `name` and its
            options. Default: "procedural" (OpenCV filters for the paper's prompts, not diffusion).
        prompts (tuple[str, ...] | None): Effects to choose from; None takes the backend's own, for most the paper's
            nine. Default: None.
        mask_types (tuple[str, ...]): Where the counterpart goes, one of them at each call: "left", "right", "top",
            "bottom"; also "cutmix" (a random box), "mixup" (blended everywhere) and "whole" (the counterpart as it is).
            Default: the four halves.
        seam_width (float): Length of the soft seam between the halves as a fraction of the divided side, in [0, 1];
            0 is the paper's hard edge. Default: 0.0.
        alpha_range (tuple[float, float]): Range of the fractal's opacity, the paper's lambda, within [0, 1].
            Default: (0.2, 0.2).
        fractals (str): "builtin", or a folder of images to use in place of the built-in hundred. Default: "builtin".
        metadata_key (str): Name under which a call may give `{"key": ...}`, the image's name in its data set, or
            `{"counterpart": array}`, so that no backend is asked. Default: "diffusemix_metadata".
        p (float): Probability of applying the transform, in [0, 1]. Default: 0.5.

    Targets:
        image, images, volume, volumes

    Image types:
        uint8, float32

    Number of channels:
        1, 3, or more than 3 (the first three are RGB, the others keep their values)

    Raises:
        ValueError: An argument is not allowed, or an image has another dtype, two channels or a side of zero.

    Examples:
        >>> import numpy as np
        >>> import albumentations as A
        >>> from albu_diffusemix import DiffuseMix
        >>> image = np.random.randint(0, 256, (100, 120, 3), dtype=np.uint8)
        >>> pipeline = A.Compose([DiffuseMix(prompts=("snowy", "sunset"), p=1), A.RandomCrop(64, 64)], seed=137)
        >>> pipeline(image=image)["image"].shape
        (64, 64, 3)

    References:
        DiffuseMix: https://arxiv.org/abs/2405.14881, algorithm 1 and equation 3

    """

    class InitSchema(ConcatArguments, BlendArguments):
        pass

    def __init__(
        self,
        backend: BackendSpec = "procedural",
        prompts: tuple[str, ...] | None = None,
        mask_types: tuple[str, ...] = HALVES,
        seam_width: float = 0.0,
        alpha_range: tuple[float, float] = (0.2, 0.2),
        fractals: str = BUILTIN,
        metadata_key: str = METADATA_KEY,
        p: float = 0.5,
    ) -> None:
        super().__init__(p=p)
        self.backend = backend
        self.prompts = prompts
        self.mask_types = mask_types
        self.seam_width = seam_width
        self.alpha_range = alpha_range
        self.fractals = fractals
        self.metadata_key = metadata_key

    def sample(self, rng: random.Random, data: dict[str, Any]) -> dict[str, Any]:
        return {**self.sample_hybrid(rng, data), **self.sample_fractal(rng)}

    def applied_arguments(self, params: dict[str, Any]) -> dict[str, Any]:
        return {**self.applied_hybrid(params), **self.applied_fractal(params)}

    def mix(self, images: list[Image], params: dict[str, Any]) -> list[Image]:
        mask, seam_width, mask_params = MASKS[params["mask_type"]], self.seam_width, params["mask_params"]
        library, index, alpha = shared_library(self.fractals), params["fractal_index"], params["alpha"]
        mixed = []
        for image, part in zip(images, self.parts(images, params), strict=True):
            if part is None:
                mixed.append(image)
                continue
            fractal = library.get(index, image.shape[0], image.shape[1])
            mixed.append(mask.blended(image, part, seam_width, mask_params, fractal, alpha))
        return mixed

"""What the editors that call pipelines of diffusers have in common."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from albu_diffusemix.backends.editing import Editor, ModelInput, ModelOutput

__all__ = ["PipelineEditor", "generators", "to_outputs", "to_unit"]


_COLORS = 3


class PipelineEditor(Editor):
    """An editor on torch."""

    def release_memory(self) -> None:
        """Release what torch keeps for later, so that other sizes fit."""
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if torch.backends.mps.is_available():
            torch.mps.empty_cache()


def generators(inputs: Sequence[ModelInput]) -> list[torch.Generator]:
    """Return each image's own source of noise, on the CPU: the same for every device and dtype."""
    return [torch.Generator("cpu").manual_seed(one.seed) for one in inputs]


def to_unit(images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
    """Stack images in the form that all pipelines read alike: (N, 3, H, W) float32 in [0, 1]."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255


def to_outputs(images: torch.Tensor, flagged: Sequence[bool] | None) -> list[ModelOutput]:
    """Return what was drawn, (N, 3 or 4, H, W) in [0, 1], and what the safety checker said, if there is one.

    A fourth channel is transparency, which shows white.
    """
    if images.shape[1] > _COLORS:
        opacity = images[:, _COLORS:]
        images = images[:, :_COLORS] * opacity + (1 - opacity)
    arrays = images.permute(0, 2, 3, 1).float().cpu().numpy()
    flags = flagged or [False] * len(arrays)
    return [ModelOutput(array, bool(flag)) for array, flag in zip(arrays, flags, strict=True)]

"""A folder of ONNX graphs on disk: its files, what its settings say, and a digest.

The layout is that of diffusers and optimum; where an export left config.json out, Stable Diffusion 1.5 is assumed.
"""

import math
from pathlib import Path
from typing import Any, NamedTuple

from albu_diffusemix.backends.model_files import digest_files, read_json

__all__ = ["CONFIG_NAME", "DATA_NAME", "GRAPH_NAME", "PARTS", "Layout", "check_size", "digest_layout", "read_layout"]

PARTS = ("text_encoder", "unet", "vae_encoder", "vae_decoder")
GRAPH_NAME = "model.onnx"
DATA_NAME = "model.onnx.data"
"""Where the weights are that are too large for the graph's own file."""
CONFIG_NAME = "config.json"

_SCHEDULER = Path("scheduler", "scheduler_config.json")
_TOKENIZERS = (("tokenizer.json",), ("vocab.json", "merges.txt"))
_SD15: dict[str, Any] = {"block_out_channels": (320, 640, 1280, 1280), "scaling_factor": 0.18215}


class Layout(NamedTuple):
    """A folder, and what its settings say.

    Attributes:
        folder: Where it is.
        latent_stride: Pixels that a latent stands for, along a side.
        unet_stride: Latents along a side that the UNet reduces to one.
        scaling_factor: What latents are divided by before they are decoded.
        scheduler: scheduler_config.json.

    """

    folder: Path
    latent_stride: int
    unet_stride: int
    scaling_factor: float
    scheduler: dict[str, Any]

    @property
    def stride(self) -> int:
        """Sizes are multiples of it, in pixels."""
        return self.latent_stride * self.unet_stride

    def graph(self, part: str) -> Path:
        """Return the file of a graph."""
        return self.folder / part / GRAPH_NAME


def read_layout(folder: Path) -> Layout:
    """Check that a folder is complete, and read its settings.

    Raises:
        ValueError: A file is missing, empty or broken; the message names it.

    """
    for part in PARTS:
        path = folder / part / GRAPH_NAME
        if not path.is_file() or path.stat().st_size == 0:
            state = "is empty" if path.is_file() else "is missing"
            raise ValueError(f"graph {path} {state}: make the folder with 'albu-diffusemix export-onnx MODEL -o DIR'")
    if not (folder / _SCHEDULER).is_file():
        raise ValueError(f"{folder / _SCHEDULER} is missing: it says how the model was trained")
    if not any(all((folder / "tokenizer" / name).is_file() for name in names) for names in _TOKENIZERS):
        raise ValueError(
            f"{folder / 'tokenizer'} has no tokenizer: expected tokenizer.json, or vocab.json and merges.txt"
        )
    return Layout(
        folder=folder,
        latent_stride=_stride(folder / "vae_encoder"),
        unet_stride=_stride(folder / "unet"),
        scaling_factor=_scaling_factor(folder / "vae_decoder"),
        scheduler=read_json(folder / _SCHEDULER),
    )


def check_size(size: int, layout: Layout) -> None:
    """Refuse a size that the UNet cannot halve as often as it must, with those next to it."""
    if size % layout.stride == 0:
        return
    below = size // layout.stride * layout.stride
    nearest = f"{below} or {below + layout.stride}" if below else f"{layout.stride}"
    raise ValueError(f"size must be a multiple of {layout.stride} pixels for this model, such as {nearest}; got {size}")


def digest_layout(folder: Path) -> str:
    """Return a digest of settings and of samples all over the weights: equal files give equal digests."""
    parts = (sorted((folder / name).iterdir()) for name in (*PARTS, "scheduler", "tokenizer"))
    return digest_files(folder, (path for part in parts for path in part if path.is_file()))


def _setting(part: Path, name: str) -> Any:
    """Return a setting of a part's config.json; Stable Diffusion's where there is no such file."""
    path = part / CONFIG_NAME
    return (read_json(path) if path.is_file() else {}).get(name, _SD15[name])


def _stride(part: Path) -> int:
    channels = _setting(part, "block_out_channels")
    if not isinstance(channels, list | tuple) or not channels:
        raise ValueError(f"{part / CONFIG_NAME}: block_out_channels must be a list of channels; got {channels!r}")
    return 1 << (len(channels) - 1)


def _scaling_factor(part: Path) -> float:
    factor = _setting(part, "scaling_factor")
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 < factor < math.inf:
        raise ValueError(f"{part / CONFIG_NAME}: scaling_factor must be a number above 0; got {factor!r}")
    return float(factor)

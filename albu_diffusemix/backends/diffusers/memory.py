"""Where the parts of a pipeline lie: on the device, beside it until they are used, or there in fewer bits."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from albu_diffusemix.backends.diffusers.settings import QUANTIZED, Settings
from albu_diffusemix.backends.model_files import MODEL_INDEX, read_json

__all__ = ["keep_in_float32", "place", "quantization"]

_NETWORKS = ("unet", "transformer")
_LARGE = (*_NETWORKS, "text_encoder", "text_encoder_2", "text_encoder_3")


def quantization(settings: Settings, folder: Path, dtype: torch.dtype) -> dict[str, Any]:
    """Return the arguments that make diffusers load the large parts in 8 or 4 bits, by bitsandbytes.

    Raises:
        ValueError: The package is missing.

    """
    if settings.memory not in QUANTIZED:
        return {}
    if find_spec("bitsandbytes") is None:
        raise ValueError(f"memory {settings.memory!r} needs bitsandbytes, not installed here: pip install bitsandbytes")
    from diffusers.quantizers import PipelineQuantizationConfig  # type: ignore[attr-defined]  # noqa: PLC0415  slow

    bits: dict[str, Any] = {"load_in_8bit": True}
    if settings.memory == "4bit":
        bits = {"load_in_4bit": True, "bnb_4bit_compute_dtype": dtype, "bnb_4bit_quant_type": "nf4"}
    config = PipelineQuantizationConfig(
        quant_backend=f"bitsandbytes_{settings.memory}",
        quant_kwargs=bits,
        components_to_quantize=[part for part in _LARGE if part in read_json(folder / MODEL_INDEX)],
    )
    return {"quantization_config": config}


def place(pipeline: Any, settings: Settings, device: torch.device) -> None:
    """Put a pipeline onto its device as `memory` says, and prepare it for speed.

    Raises:
        ValueError: The device is a CPU, on which nothing can be saved.

    """
    if settings.memory != "full" and device.type == "cpu":
        raise ValueError(f"memory {settings.memory!r} needs a GPU: on a CPU leave it out")
    if settings.memory == "offload":
        pipeline.enable_model_cpu_offload(device=device)
    elif settings.memory == "sequential":
        pipeline.enable_sequential_cpu_offload(device=device)
    else:
        pipeline.to(device)
    wants_channels_last = device.type == "cuda" if settings.channels_last is None else settings.channels_last
    if wants_channels_last and settings.memory == "full":
        for part in (getattr(pipeline, "unet", None), getattr(pipeline, "vae", None)):
            if part is not None and _is_flat(part):
                part.to(memory_format=torch.channels_last)
    network = next((part for name in _NETWORKS if (part := getattr(pipeline, name, None)) is not None), None)
    if settings.compile and network is not None:
        network.compile(dynamic=False)


def _is_flat(part: torch.nn.Module) -> bool:
    """Return whether no weight has five dimensions: the format is made for images, and refuses video's."""
    return all(weight.dim() <= len("nchw") for weight in part.parameters())


def keep_in_float32(vae: Any) -> None:
    """Let an autoencoder work in float32 between parts in fewer bits, from which it would draw black.

    Args:
        vae: Loaded; it takes and gives the others' dtype from now on.

    """
    dtype = vae.dtype
    if dtype == torch.float32:
        return
    vae.to(torch.float32)
    encode, decode = vae.encode, vae.decode

    def encode_in_float32(images: torch.Tensor, *arguments: Any, **options: Any) -> Any:
        encoded = encode(images.float(), *arguments, **options)
        latents = encoded.latent_dist
        encoded.latent_dist = type(latents)(latents.parameters.to(dtype))
        return encoded

    def decode_in_float32(latents: torch.Tensor, *arguments: Any, **options: Any) -> Any:
        return decode(latents.float(), *arguments, **options)

    vae.encode, vae.decode = encode_in_float32, decode_in_float32

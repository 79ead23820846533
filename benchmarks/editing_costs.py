"""Counts what an edited image costs: `python -m benchmarks.editing_costs docs/models.md` writes the table there.

Networks are built without memory, on torch's meta device, from the defaults of their classes in diffusers or from the
configuration that is named beside them; torch counts the operations of one pass. Nothing is timed.
"""

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import diffusers
import torch
from torch.utils.flop_counter import FlopCounterMode

from albu_diffusemix.backends.diffusers.families import FAMILIES
from albu_diffusemix.backends.presets import PRESETS

SIZES = (256, 512, 1024)
H100 = 790  # TFLOP a second that large matrix products reach in bfloat16; the card's own figure is 989
_WORDS = 512  # tokens of a prompt that these pipelines pad to
_MARKS = ("<!-- editing costs -->", "<!-- end of editing costs -->")
_HEADER = (
    "| Family | Network, billions | Text encoders, billions | GB at 16 bits | Passes an image "
    "| TFLOP an image at 256 / 512 / 1024 px | At most images/s on an H100 | Configuration | Real weights |"
)
_UNTUNED = "class defaults of diffusers"


class Network(NamedTuple):
    """A network at its true size.

    Attributes:
        families: Names of the rows that use it.
        build: Makes it.
        inputs: Given the side in pixels, what one pass is called with; None where its passes cannot be counted so.
        encoder: Billions of parameters of its text encoders, and what they are.
        source: Where its configuration stands.

    """

    families: tuple[str, ...]
    build: Callable[[], torch.nn.Module]
    inputs: Callable[[int], dict[str, Any]] | None
    encoder: tuple[float, str]
    source: str


def _unet(channels: int, **more: Any) -> Callable[[], torch.nn.Module]:
    return lambda: diffusers.UNet2DConditionModel(in_channels=channels, **more)


def _unet_inputs(channels: int, words: int, width: int, *, xl: bool) -> Callable[[int], dict[str, Any]]:
    def inputs(side: int) -> dict[str, Any]:
        more = {"added_cond_kwargs": {"text_embeds": torch.empty(1, 1280), "time_ids": torch.empty(1, 6)}} if xl else {}
        return {
            "sample": torch.empty(1, channels, side // 8, side // 8),
            "timestep": torch.tensor(1),
            "encoder_hidden_states": torch.empty(1, words, width),
            **more,
        }

    return inputs


def _flux_inputs(width: int, channels: int, *, axes: int, sources: int, pooled: int) -> Callable[[int], dict[str, Any]]:
    def inputs(side: int) -> dict[str, Any]:
        tokens = (side // 16) ** 2 * (1 + sources)
        more = {"pooled_projections": torch.empty(1, pooled)} if pooled else {}
        return {
            "hidden_states": torch.empty(1, tokens, channels),
            "encoder_hidden_states": torch.empty(1, _WORDS, width),
            "timestep": torch.empty(1),
            "img_ids": torch.empty(tokens, axes),
            "txt_ids": torch.empty(_WORDS, axes),
            "guidance": torch.empty(1),
            **more,
        }

    return inputs


def _sd3_inputs(side: int) -> dict[str, Any]:
    return {
        "hidden_states": torch.empty(1, 16, side // 8, side // 8),
        "encoder_hidden_states": torch.empty(1, 333, 4096),
        "pooled_projections": torch.empty(1, 2048),
        "timestep": torch.empty(1),
    }


def _z_image_inputs(side: int) -> dict[str, Any]:
    return {
        "x": [torch.empty(16, 1, side // 8, side // 8)],
        "t": torch.empty(1),
        "cap_feats": [torch.empty(_WORDS, 2560)],
    }


def _qwen_inputs(side: int, source: int = 1024) -> dict[str, Any]:
    shapes = [[(1, each // 16, each // 16) for each in (side, source) if each]]
    return {
        "hidden_states": torch.empty(1, sum((each // 16) ** 2 for each in (side, source)), 64),
        "encoder_hidden_states": torch.empty(1, _WORDS, 3584),
        "timestep": torch.empty(1),
        "img_shapes": shapes,
    }


_SD = {
    "block_out_channels": (320, 640, 1280, 1280),
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
}
_SDXL = {
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "cross_attention_dim": 2048,
    "attention_head_dim": (5, 10, 20),
    "transformer_layers_per_block": (1, 2, 10),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
_KLEIN = {
    "num_layers": 5,
    "num_single_layers": 20,
    "num_attention_heads": 24,
    "joint_attention_dim": 7680,
    "guidance_embeds": False,
}
_CARD_OF_KLEIN = "blocks by the card of mlx-community/FLUX.2-klein-base-4B-bf16; 24 heads make its 4 billion"
_T5_CLIP = (4.9, "T5-XXL, CLIP")
_QWEN_VL = (8.3, "Qwen2.5-VL-7B")
_FLUX = _flux_inputs(4096, 64, axes=3, sources=0, pooled=768)

NETWORKS = (
    Network(
        ("InstructPix2Pix",),
        _unet(8, **_SD),
        _unet_inputs(8, 77, 768, xl=False),
        (0.12, "CLIP"),
        "Stable Diffusion 1.5's config",
    ),
    Network(
        ("Stable Diffusion", "SD-Turbo"),
        _unet(4, **_SD),
        _unet_inputs(4, 77, 768, xl=False),
        (0.12, "CLIP"),
        "Stable Diffusion 1.5's config",
    ),
    Network(
        ("SDXL InstructPix2Pix", "CosXL Edit"),
        _unet(8, **_SDXL),
        _unet_inputs(8, 77, 2048, xl=True),
        (0.82, "two CLIPs"),
        "SDXL's config",
    ),
    Network(
        ("SDXL", "SDXL-Turbo"),
        _unet(4, **_SDXL),
        _unet_inputs(4, 77, 2048, xl=True),
        (0.82, "two CLIPs"),
        "SDXL's config",
    ),
    Network(
        ("Stable Diffusion 3",),
        lambda: diffusers.SD3Transformer2DModel(num_layers=24, num_attention_heads=24, caption_projection_dim=1536),
        _sd3_inputs,
        (5.6, "T5-XXL, two CLIPs"),
        "SD3 medium's config, as in silveroxides/SD3-custom-clip",
    ),
    Network(
        ("FLUX.1 dev", "FLUX.1 schnell"),
        lambda: diffusers.FluxTransformer2DModel(guidance_embeds=True),
        _FLUX,
        _T5_CLIP,
        _UNTUNED,
    ),
    Network(
        ("FLUX.1 Kontext",),
        lambda: diffusers.FluxTransformer2DModel(guidance_embeds=True),
        _flux_inputs(4096, 64, axes=3, sources=1, pooled=768),
        _T5_CLIP,
        _UNTUNED,
    ),
    Network(
        ("FLUX.2 klein", "FLUX.2 klein base"),
        lambda: diffusers.Flux2Transformer2DModel(**_KLEIN),
        _flux_inputs(7680, 128, axes=4, sources=1, pooled=0),
        (4.0, "Qwen3-4B"),
        _CARD_OF_KLEIN,
    ),
    Network(
        ("FLUX.2 dev",),
        diffusers.Flux2Transformer2DModel,
        _flux_inputs(15360, 128, axes=4, sources=1, pooled=0),
        (24.0, "Mistral Small 3.2 24B"),
        _UNTUNED,
    ),
    Network(
        ("Qwen-Image",),
        diffusers.QwenImageTransformer2DModel,
        lambda side: _qwen_inputs(side, 0),
        _QWEN_VL,
        _UNTUNED,
    ),
    Network(
        ("Qwen-Image-Edit", "Qwen-Image-Edit-2509"),
        diffusers.QwenImageTransformer2DModel,
        _qwen_inputs,
        _QWEN_VL,
        _UNTUNED,
    ),
    Network(
        ("Z-Image", "Z-Image-Turbo"),
        diffusers.ZImageTransformer2DModel,
        _z_image_inputs,
        (4.0, "Qwen3-4B"),
        _UNTUNED,
    ),
    Network(
        ("Qwen-Image 2.1", "Qwen-Image 2.1 Turbo"),
        diffusers.QwenImage21Transformer2DModel,
        None,
        (8.8, "Qwen3-VL-8B"),
        _UNTUNED,
    ),
    Network(
        ("LongCat-Image-Edit", "LongCat-Image-Edit-Turbo"),
        lambda: diffusers.LongCatImageTransformer2DModel(num_layers=10, num_single_layers=20),
        lambda _side: {
            name: value
            for name, value in _flux_inputs(3584, 64, axes=3, sources=1, pooled=0)(1024).items()
            if name != "guidance"
        },
        _QWEN_VL,
        "",
    ),
)


def _guided(family: Any, values: Mapping[str, Any]) -> int:
    """Return how many passes a step makes."""
    if family.name in ("InstructPix2Pix", "SDXL InstructPix2Pix", "CosXL Edit", "OmniGen"):
        return 3
    if family.name in ("FLUX.1 dev", "FLUX.1 schnell", "FLUX.1 Kontext", "FLUX.2 dev", "FLUX.2 klein KV"):
        return 1  # guidance is an input of theirs, or none
    return 2 if values.get("guidance_scale", 1) > 1 else 1


def _count(network: Network) -> tuple[float, list[float]]:
    """Return billions of parameters, and TFLOP of a pass at each size."""
    with torch.device("meta"), torch.no_grad():
        built = network.build()
        parameters = sum(weight.numel() for weight in built.parameters()) / 1e9
        passes = []
        for side in SIZES if network.inputs else ():
            with FlopCounterMode(display=False) as counter:
                built(**network.inputs(side), return_dict=False)
            passes.append(counter.get_total_flops() / 1e12)
    return parameters, passes


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.2g}"


def rows() -> list[str]:
    """Return the table's lines, a row for each family."""
    counted = {name: (*_count(network), network) for network in NETWORKS if network.source for name in network.families}
    lines = [
        _HEADER,
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for family in FAMILIES:
        values = {**family.fixed, **(family.defaults or PRESETS["paper"]._asdict())}
        steps = values["num_inference_steps"]
        taken = int(steps * values["strength"]) if "strength" in values else steps
        passes = taken * _guided(family, values)
        if family.name not in counted:
            lines.append(f"| {family.name} | unknown | unknown | unknown | {passes} | unknown | unknown | | not run |")
            continue
        parameters, each, network = counted[family.name]
        work = [passes * one for one in each]
        gigabytes = 2 * (parameters + network.encoder[0])
        speeds = [H100 / one for one in work]
        lines.append(
            f"| {family.name} | {parameters:.2f} | {network.encoder[0]:g} ({network.encoder[1]}) | {gigabytes:.1f} "
            f"| {passes} | {' / '.join(map(_short, work)) or 'unknown'} "
            f"| {' / '.join(map(_short, speeds)) or 'unknown'} | {network.source} | not run |"
        )
    return lines


def write(page: Path) -> None:
    """Put the table between the page's marks."""
    begin, end = _MARKS
    table = "\n".join([begin, "", *rows(), "", end])
    text = re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: table, page.read_text(), flags=re.DOTALL)
    page.write_text(text)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        write(Path(sys.argv[1]))
    else:
        print("\n".join(rows()))

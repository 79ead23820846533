"""Random models of a few kilobytes with the layout of the real ones, saved to disk so that the real loading code runs.

They obey prompt, image and seed as the real ones do, but what they draw is coloured noise.
"""

from pathlib import Path

import torch
import transformers
from diffusers import (
    AutoencoderKL,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LatentConsistencyModelImg2ImgPipeline,
    LCMScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLInstructPix2PixPipeline,
    UNet2DConditionModel,
)
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from tiny_tokenizers import clip_tokenizer
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
)

WIDTH = 16
"""Channels, hidden units and embedding dimensions of everything."""

_TEXT = {
    "vocab_size": 514,
    "hidden_size": WIDTH,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 77,
    "bos_token_id": 512,
    "eos_token_id": 513,
    "pad_token_id": 513,
}
_VISION = {
    "hidden_size": WIDTH,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}
_SCHEDULE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
_SCHEDULE_OFFSET = {**_SCHEDULE, "steps_offset": 1}


def save_instruct_pix2pix(folder: Path, *, safety_checker: bool = False) -> Path:
    """InstructPix2Pix: the UNet has four more input channels, for the image. The safety checker flags everything."""
    checker = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    if safety_checker:
        checker = {"safety_checker": _safety_checker(), "feature_extractor": _image_processor()}
    pipeline = StableDiffusionInstructPix2PixPipeline(
        **_parts(in_channels=8), scheduler=EulerAncestralDiscreteScheduler(**_SCHEDULE), **checker
    )
    return _saved(pipeline, folder)


def save_img2img(folder: Path) -> Path:
    """Stable Diffusion's image to image."""
    return _saved(StableDiffusionImg2ImgPipeline(**_parts(), **_plain()), folder)


def save_text_to_image(folder: Path) -> Path:
    """Stable Diffusion as most checkpoints are saved, for text alone."""
    return _saved(StableDiffusionPipeline(**_parts(), **_plain()), folder)


def save_xl_instruct_pix2pix(folder: Path) -> Path:
    """InstructPix2Pix on SDXL."""
    parts = _parts(in_channels=8, xl=True)
    pipeline = StableDiffusionXLInstructPix2PixPipeline(**parts, scheduler=EulerDiscreteScheduler(**_SCHEDULE))
    return _saved(pipeline, folder)


def save_xl_img2img(folder: Path) -> Path:
    """SDXL's image to image."""
    pipeline = StableDiffusionXLImg2ImgPipeline(**_parts(xl=True), scheduler=EulerDiscreteScheduler(**_SCHEDULE))
    return _saved(pipeline, folder)


def save_consistency_img2img(folder: Path) -> Path:
    """A pipeline that our backend has never heard of: latent consistency, image to image."""
    plain = {**_plain(), "scheduler": LCMScheduler(**_SCHEDULE)}
    return _saved(LatentConsistencyModelImg2ImgPipeline(**_parts(time_cond_proj_dim=8), **plain), folder)


def save_lora(folder: Path, model: Path) -> Path:
    """A LoRA on the attention of a saved model's UNet, with weights large enough to be felt."""
    unet = UNet2DConditionModel.from_pretrained(model / "unet")
    unet.add_adapter(LoraConfig(r=2, lora_alpha=2, init_lora_weights=False, target_modules=["to_q", "to_k", "to_v"]))
    torch.manual_seed(2)
    weights = {name: torch.randn_like(value) for name, value in get_peft_model_state_dict(unet).items()}
    StableDiffusionInstructPix2PixPipeline.save_lora_weights(folder, unet_lora_layers=weights)
    return folder


def save_clip(folder: Path) -> Path:
    """CLIP, both towers, with its image processor."""
    torch.manual_seed(3)
    model = CLIPModel(CLIPConfig(text_config=_TEXT, vision_config=_VISION, projection_dim=WIDTH))
    model.save_pretrained(folder)
    return save_image_processor(folder)


def save_tokenizer(folder: Path) -> Path:
    """What turns text into tokens for CLIP."""
    clip_tokenizer().save_pretrained(folder)
    return folder


def save_image_processor(folder: Path) -> Path:
    """What CLIP sees of an image."""
    _image_processor().save_pretrained(folder)
    return folder


def _saved(pipeline, folder):
    pipeline.set_progress_bar_config(disable=True)
    pipeline.save_pretrained(folder)
    return folder


def _plain():
    return {
        "scheduler": EulerDiscreteScheduler(**_SCHEDULE_OFFSET),
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    }


def _parts(*, in_channels=4, xl=False, time_cond_proj_dim=None):
    torch.manual_seed(1)
    parts = {
        "vae": _vae(),
        "text_encoder": CLIPTextModel(CLIPTextConfig(**_TEXT)),
        "tokenizer": clip_tokenizer(),
        "unet": _unet(in_channels, time_cond_proj_dim, xl=xl),
    }
    if xl:
        parts["text_encoder_2"] = CLIPTextModelWithProjection(CLIPTextConfig(**_TEXT, projection_dim=WIDTH))
        parts["tokenizer_2"] = clip_tokenizer()
    return parts


def _unet(in_channels, time_cond_proj_dim, *, xl):
    more = {}
    if xl:  # text of both encoders; six numbers for sizes, four dimensions each, beside the pooled text
        more = {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 4,
            "projection_class_embeddings_input_dim": 6 * 4 + WIDTH,
        }
    return UNet2DConditionModel(
        in_channels=in_channels,
        out_channels=4,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=2 * WIDTH if xl else WIDTH,
        attention_head_dim=4,
        norm_num_groups=4,
        sample_size=4,  # half of what the tests ask for, so that a pipeline's own size shows
        time_cond_proj_dim=time_cond_proj_dim,
        **more,
    )


def _vae():
    vae = AutoencoderKL(
        block_out_channels=(8, 16, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=64,
    )
    with torch.no_grad():  # random weights draw next to no contrast
        vae.decoder.conv_out.weight.mul_(1.5)
    return vae


def _image_processor():
    kind = getattr(transformers, "CLIPImageProcessorPil", None) or transformers.CLIPImageProcessor  # by version
    return kind(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})


def _safety_checker():
    torch.manual_seed(4)
    checker = StableDiffusionSafetyChecker(CLIPConfig(text_config=_TEXT, vision_config=_VISION, projection_dim=WIDTH))
    checker.concept_embeds_weights.fill_(-2)
    return checker

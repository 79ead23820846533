"""Random checkpoints of newer families, a few hundred kilobytes each, saved by diffusers; see tiny_models.

Those of `EVERYDAY` load without torchvision; those of `VISION` are built and loaded only with it.
"""

import functools

import diffusers
import tiny_models
import torch
import transformers
from diffusers import FlowMatchEulerDiscreteScheduler
from tiny_tokenizers import clip_tokenizer, qwen_tokenizer, t5_tokenizer

from albu_diffusemix.backends.diffusers.versions import is_diffusers

_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>"]
_SPECIAL += ["<|image_pad|>", "<|video_pad|>"]
_IDS = {text: 256 + number for number, text in enumerate(_SPECIAL)}
_CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['content'] is string %}{{ m['content'] }}{% else %}"
    "{% for c in m['content'] %}{% if c['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ c['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def _build(function):
    @functools.wraps(function)
    def save(folder):
        torch.manual_seed(0)
        pipeline = function()
        pipeline.set_progress_bar_config(disable=True)
        pipeline.save_pretrained(folder)
        return folder

    return save


def _words():
    return qwen_tokenizer(_SPECIAL, _CHAT)


def _clip_settings(width=32):
    return transformers.CLIPTextConfig(
        bos_token_id=512, eos_token_id=513, pad_token_id=513, hidden_size=width, intermediate_size=37,
        num_attention_heads=4, num_hidden_layers=2, vocab_size=514, projection_dim=width,
    )  # fmt: skip


def _t5(width=32):
    settings = transformers.T5Config(vocab_size=98, d_model=width, d_kv=8, d_ff=37, num_layers=2, num_heads=4)
    return transformers.T5EncoderModel(settings)


def _qwen3(layers, kind="Qwen3ForCausalLM"):
    return getattr(transformers, kind)(
        transformers.Qwen3Config(
            intermediate_size=16, hidden_size=16, num_hidden_layers=layers, num_attention_heads=2,
            num_key_value_heads=2, head_dim=8, vocab_size=264, max_position_embeddings=1024,
        )
    )  # fmt: skip


def _vision_language(width=16):
    rope = {"mrope_section": [1, 1, 2] if width == 16 else [2, 2, 4], "rope_type": "default", "type": "default"}
    settings = transformers.Qwen2_5_VLConfig(
        text_config={
            "hidden_size": width, "intermediate_size": width, "num_hidden_layers": 2, "num_attention_heads": 2,
            "num_key_value_heads": 2, "rope_scaling": rope, "rope_theta": 1e6, "vocab_size": 264, "bos_token_id": 256,
            "eos_token_id": 258,
        },
        vision_config={
            "depth": 2, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": width,
        },
        vocab_size=264, image_token_id=_IDS["<|image_pad|>"], video_token_id=_IDS["<|video_pad|>"],
        vision_start_token_id=_IDS["<|vision_start|>"], vision_end_token_id=_IDS["<|vision_end|>"],
        vision_token_id=_IDS["<|vision_pad|>"],
    )  # fmt: skip
    return transformers.Qwen2_5_VLForConditionalGeneration(settings).eval()


def _processor():
    images = transformers.Qwen2VLImageProcessorPil(min_pixels=56 * 56, max_pixels=112 * 112)
    return transformers.Qwen2VLProcessor(
        image_processor=images, tokenizer=_words(), chat_template=_CHAT,
        video_processor=transformers.Qwen2VLVideoProcessor(),
    )  # fmt: skip


def _autoencoder(channels=4, blocks=(8, 8, 8, 8), **more):
    settings = {"shift_factor": 0.06, "scaling_factor": 1.5, "use_quant_conv": False, "use_post_quant_conv": False}
    return diffusers.AutoencoderKL(
        sample_size=64, block_out_channels=blocks, down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4, layers_per_block=1, latent_channels=channels, norm_num_groups=4,
        **settings, **more,
    )  # fmt: skip


def _flux_parts(*, distilled=False):
    transformer = diffusers.FluxTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=32, pooled_projection_dim=32, axes_dims_rope=[4, 4, 8], guidance_embeds=not distilled,
    )  # fmt: skip
    return {
        "transformer": transformer,
        "text_encoder": transformers.CLIPTextModel(_clip_settings()),
        "text_encoder_2": _t5(),
        "tokenizer": clip_tokenizer(),
        "tokenizer_2": t5_tokenizer(),
        "vae": _autoencoder(),
        "scheduler": FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift=3.0),
        "image_encoder": None,
        "feature_extractor": None,
    }


def _flux2_parts(*, layers, guidance):
    transformer = diffusers.Flux2Transformer2DModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=48, timestep_guidance_channels=256, axes_dims_rope=[4, 4, 4, 4], guidance_embeds=guidance,
    )  # fmt: skip
    vae = diffusers.AutoencoderKLFlux2(
        sample_size=32, down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4,) * 4, layers_per_block=1, latent_channels=4, norm_num_groups=1, use_quant_conv=False,
        use_post_quant_conv=False,
    )  # fmt: skip
    return {
        "scheduler": FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        "text_encoder": _qwen3(layers),
        "tokenizer": _words(),
        "transformer": transformer,
        "vae": vae,
    }


def _qwen_parts():
    transformer = diffusers.QwenImageTransformer2DModel(
        patch_size=2, in_channels=16, out_channels=4, num_layers=1, attention_head_dim=16, num_attention_heads=3,
        joint_attention_dim=16, guidance_embeds=False, axes_dims_rope=(8, 4, 4),
    )  # fmt: skip
    vae = diffusers.AutoencoderKLQwenImage(
        base_dim=8, z_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True],
        latents_mean=[0.0] * 4, latents_std=[1.0] * 4,
    )  # fmt: skip
    return {
        "transformer": transformer,
        "vae": vae,
        "scheduler": FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        "text_encoder": _vision_language(),
        "tokenizer": _words(),
    }


@_build
def save_kontext():
    return diffusers.FluxKontextPipeline(**_flux_parts())


@_build
def save_flux():
    return diffusers.FluxPipeline(**_flux_parts())


@_build
def save_schnell():
    return diffusers.FluxPipeline(**_flux_parts(distilled=True))


@_build
def save_klein():
    return diffusers.Flux2KleinPipeline(**_flux2_parts(layers=28, guidance=False), is_distilled=True)


@_build
def save_klein_base():
    return diffusers.Flux2KleinPipeline(**_flux2_parts(layers=28, guidance=False), is_distilled=False)


@_build
def save_klein_kv():
    return diffusers.Flux2KleinKVPipeline(**_flux2_parts(layers=28, guidance=False), is_distilled=True)


@_build
def save_flux2():
    return diffusers.Flux2Pipeline(**_flux2_parts(layers=31, guidance=True))


@_build
def save_sd3():
    transformer = diffusers.SD3Transformer2DModel(
        sample_size=32, patch_size=2, in_channels=4, num_layers=1, attention_head_dim=8, num_attention_heads=4,
        joint_attention_dim=64, caption_projection_dim=32, pooled_projection_dim=64, out_channels=4,
    )  # fmt: skip
    return diffusers.StableDiffusion3Pipeline(
        transformer=transformer, text_encoder=transformers.CLIPTextModelWithProjection(_clip_settings()),
        text_encoder_2=transformers.CLIPTextModelWithProjection(_clip_settings()), text_encoder_3=_t5(64),
        tokenizer=clip_tokenizer(), tokenizer_2=clip_tokenizer(), tokenizer_3=t5_tokenizer(), vae=_autoencoder(),
        scheduler=FlowMatchEulerDiscreteScheduler(), image_encoder=None, feature_extractor=None,
    )  # fmt: skip


def _z_image_parts(**more):
    transformer = diffusers.ZImageTransformer2DModel(
        all_patch_size=(2,), all_f_patch_size=(1,), in_channels=16, dim=32, n_layers=1, n_refiner_layers=1, n_heads=2,
        n_kv_heads=2, norm_eps=1e-5, qk_norm=True, cap_feat_dim=16, rope_theta=256.0, t_scale=1000.0,
        axes_dims=[8, 4, 4], axes_lens=[1024, 64, 64], **more,
    )  # fmt: skip
    return {
        "transformer": transformer,
        "vae": _autoencoder(16),
        "scheduler": FlowMatchEulerDiscreteScheduler(),
        "text_encoder": _qwen3(2, "Qwen3Model"),
        "tokenizer": _words(),
    }


@_build
def save_z_image():
    return diffusers.ZImagePipeline(**_z_image_parts())


@_build
def save_z_image_omni():
    """A pipeline in no row of the table."""
    seen = transformers.Siglip2VisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, num_patches=16, patch_size=16
    )
    processor = transformers.Siglip2ImageProcessorPil(patch_size=16, max_num_patches=16)
    return diffusers.ZImageOmniPipeline(
        **_z_image_parts(siglip_feat_dim=16), siglip=transformers.Siglip2VisionModel(seen), siglip_processor=processor
    )


@_build
def save_qwen_image():
    return diffusers.QwenImagePipeline(**_qwen_parts())


@_build
def save_cosxl():
    scheduler = diffusers.EDMEulerScheduler(
        sigma_min=0.002, sigma_max=120.0, sigma_data=1.0, prediction_type="v_prediction"
    )
    parts = tiny_models._parts(in_channels=8, xl=True)
    return diffusers.StableDiffusionXLInstructPix2PixPipeline(**parts, scheduler=scheduler, is_cosxl_edit=True)


@_build
def save_qwen_edit():
    return diffusers.QwenImageEditPipeline(**_qwen_parts(), processor=_processor())


@_build
def save_qwen_edit_plus():
    return diffusers.QwenImageEditPlusPipeline(**_qwen_parts(), processor=_processor())


@_build
def save_qwen_image_21():
    """Its autoencoder reads and draws transparency."""
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 1, 1], "mrope_interleaved": True}
    settings = transformers.Qwen3VLConfig(
        text_config={
            "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
            "num_key_value_heads": 2, "head_dim": 8, "vocab_size": 264, "rope_parameters": rope,
            "bos_token_id": 256, "eos_token_id": 258,
        },
        vision_config={
            "depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 16,
            "num_position_embeddings": 16, "deepstack_visual_indexes": [0],
        },
        image_token_id=_IDS["<|image_pad|>"], video_token_id=_IDS["<|video_pad|>"],
        vision_start_token_id=_IDS["<|vision_start|>"], vision_end_token_id=_IDS["<|vision_end|>"],
    )  # fmt: skip
    processor = transformers.Qwen3VLProcessor(
        image_processor=transformers.Qwen2VLImageProcessorPil(patch_size=16, merge_size=2, min_pixels=1024),
        tokenizer=_words(), chat_template=_CHAT, video_processor=transformers.Qwen3VLVideoProcessor(),
    )  # fmt: skip
    return diffusers.QwenImage21Pipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True), processor=processor,
        text_encoder=transformers.Qwen3VLForConditionalGeneration(settings).eval(),
        vae=diffusers.AutoencoderKLQwenImage21(
            base_dim=8, decoder_base_dim=8, z_dim=4, dim_mult=[1, 1, 1, 1, 1], num_res_blocks=1,
            temperal_downsample=[False, True, True, True], latents_mean=[0.0] * 4, latents_std=[1.0] * 4,
        ),
        transformer=diffusers.QwenImage21Transformer2DModel(
            in_channels=4, out_channels=4, num_layers=1, attention_head_dim=16, num_attention_heads=2,
            context_in_dim=16, axes_dims_rope=(4, 6, 6),
        ),
    )  # fmt: skip


@_build
def save_omnigen():
    transformer = diffusers.OmniGenTransformer2DModel(
        hidden_size=16, num_attention_heads=4, num_key_value_heads=4, intermediate_size=32, num_layers=1, in_channels=4,
        time_step_dim=4, vocab_size=264, pad_token_id=256, rope_scaling={"long_factor": [1, 2], "short_factor": [1, 2]},
    )  # fmt: skip
    return diffusers.OmniGenPipeline(
        transformer=transformer, vae=_autoencoder(blocks=(4, 4, 4, 4)), tokenizer=_words(),
        scheduler=FlowMatchEulerDiscreteScheduler(invert_sigmas=True, num_train_timesteps=1),
    )  # fmt: skip


@_build
def save_kandinsky():
    transformer = diffusers.Kandinsky5Transformer3DModel(
        in_visual_dim=16, in_text_dim=32, in_text_dim2=16, time_dim=16, out_visual_dim=16, patch_size=(1, 2, 2),
        model_dim=16, ff_dim=32, num_text_blocks=1, num_visual_blocks=1, axes_dims=(1, 1, 2), visual_cond=True,
        attention_type="regular",
    )  # fmt: skip
    return diffusers.Kandinsky5I2IPipeline(
        transformer=transformer, vae=_autoencoder(16), scheduler=FlowMatchEulerDiscreteScheduler(shift=7.0),
        text_encoder=_vision_language(32), tokenizer=_processor(),
        text_encoder_2=transformers.CLIPTextModel(_clip_settings(16)), tokenizer_2=clip_tokenizer(),
    )  # fmt: skip


@_build
def save_longcat():
    transformer = diffusers.LongCatImageTransformer2DModel(
        patch_size=1, in_channels=64, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=16, pooled_projection_dim=16, axes_dims_rope=[4, 4, 8],
    )  # fmt: skip
    return diffusers.LongCatImageEditPipeline(
        transformer=transformer, vae=_autoencoder(16), text_encoder=_vision_language(), tokenizer=_words(),
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True), text_processor=_processor(),
    )  # fmt: skip


def save_turbo(folder):
    """SDXL for text, in a folder with the name of the distilled model."""
    return tiny_models.save_xl_img2img(folder.with_name("sdxl-turbo"))


_SINCE = {
    "klein": "0.37",
    "klein_base": "0.37",
    "klein_kv": "0.38",
    "flux2": "0.36",
    "kontext": "0.35",
    "z_image": "0.36",
}
_ALL = {
    "klein": save_klein,
    "klein_base": save_klein_base,
    "klein_kv": save_klein_kv,
    "flux2": save_flux2,
    "kontext": save_kontext,
    "flux": save_flux,
    "schnell": save_schnell,
    "sd3": save_sd3,
    "z_image": save_z_image,
    "cosxl": save_cosxl,
    "turbo": save_turbo,
}
EVERYDAY = {name: save for name, save in _ALL.items() if is_diffusers(_SINCE.get(name, "0.34"))}
VISION = {
    "qwen_image": save_qwen_image,
    "qwen_edit": save_qwen_edit,
    "qwen_edit_plus": save_qwen_edit_plus,
    "qwen_image_21": save_qwen_image_21,
    "omnigen": save_omnigen,
    "kandinsky": save_kandinsky,
    "longcat": save_longcat,
}

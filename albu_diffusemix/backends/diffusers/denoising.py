"""InstructPix2Pix: the stock pipeline's arithmetic, with nothing computed twice, and a pass left out that cancels."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from albu_diffusemix.backends.diffusers.pipeline_editor import PipelineEditor, generators, to_outputs, to_unit
from albu_diffusemix.backends.editing import KEPT_PROMPTS, ModelInput, ModelOutput
from albu_diffusemix.backends.instruct import Guidance, apply_in_chunks, encode_images, encode_passes
from albu_diffusemix.text import in_one_line

__all__ = ["InstructEditor"]


class InstructEditor(PipelineEditor):
    """Edits a batch with the parts of a `StableDiffusionInstructPix2PixPipeline`.

    Args:
        pipeline: The pipeline, on its device.
        num_inference_steps: Denoising steps.
        guidance: Its scales.
        negative_prompt: What the prompt pulls away from.

    """

    def __init__(
        self,
        pipeline: Any,
        *,
        num_inference_steps: int,
        guidance: Guidance,
        negative_prompt: str,
    ) -> None:
        _check_source_is_used(pipeline.unet)
        _check_sampler(pipeline, num_inference_steps)
        self._pipeline = pipeline
        self._steps = num_inference_steps
        self._guidance = guidance
        self._negative_prompt = negative_prompt
        self._encode = lru_cache(KEPT_PROMPTS)(self._encode_prompt)

    @torch.no_grad()
    def edit(self, inputs: Sequence[ModelInput]) -> list[ModelOutput]:
        """Edit a batch."""
        noise = generators(inputs)
        self._pipeline.scheduler.set_timesteps(self._steps, device=self._pipeline._execution_device)  # noqa: SLF001  differs where parts are offloaded
        conditions = torch.cat(encode_passes(self._encode, inputs, self._negative_prompt, self._guidance))
        sources = encode_images(lambda images: self._encode_distinct(images, len(inputs)), inputs)
        latents = self._denoise(self._first_latents(sources, noise), sources, conditions, noise)
        outputs = self._decode(latents)
        self._pipeline.maybe_free_model_hooks()
        return outputs

    def _encode_prompt(self, prompt: str) -> torch.Tensor:
        tokenizer, encoder = self._pipeline.tokenizer, self._pipeline.text_encoder
        prompt = self._pipeline.maybe_convert_prompt(prompt, tokenizer)
        tokens = tokenizer(
            prompt, padding="max_length", max_length=tokenizer.model_max_length, truncation=True, return_tensors="pt"
        ).to(self._pipeline._execution_device)  # noqa: SLF001  as above
        uses_mask = getattr(encoder.config, "use_attention_mask", False)
        encoded: torch.Tensor = encoder(tokens.input_ids, tokens.attention_mask if uses_mask else None)[0]
        return encoded.to(encoder.dtype)

    def _encode_distinct(self, images: list[NDArray[np.uint8]], batch_size: int) -> torch.Tensor:
        vae = self._pipeline.vae
        tensors = (2 * to_unit(images) - 1).to(self._pipeline._execution_device, vae.dtype)  # noqa: SLF001  as above
        latents: torch.Tensor = apply_in_chunks(
            lambda chunk: vae.encode(chunk).latent_dist.mode(), tensors, batch_size, torch.cat
        )
        return latents

    def _first_latents(self, sources: torch.Tensor, noise: list[torch.Generator]) -> torch.Tensor:
        height, width = (side * self._pipeline.vae_scale_factor for side in sources.shape[-2:])
        channels = self._pipeline.vae.config.latent_channels
        latents: torch.Tensor = self._pipeline.prepare_latents(
            len(noise), channels, height, width, sources.dtype, sources.device, noise
        )
        return latents

    def _denoise(
        self, latents: torch.Tensor, sources: torch.Tensor, conditions: torch.Tensor, noise: list[torch.Generator]
    ) -> torch.Tensor:
        scheduler, unet = self._pipeline.scheduler, self._pipeline.unet
        options = self._pipeline.prepare_extra_step_kwargs(noise, 0.0)
        passes = self._guidance.passes
        pictures = torch.cat([sources, sources, torch.zeros_like(sources)][:passes])
        for step in scheduler.timesteps:
            scaled = scheduler.scale_model_input(torch.cat([latents] * passes), step)
            predicted = unet(
                torch.cat([scaled, pictures], dim=1), step, encoder_hidden_states=conditions, return_dict=False
            )[0]
            guided = self._guidance.combine(*predicted.chunk(passes))
            latents = scheduler.step(guided, step, latents, **options, return_dict=False)[0]
        return latents

    def _decode(self, latents: torch.Tensor) -> list[ModelOutput]:
        vae = self._pipeline.vae
        scaled = latents / vae.config.scaling_factor
        images = apply_in_chunks(lambda chunk: vae.decode(chunk, return_dict=False)[0], scaled, len(latents), torch.cat)
        _, flagged = self._pipeline.run_safety_checker(images, images.device, vae.dtype)
        return to_outputs((images * 0.5 + 0.5).clamp(0, 1), flagged)


def _check_sampler(pipeline: Any, steps: int) -> None:
    """Raise ValueError for a sampler that does not take so many steps, or cannot work with its options."""
    scheduler = pipeline.scheduler
    latents = torch.zeros(1, 1, 1, 1)
    options = pipeline.prepare_extra_step_kwargs([torch.Generator("cpu")], 0.0)
    try:
        scheduler.set_timesteps(steps)
        for step in scheduler.timesteps:
            scheduler.step(scheduler.scale_model_input(latents, step), step, latents, **options)
    except Exception as error:
        raise ValueError(
            f"{type(scheduler).__name__} takes no {steps} steps so: {in_one_line(error)}; give other "
            "num_inference_steps, or another scheduler"
        ) from error


def _check_source_is_used(unet: Any) -> None:
    """Raise ValueError for a network whose weights for the source are all zero."""
    weights = getattr(unet.conv_in, "weight", None)
    channels = unet.config.out_channels
    if weights is not None and weights.device.type != "meta" and not weights[:, channels:].any():
        raise ValueError("the network ignores the source: its weights for the image are all zero; take another model")

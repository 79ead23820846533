"""InstructPix2Pix: the stock pipeline's arithmetic, with nothing computed twice and one pass left out where it cancels.

Source: Brooks, Holynski, Efros, InstructPix2Pix (CVPR 2023), https://arxiv.org/abs/2211.09800, equation 3.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch

from albu_diffusemix.backends.diffusers.drawing import Drawn, Wanted, generators, to_unit

__all__ = ["InstructEditor"]

_KEPT_PROMPTS = 256
_AUTOENCODER_BATCH = 4  # images at once; keeps memory low, and a card busy all the same


class InstructEditor:
    """Edits a batch with the parts of a `StableDiffusionInstructPix2PixPipeline`.

    Args:
        pipeline: The pipeline, on its device.
        num_inference_steps: Denoising steps.
        guidance_scale: How strongly the prompt pulls, above 1.
        image_guidance_scale: How strongly the source holds, at least 1.
        negative_prompt: What the prompt pulls away from.

    """

    batches = True

    def __init__(
        self,
        pipeline: Any,
        *,
        num_inference_steps: int,
        guidance_scale: float,
        image_guidance_scale: float,
        negative_prompt: str = "",
    ) -> None:
        self._pipeline = pipeline
        self._steps = num_inference_steps
        self._guidance_scale = guidance_scale
        self._image_guidance_scale = image_guidance_scale
        self._negative_prompt = negative_prompt
        self._encode = lru_cache(_KEPT_PROMPTS)(self._encode_prompt)

    @torch.no_grad()
    def edit(self, wanted: Sequence[Wanted]) -> list[Drawn]:
        """Edit a batch."""
        noise = generators(wanted)
        self._pipeline.scheduler.set_timesteps(self._steps, device=self._pipeline.device)
        conditions = self._conditions([one.prompt for one in wanted])
        sources = self._encode_images(wanted)
        latents = self._denoise(self._first_latents(sources, noise), sources, conditions, noise)
        return self._decode(latents)

    def _conditions(self, prompts: list[str]) -> torch.Tensor:
        """Stack what each pass is conditioned on: the prompts, then nothing, then nothing once more."""
        nothing = [self._encode(self._negative_prompt)] * len(prompts)
        passes = 2 if self._image_guidance_scale == 1 else 3
        return torch.cat([*map(self._encode, prompts), *nothing * (passes - 1)])

    def _encode_prompt(self, prompt: str) -> torch.Tensor:
        tokenizer, encoder = self._pipeline.tokenizer, self._pipeline.text_encoder
        prompt = self._pipeline.maybe_convert_prompt(prompt, tokenizer)
        tokens = tokenizer(
            prompt, padding="max_length", max_length=tokenizer.model_max_length, truncation=True, return_tensors="pt"
        ).to(encoder.device)
        uses_mask = getattr(encoder.config, "use_attention_mask", False)
        encoded: torch.Tensor = encoder(tokens.input_ids, tokens.attention_mask if uses_mask else None)[0]
        return encoded.to(encoder.dtype)

    def _encode_images(self, wanted: Sequence[Wanted]) -> torch.Tensor:
        """Encode each distinct image once, and give each sample its own."""
        keys = [one.image.tobytes() for one in wanted]
        distinct = {key: one.image for key, one in zip(keys, wanted, strict=True)}
        vae = self._pipeline.vae
        images = (2 * to_unit(list(distinct.values())) - 1).to(vae.device, vae.dtype)
        latents = _in_chunks(lambda chunk: vae.encode(chunk).latent_dist.mode(), images, len(wanted))
        place = {key: number for number, key in enumerate(distinct)}
        return latents[[place[key] for key in keys]]

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
        passes = len(conditions) // len(latents)
        pictures = torch.cat([sources, sources, torch.zeros_like(sources)][:passes])
        for step in scheduler.timesteps:
            scaled = scheduler.scale_model_input(torch.cat([latents] * passes), step)
            predicted = unet(
                torch.cat([scaled, pictures], dim=1), step, encoder_hidden_states=conditions, return_dict=False
            )[0]
            latents = scheduler.step(self._guide(predicted, passes), step, latents, **options, return_dict=False)[0]
        return latents

    def _guide(self, predicted: torch.Tensor, passes: int) -> torch.Tensor:
        """Weigh the passes; at image guidance 1 the third one would be added and taken away again."""
        by_both, by_image, *by_nothing = predicted.chunk(passes)
        if not by_nothing:
            return by_image + self._guidance_scale * (by_both - by_image)
        return (
            by_nothing[0]
            + self._guidance_scale * (by_both - by_image)
            + self._image_guidance_scale * (by_image - by_nothing[0])
        )

    def _decode(self, latents: torch.Tensor) -> list[Drawn]:
        vae = self._pipeline.vae
        scaled = latents / vae.config.scaling_factor
        images = _in_chunks(lambda chunk: vae.decode(chunk, return_dict=False)[0], scaled, len(latents))
        _, flagged = self._pipeline.run_safety_checker(images, images.device, vae.dtype)
        arrays = (images * 0.5 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).float().cpu().numpy()
        return [Drawn(array, bool(flag)) for array, flag in zip(arrays, flagged or [False] * len(arrays), strict=True)]


def _in_chunks(apply: Callable[[torch.Tensor], torch.Tensor], inputs: torch.Tensor, batch_size: int) -> torch.Tensor:
    """Apply to chunks of one constant size, the last one filled up with copies."""
    size = min(_AUTOENCODER_BATCH, batch_size)
    lacking = -len(inputs) % size
    filled = torch.cat([inputs, *[inputs[-1:]] * lacking])
    return torch.cat([apply(chunk) for chunk in torch.split(filled, size)])[: len(inputs)]

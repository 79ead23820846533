"""The loaded graphs of InstructPix2Pix: edit a batch."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.backends.editing import KEPT_PROMPTS, Editor, ModelInput, ModelOutput
from albu_diffusemix.backends.instruct import Guidance, apply_in_chunks, encode_images, encode_passes
from albu_diffusemix.backends.onnx.denoising import Latents, denoise
from albu_diffusemix.backends.onnx.layout import Layout
from albu_diffusemix.backends.onnx.samplers import Sampler
from albu_diffusemix.backends.onnx.sessions import Graph
from albu_diffusemix.backends.onnx.tokenizer import PromptTokenizer

__all__ = ["GraphEditor"]


class GraphEditor(Editor):
    """The four graphs and the tokenizer of a folder.

    Args:
        layout: The folder.
        load: Loads a graph, given its file and the names of its inputs.
        sampler: Its steps.
        guidance: Its scales.
        negative_prompt: What the prompt pulls away from.

    Raises:
        ValueError: A file is broken, or does not go with the others.

    """

    takes_threads = True

    def __init__(
        self,
        layout: Layout,
        load: Callable[..., Graph],
        *,
        sampler: Sampler,
        guidance: Guidance,
        negative_prompt: str,
    ) -> None:
        self._text = load(layout.graph("text_encoder"), inputs=("input_ids",))
        self._unet = load(layout.graph("unet"), inputs=("sample", "timestep", "encoder_hidden_states"))
        self._encoder = load(layout.graph("vae_encoder"), inputs=("sample",))
        self._decoder = load(layout.graph("vae_decoder"), inputs=("latent_sample",))
        _check_agreement(self._text, self._unet, self._encoder, self._decoder)
        self._channels = self._decoder.input_length("latent_sample", 1)
        self._tokenizer = PromptTokenizer(layout.folder / "tokenizer")
        self._sampler, self._guidance = sampler, guidance
        self._negative_prompt = negative_prompt
        self._scaling_factor = np.float32(layout.scaling_factor)
        self._encode_prompt = lru_cache(KEPT_PROMPTS)(self._run_text_encoder)

    def edit(self, inputs: Sequence[ModelInput]) -> list[ModelOutput]:
        """Edit a batch."""
        encoded = encode_passes(self._encode_prompt, inputs, self._negative_prompt, self._guidance)
        conditions = self._unet.place("encoder_hidden_states", np.concatenate(encoded))

        def network(sample: Latents, timestep: float) -> Latents:
            return self._unet.run(
                {
                    "sample": self._unet.place("sample", sample),
                    "timestep": self._unet.place_time(timestep, len(sample)),
                    "encoder_hidden_states": conditions,
                }
            )

        sources = encode_images(lambda images: self._encode_distinct(images, len(inputs)), inputs)
        latents = denoise(network, self._sampler, self._guidance, sources, [one.seed for one in inputs])
        return [ModelOutput(image) for image in self._decode(latents)]

    def _run_text_encoder(self, prompt: str) -> NDArray[np.float32]:
        return self._text.run({"input_ids": self._text.place("input_ids", self._tokenizer.encode(prompt))})

    def _encode_distinct(self, images: list[NDArray[np.uint8]], batch_size: int) -> Latents:
        """Return the mode of each image's latents, where mean and variance come out."""
        unit = np.stack(images).transpose(0, 3, 1, 2).astype(np.float32) / 255
        return _run_in_chunks(self._encoder, "sample", 2 * unit - 1, batch_size)[:, : self._channels]

    def _decode(self, latents: Latents) -> list[NDArray[np.float32]]:
        images = _run_in_chunks(self._decoder, "latent_sample", latents / self._scaling_factor, len(latents))
        return list(np.clip(images / 2 + np.float32(0.5), 0, 1).transpose(0, 2, 3, 1))


def _run_in_chunks(graph: Graph, name: str, inputs: NDArray[Any], batch_size: int) -> Latents:
    outputs: Latents = apply_in_chunks(
        lambda chunk: graph.run({name: graph.place(name, chunk)}), inputs, batch_size, np.concatenate
    )
    return outputs


def _check_agreement(text: Graph, unet: Graph, encoder: Graph, decoder: Graph) -> None:
    """Refuse graphs of different models, as far as their shapes show."""
    latents = decoder.input_length("latent_sample", 1)
    seen = unet.input_length("sample", 1)
    if latents and seen and seen != 2 * latents:
        raise ValueError(
            f"graph {unet.path} takes {seen} channels, not {2 * latents}, the latents of counterpart and source: it is "
            "not an InstructPix2Pix, or not of this model"
        )
    if latents and encoder.output_length(1) not in (None, latents, 2 * latents):
        raise ValueError(
            f"graph {encoder.path} gives {encoder.output_length(1)} channels; {decoder.path} takes {latents}: they are "
            "of different models"
        )
    width, taken = text.output_length(2), unet.input_length("encoder_hidden_states", 2)
    if width and taken and width != taken:
        raise ValueError(
            f"graph {text.path} gives {width} numbers a token, {unet.path} takes {taken}: they are of different models"
        )

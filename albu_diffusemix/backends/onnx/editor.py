"""A loaded model: edits pictures in batches."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.backends.batches import Batches
from albu_diffusemix.backends.onnx.denoising import Guidance, Latents, denoise
from albu_diffusemix.backends.onnx.layout import Layout
from albu_diffusemix.backends.onnx.samplers import Plan
from albu_diffusemix.backends.onnx.sessions import Graph
from albu_diffusemix.backends.onnx.tokenizer import PromptTokenizer

__all__ = ["Editor", "Wanted"]

_KEPT_PROMPTS = 256
_AUTOENCODER_BATCH = 4  # images at once; keeps memory low, and a card busy all the same


class Wanted(NamedTuple):
    """An image to edit, (size, size, 3) uint8 RGB; the whole prompt, template and all; the seed."""

    image: NDArray[np.uint8]
    prompt: str
    seed: int


class Editor:
    """The four graphs and the tokenizer of a folder.

    Args:
        layout: The folder.
        load: Loads a graph, given its file and the names of its inputs.
        plan: The sampler's steps.
        guidance: Its scales.
        negative_prompt: What the prompt pulls away from.
        batch_size: Images at once.

    Raises:
        ValueError: A file is broken, or does not go with the others.

    """

    def __init__(
        self,
        layout: Layout,
        load: Callable[..., Graph],
        *,
        plan: Plan,
        guidance: Guidance,
        negative_prompt: str,
        batch_size: int,
    ) -> None:
        self._text = load(layout.graph("text_encoder"), inputs=("input_ids",))
        self._unet = load(layout.graph("unet"), inputs=("sample", "timestep", "encoder_hidden_states"))
        self._encoder = load(layout.graph("vae_encoder"), inputs=("sample",))
        self._decoder = load(layout.graph("vae_decoder"), inputs=("latent_sample",))
        _check_agreement(self._text, self._unet, self._encoder, self._decoder)
        self._channels = self._decoder.input_length("latent_sample", 1)
        self._tokenizer = PromptTokenizer(layout.folder / "tokenizer")
        self._plan, self._guidance = plan, guidance
        self._negative_prompt = negative_prompt
        self._batches = Batches(self._draw_batch, batch_size)
        self._scaling_factor = np.float32(layout.scaling_factor)
        self._encode_prompt = lru_cache(_KEPT_PROMPTS)(self._run_text_encoder)

    def draw(self, wanted: Sequence[Wanted]) -> list[NDArray[np.float32]]:
        """Edit all in order; gives arrays (size, size, 3), in [0, 1] or not finite."""
        return self._batches(wanted)

    def _draw_batch(self, wanted: Sequence[Wanted]) -> list[NDArray[np.float32]]:
        conditions = self._unet.place("encoder_hidden_states", self._conditions([one.prompt for one in wanted]))

        def network(sample: Latents, timestep: float) -> Latents:
            return self._unet.run(
                {
                    "sample": self._unet.place("sample", sample),
                    "timestep": self._unet.place_time(timestep, len(sample)),
                    "encoder_hidden_states": conditions,
                }
            )

        sources = self._encode_images(wanted)
        latents = denoise(network, self._plan, self._guidance, sources, [one.seed for one in wanted])
        return self._decode(latents)

    def _conditions(self, prompts: list[str]) -> NDArray[np.float32]:
        """Stack what each pass is conditioned on: the prompts, then nothing, then nothing once more."""
        nothing = [self._encode_prompt(self._negative_prompt)] * len(prompts)
        return np.concatenate([*map(self._encode_prompt, prompts), *nothing * (self._guidance.passes - 1)])

    def _run_text_encoder(self, prompt: str) -> NDArray[np.float32]:
        return self._text.run({"input_ids": self._text.place("input_ids", self._tokenizer.encode(prompt))})

    def _encode_images(self, wanted: Sequence[Wanted]) -> Latents:
        """Encode each distinct image once, and give each sample its own: the mode, where mean and variance come out."""
        keys = [one.image.tobytes() for one in wanted]
        distinct = {key: one.image for key, one in zip(keys, wanted, strict=True)}
        unit = np.stack(list(distinct.values())).transpose(0, 3, 1, 2).astype(np.float32) / 255
        latents = _in_chunks(self._encoder, "sample", 2 * unit - 1, len(wanted))[:, : self._channels]
        place = {key: number for number, key in enumerate(distinct)}
        return latents[[place[key] for key in keys]]

    def _decode(self, latents: Latents) -> list[NDArray[np.float32]]:
        images = _in_chunks(self._decoder, "latent_sample", latents / self._scaling_factor, len(latents))
        return list(np.clip(images / 2 + np.float32(0.5), 0, 1).transpose(0, 2, 3, 1))


def _in_chunks(graph: Graph, name: str, inputs: NDArray[Any], batch_size: int) -> NDArray[np.float32]:
    """Run on chunks of one constant size, the last one filled up with copies."""
    size = min(_AUTOENCODER_BATCH, batch_size)
    filled = np.concatenate([inputs, *[inputs[-1:]] * (-len(inputs) % size)])
    chunks = np.split(filled, len(filled) // size)
    return np.concatenate([graph.run({name: graph.place(name, chunk)}) for chunk in chunks])[: len(inputs)]


def _check_agreement(text: Graph, unet: Graph, encoder: Graph, decoder: Graph) -> None:
    """Refuse graphs of different models, as far as their shapes tell."""
    latents = decoder.input_length("latent_sample", 1)
    seen = unet.input_length("sample", 1)
    if latents and seen and seen != 2 * latents:
        raise ValueError(
            f"graph {unet.path} takes {seen} channels, not {2 * latents}, the latents of drawing and source: it is no "
            "InstructPix2Pix, or not of this model"
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

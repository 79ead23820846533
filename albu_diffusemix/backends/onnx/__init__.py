"""Counterparts from InstructPix2Pix by ONNX Runtime: the same pictures, with no torch installed."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from albu_diffusemix.backends import Counterpart, Request
from albu_diffusemix.backends.loaded_once import LoadedOnce
from albu_diffusemix.backends.onnx.hub import cached_commit, find_folder
from albu_diffusemix.backends.onnx.layout import digest_layout, read_layout
from albu_diffusemix.backends.onnx.settings import Settings, guidance_of, plan_of, read_settings
from albu_diffusemix.backends.pixels import check_box, check_rgb, resize, to_counterpart
from albu_diffusemix.backends.presets import PRESETS, check_prompt, choose_prompt, fill
from albu_diffusemix.prompts import PAPER_PROMPTS

if TYPE_CHECKING:
    from albu_diffusemix.backends.onnx.editor import Editor

__all__ = ["VERSION", "Onnx"]

VERSION = 1
"""Raised with every change of the code that changes pixels."""

_GPU_BATCH_SIZE = 16


class Onnx:
    """InstructPix2Pix from a folder of ONNX graphs, run by ONNX Runtime.

    Needs onnxruntime and tokenizers, and neither torch nor diffusers nor transformers. The same request gives the
    picture that the backend "instruct_pix2pix" gives, to a grey level: samplers and noise are the same. Images are
    sized as there. On a CPU the same request gives the same bytes whatever its neighbours, their order and number.

    Sources: DiffuseMix (CVPR 2024), section 3.2 and section 4; InstructPix2Pix, https://arxiv.org/abs/2211.09800.

    Args:
        model (str): A folder that `albu-diffusemix export-onnx` made or that has the same layout, or an id of such on
            the Hugging Face Hub.
        revision (str | None): Branch, tag or commit on the Hub. Default: None, the main branch.
        providers (str | Sequence): ONNX Runtime's execution providers, in order: names, or pairs of a name and its
            options. "auto" takes those of CUDA, DirectML and CPU that are here. Default: "auto".
        session_options (Mapping | None): ONNX Runtime's options of a session by name, such as
            `{"intra_op_num_threads": 4}`; a name with a dot is a configuration entry. Default: None.
        size (int): Side in pixels of the square that the model sees, a multiple of what its UNet can halve, 64 for
            Stable Diffusion 1.5. Default: 256.
        batch_size (int | None): Images at once on a GPU; on a CPU it is always one. A batch that is not full costs as
            much as a full one. One that does not fit into memory is halved. Default: None, 16.
        preset (str): "paper", "official", "fast" or "fastest", as for "instruct_pix2pix". Any argument below replaces
            the preset's. Default: "paper".
        num_inference_steps (int | None): Denoising steps. Default: None, the preset's.
        guidance_scale (float | None): How strongly the prompt pulls; above 1. Default: None, the preset's.
        image_guidance_scale (float | None): How strongly the source holds; at least 1. Default: None, the preset's.
        negative_prompt (str | None): What the prompt pulls away from. Default: None.
        scheduler (str | Mapping | None): The sampler by its name in diffusers, "DDIMScheduler",
            "DPMSolverMultistepScheduler", "EulerAncestralDiscreteScheduler" or "EulerDiscreteScheduler", or a mapping
            with `name` and the options to change. Default: None, the preset's or the folder's.
        template (str | None): What is wrapped around each prompt, with "{prompt}" in its place. Default: None, the
            preset's.
        local_files_only (bool): Never ask the Hub. Default: False.

    Raises:
        ValueError: A package is missing, a value is not allowed, or a file is missing. What needs the graphs themselves
            is found out on the first `generate`.

    Examples:
        >>> from albu_diffusemix import create_backend
        >>> create_backend({"name": "onnx", "model": "ip2p-onnx", "preset": "fast"})  # doctest: +SKIP
        Onnx('ip2p-onnx', preset='fast')

    """

    prompts: tuple[str, ...] = PAPER_PROMPTS

    def __init__(
        self,
        model: str,
        revision: str | None = None,
        providers: str | Sequence[Any] = "auto",
        session_options: Mapping[str, Any] | None = None,
        size: int = 256,
        batch_size: int | None = None,
        preset: str = "paper",
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        image_guidance_scale: float | None = None,
        negative_prompt: str | None = None,
        scheduler: str | Mapping[str, Any] | None = None,
        template: str | None = None,
        local_files_only: bool = False,  # noqa: FBT001, FBT002  specs give it by name
    ) -> None:
        self._settings = read_settings(
            {
                "model": model,
                "revision": revision,
                "providers": providers,
                "session_options": session_options,
                "size": size,
                "batch_size": batch_size,
                "preset": preset,
                "num_inference_steps": num_inference_steps,
                "guidance_scale": guidance_scale,
                "image_guidance_scale": image_guidance_scale,
                "negative_prompt": negative_prompt,
                "scheduler": scheduler,
                "template": template,
                "local_files_only": local_files_only,
            }
        )
        self.fingerprint = _fingerprint(self._settings)
        self._editor = LoadedOnce(self._load)

    def __repr__(self) -> str:
        return f"Onnx({self._settings.model!r}, preset={self._settings.preset!r})"

    @property
    def batch_size(self) -> int:
        """How many images are drawn at once: one on a CPU, so that no byte of an image can depend on its place."""
        return (self._settings.batch_size or _GPU_BATCH_SIZE) if self.uses_gpu else 1

    @property
    def uses_gpu(self) -> bool:
        """Whether it runs on a GPU, where there is one."""
        return self._first_provider() != "CPUExecutionProvider"

    def provenance(self) -> dict[str, str]:
        """Say what the bits of a counterpart depend on beside the fingerprint: provider, versions, commit.

        Raises:
            ValueError: The provider is not here.

        """
        versions = {package: version(package) for package in ("onnxruntime", "tokenizers", "numpy")}
        commit = cached_commit(self._settings)
        return {"device": self._first_provider(), **versions, **({"commit": commit} if commit else {})}

    def check_prompt(self, prompt: str) -> None:
        """Raise ValueError for an empty prompt; the model takes any other."""
        check_prompt(prompt)

    def generate(self, requests: Sequence[Request]) -> list[Counterpart]:
        """Edit each request's image and cut out its box.

        Args:
            requests (Sequence[Request]): Images `(H, W, 3)` uint8 RGB of any size from 1x1 up, only read. A prompt of
                None is chosen among `prompts` by the request's seed.

        Returns:
            list[Counterpart]: One for each request, in order: C-contiguous and "ok"; or "nonfinite" (the model gave
                NaN) or "blank" (one colour, from an image that is not).

        Raises:
            ValueError: A request is wrong, a graph cannot be loaded or run, or graphs are of different models.
            MemoryError: The memory does not suffice for one image.

        """
        if not requests:
            return []
        for request in requests:
            check_rgb(request.image)
            check_box(request.box, request.image)
        prompts = [choose_prompt(request.seed) if request.prompt is None else request.prompt for request in requests]
        for prompt in prompts:
            check_prompt(prompt)
        drawn = self._draw(requests, prompts)
        return [to_counterpart(*made) for made in zip(requests, prompts, drawn, strict=True)]

    def _draw(self, requests: Sequence[Request], prompts: Sequence[str]) -> list[Any]:
        from albu_diffusemix.backends.onnx.editor import Wanted  # noqa: PLC0415  imports onnxruntime

        size, template = self._settings.size, _template(self._settings)
        return self._editor().draw(
            [
                Wanted(np.ascontiguousarray(resize(request.image, size, size)), fill(template, prompt), request.seed)
                for request, prompt in zip(requests, prompts, strict=True)
            ]
        )

    def _load(self) -> "Editor":
        return _load(self._settings, self.batch_size)

    def _first_provider(self) -> str:
        from albu_diffusemix.backends.onnx.sessions import choose_providers  # noqa: PLC0415  imports onnxruntime

        first = choose_providers(self._settings.providers)[0]
        return str(first if isinstance(first, str) else first[0])


def _load(settings: Settings, batch_size: int) -> "Editor":
    from albu_diffusemix.backends.onnx.editor import Editor  # noqa: PLC0415  imports onnxruntime
    from albu_diffusemix.backends.onnx.sessions import Graph, choose_providers  # noqa: PLC0415  as above

    layout = read_layout(find_folder(settings))
    load = partial(Graph, providers=choose_providers(settings.providers), session_options=settings.session_options)
    return Editor(
        layout,
        load,
        plan=plan_of(settings, layout),
        guidance=guidance_of(settings),
        negative_prompt=settings.negative_prompt or "",
        batch_size=batch_size,
    )


def _template(settings: Settings) -> str:
    return PRESETS[settings.preset].template if settings.template is None else settings.template


def _fingerprint(settings: Settings) -> str:
    """Digest what changes pixels. A folder counts by its contents, wherever it lies; the Hub's model by its name."""
    folder = Path(settings.model)
    left_out = ("model", "revision", "providers", "session_options", "batch_size", "local_files_only")
    facts = {name: value for name, value in settings._asdict().items() if name not in left_out}
    facts["template"] = _template(settings)
    facts["model"] = digest_layout(folder) if folder.is_dir() else f"{settings.model}@{settings.revision or 'main'}"
    text = json.dumps(facts, sort_keys=True)
    return f"onnx-{VERSION}-{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"

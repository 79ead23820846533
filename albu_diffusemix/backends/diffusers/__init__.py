"""Counterparts from any editing pipeline of diffusers; the paper's is InstructPix2Pix."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from albu_diffusemix.backends import Counterpart, Request
from albu_diffusemix.backends.diffusers.checkpoint import check_files, digest_lora, digest_weights
from albu_diffusemix.backends.diffusers.families import call_arguments, editing_class
from albu_diffusemix.backends.diffusers.hub import PAPER_MODEL, cached_folder, known_class
from albu_diffusemix.backends.diffusers.settings import Settings, check_settings, fill_template
from albu_diffusemix.backends.loaded_once import LoadedOnce
from albu_diffusemix.backends.pixels import check_box, check_rgb, resize, to_counterpart
from albu_diffusemix.backends.presets import PRESETS, check_prompt, choose_prompt
from albu_diffusemix.prompts import PAPER_PROMPTS

if TYPE_CHECKING:
    from albu_diffusemix.backends.diffusers.drawing import Drawn, Model

__all__ = ["PRESETS", "VERSION", "Diffusers", "InstructPix2Pix"]

VERSION = 1
"""Raised with every change of the code that changes pixels."""

_BATCH_SIZE = 16  # on a GPU: more brings little at 256 px, and 512 px still fit into 24 GB


class Diffusers:
    """An editing pipeline of diffusers that edits each image by its prompt: the generation step of the paper.

    It loads on the first `generate`, onto one device. The model sees each image as a square of `size`, enlarged or
    reduced, and its counterpart is resized back to the image's own size. Each image has its own noise, drawn on the CPU
    from the request's seed.

    On a CPU, on one number of threads, the same request gives the same bytes whatever its neighbours, their order and
    number: those of the stock pipeline called with this image alone. Other numbers of threads, other devices and
    versions of torch, and on a GPU other batch sizes, differ by rounding.

    Sources: DiffuseMix (CVPR 2024), section 3.2 and section 4; InstructPix2Pix, https://arxiv.org/abs/2211.09800.

    Args:
        model_id: A folder that diffusers saved, or an id on the Hugging Face Hub. It must be given, except to the
            backend "instruct_pix2pix", whose default is "timbrooks/instruct-pix2pix", the paper's.
        revision: Branch, tag or commit on the Hub. Default: None, the main branch.
        variant: Which of several files of weights, such as "fp16". Default: None.
        dtype: "float32", "float16", "bfloat16", or "auto": float16 on CUDA, float32 elsewhere. Default: "auto".
        device: "cuda", "cuda:1", "mps", "cpu", or "auto", the first of them that there is. Default: "auto".
        size: Side in pixels of the square that the model sees, a multiple of 8. Default: 256.
        batch_size: Images at once on a GPU; on a CPU it is always one. A batch that is not full costs as much as a full
            one. One that does not fit into memory is halved. Default: None, 16.
        preset: "paper" (100 steps, guidance 4 and 1.5, the paper's template), "official" (the same with the bare
            prompt), "fast" (DPM++ 2M, 20 steps) or "fastest" (DPM++ 2M, 10 steps, image guidance 1, two passes of the
            network a step instead of three). Any argument below replaces the preset's. To other pipelines than
            InstructPix2Pix a preset gives its template alone, and "fast" and "fastest" are refused. Default: "paper".
        num_inference_steps: Denoising steps. Default: None, the preset's.
        guidance_scale: How strongly the prompt pulls; above 1. Default: None, the preset's.
        image_guidance_scale: How strongly the source holds; at least 1. Default: None, the preset's.
        strength: Share of the steps that are taken, in (0, 1]; for image-to-image pipelines only, where it says how
            much of the image is replaced. Default: None, the pipeline's own.
        negative_prompt: What the prompt pulls away from. Default: None.
        scheduler: The sampler: a class of diffusers by name, or a mapping with `name` and the options to change.
            Default: None, the preset's or the checkpoint's.
        template: What is wrapped around each prompt, with "{prompt}" in its place. Default: None, the preset's.
        lora: A LoRA to merge in: a file, a folder, or an id on the Hub. Default: None.
        lora_scale: How much of it. Default: 1.
        compile: Compile the network with `torch.compile`: takes minutes once, then each image is faster.
            Default: False.
        channels_last: Use torch's memory format `channels_last`. Default: None, on CUDA only.
        safety_checker: Run the checkpoint's safety checker, if it has one. Default: False.
        local_files_only: Never ask the Hub. Default: False.
        pipeline_kwargs: More arguments for the pipeline's call, under their names there. Default: None.

    Raises:
        ValueError: A package is missing, a value is not allowed, the model is not there, or its pipeline does not
            accept an argument. What needs the model itself is found out on the first `generate`.

    Examples:
        >>> from albu_diffusemix import create_backend
        >>> create_backend({"name": "diffusers", "model_id": "me/my-editor", "preset": "official"})  # doctest: +SKIP
        Diffusers('me/my-editor', preset='official')

    """

    name: ClassVar[str] = "diffusers"
    default_model: ClassVar[str | None] = None
    prompts: tuple[str, ...] = PAPER_PROMPTS

    def __init__(
        self,
        model_id: str | None = None,
        revision: str | None = None,
        variant: str | None = None,
        dtype: str = "auto",
        device: str = "auto",
        size: int = 256,
        batch_size: int | None = None,
        preset: str = "paper",
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        image_guidance_scale: float | None = None,
        strength: float | None = None,
        negative_prompt: str | None = None,
        scheduler: str | Mapping[str, Any] | None = None,
        template: str | None = None,
        lora: str | None = None,
        lora_scale: float = 1.0,
        compile: bool = False,  # noqa: A002, FBT001, FBT002  named as in torch; specs give it by name
        channels_last: bool | None = None,  # noqa: FBT001  specs give it by name
        safety_checker: bool = False,  # noqa: FBT001, FBT002  as above
        local_files_only: bool = False,  # noqa: FBT001, FBT002  as above
        pipeline_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        knobs = {
            "num_inference_steps": num_inference_steps,
            "guidance_scale": guidance_scale,
            "image_guidance_scale": image_guidance_scale,
            "strength": strength,
            "negative_prompt": negative_prompt,
        }
        self._settings = Settings(
            model_id=self._chosen(model_id),
            revision=revision,
            variant=variant,
            dtype=dtype,
            device=device,
            size=size,
            batch_size=batch_size,
            preset=preset,
            knobs={name: value for name, value in knobs.items() if value is not None},
            scheduler=scheduler,
            template=template,
            lora=lora,
            lora_scale=lora_scale,
            compile=compile,
            channels_last=channels_last,
            safety_checker=safety_checker,
            local_files_only=local_files_only,
            pipeline_kwargs=dict(pipeline_kwargs or {}),
        )
        check_settings(self._settings, self.name)
        _check_pipeline(self._settings)
        self.fingerprint = _fingerprint(self._settings)
        self._model = LoadedOnce(self._load)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._settings.model_id!r}, preset={self._settings.preset!r})"

    def _chosen(self, model_id: str | None) -> str:
        chosen = self.default_model if model_id is None else model_id
        if chosen is None:
            raise ValueError(
                f"backend {self.name!r} needs the option 'model_id', a folder that diffusers saved or a Hub id: "
                f"{{'name': {self.name!r}, 'model_id': 'owner/name'}}; the default of 'instruct_pix2pix' is the paper's"
            )
        return chosen

    @property
    def batch_size(self) -> int:
        """How many images are drawn at once: one on a CPU, where the bytes of an image would depend on its place."""
        from albu_diffusemix.backends.torch_devices import choose_device  # noqa: PLC0415  imports torch

        # torch divides each operation of a batch among threads, and rounds otherwise where their shares meet.
        if choose_device(self._settings.device).type == "cpu":
            return 1
        return self._settings.batch_size or _BATCH_SIZE

    @property
    def uses_gpu(self) -> bool:
        """Whether it runs on a CUDA device, where there is one."""
        return self._settings.device not in ("cpu", "mps")

    def provenance(self) -> dict[str, str]:
        """Say what bits depend on beside the fingerprint: device, dtype, threads of a CPU, versions, commit.

        Raises:
            ValueError: The device is not here.

        """
        from albu_diffusemix.backends import torch_devices  # noqa: PLC0415  imports torch

        device = torch_devices.choose_device(self._settings.device)
        facts = torch_devices.provenance(device, torch_devices.choose_dtype(self._settings.dtype, device))
        snapshot = None if self._settings.is_local else cached_folder(self._settings)
        return facts if snapshot is None else {**facts, "commit": snapshot.name}

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
                NaN), "blank" (one colour, from an image that is not) or "nsfw" (flagged by the safety checker).

        Raises:
            ValueError: A request is wrong, or the model cannot be loaded.
            RuntimeError: The memory does not suffice for one image, see also MemoryError.

        """
        if not requests:
            return []
        for request in requests:
            check_rgb(request.image)
            check_box(request.box, request.image)
        prompts = [choose_prompt(request.seed) if request.prompt is None else request.prompt for request in requests]
        for prompt in prompts:
            self.check_prompt(prompt)
        model = self._model()
        drawn = _draw(
            model, requests, [fill_template(self._settings, prompt) for prompt in prompts], self._settings.size
        )
        return [_counterpart(*made) for made in zip(requests, prompts, drawn, strict=True)]

    def _load(self) -> "Model":
        from albu_diffusemix.backends.diffusers.loading import load  # noqa: PLC0415  seconds

        return load(self._settings, self.batch_size)


class InstructPix2Pix(Diffusers):
    """`Diffusers` whose default model is the paper's, "timbrooks/instruct-pix2pix".

    Examples:
        >>> from albu_diffusemix import create_backend
        >>> create_backend({"name": "instruct_pix2pix", "preset": "fast"})  # doctest: +SKIP
        InstructPix2Pix('timbrooks/instruct-pix2pix', preset='fast')

    """

    name: ClassVar[str] = "instruct_pix2pix"
    default_model: ClassVar[str | None] = PAPER_MODEL


def _check_pipeline(settings: Settings) -> None:
    class_name = known_class(settings)
    if class_name is not None:
        call_arguments(settings, editing_class(class_name))
    if settings.is_local:
        check_files(Path(settings.model_id), settings.variant, safety_checker=settings.safety_checker)


def _fingerprint(settings: Settings) -> str:
    """Return a digest of what changes pixels: a folder counts by its contents, a model of the Hub by its name.

    The prefix is the same for both names of the backend, since equal settings give equal pixels under both.
    """
    if settings.is_local:
        model = digest_weights(Path(settings.model_id), settings.variant, safety_checker=settings.safety_checker)
    else:
        model = f"{settings.model_id}@{settings.revision or 'main'}:{settings.variant}"
    lora = settings.lora
    if lora is not None and Path(lora).exists():
        lora = digest_lora(Path(lora))
    facts = {
        "model": model,
        "dtype": settings.dtype,
        "size": settings.size,
        "preset": settings.preset,
        "knobs": settings.knobs,
        "scheduler": settings.scheduler,
        "template": fill_template(settings, "{prompt}"),
        "lora": lora and [lora, settings.lora_scale],
        "safety_checker": settings.safety_checker,
        "pipeline_kwargs": settings.pipeline_kwargs,
    }
    text = json.dumps(facts, sort_keys=True, default=dict)
    return f"instruct_pix2pix-{VERSION}-{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"


def _draw(model: "Model", requests: Sequence[Request], prompts: list[str], size: int) -> "list[Drawn]":
    from albu_diffusemix.backends.diffusers.drawing import Wanted  # noqa: PLC0415  imports torch

    squares = [np.ascontiguousarray(resize(request.image, size, size)) for request in requests]
    return model.draw(
        [
            Wanted(square, prompt, request.seed)
            for square, prompt, request in zip(squares, prompts, requests, strict=True)
        ]
    )


def _counterpart(request: Request, prompt: str, drawn: "Drawn") -> Counterpart:
    return Counterpart(None, "nsfw", prompt) if drawn.flagged else to_counterpart(request, prompt, drawn.image)

"""Counterparts from any editing pipeline of diffusers; the paper's is InstructPix2Pix."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from albu_diffusemix.backends import option_rules
from albu_diffusemix.backends.diffusers.call_plan import CallPlan, make_plan
from albu_diffusemix.backends.diffusers.checkpoint import check_files, digest_lora, digest_weights
from albu_diffusemix.backends.diffusers.families import INSTRUCT, XL_INSTRUCT
from albu_diffusemix.backends.diffusers.hub import PAPER_MODEL, known_class, local_folder
from albu_diffusemix.backends.diffusers.settings import PACKAGES, QUANTIZED, RULES, Settings, check_pipeline_kwargs
from albu_diffusemix.backends.editing import EditingBackend, Editor, digest_facts, read_settings
from albu_diffusemix.backends.model_files import cached_commit
from albu_diffusemix.backends.presets import PRESETS

__all__ = ["PRESETS", "VERSION", "Diffusers", "InstructPix2Pix"]

VERSION = 1
"""Raised with every change of the code that changes pixels."""


FAMILIES_VERSION = 1
"""Raised with every change of the table that changes pixels of others than InstructPix2Pix."""


class Diffusers(EditingBackend):
    """An editing pipeline of diffusers that edits each image by its prompt: the generation step of the paper.

    It loads on the first `generate`, onto one device. The model sees each image as a square of `size`, enlarged or
    reduced, and its counterpart is resized back to the image's own size. Each image has its own noise, drawn on the CPU
    from the request's seed. How each family of models is called stands in `families.py`; others than InstructPix2Pix
    draw a probe image and its negative when they are loaded, and are refused where these come out alike.

    On a CPU, on one number of threads, the same request gives the same bytes whatever its neighbours, their order and
    number: those of the stock pipeline called with this image alone. Other numbers of threads, other devices and
    versions of torch, and on a GPU other batch sizes, differ by rounding.

    Sources: DiffuseMix (CVPR 2024), section 3.2 and section 4; InstructPix2Pix, https://arxiv.org/abs/2211.09800.

    Args:
        model_id: A folder that diffusers saved, or an id on the Hugging Face Hub. It must be given, except to the
            backend "instruct_pix2pix", whose default is "timbrooks/instruct-pix2pix", the paper's.
        revision: Branch, tag or commit on the Hub. Default: None, the main branch.
        variant: Which of several files of weights, such as "fp16". Default: None.
        dtype: "float32", "float16", "bfloat16", or "auto": on CUDA what the family is made for, float32 elsewhere.
            Default: "auto".
        device: "cuda", "cuda:1", "mps", "cpu", or "auto", the first of them that there is. Default: "auto".
        size: Side in pixels of the square that the model sees, a multiple of 8 or of what its family asks for.
            Default: None, the size that the family is made for: 256 for InstructPix2Pix, as in the paper.
        shape: "square", or "aspect": the square's area at the image's own ratio, resized and never cropped.
            Default: "square".
        batch_size: Images at once on a GPU; on a CPU it is always one. A batch that is not full costs as much as a full
            one. One that does not fit into memory is halved. Default: None: 16, or one where a pipeline makes one
            image at a time, or several prompts of one image at a time.
        memory: "full"; "offload" or "sequential", which keep parts or single layers beside the GPU until they are used;
            "8bit" or "4bit", which need bitsandbytes and draw other pixels. Default: "full".
        preset: "paper" (100 steps, guidance 4 and 1.5, the paper's template), "official" (the same with the bare
            prompt), "fast" (DPM++ 2M, 20 steps) or "fastest" (DPM++ 2M, 10 steps, image guidance 1, two passes of the
            network a step instead of three). To other families "paper" leaves all to the family, "official" with the
            bare prompt, and "fast" and "fastest" are refused. "lcm", "hyper" and "lightning" are presets of few steps
            with a LoRA, for the families that have one. Any argument below replaces the preset's. Default: "paper".
        num_inference_steps: Denoising steps. Default: None, the preset's or the family's.
        guidance_scale: How strongly the prompt pulls, under whatever name the family has it; for InstructPix2Pix above
            1. Default: None, the preset's or the family's.
        image_guidance_scale: How strongly the source holds; at least 1. Default: None, the preset's or the family's.
        strength: Share of the steps that are taken, in (0, 1]; for image-to-image pipelines only, where it says how
            much of the image is replaced: `int(num_inference_steps * strength)` steps. Default: None, the family's.
        negative_prompt: What the prompt pulls away from. Default: None, the family's.
        scheduler: The sampler: a class of diffusers by name, or a mapping with `name` and the options to change.
            Default: None, the preset's or the checkpoint's.
        template: What is wrapped around each prompt, with "{prompt}" in its place. Default: None, the preset's or the
            family's.
        lora: A LoRA to merge in: a file, a folder, an id on the Hub, or a file there, "owner/name/file.safetensors".
            Default: None, the preset's.
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
    _settings: Settings

    def __init__(
        self,
        model_id: str | None = None,
        revision: str | None = None,
        variant: str | None = None,
        dtype: str = "auto",
        device: str = "auto",
        size: int | None = None,
        shape: str = "square",
        batch_size: int | None = None,
        memory: str = "full",
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
        model_id = self._chosen_model(model_id)
        option_rules.check_packages(self.name, PACKAGES if lora is None else (*PACKAGES, "peft"))
        settings = read_settings(Settings, locals(), RULES)  # the arguments above, by name
        check_pipeline_kwargs(settings)
        self._plan = _plan_so_far(settings)
        super().__init__(settings, _fingerprint(settings, self._plan))

    def _chosen_model(self, model_id: str | None) -> str:
        chosen = self.default_model if model_id is None else model_id
        if chosen is None:
            raise ValueError(
                f"backend {self.name!r} needs the option 'model_id', a folder that diffusers saved or a Hub id: "
                f"{{'name': {self.name!r}, 'model_id': 'owner/name'}}; the default of 'instruct_pix2pix' is the paper's"
            )
        return chosen

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._settings.model_id!r}, preset={self._settings.preset!r})"

    @property
    def uses_gpu(self) -> bool:
        """Whether it runs on a CUDA device, where there is one."""
        return self._settings.device not in ("cpu", "mps")

    @property
    def batch_size(self) -> int:
        """How many images are edited at once; one on a CPU, and where the pipeline makes one at a time."""
        together = self._plan.family.together if self._plan else "each"
        if together == "one" or (together == "prompts" and self._settings.batch_size is None):
            return 1
        return super().batch_size

    def model_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width in pixels at which the model sees an image of this height and width.

        Raises:
            ValueError: The model has to be loaded for that, and cannot be.

        """
        return self._known_plan().sides(height, width)

    def bucket(self, height: int, width: int) -> tuple[int, int] | None:
        """Return the model's height and width for an image, where those of images differ and are known already."""
        return self._plan.sides(height, width) if self._plan and self._settings.shape == "aspect" else None

    def provenance(self) -> dict[str, str]:
        """Return what bits depend on beside the fingerprint: device, dtype, threads of a CPU, versions, commit.

        Raises:
            ValueError: The device is not here.

        """
        from albu_diffusemix.backends import torch_devices  # noqa: PLC0415  imports torch

        device = torch_devices.choose_device(self._settings.device)
        on_gpu = self._plan.family.dtype if self._plan else "float16"
        facts = torch_devices.provenance(device, torch_devices.choose_dtype(self._settings.dtype, device, on_gpu))
        return {**facts, **cached_commit(self._settings.model_id, self._settings.revision)}

    def _is_on_gpu(self) -> bool:
        from albu_diffusemix.backends.torch_devices import choose_device  # noqa: PLC0415  imports torch

        return choose_device(self._settings.device).type != "cpu"

    def _load_editor(self) -> Editor:
        from albu_diffusemix.backends.diffusers.loading import load  # noqa: PLC0415  seconds

        editor, self._plan = load(self._settings)
        return editor

    def _known_plan(self) -> CallPlan:
        if self._plan is None:
            self.load()
        assert self._plan is not None  # noqa: S101  a loaded model has one
        return self._plan

    def _fill_template(self, prompt: str) -> str:
        return self._known_plan().template.replace("{prompt}", prompt)


class InstructPix2Pix(Diffusers):
    """`Diffusers` whose default model is the paper's, "timbrooks/instruct-pix2pix".

    Examples:
        >>> from albu_diffusemix import create_backend
        >>> create_backend({"name": "instruct_pix2pix", "preset": "fast"})  # doctest: +SKIP
        InstructPix2Pix('timbrooks/instruct-pix2pix', preset='fast')

    """

    name: ClassVar[str] = "instruct_pix2pix"
    default_model: ClassVar[str | None] = PAPER_MODEL


def _plan_so_far(settings: Settings) -> CallPlan | None:
    """Return how the model is called, and check what is here of it; None where its pipeline is not known yet."""
    class_name = known_class(settings)
    if class_name is None:
        return None
    plan = make_plan(settings, class_name, local_folder(settings))
    if settings.is_local:
        check_files(Path(settings.model_id), settings.variant, safety_checker=settings.safety_checker)
    return plan


def _fingerprint(settings: Settings, plan: CallPlan | None) -> str:
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
        "size": settings.size or (plan.size if plan else None),
        "preset": settings.preset,
        "knobs": settings.call_options,  # keys stay as they are: fingerprints of stores depend on them
        "scheduler": settings.chosen_scheduler,
        "template": settings.or_preset("template"),
        "lora": lora and [lora, settings.lora_scale],
        "safety_checker": settings.safety_checker,
        "pipeline_kwargs": settings.pipeline_kwargs or {},
    }
    if plan and plan.family.pipeline not in (INSTRUCT, XL_INSTRUCT):
        facts |= {"family": f"{plan.family.pipeline}-{FAMILIES_VERSION}", "template": settings.template}
    if settings.shape != "square":
        facts["shape"] = settings.shape
    if settings.memory in QUANTIZED:
        facts["memory"] = settings.memory
    return digest_facts(f"instruct_pix2pix-{VERSION}", facts)

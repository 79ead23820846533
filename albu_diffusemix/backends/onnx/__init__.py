"""Counterparts from InstructPix2Pix by ONNX Runtime: the same pictures, with no torch installed."""

from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from albu_diffusemix.backends import option_rules
from albu_diffusemix.backends.editing import EditingBackend, Editor, digest_facts, read_settings
from albu_diffusemix.backends.instruct import guidance_of
from albu_diffusemix.backends.model_files import cached_commit
from albu_diffusemix.backends.onnx.hub import find_folder
from albu_diffusemix.backends.onnx.layout import digest_layout, read_layout
from albu_diffusemix.backends.onnx.settings import RULES, Settings, check_settings, sampler_of

__all__ = ["VERSION", "Onnx"]

VERSION = 1
"""Raised with every change of the code that changes pixels."""


class Onnx(EditingBackend):
    """InstructPix2Pix from a folder of ONNX graphs, run by ONNX Runtime.

    Needs onnxruntime and tokenizers, and neither torch nor diffusers nor transformers. The same request gives the
    picture that the backends "diffusers" and "instruct_pix2pix" give with this model, to a grey level: samplers and
    noise are the same. Images are sized as there. On a CPU the same request gives the same bytes whatever its
    neighbours, their order and number.

    The arguments that are not listed here mean the same as those of `Diffusers`: `revision`, `batch_size`, `preset`,
    `num_inference_steps`, `guidance_scale`, `image_guidance_scale`, `negative_prompt`, `template`, `local_files_only`.

    Sources: DiffuseMix (CVPR 2024), section 3.2 and section 4; InstructPix2Pix, https://arxiv.org/abs/2211.09800.

    Args:
        model: A folder that `albu-diffusemix export-onnx` made or that has the same layout, or an id of such a folder
            on the Hugging Face Hub.
        providers: ONNX Runtime's execution providers, in order: names, or pairs of a name and its options. "auto" takes
            those of CUDA, DirectML and CPU that are here. Default: "auto".
        session_options: ONNX Runtime's options of a session by name, such as `{"intra_op_num_threads": 4}`; a name with
            a dot is a configuration entry. Default: None.
        size: Side in pixels of the square that the model sees, a multiple of 64 for Stable Diffusion 1.5: its UNet
            halves it several times. Default: 256.
        scheduler: The sampler by its name in diffusers, "DDIMScheduler", "DPMSolverMultistepScheduler",
            "EulerAncestralDiscreteScheduler" or "EulerDiscreteScheduler", or a mapping with `name` and the options to
            change. Default: None, the preset's or the folder's.

    Raises:
        ValueError: A package is missing, a value is not allowed, or a file is missing. What needs the graphs themselves
            is found out on the first `generate`.

    Examples:
        >>> from albu_diffusemix import create_backend
        >>> create_backend({"name": "onnx", "model": "ip2p-onnx", "preset": "fast"})  # doctest: +SKIP
        Onnx('ip2p-onnx', preset='fast')

    """

    _settings: Settings

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
        option_rules.check_packages("onnx", ("onnxruntime", "tokenizers"))
        settings = read_settings(Settings, locals(), RULES)  # the arguments above, by name
        check_settings(settings)
        super().__init__(settings, _fingerprint(settings))

    def __repr__(self) -> str:
        return f"Onnx({self._settings.model!r}, preset={self._settings.preset!r})"

    @property
    def uses_gpu(self) -> bool:
        """Whether it runs on a GPU, where there is one."""
        return self._first_provider() != "CPUExecutionProvider"

    def provenance(self) -> dict[str, str]:
        """Return what the bits of a counterpart depend on beside the fingerprint: provider, versions, commit.

        Raises:
            ValueError: The provider is not here.

        """
        versions = {package: version(package) for package in ("onnxruntime", "tokenizers", "numpy")}
        commit = cached_commit(self._settings.model, self._settings.revision)
        return {"device": self._first_provider(), **versions, **commit}

    def model_size(self, height: int, width: int) -> tuple[int, int]:  # noqa: ARG002  always a square
        """Return the model's height and width in pixels."""
        return self._settings.size, self._settings.size

    def _load_editor(self) -> Editor:
        from albu_diffusemix.backends.onnx.editor import GraphEditor  # noqa: PLC0415  imports onnxruntime
        from albu_diffusemix.backends.onnx.sessions import Graph, choose_providers  # noqa: PLC0415  as above

        settings = self._settings
        layout = read_layout(find_folder(settings))
        providers = choose_providers(settings.providers)
        return GraphEditor(
            layout,
            partial(Graph, providers=providers, session_options=settings.session_options or {}),
            sampler=sampler_of(settings, layout),
            guidance=guidance_of(settings),
            negative_prompt=settings.negative_prompt or "",
        )

    def _first_provider(self) -> str:
        from albu_diffusemix.backends.onnx.sessions import choose_providers  # noqa: PLC0415  imports onnxruntime

        first = choose_providers(self._settings.providers)[0]
        return str(first if isinstance(first, str) else first[0])


def _fingerprint(settings: Settings) -> str:
    """Return a digest of what changes pixels: a folder counts by its contents, a model of the Hub by its name."""
    folder = Path(settings.model)
    left_out = ("model", "revision", "providers", "session_options", "batch_size", "local_files_only")
    facts = {name: value for name, value in vars(settings).items() if name not in left_out}
    facts["template"] = settings.or_preset("template")
    facts["model"] = digest_layout(folder) if folder.is_dir() else f"{settings.model}@{settings.revision or 'main'}"
    return digest_facts(f"onnx-{VERSION}", facts)

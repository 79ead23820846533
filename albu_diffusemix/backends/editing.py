"""What all backends that edit an image by a prompt have in common, whichever library runs their model."""

import hashlib
import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.backends import BackendUnavailableError, Counterpart, Request, option_rules
from albu_diffusemix.backends.batches import Batches
from albu_diffusemix.backends.loaded_once import LoadedOnce
from albu_diffusemix.backends.pixels import check_request, resize, to_counterpart
from albu_diffusemix.backends.presets import PRESETS
from albu_diffusemix.prompts import PAPER_PROMPTS

__all__ = [
    "EditingBackend",
    "EditingSettings",
    "Editor",
    "Model",
    "ModelInput",
    "ModelOutput",
    "check_prompt",
    "checked_prompts",
    "digest_facts",
    "read_settings",
]

KEPT_PROMPTS = 256
"""So many encoded prompts are kept, the last used ones."""

_GPU_BATCH_SIZE = 16  # more brings little at 256 px, and 512 px still fit into 24 GB


class ModelInput(NamedTuple):
    """An image to edit, (H, W, 3) uint8 RGB at the model's size; the whole prompt, template included; the seed."""

    image: NDArray[np.uint8]
    prompt: str
    seed: int


class ModelOutput(NamedTuple):
    """An edited image, (H, W, 3) float32, in [0, 1] or not finite; and whether the safety checker flagged it."""

    image: NDArray[np.float32]
    flagged: bool = False


class Editor(ABC):
    """A loaded model, and how it is called."""

    takes_batches = True
    takes_threads = False
    """Whether several threads may call it at once; the samplers of diffusers keep state."""

    @abstractmethod
    def edit(self, inputs: Sequence[ModelInput]) -> list[ModelOutput]:
        """Edit some images at once; only one where it does not take batches."""

    def group(self, one: ModelInput) -> Hashable:
        """Return what inputs of one batch have in common."""
        return one.image.shape

    def release_memory(self) -> None:  # noqa: B027  most have nothing to release
        """Release memory that is not used, before a smaller batch is tried."""


class Model:
    """An editor that takes any number of images, in batches that fit into memory.

    Args:
        editor: What edits a batch.
        batch_size: Images at once.

    """

    def __init__(self, editor: Editor, batch_size: int) -> None:
        self._editor = editor
        self._batches = Batches(editor.edit, batch_size if editor.takes_batches else 1, editor.release_memory)
        self._lock: AbstractContextManager[Any] = nullcontext() if editor.takes_threads else threading.Lock()

    def edit(self, inputs: Sequence[ModelInput]) -> list[ModelOutput]:
        """Edit all; outputs are in the order of the inputs."""
        groups: dict[Hashable, list[int]] = {}
        for place, one in enumerate(inputs):
            groups.setdefault(self._editor.group(one), []).append(place)
        outputs: dict[int, ModelOutput] = {}
        with self._lock:
            for places in groups.values():
                outputs.update(zip(places, self._batches([inputs[place] for place in places]), strict=True))
        return [outputs[place] for place in range(len(inputs))]


@dataclass(frozen=True)
class EditingSettings:
    """Options that all backends of this kind take, checked."""

    revision: str | None
    size: int | None
    batch_size: int | None
    preset: str
    num_inference_steps: int | None
    guidance_scale: float | None
    image_guidance_scale: float | None
    negative_prompt: str | None
    scheduler: str | dict[str, Any] | None
    template: str | None
    local_files_only: bool

    def or_preset(self, name: str) -> Any:
        """Return an option, or the preset's value where the user gave none."""
        value = getattr(self, name)
        return getattr(PRESETS[self.preset], name) if value is None else value

    def fill_template(self, prompt: str) -> str:
        """Return the template with a prompt in its place."""
        template: str = self.or_preset("template")
        return template.replace("{prompt}", prompt)


Settings = TypeVar("Settings", bound=EditingSettings)

_COMMON_RULES = {
    "revision": option_rules.TEXT.or_none(),
    "size": option_rules.COUNT,
    "batch_size": option_rules.COUNT.or_none(),
    "preset": option_rules.one_of(*PRESETS),
    "num_inference_steps": option_rules.COUNT.or_none(),
    "guidance_scale": option_rules.NUMBER.or_none(),
    "image_guidance_scale": option_rules.NUMBER.or_none(),
    "negative_prompt": option_rules.TEXT.or_none(),
    "template": option_rules.TEMPLATE.or_none(),
    "local_files_only": option_rules.FLAG,
}


def read_settings(
    kind: type[Settings], given: Mapping[str, Any], own_rules: Mapping[str, option_rules.Rule]
) -> Settings:
    """Check options, and keep them as plain data that nothing else refers to.

    Args:
        kind: The backend's class of settings.
        given: The options by name; what else is in it is left out.
        own_rules: What the options of this backend may be, beside those that are common to all.

    Raises:
        ValueError: A value is not allowed; the message says which and what is.

    """
    option_rules.check_values(given, {**_COMMON_RULES, **own_rules})
    return kind(**{field.name: _own(given[field.name]) for field in fields(kind)})


def _own(value: Any) -> Any:
    """Return the user's mapping or list as one of our own."""
    if isinstance(value, Mapping):
        return dict(value)
    return tuple(value) if isinstance(value, list) else value


class EditingBackend(ABC):
    """A backend whose model sees each image at a size of its own, and edits it by its prompt.

    Args:
        settings: Checked.
        fingerprint: The digest of everything that changes pixels.

    """

    prompts: tuple[str, ...] = PAPER_PROMPTS

    def __init__(self, settings: EditingSettings, fingerprint: str) -> None:
        self._settings = settings
        self.fingerprint = fingerprint
        self._model = LoadedOnce(self._load)

    @property
    @abstractmethod
    def uses_gpu(self) -> bool:
        """Whether it runs on a GPU, where there is one."""

    @property
    def batch_size(self) -> int:
        """How many images are edited at once: one on a CPU, where the bytes of an image would depend on its place."""
        # torch divides each operation of a batch among threads, and rounds otherwise where their shares meet.
        return (self._settings.batch_size or _GPU_BATCH_SIZE) if self._is_on_gpu() else 1

    def check_prompt(self, prompt: str) -> None:
        """Raise ValueError for an empty prompt; the model takes any other."""
        check_prompt(prompt)

    def generate(self, requests: Sequence[Request]) -> list[Counterpart]:
        """Edit each request's image and cut out its box.

        Args:
            requests: Images `(H, W, 3)` uint8 RGB of any size from 1x1 up, only read. A prompt of None is chosen among
                `prompts` by the request's seed.

        Returns:
            One for each request, in order: C-contiguous and "ok"; or "nonfinite" (the model gave NaN), "blank" (one
            color, from an image that is not) or "nsfw" (flagged by the safety checker).

        Raises:
            ValueError: A request is wrong, or the model cannot be run.
            BackendUnavailableError: The model cannot be loaded.
            RuntimeError: There is too little memory for one image; a MemoryError where the library raises that.

        """
        if not requests:
            return []
        prompts = checked_prompts(requests)
        model = self._model()
        inputs = [self._model_input(request, prompt) for request, prompt in zip(requests, prompts, strict=True)]
        outputs = model.edit(inputs)
        return [_counterpart(*made) for made in zip(requests, prompts, outputs, strict=True)]

    def _model_input(self, request: Request, prompt: str) -> ModelInput:
        height, width = self.model_size(*request.image.shape[:2])
        image = np.ascontiguousarray(resize(request.image, width, height))
        return ModelInput(image, self._fill_template(prompt), request.seed)

    def load(self) -> None:
        """Load the model now, where it is not loaded yet.

        Raises:
            BackendUnavailableError: It cannot be loaded, and no image can be made.

        """
        self._model()

    @abstractmethod
    def model_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width in pixels at which the model sees an image of this height and width."""

    def _fill_template(self, prompt: str) -> str:
        return self._settings.fill_template(prompt)

    def _load(self) -> Model:
        try:
            return Model(self._load_editor(), self.batch_size)
        except ValueError as error:
            raise BackendUnavailableError(str(error)) from error

    def _is_on_gpu(self) -> bool:
        return self.uses_gpu

    @abstractmethod
    def _load_editor(self) -> Editor:
        """Load the model; slow."""


def digest_facts(prefix: str, facts: Mapping[str, Any]) -> str:
    """Return a fingerprint of plain data."""
    text = json.dumps(facts, sort_keys=True)
    return f"{prefix}-{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"


def check_prompt(prompt: str) -> None:
    """Raise ValueError for an empty prompt; an editing model takes any other."""
    if not isinstance(prompt, str) or not prompt.strip():
        raise ValueError(f"prompt must name an effect, such as {PAPER_PROMPTS[1]!r}; got {prompt!r}")


def checked_prompts(requests: Sequence[Request]) -> list[str]:
    """Return the prompt of each request, chosen by its seed where it has none.

    Raises:
        ValueError: A request is wrong, or its prompt is empty.

    """
    for request in requests:
        check_request(request)
    prompts = [_choose_prompt(request.seed) if request.prompt is None else request.prompt for request in requests]
    for prompt in prompts:
        check_prompt(prompt)
    return prompts


def _choose_prompt(seed: int) -> str:
    """Choose one of the paper's prompts by a seed."""
    digest = hashlib.blake2b(f"{seed}:choice of a prompt".encode(), digest_size=8).digest()
    return PAPER_PROMPTS[int.from_bytes(digest, "big") % len(PAPER_PROMPTS)]


def _counterpart(request: Request, prompt: str, output: ModelOutput) -> Counterpart:
    if output.flagged:
        return Counterpart(None, "nsfw", prompt)
    return to_counterpart(request, prompt, output.image)

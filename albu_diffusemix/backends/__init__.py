"""Backends make counterparts: the one interface between the transforms, the job and any generator of images.

A backend is named by a spec, plain data that YAML can hold: `"procedural"` or `{"name": "procedural", ...options}`.
"""

import importlib
import inspect
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.functional import Box
from albu_diffusemix.text import did_you_mean

__all__ = [
    "Backend",
    "BackendSpec",
    "BackendUnavailableError",
    "Counterpart",
    "Request",
    "Status",
    "backend_names",
    "create_backend",
    "register_backend",
    "shared_backend",
]

BackendSpec: TypeAlias = str | Mapping[str, Any]

Status = Literal["ok", "blank", "nonfinite", "nsfw", "missing", "failed"]


class BackendUnavailableError(ValueError):
    """A backend can make nothing at all: its server does not answer, or its model cannot be loaded. The job ends."""


class _RequestFields(NamedTuple):
    image: NDArray[np.uint8]
    prompt: str | None
    seed: int
    key: str | None
    box: Box
    variant: str | None


class Request(_RequestFields):
    """What a counterpart is made from.

    Attributes:
        image: The source, `(H, W, 3)` uint8 RGB, C-contiguous.
        prompt: The effect to apply; None lets the backend choose one of its own, by `seed`.
        seed: Decides everything random in the counterpart; at least 0.
        key: Name of the source in its data set, or None where it has no name.
        box: The part of the counterpart that will be used, `(x_min, y_min, x_max, y_max)`, upper ends excluded; the
            whole image unless given.
        variant: Which of the image's counterparts in a store to take, if there is one of that name; None leaves the
            choice to `seed`.

    """

    __slots__ = ()

    def __new__(  # noqa: D102, PYI034  described above; Python 3.10 has no Self
        cls,
        image: NDArray[np.uint8],
        prompt: str | None,
        seed: int,
        key: str | None = None,
        box: Box | None = None,
        variant: str | None = None,
    ) -> "Request":
        if box is None:
            height, width = (*np.shape(image), 0, 0)[:2]  # what is not an image is refused by the backend
            box = (0, 0, width, height)
        return super().__new__(cls, image, prompt, seed, key, box, variant)


class Counterpart(NamedTuple):
    """What a backend made of one request.

    Attributes:
        image: The requested box, `(box height, box width, 3)` uint8 RGB; None unless `status` is "ok".
        status: "ok", or why there is no image; what is "missing" or "failed" is not tried again at once.
        prompt: The prompt that was used.
        variant: Its name among the counterparts that a store has of the image; None where it comes from no store.
        reason: Why it "failed".

    """

    image: NDArray[np.uint8] | None
    status: Status
    prompt: str
    variant: str | None = None
    reason: str = ""


class Backend(Protocol):
    """What makes counterparts.

    Pure: a counterpart depends on its request and the fingerprint alone, never on neighbours, batch, order or worker.
    Cheap to construct, complains at construction, loads on the first `generate`, drops what it loaded when pickled.
    """

    @property
    def fingerprint(self) -> str:
        """Digest of everything that changes pixels, apart from the request."""

    @property
    def prompts(self) -> tuple[str, ...]:
        """The prompts to choose from when the user names no prompts; empty where each image has its own."""

    def check_prompt(self, prompt: str) -> None:
        """Raise ValueError for a prompt that can never work, with those that do."""

    def generate(self, requests: Sequence[Request]) -> list[Counterpart]:
        """Make one counterpart for each request, in order."""


class _Entry(NamedTuple):
    target: str
    extra: str | None


_DIFFUSERS = "torch diffusers transformers accelerate"

_registry: dict[str, _Entry] = {
    "diffusers": _Entry("albu_diffusemix.backends.diffusers:Diffusers", _DIFFUSERS),
    "images_api": _Entry("albu_diffusemix.backends.images_api:ImagesApi", "httpx2"),
    "instruct_pix2pix": _Entry("albu_diffusemix.backends.diffusers:InstructPix2Pix", _DIFFUSERS),
    "onnx": _Entry("albu_diffusemix.backends.onnx:Onnx", "onnxruntime tokenizers"),
    "precomputed": _Entry("albu_diffusemix.backends.precomputed:Precomputed", None),
    "procedural": _Entry("albu_diffusemix.backends.procedural:Procedural", None),
}

_shared: dict[tuple[int, str], Backend] = {}
_CANONICAL = json.JSONEncoder(sort_keys=True)


def backend_names() -> list[str]:
    """Return the names that a spec may use, in alphabetical order.

    Examples:
        >>> from albu_diffusemix.backends import backend_names
        >>> "procedural" in backend_names()
        True

    """
    return sorted(_registry)


def register_backend(name: str, target: str, extra: str | None = None) -> None:
    """Make a backend of your own known by a name that specs and YAML files can use.

    Call it at the top level of a module that every process imports: workers started by spawn begin with the built-in
    names alone.

    Args:
        name: The name for specs.
        target: Where the class is, `"package.module:Class"`; imported when a spec first asks for it.
        extra: What to install when its import fails, as pip takes it, separated by spaces. Default: None.

    Raises:
        ValueError: `target` is not of the form `module:Class`, or the name stands for another backend already.

    Examples:
        >>> from albu_diffusemix import register_backend
        >>> register_backend("studio", "my_project.backends:Studio", extra="my-project[studio]")

    """
    module, _, attribute = target.partition(":")
    if not (module and attribute):
        raise ValueError(f"target of backend {name!r} must be 'module:Class'; got {target!r}")
    entry = _Entry(target, extra)
    if _registry.get(name, entry) != entry:
        raise ValueError(f"backend {name!r} is registered already, as {_registry[name].target!r}; choose another name")
    _registry[name] = entry


def create_backend(spec: BackendSpec) -> Backend:
    """Build the backend that a spec names.

    Args:
        spec: The name, or a mapping with `name` and the backend's options.

    Returns:
        A new instance; cheap, since backends load on their first use.

    Raises:
        ValueError: The spec has another form, the name is unknown, a package is missing, or an option is not allowed.

    Examples:
        >>> from albu_diffusemix import create_backend
        >>> create_backend("procedural")
        Procedural()  # OpenCV filters, not diffusion

    """
    name, options = _parse(spec)
    cls = _load(name)
    parameters = inspect.signature(cls).parameters
    unknown = [option for option in options if option not in parameters]
    if unknown:
        allowed = ", ".join(parameters) or "none"
        raise ValueError(f"backend {name!r} has no option {unknown[0]!r}; allowed: {allowed}")
    needed = [option for option, parameter in parameters.items() if parameter.default is parameter.empty]
    missing = [option for option in needed if option not in options]
    if missing:
        raise ValueError(f"backend {name!r} needs the option {missing[0]!r}: {{'name': {name!r}, {missing[0]!r}: ...}}")
    backend: Backend = cls(**options)
    return backend


def shared_backend(spec: BackendSpec) -> Backend:
    """Return this process's one instance for a spec, so that its model is loaded once.

    Args:
        spec: As for `create_backend`.

    Returns:
        The same instance for equal specs in the same process; a forked or spawned process gets its own.

    Raises:
        ValueError: As for `create_backend`.

    """
    process = os.getpid()
    as_written = (process, repr(spec))
    backend = _shared.get(as_written)
    if backend is None:
        canonical = (process, _CANONICAL.encode(spec))
        if canonical not in _shared:
            _shared[canonical] = create_backend(spec)
        # Every call of a transform comes by here, and to encode its spec again would cost more than to look it up.
        backend = _shared[as_written] = _shared[canonical]
    return backend


_FOR_A_PATH = "for a store write {'name': 'precomputed', 'store': str(path)}"


def _parse(spec: BackendSpec) -> tuple[str, dict[str, Any]]:
    if isinstance(spec, str):
        return spec, {}
    if not isinstance(spec, Mapping) or not isinstance(spec.get("name"), str):
        hint = f"; {_FOR_A_PATH}" if isinstance(spec, os.PathLike) else ""
        raise ValueError(f"backend must be a name or a mapping with a 'name'; got {spec!r}{hint}")  # noqa: TRY004
    options = {option: value for option, value in spec.items() if option != "name"}
    for option, value in options.items():
        if isinstance(value, os.PathLike):
            raise ValueError(  # noqa: TRY004  see below
                f"{option} of backend {spec['name']!r} must be a string: {option!r}: str(path); got {value!r}"
            )
    try:
        json.dumps(options)
    except (TypeError, ValueError) as error:
        raise ValueError(f"backend {spec['name']!r} takes plain data that YAML can hold; got {options!r}") from error
    return spec["name"], options


def _load(name: str) -> Any:
    if name not in _registry:
        hint = did_you_mean(name, _registry)
        if name.endswith(".dm") or os.sep in name or (Path(name) / "store.json").is_file():
            spec = {"name": "precomputed", "store": name}
            hint = f"; for a store write {spec}"
        raise ValueError(f"unknown backend {name!r}; known: {', '.join(backend_names())}{hint}")
    target, extra = _registry[name]
    module, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        install = f": pip install {shlex.join(extra.split())}" if extra else ""
        raise ValueError(f"backend {name!r} needs a package that cannot be imported ({error}){install}") from error
    except AttributeError as error:
        raise ValueError(f"backend {name!r} is registered as {target!r}, but there is no {attribute!r}") from error

"""What the transforms accept: one schema for each step, checked by the host when a transform is built.

Every check raises ValueError: of any other error the host makes a warning, and builds the transform with its defaults.
"""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from albu_diffusemix._host import BaseTransformInitSchema
from albu_diffusemix.backends import Backend, create_backend
from albu_diffusemix.fractals import shared_library
from albu_diffusemix.masks import MASKS
from albu_diffusemix.prompts import lint_prompt

__all__ = ["BlendArguments", "ConcatArguments"]


def _known_masks(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise ValueError(f"must hold at least one mask; allowed: {', '.join(MASKS)}")
    for value in values:
        if value not in MASKS:
            raise ValueError(f"unknown mask {value!r}; allowed: {', '.join(MASKS)}")
    return values


def _in_unit_interval(value: float) -> float:
    if not 0 <= value <= 1:
        raise ValueError(f"must lie in [0, 1]; got {value}")
    return value


def _rising_in_unit_interval(value: tuple[float, float]) -> tuple[float, float]:
    low, high = value
    if not 0 <= low <= high <= 1:
        raise ValueError(f"must be (low, high) with 0 <= low <= high <= 1; got {value}")
    return value


class _BuiltBackend(NamedTuple):
    """A backend and its spec: built once, for the checks of all fields."""

    spec: Any
    backend: Backend


def _known_backend(spec: Any) -> _BuiltBackend:
    with _as_value_error():
        backend = create_backend(spec)
    # The same plain data that a file gives back: no tuples, no subclasses of str or float.
    return _BuiltBackend(json.loads(json.dumps(spec if isinstance(spec, str) else dict(spec))), backend)


def _known_prompts(values: tuple[str, ...] | None, checked: ValidationInfo) -> tuple[str, ...] | None:
    if values is None:
        return None
    if not values:
        raise ValueError("must hold at least one prompt, or be None for the backend's own")
    built = checked.data.get("backend")
    if built is None:  # it was refused, as is told of that field
        return values
    with _as_value_error():
        for prompt in values:
            built.backend.check_prompt(prompt)
    return values


def _known_fractals(source: str) -> str:
    with _as_value_error():
        shared_library(source)
    return source


@contextmanager
def _as_value_error() -> Iterator[None]:
    try:
        yield
    except ValueError:
        raise
    except Exception as error:  # a backend may be anybody's code
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _several(value: Any) -> Any:
    if isinstance(value, str):
        raise ValueError(f"must be a tuple, such as ({value!r},); got {value!r}")  # noqa: TRY004  see above
    return value


class ConcatArguments(BaseTransformInitSchema):
    """Arguments of the step that puts a part of the counterpart into the image."""

    backend: Annotated[Any, AfterValidator(_known_backend)]
    prompts: Annotated[tuple[str, ...] | None, BeforeValidator(_several), AfterValidator(_known_prompts)]
    mask_types: Annotated[tuple[str, ...], BeforeValidator(_several), AfterValidator(_known_masks)]
    seam_width: Annotated[float, AfterValidator(_in_unit_interval)]
    metadata_key: Annotated[str, Field(min_length=1)]

    @model_validator(mode="after")
    def _keep_the_spec(self) -> "ConcatArguments":
        self.backend = self.backend.spec
        for finding in (finding for prompt in self.prompts or () for finding in lint_prompt(prompt)):
            warnings.warn(finding, stacklevel=2)
        return self


class BlendArguments(BaseTransformInitSchema):
    """Arguments of the step that blends a fractal in."""

    alpha_range: Annotated[tuple[float, float], AfterValidator(_rising_in_unit_interval)]
    fractals: Annotated[str, AfterValidator(_known_fractals)]

"""Loaded ONNX graphs: each gets its inputs in the form that it asks for, whichever program exported it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from albu_diffusemix.backends.batches import is_out_of_memory
from albu_diffusemix.text import in_one_line

__all__ = ["Graph", "choose_providers", "device_of", "make_options"]

_CUDA, _DIRECTML, _CPU = "CUDAExecutionProvider", "DmlExecutionProvider", "CPUExecutionProvider"
_AUTO = (_CUDA, _DIRECTML, _CPU)
_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}
_NAMED_OPTIONS = {
    "graph_optimization_level": onnxruntime.GraphOptimizationLevel,
    "execution_mode": onnxruntime.ExecutionMode,
    "execution_order": onnxruntime.ExecutionOrder,
}
_ERROR = 3  # onnxruntime's own log: nothing under errors, which we raise


def choose_providers(wanted: str | Sequence[Any]) -> list[Any]:
    """Return the execution providers, in order of preference.

    Args:
        wanted: "auto" (CUDA, DirectML, CPU, those of them that are here), a name, or a list of names or of pairs of a
            name and its options.

    Raises:
        ValueError: One is not in this onnxruntime; the message lists those that are.

    """
    available = onnxruntime.get_available_providers()
    if wanted == "auto":
        return [name for name in _AUTO if name in available]
    chosen = [wanted] if isinstance(wanted, str) else [_provider(one) for one in wanted]
    for one in chosen:
        name = one if isinstance(one, str) else one[0]
        if name not in available:
            raise ValueError(f"provider {name!r} is not in this onnxruntime; it has {', '.join(available)}")
    if not chosen:
        raise ValueError(f"providers must name at least one, or be 'auto'; this onnxruntime has {', '.join(available)}")
    return chosen


def make_options(wanted: Mapping[str, Any]) -> onnxruntime.SessionOptions:
    """Return a session's options.

    Args:
        wanted: By name; a name with a dot is a configuration entry.

    Raises:
        ValueError: There is no such option, or it cannot have that value.

    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERROR
    for name, value in wanted.items():
        if not isinstance(name, str):
            raise ValueError(f"session_options are given by their names; got {name!r}")  # noqa: TRY004  one type of error
        set_one = _set_entry if "." in name else _set_option
        set_one(options, name, value)
    return options


def _set_entry(options: onnxruntime.SessionOptions, name: str, value: Any) -> None:
    if not isinstance(value, str | int | float):
        raise ValueError(f"session_options {name!r} must be a string or a number; got {value!r}")  # noqa: TRY004  as above
    options.add_session_config_entry(name, str(int(value) if isinstance(value, bool) else value))


def _set_option(options: onnxruntime.SessionOptions, name: str, value: Any) -> None:
    known = [one for one in dir(options) if not one.startswith("_") and not callable(getattr(options, one))]
    if name not in known:
        raise ValueError(f"session_options has no {name!r}; it has {', '.join(known)}")
    named = _NAMED_OPTIONS.get(name)
    if named is not None and (not isinstance(value, str) or value not in named.__members__):
        raise ValueError(f"session_options {name!r} must be one of {', '.join(named.__members__)}; got {value!r}")
    try:
        setattr(options, name, named.__members__[value] if named is not None else value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"session_options {name!r} cannot be {value!r}") from error


def _provider(one: Any) -> Any:
    if isinstance(one, str):
        return one
    name, options = one if isinstance(one, list | tuple) and len(one) == 2 else (None, None)  # noqa: PLR2004  a pair
    if isinstance(name, str) and isinstance(options, Mapping) and all(isinstance(option, str) for option in options):
        return name, dict(options)
    raise ValueError(f"providers must hold names, or pairs of a name and its options; got {one!r}")


class Graph:
    """One graph, loaded.

    Args:
        path: Its file.
        providers: As `choose_providers` returns them.
        session_options: onnxruntime's, by name; names with a dot are its configuration entries.
        inputs: The inputs that it must have.

    Raises:
        ValueError: The file is broken, has other inputs, an option is not known, or the provider does not start.

    """

    def __init__(
        self, path: Path, providers: Sequence[Any], session_options: Mapping[str, Any], inputs: Sequence[str]
    ) -> None:
        self.path = path
        options = make_options(session_options)
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=list(providers))
        except Exception as error:  # onnxruntime raises a dozen classes with no common base
            raise ValueError(f"graph {path} cannot be loaded: {_reason(error)}") from error
        self._inputs = {one.name: one for one in self._session.get_inputs()}
        _check_inputs(path, self._inputs, inputs)
        self._output = self._session.get_outputs()[0]
        self.provider: str = self._session.get_providers()[0]
        _check_provider(path, providers[0], self.provider)
        self.device = device_of(self.provider, self._session.get_provider_options()[self.provider])

    def input_length(self, name: str, axis: int) -> int | None:
        """Return the length of an input along an axis; None where it is free."""
        length = self._inputs[name].shape[axis]
        return length if isinstance(length, int) else None

    def output_length(self, axis: int) -> int | None:
        """Return the length of the output along an axis; None where it is free."""
        length = self._output.shape[axis]
        return length if isinstance(length, int) else None

    def place(self, name: str, value: NDArray[Any]) -> onnxruntime.OrtValue:
        """Bring an input to the device, in the graph's own dtype: once, for many runs."""
        wanted = _DTYPES[self._inputs[name].type]
        if np.issubdtype(wanted, np.integer):
            value = np.rint(value)
        return onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(value, wanted), *self.device)

    def place_time(self, timestep: float, batch: int) -> onnxruntime.OrtValue:
        """Bring a timestep to the device, in the shape that the graph asks for: a scalar, one, or one for each row."""
        shape = self._inputs["timestep"].shape
        if not shape:
            return self.place("timestep", np.array(timestep))
        for_each = not isinstance(shape[0], int) and shape[0] == self._inputs["sample"].shape[0]
        return self.place("timestep", np.full(batch if for_each else 1, timestep))

    def run(self, inputs: Mapping[str, onnxruntime.OrtValue]) -> NDArray[np.float32]:
        """Return the first output, float32.

        Raises:
            ValueError: The graph does not take these shapes.
            MemoryError: There is too little memory.

        """
        binding = self._session.io_binding()
        for name, value in inputs.items():
            binding.bind_ortvalue_input(name, value)
        binding.bind_output(self._output.name, "cpu")
        try:
            self._session.run_with_iobinding(binding)
        except Exception as error:  # as above
            shapes = ", ".join(f"{name} {tuple(value.shape())}" for name, value in inputs.items())
            kind = MemoryError if is_out_of_memory(error) else ValueError
            raise kind(f"graph {self.path} cannot run on {shapes}: {_reason(error)}") from error
        output: NDArray[np.float32] = binding.copy_outputs_to_cpu()[0].astype(np.float32, copy=False)
        return output


def device_of(provider: str, options: Mapping[str, str]) -> tuple[str, int]:
    """Return where a provider wants its inputs, as onnxruntime names devices: on CUDA the card of its options."""
    return ("cuda", int(options.get("device_id", 0))) if provider == _CUDA else ("cpu", 0)


def _check_inputs(path: Path, found: Mapping[str, Any], wanted: Sequence[str]) -> None:
    if set(found) != set(wanted):
        raise ValueError(f"graph {path} must have the inputs {', '.join(wanted)}; it has {', '.join(found)}")
    for name, one in found.items():
        if one.type not in _DTYPES:
            raise ValueError(f"graph {path}: input {name} is {one.type}; known here: {', '.join(_DTYPES)}")


def _check_provider(path: Path, wanted: Any, found: str) -> None:
    name = wanted if isinstance(wanted, str) else wanted[0]
    if name != found:
        raise ValueError(f"graph {path}: provider {name!r} does not start here, {found!r} does: name that in providers")


def _reason(error: Exception) -> str:
    return in_one_line(error)

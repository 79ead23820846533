"""Models by name: two of our own, timm's where it is installed, or a factory of the user's; weights from a file."""

import importlib.util
import pickle
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from albu_diffusemix.compare.networks import preact_resnet18, small_resnet
from albu_diffusemix.compare.spec import Model
from albu_diffusemix.import_paths import import_asked_for
from albu_diffusemix.text import in_one_line, refuse_unknown, unknown

__all__ = ["create_model", "imported"]

OWN = {"small_resnet": small_resnet, "preact_resnet18": preact_resnet18}
_SHOWN = 300  # characters of an error of torch


def create_model(model: Model, classes: int, seed: int) -> nn.Module:
    """Return a model, the same for the same seed.

    Raises:
        ValueError: Its name is not known, its factory fails, or weights do not fit.

    """
    torch.manual_seed(seed)
    factory, arguments = _factory(model.name), {"num_classes": classes, **model.options}
    try:
        built: Any = factory(**arguments)
    except Exception as error:
        raise ValueError(f"model {model.name!r} cannot be made with {arguments}: {in_one_line(error)}") from error
    if not isinstance(built, nn.Module):
        raise ValueError(f"model {model.name!r} must return a torch.nn.Module; it returned {built!r}")  # noqa: TRY004
    if model.weights:
        _load(built, model.weights)
    return built


def _factory(name: str) -> Any:
    if name in OWN:
        return OWN[name]
    if ":" in name:
        return imported(name)
    if importlib.util.find_spec("timm") is None:
        raise ValueError(f"{unknown('model', name, [*OWN, 'module:factory'])}; for others: pip install timm")
    import timm  # noqa: PLC0415  only where it is asked for

    if not timm.is_model(name):
        raise ValueError(unknown("model", name, [*OWN, *timm.list_models()]))
    return partial(timm.create_model, name)


def imported(name: str) -> Any:
    """Return the function that `module:function` names.

    Raises:
        ValueError: There is no such module or function.

    """
    module, _, attribute = name.partition(":")
    functions = {each: value for each, value in vars(import_asked_for(module)).items() if callable(value)}
    refuse_unknown(f"function of {module}", [attribute], functions)
    return functions[attribute]


def _load(model: nn.Module, path: str) -> None:
    """Load weights; those of the last layer are left out where it has another number of classes."""
    given, own = _read(path), model.state_dict()
    last = f"{list(own)[-1].rpartition('.')[0]}."
    for name in own:
        if name.startswith(last) and (name not in given or given[name].shape != own[name].shape):
            given[name] = own[name]
    try:
        model.load_state_dict({name: value for name, value in given.items() if name in own})
    except RuntimeError as error:
        raise ValueError(f"weights {path!r} do not fit the model: {in_one_line(error)[:_SHOWN]}") from error


def _read(path: str) -> dict[str, torch.Tensor]:
    try:
        if Path(path).suffix == ".safetensors":
            from safetensors.torch import load_file  # noqa: PLC0415  only where it is asked for

            return dict(load_file(path))
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, ImportError) as error:
        raise ValueError(f"weights {path!r} cannot be read: {in_one_line(error)[:_SHOWN]}") from error
    for name in ("state_dict", "model"):
        state = state.get(name, state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ValueError(f"weights {path!r} do not hold tensors by name: save model.state_dict()")
    return {str(name).removeprefix("module."): value for name, value in state.items()}

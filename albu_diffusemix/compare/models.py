"""Models by name: two of our own, timm's where it is installed, or a factory of the user's; weights from a file."""

import importlib.util
import pickle
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  as everywhere

from albu_diffusemix.compare.spec import Model
from albu_diffusemix.import_paths import import_asked_for
from albu_diffusemix.text import in_one_line, refuse_unknown, unknown

__all__ = ["create_model", "imported", "preact_resnet18", "small_resnet"]


class _Block(nn.Module):
    """Two convolutions, each after normalization and ReLU, beside a shortcut (He et al. 2016, "Identity Mappings")."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(inside), nn.BatchNorm2d(outside)
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        reshapes = stride != 1 or inside != outside
        self.shortcut = nn.Conv2d(inside, outside, 1, stride, bias=False) if reshapes else None

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        active = F.relu(self.norm1(images))
        beside = images if self.shortcut is None else self.shortcut(active)
        out: torch.Tensor = self.conv2(F.relu(self.norm2(self.conv1(active)))) + beside
        return out


class _PreActResNet(nn.Module):
    def __init__(self, blocks: tuple[int, ...], width: int, stride: int, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, stride, 1, bias=False)
        layers: list[nn.Module] = []
        inside = width
        for stage, count in enumerate(blocks):
            for block in range(count):
                outside = width << stage
                layers.append(_Block(inside, outside, 2 if stage and not block else 1))
                inside = outside
        self.blocks, self.norm = nn.Sequential(*layers), nn.BatchNorm2d(inside)
        self.head = nn.Linear(inside, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = F.relu(self.norm(self.blocks(self.stem(images))))
        out: torch.Tensor = self.head(features.mean((2, 3)))
        return out


def preact_resnet18(num_classes: int, stride: int = 1, width: int = 64) -> Any:
    """Return PreActResNet-18 in the form for CIFAR: a first layer of 3 x 3.

    Args:
        num_classes: Classes that it tells.
        stride: Of the first layer: 1 for images of 32 px, 2 for 64 px.
        width: Channels of the first layer.

    """
    return _PreActResNet((2, 2, 2, 2), width, stride, num_classes)


def small_resnet(num_classes: int, stride: int = 1, width: int = 16) -> Any:
    """Return a residual network that trains in seconds on a CPU: three blocks, 16 to 64 channels, by default.

    Args:
        num_classes: Classes that it tells.
        stride: Of the first layer; 2 makes images of 64 px and more four times as fast.
        width: Channels of the first layer.

    """
    return _PreActResNet((1, 1, 1), width, stride, num_classes)


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

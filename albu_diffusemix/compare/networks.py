"""Two networks for small images."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  as everywhere

__all__ = ["preact_resnet18", "small_resnet"]


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

"""WideResNet-40-4, the model of Table 17 (Zagoruyko and Komodakis 2016)."""

from torch import nn
from torch.nn import functional as F  # noqa: N812


class Block(nn.Module):
    """Two convolutions, each after its normalization and ReLU, beside a shortcut."""

    def __init__(self, inside, outside, stride):
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(inside), nn.BatchNorm2d(outside)
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.shortcut = nn.Conv2d(inside, outside, 1, stride, bias=False) if inside != outside else None

    def forward(self, images):
        active = F.relu(self.norm1(images))
        beside = images if self.shortcut is None else self.shortcut(active)
        return beside + self.conv2(F.relu(self.norm2(self.conv1(active))))


class WideResNet(nn.Module):
    """Three groups of blocks, of 16, 32 and 64 channels times the width."""

    def __init__(self, depth, width, num_classes):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        blocks, inside = [], 16
        for group in range(3):
            for number in range((depth - 4) // 6):
                outside = (16 << group) * width
                blocks.append(Block(inside, outside, 2 if group and not number else 1))
                inside = outside
        self.blocks, self.norm = nn.Sequential(*blocks), nn.BatchNorm2d(inside)
        self.head = nn.Linear(inside, num_classes)

    def forward(self, images):
        features = F.relu(self.norm(self.blocks(self.stem(images))))
        return self.head(features.mean((2, 3)))


def wide_resnet_40_4(num_classes, depth=40, width=4):
    return WideResNet(depth, width, num_classes)

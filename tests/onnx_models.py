"""A tiny InstructPix2Pix and its ONNX graphs, made once for all tests of a module, and how both are called."""

import shutil

import numpy as np
import tiny_models
from diffusion_tools import SIDE, TEMPLATE, backend_of

from albu_diffusemix.backends import create_backend
from albu_diffusemix.backends.instruct_pix2pix import _draw
from albu_diffusemix.onnx_export import export_onnx


def make(folder):
    """Save the model and its graphs beside each other; the older exporter takes two seconds, the new one thirty."""
    tiny_models.save_instruct_pix2pix(folder / "torch")
    export_onnx(folder / "torch", folder / "onnx", exporter="torchscript")
    return folder


def onnx_backend(folder, **options):
    return create_backend({"name": "onnx", "model": str(folder / "onnx"), "size": SIDE, **options})


def torch_backend(folder, **options):
    return backend_of(folder / "torch", **options)


def drawn_by_onnx(backend, wanted):
    """What the model draws, before it is rounded to 8 bits."""
    return np.stack(backend._draw(wanted, [one.prompt for one in wanted]))


def drawn_by_torch(backend, wanted, size=SIDE):
    prompts = [TEMPLATE.format(one.prompt) for one in wanted]
    return np.stack([one.image for one in _draw(backend._model(), wanted, prompts, size)])


def copy_of(folder, to):
    """A folder of graphs to break."""
    shutil.copytree(folder / "onnx", to / "onnx")
    return to / "onnx"

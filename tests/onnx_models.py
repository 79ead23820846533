"""A tiny InstructPix2Pix and its ONNX graphs, made once for all tests, and how both are called."""

import shutil

import tiny_models
import torch
from diffusers import (
    AutoencoderKL,
    EulerAncestralDiscreteScheduler,
    StableDiffusionInstructPix2PixPipeline,
    UNet2DConditionModel,
)
from diffusion_tools import SIDE, backend_of
from transformers import CLIPTextConfig, CLIPTextModel

from albu_diffusemix.backends import create_backend
from albu_diffusemix.backends.onnx.export import export_onnx

ONE_THREAD = {"intra_op_num_threads": 1}
"""On graphs as small as these, two threads wait for each other more than they work."""


def shared(tmp_path_factory):
    """The model and its graphs beside each other, made by the first that asks; the older exporter is the quicker."""
    folder = tmp_path_factory.getbasetemp() / "onnx_models"
    if not (folder / "onnx").exists():
        tiny_models.save_instruct_pix2pix(folder / "torch")
        export_onnx(folder / "torch", folder / "onnx", exporter="torchscript")
    return folder


def save_smallest(folder):
    """InstructPix2Pix with hardly a layer, for the default exporter, which takes half a minute for a tiny one."""
    torch.manual_seed(1)
    unet = UNet2DConditionModel(
        in_channels=8,
        out_channels=4,
        block_out_channels=(8, 8),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        mid_block_type=None,
        up_block_types=("UpBlock2D", "UpBlock2D"),
        cross_attention_dim=tiny_models.WIDTH,
        attention_head_dim=4,
        norm_num_groups=4,
        sample_size=4,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        mid_block_add_attention=False,
    )
    pipeline = StableDiffusionInstructPix2PixPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(CLIPTextConfig(**{**tiny_models._TEXT, "num_hidden_layers": 1})),
        tokenizer=tiny_models.clip_tokenizer(),
        unet=unet,
        scheduler=EulerAncestralDiscreteScheduler(**tiny_models._SCHEDULE),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return tiny_models._saved(pipeline, folder)


def onnx_backend(folder, **options):
    return graphs_backend(folder / "onnx", **options)


def graphs_backend(graphs, **options):
    """The backend on a folder of graphs."""
    return create_backend(
        {"name": "onnx", "model": str(graphs), "size": SIDE, "session_options": ONE_THREAD, **options}
    )


def torch_backend(folder, **options):
    return backend_of(folder / "torch", **options)


def loaded_unet(backend):
    """The graph of the UNet inside of a backend, loaded."""
    return backend._model()._editor._unet


def copy_of(folder, to):
    """A folder of graphs to break."""
    shutil.copytree(folder / "onnx", to / "onnx")
    return to / "onnx"

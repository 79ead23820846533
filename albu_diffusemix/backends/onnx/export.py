"""From an InstructPix2Pix checkpoint to a folder of ONNX graphs that runs without torch.

The folder has the layout that the ecosystem knows: model_index.json, tokenizer/, scheduler/, and model.onnx with its
config.json in each of text_encoder/, unet/, vae_encoder/ and vae_decoder/.
"""

import contextlib
import copy
import io
import json
import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import diffusers
import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from albu_diffusemix.backends.diffusers.checkpoint import check_files, pipeline_class
from albu_diffusemix.backends.diffusers.families import INSTRUCT
from albu_diffusemix.backends.onnx.layout import CONFIG_NAME, DATA_NAME, GRAPH_NAME, PARTS
from albu_diffusemix.backends.onnx.sessions import Graph
from albu_diffusemix.text import in_one_line

__all__ = ["BOUNDS", "EXPORTERS", "OPSET", "Exporter", "export_onnx"]

Exporter = Literal["dynamo", "torchscript"]

EXPORTERS: tuple[Exporter, ...] = ("dynamo", "torchscript")
OPSET = 18
BOUNDS = {"float32": 1e-4, "float16": 3e-2}
"""How far a graph may be from the network it was made of, as a share of the largest value of its output."""

_LARGEST_FILE = 1_900_000_000  # bytes of weights; a protobuf message ends at 2 GiB
_TRIED_SHAPES = ((1, 2, 2), (2, 3, 4))  # images, and the sides in strides of the UNet; graphs are traced with the last
_LONGEST_REASON = 500
_TIMESTEP = 500.5  # samplers ask between whole numbers


class _Part(NamedTuple):
    """A network, its inputs by name with the number of their dynamic axes, and the name of its output."""

    network: nn.Module
    inputs: dict[str, tuple[str, ...]]
    output: str
    config: dict[str, Any]


class _TextEncoder(nn.Module):
    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: torch.Tensor) -> Any:
        return self.encoder(input_ids)[0]


class _UNet(nn.Module):
    def __init__(self, unet: Any) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, sample: torch.Tensor, timestep: torch.Tensor, encoder_hidden_states: torch.Tensor) -> Any:
        return self.unet(sample, timestep, encoder_hidden_states, return_dict=False)[0]


class _Encoder(nn.Module):
    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, sample: torch.Tensor) -> Any:
        return self.vae.encode(sample, return_dict=False)[0].parameters


class _Decoder(nn.Module):
    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, latent_sample: torch.Tensor) -> Any:
        return self.vae.decode(latent_sample, return_dict=False)[0]


def export_onnx(
    model: str | Path,
    output: str | Path,
    *,
    fp16: bool = False,
    opset: int = OPSET,
    exporter: Exporter = "dynamo",
) -> dict[str, float]:
    """Export a checkpoint of InstructPix2Pix, and run each graph against its network.

    Args:
        model: A folder that diffusers saved, or an id on the Hugging Face Hub.
        output: The folder to make; it must not exist. It appears when all is exported and checked.
        fp16: Weights of 16 bits: half the size, and rounding. Default: False.
        opset: Version of ONNX's operators. Default: 18.
        exporter: torch's "dynamo", or its older "torchscript". Default: "dynamo".

    Returns:
        For each graph, its largest difference from torch in float32, as a share of the largest value.

    Raises:
        ValueError: The model is not InstructPix2Pix, is broken, or cannot be exported; `output` exists; or a difference
            is above `BOUNDS`.

    """
    output = Path(output)
    if output.exists():
        raise ValueError(f"{output} exists: name a folder that is to be made")
    if exporter not in EXPORTERS:
        raise ValueError(f"exporter must be one of {', '.join(EXPORTERS)}; got {exporter!r}")
    pipeline = _read(str(model))
    partial = output.with_name(f"{output.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    _write_common_files(pipeline, partial)
    differences = {}
    for name, part in _parts(pipeline).items():
        trials = [_trial(name, pipeline, *shape) for shape in _TRIED_SHAPES]
        expected = [_run(part.network, inputs) for inputs in trials]
        path = partial / name / GRAPH_NAME
        _write_graph(part, path, trials[-1], fp16=fp16, opset=opset, exporter=exporter)
        differences[name] = _largest_difference(path, trials, expected)
    _check_differences(differences, "float16" if fp16 else "float32")
    partial.rename(output)
    return differences


def _read(model: str) -> Any:
    folder = Path(model)
    if folder.is_dir():
        name = pipeline_class(folder)
        if name != INSTRUCT:
            raise ValueError(f"{folder} is a {name}: only {INSTRUCT} can be exported")
        check_files(folder, None, safety_checker=False)
    reader: Any = diffusers.StableDiffusionInstructPix2PixPipeline
    try:
        pipeline = reader.from_pretrained(
            model, dtype=torch.float32, safety_checker=None, feature_extractor=None, requires_safety_checker=False
        )
    except (OSError, ValueError, RuntimeError, KeyError, AttributeError, TypeError) as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise ValueError(f"cannot load {INSTRUCT} from {model!r}: {reason}") from error
    pipeline.text_encoder.set_attn_implementation("eager")  # the other implementations mix float types in fp16
    return pipeline


def _parts(pipeline: Any) -> dict[str, _Part]:
    spatial = ("batch", "", "height", "width")
    vae = dict(pipeline.vae.config)
    return {
        "text_encoder": _Part(
            _TextEncoder(pipeline.text_encoder),
            {"input_ids": ("batch",)},
            "last_hidden_state",
            pipeline.text_encoder.config.to_dict(),
        ),
        "unet": _Part(
            _UNet(pipeline.unet),
            {"sample": spatial, "timestep": (), "encoder_hidden_states": ("batch",)},
            "out_sample",
            dict(pipeline.unet.config),
        ),
        "vae_encoder": _Part(_Encoder(pipeline.vae), {"sample": spatial}, "latent_parameters", vae),
        "vae_decoder": _Part(_Decoder(pipeline.vae), {"latent_sample": spatial}, "sample", vae),
    }


def _trial(name: str, pipeline: Any, count: int, height: int, width: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator("cpu").manual_seed(0)
    stride = 2 ** (len(pipeline.unet.config.block_out_channels) - 1)
    side = (stride * height, stride * width)
    pixels = tuple(pipeline.vae_scale_factor * length for length in side)
    tokens, latents = pipeline.tokenizer.model_max_length, pipeline.vae.config.latent_channels
    text = (count, tokens, pipeline.unet.config.cross_attention_dim)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    if name == "text_encoder":
        return {"input_ids": torch.randint(pipeline.text_encoder.config.vocab_size, (count, tokens))}
    if name == "unet":
        sample = draw(count, pipeline.unet.config.in_channels, *side)
        return {"sample": sample, "timestep": torch.tensor([_TIMESTEP]), "encoder_hidden_states": draw(*text)}
    if name == "vae_encoder":
        return {"sample": draw(count, 3, *pixels).clamp(-1, 1)}
    return {"latent_sample": draw(count, latents, *side)}


@torch.no_grad()
def _run(network: nn.Module, inputs: dict[str, torch.Tensor]) -> NDArray[np.float32]:
    output: NDArray[np.float32] = network(**inputs).numpy()
    return output


def _write_common_files(pipeline: Any, folder: Path) -> None:
    pipeline.tokenizer.save_pretrained(folder / "tokenizer")
    pipeline.scheduler.save_pretrained(folder / "scheduler")
    index = {
        "_class_name": INSTRUCT,
        "_diffusers_version": diffusers.__version__,
        **{part: ["diffusers", "OnnxRuntimeModel"] for part in PARTS},
        "scheduler": ["diffusers", type(pipeline.scheduler).__name__],
        "tokenizer": ["transformers", type(pipeline.tokenizer).__name__],
    }
    _write_json(folder / "model_index.json", index)


def _write_json(path: Path, fields: dict[str, Any]) -> None:
    path.write_text(json.dumps(fields, indent=2, sort_keys=True, default=str) + "\n", encoding="utf-8")


def _write_graph(
    part: _Part, path: Path, example: dict[str, torch.Tensor], *, fp16: bool, opset: int, exporter: Exporter
) -> None:
    """Export one network into its folder, with its weights beside it where they are too large for one file."""
    path.parent.mkdir()
    _write_json(path.parent / CONFIG_NAME, part.config)
    network = copy.deepcopy(part.network).half() if fp16 else part.network
    inputs = {name: _as_exported(name, value, fp16=fp16) for name, value in example.items()}
    export = _export_dynamo if exporter == "dynamo" else _export_torchscript
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch, _quiet():
        try:
            export(network, part, inputs, Path(scratch, GRAPH_NAME), opset)
        except Exception as error:  # exporters raise anything
            reason = in_one_line(error)[:_LONGEST_REASON]
            raise ValueError(f"{exporter} cannot export {path.parent.name} at opset {opset}: {reason}") from error
        graph = onnx.load(Path(scratch, GRAPH_NAME))
    weights = sum(parameter.nbytes for parameter in network.parameters())
    _save(graph, path, beside=weights > _LARGEST_FILE)


def _as_exported(name: str, value: torch.Tensor, *, fp16: bool) -> torch.Tensor:
    return value.half() if fp16 and value.is_floating_point() and name != "timestep" else value


def _save(graph: onnx.ModelProto, path: Path, *, beside: bool) -> None:
    options: dict[str, Any] = {"all_tensors_to_one_file": True, "location": DATA_NAME} if beside else {}
    onnx.save_model(graph, path, save_as_external_data=beside, **options)
    if beside:
        shutil.copymode(path, path.with_name(DATA_NAME))  # onnx gives it to its owner alone
    onnx.checker.check_model(path)


def _export_dynamo(network: nn.Module, part: _Part, inputs: dict[str, torch.Tensor], path: Path, opset: int) -> None:
    free = torch.export.Dim.DYNAMIC
    shapes = {name: {axis: free for axis, label in enumerate(labels) if label} for name, labels in part.inputs.items()}
    torch.onnx.export(
        network,
        (),
        path,
        kwargs=inputs,
        dynamo=True,
        dynamic_shapes=shapes,
        input_names=list(part.inputs),
        output_names=[part.output],
        opset_version=opset,
        verbose=False,
    )


def _export_torchscript(
    network: nn.Module, part: _Part, inputs: dict[str, torch.Tensor], path: Path, opset: int
) -> None:
    axes = {name: {axis: label for axis, label in enumerate(labels) if label} for name, labels in part.inputs.items()}
    torch.onnx.export(
        network,
        tuple(inputs.values()),
        str(path),  # with a Path the exporter writes a stream, which holds 2 GiB at most
        dynamo=False,
        dynamic_axes=axes,
        input_names=list(part.inputs),
        output_names=[part.output],
        opset_version=opset,
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide what exporters print: each graph is checked afterwards."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)


def _largest_difference(
    path: Path, trials: list[dict[str, torch.Tensor]], expected: list[NDArray[np.float32]]
) -> float:
    """Run a graph on each trial; return its largest difference, as a share of the largest expected value."""
    graph = Graph(path, ["CPUExecutionProvider"], {}, tuple(trials[0]))
    differences = []
    for inputs, output in zip(trials, expected, strict=True):
        made = graph.run({name: graph.place(name, value.numpy()) for name, value in inputs.items()})
        if made.shape != output.shape:
            raise ValueError(f"graph {path} gives shape {made.shape}; its network gives {output.shape}")
        differences.append(float(np.abs(made - output).max() / np.abs(output).max()))
    return max(differences)


def _check_differences(differences: dict[str, float], dtype: str) -> None:
    for name, difference in differences.items():
        if not difference <= BOUNDS[dtype]:
            raise ValueError(
                f"graph {name} differs from its network by {difference:.2g} of the largest value; {BOUNDS[dtype]:.2g} "
                f"is allowed in {dtype}"
            )

"""InstructPix2Pix at its true size on a CPU: each network in torch and in ONNX Runtime, side by side.

The architecture is the true one with random weights, so nothing is downloaded. It takes 10 GB of memory, 9 GB of disk
and ten minutes, and leaves model and graphs in the folder, which the next run takes up again:

    python benchmarks/onnx_cpu.py /tmp/true-size --size 256
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import diffusion_gpu
import onnx
import torch

from albu_diffusemix.backends.onnx.export import _parts, _read, _run, _trial, export_onnx
from albu_diffusemix.backends.onnx.layout import GRAPH_NAME, PARTS
from albu_diffusemix.backends.onnx.sessions import Graph
from albu_diffusemix.backends.presets import PRESETS

GUIDED = 3  # passes of the UNet, which guidance stacks to one batch
BATCHES = {"unet": (1, GUIDED)}


class Timing(NamedTuple):
    """Medians of one call, in seconds; `ratio` is the median of ONNX Runtime's share of torch's, round by round."""

    part: str
    batch: int
    torch: float
    onnx: float
    ratio: float


def export(model: Path, graphs: Path) -> dict[str, float]:
    """Export a saved model, unless that is done, and have ONNX's checker read each graph with the weights beside it."""
    differences = {} if graphs.exists() else export_onnx(model, graphs)
    for part in PARTS:
        onnx.checker.check_model(graphs / part / GRAPH_NAME)
    return differences


def measure(
    model: Path,
    graphs: Path,
    size: int,
    *,
    rounds: int,
    threads: int,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Timing]:
    """Time every network on images of a size, torch and ONNX Runtime by turns.

    Args:
        model: A saved InstructPix2Pix.
        graphs: What was exported of it.
        size: Side of the images in pixels.
        rounds: How often each is called, after once to warm up.
        threads: Of each.
        clock: Gives seconds. On a busy machine `time.process_time` with one thread counts the work, and no waiting.

    """
    torch.set_num_threads(threads)
    pipeline = _read(str(model))
    networks = _parts(pipeline)
    strides = size // pipeline.vae_scale_factor // 2 ** (len(pipeline.unet.config.block_out_channels) - 1)
    timings = []
    for part in PARTS:
        options = {"intra_op_num_threads": threads}
        graph = Graph(graphs / part / GRAPH_NAME, ["CPUExecutionProvider"], options, tuple(networks[part].inputs))
        for batch in BATCHES.get(part, (1,)):
            inputs = _trial(part, pipeline, batch, strides, strides)
            seconds = _compare(networks[part].network, graph, inputs, rounds, clock)
            timings.append(_timing(part, batch, seconds))
    return timings


def image_seconds(timings: list[Timing], steps: int) -> tuple[float, float]:
    """Add up an image in torch and in ONNX Runtime: prompt, encoder, so many guided steps, decoder."""
    counts = {("text_encoder", 1): 1, ("vae_encoder", 1): 1, ("unet", GUIDED): steps, ("vae_decoder", 1): 1}
    timed = [(counts.get((one.part, one.batch), 0), one) for one in timings]
    return sum(count * one.torch for count, one in timed), sum(count * one.onnx for count, one in timed)


def table(timings: list[Timing], title: str) -> str:
    """Write the timings as a table in Markdown, and what they add up to for an image."""
    rows = [title, "", "| | torch | onnxruntime | onnxruntime / torch |", "|---|---|---|---|"]
    rows += [
        f"| {one.part}, batch of {one.batch} | {one.torch:.3g} s | {one.onnx:.3g} s | {one.ratio:.2f} |"
        for one in timings
    ]
    for preset in ("paper", "fast"):
        by_torch, by_onnx = image_seconds(timings, PRESETS[preset].num_inference_steps)
        rows.append(f"| an image with `{preset}` | {by_torch:.3g} s | {by_onnx:.3g} s | {by_onnx / by_torch:.2f} |")
    return "\n".join(rows)


def _compare(network, graph, inputs, rounds, clock):
    """Seconds of each round, in torch and in ONNX Runtime; a round before them warms up."""
    placed = {name: graph.place(name, value.numpy()) for name, value in inputs.items()}
    calls = ((_run, network, inputs), (graph.run, placed))
    return [tuple(_seconds(clock, *call) for call in calls) for _ in range(rounds + 1)][1:]


def _timing(part, batch, seconds):
    by_torch, by_onnx = (statistics.median(column) for column in zip(*seconds, strict=True))
    return Timing(part, batch, by_torch, by_onnx, statistics.median(theirs / ours for ours, theirs in seconds))


def _seconds(clock, function, *arguments):
    start = clock()
    function(*arguments)
    return clock() - start


def main() -> None:
    """Make the model and its graphs where they are not there yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where model and graphs are, or are to be made")
    parser.add_argument("--size", type=int, default=256, help="side of the images in pixels (%(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="(%(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="of each (%(default)s)")
    parser.add_argument("--busy", action="store_true", help="count processor time, of one thread")
    options = parser.parse_args()
    threads, clock = (1, time.process_time) if options.busy else (options.threads, time.perf_counter)
    model, graphs = options.folder / "torch", options.folder / "onnx"
    if not model.exists():
        diffusion_gpu.save_true_size(model, "cpu")
    for part, difference in export(model, graphs).items():
        print(f"{part} differs from torch by {difference:.1e} of the largest value")
    timings = measure(model, graphs, options.size, rounds=options.rounds, threads=threads, clock=clock)
    kind = "processor time" if options.busy else "time"
    print(table(timings, f"{options.size} px, float32, threads: {threads}, {kind}, medians of {options.rounds} rounds"))


if __name__ == "__main__":
    main()

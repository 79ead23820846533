"""InstructPix2Pix at its true size on a GPU, against a loop over images and prompts; the lines are for an H100."""

import pytest
import torch

from benchmarks import diffusion_gpu
from benchmarks.lines import GENERATION
from benchmarks.side_by_side import Spread

BATCH_SIZE = 32

pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return diffusion_gpu.save_true_size(tmp_path_factory.mktemp("true_size") / "model", "cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU: a step takes 3.5 s on a CPU")
@pytest.mark.parametrize("size", [256, 512])
def test_presets_against_the_loop(measuring, capsys, model, size):
    rates = []
    peak = diffusion_gpu.bf16_rate("cuda")
    measuring.repeat(lambda: rates.extend(diffusion_gpu.measure(model, size, "cuda", batch_size=BATCH_SIZE)), rounds=1)
    title = f"{torch.cuda.get_device_name()}, {size} px, batches of {BATCH_SIZE}, bf16 {peak:.0f} TFLOP/s"
    with capsys.disabled():
        print(f"\n\n{diffusion_gpu.table(rates, peak, title)}")
    for rate in rates[1:]:
        name = f"{rate.way}, compiled" if rate.compiled else rate.way
        faster = Spread.of([rate.images_per_second / rates[0].images_per_second])
        line = GENERATION[rate.way] if size == 256 else None
        measuring.report("Generation, times faster than the loop", name, f"{size} px", faster, line=line)
    assert not any(rate.nonfinite for rate in rates), "some images were not finite: their speed says nothing"

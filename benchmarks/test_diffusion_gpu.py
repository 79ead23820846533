"""InstructPix2Pix at its true size on a GPU, against a loop over images and prompts; the lines are for an H100."""

import diffusion_gpu
import pytest
import torch

BATCH_SIZE = 32

pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return diffusion_gpu.save_true_size(tmp_path_factory.mktemp("true_size") / "model", "cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU: a step takes 3.5 s on a CPU")
@pytest.mark.parametrize("size", [256, 512])
def test_presets_against_the_loop(benchmark, model, size):
    peak = diffusion_gpu.bf16_rate("cuda")
    rates = benchmark.pedantic(
        diffusion_gpu.measure, args=(model, size, "cuda"), kwargs={"batch_size": BATCH_SIZE}, rounds=1
    )
    title = f"{torch.cuda.get_device_name()}, {size} px, batches of {BATCH_SIZE}, bf16 {peak:.0f} TFLOP/s"
    print(f"\n\n{diffusion_gpu.table(rates, peak, title)}")
    assert not any(rate.nonfinite for rate in rates), "some images were not finite: their speed says nothing"

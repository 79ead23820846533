"""Batches of one size, halved where they do not fit into memory: by themselves, and with both backends' models."""

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx_models
import pytest
import tiny_models
import torch
from diffusion_tools import THIRD_PARTY_WARNINGS, backend_of, images_of, in_batches, loaded_pipeline, requests
from onnx_models import loaded_unet, onnx_backend

from albu_diffusemix.backends.batches import Batches, is_out_of_memory
from albu_diffusemix.backends.editing import Editor, Model, ModelInput

pytestmark = [pytest.mark.filterwarnings(warning) for warning in THIRD_PARTY_WARNINGS]

ARENA = "bfc_arena.cc:360 void* onnxruntime::BFCArena::AllocateRawInternal(size_t) "
CUDA = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 15.9 GiB")
TOO_LITTLE = [
    CUDA,
    torch.cuda.OutOfMemoryError(),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("MPS backend out of memory (MPS allocated: 18.13 GB, other allocations: 16.00 KB)"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory: you tried"),
    RuntimeError(f"{ARENA}Failed to allocate memory for requested buffer of size 16777216"),
    RuntimeError(f"{ARENA}Available memory of 5 is smaller than requested bytes of 9"),
    RuntimeError("CUDA failure 2: out of memory ; GPU=0 ; expr=cudaMalloc((void**)&p, size);"),
    RuntimeError("Exception(1) tid(4790) 8007000E Not enough memory resources are available"),
    RuntimeError("std::bad_alloc"),
    MemoryError(),
]
OTHERS = [RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ValueError("no such graph"), KeyError("unet")]


class Drawing:
    """Gives back what it is asked for, up to a number at once."""

    def __init__(self, fits, error=CUDA):
        self.fits, self.error, self.sizes = fits, error, []

    def __call__(self, wanted):
        self.sizes.append(len(wanted))
        if len(wanted) > self.fits:
            raise self.error
        return list(wanted)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 9])
def test_every_batch_is_filled_up_to_one_size(count):
    draw = Drawing(fits=4)
    assert Batches(draw, 4)(range(count)) == list(range(count))
    assert draw.sizes == [4] * -(-count // 4)


@pytest.mark.parametrize(
    ("fits", "sizes"), [(8, [8, 8]), (7, [8, 4, 4, 4]), (3, [8, 4, 2, 2, 2, 2, 2]), (1, [8, 4, 2, *[1] * 9])]
)
@pytest.mark.filterwarnings("ignore:out of memory:RuntimeWarning")
def test_a_batch_that_does_not_fit_is_halved_until_it_does(fits, sizes):
    draw = Drawing(fits)
    assert Batches(draw, 8)(range(9)) == list(range(9))
    assert draw.sizes == sizes


@pytest.mark.parametrize("size", [2, 3, 5, 16])
@pytest.mark.filterwarnings("ignore:out of memory:RuntimeWarning")
def test_any_size_comes_down_to_one(size):
    assert Batches(Drawing(fits=1), size)(range(5)) == list(range(5))


def test_later_batches_start_at_the_size_that_worked():
    draw = Drawing(fits=2)
    batches = Batches(draw, 8)
    with pytest.warns(RuntimeWarning):
        batches(range(8))
    draw.sizes.clear()
    batches(range(3))
    assert draw.sizes == [2, 2]


@pytest.mark.filterwarnings("error")
def test_one_warning_names_the_size_that_worked():
    draw = Drawing(fits=3)
    batches = Batches(draw, 8)
    with pytest.raises(RuntimeWarning, match="on a batch of 8: going on with batches of 2; set batch_size to 2"):
        batches(range(8))
    draw.fits = 1
    batches(range(8))


@pytest.mark.parametrize("error", TOO_LITTLE, ids=lambda error: str(error)[:30] or type(error).__name__)
@pytest.mark.filterwarnings("ignore:out of memory:RuntimeWarning")
def test_every_kind_of_too_little_memory_halves_the_batch(error):
    assert Batches(Drawing(fits=1, error=error), 2)(range(3)) == [0, 1, 2]


@pytest.mark.parametrize("error", OTHERS, ids=repr)
def test_any_other_error_goes_up_at_once(error):
    draw = Drawing(fits=1, error=error)
    with pytest.raises(type(error)) as raised:
        Batches(draw, 4)(range(4))
    assert raised.value is error
    assert not is_out_of_memory(error)
    assert draw.sizes == [4]


class Meeting(Editor):
    """Each call waits inside for another one; without it both fail."""

    def __init__(self, *, takes_threads):
        self.takes_threads = takes_threads
        self.barrier = threading.Barrier(2)

    def edit(self, inputs):
        self.barrier.wait(20 if self.takes_threads else 0.5)
        return list(inputs)


def called_twice_at_once(editor):
    model = Model(editor, 1)
    inputs = [ModelInput(np.zeros((8, 8, 3), np.uint8), "snowy", seed) for seed in range(2)]
    with ThreadPoolExecutor(2) as pool:
        return [future.exception() for future in [pool.submit(model.edit, [one]) for one in inputs]]


def test_an_editor_that_takes_threads_is_called_by_several_at_once():
    assert called_twice_at_once(Meeting(takes_threads=True)) == [None, None]


def test_any_other_editor_is_called_by_one_thread_at_a_time():
    errors = called_twice_at_once(Meeting(takes_threads=False))
    assert [type(error) for error in errors] == [threading.BrokenBarrierError] * 2


HINT = r"^out of memory on one image: set a smaller size"


@pytest.mark.parametrize("kind", [torch.OutOfMemoryError, RuntimeError, MemoryError])
def test_one_image_that_does_not_fit_is_the_error_itself_with_a_hint(kind):
    draw = Drawing(fits=0, error=kind("20 MiB: out of memory"))
    with pytest.raises(kind, match=rf"{HINT}.*\(20 MiB: out of memory\)$"):
        Batches(draw, 4)(range(4))
    assert draw.sizes == [4, 2, 1]


def test_an_array_that_does_not_fit_has_the_hint_too():
    with pytest.raises(MemoryError, match=rf"{HINT}.*\(Unable to allocate 8.00 PiB for an array"):
        Batches(lambda _wanted: np.zeros(1 << 50), 1)(range(1))


def test_a_size_that_did_not_work_is_not_kept():
    draw = Drawing(fits=0, error=MemoryError("another program had it"))
    batches = Batches(draw, 4)
    with pytest.raises(MemoryError):
        batches(range(4))
    draw.fits = 4
    draw.sizes.clear()
    batches(range(4))
    assert draw.sizes == [4]


def test_memory_is_given_back_before_a_smaller_batch_is_tried():
    draw, seen = Drawing(fits=1), []
    with pytest.warns(RuntimeWarning):
        Batches(draw, 4, lambda: seen.append(draw.sizes[-1]))(range(1))
    assert seen == [4, 2]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_models.save_instruct_pix2pix(tmp_path_factory.mktemp("models") / "tiny")


def fail_above(unet, rows):
    """Make a UNet of torch run out of memory on more rows than that."""

    def check(_module, inputs):
        if len(inputs[0]) > rows:
            raise torch.OutOfMemoryError("CUDA out of memory")

    unet.register_forward_pre_hook(check)


def test_a_model_of_torch_goes_on_with_the_bytes_of_the_smaller_batch(model):
    options = {"num_inference_steps": 2, "size": 32}
    expected = images_of(in_batches(backend_of(model, **options), 2).generate(requests(5)))
    backend = in_batches(backend_of(model, **options), 8)
    fail_above(loaded_pipeline(backend).unet, 6)
    with pytest.warns(RuntimeWarning, match="batches of 2"):
        made = images_of(backend.generate(requests(5)))
    np.testing.assert_array_equal(made, expected)


def test_on_a_cpu_too_little_memory_is_an_error_with_a_hint_and_the_backend_stays_as_it_was(model):
    backend = backend_of(model, num_inference_steps=2, size=32)
    before = pickle.dumps(backend)
    unet = loaded_pipeline(backend).unet
    fail_above(unet, 0)
    with pytest.raises(torch.OutOfMemoryError, match=HINT):
        backend.generate(requests(1))
    assert pickle.dumps(backend) == before
    unet._forward_pre_hooks.clear()
    images_of(backend.generate(requests(1)))


class Session:
    """A session of onnxruntime that runs out of memory on more rows than that."""

    def __init__(self, session, rows):
        self._session, self._rows = session, rows

    def io_binding(self):
        return Binding(self._session.io_binding())

    def run_with_iobinding(self, binding):
        if binding.rows > self._rows:
            raise RuntimeError(f"{ARENA}Failed to allocate memory for requested buffer of size 16777216")
        self._session.run_with_iobinding(binding.inner)


class Binding:
    """What a session's run is given, and how many rows that is."""

    def __init__(self, inner):
        self.inner, self.rows = inner, 0

    def bind_ortvalue_input(self, name, value):
        self.rows = max(self.rows, *value.shape()[:1], 0)
        self.inner.bind_ortvalue_input(name, value)

    def __getattr__(self, name):
        return getattr(self.inner, name)


def onnx_with_rows(folder, size, rows):
    backend = in_batches(onnx_backend(folder, num_inference_steps=2, size=32), size)
    unet = loaded_unet(backend)
    unet._session = Session(unet._session, rows)
    return backend


def test_graphs_go_on_with_the_bytes_of_the_smaller_batch(tmp_path_factory):
    folder = onnx_models.shared(tmp_path_factory)
    expected = images_of(onnx_with_rows(folder, 2, rows=6).generate(requests(5)))
    with pytest.warns(RuntimeWarning, match="batches of 2"):
        made = images_of(onnx_with_rows(folder, 8, rows=6).generate(requests(5)))
    np.testing.assert_array_equal(made, expected)


def test_a_graph_that_does_not_fit_for_one_image_is_named_with_a_hint(tmp_path_factory):
    backend = onnx_with_rows(onnx_models.shared(tmp_path_factory), 2, rows=0)
    with pytest.raises(MemoryError, match=rf"{HINT}.*\(graph .*unet.* cannot run on sample \(3, 8"):
        backend.generate(requests(1))

"""What the tests of the diffusion backend share: photographs of the models' size, requests, and the stock pipeline."""

import contextlib

import cv2
import numpy as np
import torch
from diffusers import StableDiffusionInstructPix2PixPipeline
from PIL import Image
from skimage import data

from albu_diffusemix.backends import Request, create_backend
from albu_diffusemix.backends.editing import Model

SIDE = 64
PHOTOGRAPHS = [
    cv2.resize(photograph, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    for photograph in (data.astronaut(), data.chelsea(), data.coffee())
]
TEMPLATE = "A transformed version of image into {}"

THIRD_PARTY_WARNINGS = (
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning",  # diffusers on NumPy 2
    "ignore:__array_wrap__ must accept context:DeprecationWarning",  # two of its schedulers
)


def backend_of(model, **options):
    return create_backend(
        {"name": "instruct_pix2pix", "model_id": str(model), "size": SIDE, "device": "cpu", **options}
    )


def request(image=PHOTOGRAPHS[0], prompt="snowy", seed=0, box=None):
    return Request(image, prompt, seed, None, box or (0, 0, image.shape[1], image.shape[0]))


def requests(count):
    """Different images, prompts and seeds, in every combination."""
    prompts = ("snowy", "autumn")
    return [request(PHOTOGRAPHS[number % 3], prompts[number % 2], number // 2) for number in range(count)]


def images_of(counterparts):
    assert [made.status for made in counterparts] == ["ok"] * len(counterparts)
    return [made.image for made in counterparts]


def quiet(pipeline):
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def stock_pipeline(model, scheduler=None, **options):
    pipeline = quiet(StableDiffusionInstructPix2PixPipeline.from_pretrained(model, local_files_only=True))
    if scheduler:
        pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config, **options)
    return pipeline


def call_stock(pipeline, wanted, template=TEMPLATE, **arguments):
    """Call a pipeline as its documentation does, with PIL images; gives float arrays in [0, 1]."""
    return pipeline(
        prompt=[template.format(one.prompt) for one in wanted],
        image=[Image.fromarray(one.image) for one in wanted],
        generator=[torch.Generator("cpu").manual_seed(one.seed) for one in wanted],
        output_type="np",
        **arguments,
    ).images


def to_bytes(images):
    return [(image * 255).round().astype(np.uint8) for image in images]


def in_batches(backend, size):
    """The backend with batches of that size, as on a GPU: on a CPU it edits image by image."""
    model = Model(backend._load_editor(), size)
    backend._model = lambda: model
    return backend


def drawn_by(backend, wanted):
    """What the model of any backend draws, before it is rounded to 8 bits."""
    outputs = backend._model().edit([backend._model_input(one, one.prompt) for one in wanted])
    return np.stack([one.image for one in outputs])


@contextlib.contextmanager
def threads(count):
    """Let torch and OpenCV work on that many threads."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(count)
    cv2.setNumThreads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def loaded_pipeline(backend):
    """The pipeline inside of a backend, loaded."""
    return backend._model()._editor._pipeline


def rows_through(module):
    """Record how many rows each call of a module is given, from now on."""
    rows = []

    def record(_module, arguments, options):
        first = arguments[0] if arguments else next(iter(options.values()))
        rows.append(len(first))

    module.register_forward_pre_hook(record, with_kwargs=True)
    return rows


# Tiny tensors on several threads wait for each other more than they work.
torch.set_num_threads(1)

"""Real photographs to measure with, at any size, enough of them that no cache holds all."""

import functools

import cv2
import numpy as np
from skimage import data

from albu_diffusemix.backends import Request
from albu_diffusemix.backends.procedural import Procedural
from albu_diffusemix.functional import HALVES
from albu_diffusemix.prompts import PAPER_PROMPTS

COUNT = 8
SOURCE_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 92]
"""Of the sources; OpenCV writes them in 4:2:0, as most cameras and tools do."""


@functools.cache
def originals():
    """Four photographs and their mirror images."""
    whole = [data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]
    return [*whole, *(np.ascontiguousarray(image[:, ::-1]) for image in whole)]


def photographs(width, height, dtype="uint8"):
    """All of them at a size, uint8 or float32 in [0, 1]."""
    images = [resized(image, width, height) for image in originals()]
    return images if dtype == "uint8" else [np.float32(image) / 255 for image in images]


def halves():
    """A half for each photograph; all four occur, none of them always with the same mirror image."""
    return [HALVES[(number + number // len(HALVES)) % len(HALVES)] for number in range(COUNT)]


def filtered(image, number):
    """The counterpart that the procedural backend makes, by one of the paper's prompts after the other."""
    prompt = PAPER_PROMPTS[number % len(PAPER_PROMPTS)]
    return Procedural().generate([Request(image, prompt, number)])[0].image


def as_diffusion_draws(image, number):
    """What diffusion's pictures are like: edges, smooth areas and other colors, but none of a camera's noise.

    No model is asked. Twice a bilateral filter takes fine texture and noise away, as a model's decoder does, and each
    channel is weighed anew.
    """
    for _ in range(2):
        image = cv2.bilateralFilter(image, 7, 30, 5)
    weights = np.random.default_rng(number).uniform(0.6, 1.1, 3)
    return np.clip(image * weights, 0, 255).astype(np.uint8)


def negatives(images):
    """What stands for the counterparts where nothing is decoded, so that only their size matters."""
    return [(255 if image.dtype == np.uint8 else np.float32(1)) - image for image in images]


def resized(image, width, height):
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def as_jpeg(image):
    """A source as OpenCV writes it."""
    return cv2.imencode(".jpg", image[..., ::-1], SOURCE_QUALITY)[1]

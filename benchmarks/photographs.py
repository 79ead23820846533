"""Real photographs to measure with, at any size, enough of them that no cache holds all."""

import functools

import cv2
import numpy as np
from skimage import data

from albu_diffusemix.functional import HALVES

COUNT = 8
QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 90, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]


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


def negatives(images):
    """What stands for the counterparts: as much detail, other values."""
    return [(255 if image.dtype == np.uint8 else np.float32(1)) - image for image in images]


def resized(image, width, height):
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def as_jpeg(image):
    """An ordinary JPEG of quality 90 without subsampling or restart markers."""
    return cv2.imencode(".jpg", image[..., ::-1], QUALITY)[1]

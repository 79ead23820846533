import cv2
import numpy as np
import pytest

from albu_diffusemix import PAPER_PROMPTS, create_backend, jpeg
from albu_diffusemix.backends import Request
from albu_diffusemix.quality import find_flaw


def blank(value, shape=(96, 128, 3)):
    return np.full(shape, value, np.uint8)


def reduce_contrast(image, share):
    return np.asarray(image * share + image.mean() * (1 - share), np.uint8)


@pytest.mark.parametrize("value", [0, 128, 255, (10, 200, 30)])
def test_one_colour_is_blank_also_when_it_went_through_jpeg(photograph, value):
    assert find_flaw(blank(value), photograph) == "blank"
    assert find_flaw(jpeg.decode(jpeg.encode(blank(value))), photograph) == "blank"


def test_colours_of_one_brightness_are_flat_and_not_blank(photograph):
    stripes = blank(0)
    stripes[:, ::2], stripes[:, 1::2] = (150, 0, 0), (0, 77, 0)
    assert find_flaw(stripes, photograph) == "flat"
    assert find_flaw(photograph, stripes) is None
    assert find_flaw(stripes, stripes) == "unchanged"


def test_the_source_again_is_unchanged(photograph):
    assert find_flaw(photograph.copy(), photograph) == "unchanged"
    nearly = photograph.copy()
    nearly[::2] ^= 1
    assert find_flaw(nearly, photograph) == "unchanged"


def test_a_visible_change_is_none(photograph):
    assert find_flaw(cv2.add(photograph, (6, 6, 6, 0)), photograph) is None


def test_an_image_that_lost_its_contrast_is_flat(photograph):
    assert find_flaw(reduce_contrast(photograph, 0.08), photograph) == "flat"
    assert find_flaw(reduce_contrast(photograph, 0.4), photograph) is None


def test_little_contrast_is_not_a_flaw_where_the_source_has_as_little(photograph):
    source = reduce_contrast(photograph, 0.1)
    assert find_flaw(255 - source, source) is None


def test_a_source_of_one_colour_may_have_any_counterpart():
    for made in (blank(0), blank(200)):
        assert find_flaw(made, blank(200)) is None


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_float_image_with_nan_or_infinity_is_nonfinite(photograph, value):
    made = 255.0 - photograph
    assert find_flaw(made, photograph) is None
    made[3, 4, 1] = value
    assert find_flaw(made, photograph) == "nonfinite"
    assert find_flaw(np.full_like(made, value), photograph) == "nonfinite"


def test_a_float_image_is_judged_as_it_will_be_rounded(photograph):
    assert find_flaw(photograph + 0.4, photograph) == "unchanged"
    assert find_flaw(np.full(photograph.shape, -40.0), photograph) == "blank"


def test_another_shape_is_an_error(photograph):
    with pytest.raises(ValueError, match=r"shape \(96, 127, 3\), its source \(96, 128, 3\)"):
        find_flaw(photograph[:, :-1], photograph)


@pytest.mark.parametrize("prompt", PAPER_PROMPTS)
def test_the_procedural_counterparts_of_a_photograph_pass(photograph, prompt):
    height, width = photograph.shape[:2]
    requests = [Request(photograph, prompt, seed, None, (0, 0, width, height)) for seed in range(5)]
    for made in create_backend("procedural").generate(requests):
        assert find_flaw(made.image, photograph) is None

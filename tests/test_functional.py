import numpy as np
import pytest
from conftest import make_image
from hypothesis import given
from hypothesis import strategies as st

from albu_diffusemix import functional
from albu_diffusemix.functional import HALVES
from albu_diffusemix.functional.boxes import half_places

SHAPES = [(1, 1), (1, 7), (7, 1), (2, 2), (5, 4), (32, 32), (33, 31), (513, 511)]
CHANNELS = [(), (1,), (3,), (5,)]
FORMATS = [(channels, dtype) for channels in CHANNELS for dtype in ("uint8", "float32")]


def as_grey(rows):
    return np.array(rows, np.uint8)


IMAGE = as_grey([[10, 20, 30, 40], [50, 60, 70, 80]])
COUNTERPART = as_grey([[1, 2, 3, 4], [5, 6, 7, 8]])


@pytest.mark.parametrize(
    ("half", "expected"),
    [
        ("left", [[1, 2, 30, 40], [5, 6, 70, 80]]),
        ("right", [[10, 20, 3, 4], [50, 60, 7, 8]]),
        ("top", [[1, 2, 3, 4], [50, 60, 70, 80]]),
        ("bottom", [[10, 20, 30, 40], [5, 6, 7, 8]]),
    ],
)
def test_equation_1_puts_the_counterpart_on_the_named_half(half, expected):
    assert np.array_equal(functional.half_concat(IMAGE, COUNTERPART, half), as_grey(expected))


def test_equation_2_blends_by_opacity_and_rounds():
    blended = functional.fractal_blend(as_grey([[100, 10, 255]]), as_grey([[200, 13, 0]]), alpha=0.2)
    assert blended.tolist() == [[120, 11, 204]]  # 120, 10.6, 204


def test_a_blend_can_be_written_over_the_image(rng):
    for shape in [(5, 4), (5, 4, 1), (5, 4, 3), (5, 4, 5)]:
        image, fractal = make_image(rng, shape, "float32"), make_image(rng, shape, "float32")
        expected = functional.fractal_blend(image, fractal, 0.2)
        assert functional.fractal_blend(image, fractal, 0.2, out=image) is image
        assert np.array_equal(image, expected)


def test_a_fractal_of_bytes_goes_with_an_image_of_floats(rng):
    image, fractal = make_image(rng, (5, 4, 5), "float32"), make_image(rng, (5, 4, 5), "uint8")
    expected = functional.fractal_blend(image, np.float32(1 / 255) * fractal, 0.2)
    np.testing.assert_allclose(functional.fractal_blend(image, fractal, 0.2), expected, atol=1e-6)


@given(st.integers(1, 12), st.integers(1, 12), st.sampled_from(HALVES), st.floats(0, 1))
def test_the_parts_of_a_hybrid_cover_the_image_once_and_none_of_them_is_empty(height, width, half, seam_width):
    places = half_places(height, width, half, seam_width)
    covered = np.zeros((height, width), np.uint8)
    for box in filter(None, (places.pure, places.rest, places.seam)):
        assert functional.crop(covered, box).size > 0
        functional.crop(covered, box)[...] += 1
    assert (covered == 1).all()


def test_what_is_kept_of_a_size_is_plain_whole_numbers_whoever_asked_first():
    assert all(type(edge) is int for edge in functional.half_box(np.int64(7), np.int64(5), "right", np.float32(0.5)))


@pytest.mark.parametrize(("channels", "dtype"), FORMATS)
@pytest.mark.parametrize("shape", SHAPES)
def test_one_pass_gives_what_the_two_steps_give(rng, shape, channels, dtype):
    image, counterpart, fractal = (make_image(rng, shape + channels, dtype) for _ in range(3))
    for half in HALVES:
        for seam_width in (0.0, 0.3, 1.0):
            hybrid = functional.half_concat(image, counterpart, half, seam_width)
            mixed = functional.half_concat_blend(image, counterpart, half, fractal, 0.3, seam_width)
            assert np.array_equal(mixed, functional.fractal_blend(hybrid, fractal, 0.3))


def test_equation_3_is_equation_1_then_equation_2():
    fractal = np.full_like(IMAGE, 100)
    blended = functional.fractal_blend(functional.half_concat(IMAGE, COUNTERPART, "right"), fractal, alpha=0.5)
    assert blended.tolist() == [[55, 60, 52, 52], [75, 80, 54, 54]]  # 51.5 and 53.5 round to even


def test_left_and_right_halves_of_an_odd_side_make_the_whole():
    image, counterpart = np.zeros((3, 5), np.uint8), np.ones((3, 5), np.uint8)
    left = functional.half_concat(image, counterpart, "left")
    right = functional.half_concat(image, counterpart, "right")
    assert np.array_equal(left + right, counterpart)
    assert left.sum() == 3 * 2


def test_a_soft_seam_climbs_over_the_middle_in_even_steps_with_both_ends():
    image, counterpart = np.zeros((1, 10), np.float32), np.ones((1, 10), np.float32)
    hybrid = functional.half_concat(image, counterpart, "right", seam_width=0.4)
    assert hybrid[0] == pytest.approx([0, 0, 0, 0, 1 / 3, 2 / 3, 1, 1, 1, 1])
    assert functional.half_concat(image, counterpart, "left", seam_width=0.4)[0] == pytest.approx(1 - hybrid[0])


def test_a_seam_of_one_pixel_is_half_of_each():
    hybrid = functional.half_concat(np.zeros((4, 1), np.float32), np.ones((4, 1), np.float32), "bottom", 0.25)
    assert hybrid[:, 0].tolist() == [0, 0, 0.5, 1]


def released_weights(side, seam):
    """The released code's mask: zeros, 20 even steps from 0 to 1 at 256 px, ones."""
    return np.concatenate([np.zeros(side // 2 - seam // 2), np.linspace(0, 1, seam), np.ones(side // 2 - seam // 2)])


@pytest.mark.parametrize(("half", "shape"), [("right", (1, 256, 1)), ("bottom", (256, 1, 1))])
def test_the_official_preset_equals_the_released_arithmetic_to_one_grey_level(rng, half, shape):
    image, counterpart, fractal = (make_image(rng, (256, 256, 3), "uint8") for _ in range(3))
    weights = released_weights(256, 20).reshape(shape)

    exact = image * (1 - weights) + counterpart * weights
    hybrid = functional.half_concat(image, counterpart, half, seam_width=20 / 256)
    assert np.abs(hybrid - np.trunc(exact)).max() <= 1

    blended = functional.fractal_blend(hybrid, fractal, alpha=0.2)
    assert np.abs(blended - (exact * 0.8 + fractal * 0.2)).max() <= 1
    assert np.abs(blended - np.trunc(hybrid * 0.8 + fractal * 0.2)).max() <= 1


def test_cutmix_pastes_the_box_and_nothing_else():
    box = functional.cutmix_box(4, 6, center_x=0.5, center_y=0.5, area=0.25)
    assert box == (2, 1, 5, 3)
    pasted = functional.cutmix(np.zeros((4, 6), np.uint8), np.ones((4, 6), np.uint8), box)
    assert pasted.sum() == 6
    assert pasted[1:3, 2:5].all()


@given(
    st.integers(1, 600),
    st.integers(1, 600),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_a_cutmix_box_lies_inside_of_the_image(height, width, center_x, center_y, area):
    x_min, y_min, x_max, y_max = functional.cutmix_box(height, width, center_x, center_y, area)
    assert 0 <= x_min <= x_max <= width
    assert 0 <= y_min <= y_max <= height


def test_mixup_weighs_the_counterpart():
    assert functional.mixup(as_grey([[100]]), as_grey([[200]]), weight=0.25).tolist() == [[125]]


@pytest.mark.parametrize(("channels", "dtype"), FORMATS)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_size_and_format_comes_back_in_its_own_format(rng, shape, channels, dtype):
    image, other = (make_image(rng, shape + channels, dtype) for _ in range(2))
    before = image.copy()
    outputs = [functional.half_concat(image, other, half, seam) for half in HALVES for seam in (0.0, 0.3, 1.0)]
    outputs += [functional.mixup(image, other, 0.4), functional.fractal_blend(image, other, 0.2)]
    outputs += [functional.cutmix(image, other, functional.cutmix_box(*shape, 0.4, 0.6, 0.5))]
    for output in outputs:
        assert (output.shape, output.dtype) == (image.shape, image.dtype)
        assert output.flags.c_contiguous
        assert not np.shares_memory(output, image)
    assert np.array_equal(image, before)


def test_views_give_the_same_as_contiguous_arrays(rng):
    view = make_image(rng, (20, 24, 3), "uint8")[::2, ::-1, ::-1]
    other = make_image(rng, (10, 24, 3), "uint8")
    for half in HALVES:
        assert np.array_equal(
            functional.half_concat(view, other, half, 0.2),
            functional.half_concat(view.copy(), other, half, 0.2),
        )
    assert np.array_equal(functional.fractal_blend(view, other, 0.2), functional.fractal_blend(view.copy(), other, 0.2))


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from(HALVES),
    st.floats(0, 1),
    st.booleans(),
)
def test_a_counterpart_cut_to_its_box_gives_the_same_hybrid(height, width, half, seam_width, colour):
    rng = np.random.default_rng(height * 41 + width)
    shape = (height, width, 3) if colour else (height, width)
    image, counterpart = (make_image(rng, shape, "uint8") for _ in range(2))
    part = functional.crop(counterpart, functional.half_box(height, width, half, seam_width))
    assert np.array_equal(
        functional.half_concat(image, part, half, seam_width),
        functional.half_concat(image, counterpart, half, seam_width),
    )


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from(HALVES), st.floats(0, 1))
def test_a_hybrid_lies_between_image_and_counterpart(height, width, half, seam_width):
    image, counterpart = np.full((height, width), 50, np.uint8), np.full((height, width), 90, np.uint8)
    hybrid = functional.half_concat(image, counterpart, half, seam_width)
    assert hybrid.min() >= 50
    assert hybrid.max() <= 90


def test_grey_becomes_rgb_and_back_without_loss(rng):
    for shape in [(8, 9), (8, 9, 1)]:
        grey = make_image(rng, shape, "uint8")
        rgb = functional.to_rgb(grey)
        assert rgb.shape == (8, 9, 3)
        assert np.array_equal(functional.match_format(rgb, grey), grey)


def test_float_becomes_rgb_and_back_without_loss(rng):
    image = make_image(rng, (8, 9, 3), "float32")
    assert functional.match_format(functional.to_rgb(image), image) == pytest.approx(image, abs=1e-6)


def test_channels_beyond_the_third_keep_their_values(rng):
    image, rgb = make_image(rng, (8, 9, 5), "uint8"), make_image(rng, (8, 9, 3), "uint8")
    matched = functional.match_format(rgb, image)
    assert np.array_equal(matched[..., :3], rgb)
    assert np.array_equal(matched[..., 3:], image[..., 3:])


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        ([[1]], TypeError, "must be a NumPy array of shape .* got list"),
        (np.zeros((4, 4, 3)), ValueError, "uint8 in .* or float32 in .* got dtype float64"),
        (np.zeros((4, 4, 3), np.int16), ValueError, "got dtype int16"),
        (np.zeros(4, np.uint8), ValueError, r"got shape \(4,\)"),
        (np.zeros((4, 4, 2), np.uint8), ValueError, r"3 \(RGB\) or more .* got 2 in shape \(4, 4, 2\)"),
        (np.zeros((0, 4, 3), np.uint8), ValueError, r"at least 1x1 .* got shape \(0, 4, 3\)"),
        (np.zeros((4, 4, 0), np.uint8), ValueError, r"at least one channel; got shape \(4, 4, 0\)"),
    ],
)
def test_what_is_not_an_image_is_refused_with_its_value(image, error, message):
    with pytest.raises(error, match=message):
        functional.check_image(image)


def in_floats(*values):
    return np.array([[values]], np.float32)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (in_floats(0, 128, 255), "got values from 0 to 255: if its range is 0 to 255, divide it by 255"),
        (in_floats(0, 0.5, 1.2), "got values from 0 to 1.2: if its range"),
        (in_floats(-2.1, 0, 2.6), "got values from -2.1 to 2.6: put DiffuseMix before A.Normalize"),
        (in_floats(-1, 0, 1), "got values from -1 to 1: put DiffuseMix before A.Normalize"),
        (in_floats(0, np.nan, 1), "got NaN"),
        (in_floats(0, np.inf, 1), "got values from 0 to inf"),
    ],
)
def test_floats_outside_of_their_range_are_refused_with_the_likely_cause(image, message):
    for check in (functional.check_image, functional.prepare_image):
        with pytest.raises(ValueError, match=message):
            check(image)


def test_a_little_overshoot_is_clipped_in_a_copy():
    image = in_floats(-0.09, 0.5, 1.09, 7)
    assert functional.prepare_image(image).ravel().tolist() == [0, 0.5, 1, 7]
    assert image[0, 0, 0] < 0


def test_an_image_in_its_range_is_prepared_without_a_copy():
    image = in_floats(0, 0.5, 1)
    assert functional.prepare_image(image) is image


def test_a_bad_half_lists_the_halves():
    with pytest.raises(ValueError, match="one of left, right, top, bottom; got 'middle'"):
        functional.half_concat(IMAGE, COUNTERPART, "middle")


def test_a_bad_seam_width_is_refused():
    with pytest.raises(ValueError, match=r"seam_width must lie in \[0, 1\].* got 20"):
        functional.half_concat(IMAGE, COUNTERPART, "left", seam_width=20)


def test_a_bad_alpha_is_refused():
    with pytest.raises(ValueError, match=r"alpha must lie in \[0, 1\]; got 1.5"):
        functional.fractal_blend(IMAGE, COUNTERPART, alpha=1.5)


@pytest.mark.parametrize(
    "other", [np.zeros((3, 3), np.uint8), np.zeros((2, 4), np.float32), np.zeros((2, 4, 3), np.uint8)]
)
def test_arrays_that_do_not_fit_are_refused_with_both_formats(other):
    with pytest.raises(
        ValueError, match=r"counterpart must match the image, shape \(2, 4\) and dtype uint8; got shape"
    ):
        functional.half_concat(IMAGE, other, "left")
    with pytest.raises(ValueError, match=r"fractal must match the image, shape \(2, 4\) and dtype uint8; got shape"):
        functional.fractal_blend(IMAGE, other, 0.2)
    for half in HALVES:
        with pytest.raises(ValueError, match="fractal must match the image"):
            functional.half_concat_blend(IMAGE, COUNTERPART, half, other, 0.2)

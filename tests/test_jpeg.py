"""jpeg.py against the stock decoders: a box decoded from few bytes has the pixels of the whole decode."""

import io

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jpeg_files import (
    COMMENT,
    HEADER,
    PHOTOGRAPHS,
    SEGMENTS,
    SMALL,
    flat,
    foreign,
    from_pillow,
    gradient,
    in_three_scans,
    joined,
    noise,
    of_kind,
    opencv,
    photo,
    pillow,
    segments_of,
)
from PIL import Image

from albu_diffusemix import jpeg, jpeg_segments
from albu_diffusemix.jpeg import cut, cut_around, decode, decode_box, encode
from albu_diffusemix.jpeg_segments import TABLE_NAME, find_segments, read_header

SUBSAMPLED = {
    "4:1:1": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411,
    "4:2:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    "4:2:2": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    "4:4:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440,
}

qualities = st.integers(1, 100)
samplings = st.sampled_from(["4:4:4", "4:2:0"])
sides = st.integers(1, 90)
even_sides = st.integers(1, 6).map(lambda blocks: 16 * blocks)


@st.composite
def images(draw, heights=sides, widths=sides):
    make = draw(st.sampled_from([noise, gradient, photo, flat]))
    image = make(draw(heights), draw(widths), draw(st.integers(0, 999)))
    return image if draw(st.booleans()) else np.ascontiguousarray(image[..., 0])


@st.composite
def boxes(draw, height, width):
    x_min, y_min = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    return x_min, y_min, draw(st.integers(x_min + 1, width)), draw(st.integers(y_min + 1, height))


def halves(height, width):
    return {
        "left": (0, 0, width // 2, height),
        "right": (width // 2, 0, width, height),
        "top": (0, 0, width, height // 2),
        "bottom": (0, height // 2, width, height),
    }


def crop(pixels, box):
    return pixels[box[1] : box[3], box[0] : box[2]]


# What encode writes.


@given(images(), qualities, samplings)
@settings(deadline=None)
def test_both_stock_decoders_read_the_file_as_decode_does(image, quality, sampling):
    data = encode(image, quality, sampling)
    assert decode(data).shape == image.shape
    np.testing.assert_array_equal(decode(data), opencv(data))
    np.testing.assert_array_equal(decode(data), pillow(data))


@pytest.mark.parametrize(("sampling", "least"), [("4:4:4", 34), ("4:2:0", 30)])
@pytest.mark.parametrize("image", PHOTOGRAPHS)
def test_a_photograph_comes_back_nearly_as_it_was(image, sampling, least):
    assert cv2.PSNR(decode(encode(image, sampling=sampling)), image) > least
    assert cv2.PSNR(decode(encode(image[..., 0], sampling=sampling)), image[..., 0]) > 34


@pytest.mark.parametrize("side", [256, 512])
@pytest.mark.parametrize("image", PHOTOGRAPHS)
def test_restart_markers_cost_little_more_than_one_percent(image, side):
    image = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    plain = foreign(image, cv2.IMWRITE_JPEG_QUALITY, 90, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111)
    assert len(plain) < len(encode(image)) <= 1.013 * len(plain)


@pytest.mark.parametrize("side", [256, 512])
@pytest.mark.parametrize("image", PHOTOGRAPHS)
def test_short_segments_and_their_table_cost_a_few_percent(image, side):
    image = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    plain = foreign(image, cv2.IMWRITE_JPEG_QUALITY, 90, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, SUBSAMPLED["4:2:0"])
    assert len(plain) < len(encode(image, sampling="4:2:0")) <= 1.11 * len(plain)


@pytest.mark.parametrize("image", PHOTOGRAPHS)
def test_4_2_0_is_smaller_than_4_4_4(image):
    assert len(encode(image, sampling="4:2:0")) < 0.9 * len(encode(image))


def test_the_table_says_where_the_markers_are_found_and_is_believed_only_then(monkeypatch):
    data = encode(PHOTOGRAPHS[0], sampling="4:2:0")
    by_table = find_segments(data, *read_header(data)).codes_at
    places = data.index(TABLE_NAME) + len(TABLE_NAME)
    for steps in ([1], [1, 255], [0, 0, 0, 1, 1, 254]):
        wrong = bytearray(data)
        for place, step in enumerate(steps, places):
            wrong[place] = (wrong[place] + step) % 256
        np.testing.assert_array_equal(find_segments(wrong, *read_header(wrong)).codes_at, by_table)
        np.testing.assert_array_equal(decode_box(wrong, (9, 0, 99, 77)), crop(decode(data), (9, 0, 99, 77)))
    monkeypatch.setattr(jpeg_segments, "_find_markers", None)  # the table alone is enough
    np.testing.assert_array_equal(find_segments(data, *read_header(data)).codes_at, by_table)
    with pytest.raises(TypeError):
        find_segments(wrong, *read_header(wrong))


def test_a_part_that_was_cut_out_has_no_table_and_can_be_cut_again():
    data = encode(PHOTOGRAPHS[0], sampling="4:2:0")
    part, box = cut_around(data, (256, 0, 512, 512))
    assert TABLE_NAME in data
    assert TABLE_NAME not in part
    assert box == (240, 0, 512, 512)
    quarter = decode_box(part, (16, 256, 272, 512))
    np.testing.assert_array_equal(quarter, crop(opencv(data), (256, 256, 512, 512)))


def test_a_lower_quality_gives_a_smaller_file():
    sizes = [len(encode(PHOTOGRAPHS[0], quality)) for quality in (1, 30, 60, 90, 100)]
    assert sizes == sorted(set(sizes))


def test_encode_takes_views_and_leaves_them_as_they_are():
    view = PHOTOGRAPHS[0][64:0:-1, ::2]
    before = view.copy()
    assert encode(view) == encode(before)
    np.testing.assert_array_equal(view, before)


@pytest.mark.parametrize("shape", [(1, 65500), (65500, 1), (65500, 16), (17, 65500, 3), (65500, 17, 3)])
def test_the_longest_sides_can_be_cut(shape):
    pixels = np.arange(np.prod(shape[:2]), dtype=np.uint8).reshape(shape[:2])
    data = encode(pixels if shape[2:] == () else np.dstack([pixels] * 3), sampling="4:2:0")
    for box in halves(*shape[:2]).values():
        if box[0] < box[2] and box[1] < box[3]:
            np.testing.assert_array_equal(decode_box(data, box), crop(decode(data), box))


@pytest.mark.parametrize(
    ("image", "quality", "said"),
    [
        (np.zeros((8, 8, 3), np.float32), 90, "float32"),
        (np.zeros((8, 8, 4), np.uint8), 90, r"\(8, 8, 4\)"),
        (np.zeros((8, 8, 1), np.uint8), 90, r"\(8, 8, 1\)"),
        (np.zeros(8, np.uint8), 90, r"\(8,\)"),
        (np.zeros((1, 8, 8, 3), np.uint8), 90, r"\(1, 8, 8, 3\)"),
        (np.zeros((0, 8, 3), np.uint8), 90, "sides from 1 to 65500"),
        (np.zeros((65501, 1), np.uint8), 90, "sides from 1 to 65500"),
        (np.zeros((8, 8, 3), np.uint8), 0, "quality is 0"),
        (np.zeros((8, 8, 3), np.uint8), 101, "quality is 101"),
        (np.zeros((8, 8, 3), np.uint8), 89.5, "quality is 89.5"),
    ],
)
def test_encode_says_what_it_cannot_take(image, quality, said):
    with pytest.raises(ValueError, match=said):
        encode(image, quality)


def test_encode_says_which_sampling_it_knows():
    with pytest.raises(ValueError, match="sampling is '4:2:2'; allowed are '4:4:4', '4:2:0'"):
        encode(np.zeros((8, 8, 3), np.uint8), sampling="4:2:2")


# Boxes and halves.


@given(images(even_sides, even_sides), qualities, st.sampled_from(["left", "right", "top", "bottom"]))
@settings(deadline=None)
def test_a_half_cut_out_of_the_bytes_is_the_crop_of_the_whole_in_any_decoder(image, quality, half):
    data = encode(image, quality)
    box = halves(*image.shape[:2])[half]
    part = cut(data, box)
    assert len(part) < len(data)
    np.testing.assert_array_equal(opencv(part), crop(opencv(data), box))
    np.testing.assert_array_equal(pillow(part), crop(pillow(data), box))


@given(st.data(), images(), qualities, samplings)
@settings(deadline=None, max_examples=300)
def test_a_decoded_box_is_the_crop_of_the_whole(draws, image, quality, sampling):
    data = encode(image, quality, sampling)
    box = draws.draw(boxes(*image.shape[:2]))
    part = decode_box(data, box)
    np.testing.assert_array_equal(part, crop(opencv(data), box))
    assert part.flags.c_contiguous


@given(st.data(), images(), qualities, samplings)
@settings(deadline=None, max_examples=200)
def test_where_a_box_lies_in_what_was_cut_around_it_any_decoder_gives_the_pixels_of_the_whole(
    draws, image, quality, sampling
):
    data = encode(image, quality, sampling)
    x_min, y_min, x_max, y_max = draws.draw(boxes(*image.shape[:2]))
    part, (left, top, right, bottom) = cut_around(data, (x_min, y_min, x_max, y_max))
    inside = x_min - left, y_min - top, x_max - left, y_max - top
    for decoder in (opencv, pillow):
        assert decoder(part).shape[:2] == (bottom - top, right - left)
        np.testing.assert_array_equal(crop(decoder(part), inside), crop(decoder(data), (x_min, y_min, x_max, y_max)))


@given(st.data(), images(), qualities)
@settings(deadline=None)
def test_a_cut_box_is_the_crop_of_the_whole_or_nothing(draws, image, quality):
    data = encode(image, quality)
    height, width = image.shape[:2]
    box = draws.draw(boxes(-(-height // 8), -(-width // 8)))
    box = (box[0] * 8, box[1] * 8, min(box[2] * 8, width), min(box[3] * 8, height))
    part = cut(data, box)
    assume(part is not None)
    np.testing.assert_array_equal(opencv(part), crop(opencv(data), box))


@pytest.mark.parametrize("width", [17, 18, 19, 20, 21, 35])
def test_a_strip_as_narrow_as_decoders_do_not_filter_is_cut_out_with_more(width):
    data = encode(noise(40, width, 1), sampling="4:2:0")
    for x_min in range(15, width):
        box = (x_min, 0, width, 40)
        np.testing.assert_array_equal(decode_box(data, box), crop(opencv(data), box))


def test_a_half_of_a_half_can_be_cut_again():
    data = encode(PHOTOGRAPHS[0])
    quarter = cut(cut(data, (256, 0, 512, 512)), (0, 256, 256, 512))
    np.testing.assert_array_equal(opencv(quarter), crop(opencv(data), (256, 256, 512, 512)))


def test_rows_of_blocks_can_be_cut_where_a_row_has_an_odd_number_of_blocks():
    data = encode(PHOTOGRAPHS[0][:100, :200])
    box = (0, 48, 200, 100)
    np.testing.assert_array_equal(opencv(cut(data, box)), crop(opencv(data), box))
    assert cut(data, (0, 0, 96, 100)) is None


BOXES = [(256, 0, 512, 512), (0, 0, 512, 276), (300, 100, 301, 101), (255, 0, 257, 512)]


@pytest.mark.parametrize(
    ("sampling", "sizes"),
    [
        ("4:4:4", [(512, 256), (280, 512), (8, 256), (512, 512)]),
        ("4:2:0", [(512, 272), (288, 512), (16, 16), (512, 32)]),
    ],
)
def test_little_more_than_the_box_is_decoded(monkeypatch, sampling, sizes):
    data = encode(PHOTOGRAPHS[0], sampling=sampling)
    decoded = []
    imdecode = cv2.imdecode
    monkeypatch.setattr(cv2, "imdecode", lambda *args: decoded.append(imdecode(*args)) or decoded[-1])
    for box in BOXES:
        decode_box(data, box)
    assert [pixels.shape[:2] for pixels in decoded] == sizes


def test_a_box_may_be_asked_of_the_pictures_size():
    part = decode_box(SMALL, lambda height, width: (width // 2, 0, width, height))
    np.testing.assert_array_equal(part, decode(SMALL)[:, 24:])


def test_the_whole_picture_is_a_box_too():
    assert cut(SMALL, (0, 0, 48, 32)) == SMALL
    np.testing.assert_array_equal(decode_box(SMALL, (0, 0, 48, 32)), decode(SMALL))


@pytest.mark.parametrize(
    "box",
    [(0, 0, 0, 32), (0, 8, 48, 8), (24, 0, 0, 32), (-1, 0, 24, 32), (0, -8, 24, 32), (0, 0, 49, 8), (0, 0, 8, 33)],
)
@pytest.mark.parametrize("call", [decode_box, cut])
def test_a_box_that_is_empty_or_leaves_the_picture_is_refused(call, box):
    with pytest.raises(ValueError, match=r"box .* is empty or leaves the picture; allowed is within \(0, 0, 48, 32\)"):
        call(SMALL, box)


@pytest.mark.parametrize("buffer", [bytearray, memoryview])
def test_any_buffer_of_bytes_is_read(buffer):
    box = (24, 0, 48, 32)
    np.testing.assert_array_equal(decode(buffer(SMALL)), decode(SMALL))
    np.testing.assert_array_equal(decode_box(buffer(SMALL), box), decode_box(SMALL, box))
    assert cut(buffer(SMALL), box) == cut(SMALL, box)


def test_an_older_opencv_without_an_rgb_flag_gives_the_same_pixels(monkeypatch):
    here = decode(SMALL)
    monkeypatch.setattr(jpeg, "READS_RGB", False)
    np.testing.assert_array_equal(decode(SMALL), here)


# Files by others.


@given(
    st.data(),
    images(),
    st.integers(0, 40),
    st.sampled_from([0x111111, *SUBSAMPLED.values()]),
    st.integers(0, 1),
    st.integers(0, 1),
)
@settings(deadline=None, max_examples=200)
def test_a_box_of_any_file_of_opencv_is_the_crop_of_the_whole(draws, image, interval, sampling, progressive, optimize):
    data = foreign(
        image,
        *(cv2.IMWRITE_JPEG_RST_INTERVAL, interval),
        *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling),
        *(cv2.IMWRITE_JPEG_PROGRESSIVE, progressive),
        *(cv2.IMWRITE_JPEG_OPTIMIZE, optimize),
    )
    box = draws.draw(boxes(*image.shape[:2]))
    np.testing.assert_array_equal(decode_box(data, box), crop(opencv(data), box))
    part = cut(data, box)
    assert part is None or np.array_equal(opencv(part), crop(opencv(data), box))


@pytest.mark.parametrize(
    "options",
    [
        {"progressive": True},
        {"progressive": True, "restart_marker_blocks": 3, "subsampling": 0},
        {"subsampling": 2},
        {"subsampling": 2, "restart_marker_rows": 1},
        {"subsampling": 1, "restart_marker_blocks": 3},
        {"subsampling": 0},
        {"subsampling": 0, "restart_marker_blocks": 5},
        {"subsampling": 0, "restart_marker_rows": 2},
    ],
)
def test_files_that_cannot_be_cut_are_decoded_whole(options):
    data = from_pillow(noise(64, 96, 1), **options)
    for box in halves(64, 96).values():
        assert cut(data, box) is None
        np.testing.assert_array_equal(decode_box(data, box), crop(pillow(data), box))


@pytest.mark.parametrize("interval", [1, 2, 3, 4, 6, 12])
def test_any_interval_that_divides_a_row_of_blocks_can_be_cut(interval):
    data = from_pillow(noise(40, 96, 2), subsampling=0, restart_marker_blocks=interval)
    box = (96 - 8 * interval, 8, 96, 24)
    np.testing.assert_array_equal(pillow(cut(data, box)), crop(pillow(data), box))


def test_four_channels_in_one_scan_can_be_cut():
    file = io.BytesIO()
    Image.fromarray(noise(32, 48, 3)).convert("CMYK").save(file, "JPEG", subsampling=0, restart_marker_blocks=3)
    data = file.getvalue()
    box = (24, 0, 48, 32)
    np.testing.assert_array_equal(pillow(cut(data, box)), crop(pillow(data), box))
    np.testing.assert_array_equal(decode_box(data, box), crop(decode(data), box))


def test_extended_sequential_files_are_decoded_whole():
    data = of_kind(0xC1)
    assert cut(data, (24, 0, 48, 32)) is None
    np.testing.assert_array_equal(decode_box(data, (24, 0, 48, 32)), decode_box(SMALL, (24, 0, 48, 32)))


@pytest.mark.parametrize("code", [0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF])
def test_files_of_rarer_kinds_are_never_cut(code):
    assert cut(of_kind(code), (24, 0, 48, 32)) is None


@pytest.mark.parametrize("between", [b"", COMMENT, b"\xff\xff\xfe\x00\x02"])
def test_a_baseline_file_in_three_scans_is_decoded_whole(between):
    data = in_three_scans(photo(48, 64, 4), between)
    assert cut(data, (0, 0, 32, 48)) is None
    np.testing.assert_array_equal(decode_box(data, (0, 0, 32, 48)), crop(pillow(data), (0, 0, 32, 48)))


def test_grey_with_sampling_factors_of_two_is_decoded_whole():
    data = bytearray(encode(noise(32, 48, 5)[..., 0]))
    data[data.index(b"\xff\xc0") + 11] = 0x22
    assert cut(data, (24, 0, 48, 32)) is None
    np.testing.assert_array_equal(decode_box(data, (24, 0, 48, 32)), crop(pillow(data), (24, 0, 48, 32)))


def test_other_segments_in_the_header_are_passed_over():
    arithmetic = b"\xff\xcc\x00\x04\x00\x10"
    profile = b"\xff\xe2\x80\x02" + bytes(range(256)) * 128
    data = SMALL[:2] + COMMENT + SMALL[2:20] + profile + arithmetic + COMMENT + SMALL[20:]
    for box in halves(32, 48).values():
        np.testing.assert_array_equal(pillow(cut(data, box)), crop(pillow(SMALL), box))


def test_the_frame_may_come_first():
    at = SMALL.index(b"\xff\xc0")
    data = SMALL[:2] + SMALL[at : at + 19] + SMALL[2:at] + SMALL[at + 19 :]
    for box in halves(32, 48).values():
        np.testing.assert_array_equal(pillow(cut(data, box)), crop(pillow(SMALL), box))


def test_exif_orientation_is_not_applied():
    exif = Image.Exif()
    exif[0x0112] = 6
    image = noise(32, 48, 6)
    turned = from_pillow(image, subsampling=0, restart_marker_blocks=3, exif=exif)
    assert cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR).shape == (48, 32, 3)
    np.testing.assert_array_equal(decode(turned), pillow(turned))
    np.testing.assert_array_equal(decode_box(turned, (24, 0, 48, 32)), crop(pillow(turned), (24, 0, 48, 32)))


def test_noise_brings_stuffed_bytes_that_are_not_markers():
    data = encode(noise(64, 64, 7), quality=100)
    assert data.count(b"\xff\x00") > 20
    assert len(segments_of(data)[1]) == 16
    np.testing.assert_array_equal(decode_box(data, (32, 0, 64, 64)), crop(pillow(data), (32, 0, 64, 64)))


@pytest.mark.parametrize("fill", [b"\xff", b"\xff\xff\xff"])
def test_fill_bytes_may_stand_before_every_marker(fill):
    data = joined(HEADER, [segment + fill for segment in SEGMENTS])
    at = data.index(b"\xff\xdb")
    data = data[:at] + fill + data[at:]
    for box in halves(32, 48).values():
        np.testing.assert_array_equal(opencv(cut(data, box)), crop(opencv(SMALL), box))
        np.testing.assert_array_equal(decode_box(data, box), crop(opencv(SMALL), box))


def test_what_follows_the_end_is_left_away():
    box = (24, 0, 48, 32)
    np.testing.assert_array_equal(decode(SMALL + SMALL), decode(SMALL))
    assert cut(SMALL + SMALL, box) == cut(SMALL, box)

"""Files that break off or are corrupt: an error that names what is wrong, and no other."""

import contextlib
import struct

import cv2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jpeg_files import COMMENT, END, HEADER, SEGMENTS, SMALL, from_pillow, in_three_scans, joined, noise, of_kind

from albu_diffusemix.jpeg import JpegError, cut, decode, decode_box, encode
from albu_diffusemix.jpeg_segments import TABLE_AT, read_header


def calls(data):
    """Every public way to read the bytes."""
    return [lambda: decode(data), lambda: decode_box(data, (0, 0, 1, 1)), lambda: cut(data, (0, 0, 1, 1))]


@pytest.mark.parametrize(
    "data",
    [
        SMALL,
        encode(noise(17, 40, 8), sampling="4:2:0"),
        encode(noise(17, 25, 8)[..., 0]),
        from_pillow(noise(24, 24, 9)),
        from_pillow(noise(24, 24, 9), progressive=True),
        in_three_scans(noise(16, 16, 9), COMMENT),
    ],
    ids=["colour", "with a table", "grey", "subsampled", "progressive", "three scans"],
)
def test_a_file_truncated_at_any_byte_is_refused(data):
    for length in range(len(data)):
        for call in calls(data[:length]):
            with pytest.raises(JpegError, match=r"breaks off|not a JPEG"):
                call()


@pytest.mark.parametrize(
    ("segments", "said"),
    [
        (SEGMENTS[:-1], "of 8 segments, only the first 6 are in place"),
        (SEGMENTS[1:], "of 8 segments, only the first 6 are in place"),
        (SEGMENTS[:3] + SEGMENTS[4:], "of 8 segments, only the first 6 are in place"),
        ([*SEGMENTS, SEGMENTS[0]], "of 8 segments, only the first 7 are in place"),
        ([SEGMENTS[0] + b"\xff\xd5", *SEGMENTS[1:]], "of 8 segments, only the first 0 are in place"),
        ([SEGMENTS[0] + b"\xff\xdc\x00\x04\x00\x20", *SEGMENTS[1:]], "of 8 segments, only the first 0 are in place"),
    ],
    ids=["last missing", "first missing", "one missing", "one too many", "stray restart", "stray marker"],
)
def test_restart_segments_that_do_not_fit_the_header_are_refused(segments, said):
    for call in calls(joined(HEADER, segments)):
        with pytest.raises(JpegError, match=said):
            call()


@pytest.mark.parametrize("code", [0xC1, 0xC9])
def test_other_sequential_files_with_a_segment_missing_are_refused(code):
    for call in calls(of_kind(code, joined(HEADER, SEGMENTS[1:]))):
        with pytest.raises(JpegError, match="of 8 segments, only the first 6 are in place"):
            call()


def test_restart_markers_out_of_order_are_refused():
    data = joined(HEADER, SEGMENTS).replace(b"\xff\xd2", b"\xff\xd7", 1)
    for call in calls(data):
        with pytest.raises(JpegError, match="of 8 segments, only the first 2 are in place"):
            call()


@pytest.mark.parametrize(("height", "width"), [(24, 48), (40, 48), (32, 40), (32, 56), (32, 480), (65535, 65535)])
def test_a_size_in_the_header_that_does_not_fit_the_data_is_refused(height, width):
    at = SMALL.index(b"\xff\xc0") + 5
    for call in calls(SMALL[:at] + struct.pack(">HH", height, width) + SMALL[at + 4 :]):
        with pytest.raises(JpegError, match=r"of \d+ segments, only the first \d are in place"):
            call()


def frame(components, height=8, width=8, sampling=0x11):
    content = bytes([8, 0, height, 0, width, components]) + bytes([1, sampling, 0]) * components
    return b"\xff\xd8\xff\xc0" + struct.pack(">H", len(content) + 2) + content


SCAN = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not a JPEG: it begins with nothing"),
        (b"\x89PNG\r\n\x1a\n", "not a JPEG: it begins with 89 50 4e 47"),
        (b"\xff\xd8", "breaks off in its header: it ends at byte 2"),
        (b"\xff\xd8\xff\xff\xff", "breaks off in its header: it ends at byte 5"),
        (b"\xff\xd8" + END + bytes(9), "ff d9 at byte 2, where a segment should begin"),
        (b"\xff\xd8" + bytes(9), "00 00 at byte 2, where a segment should begin"),
        (b"\xff\xd8\xff\xfe\x00\x01" + END, "its segment at 2 at 5"),
        (b"\xff\xd8\xff\xfe\x10\x00" + END, "it ends at byte 8, its segment at 2 at 4100"),
        (b"\xff\xd8\xff\xc0\x00\x05\x08\x00\x08" + SCAN, "a frame header of 3 bytes"),
        (frame(1, height=0) + SCAN + END, "a frame of 0 x 8 pixels with 1 components"),
        (frame(1, width=0) + SCAN + END, "a frame of 8 x 0 pixels with 1 components"),
        (frame(0) + SCAN + END, "a frame of 8 x 8 pixels with 0 components"),
        (frame(3)[:-3].replace(b"\x00\x11", b"\x00\x0e") + SCAN, "a frame of 8 x 8 pixels with 3 components"),
        (frame(3, sampling=0x01) + SCAN + END, "sampling factors 01 01 01; allowed are 1 to 4"),
        (frame(3, sampling=0x15) + SCAN + END, "sampling factors 15 15 15; allowed are 1 to 4"),
        (b"\xff\xd8" + SCAN + END, "the scan at byte 6 has no frame before it"),
        (frame(1) + frame(1)[2:] + SCAN + END, "a second frame at byte 19"),
        (frame(1) + SCAN + b"\x00" + END, "OpenCV cannot decode this JPEG of 8 x 8 pixels"),
    ],
)
def test_the_error_names_what_is_wrong(data, said):
    with pytest.raises(JpegError, match=said):
        decode(data)


def test_what_opencv_refuses_is_an_error_of_ours(monkeypatch):
    def refuse(*_):
        raise cv2.error("too many pixels")

    monkeypatch.setattr(cv2, "imdecode", refuse)
    with pytest.raises(JpegError, match="OpenCV refuses this JPEG of 32 x 48 pixels: too many pixels"):
        decode(SMALL)


def read(data):
    for call in calls(data):
        with contextlib.suppress(JpegError):
            call()


def test_no_flipped_bit_of_the_header_brings_another_error():
    for at in range(len(HEADER)):
        for bit in range(8):
            data = bytearray(SMALL)
            data[at] ^= 1 << bit
            read(bytes(data))


@given(st.integers(0, len(HEADER)), st.integers(0, 4), st.binary(max_size=4))
@settings(deadline=None, max_examples=300)
def test_no_other_bytes_in_the_header_bring_another_error(at, removed, inserted):
    read(SMALL[:at] + inserted + SMALL[at + removed :])


@given(st.binary(max_size=80).map(lambda tail: b"\xff\xd8\xff" + tail))
@settings(deadline=None, max_examples=300)
def test_no_invented_header_brings_another_error(data):
    read(data)


def test_no_flipped_bit_of_the_table_brings_another_error():
    data = encode(noise(33, 50, 3), sampling="4:2:0")
    for at in range(TABLE_AT, TABLE_AT + read_header(data)[1]):
        for bit in range(8):
            wrong = bytearray(data)
            wrong[at] ^= 1 << bit
            read(bytes(wrong))


@given(st.integers(len(HEADER), len(SMALL) - 1), st.integers(0, 255))
@settings(deadline=None)
def test_no_other_byte_in_the_data_brings_another_error(at, byte):
    read(SMALL[:at] + bytes([byte]) + SMALL[at + 1 :])

"""Pictures, and JPEG files of many kinds, for the tests of jpeg.py."""

import io
import struct

import cv2
import numpy as np
from PIL import Image
from skimage import data as photographs

from albu_diffusemix.jpeg import encode

PHOTOGRAPHS = [photographs.astronaut(), photographs.coffee(), photographs.chelsea()]
RESTART = [b"\xff" + bytes([code]) for code in range(0xD0, 0xD8)]
END = b"\xff\xd9"
COMMENT = b"\xff\xfe\x00\x0c" + b"\xff\xd0\xff\xc0\xff\xda\xff\xdd\xff\xd9"


def noise(height, width, seed):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def gradient(height, width, seed):
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows * 2 + seed, columns * 3, rows + columns], axis=2).astype(np.uint8)


def photo(height, width, seed):
    rng = np.random.default_rng(seed)
    source = PHOTOGRAPHS[seed % 3]
    top, left = rng.integers(0, source.shape[0] - height), rng.integers(0, source.shape[1] - width)
    return source[top : top + height, left : left + width]


def flat(height, width, seed):
    return np.full((height, width, 3), seed % 256, np.uint8)


def opencv(data):
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return pixels if pixels.ndim == 2 else pixels[..., ::-1]


def pillow(data):
    return np.asarray(Image.open(io.BytesIO(data)))


def foreign(image, *options):
    """What another program writes: OpenCV with other options than ours."""
    pixels = image[..., ::-1] if image.ndim == 3 else image
    return cv2.imencode(".jpg", pixels, list(options))[1].tobytes()


def from_pillow(image, **options):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", **options)
    return file.getvalue()


def in_three_scans(image, between=b""):
    """A baseline file whose components lie one after the other: of grey files, each a component."""
    parts = [foreign(np.ascontiguousarray(image[..., channel])) for channel in range(3)]
    frame_at, scan_at = parts[0].index(b"\xff\xc0"), parts[0].index(b"\xff\xda")
    size = parts[0][frame_at + 5 : frame_at + 9]
    frame = b"\xff\xc0" + struct.pack(">HB", 17, 8) + size + bytes([3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0])
    header = parts[0][:frame_at] + frame + parts[0][frame_at + 13 : scan_at]
    scans = [b"\xff\xda\x00\x08\x01" + bytes([i + 1]) + part[scan_at + 6 : -2] for i, part in enumerate(parts)]
    return header + between.join(scans) + END


def segments_of(data):
    """Header, then the bytes of each restart segment, without the markers between them."""
    start = data.index(b"\xff\xda") + 2
    start += int.from_bytes(data[start : start + 2], "big")
    segments, at = [], start
    while not segments or data[at - 2 : at] != END:
        stop = at
        while data[stop] != 0xFF or data[stop + 1] == 0:
            stop += 1
        segments.append(data[at:stop])
        at = stop + 2
    return data[:start], segments


def joined(header, segments):
    markers = [RESTART[i % 8] for i in range(len(segments) - 1)] + [END]
    return header + b"".join(segment + marker for segment, marker in zip(segments, markers, strict=True))


SMALL = encode(noise(32, 48, 0))
HEADER, SEGMENTS = segments_of(SMALL)


def of_kind(code, data=SMALL):
    """The file under another frame code: 0xC1 reads the same data, the others are nonsense with a plausible header."""
    at = data.index(b"\xff\xc0")
    return data[: at + 1] + bytes([code]) + data[at + 2 :]

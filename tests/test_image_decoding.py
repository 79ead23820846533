"""What is read of image files whose pixels are not plain RGB of 8 bits."""

import struct

import cv2
import numpy as np
import pytest
from PIL import Image

from albu_diffusemix.image_decoding import check_color, decode_image, describe_remarks, reading
from albu_diffusemix.image_headers import declared_size
from albu_diffusemix.images import read_image

COLOR = (200, 100, 50)
ALPHA = [0, 64, 128, 255]
OVER_WHITE = [[255, 255, 255], [241, 216, 204], [227, 177, 152], [200, 100, 50]]
ENDINGS = (".avif", ".gif", ".jfif", ".jp2", ".pbm", ".pgm", ".ppm")
FORMATS = {".jfif": "JPEG"}


@pytest.fixture
def faded():
    """One color, 4x4, whose columns are ever less transparent."""
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[..., :3], pixels[..., 3] = COLOR, ALPHA
    return Image.fromarray(pixels)


def tiff(bands, bits, kind, photometric=1):
    """A TIFF of 2x2 pixels, written by hand: no library here writes all of these."""
    values = {
        256: (3, 2), 257: (3, 2), 258: (3, bits), 259: (3, 1), 262: (3, photometric),
        273: (4, 200), 277: (3, bands), 278: (3, 2), 279: (4, 4 * bands * bits // 8), 339: (3, kind),
    }  # fmt: skip
    fields = b"".join(struct.pack("<HHII", tag, code, 1, value) for tag, (code, value) in values.items())
    return (b"II*\0" + struct.pack("<IH", 8, len(values)) + fields + bytes(4)).ljust(200, b"\0") + bytes(
        4 * bands * bits
    )


def lacks(ending):
    kind = {".gif": "GIF:", ".avif": "AVIF:"}.get(ending, "PXM:")
    return kind not in cv2.getBuildInformation()


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_people_have_is_read_or_the_lacking_decoder_is_named(tmp_path, ending):
    grey = np.repeat(np.repeat(np.array([[0, 255], [255, 0]], np.uint8), 16, 0), 24, 1)
    image = Image.fromarray(grey).convert("1" if ending == ".pbm" else "L" if ending == ".pgm" else "RGB")
    image.save(tmp_path / f"a{ending}", format=FORMATS.get(ending))
    assert declared_size((tmp_path / f"a{ending}").read_bytes()) == (48, 32)
    if lacks(ending):
        with pytest.raises(ValueError, match=r"which this OpenCV \(.*\) cannot read: update OpenCV, or convert"):
            read_image(tmp_path / f"a{ending}")
        return
    read = read_image(tmp_path / f"a{ending}")
    assert np.abs(read.astype(int) - grey[..., np.newaxis]).mean() < 2


@pytest.mark.skipif(lacks(".gif"), reason="this OpenCV has no decoder for GIF")
def test_the_first_frame_of_an_animation_is_read(tmp_path):
    frames = [Image.new("RGB", (8, 6), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert np.unique(read_image(tmp_path / "a.gif").reshape(-1, 3), axis=0).tolist() == [[255, 0, 0]]


def test_a_build_without_a_decoder_is_named_as_the_reason(monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", lambda *_: None)
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "    AVIF:     NO\n    JPEG 2000:    build (ver 2.5.0)\n")
    with pytest.raises(ValueError, match=r"'a' is GIF, which this OpenCV .* cannot read"):
        decode_image(b"GIF89a" + bytes(50), "a")
    with pytest.raises(ValueError, match=r"'a' is AVIF, which this OpenCV .* cannot read"):
        decode_image(b"\0\0\0\x20ftypavif" + bytes(50), "a")
    with pytest.raises(ValueError, match="'a' is not a readable image: it is damaged"):
        decode_image(b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(50), "a")


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_a_tiff_with_unassociated_alpha_keeps_its_colors(tmp_path, faded, compression):
    faded.save(tmp_path / "a.tif", compression=compression)
    assert np.unique(read_image(tmp_path / "a.tif").reshape(-1, 3), axis=0).tolist() == [list(COLOR)]


def test_a_big_endian_tiff_with_unassociated_alpha_keeps_its_colors():
    kinds = {256: 1, 257: 1, 259: 1, 262: 2, 273: 200, 277: 4, 278: 1, 279: 4, 338: 2}
    fields = b"".join(struct.pack(">HHIHH", tag, 3, 1, value, 0) for tag, value in kinds.items() if tag < 258)
    fields += struct.pack(">HHII", 258, 3, 4, 190)
    fields += b"".join(struct.pack(">HHIHH", tag, 3, 1, value, 0) for tag, value in kinds.items() if tag > 258)
    data = (b"MM\0*" + struct.pack(">IH", 8, len(kinds) + 1) + fields).ljust(190, b"\0") + b"\0\x08" * 4
    assert decode_image(data.ljust(200, b"\0") + bytes([*COLOR, 64]), "a").tolist() == [[list(COLOR)]]


@pytest.mark.parametrize("ending", ["png", "tif", "webp"])
def test_transparent_parts_are_composed_over_the_background(tmp_path, faded, ending):
    faded.save(tmp_path / f"a.{ending}", **({"lossless": True, "exact": True} if ending == "webp" else {}))
    with reading("#ffffff") as remarks:
        assert read_image(tmp_path / f"a.{ending}")[0].tolist() == OVER_WHITE
    assert remarks == {"composed"}


def test_a_tiff_that_is_multiplied_by_its_alpha_is_composed_without_doing_it_again(tmp_path, faded):
    faded.save(tmp_path / "a.tif")
    data = bytearray((tmp_path / "a.tif").read_bytes())
    place = data.index(struct.pack("<HHI", 338, 3, 1)) + 8
    data[place : place + 2] = b"\1\0"
    with reading("#000000"):
        assert decode_image(bytes(data), "a")[0].tolist() == [list(COLOR)] * 4
    with reading("#0a0a0a"):
        assert decode_image(bytes(data), "a")[0, 0].tolist() == [210, 110, 60]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_alpha_is_turned_as_the_image_is(tmp_path, rng, orientation):
    pixels = rng.integers(0, 256, (5, 7, 4), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    for name, options in (("a.png", {}), ("a.webp", {"lossless": True, "exact": True})):
        Image.fromarray(pixels).save(tmp_path / name, exif=exif, **options)
        with reading("#ff0000"):
            read = read_image(tmp_path / name)
        color, alpha = pixels[..., :3].astype(int), pixels[..., 3:].astype(int)
        composed = ((color * alpha + np.array([255, 0, 0]) * (255 - alpha) + 127) // 255).astype(np.uint8)
        Image.fromarray(composed).save(tmp_path / f"composed{name[1:]}", exif=exif, **options)
        assert np.array_equal(read, read_image(tmp_path / f"composed{name[1:]}"))


def test_transparency_is_remarked_only_where_something_is_hidden(tmp_path, faded):
    faded.save(tmp_path / "a.png")
    faded.putalpha(255)
    faded.save(tmp_path / "opaque.png")
    Image.new("P", (4, 4)).save(tmp_path / "palette.png", transparency=0)
    remarked = {}
    for name in ("a", "opaque", "palette"):
        with reading() as remarks:
            read_image(tmp_path / f"{name}.png")
        remarked[name] = remarks
    assert remarked == {"a": {"transparent"}, "opaque": set(), "palette": {"transparent"}}


@pytest.mark.parametrize(("largest", "remarked"), [(0, False), (200, True), (4095, True), (4096, False)])
@pytest.mark.parametrize("ending", [".png", ".tif", ".pgm", ".jp2"])
def test_twelve_bits_in_sixteen_are_remarked(tmp_path, ending, largest, remarked):
    cv2.imwrite(str(tmp_path / f"a{ending}"), np.full((40, 40), largest, np.uint16))
    with reading() as remarks:
        read_image(tmp_path / f"a{ending}")
    assert remarks == ({"dark"} if remarked else set())


def test_twelve_bits_are_remarked_beside_an_alpha_of_sixteen(tmp_path):
    pixels = np.full((40, 40, 4), 4000, np.uint16)
    pixels[..., 3] = 65535
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    with reading() as remarks:
        read_image(tmp_path / "a.png")
    assert remarks == {"dark"}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (tiff(1, 32, 3), "is a TIFF of floats with 32 bits: scale it to 0 to 255"),
        (tiff(1, 32, 1), "is a TIFF of whole numbers with 32 bits"),
        (tiff(5, 8, 1), "is a TIFF of 5 bands: save the three"),
        (tiff(4, 16, 1), "is a TIFF of 4 bands: save the three"),
        (tiff(6, 8, 1, photometric=2), "is a TIFF of 6 bands"),
    ],
)
def test_a_tiff_that_is_no_picture_of_8_or_16_bits_is_named_as_such(data, reason):
    with pytest.raises(ValueError, match=f"'a.tif' {reason}"):
        decode_image(data, "a.tif")


def test_remarks_are_one_line_each_with_their_count():
    lines = describe_remarks({"dark": 1, "composed": 2000}, "#ffffff")
    assert [line.split(",")[0:2] for line in lines] == [
        ["2", "000 images with transparent parts"],
        ["1 image with 16 bits a value", " of which at most 12 are used: read with 8 bits"],
    ]
    assert "#ffffff" in lines[0]


@pytest.mark.parametrize("color", ["white", "#fff", "#FFFFFF", "#gggggg", "", None])
def test_a_color_is_written_in_one_way(color):
    with pytest.raises(ValueError, match="write it like #ffffff"):
        check_color(color)
    if color is not None:
        with pytest.raises(ValueError, match="write it like #ffffff"), reading(color):
            pass

import cv2
import numpy as np
import pytest
from PIL import Image

from albu_diffusemix.images import find_images, read_image, write_image


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff", ".webp", ".jpg"])
def test_what_is_written_is_read_again(tmp_path, photograph, suffix):
    path = tmp_path / "new" / f"ünïcode{suffix}"
    write_image(path, photograph)
    assert np.abs(read_image(path).astype(int) - photograph).mean() < 6
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_images_are_found_below_a_folder_in_order_and_hidden_ones_are_not(tmp_path):
    for name in ("b/2.PNG", "a/1.jpg", "a/notes.txt", ".cache/3.jpg", "c/.4.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a/folder.jpg").mkdir()
    assert [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path)] == ["a/1.jpg", "b/2.PNG"]


def test_a_photograph_is_turned_upright_where_exif_says_so(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((20, 10, 3), np.uint8)).save(tmp_path / "turned.jpg", exif=exif)
    assert read_image(tmp_path / "turned.jpg").shape == (10, 20, 3)


def test_transparency_and_grey_are_read_as_rgb(tmp_path):
    cv2.imwrite(str(tmp_path / "rgba.png"), np.full((3, 4, 4), 9, np.uint8))
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((3, 4), 9, np.uint8))
    assert read_image(tmp_path / "rgba.png").shape == read_image(tmp_path / "grey.png").shape == (3, 4, 3)


@pytest.mark.parametrize("content", [b"", b"not an image"])
def test_a_broken_file_is_named(tmp_path, content):
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.png' is not a readable image"):
        read_image(path)


def test_an_ending_that_names_no_format_is_refused_with_those_that_do(tmp_path, photograph):
    with pytest.raises(ValueError, match=r"sheet\.gif' must end in one of \.bmp, "):
        write_image(tmp_path / "sheet.gif", photograph)

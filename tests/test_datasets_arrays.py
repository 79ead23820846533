"""Arrays of NumPy as a data set."""

from pathlib import Path

import albumentations as A
import numpy as np
import pytest
from dataset_files import (
    IMAGES,
    STACK,
    save_npz,
)
from sklearn.datasets import load_digits

from albu_diffusemix import DiffuseMix
from albu_diffusemix.cli import main
from albu_diffusemix.datasets import arrays, find_sources

WRONG_ARRAYS = {
    "other name": (
        {"x": STACK},
        "'a.npz' does not show where it has them: name the column of the images as --image-column",
    ),
    "channels first": ({"images": STACK.transpose(0, 3, 1, 2)}, "images.transpose(0, 2, 3, 1) moves the channels"),
    "float": ({"images": STACK / 255}, "dtype float64: give (N, H, W), (N, H, W, 1) or (N, H, W, 3) of uint8"),
    "one image": (
        {"images": IMAGES[0][..., 0]},
        "'images' of 'a.npz' has shape (32, 48) and dtype uint8: give (N, H, W)",
    ),
    "no images": ({"images": STACK[:0]}, "has shape (0, 32, 48, 3): it holds no images"),
    "too few labels": ({"images": STACK, "labels": np.arange(5)}, "has 6 images, and labels of shape (5,)"),
    "objects": (
        {"images": np.array([{}], object)},
        "'a.npz' cannot be read as arrays of NumPy: Object arrays cannot be loaded",
    ),
    "labels only": ({"labels": np.arange(6)}, "its columns are 'labels'"),
}


@pytest.mark.parametrize("what", WRONG_ARRAYS)
def test_wrong_arrays_are_refused_in_one_line(data_folder, refused, what):
    arrays, message = WRONG_ARRAYS[what]
    refused(message, save_npz(data_folder, **arrays))


def test_an_array_that_is_not_there_is_refused_with_those_that_are(data_folder, refused):
    data = save_npz(data_folder, images=STACK, labels=np.arange(6))
    refused(
        "has no column 'x': its columns are 'images', 'labels'; give one of them as --image-column",
        data,
        "--image-column",
        "x",
    )
    refused(
        "has no column 'y': its columns are 'images', 'labels'; give one of them as --label-column",
        data,
        "--label-column",
        "y",
    )


def test_damaged_array_files_are_refused_by_name(data_folder, refused):
    whole = Path(save_npz(data_folder, images=STACK)).read_bytes()
    (data_folder / "a.npz").write_bytes(whole[: len(whole) // 2])
    refused("'a.npz' cannot be read as arrays of NumPy", "a.npz")
    np.save(data_folder / "b.npy", STACK)
    (data_folder / "b.npy").write_bytes((data_folder / "b.npy").read_bytes()[:-100])
    refused("'b.npy' cannot be read as arrays of NumPy", "b.npy")


def test_labels_that_are_named_and_not_there_are_refused(data_folder, refused):
    np.save(data_folder / "a.npy", STACK)
    refused("there are no labels 'y.npy' beside 'a.npy'", "a.npy", "--label-column", "y")


@pytest.mark.parametrize("shape", [(6, 32, 48), (6, 32, 48, 1)])
def test_gray_arrays_become_rgb(data_folder, data_store, shape):
    np.save(data_folder / "a.npy", STACK[..., 0].reshape(shape))
    [first, *_] = find_sources("a.npy", data_store)
    np.testing.assert_array_equal(first.read(), np.repeat(STACK[0, ..., :1], 3, axis=2))


def test_a_file_of_one_array_is_mapped_and_no_image_is_held_in_memory(data_folder, data_store):
    np.save(data_folder / "a.npy", STACK)
    assert isinstance(arrays._open_images("a.npy", ""), np.memmap)
    [first, *_] = find_sources("a.npy", data_store)
    assert first.read().base is None


def test_of_digits_the_doctor_says_100_percent_only_while_all_have_counterparts(data_folder, data_store, capsys):
    digits = np.rint(load_digits().images[::20] * 255 / 16).astype(np.uint8)
    np.save(data_folder / "digits.npy", digits)
    assert main(["generate", "digits.npy", "-o", str(data_store)]) == 0
    assert main(["doctor", "digits.npy", str(data_store)]) == 0
    assert "has a counterpart for 90 of 90 images (100.0 %)" in capsys.readouterr().out
    train = A.Compose([DiffuseMix(backend={"name": "precomputed", "store": str(data_store)}, p=1)])
    for row, digit in enumerate(digits):
        assert not np.array_equal(train(image=digit, diffusemix_metadata={"key": f"{row:06d}"})["image"], digit)
        assert not np.array_equal(train(image=digit)["image"], digit)
    digits[7, 0, 0] += 1
    np.save(data_folder / "digits.npy", digits)
    assert main(["doctor", "digits.npy", str(data_store)]) == 1
    assert "has a counterpart for 89 of 90 images (98.8 %)" in capsys.readouterr().out

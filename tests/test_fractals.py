import multiprocessing
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from albu_diffusemix.fractals import FractalLibrary, shared_library


def test_the_built_in_library_has_a_hundred_images():
    library = FractalLibrary()
    assert len(library) == 100
    assert library.get(99, 512, 512).shape == (512, 512, 3)
    assert library.name(0).endswith(".jpg")


def test_an_installation_without_its_fractals_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("albu_diffusemix.fractals.resources.files", lambda _: tmp_path)
    with pytest.raises(ValueError, match=r"built-in fractals are missing from .*install albu-diffusemix again"):
        FractalLibrary()


def test_a_fractal_is_resized_to_the_image(fractals):
    library = FractalLibrary(fractals)
    assert len(library) == 3
    for height, width in [(1, 1), (7, 300), (40, 30)]:
        assert library.get(2, height, width).shape == (height, width, 3)


def test_a_folders_colours_are_rgb(tmp_path):
    cv2.imwrite(str(tmp_path / "red.png"), np.full((4, 4, 3), (0, 0, 255), np.uint8))
    assert FractalLibrary(str(tmp_path)).get(0, 4, 4)[0, 0].tolist() == [255, 0, 0]


def test_what_is_remembered_cannot_be_written_to(fractals):
    for size in ((40, 30), (10, 10)):
        with pytest.raises(ValueError, match="read-only"):
            FractalLibrary(fractals).get(0, *size)[0, 0] = 0


def test_a_size_that_comes_again_is_resized_no_more(fractals):
    library = FractalLibrary(fractals)
    library.get(0, 10, 10)
    assert library.get(0, 10, 10) is library.get(0, 10, 10)


def test_what_is_not_remembered_is_resized_to_where_it_is_wanted(fractals):
    library, out = FractalLibrary(fractals), np.empty((50, 60, 3), np.uint8)
    for _ in range(3):
        assert library.get(0, 50, 60, out=out) is out
    assert np.array_equal(out, library.get(0, 50, 60))


def test_an_array_to_write_to_is_never_remembered(fractals):
    library, out = FractalLibrary(fractals), np.empty((10, 10, 3), np.uint8)
    assert library.get(0, 10, 10, out=out) is out
    for _ in range(2):
        assert not np.shares_memory(library.get(0, 10, 10, out=out), out)


@pytest.mark.parametrize("out", [np.zeros((10, 10), np.uint8), np.zeros((10, 10, 3), np.float32)])
def test_an_array_of_another_format_is_left_alone(fractals, out):
    assert FractalLibrary(fractals).get(0, 10, 10, out=out).shape == (10, 10, 3)
    assert not out.any()


@pytest.mark.parametrize("sizes", [[(20, side) for side in range(1, 31)], [(200, 200)] * 30])
def test_sizes_that_come_once_and_large_ones_leave_the_decoded_images_in_memory(fractals, sizes):
    library = FractalLibrary(fractals, memory_bound=3 * 40 * 30 * 3)
    decoded = library.get(0, 40, 30)
    for size in sizes:
        library.get(1, *size)
    assert library.get(0, 40, 30) is decoded


def test_memory_stays_within_its_bound_and_the_oldest_is_forgotten(fractals):
    bound = 2 * 40 * 30 * 3
    library = FractalLibrary(fractals, memory_bound=bound)
    first = library.get(0, 40, 30)
    for index in (1, 2):
        assert library.get(index, 40, 30) is library.get(index, 40, 30)
    again = library.get(0, 40, 30)
    assert again is not first
    assert np.array_equal(again, first)
    assert library._memory._held <= bound


def test_an_image_larger_than_the_bound_is_not_remembered(fractals):
    library = FractalLibrary(fractals, memory_bound=0)
    assert library.get(0, 20, 20).shape == (20, 20, 3)
    assert library._memory._held == 0


@pytest.mark.parametrize("index", [-1, 3])
def test_a_number_out_of_range_is_refused(fractals, index):
    with pytest.raises(ValueError, match=rf"fractal_index must lie in \[0, 3\).*got {index}"):
        FractalLibrary(fractals).get(index, 8, 8)


def test_a_file_that_is_not_an_image_is_named_when_it_is_asked_for(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"broken\.png' is not a readable image"):
        FractalLibrary(str(tmp_path)).get(0, 8, 8)


def test_many_threads_get_the_same_pictures(fractals):
    library, truth = FractalLibrary(fractals, memory_bound=20_000), FractalLibrary(fractals)
    calls = [(index % 3, 5 + index % 11, 7 + index % 13) for index in range(300)]
    with ThreadPoolExecutor(4) as pool:
        pictures = list(pool.map(lambda call: library.get(*call), calls))
    assert all(np.array_equal(picture, truth.get(*call)) for picture, call in zip(pictures, calls, strict=True))


def _checksum(source):
    return int(shared_library(source).get(1, 33, 44).sum())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_get_the_same_pictures(fractals, method):
    expected = _checksum(fractals)
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(_checksum, [fractals] * 4) == [expected] * 4


def test_a_process_has_one_library_for_a_source(fractals):
    assert shared_library(fractals) is shared_library(fractals)

import multiprocessing
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from albu_diffusemix import fractals as fractals_module
from albu_diffusemix.fractals import FractalLibrary, shared_library
from albu_diffusemix.images import read_image


@pytest.fixture(scope="module")
def folder_of_fractals(tmp_path_factory):
    folder, draw = tmp_path_factory.mktemp("fractals"), np.random.default_rng(137)
    for name in "ab":
        cv2.imwrite(str(folder / f"{name}.png"), draw.integers(0, 256, (40, 30, 3), dtype=np.uint8))
    return str(folder)


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


def decodes(monkeypatch):
    """Count the images that are read from now on."""
    paths = []
    monkeypatch.setattr(fractals_module, "read_image", lambda path: paths.append(path) or read_image(path))
    return paths


def held(library):
    return library._memory._held


def in_one_step(image, height, width):
    """What a fractal at a size is: halved while that is possible, then interpolated."""
    while image.shape[0] >= 2 * height and image.shape[1] >= 2 * width:
        image = cv2.resize(image, (image.shape[1] // 2, image.shape[0] // 2), interpolation=cv2.INTER_AREA)
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)


@given(
    st.lists(st.tuples(st.integers(1, 45), st.integers(1, 45)), min_size=1, max_size=12), st.sampled_from([4000, 10**6])
)
def test_what_is_remembered_of_other_sizes_never_changes_a_pixel(folder_of_fractals, sizes, bound):
    library = FractalLibrary(folder_of_fractals, memory_bound=bound)
    whole = FractalLibrary(folder_of_fractals).get(1, 40, 30)
    for height, width in [*sizes, *sizes]:
        assert np.array_equal(library.get(1, height, width), in_one_step(whole, height, width))


def test_where_all_images_have_one_size_the_fractals_are_held_at_that_size_alone(fractals):
    library = FractalLibrary(fractals)
    for _ in range(2):
        for index in range(3):
            library.get(index, 35, 25)
    assert held(library) == 3 * 35 * 25 * 3


def test_where_all_images_are_small_the_fractals_are_held_halved(fractals):
    library = FractalLibrary(fractals)
    for side in range(1, 11):
        library.get(0, side + 10, side)
    assert held(library) == 20 * 15 * 3


def test_a_fractal_that_was_held_halved_is_read_again_for_a_larger_image(fractals, monkeypatch):
    library, read = FractalLibrary(fractals), decodes(monkeypatch)
    for size in ((10, 10), (30, 30), (11, 11), (31, 31)):
        library.get(0, *size)
    assert len(read) == 2
    assert held(library) == 40 * 30 * 3


ONCE = [(20, side) for side in range(1, 31)]


@pytest.mark.parametrize(
    "sizes",
    [ONCE, [(200, 200), (20, 20)] * 15, [size for once in ONCE for size in (once, (25, 25))]],
    ids=["none twice", "large ones", "one that comes again among others"],
)
def test_fractals_are_read_no_more_where_sizes_vary(fractals, monkeypatch, sizes):
    library, read = FractalLibrary(fractals, memory_bound=3 * 40 * 30 * 3), decodes(monkeypatch)
    for turn in range(2):
        read.clear()
        for number, size in enumerate([(40, 30), *sizes]):
            library.get(number % 3, *size)
        assert not (turn and read)


def test_memory_stays_within_its_bound_and_the_oldest_is_forgotten(fractals):
    bound = 2 * 40 * 30 * 3
    library = FractalLibrary(fractals, memory_bound=bound)
    first = library.get(0, 40, 30)
    for index in (1, 2):
        assert library.get(index, 40, 30) is library.get(index, 40, 30)
    again = library.get(0, 40, 30)
    assert again is not first
    assert np.array_equal(again, first)
    assert held(library) <= bound


def test_an_image_larger_than_the_bound_is_not_remembered(fractals):
    library = FractalLibrary(fractals, memory_bound=0)
    assert library.get(0, 20, 20).shape == (20, 20, 3)
    assert held(library) == 0


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


def _read_whole(source):
    return int(shared_library(source).get(1, 40, 30).sum())


def test_what_one_forked_process_has_read_is_read_no_more_by_the_others(folder_of_fractals, monkeypatch):
    expected = FractalLibrary(folder_of_fractals).get(1, 40, 30)
    before_fork = shared_library(folder_of_fractals)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.map(_read_whole, [folder_of_fractals]) == [int(expected.sum())]
    read = decodes(monkeypatch)
    assert np.array_equal(before_fork.get(1, 40, 30), expected)
    assert not read


def test_a_forked_process_remembers_what_the_process_before_it_did(fractals, monkeypatch):
    library = FractalLibrary(fractals)
    for _ in range(2):
        library.get(0, 10, 10)
    read = decodes(monkeypatch)
    assert library.in_forked_process().get(0, 10, 10) is library.get(0, 10, 10)
    assert not read


@pytest.mark.parametrize("place", ["_pixels", "_heads"])
def test_what_another_process_has_only_begun_to_write_is_read_from_its_file(fractals, monkeypatch, place):
    library = FractalLibrary(fractals, memory_bound=0)
    expected = library.get(0, 40, 30).copy()
    getattr(library._forked, place)[0, 0] ^= 1
    read = decodes(monkeypatch)
    assert np.array_equal(library.in_forked_process().get(0, 40, 30), expected)
    assert read


@pytest.mark.parametrize(("bound", "largest"), [(80 * 2**20, 40 * 30 * 3 - 1), (40 * 30 * 3, 40 * 30 * 3)])
def test_more_or_larger_fractals_than_processes_share_are_the_same_pictures(fractals, monkeypatch, bound, largest):
    monkeypatch.setattr(fractals_module, "MEMORY_BOUND", bound)
    monkeypatch.setattr(fractals_module, "LARGEST_SHARED", largest)
    library = FractalLibrary(fractals)
    for index in range(len(library)):
        assert np.array_equal(library.get(index, 40, 30), read_image(library._paths[index]))


def test_a_process_has_one_library_for_a_source(fractals):
    assert shared_library(fractals) is shared_library(fractals)

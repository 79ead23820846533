"""Keys, names, hashes and seeds are the same on every machine, and odd ones are refused in one line."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from albu_diffusemix.keys import check_name, derive_seed, hash_key, hash_pixels, normalise_key
from albu_diffusemix.store import Source


@pytest.mark.parametrize(
    "key", ["001.jpg", "class/001.jpg", "a b/c'd.JPEG", "..a/b..", "__a/b__.jpg", "日本/犬.png", "a:b"]
)
def test_a_plain_relative_path_is_its_own_key(key):
    assert normalise_key(key) == key


def test_composed_and_decomposed_names_are_one_key():
    composed = "caf\u00e9/\u1e69.jpg"
    decomposed = unicodedata.normalize("NFD", composed)
    assert decomposed != composed
    assert normalise_key(decomposed) == normalise_key(composed) == composed


@given(st.text())
def test_a_normalised_key_stays_as_it_is(text):
    try:
        key = normalise_key(text)
    except ValueError:
        return
    assert normalise_key(key) == key
    assert key.encode().decode() == key


@pytest.mark.parametrize(
    ("key", "complaint"),
    [
        ("", "is empty"),
        ("/data/001.jpg", "is absolute"),
        ("C:/data/001.jpg", "is absolute"),
        ("class\\001.jpg", "has a backslash"),
        ("class/0\n1.jpg", "has a control character"),
        ("class/0\x851.jpg", "has a control character"),
        ("class/\udcff.jpg", "bytes that are not UTF-8"),
        ("../001.jpg", r"'\.\.' component"),
        ("class/..", r"'\.\.' component"),
        ("class/./001.jpg", "component"),
        ("class//001.jpg", "component"),
        ("class/", "component"),
        ("__MACOSX__/001.jpg", "readers of WebDataset skip"),
        ("\u00e9" * 2001, "longer than 4000 bytes"),
    ],
)
def test_a_key_that_is_not_a_path_below_the_root_is_refused_in_one_line(key, complaint):
    with pytest.raises(ValueError, match=complaint) as caught:
        normalise_key(key)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


def test_a_key_of_another_type_is_refused():
    with pytest.raises(ValueError, match="key 7 is a int: give a str"):
        normalise_key(7)


@pytest.mark.parametrize("name", ["", "a.b", ".a", "-a", "_a", "a/b", "a b", "\u00e9", "a\n", "a" * 65, None])
def test_a_variant_that_would_end_a_sample_key_or_leave_its_folder_is_refused(name):
    with pytest.raises(ValueError, match=r"variant .*: give 1 to 64 of"):
        check_name(name, "variant")


@pytest.mark.parametrize("name", ["0", "0000", "snowy-0", "A_b-9", "a" * 64])
def test_letters_digits_hyphens_and_underscores_name_a_variant(name):
    assert check_name(name, "variant") == name


def test_hashes_are_those_that_other_stores_hold():
    assert hash_key("class/001.jpg").hex() == "e1c92b8fb1fb429832276e80177fe4aa"


def test_the_pixel_hash_tells_shape_from_bytes():
    image = np.zeros((4, 6, 3), np.uint8)
    hashes = {hash_pixels(image), hash_pixels(image.reshape(6, 4, 3)), hash_pixels(image.reshape(4, 6, 3, 1))}
    assert len(hashes) == 3


def test_the_pixel_hash_tells_the_dtype():
    image = np.zeros((4, 6, 3), np.uint8)
    assert hash_pixels(image) != hash_pixels(image.view(np.int8))


def test_the_pixel_hash_of_a_view_is_that_of_its_copy():
    image = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    assert hash_pixels(image[:, ::-1]) == hash_pixels(image[:, ::-1].copy()) != hash_pixels(image)


def test_a_source_is_height_width_and_pixels():
    image = np.ones((4, 6, 3), np.uint8)
    assert Source.of(image) == (4, 6, hash_pixels(image))


def test_seeds_differ_in_every_one_of_their_arguments():
    plain = (0, "class/001.jpg", "snowy", "0000", 0)
    others = [(1, *plain[1:]), ("0", "x", *plain[2:]), (*plain[:2], "sunset", *plain[3:]), (*plain[:3], "0001", 0)]
    seeds = {derive_seed(*arguments) for arguments in [plain, *others, (*plain[:4], 1)]}
    assert len(seeds) == 6


def test_a_seed_does_not_run_its_arguments_together():
    assert derive_seed(0, "a", "b c", "d") != derive_seed(0, "a b", "c", "d")


@given(st.integers(), st.text(), st.text())
def test_seeds_have_32_bits(base_seed, key, prompt):
    assert 0 <= derive_seed(base_seed, key, prompt, "0000") < 2**32


def test_seeds_are_those_of_earlier_runs():
    assert derive_seed(0, "class/001.jpg", "snowy", "0000") == 2960574561

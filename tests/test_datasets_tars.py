"""Tars of WebDataset as a data set."""

import subprocess

import pytest
from dataset_files import PNG, write_tar

from albu_diffusemix.datasets.opened import expand_braces

PLACE_OF_B = 512 + -(-len(PNG) // 512) * 512


WRONG_TARS = {
    "inside of an image": (PLACE_OF_B - 300, "'a.tar' breaks off"),
    "inside of a header": (PLACE_OF_B + 100, "'a.tar' breaks off after"),
    "between two members": (PLACE_OF_B, "'a.tar' breaks off after"),
    "at the start": (100, "'a.tar' is not a plain tar"),
}


@pytest.mark.parametrize("where", WRONG_TARS)
def test_a_tar_that_breaks_off_is_refused_by_name(data_folder, refused, where):
    keep, message = WRONG_TARS[where]
    refused(message, write_tar(data_folder / "a.tar", {"a.png": PNG, "b.png": PNG}, keep))


def test_a_tar_whose_middle_is_damaged_is_refused(data_folder, refused):
    data = bytearray((data_folder / write_tar(data_folder / "a.tar", {"a.png": PNG, "b.png": PNG})).read_bytes())
    data[PLACE_OF_B : PLACE_OF_B + 100] = b"x" * 100
    (data_folder / "a.tar").write_bytes(data)
    refused("'a.tar' breaks off after", "a.tar")


WRONG_SAMPLES = {
    "no image": (
        {"a.txt": b"x", "a.json": b"{}"},
        "sample 'a' of 'a.tar' has no image; its members end in 'txt', 'json'",
    ),
    "two images": ({"a.png": PNG, "a.mask.png": PNG}, "sample 'a' of 'a.tar' has several images; its members end in"),
    "label": ({"a.png": PNG, "a.json": b"{"}, "the label of sample 'a' of 'a.tar' cannot be read: "),
    "key": ({"a b/../c.png": PNG}, "key 'a b/../c' has an empty, '.' or '..' component"),
    "nothing": ({".hidden.png": PNG}, "'a.tar' holds no samples"),
}


@pytest.mark.parametrize("what", WRONG_SAMPLES)
def test_a_wrong_sample_of_a_tar_is_refused_in_one_line(data_folder, refused, what):
    samples, message = WRONG_SAMPLES[what]
    refused(message, write_tar(data_folder / "a.tar", samples))


def test_a_label_that_samples_do_not_have_is_refused_with_what_they_have(data_folder, refused):
    data = write_tar(data_folder / "a.tar", {"a.png": PNG, "a.cls": b"1"})
    refused(
        "there is no 'txt', nor in a .json: give another --label-column; its members end in 'png', 'cls'",
        data,
        "--label-column",
        "txt",
    )


def test_two_tars_with_one_key_are_both_named(data_folder, refused):
    for name in "ab":
        write_tar(data_folder / f"{name}.tar", {"x.png": PNG})
    refused("two sources have the key 'x': 'a.tar' at 512 and 'b.tar' at 512", "{a,b}.tar")


def test_a_tar_of_a_pattern_that_is_not_there_is_named(data_folder, refused):
    write_tar(data_folder / "a-0.tar", {"x.png": PNG})
    refused("there is no 'a-1.tar'", "a-{0..1}.tar")


@pytest.mark.parametrize("pattern", ["a-{2..1}.tar", "a-{0..100000}.tar"])
def test_a_range_that_is_not_one_is_refused(refused, pattern):
    refused("is not a range: give up to 100,000 numbers, upwards", pattern)


def test_braces_are_expanded_as_a_shell_does():
    command = "echo x-{a,b,}{08..11}-{1..2}.tar"
    printed = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True).stdout  # noqa: S607
    assert expand_braces(command.removeprefix("echo ")) == printed.split()

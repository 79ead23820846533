"""Data sets of Python."""

import sys

import pytest
from dataset_files import (
    write_module,
)
from job_files import failures, generate

from albu_diffusemix.cli import main
from albu_diffusemix.datasets import Box, find_sources

WRONG_OBJECTS = {
    "two items with one key": ("data = [{'image': images[0], 'key': 'a'}] * 2", "two sources have the key 'a'"),
    "no length": ("class data:\n    def __iter__(self): return iter(images)", "can only be iterated: give it __len__"),
    "targets": (
        "class data(list):\n    targets = [1]\n    def __init__(self): self.extend(images)",
        "has 1 targets for 6",
    ),
    "key": ("data = [{'image': images[0], 'key': '../a'}]", "key '../a' has an empty, '.' or '..' component"),
}


@pytest.mark.parametrize("what", WRONG_OBJECTS)
def test_wrong_data_sets_of_python_are_refused_in_one_line(data_folder, refused, what):
    code, message = WRONG_OBJECTS[what]
    write_module(data_folder, code)
    refused(message, "flower_data:data")


def test_an_item_without_an_image_is_a_failure_that_names_it(data_folder, data_store):
    write_module(data_folder, "data = [images[0], None]")
    assert generate("flower_data:data", data_store) == 1
    assert "item 1 of flower_data:data is not an image" in failures(data_store)["000001", "0000"]


def test_the_mappings_of_a_list_can_have_prompts_a_mask_and_boxes(data_folder, data_store):
    own = "'prompts': 'dusk', 'mask': 'm.png', 'boxes': [(0, 0, 1, 0.5, 'cat')]"
    write_module(data_folder, f"data = [{{'image': images[0], {own}}}, {{'image': images[1], 'mask': images[0]}}]")
    first, other = find_sources("flower_data:data", data_store)
    assert (first.prompts, first.mask, first.boxes) == (("dusk",), "m.png", (Box(0, 0, 1, 0.5, "cat"),))
    assert (other.prompts, other.mask, other.boxes) == ((), None, None)


def test_only_the_items_that_are_shown_are_read(data_folder):
    methods = (
        "    def __len__(self): return 100\n    def __getitem__(self, number): read.append(number); return images[0]"
    )
    write_module(data_folder, f"read = []\nclass Data:\n{methods}\ndata = Data()")
    assert main(["preview", "flower_data:data", "-o", "sheet.png", "--rows", "2"]) == 0
    assert sys.modules["flower_data"].read == [0, 50]

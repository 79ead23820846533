"""Manifests and tables of names."""

import json

import pytest
from dataset_files import (
    IMAGES,
)

from albu_diffusemix.datasets import Box, Columns, SourceFile, find_sources
from albu_diffusemix.images import write_image

KAGGLE = ["--images", "pictures", "--key-column", "id", "--label-column", "label"]


WRONG_ID_TABLES = {
    "key column": (
        "image,label\na,x",
        "'t.csv' has no column 'id': its columns are 'image', 'label'; give one of them as",
    ),
    "label column": (
        "id\na",
        "'t.csv' has no column 'label': its columns are 'id'; give one of them as --label-column",
    ),
    "no file": ("id,label\na,x\nb,x\nq,x", "1 of 3 names in 't.csv' have no image in 'pictures', such as 'q': check"),
    "two files": ("id,label\nc,x", "'t.csv' line 2: 'c' can be 'c.bmp' or 'c.png'"),
    "twice": ("id,label\na,x\na,y", "'t.csv' line 3 names 'a', as a line before does: keep one line for each image"),
    "no name": ("id,label\n,x", "'t.csv' line 2 has no name in column 'id': fill it"),
    "no lines": ("id,label\n", "'t.csv' lists no images"),
    "quotes": ('id,label\n"a,x', "'t.csv' is not valid CSV"),
}


@pytest.fixture
def pictures(data_folder):
    for name in ("a.png", "b.png", "c.bmp", "c.png", "d/e.png"):
        write_image(data_folder / "pictures" / name, IMAGES[0])
    return data_folder / "pictures"


@pytest.mark.usefixtures("pictures")
@pytest.mark.parametrize("what", WRONG_ID_TABLES)
def test_a_wrong_table_of_names_is_refused_in_one_line(data_folder, refused, what):
    text, message = WRONG_ID_TABLES[what]
    (data_folder / "t.csv").write_text(text)
    refused(message, "t.csv", *KAGGLE)


@pytest.mark.usefixtures("pictures")
def test_a_table_may_name_files_with_their_endings_and_in_folders(data_folder, data_store):
    (data_folder / "t.csv").write_text("id, label\nc.png, x\na, \nd/e, y\n")
    found = find_sources("t.csv", data_store, Columns("pictures", key="id", label="label"))
    expected = [("a", "pictures/a.png", None), ("c.png", "pictures/c.png", "x"), ("d/e", "pictures/d/e.png", "y")]
    assert [(source.key, source.path, source.label) for source in found] == expected


def test_a_table_beside_a_folder_that_is_not_there_is_refused(data_folder, refused):
    (data_folder / "t.csv").write_text("id,label\na,x")
    refused("'pictures' is not a folder: give the one with the images as --images", "t.csv", *KAGGLE)
    refused("--images is not for the folder '.'", ".", "--images", "pictures")


LINE = {"path": "a.png", "key": "a"}


def write_lines(data_folder, *lines):
    (data_folder / "list.jsonl").write_text("\n".join(json.dumps({**LINE, **line}) for line in lines))
    return "list.jsonl"


def test_a_manifest_can_have_prompts_a_mask_and_boxes(data_folder, data_store):
    given = {"prompts": ["dusk", "fog"], "mask": "masks/a.png", "boxes": [[0, 0.25, 1, 0.5, "cat"]]}
    data = write_lines(data_folder, given, {"key": "b", "prompts": "dusk"}, {"key": "c", "boxes": []})
    full, text, empty = find_sources(data, data_store)
    assert (full.prompts, full.mask, full.boxes) == (("dusk", "fog"), "masks/a.png", (Box(0, 0.25, 1, 0.5, "cat"),))
    assert (text.prompts, text.mask, text.boxes) == (("dusk",), None, None)
    assert (empty.prompts, empty.boxes) == ((), ())
    assert SourceFile.from_json(json.loads(json.dumps(full))) == full
    assert full.absolute().mask == str(data_folder / "masks/a.png")


def test_a_csv_manifest_has_one_prompt_and_a_mask_for_an_image(data_folder, data_store):
    (data_folder / "list.csv").write_text('path,key,prompts,mask\na.png,a,"a cat, in fog",m.png\nb.png,b,,\n')
    full, empty = find_sources("list.csv", data_store)
    assert (full.prompts, full.mask) == (("a cat, in fog",), "m.png")
    assert (empty.prompts, empty.mask) == ((), None)


WRONG_EXTRAS = {
    "prompts": ({"prompts": [1]}, "'list.jsonl' line 1: prompts [1] is neither text nor a list of texts"),
    "empty prompt": ({"prompts": [" "]}, "prompts [' '] is neither text nor a list of texts"),
    "mask": ({"mask": 1}, "'list.jsonl' line 1: mask 1 is not the path of a file"),
    "mask outside": ({"mask": "../m.png"}, "mask '../m.png' leaves the manifest's folder"),
    "boxes": (
        {"boxes": "all"},
        "'list.jsonl' line 1: boxes 'all' is not a list of [x_min, y_min, x_max, y_max, label]",
    ),
    "pixels": (
        {"boxes": [[0, 0, 64, 48, "cat"]]},
        "from 0 to 1, each minimum below its maximum, and a label of text: divide pixels by width and height",
    ),
    "four numbers": ({"boxes": [[0, 0, 1, 1]]}, "box [0, 0, 1, 1] is not [x_min, y_min, x_max, y_max, label]"),
    "corners": ({"boxes": [[0.5, 0, 0.1, 1, "cat"]]}, "box [0.5, 0, 0.1, 1, 'cat'] is not [x_min"),
    "no area": ({"boxes": [[0.5, 0, 0.5, 1, "cat"]]}, "'list.jsonl' line 1: box [0.5, 0, 0.5, 1, 'cat'] is not [x_min"),
    "label": ({"boxes": [[0, 0, 1, 1, 3]]}, "box [0, 0, 1, 1, 3] is not [x_min"),
    "text": ({"boxes": [["0", 0, 1, 1, "cat"]]}, "box ['0', 0, 1, 1, 'cat'] is not [x_min"),
}


@pytest.mark.parametrize("what", WRONG_EXTRAS)
def test_a_wrong_extra_of_a_manifest_is_refused_in_one_line(data_folder, refused, what):
    fields, message = WRONG_EXTRAS[what]
    refused(message, write_lines(data_folder, fields))

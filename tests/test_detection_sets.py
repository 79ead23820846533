"""Detection sets of YOLO and COCO, as the commands read them."""

import json

import numpy as np
import pytest
import yaml
from baked_files import BOXES, make_coco, make_yolo

from albu_diffusemix.cli import main
from albu_diffusemix.datasets import Box, Columns, box_classes, find_sources, open_data
from albu_diffusemix.images import read_image, write_image
from albu_diffusemix.store import Store


def boxes_of(sources):
    return {source.key: source.boxes for source in sources if source.boxes}


def expected(prefix=""):
    names = ("animal", "face")
    return {
        f"{prefix}{name}.jpg": tuple(pytest.approx((*corners, 0), abs=1e-9) for _, *corners in boxes)
        for name, boxes in BOXES.items()
    }, {f"{prefix}{name}.jpg": [names[number] for number, *_ in boxes] for name, boxes in BOXES.items()}


def check(sources, prefix=""):
    corners, labels = expected(prefix)
    found = boxes_of(sources)
    assert {key: tuple((*box[:4], 0) for box in boxes) for key, boxes in found.items()} == corners
    assert {key: [box.label for box in boxes] for key, boxes in found.items()} == labels


@pytest.fixture
def yolo(tmp_path):
    return make_yolo(tmp_path)


@pytest.fixture
def coco(tmp_path):
    return make_coco(tmp_path)


def test_a_yolo_set_has_its_boxes_and_keys_below_its_folder_of_images(yolo, tmp_path):
    sources = find_sources(yolo.parent, tmp_path / "none.dm")
    assert len(sources) == 12
    assert sources[0].key == "train/astronaut.jpg"
    assert {source.boxes for source in sources if "_" in source.key} == {()}
    check(sources, "train/")


def test_another_split_of_a_yolo_set_is_taken_on_request(yolo):
    sources = open_data(str(yolo), columns=Columns(split="val"))
    assert sources[0].key == "val/astronaut.jpg"


def test_the_folders_of_roboflow_are_found(yolo, tmp_path):
    (tmp_path / "images/train").rename(tmp_path / "moved")
    (tmp_path / "train").mkdir()
    (tmp_path / "moved").rename(tmp_path / "train/images")
    (tmp_path / "labels/train").rename(tmp_path / "train/labels")
    yolo.write_text(yaml.safe_dump({"train": "../train/images", "names": ["animal", "face"]}))
    check(open_data(str(yolo)))


def test_labels_lie_beside_images_that_are_in_no_folder_of_that_name(tmp_path):
    write_image(tmp_path / "data/a.jpg", np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "data/a.txt").write_text("0 0.5 0.5 1 1\n\n")
    (tmp_path / "data.yaml").write_text(yaml.safe_dump({"train": ["data"], "names": ["x"]}))
    assert boxes_of(open_data(str(tmp_path))) == {"a.jpg": (Box(0, 0, 1, 1, "x"),)}


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("0 0.5 0.5 1.2 0.5", "the box leaves the image"),
        ("0 -0.3 0.5 0.1 0.5", "the box leaves the image"),
        ("0 nan 0.5 0.1 0.5", "the box leaves the image"),
        ("0 0.5 0.5 1", "has 4 fields: give class cx cy w h"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3", "has 7 fields: give class cx cy w h; polygons and key points are not read"),
        ("0 a 0.5 1 1", "could not convert string to float: 'a'"),
        ("3 0.5 0.5 1 1", "class '3' has no name in data.yaml: give 0 to 2"),
        ("-1 0.5 0.5 1 1", "class '-1' has no name"),
    ],
)
def test_a_wrong_line_of_yolo_is_refused_by_file_and_line(line, complaint, yolo, tmp_path):
    (tmp_path / "labels/train/rocket.txt").write_text(f"0 0.5 0.5 1 1\n{line}\n")
    with pytest.raises(ValueError, match=r"rocket.txt' line 2: ") as caught:
        open_data(str(yolo))
    assert complaint in str(caught.value)


def test_a_box_that_rounding_puts_over_the_edge_is_cut_off_there(yolo, tmp_path):
    (tmp_path / "labels/train/rocket.txt").write_text("0 0.5 0.5 1.000001 1\n0 0.5 0.5 0 1\n")
    assert boxes_of(open_data(str(yolo)))["train/rocket.jpg"] == (Box(0, 0, 1, 1, "animal"),)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a: [", "is not valid YAML"),
        ("- 1", "has no 'names'"),
        ("names: {1: a}", "has no 'names'"),
        ("names: [a]\ntrain: nowhere", "nowhere' is not a folder: give folders of images in data.yaml"),
        ("names: [a]", "has no images as 'train': check its 'path' and 'train'"),
    ],
)
def test_a_wrong_data_yaml_is_refused(text, complaint, yolo):
    yolo.write_text(text)
    with pytest.raises(ValueError, match=complaint):
        open_data(str(yolo))


def test_a_coco_set_has_its_boxes_without_crowds_and_empty_ones(coco, tmp_path):
    sources = find_sources(coco, tmp_path / "none.dm", Columns(images=str(tmp_path / "images")))
    check(sources)
    assert box_classes(coco, sources) == [(7, "animal"), (17, "face")]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda fields: fields.pop("images"), "has no list 'images' as COCO has it"),
        (lambda fields: fields["images"][0].pop("file_name"), "has no list 'images' as COCO has it"),
        (
            lambda fields: fields["annotations"][0].update(image_id=5),
            "annotation 1: image_id 5 is not in",
        ),
        (
            lambda fields: fields["annotations"][0].update(category_id=5),
            "annotation 1: category_id 5 is not in",
        ),
        (lambda fields: fields["annotations"][0].pop("bbox"), "annotation 1: there is no 'bbox'"),
        (lambda fields: fields["annotations"][0].update(bbox=[90, 0, 30, 9]), "annotation 1: the box leaves the image"),
        (lambda fields: fields["annotations"][0].update(bbox=[1, 2]), "annotation 1: not enough values"),
        (lambda fields: fields["images"][0].update(file_name="other.jpg"), "1 of 12 images are not in"),
        (lambda fields: fields["images"][0].update(file_name="../a.jpg"), "'..' component"),
    ],
)
def test_a_wrong_coco_set_is_refused(change, complaint, coco, tmp_path):
    fields = json.loads(coco.read_text())
    change(fields)
    coco.write_text(json.dumps(fields))
    with pytest.raises(ValueError, match=complaint):
        open_data(str(coco), columns=Columns(images=str(tmp_path / "images")))


def test_json_that_is_not_valid_is_refused(coco):
    coco.write_text("{")
    with pytest.raises(ValueError, match="is not valid JSON"):
        open_data(str(coco))


@pytest.mark.parametrize(("kind", "key"), [("yolo", "train/astronaut.jpg"), ("coco", "astronaut.jpg")])
def test_generate_doctor_and_preview_take_detection_sets(kind, key, tmp_path, request):
    data = request.getfixturevalue(kind)
    flags = ["--images", str(tmp_path / "images")] if kind == "coco" else []
    store, sheet = tmp_path / "store.dm", tmp_path / "sheet.png"
    assert main(["generate", str(data), *flags, "-o", str(store), "--size", "64"]) == 0
    assert len(Store.open(store).variants(key)) == 1
    assert main(["doctor", str(data), str(store), *flags]) == 0
    assert main(["preview", str(data), *flags, "-o", str(sheet), "--rows", "1"]) == 0
    assert read_image(sheet).size

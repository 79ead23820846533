"""Baked sets, as the readers see them that people use, and what makes them the same every time."""

import gc
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from pathlib import Path

import albumentations as A
import cv2
import numpy as np
import pytest
import webdataset
import yaml
from baked_files import (
    BOXES,
    CLASSES,
    FLIP,
    as_floats,
    bake,
    contents,
    forget,
    make_coco,
    make_folder,
    make_yolo,
    photographs,
    rows_of,
    save,
)
from datasets import load_dataset
from PIL import Image
from pycocotools.coco import COCO

from albu_diffusemix import DiffuseMix, FractalBlend, HalfConcat
from albu_diffusemix.bake import BakeOptions, make_plan, plan, run
from albu_diffusemix.cli import main
from albu_diffusemix.fractals import shared_library
from albu_diffusemix.functional import fractal_blend
from albu_diffusemix.images import read_image, write_image
from albu_diffusemix.keys import derive_seed
from albu_diffusemix.store.locks import EXCLUSIVE, try_lock

ORIENTATION = 0x0112  # the number of EXIF's field
MIRRORED = {
    name: [(n, 1 - right, top, 1 - left, bottom) for n, left, top, right, bottom in boxes]
    for name, boxes in BOXES.items()
}


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """The same dozen photographs as a folder of classes, a YOLO and a COCO set."""
    root = tmp_path_factory.mktemp("sets")
    for name in ("folder", "yolo", "coco"):
        (root / name).mkdir()
    images = ("--images", root / "coco/images")
    return {
        "folder": (make_folder(root / "folder"),),
        "yolo": (make_yolo(root / "yolo"),),
        "coco": (make_coco(root / "coco"), *images),
        "webdataset": (root / "folder", "--format", "webdataset"),
    }


@pytest.fixture
def baked(tmp_path, sets):
    def bake_as(kind, *arguments, **pipeline):
        data, *flags = sets[kind]
        assert bake(data, tmp_path / "out", *flags, *arguments, **pipeline) == 0
        return tmp_path / "out"

    return bake_as


def is_mirrored(path, original):
    """Return whether the side of an image that no counterpart covers shows the mirror image of another."""
    shown, whole = as_floats(path), as_floats(original)
    straight, flipped = (np.abs(shown - image)[:, :40].mean() for image in (whole, whole[:, ::-1]))
    return flipped < straight


def test_a_walk_as_torchvisions_finds_each_class_with_all_its_images(baked):
    out = baked("folder", "--per-image", 2, "--keep-originals")
    classes = sorted(entry.name for entry in out.iterdir() if entry.is_dir())
    found = {name: sorted(path.name for path in (out / name).rglob("*.jpg")) for name in classes}
    assert classes == ["animal", "person", "thing"]
    assert found["animal"][:4] == ["chelsea.jpg", "chelsea__0.jpg", "chelsea__1.jpg", "chelsea_bottom.jpg"]
    assert sum(map(len, found.values())) == 12 * 3


def test_originals_are_the_bytes_of_the_sources(baked, sets):
    out = baked("folder", "--keep-originals")
    assert (out / "thing/rocket.jpg").read_bytes() == (sets["folder"][0] / "thing/rocket.jpg").read_bytes()
    assert rows_of(out)[0] == {**rows_of(out)[0], "n": None, "seed": None, "prompt": None, "counterpart": None}


def test_originals_that_are_turned_by_exif_are_written_upright(tmp_path):
    write_image(tmp_path / "data/a.jpg", np.full((20, 40, 3), 90, np.uint8))
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.fromarray(read_image(tmp_path / "data/a.jpg")).save(tmp_path / "data/a.jpg", exif=exif)
    assert bake(tmp_path / "data", tmp_path / "out", "--keep-originals") == 0
    assert opened(tmp_path / "out/a.jpg").size == (20, 40)


def opened(path):
    with Image.open(path) as image:
        image.load()
    return image


def test_hugging_face_datasets_load_the_folder_with_its_classes(baked, tmp_path):
    out = baked("folder", "--per-image", 2)
    loaded = load_dataset("imagefolder", data_dir=str(out), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded.features["label"].names == ["animal", "person", "thing"]
    assert Counter(loaded["label"]) == {0: 6, 1: 6, 2: 12}


def test_an_image_is_what_its_row_says(baked, sets):
    out = baked("folder", transforms=[DiffuseMix(prompts=("snowy", "sunset"), alpha_range=(0.1, 0.4), p=1)])
    for row in rows_of(out)[:4]:
        source = read_image(sets["folder"][0] / row["source"])
        library = shared_library("builtin")
        place = [library.name(number) for number in range(len(library))].index(row["fractal"])
        shown = as_floats(out / row["file"])
        kept = {"left": np.s_[:, 50:], "right": np.s_[:, :46], "top": np.s_[34:], "bottom": np.s_[:30]}[
            row["mask_type"]
        ]
        expected = fractal_blend(source, library.get(place, 64, 96), row["alpha"])
        assert np.abs(shown - expected)[kept].mean() < 4 < np.abs(shown - expected).mean()
        assert row["prompt"] in {"snowy", "sunset"}
        assert (row["counterpart"], row["height"], row["width"]) == ("ok", 64, 96)


def test_the_seed_of_an_image_is_a_digest_of_base_seed_key_and_number(baked):
    rows = rows_of(baked("folder", "--per-image", 2, "--base-seed", 5))
    assert [row["seed"] for row in rows] == [derive_seed(5, row["source"], "", str(row["n"])) for row in rows]
    assert derive_seed(5, "animal/chelsea.jpg", "", "1") == 3103480024


def test_a_pipeline_without_diffusemix_is_baked_too(baked):
    row = rows_of(baked("folder", transforms=[A.HorizontalFlip(p=1), A.ToFloat(max_value=255)]))[0]
    assert {row[name] for name in ("prompt", "mask_type", "fractal", "alpha", "counterpart")} == {None}


def test_yolo_text_has_the_boxes_where_the_flip_puts_them(baked, sets):
    out = baked("yolo", "--per-image", 2)
    fields = yaml.safe_load((out / "data.yaml").read_text())
    assert fields["names"] == {0: "animal", 1: "face", 2: "unused"}
    assert fields["val"] == [str(sets["yolo"][0].parent / "images/val")]
    images = sorted((out / fields["train"]).rglob("*.jpg"))
    assert len(images) == 24
    for image in images:
        name = image.stem.rpartition("__")[0]
        label = Path(str(image).replace("/images/", "/labels/")).with_suffix(".txt")
        found = [tuple(map(float, line.split())) for line in label.read_text().splitlines()]
        corners = [(n, cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2) for n, cx, cy, w, h in found]
        assert corners == [pytest.approx(box, abs=1e-5) for box in MIRRORED.get(name, ())]
        if name in BOXES:
            assert is_mirrored(image, sets["yolo"][0].parent / "images/train" / f"{name}.jpg")


def test_pycocotools_read_the_boxes_where_the_flip_puts_them(baked):
    out = baked("coco")
    coco = COCO(str(out / "annotations.json"))
    assert {number: fields["name"] for number, fields in coco.cats.items()} == {7: "animal", 17: "face"}
    assert len(coco.imgs) == 12
    for image in coco.imgs.values():
        assert read_image(out / "images" / image["file_name"]).shape == (image["height"], image["width"], 3)
        found = coco.loadAnns(coco.getAnnIds(imgIds=image["id"], iscrowd=False))
        name = image["file_name"].rpartition("__")[0]
        expected = [
            (7 + 10 * n, [96 * left, 64 * top, 96 * (right - left), 64 * (bottom - top)])
            for n, left, top, right, bottom in MIRRORED.get(name, ())
        ]
        assert [(each["category_id"], each["bbox"]) for each in found] == [
            (number, pytest.approx(box, abs=0.01)) for number, box in expected
        ]


def test_a_row_says_which_boxes_a_crop_has_lost(baked):
    row = next(
        row for row in rows_of(baked("yolo", transforms=[A.Crop(0, 0, 40, 64)])) if row["source"] == "train/chelsea.jpg"
    )
    assert row["boxes"] == [{"of": 0, "label": "animal", "corners": [0.0, 0.25, 1.0, 1.0]}]
    assert row["lost_boxes"] == [1]


def test_the_files_rules_for_boxes_hold_whatever_its_format_of_boxes(baked):
    params = A.BboxParams("pascal_voc", label_fields=["mine"], min_area=500)
    out = baked("yolo", pipeline=A.Compose(FLIP, bbox_params=params))
    [row] = [row for row in rows_of(out) if row["source"] == "train/chelsea.jpg"]
    assert ([each["label"] for each in row["boxes"]], row["lost_boxes"]) == (["animal"], [1])


def samples_in(out, *decoders):
    tars = sorted(map(str, out.glob("*.tar")))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # webdataset leaves its files to the garbage collector
        dataset = webdataset.WebDataset(tars, shardshuffle=False)
        samples = list(dataset.decode(*decoders) if decoders else dataset)
        del dataset
        gc.collect()
    return samples


def test_a_folder_or_tar_of_a_detection_set_has_its_boxes_in_the_rows(baked):
    out = baked("coco", "--format", "webdataset")
    [sample] = [each for each in samples_in(out) if each["__key__"] == "astronaut__0"]
    assert json.loads(sample["json"])["boxes"][0]["corners"] == [0.6, 0.2, 0.9, 0.6]


def test_webdataset_reads_images_classes_and_rows(baked, monkeypatch):
    monkeypatch.setattr(plan, "_IN_TAR", 5)
    out = baked("webdataset", "--keep-originals")
    assert [tar.name for tar in sorted(out.glob("*.tar"))][-1] == "baked-000004.tar"
    samples = samples_in(out, "pil")
    assert len(samples) == 24
    for image, number, row in ((sample["jpg"], sample["cls"], sample["json"]) for sample in samples):
        assert image.size == (96, 64)
        assert (
            ["animal", "person", "thing"][number] == row["label"] == CLASSES[re.match(r".*/([a-z]+)", row["file"])[1]]
        )


def test_masks_move_with_their_images_and_keep_their_classes(tmp_path):
    classes = np.zeros((64, 96), np.uint8)
    classes[:, :10] = 3
    for name, image, _ in list(photographs())[:2]:
        write_image(tmp_path / "data" / f"{name}.jpg", image)
        mask = Image.fromarray(classes, "P") if name == "astronaut" else Image.fromarray(classes)
        if name == "astronaut":
            mask.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, 0, 0, 128])
        mask.save(tmp_path / "data" / f"{name}.png", bits=2 if name == "astronaut" else 8)
    assert bake_with_masks(tmp_path, [(f"{name}.jpg", f"{name}.png") for name in ("astronaut", "astronaut_top")]) == 0
    for row in rows_of(tmp_path / "out"):
        assert row["file"].startswith("images/")
        mask = np.asarray(opened(tmp_path / "out" / row["mask"]))
        assert (mask == classes[:, ::-1]).all()


def bake_with_masks(folder, pairs):
    lines = [f"{image},{image},{mask}\n" for image, mask in pairs]
    (folder / "data/list.csv").write_text("".join(["path,key,mask\n", *lines]))
    return bake(folder / "data/list.csv", folder / "out")


def test_boxes_that_were_drawn_for_another_size_are_a_failure(tmp_path):
    annotations = make_coco(tmp_path)
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.fromarray(read_image(tmp_path / "images/chelsea.jpg")).save(tmp_path / "images/chelsea.jpg", exif=exif)
    assert bake(annotations, tmp_path / "out", "--images", tmp_path / "images") == 1
    [failure] = [row for row in rows_of(tmp_path / "out") if "failed" in row]
    assert failure["source"] == "chelsea.jpg"
    assert "has 64 x 96 pixels, and its boxes were drawn for 96 x 64: save it upright" in failure["failed"]


def test_transforms_of_a_pipeline_draw_apart_from_each_other(baked):
    rows = rows_of(baked("yolo", "--per-image", 10, transforms=[A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5)]))
    corners = [row["boxes"][0]["corners"] for row in rows if row["source"] == "train/astronaut.jpg"]
    assert {(left != 0.1, top != 0.2) for left, top, *_ in corners} > {(False, True), (True, False)}


def test_a_mask_of_another_size_is_a_failure(tmp_path):
    for name, width in (("a.jpg", 8), ("good.png", 8), ("wide.png", 9)):
        write_image(tmp_path / "data" / name, np.zeros((8, width, 3), np.uint8))
    (tmp_path / "data/b.jpg").write_bytes((tmp_path / "data/a.jpg").read_bytes())
    assert bake_with_masks(tmp_path, [("a.jpg", "wide.png"), ("b.jpg", "good.png")]) == 1
    assert "has 9 x 8, the image 8 x 8 pixels" in rows_of(tmp_path / "out")[0]["failed"]


@pytest.mark.parametrize("kind", ["folder", "yolo", "coco", "webdataset"])
def test_a_set_that_was_killed_and_resumed_is_the_same_byte_for_byte(kind, baked, sets, monkeypatch):
    monkeypatch.setattr(plan, "_IN_TAR", 5)
    transforms = [DiffuseMix(p=0.7), A.HorizontalFlip(), A.RandomBrightnessContrast()]
    out = baked(kind, "--per-image", 2, "--keep-originals", transforms=transforms)
    whole = contents(out)
    forget(out, 13)
    data, *flags = sets[kind]
    assert bake(data, out, *flags, "--per-image", 2, "--keep-originals", transforms=transforms) == 0
    assert contents(out) == whole


def test_an_image_that_is_lost_or_empty_after_a_power_loss_is_made_again(baked, sets):
    out = baked("yolo")
    whole = contents(out)
    (out / "labels/train/chelsea__0.txt").write_bytes(b"")
    (out / "images/train/rocket__0.jpg").unlink()
    assert bake(sets["yolo"][0], out) == 0
    assert contents(out) == whole


def test_a_tar_that_is_lost_or_lacks_images_is_made_again(baked, sets, monkeypatch):
    monkeypatch.setattr(plan, "_IN_TAR", 5)
    out = baked("webdataset")
    whole = contents(out)
    for number, damage in enumerate([Path.unlink, lambda tar: tar.write_bytes(tar.read_bytes()[:2048])]):
        damage(out / f"baked-{number:06d}.tar")
        assert bake(*sets["webdataset"][:1], out, *sets["webdataset"][1:]) == 0
        assert contents(out) == whole


def test_files_are_whole_where_the_disk_takes_them_in_parts(baked, sets, tmp_path, monkeypatch):
    class SlowFile(io.FileIO):
        def write(self, data):
            return super().write(data[:1000])

    out = baked("yolo")
    monkeypatch.setattr(io, "FileIO", SlowFile)
    assert bake(sets["yolo"][0], tmp_path / "other") == 0
    assert contents(out) == contents(tmp_path / "other")


def test_kill_9_leaves_what_another_run_completes(sets, tmp_path):
    pipeline = save(A.Compose([DiffuseMix(p=1)]), tmp_path / "pipeline.yaml")
    words = ["bake", str(sets["folder"][0]), "--pipeline", str(pipeline), "--per-image", "12", "-o"]
    code = "import sys; from albu_diffusemix.cli import main; sys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words, tmp_path / "killed"], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    rows = tmp_path / "killed/rows.jsonl"
    while process.poll() is None and not (rows.exists() and rows.stat().st_size):
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert 0 < len(rows_of(tmp_path / "killed")) < 144
    assert main([*words, str(tmp_path / "killed")]) == main([*words, str(tmp_path / "whole")]) == 0
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


@pytest.mark.parametrize("kind", ["folder", "webdataset"])
def test_a_set_is_the_same_whatever_the_number_of_workers(kind, baked, sets, tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "_IN_TAR", 7)
    transforms = [DiffuseMix(p=0.7), A.RandomBrightnessContrast(), A.OneOf([A.GaussNoise(p=1), A.Blur(p=1)], p=0.5)]
    out = baked(kind, "--per-image", 2, transforms=transforms)
    data, *flags = sets[kind]
    assert bake(data, tmp_path / "other", *flags, "--per-image", 2, "--workers", 2, transforms=transforms) == 0
    assert contents(out) == contents(tmp_path / "other")


def test_a_run_that_is_told_to_stop_keeps_what_it_made(sets, tmp_path):
    stop = threading.Event()
    planned = make_plan(
        BakeOptions(str(sets["folder"][0]), tmp_path / "out", save(A.Compose(FLIP), tmp_path / "p.yaml"))
    )
    summary = run(planned, lambda row: stop.set() if row["source"] == "person/astronaut.jpg" else None, stop)
    assert (summary.made, summary.interrupted) == (4, True)
    assert len(rows_of(tmp_path / "out")) == 4


def test_counterparts_come_from_a_store_by_key(sets, tmp_path):
    store = {"name": "precomputed", "store": str(tmp_path / "store.dm"), "on_miss": "passthrough"}
    flags = ["--prompt", "sunset", "--exclude", "animal", "--size", "64"]
    assert main(["generate", str(sets["folder"][0]), "-o", store["store"], *flags]) == 0
    for name, image, label in photographs():  # of another size, so that nothing but the key finds them
        write_image(tmp_path / "data" / label / f"{name}.jpg", cv2.resize(image, (48, 32)))
    step = HalfConcat({**store, "on_mismatch": "stretch"}, mask_types=("left",), metadata_key="mine", p=1)
    with pytest.warns(UserWarning, match="'missing'"):
        assert bake(tmp_path / "data", tmp_path / "out", transforms=[step, FractalBlend(p=1)]) == 0
    rows = {row["source"]: row for row in rows_of(tmp_path / "out")}
    assert rows["animal/chelsea.jpg"]["counterpart"] == "missing"
    found = {name: rows["thing/rocket.jpg"][name] for name in ("counterpart", "prompt", "variant")}
    assert found == {"counterpart": "ok", "prompt": "sunset", "variant": "0000"}
    assert None not in {row["fractal"] for row in rows.values()}


def test_an_image_that_cannot_be_read_is_a_failure_and_the_rest_goes_on(sets, tmp_path, capsys):
    make_folder(tmp_path / "data")
    broken = tmp_path / "data/person/astronaut.jpg"
    photograph = broken.read_bytes()
    broken.write_bytes(b"no image")
    assert bake(tmp_path / "data", tmp_path / "out") == 1
    [failure] = [row for row in rows_of(tmp_path / "out") if "failed" in row]
    assert failure["file"] == "person/astronaut__0.jpg"
    assert "not a readable image" in failure["failed"]
    assert (len(rows_of(tmp_path / "out")), (tmp_path / "out" / failure["file"]).exists()) == (12, False)
    broken.write_bytes(photograph)
    assert bake(tmp_path / "data", tmp_path / "out") == 1
    assert "1 of them failed (--retry-failed tries them again)" in capsys.readouterr().out
    assert bake(tmp_path / "data", tmp_path / "out", "--retry-failed") == 0
    assert bake(sets["folder"][0], tmp_path / "clean") == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "clean")


def test_a_dry_run_tells_time_and_size_and_writes_nothing(sets, tmp_path, capsys):
    assert bake(sets["folder"][0], tmp_path / "out", "--per-image", 3, "--dry-run") == 0
    told = capsys.readouterr().out
    assert "Images: 36, 0 done" in told
    assert re.search(r"Time: .* in one process\nSize: \d.* kB; nothing was written", told)
    assert not (tmp_path / "out").exists()


def refused(capsys, *words, **pipeline):
    """Bake, and return the one line that says why not."""
    assert bake(*words, **pipeline) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize(
    "pipeline",
    [
        A.Compose([A.BBoxSafeRandomCrop(p=0.1)]),
        A.Compose([A.HorizontalFlip()], bbox_params=A.BboxParams("yolo", label_fields=[])),
    ],
)
def test_a_pipeline_for_boxes_is_refused_where_there_are_none(pipeline, sets, tmp_path, capsys):
    line = refused(capsys, sets["folder"][0], tmp_path / "out", pipeline=pipeline)
    assert "has no boxes: give a set of YOLO or COCO, or take this out of the pipeline" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("output_format", ["yolo", "coco"])
def test_a_format_for_boxes_is_refused_where_there_are_none(output_format, sets, tmp_path, capsys):
    line = refused(capsys, sets["folder"][0], tmp_path / "out", "--format", output_format)
    assert f"has no boxes, which --format {output_format} is for" in line


def test_two_sources_with_one_name_are_refused_before_anything_is_written(tmp_path, capsys):
    for name in ("a.jpg", "a.png"):
        write_image(tmp_path / "data" / name, np.zeros((8, 8, 3), np.uint8))
    line = refused(capsys, tmp_path / "data", tmp_path / "out")
    assert "'a.jpg' and 'a.png' without its ending would have one name" in line
    assert not (tmp_path / "out").exists()


def test_an_original_with_the_name_of_a_mixed_image_is_refused(tmp_path, capsys):
    for name in ("a.jpg", "a__1.jpg"):
        write_image(tmp_path / "data" / name, np.zeros((8, 8, 3), np.uint8))
    assert bake(tmp_path / "data", tmp_path / "one", "--keep-originals") == 0
    capsys.readouterr()
    line = refused(capsys, tmp_path / "data", tmp_path / "two", "--keep-originals", "--per-image", 2)
    assert "'a__1.jpg' and 'a.jpg' and its number 1 would have one name" in line


def test_a_folder_that_holds_something_else_is_refused(sets, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("mine")
    assert "holds something else than a baked set" in refused(capsys, sets["folder"][0], tmp_path / "out")
    assert contents(tmp_path / "out") == {"mine.txt": b"mine"}


def test_an_output_among_the_sources_is_refused_but_beside_the_images_of_yolo_it_is_not(tmp_path, capsys):
    make_folder(tmp_path / "data")
    line = refused(capsys, tmp_path / "data", tmp_path / "data/baked")
    assert "data/baked' lies in " in line
    assert not (tmp_path / "data/baked").exists()
    assert bake(make_yolo(tmp_path / "set").parent, tmp_path / "set/baked") == 0


def test_other_parameters_are_refused_with_the_difference(baked, sets, capsys):
    out = baked("folder")
    whole = contents(out)
    capsys.readouterr()
    assert "(per_image: 1 there, 2 now)" in refused(capsys, sets["folder"][0], out, "--per-image", 2)
    other = [DiffuseMix(prompts=("sunset",), mask_types=("left",), p=1), A.HorizontalFlip(p=1)]
    line = refused(capsys, sets["folder"][0], out, transforms=other)
    assert "(pipeline.transform.transforms[0].prompts[0]: 'snowy' there, 'sunset' now)" in line
    assert contents(out) == whole


def test_a_pipeline_that_gives_no_picture_is_refused(sets, tmp_path, capsys):
    line = refused(capsys, sets["folder"][0], tmp_path / "out", transforms=[A.Normalize()])
    assert "does not give a picture: leave Normalize and ToTensorV2 to the trainer" in line
    assert not (tmp_path / "out").exists()


def test_a_pipeline_that_fails_on_a_single_image_costs_only_that_image(tmp_path):
    make_folder(tmp_path / "data")
    write_image(tmp_path / "data/person/small.jpg", np.zeros((8, 8, 3), np.uint8))
    assert bake(tmp_path / "data", tmp_path / "out", transforms=[A.RandomCrop(32, 32)]) == 1
    assert [row["source"] for row in rows_of(tmp_path / "out") if "failed" in row] == ["person/small.jpg"]


def test_two_processes_do_not_bake_one_set(sets, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    handle = os.open(tmp_path / "out", os.O_RDONLY)
    try:
        assert try_lock(handle, EXCLUSIVE) == "dead"
        assert bake(sets["folder"][0], tmp_path / "out") == 2
        assert "another process bakes" in capsys.readouterr().err.splitlines()[-1]
        assert contents(tmp_path / "out") == {}
    finally:
        os.close(handle)

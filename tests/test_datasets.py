import importlib
import subprocess
import sys
import tarfile
from pathlib import Path

import albumentations as A
import cv2
import datasets
import huggingface_hub
import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dataset_files import (
    FORMATS,
    IMAGES,
    ROWS,
    add_members,
    flags_of,
    hf_dataset,
    make_folder,
    make_saved_dataset,
    make_saved_dataset_with_keys,
    write_module,
)
from datasets import Dataset, Features, Image
from job_files import arguments, content, failures, generate, start

from albu_diffusemix import DiffuseMix
from albu_diffusemix.cli import main
from albu_diffusemix.datasets import Columns, arrays, find_sources, tars
from albu_diffusemix.datasets.items import SourceFile
from albu_diffusemix.images import read_image, write_image


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the data set is, and where the commands run."""
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path / "data")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "flower_data", raising=False)
    yield tmp_path / "data"
    sys.modules.pop("flower_data", None)


@pytest.fixture
def store(tmp_path):
    return tmp_path / "flowers.dm"


@pytest.fixture
def refused(store, capsys):
    """Check that generate refuses a data set in one line that says the message."""

    def check(message, data, *flags):
        assert generate(data, store, *flags) == 2
        err = capsys.readouterr().err
        [line] = [line for line in err.splitlines() if line.startswith("albu-diffusemix: error: ")]
        assert message in line
        assert "Traceback" not in err

    return check


@pytest.mark.parametrize("kind", FORMATS)
def test_counterparts_of_each_kind_of_data_set_are_found_in_training_by_key_and_by_pixels(folder, store, kind, capsys):
    data, columns, keys, _ = FORMATS[kind](folder)
    flags = flags_of(columns)
    assert generate(data, store, "--workers", 2, *flags) == 0
    assert {key for key, _ in content(store)} == set(keys)
    capsys.readouterr()
    assert main(["doctor", data, str(store), *flags]) == 0
    assert "6 of 6 images (100.0 %)" in capsys.readouterr().out
    train = A.Compose([DiffuseMix(backend={"name": "precomputed", "store": str(store)}, p=1)])
    for key, image in zip(keys, IMAGES, strict=True):
        assert not np.array_equal(train(image=image, diffusemix_metadata={"key": key})["image"], image)
        assert not np.array_equal(train(image=image)["image"], image)


@pytest.mark.parametrize("kind", FORMATS)
def test_sources_of_each_kind_of_data_set_have_the_images_and_labels_that_were_put_in(folder, store, kind):
    data, columns, keys, labels = FORMATS[kind](folder)
    sources = {source.key: source for source in find_sources(data, store, columns)}
    for key, image, label in zip(keys, IMAGES, labels, strict=True):
        assert sources[key].label == label
        np.testing.assert_array_equal(SourceFile(*sources[key]).read(), image)


def save_npz(folder, **arrays):
    np.savez(folder / "a.npz", **arrays)
    return "a.npz"


STACK = np.stack(IMAGES)
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
    "objects": ({"images": np.array([{}], object)}, "'a.npz' cannot be read as arrays of NumPy: it holds objects"),
    "labels only": ({"labels": np.arange(6)}, "its columns are 'labels'"),
}


@pytest.mark.parametrize("what", WRONG_ARRAYS)
def test_wrong_arrays_are_refused_in_one_line(folder, refused, what):
    arrays, message = WRONG_ARRAYS[what]
    refused(message, save_npz(folder, **arrays))


def test_an_array_that_is_not_there_is_refused_with_those_that_are(folder, refused):
    data = save_npz(folder, images=STACK, labels=np.arange(6))
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


def test_damaged_array_files_are_refused_by_name(folder, refused):
    whole = Path(save_npz(folder, images=STACK)).read_bytes()
    (folder / "a.npz").write_bytes(whole[: len(whole) // 2])
    refused("'a.npz' cannot be read as arrays of NumPy", "a.npz")
    np.save(folder / "b.npy", STACK)
    (folder / "b.npy").write_bytes((folder / "b.npy").read_bytes()[:-100])
    refused("'b.npy' cannot be read as arrays of NumPy", "b.npy")


def test_labels_that_are_named_and_not_there_are_refused(folder, refused):
    np.save(folder / "a.npy", STACK)
    refused("there are no labels 'y.npy' beside 'a.npy'", "a.npy", "--label-column", "y")


@pytest.mark.parametrize("shape", [(6, 32, 48), (6, 32, 48, 1)])
def test_gray_arrays_become_rgb(folder, store, shape):
    np.save(folder / "a.npy", STACK[..., 0].reshape(shape))
    [first, *_] = find_sources("a.npy", store)
    np.testing.assert_array_equal(first.read(), np.repeat(STACK[0, ..., :1], 3, axis=2))


def test_an_array_that_is_not_compressed_is_mapped(folder):
    save_npz(folder, labels=np.arange(6), images=np.asfortranarray(STACK))
    mapped = arrays._open_images("a.npz", "images")
    assert isinstance(mapped, np.memmap)
    np.testing.assert_array_equal(mapped, STACK)


def test_a_flag_that_a_data_set_has_no_use_for_is_refused(folder, refused):
    make_folder(folder)
    refused("--label-column is not for the folder '.', which takes none of these flags", ".", "--label-column", "x")
    data = write_parquet(folder, image=[PNG])
    refused(
        "--split is not for 'a.parquet', which takes --key-column, --label-column, --image-column", data, "--split", "x"
    )


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
def test_wrong_data_sets_of_python_are_refused_in_one_line(folder, refused, what):
    code, message = WRONG_OBJECTS[what]
    write_module(folder, code)
    refused(message, "flower_data:data")


def test_an_item_without_an_image_is_a_failure_that_names_it(folder, store):
    write_module(folder, "data = [images[0], None]")
    assert generate("flower_data:data", store) == 1
    assert "item 1 of flower_data:data is not an image" in failures(store)["000001", "0000"]


def write_tar(path, samples, keep=None):
    with tarfile.open(path, "w") as tar:
        add_members(tar, samples)
    path.write_bytes(path.read_bytes()[:keep])
    return path.name


PNG = cv2.imencode(".png", IMAGES[0])[1].tobytes()
PLACE_OF_B = 512 + -(-len(PNG) // 512) * 512
WRONG_TARS = {
    "inside of an image": (PLACE_OF_B - 300, "'a.tar' breaks off"),
    "inside of a header": (PLACE_OF_B + 100, "'a.tar' breaks off after"),
    "between two members": (PLACE_OF_B, "'a.tar' breaks off after"),
    "at the start": (100, "'a.tar' is not a plain tar"),
}


@pytest.mark.parametrize("where", WRONG_TARS)
def test_a_tar_that_breaks_off_is_refused_by_name(folder, refused, where):
    keep, message = WRONG_TARS[where]
    refused(message, write_tar(folder / "a.tar", {"a.png": PNG, "b.png": PNG}, keep))


def test_a_tar_whose_middle_is_damaged_is_refused(folder, refused):
    data = bytearray((folder / write_tar(folder / "a.tar", {"a.png": PNG, "b.png": PNG})).read_bytes())
    data[PLACE_OF_B : PLACE_OF_B + 100] = b"x" * 100
    (folder / "a.tar").write_bytes(data)
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
def test_a_wrong_sample_of_a_tar_is_refused_in_one_line(folder, refused, what):
    samples, message = WRONG_SAMPLES[what]
    refused(message, write_tar(folder / "a.tar", samples))


def test_a_label_that_samples_do_not_have_is_refused_with_what_they_have(folder, refused):
    data = write_tar(folder / "a.tar", {"a.png": PNG, "a.cls": b"1"})
    refused("its members end in 'png', 'cls'; give one as --label-column", data, "--label-column", "txt")


def test_two_tars_with_one_key_are_both_named(folder, refused):
    for name in "ab":
        write_tar(folder / f"{name}.tar", {"x.png": PNG})
    refused("two sources have the key 'x': 'a.tar' at 512 and 'b.tar' at 512", "{a,b}.tar")


def test_a_tar_of_a_pattern_that_is_not_there_is_named(folder, refused):
    write_tar(folder / "a-0.tar", {"x.png": PNG})
    refused("there is no 'a-1.tar'", "a-{0..1}.tar")


@pytest.mark.parametrize("pattern", ["a-{2..1}.tar", "a-{0..100000}.tar"])
def test_a_range_that_is_not_one_is_refused(refused, pattern):
    refused("is not a range: give up to 100,000 numbers, upwards", pattern)


def test_braces_are_expanded_as_a_shell_does():
    command = "echo x-{a,b,}{08..11}-{1..2}.tar"
    printed = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True).stdout  # noqa: S607
    assert tars.expand_braces(command.removeprefix("echo ")) == printed.split()


def test_both_formats_of_arrow_are_read(folder, store):
    table = pa.table({"image": [PNG]})
    for name, new in (("stream", pa.ipc.new_stream), ("file", pa.ipc.new_file)):
        with new(str(folder / f"{name}.arrow"), table.schema) as writer:
            writer.write_table(table)
        [source] = find_sources(f"{name}.arrow", store)
        np.testing.assert_array_equal(source.read(), IMAGES[0][..., ::-1])


def test_a_split_that_is_not_there_is_refused_with_those_that_are(folder, refused):
    make_saved_dataset(folder)
    refused("'saved' has several splits: give one of train, test as --split", "saved")
    refused("'saved' has no split 'val': give one of train, test as --split", "saved", "--split", "val")


def test_a_saved_data_set_that_is_not_complete_is_refused(folder, refused):
    make_saved_dataset_with_keys(folder)
    (folder / "saved/data-00000-of-00001.arrow").unlink()
    refused("'saved' cannot be loaded: FileNotFoundError: ", "saved")


def write_parquet(folder, **columns):
    pq.write_table(pa.table(columns), folder / "a.parquet")
    return "a.parquet"


WRONG_TABLES = {
    "image column": ({"a": [PNG]}, ["--image-column", "b"], "'a.parquet' has no column 'b': its columns are 'a'"),
    "label column": ({"a": [PNG]}, ["--label-column", "b"], "'a.parquet' has no column 'b': its columns are 'a'"),
    "key column": ({"a": [PNG]}, ["--key-column", "b"], "'a.parquet' has no column 'b': its columns are 'a'"),
    "no images": ({"a": ["x"]}, [], "'a.parquet' does not show where it has them: name the column of the images"),
    "two images": ({"a": [PNG], "b": [PNG]}, [], "can have them in 'a' or 'b': name the column of the images as"),
    "text as image": (
        {"a": ["x"]},
        ["--image-column", "a"],
        "column 'a' of 'a.parquet' is of type string: give one with",
    ),
    "two rows with one key": ({"a": [PNG] * 2, "k": ["x", "x"]}, ["--key-column", "k"], "two sources have the key 'x'"),
    "no key": (
        {"a": [PNG] * 2, "k": ["x", None]},
        ["--key-column", "k"],
        "row 1 of 'a.parquet' has no key in column 'k'",
    ),
    "no rows": ({"a": pa.array([], pa.binary())}, [], "'a.parquet' holds no rows"),
}


@pytest.mark.parametrize("what", WRONG_TABLES)
def test_a_wrong_table_is_refused_in_one_line(folder, refused, what):
    columns, flags, message = WRONG_TABLES[what]
    refused(message, write_parquet(folder, **columns), *flags)


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_a_damaged_table_is_refused_by_name(folder, refused, name):
    (folder / name).write_bytes(b"PAR1" * 100)
    refused(f"'{name}' is damaged, or not a table", name)


def test_a_row_without_an_image_is_a_failure_that_names_it(folder, store):
    assert generate(write_parquet(folder, image=[PNG, None, b"no"]), store) == 1
    assert failures(store) == {
        ("000001", "0000"): "unreadable: row 1 of 'a.parquet' has no image in column 'image'",
        (
            "000002",
            "0000",
        ): "unreadable: 'row 2 of a.parquet' is not a readable image: it is damaged, or of another format",
    }


def test_the_key_of_a_row_is_its_number_in_the_whole_split_also_in_a_shard(folder, store):
    data, columns, _, _ = FORMATS["parquet_of_hugging_face"](folder)
    for shard in ("0/2", "1/2"):
        assert generate(data, store, "--shard", shard, *flags_of(columns)) == 0
    whole = store.with_name("whole.dm")
    assert generate(data, whole) == 0
    assert content(store) == content(whole)


def test_a_class_that_hugging_face_does_not_know_is_no_label(folder, store):
    hf_dataset().map(lambda _: {"label": -1}).to_parquet(folder / "a.parquet")
    assert {source.label for source in find_sources("a.parquet", store)} == {None}


def test_encoded_images_are_turned_as_exif_says_as_files_are(folder, store):
    turned = PIL.Image.fromarray(IMAGES[0])
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(folder / "a.jpg", exif=exif)
    write_parquet(folder, image=[(folder / "a.jpg").read_bytes()])
    [source] = find_sources("a.parquet", store)
    assert source.read().shape == (48, 32, 3)
    np.testing.assert_array_equal(source.read(), read_image(folder / "a.jpg"))


def test_images_of_a_table_may_lie_in_files_beside_it(folder, store):
    make_folder(folder)
    [path, *_] = sorted(folder.rglob("*.png"))
    Dataset.from_dict({"image": [str(path)]}, Features({"image": Image()})).to_parquet(folder / "a.parquet")
    table = pa.table({"image": [{"bytes": None, "path": str(path)}]})
    pq.write_table(table, folder / "a.parquet")
    [source] = find_sources("a.parquet", store)
    np.testing.assert_array_equal(source.read(), read_image(path))


@pytest.fixture
def hub(folder, monkeypatch):
    """A Hub that has one data set, which is loaded from files on this machine."""
    make_saved_dataset(folder)
    load, asked = datasets.load_dataset, []
    for split, count in (("train", 6), ("test", 1)):
        hf_dataset().select(range(count)).to_parquet(folder / f"{split}-00000-of-00001.parquet")

    def from_here(name, revision):
        asked.append((name, revision))
        files = {split: str(folder / f"{split}-00000-of-00001.parquet") for split in ("train", "test")}
        return load("parquet", data_files=files, cache_dir=str(folder / "cache"))

    monkeypatch.setattr(datasets, "load_dataset", from_here)
    return asked


def test_a_data_set_of_the_hub_is_loaded_by_name_revision_and_split(hub, store):
    assert generate("hf://owner/flowers@v1", store, "--split", "train") == 0
    assert hub == [("owner/flowers", "v1")]
    assert {key for key, _ in content(store)} == set(ROWS)


@pytest.mark.usefixtures("hub")
def test_a_split_that_the_hub_does_not_have_is_refused(refused):
    refused("'hf://owner/flowers' has several splits: give one of train, test as --split", "hf://owner/flowers")


def test_without_network_the_hub_is_one_line(refused, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    refused("'hf://nobody/nothing' cannot be loaded: ConnectionError", "hf://nobody/nothing")
    refused("'hf://nothing' is not a data set of the Hub: give hf://owner/name", "hf://nothing")


@pytest.mark.parametrize(("data", "package"), [("a.parquet", "pyarrow"), ("hf://owner/name", "datasets")])
def test_a_package_that_is_missing_is_named_with_the_command(folder, refused, monkeypatch, data, package):
    (folder / "a.parquet").touch()
    for name in list(sys.modules):
        if name.partition(".")[0] == package:
            monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, package, None)
    refused(f"needs {package}: pip install {package}", data)


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
def pictures(folder):
    for name in ("a.png", "b.png", "c.bmp", "c.png", "d/e.png"):
        write_image(folder / "pictures" / name, IMAGES[0])
    return folder / "pictures"


@pytest.mark.usefixtures("pictures")
@pytest.mark.parametrize("what", WRONG_ID_TABLES)
def test_a_wrong_table_of_names_is_refused_in_one_line(folder, refused, what):
    text, message = WRONG_ID_TABLES[what]
    (folder / "t.csv").write_text(text)
    refused(message, "t.csv", *KAGGLE)


@pytest.mark.usefixtures("pictures")
def test_a_table_may_name_files_with_their_endings_and_in_folders(folder, store):
    (folder / "t.csv").write_text("id, label\nc.png, x\na, \nd/e, y\n")
    found = find_sources("t.csv", store, Columns("pictures", key="id", label="label"))
    expected = [("a", "pictures/a.png", None), ("c.png", "pictures/c.png", "x"), ("d/e", "pictures/d/e.png", "y")]
    assert [(source.key, source.path, source.label) for source in found] == expected


def test_a_table_beside_a_folder_that_is_not_there_is_refused(folder, refused):
    (folder / "t.csv").write_text("id,label\na,x")
    refused("'pictures' is not a folder: give the one with the images as --images", "t.csv", *KAGGLE)
    refused("--images is not for the folder '.'", ".", "--images", "pictures")


def test_rows_that_moved_since_the_store_was_made_are_refused(folder, store, refused):
    data = save_npz(folder, images=STACK)
    assert generate(data, store) == 0
    save_npz(folder, images=np.delete(STACK, 1, axis=0))
    refused("'a.npz' has another image as '000001' now than when", data)
    save_npz(folder, images=STACK[:4])
    assert generate(data, store) == 0


def test_rows_that_were_added_at_the_end_are_made(folder, store):
    assert generate(save_npz(folder, images=STACK[:4]), store) == 0
    assert generate(save_npz(folder, images=STACK), store) == 0
    assert {key for key, _ in content(store)} == set(ROWS)


@pytest.mark.parametrize("kind", ["webdataset", "torchvision_like"])
def test_the_ray_engine_makes_the_same_of_relative_paths_and_of_data_sets_in_python(folder, store, kind):
    data, _, _, _ = FORMATS[kind](folder)
    on_ray = arguments(Path(data).name, store, "--engine", "ray", "--workers", 1)
    process = start(store.parent, on_ray)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert generate(data, store.with_name("local.dm")) == 0
    assert content(store) == content(store.with_name("local.dm"))


def test_counterparts_are_imported_for_rows(folder, store, capsys):
    data = save_npz(folder, images=STACK)
    for key, picture in zip(ROWS, IMAGES, strict=True):
        write_image(folder / "made" / key / "0000.png", 255 - picture)
    assert main(["import", "made", "-o", str(store), "--sources", data]) == 0
    assert main(["doctor", data, str(store)]) == 0
    assert "6 of 6 images (100.0 %)" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["npz", "webdataset", "kaggle_table", "dicts"])
def test_preview_shows_each_kind_of_data_set(folder, kind, capsys):
    data, columns, _, _ = FORMATS[kind](folder)
    assert main(["preview", data, "-o", "sheet.png", *flags_of(columns)]) == 0
    assert "sheet.png (6 shown, 0 skipped)" in capsys.readouterr().out


def fewer_rows(folder, kind, count):
    write = {
        "a.npz": lambda: save_npz(folder, images=STACK[:count]),
        "a.parquet": lambda: write_parquet(folder, image=[PNG] * count),
        "flower_data:data": lambda: write_module(
            folder, f"data = list(images)[:{count}]  {'#' * count}"
        ),  # Python compares sizes
    }
    sys.modules.pop("flower_data", None)
    importlib.invalidate_caches()
    write[kind]()


@pytest.mark.parametrize("kind", ["a.npz", "a.parquet", "flower_data:data"])
def test_a_row_that_is_gone_when_it_is_read_is_an_error_that_says_so(folder, store, kind):
    fewer_rows(folder, kind, 6)
    *_, last = find_sources(kind, store)
    last.read()
    fewer_rows(folder, kind, 4)
    with pytest.raises(ValueError, match=f"'{kind}' has only 4 rows now, and no row 5: run again with what is there"):
        last.read()


def test_rows_with_transparent_parts_are_compared_as_they_were_read(folder, store):
    transparent = np.dstack([IMAGES[0], np.tile(np.uint8([[0, 255]]), (32, 24))])
    data = write_parquet(folder, image=[cv2.imencode(".png", transparent)[1].tobytes()])
    for _ in range(2):
        assert generate(data, store, "--background", "#ffffff") == 0

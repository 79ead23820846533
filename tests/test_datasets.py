"""What holds for every kind of data set."""

import importlib
import sys
from pathlib import Path

import albumentations as A
import numpy as np
import pytest
from dataset_files import (
    FORMATS,
    IMAGES,
    PNG,
    ROWS,
    STACK,
    flags_of,
    make_folder,
    save_npz,
    write_module,
    write_parquet,
)
from job_files import arguments, content, generate, start

from albu_diffusemix import DiffuseMix
from albu_diffusemix._host import HOST
from albu_diffusemix.cli import main
from albu_diffusemix.datasets import find_sources
from albu_diffusemix.datasets.items import SourceFile
from albu_diffusemix.images import write_image

IN_PROCESSES = {"folder", "npy", "webdataset", "saved_dataset", "dicts"}


@pytest.mark.parametrize("kind", FORMATS)
def test_counterparts_of_each_kind_of_data_set_are_found_by_key_and_by_pixels(data_folder, data_store, kind, capsys):
    data, columns, keys, _ = FORMATS[kind](data_folder)
    flags = flags_of(columns)
    workers = 2 if kind in IN_PROCESSES and HOST == "albumentations" else 1  # which know nothing of the host
    assert generate(data, data_store, "--workers", workers, *flags) == 0
    assert {key for key, _ in content(data_store)} == set(keys)
    capsys.readouterr()
    assert main(["doctor", data, str(data_store), *flags]) == 0
    assert "6 of 6 images (100.0 %)" in capsys.readouterr().out
    train = A.Compose([DiffuseMix(backend={"name": "precomputed", "store": str(data_store)}, p=1)])
    for key, image in zip(keys, IMAGES, strict=True):
        assert not np.array_equal(train(image=image, diffusemix_metadata={"key": key})["image"], image)
        assert not np.array_equal(train(image=image)["image"], image)


@pytest.mark.parametrize("kind", FORMATS)
def test_sources_of_each_kind_of_data_set_have_the_images_and_labels_that_were_put_in(data_folder, data_store, kind):
    data, columns, keys, labels = FORMATS[kind](data_folder)
    sources = {source.key: source for source in find_sources(data, data_store, columns)}
    for key, image, label in zip(keys, IMAGES, labels, strict=True):
        assert sources[key].label == label
        np.testing.assert_array_equal(SourceFile(*sources[key]).read(), image)


def test_a_flag_that_a_data_set_has_no_use_for_is_refused(data_folder, refused):
    make_folder(data_folder)
    refused("--label-column is not for the folder '.', which takes none of these flags", ".", "--label-column", "x")
    data = write_parquet(data_folder, image=[PNG])
    refused(
        "--split is not for 'a.parquet', which takes --key-column, --label-column, --image-column", data, "--split", "x"
    )


def test_rows_that_moved_since_the_store_was_made_are_refused(data_folder, data_store, refused):
    data = save_npz(data_folder, images=STACK)
    assert generate(data, data_store) == 0
    save_npz(data_folder, images=np.delete(STACK, 1, axis=0))
    refused("'a.npz' has another image as '000001' now than when", data)
    save_npz(data_folder, images=STACK[:4])
    assert generate(data, data_store) == 0


def test_rows_that_were_added_at_the_end_are_made(data_folder, data_store):
    assert generate(save_npz(data_folder, images=STACK[:4]), data_store) == 0
    assert generate(save_npz(data_folder, images=STACK), data_store) == 0
    assert {key for key, _ in content(data_store)} == set(ROWS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["webdataset", "torchvision_like"])
def test_the_ray_engine_makes_the_same_of_relative_paths_and_of_data_sets_in_python(data_folder, data_store, kind):
    data, _, _, _ = FORMATS[kind](data_folder)
    on_ray = arguments(Path(data).name, data_store, "--engine", "ray", "--workers", 1)
    process = start(data_store.parent, on_ray)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert generate(data, data_store.with_name("local.dm")) == 0
    assert content(data_store) == content(data_store.with_name("local.dm"))


def test_counterparts_are_imported_for_rows(data_folder, data_store, capsys):
    data = save_npz(data_folder, images=STACK)
    for key, picture in zip(ROWS, IMAGES, strict=True):
        write_image(data_folder / "made" / key / "0000.png", 255 - picture)
    assert main(["import", "made", "-o", str(data_store), "--sources", data]) == 0
    assert main(["doctor", data, str(data_store)]) == 0
    assert "6 of 6 images (100.0 %)" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["npz", "webdataset", "kaggle_table", "dicts"])
def test_preview_shows_each_kind_of_data_set(data_folder, kind, capsys):
    data, columns, _, _ = FORMATS[kind](data_folder)
    assert main(["preview", data, "-o", "sheet.png", *flags_of(columns)]) == 0
    assert "sheet.png (6 shown, 0 skipped)" in capsys.readouterr().out


def fewer_rows(data_folder, kind, count):
    write = {
        "a.npz": lambda: save_npz(data_folder, images=STACK[:count]),
        "a.parquet": lambda: write_parquet(data_folder, image=[PNG] * count),
        "flower_data:data": lambda: write_module(
            data_folder, f"data = list(images)[:{count}]  {'#' * count}"
        ),  # Python compares sizes
    }
    sys.modules.pop("flower_data", None)
    importlib.invalidate_caches()
    write[kind]()


@pytest.mark.parametrize("kind", ["a.npz", "a.parquet", "flower_data:data"])
def test_a_row_that_is_gone_when_it_is_read_is_an_error_that_says_so(data_folder, data_store, kind):
    fewer_rows(data_folder, kind, 6)
    *_, last = find_sources(kind, data_store)
    last.read()
    fewer_rows(data_folder, kind, 4)
    with pytest.raises(ValueError, match=f"'{kind}' has only 4 rows now, and no row 5: run again with what is there"):
        last.read()

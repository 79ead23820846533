import json
import os
import shutil
import sys

import cv2
import numpy as np
import pytest
from job_files import content, failures, make, make_data
from store_files import flip, part_file

from albu_diffusemix import jpeg
from albu_diffusemix.backends import Request, create_backend
from albu_diffusemix.cli import main
from albu_diffusemix.exchange import export_kaggle
from albu_diffusemix.images import read_image, write_image
from albu_diffusemix.store import Source, Store


@pytest.fixture
def data(tmp_path):
    return make_data(tmp_path / "data", 6)


@pytest.fixture
def store(data, tmp_path):
    make(data, tmp_path / "flowers.dm", all_prompts=True)
    return tmp_path / "flowers.dm"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def run(*words):
    return main([str(word) for word in words])


def export(store, out, to="folder"):
    return run("export", store, "--to", to, "-o", out)


def bring(folder, store, data, *more):
    return run("import", folder, "-o", store, "--sources", data, *more)


def negative(data, key, path, *, size=None):
    image = 255 - read_image(data / key)
    write_image(path, image if size is None else cv2.resize(image, size))
    return path


def test_an_export_to_a_folder_has_each_file_byte_for_byte_and_a_table(store, out):
    assert export(store, out) == 0
    found = content(store)
    for (key, variant), (*_, image) in found.items():
        assert (out / key / f"{variant}.jpg").read_bytes() == image
    records = [json.loads(line) for line in (out / "counterparts.jsonl").read_text().splitlines()]
    assert {(record["key"], record["variant"]) for record in records} == set(found)
    for record in records:
        prompt, seed, source, _ = found[record["key"], record["variant"]]
        assert (record["prompt"], record["seed"], record["pixels"]) == (prompt, seed, source.pixels.hex())
        assert (record["height"], record["width"]) == (source.height, source.width)
        assert (out / record["file"]).is_file()


def test_an_exported_folder_comes_back_as_the_same_store(store, out, data, tmp_path):
    export(store, out)
    assert bring(out, tmp_path / "back.dm", data) == 0
    assert content(tmp_path / "back.dm") == content(store)


def test_parquet_files_open_with_datasets_and_show_images(store, out, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert export(store, out, "parquet") == 0
    import datasets  # noqa: PLC0415  slow

    table = datasets.load_dataset("parquet", data_files=str(out / "*.parquet"), cache_dir=str(tmp_path / "hf"))["train"]
    raw = table.cast_column("image", datasets.Image(decode=False))
    found = {
        (record["key"], record["variant"]): (
            record["prompt"],
            record["seed"],
            Source(record["height"], record["width"], bytes.fromhex(record["pixels"])),
            record["image"]["bytes"],
        )
        for record in raw
    }
    assert found == content(store)
    assert table[0]["image"].size == (48, 32)


def test_large_exports_are_several_parquet_files_with_every_row_once(store, out, monkeypatch):
    from pyarrow import parquet  # noqa: PLC0415  slow

    monkeypatch.setattr("albu_diffusemix.exchange.exporter._FILE_BYTES", 1)
    monkeypatch.setattr("albu_diffusemix.exchange.exporter._ROWS_IN_GROUP", 5)
    assert export(store, out, "parquet") == 0
    files = sorted(out.iterdir())
    assert [file.name for file in files] == [f"counterparts-{number:05d}.parquet" for number in range(4)]
    records = [(record["key"], record["variant"]) for file in files for record in parquet.read_table(file).to_pylist()]
    assert len(records) == 18
    assert set(records) == set(content(store))


def test_without_pyarrow_an_export_to_parquet_says_what_to_install(store, out, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert export(store, out, "parquet") == 2
    assert "an export to Parquet needs pyarrow: pip install pyarrow" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("to", ["folder", "parquet"])
def test_an_export_goes_to_a_new_or_an_empty_folder_only(store, out, capsys, to):
    out.mkdir()
    assert export(store, out, to) == 0
    assert export(store, out, to) == 2
    assert "is not empty: choose a new or an empty folder" in capsys.readouterr().err


def test_an_export_of_a_damaged_store_is_one_line(store, out, capsys):
    [part] = (store / "parts").glob("*.tar")
    record = next(Store.open(store).records())
    with part.open("r+b") as file:
        file.seek(record.location.offset + 100)
        file.write(b"\x00\x00\x00")
    assert export(store, out) == 2
    err = capsys.readouterr().err
    assert "is damaged" in err
    assert "Traceback" not in err
    assert not (out / "counterparts.jsonl").exists()


@pytest.mark.parametrize(
    ("name", "key", "variant", "prompt"),
    [
        ("class0/000.png_generated_Autumn_0.jpg", "class0/000.png", "autumn-0", "Autumn"),
        ("class1/001_generated_watercolor art_2.jpg", "class1/001.png", "watercolor-art-2", "watercolor art"),
        ("class2/002.png_generated_a_sketch_with_crayon_10.jpg", "class2/002.png", "a-sketch-with-crayon-10",
         "a sketch with crayon"),
        ("class0/000.png/ukiyo-e.jpg", "class0/000.png", "ukiyo-e", "ukiyo-e"),
        ("class0/000.png/watercolor-art.jpg", "class0/000.png", "watercolor-art", "watercolor art"),
        ("class0/000/0007.jpg", "class0/000.png", "0007", ""),
    ],
)  # fmt: skip
def test_a_file_finds_its_source_by_its_path(data, tmp_path, name, key, variant, prompt):
    path = negative(data, key, tmp_path / "made" / name)
    assert bring(tmp_path / "made", tmp_path / "new.dm", data) == 0
    found = {(key, variant): (prompt, 0, Source.of(read_image(data / key)), path.read_bytes())}
    assert content(tmp_path / "new.dm") == found


def test_files_without_a_source_are_named_and_left_out(data, tmp_path, capsys):
    made = tmp_path / "made"
    negative(data, "class0/000.png", made / "class0/000.png/snowy.jpg")
    for name in ("class0/777.png/snowy.jpg", "class9/000_generated_snowy_0.jpg", "class0/000.png/no.good.jpg"):
        negative(data, "class0/000.png", made / name)
    assert bring(made, tmp_path / "new.dm", data) == 1
    out = capsys.readouterr().out
    assert "Files: 1 of 1 sources; 3 without a source" in out
    assert "777.png/snowy.jpg': there is no source 'class0/777.png'" in out
    assert "there is no source 'class9/000'" in out
    assert "variant 'no.good'" in out
    assert set(content(tmp_path / "new.dm")) == {("class0/000.png", "snowy")}


def test_a_name_that_two_sources_share_is_left_out(data, tmp_path, capsys):
    write_image(data / "class0/000.jpg", read_image(data / "class0/000.png"))
    negative(data, "class0/000.png", tmp_path / "made/class0/000_generated_snowy_0.jpg")
    negative(data, "class0/000.png", tmp_path / "made/class0/000.jpg_generated_snowy_0.jpg")
    assert bring(tmp_path / "made", tmp_path / "new.dm", data) == 1
    assert "'class0/000' can be 'class0/000.jpg' or 'class0/000.png'" in capsys.readouterr().out


def test_two_files_for_one_variant_are_told(data, tmp_path, capsys):
    for ending in ("jpg", "png"):
        negative(data, "class0/000.png", tmp_path / f"made/class0/000.png/snowy.{ending}")
    assert bring(tmp_path / "made", tmp_path / "new.dm", data) == 1
    assert "is the variant 'snowy' already" in capsys.readouterr().out


def test_a_folder_in_which_nothing_has_a_source_is_refused(data, tmp_path, capsys):
    negative(data, "class0/000.png", tmp_path / "made/elsewhere/000_generated_snowy_0.jpg")
    assert bring(tmp_path / "made", tmp_path / "new.dm", data) == 2
    assert "none of 1 files in" in capsys.readouterr().err
    assert not (tmp_path / "new.dm").exists()


@pytest.mark.parametrize(("name", "message"), [("nowhere", "is not a folder"), ("empty", "holds no images")])
def test_a_folder_of_nothing_is_refused(data, tmp_path, capsys, name, message):
    (tmp_path / "empty").mkdir()
    assert bring(tmp_path / name, tmp_path / "new.dm", data) == 2
    assert message in capsys.readouterr().err


def test_files_of_another_encoding_are_encoded_again_and_can_be_cut(data, tmp_path):
    path = negative(data, "class0/000.png", tmp_path / "made/class0/000.png/snowy.png")
    bring(tmp_path / "made", tmp_path / "new.dm", data)
    [(*_, image)] = content(tmp_path / "new.dm").values()
    assert image == jpeg.encode(read_image(path), sampling="4:2:0")
    bring(tmp_path / "made", tmp_path / "full.dm", data, "--encoding", "jpeg444")
    [(*_, image)] = content(tmp_path / "full.dm").values()
    assert image == jpeg.encode(read_image(path))
    bring(tmp_path / "made", tmp_path / "png.dm", data, "--encoding", "png")
    [(*_, image)] = content(tmp_path / "png.dm").values()
    assert image == path.read_bytes()
    negative(data, "class1/001.png", tmp_path / "made/class1/001.png/snowy.png")
    assert bring(tmp_path / "made", tmp_path / "full.dm", data) == 0  # goes on as it was begun
    assert len(content(tmp_path / "full.dm")) == 2
    assert Store.open(tmp_path / "full.dm").mixed == ()


def test_a_jpeg_that_exif_turns_is_stored_upright(data, tmp_path):
    path = negative(data, "class0/000.png", tmp_path / "made/class0/000.png/snowy.jpg")
    tiff = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    data_ = path.read_bytes()
    path.write_bytes(data_[:2] + b"\xff\xe1" + (len(tiff) + 2).to_bytes(2, "big") + tiff + data_[2:])
    bring(tmp_path / "made", tmp_path / "new.dm", data)
    [(*_, image)] = content(tmp_path / "new.dm").values()
    assert jpeg.decode(image).shape == read_image(path).shape == (64, 48, 3)


def test_a_grey_jpeg_becomes_a_colour_one(data, tmp_path):
    path = tmp_path / "made/class0/000.png/snowy.jpg"
    path.parent.mkdir(parents=True)
    cv2.imwrite(str(path), 255 - cv2.imread(str(data / "class0/000.png"), cv2.IMREAD_GRAYSCALE))
    bring(tmp_path / "made", tmp_path / "new.dm", data)
    [(*_, image)] = content(tmp_path / "new.dm").values()
    assert jpeg.decode(image).shape == (48, 64, 3)


def test_unusable_images_and_broken_files_are_failures(data, tmp_path):
    made = tmp_path / "made"
    for name, image in (("black", np.zeros((64, 64, 3), np.uint8)), ("same", read_image(data / "class0/000.png"))):
        write_image(made / f"class0/000.png_generated_{name}_0.png", image)
    negative(data, "class0/000.png", made / "class0/000.png_generated_good_0.jpg", size=(256, 256))
    (made / "class0/000.png_generated_torn_0.jpg").write_bytes(b"\xff\xd8\xff")
    assert bring(made, tmp_path / "new.dm", data) == 1
    reasons = {variant: reason for (_, variant), reason in failures(tmp_path / "new.dm").items()}
    assert (reasons["black-0"], reasons["same-0"]) == ("blank", "unchanged")
    assert reasons["torn-0"].startswith("unreadable: ")
    assert set(content(tmp_path / "new.dm")) == {("class0/000.png", "good-0")}


def test_a_broken_source_fails_its_counterparts(data, tmp_path):
    negative(data, "class0/000.png", tmp_path / "made/class0/000.png/snowy.jpg")
    (data / "class0/000.png").write_bytes(b"torn")
    assert bring(tmp_path / "made", tmp_path / "new.dm", data) == 1
    [reason] = failures(tmp_path / "new.dm").values()
    assert reason.startswith("its source is unreadable")


def test_an_import_goes_on_where_it_was_and_shows_a_picture(data, tmp_path):
    made, store = tmp_path / "made", tmp_path / "new.dm"
    negative(data, "class0/000.png", made / "class0/000.png/snowy.jpg")
    bring(made, store, data)
    negative(data, "class1/001.png", made / "class1/001.png/snowy.jpg")
    assert bring(made, store, data) == 0
    assert len(content(store)) == 2
    assert len(list((store / "parts").glob("*.tar"))) == 2
    assert "contact-sheet.jpg" in (store / "README.md").read_text()


def test_a_wrong_table_is_named_with_its_line(data, tmp_path, capsys):
    negative(data, "class0/000.png", tmp_path / "made/class0/000.png/snowy.jpg")
    (tmp_path / "made/counterparts.jsonl").write_text(f'{{"file": 3}}{os.linesep}')
    assert bring(tmp_path / "made", tmp_path / "new.dm", data) == 2
    assert "counterparts.jsonl' line 1 is not one that an export writes" in capsys.readouterr().err


@pytest.fixture
def kaggle(store, out):
    assert export(store, out, to="kaggle") == 0
    return out


def test_an_export_for_kaggle_has_no_file_that_a_site_would_unpack(kaggle):
    archives = tuple(ending for _, endings, _ in shutil.get_unpack_formats() for ending in endings)
    names = [file.name for file in kaggle.rglob("*") if file.is_file()]
    assert ".tar" in archives
    assert "part-00000.part" in names
    assert not [name for name in names if name.endswith((*archives, ".7z", ".rar", ".gz"))]
    assert not [name for name in names if name.startswith(("README", "contact-sheet"))]


def test_an_export_for_kaggle_is_the_same_store_to_every_command(store, kaggle, data, capsys):
    assert content(kaggle) == content(store)
    assert run("verify", kaggle) == run("status", kaggle) == run("doctor", data, kaggle) == 0
    assert "6 of 6 images" in capsys.readouterr().out
    flip(part_file(kaggle, ".part"), 3000)
    assert run("verify", kaggle) == 1
    assert "part-00000.part: " in capsys.readouterr().out
    assert run("repair", kaggle) == 0
    assert run("verify", kaggle) == 0


def test_halves_of_raw_counterparts_are_read_from_an_export_for_kaggle(data, tmp_path, out):
    make(data, tmp_path / "raw.dm", encoding="raw")
    assert export(tmp_path / "raw.dm", out, to="kaggle") == 0
    key = next(iter(Store.open(out).records())).key
    request = Request(read_image(data / key), None, 0, key, (0, 0, 32, 48))
    backends = [create_backend({"name": "precomputed", "store": str(store)}) for store in (out, tmp_path / "raw.dm")]
    [there, here] = [backend.generate([request])[0].image for backend in backends]
    assert there.shape == (48, 32, 3)
    assert np.array_equal(there, here)


def test_an_export_for_kaggle_is_repaired_from_its_parts_alone(store, kaggle):
    shutil.rmtree(kaggle / "index")
    part_file(kaggle, ".idx").unlink()
    (kaggle / "store.json").unlink()
    assert run("repair", kaggle) == 0
    assert content(kaggle) == content(store)


def test_a_run_goes_on_from_a_store_exported_for_kaggle(kaggle, data):
    before = content(kaggle)
    make(make_data(data, 8), kaggle, all_prompts=True)
    assert content(kaggle).items() > before.items()
    assert sorted(file.name for file in (kaggle / "parts").glob("*.[tp]ar*")) == ["part-00000.part", "part-00001.tar"]
    assert run("verify", kaggle) == 0


def test_an_export_for_kaggle_that_was_cut_short_is_no_store(store, out):
    def stop():
        raise RuntimeError("pulled the plug")

    with pytest.raises(RuntimeError):
        export_kaggle(Store.open(store), out, stop)
    assert (out / "parts/part-00000.part").exists()
    assert run("status", out) == 2

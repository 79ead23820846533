"""Which files of a folder or manifest become sources, and what is said of the others."""

import os

import cv2
import numpy as np
import pytest
from job_files import content, generate, make_data

from albu_diffusemix.cli import main
from albu_diffusemix.datasets import Selection, find_sources
from albu_diffusemix.store import Store


@pytest.fixture
def data(tmp_path):
    return make_data(tmp_path / "data", 3)


@pytest.fixture
def store(tmp_path):
    return tmp_path / "flowers.dm"


def keys(data, store, *exclude):
    return [source.key for source in find_sources(data, store, selection=Selection(exclude))]


def test_folders_that_are_links_are_followed_and_keys_go_through_the_link(data, store, tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train/rose").symlink_to(data / "class0")
    (tmp_path / "train/tulip").symlink_to(data / "class1")
    assert keys(tmp_path / "train", store) == ["rose/000.png", "tulip/001.png"]


def test_links_that_lead_in_a_circle_end(data, store):
    (data / "class0/above").symlink_to(data)
    (data / "class1/other").symlink_to(data / "class2")
    (data / "class2/other").symlink_to(data / "class1")
    found = keys(data, store)
    assert {"class0/000.png", "class1/001.png", "class2/002.png", "class1/other/002.png"} <= set(found)
    assert not any(key.startswith("class0/above") for key in found)


def test_the_store_inside_is_no_source_whatever_path_leads_to_it(data, tmp_path):
    store = data / "made.dm"
    assert generate(data, store) == 0
    cv2.imwrite(str(store / "sheet.png"), np.zeros((9, 9, 3), np.uint8))
    (tmp_path / "link").symlink_to(data)
    assert keys(tmp_path / "link", store) == keys(data, store) == ["class0/000.png", "class1/001.png", "class2/002.png"]


def test_a_folder_that_cannot_be_read_is_counted(data, store, monkeypatch):
    scandir = os.scandir

    def denied(place):
        if str(place).endswith("class1"):
            raise PermissionError(13, "Permission denied", str(place))
        return scandir(place)

    monkeypatch.setattr(os, "scandir", denied)
    selection = Selection()
    assert len(find_sources(data, store, selection=selection)) == 2
    assert selection.describe() == ["Passed over: 1 folder that cannot be read"]


@pytest.mark.parametrize(
    ("patterns", "left"),
    [
        (["class0/*"], ["class1/001.png", "class2/002.png"]),
        (["class0", "class2/"], ["class1/001.png"]),
        (["*1.png", "class[02]/*"], []),
        (["CLASS0/*", "nowhere"], ["class0/000.png", "class1/001.png", "class2/002.png"]),
    ],
)
def test_exclude_leaves_out_the_keys_that_match(data, patterns, left):
    files = find_sources(data, data / "x.dm")
    assert [file.key for file in Selection(patterns).take(files)] == left


def test_generate_doctor_and_import_leave_out_what_is_excluded(data, store, tmp_path, capsys):
    assert generate(data, store, "--exclude", "class0/*", "--exclude", "*2.png") == 0
    assert "Passed over: 2 by --exclude" in capsys.readouterr().out
    assert [key for key, _ in content(store)] == ["class1/001.png"]
    assert main(["doctor", str(data), str(store)]) == 1
    assert main(["doctor", str(data), str(store), "--exclude", "class[02]/*"]) == 0
    assert "1 of 1 images (100.0 %).\nPassed over: 2 by --exclude" in capsys.readouterr().out
    main(["export", str(store), "--to", "folder", "-o", str(tmp_path / "out")])
    again = ["import", str(tmp_path / "out"), "-o", str(tmp_path / "new.dm"), "--sources", str(data)]
    assert main([*again, "--exclude", "class1"]) == 2
    assert main(again) == 0


def test_to_exclude_everything_is_an_error(data, store, capsys):
    assert generate(data, store, "--exclude", "*") == 2
    assert "--exclude leaves out all 3 images" in capsys.readouterr().err


def test_files_that_are_passed_over_are_counted_by_their_endings(data, store, capsys):
    for name in ("a.heic", "b.HEIC", "notes", "class0/c.txt", ".hidden.heic"):
        (data / name).touch()
    assert generate(data, store) == 0
    said = "Passed over: 2 .heic, 1 .txt, 1 without an ending"
    assert sorted(said.split(", ")) == sorted(_line(capsys.readouterr().out, "Passed over").split(", "))
    assert main(["doctor", str(data), str(store)]) == 0
    assert "2 .heic" in _line(capsys.readouterr().out, "Passed over")


def test_of_many_endings_the_most_frequent_are_named(data, store):
    for number in range(10):
        for copy in range(1 + (number < 8)):
            (data / f"{copy}.x{number}").touch()
    selection = Selection()
    find_sources(data, store, selection=selection)
    [line] = selection.describe()
    assert line.count("2 .x") == 8
    assert line.endswith(", 2 with other endings")


def test_a_folder_of_other_files_says_which_it_found(tmp_path, store, capsys):
    (tmp_path / "phone").mkdir()
    (tmp_path / "phone/a.heic").touch()
    assert generate(tmp_path / "phone", store) == 2
    assert "holds no images; looked for .bmp" in (err := capsys.readouterr().err)
    assert "and found 1 .heic" in err


def test_masks_that_become_sources_are_said_with_the_pattern_that_leaves_them_out(data, store, capsys):
    (data / "masks").mkdir()
    for place in ("masks/000.png", "class0/000_mask.png"):
        cv2.imwrite(str(data / place), np.zeros((9, 9, 3), np.uint8))
    generate(data, store, "--dry-run")
    err = capsys.readouterr().err
    assert "1 sources look like masks, not images: --exclude 'masks/*' leaves them out" in err
    assert "--exclude '*_mask.*'" in err
    generate(data, store, "--dry-run", "--exclude", "masks/*", "--exclude", "*_mask.*")
    assert "masks" not in capsys.readouterr().err


def test_a_name_that_cannot_be_a_key_refuses_that_file_alone_and_all_are_named_at_once(data, store, capsys):
    for name in (os.fsdecode(b"caf\xe9.png"), "a\\b.png"):
        os.link(data / "class0/000.png", data / name)
    assert generate(data, store) == 1
    line = [line for line in capsys.readouterr().out.splitlines() if "cannot be a key" in line]
    assert len(line) == 1
    assert line[0].startswith("Passed over: 2 files whose names cannot be a key: rename them. ")
    assert "caf\\udce9.png' has a control character or bytes that are not UTF-8" in line[0]
    assert "has a backslash" in line[0]
    assert len(content(store)) == 3
    assert main(["doctor", str(data), str(store)]) == 1


def test_when_no_name_can_be_a_key_nothing_is_begun(tmp_path, store, capsys):
    (tmp_path / "bad").mkdir()
    cv2.imwrite(str(tmp_path / "bad/a\\1.png"), np.zeros((9, 9, 3), np.uint8))
    assert generate(tmp_path / "bad", store) == 2
    assert "has no source: 1 file whose name cannot be a key: rename them" in capsys.readouterr().err
    assert not store.exists()


def test_a_space_after_the_commas_of_a_manifest_is_no_part_of_names(data, store):
    (data / "list.csv").write_text("path, key ,label\nclass0/000.png, a/1, x\n")
    [source] = find_sources(data / "list.csv", store)
    assert (source.key, source.label, source.path) == ("a/1", "x", str(data / "class0/000.png"))


def test_a_leading_space_of_a_file_stays_where_the_head_has_none(data, store):
    (data / "class0/000.png").rename(data / " 0.png")
    (data / "list.csv").write_text("path,key\n 0.png,a\n")
    assert find_sources(data / "list.csv", store)[0].path == str(data / " 0.png")


def test_an_absolute_path_inside_of_the_folder_is_relative(data, store, tmp_path):
    (tmp_path / "link").symlink_to(data)
    for folder in (data, tmp_path / "link"):
        (data / "list.csv").write_text(f"path,key\n{data}/class0/000.png,a\n")
        assert find_sources(folder / "list.csv", store)[0].path == str(folder / "class0/000.png")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("class0\\000.png", "has a backslash: write it with '/'"),
        ("class0/000.png ", "begins or ends with a space: remove it"),
        ("/etc/000.png", "leaves the manifest's folder"),
    ],
)
def test_a_path_that_was_written_otherwise_says_how_to_write_it(data, store, path, reason):
    (data / "list.csv").write_text(f"path,key\n{path},a\n")
    with pytest.raises(ValueError, match=f"line 2: path .* {reason}"):
        find_sources(data / "list.csv", store)


def test_other_data_says_what_to_do(data, store):
    (data / "images.zip").touch()
    with pytest.raises(ValueError, match=r"neither a folder nor a manifest .*: unpack an archive; give"):
        find_sources(data / "images.zip", store)


def _line(text, beginning):
    return next(line for line in text.splitlines() if line.startswith(beginning))


def test_a_link_to_a_class_is_made_and_found_by_the_doctor(data, store, tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train/rose").symlink_to(data / "class0")
    assert generate(tmp_path / "train", store) == 0
    assert Store.open(store).has("rose/000.png", "0000")
    assert main(["doctor", str(tmp_path / "train"), str(store)]) == 0

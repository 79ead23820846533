import json
import os
import re
import tempfile
import unicodedata
from pathlib import Path

import pytest
from job_files import arguments, content, generate, make, make_data, start

from albu_diffusemix.cli import main
from albu_diffusemix.datasets import SourceFile, find_sources
from albu_diffusemix.generate import exclusive_runs
from albu_diffusemix.generate.class_prompts import slug
from albu_diffusemix.store import Store

NOBODY = 65534


@pytest.fixture
def data(tmp_path):
    return make_data(tmp_path / "data", 3)


@pytest.fixture
def store(tmp_path):
    return tmp_path / "flowers.dm"


@pytest.fixture
def refused(capsys):
    """Check that a command ends with status 2 and one line that says the message."""

    def check(status, *messages):
        out, err = capsys.readouterr()
        lines = [line for line in err.splitlines() if line.startswith("albu-diffusemix: error: ")]
        assert status == 2
        assert len(lines) == 1
        assert "Traceback" not in out + err
        for message in messages:
            assert message in lines[0]

    return check


def manifest(folder, name, text):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_folder_is_searched_with_its_subfolders_by_key(data, store):
    found = find_sources(data, store)
    keys = ["class0/000.png", "class1/001.png", "class2/002.png"]
    assert found == [SourceFile(str(data / key), key, key.partition("/")[0]) for key in keys]


def test_labels_come_from_the_class_folder_or_from_the_manifest(data, store):
    (data / "class0/000.png").rename(data / "000.png")
    assert [source.label for source in find_sources(data, store)] == [None, "class1", "class2"]
    listed = manifest(data, "list.csv", "path,key,label\n000.png,a,rose\nclass1/001.png,b,\n")
    assert [source.label for source in find_sources(listed, store)] == ["rose", None]


def test_a_label_that_is_not_text_is_refused(data, store, refused):
    listed = manifest(data, "list.jsonl", '{"path": "class0/000.png", "key": "a", "label": 3}')
    refused(generate(listed, store), "line 1: label 3 is not text: write it in quotes")


def test_a_store_in_the_folder_is_not_part_of_the_data(data):
    store = data / "class0" / "flowers.dm"
    make(data, store)
    assert (store / "contact-sheet.jpg").exists()
    assert len(find_sources(data, store)) == 3


def test_keys_are_composed_unicode_whatever_the_file_system_says(data, store):
    decomposed = unicodedata.normalize("NFD", "café.png")
    (data / "class0/000.png").rename(data / decomposed)
    assert find_sources(data, store)[0].key == "café.png"
    assert generate(data, store) == 0
    assert ("café.png", "0000") in content(store)


def test_two_sources_with_one_key_are_refused_with_both_named(data, store, refused):
    names = [unicodedata.normalize(form, "café.png") for form in ("NFC", "NFD")]
    for name, old in zip(names, ("class0/000.png", "class1/001.png"), strict=True):
        (data / old).rename(data / name)
    refused(generate(data, store), "two sources have the key 'café.png'", *names)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.csv", "path,label,key\nclass0/000.png,0,a/1\nclass1/001.png,1,b/2\n"),
        ("list.csv", '\ufeffkey,path\r\na/1,class0/000.png\r\n"b/2",class1/001.png\r\n'),
        ("list.jsonl", '{"path": "class0/000.png", "key": "a/1"}\n\n{"key": "b/2", "path": "class1/001.png"}'),
        ("LIST.JSONL", '{"path": "./class0/000.png", "key": "a/1"}\n{"key": "b/2", "path": "class1//001.png"}'),
    ],
)
def test_a_manifest_gives_paths_relative_to_its_folder_and_keys(data, store, name, text):
    assert generate(manifest(data, name, text), store) == 0
    whole = store.with_name("whole.dm")
    make(data, whole)
    sources = {key: record[2] for (key, _), record in content(whole).items()}
    expected = {"a/1": sources["class0/000.png"], "b/2": sources["class1/001.png"]}
    assert {key: record[2] for (key, _), record in content(store).items()} == expected


def test_a_file_that_the_manifest_lists_and_is_not_there_is_a_row(data, store):
    assert generate(manifest(data, "list.csv", "path,key\nclass0/000.png,a\nclass0/gone.png,b\n"), store) == 1
    assert [record.key for record in Store.open(store).failures()] == ["b"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("list.csv", "path,label\na.png,1\n", "has no column 'key'"),
        ("list.csv", "file,label\na.png,1\n", "has no column 'path' and no column 'key'"),
        ("list.csv", "", "has no column 'path'"),
        ("list.csv", "path,key\n", "lists no images"),
        ("list.csv", "path,key\na.png\n", "line 2 has no 'key'"),
        ("list.csv", "path,key\na.png,\n", "line 2 has no 'key'"),
        ("list.csv", "path,key\nclass0/000.png,a\nclass1/001.png,a\n", "two sources have the key 'a'"),
        ("list.csv", "path,key\n../secret.png,a\n", "line 2: path '../secret.png' leaves the manifest's folder"),
        ("list.csv", "path,key\n/etc/secret.png,a\n", "line 2: path '/etc/secret.png' leaves"),
        ("list.csv", "path,key\na/../../b.png,a\n", "leaves the manifest's folder"),
        ("list.csv", "path,key\na.png,../a\n", "line 2: key '../a' has an empty, '.' or '..' component"),
        ("list.csv", "path,key\na.png,/a\n", "line 2: key '/a' is absolute"),
        ("list.jsonl", '{"path": "a.png"}', "line 1 has no 'key'"),
        ("list.jsonl", '{"path": 3, "key": "a"}', "line 1 has no 'path'"),
        ("list.jsonl", '\n["a.png", "a"]', "line 2 is ['a.png', 'a']: give an object"),
        ("list.jsonl", '{"path": ', "line 1 is not valid JSON"),
        ("list.txt", "class0/000.png", "neither a folder nor a manifest (.csv, .jsonl)"),
    ],
)
def test_a_wrong_manifest_is_one_line_that_names_the_place(data, store, refused, name, text, message):
    refused(generate(manifest(data, name, text), store), message)
    assert not store.exists()


def test_a_manifest_in_another_encoding_is_refused(data, store, refused):
    (data / "list.csv").write_bytes("path,key\nclass0/000.png,caf\xe9".encode("latin-1"))
    refused(generate(data / "list.csv", store), "list.csv' is not UTF-8")


def test_folders_without_images_are_refused(tmp_path, store, refused):
    refused(generate(tmp_path / "nowhere", store), "there is no", "nowhere")
    (tmp_path / "empty").mkdir()
    refused(generate(tmp_path / "empty", store), "is empty; looked for .bmp")
    (tmp_path / "empty/notes.txt").write_text("no image")
    refused(generate(tmp_path / "empty", store), "holds no images; looked for .bmp, .jpeg")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--prompt", "impossible"], "unknown prompt 'impossible'"),
        (["--prompt", "snowy", "--prompt", "snowy"], "prompt 'snowy' is given twice"),
        (
            ["--prompt", "Snowy", "--prompt", "snowy", "--all-prompts"],
            "prompts 'Snowy' and 'snowy' are both the variant",
        ),
        (["--prompts-file", "nowhere.txt"], "'nowhere.txt': No such file"),
        (["--backend", "negatif"], "unknown backend 'negatif'"),
        (["--backend", '{"name": "negative", "speed": 3}'], "has no option 'speed'"),
        (["--import", "nowhere"], "module 'nowhere' cannot be imported"),
        (["--engine", "local", "--shard", "0/1", "--backend", "{}"], "a mapping with a 'name'"),
    ],
)
def test_wrong_options_are_one_line(data, store, refused, more, message):
    refused(generate(data, store, *more), message)
    assert not store.exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--shard", "2/2"], "must be i/n with i from 0 to n - 1"),
        (["--shard", "1"], "must be i/n"),
        (["--per-image", "0"], "whole number of at least 1"),
        (["--backend", "{name"], "is not valid JSON"),
        (["--per-image", "2", "--all-prompts"], "not allowed with"),
    ],
)
def test_what_the_parser_refuses_is_said_with_the_usage(data, store, capsys, more, message):
    with pytest.raises(SystemExit, match="2"):
        generate(data, store, *more)
    assert message in capsys.readouterr().err


def test_changed_parameters_are_refused_with_the_difference_until_allowed(data, store, refused):
    make(data, store)
    refused(generate(data, store, "--base-seed", 5), "base_seed: the store has 0, you ask for 5")
    refused(generate(data, store, "--size", 64, "--dry-run"), "size: the store has 32, you ask for 64")
    refused(
        generate(data, store, reject="blank"), "fingerprint: the store has 'negative ', you ask for 'negative blank'"
    )
    assert generate(data, store, "--base-seed", 5, "--per-image", 2, "--allow-mixed") == 0
    assert len(content(store)) == 6


def test_a_store_of_a_newer_format_is_refused(data, store, refused):
    make(data, store)
    text = (store / "store.json").read_text()
    (store / "store.json").write_text(text.replace('"version": 2', '"version": 9'))
    refused(generate(data, store), "newer than 2: update albu-diffusemix")


def test_a_store_that_a_live_process_writes_is_refused_unless_the_work_is_shared_out(data, store, refused, monkeypatch):
    monkeypatch.setattr(exclusive_runs, "_GRACE", 0)
    make(data, store, limit=1)
    with Store.open(store).writer() as writer:
        writer.fail("other.png", "0000", "still at work")
        refused(generate(data, store), "being written by a live process", "--shard i/n")
        refused(main(["export", str(store), "--to", "folder", "-o", str(store.with_name("out"))]), "wait until it has")
        assert generate(data, store, "--shard", "0/2") == 0


def test_a_place_where_nothing_can_be_made_is_refused(data, tmp_path, refused):
    (tmp_path / "file").write_text("in the way")
    refused(generate(data, tmp_path / "file"), "file")
    refused(generate(data, tmp_path / "file/flowers.dm"), "a file stands where a folder is needed")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/notes.txt").write_text("somebody's")
    refused(generate(data, tmp_path / "other"), "holds 'notes.txt' but no store.json")


def test_a_full_disk_is_one_line_and_what_was_acknowledged_stays(tmp_path, store):
    data = make_data(tmp_path / "data", 40)
    process = start(tmp_path, arguments(data, store), file_bytes=40_000)
    _, err = process.communicate()
    assert process.returncode == 2
    assert "Traceback" not in err
    assert "raise the limit on file sizes and run again; everything acknowledged so far is kept" in err
    assert generate(data, store, "--dry-run") == 0
    kept = len(list(Store.create(store, Store.open(store).recipe).records()))
    assert 0 < kept < 40
    assert generate(data, store) == 0
    make(data, store.with_name("whole.dm"))
    assert content(store) == content(store.with_name("whole.dm"))


def test_without_permission_the_path_is_named(capfd):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = make_data(folder / "data", 1)
        (folder / "locked").mkdir()
        folder.chmod(0o755)
        (folder / "locked").chmod(0o555)
        process = os.fork()
        if process == 0:
            if os.geteuid() == 0:
                os.setuid(NOBODY)
            os._exit(generate(data, folder / "locked/flowers.dm"))
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 2
    message = "cannot create .*locked/flowers.dm: Permission denied: ask for permission on that path or choose another"
    assert re.search(message, capfd.readouterr().err)


@pytest.mark.parametrize(
    ("prompt", "name"),
    [("snowy", "snowy"), ("ukiyo-e", "ukiyo-e"), ("A  sketch, with crayon!", "a-sketch-with-crayon")],
)
def test_a_slug_is_the_prompt_in_small_letters_and_dashes(prompt, name):
    assert slug(prompt) == name


def test_slugs_of_long_and_foreign_prompts_differ_and_are_names():
    prompts = ["雪", "雨", "!", "?", "x" * 80, "x" * 81, "é" * 80]
    assert len({slug(prompt) for prompt in prompts}) == len(prompts)
    assert all(len(slug(prompt)) <= 64 and slug(prompt)[0].isalnum() for prompt in prompts)


def test_a_prompt_that_names_a_class_is_warned_of(data, store, capsys):
    generate(data, store, "--prompt", "a photo of class0", "--dry-run")
    assert "warning: prompt 'a photo of class0' names the class 'class0'" in capsys.readouterr().err


def test_status_counts_images_failures_and_parts(data, store, capsys):
    make(data, store)
    assert main(["status", str(store)]) == 0
    assert "Images: 3 of 3 sources\nFailures: 0\nParts: 1 sealed" in capsys.readouterr().out


def test_verify_lists_what_is_wrong_and_ends_with_1(data, store, capsys):
    make(data, store)
    assert main(["verify", str(store)]) == 0
    [part] = (store / "parts").glob("*.tar")
    with part.open("r+b") as file:
        file.seek(2100)
        file.write(b"\x00\x01\x02")
    capsys.readouterr()
    assert main(["verify", str(store)]) == 1
    out = capsys.readouterr().out
    assert "part-00000.tar: class0/000.png/0000" in out
    assert "problems in" in out


@pytest.mark.parametrize("command", ["status", "verify"])
def test_what_is_not_a_store_is_one_line(tmp_path, refused, command):
    refused(main([command, str(tmp_path / "nowhere")]), "no store at")
    refused(main([command, str(tmp_path)]), "it is not a store")


def test_a_backend_can_be_named_in_json(data, store):
    more = ["--backend", json.dumps({"name": "negative", "batch_size": 2})]
    assert generate(data, store, *more) == 0

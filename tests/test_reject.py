"""The command that rejects: keys and lists of other tools, and what is wrong with them."""

import pytest
from choices_files import choices_file, reject, rejected
from job_files import make, make_data
from store_files import key_of, make_store

from albu_diffusemix.cli import main
from albu_diffusemix.store import Store


@pytest.fixture
def path(tmp_path):
    return make_store(tmp_path / "flowers.dm", 6, parts=2).path


@pytest.fixture
def data(tmp_path):
    return make_data(tmp_path / "train", 3)


@pytest.fixture
def made(data, tmp_path):
    """Two counterparts for each of three sources, made by the job."""
    make(data, tmp_path / "train.dm", per_image=2)
    return tmp_path / "train.dm"


def listed(tmp_path, text, name="verdicts.jsonl"):
    (tmp_path / name).write_text(text)
    return str(tmp_path / name)


def test_keys_are_rejected_and_brought_back(path, capsys):
    assert main(["reject", str(path), key_of(0), key_of(1), "--reason", "blurred"]) == 0
    assert "Rejected: 2; of 6 counterparts in" in capsys.readouterr().out
    assert rejected(path) == {0, 1}
    assert main(["reject", str(path), key_of(0), key_of(5), "--undo"]) == 0
    assert "Brought back: 1; of 6 counterparts" in capsys.readouterr().out
    assert rejected(path) == {1}
    assert next(Store.open(path).verdicts()).reason == "blurred"


def test_only_the_variants_that_are_asked_for_are_rejected(made):
    assert main(["reject", str(made), "class0/000.png", "--variant", "0001"]) == 0
    store = Store.open(made)
    assert [record.variant for record in store.kept(store.variants("class0/000.png"))] == ["0000"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("v.jsonl", '{"key": "class0/00000.jpg", "variant": "0000", "verdict": "reject"}\n{"key": "class1/00001.jpg"}'),
        ("v.csv", "key,variant,verdict,score\nclass0/00000.jpg,0000,reject,1\nclass1/00001.jpg,,reject,2\n"),
        ("v.ndjson", '{"key": "class0/00000.jpg", "id": 3, "time": "now"}\r\n\n{"key": "class1/00001.jpg"}\r\n'),
    ],
)
def test_verdicts_come_from_lists_of_other_tools_and_are_taken_back(path, tmp_path, name, text):
    file = listed(tmp_path, text, name)
    assert main(["reject", str(path), "--from", file]) == 0
    assert rejected(path) == {0, 1}
    assert main(["reject", str(path), "--from", file, "--undo"]) == 0
    assert rejected(path) == set()


def test_the_choices_of_one_store_are_verdicts_for_its_copy(path, tmp_path):
    reject(path, 0, 3)
    copy = make_store(tmp_path / "copy.dm", 6).path
    assert main(["reject", str(copy), "--from", str(choices_file(path))]) == 0
    assert rejected(copy) == {0, 3}


def test_of_a_list_each_wrong_line_is_named_and_the_others_are_taken(path, tmp_path, capsys):
    lines = [
        '{"key": "class0/00000.jpg"}',
        '{"key": "nowhere.jpg"}',
        '{"key": "class1/00001.jpg", "verdict": "perhaps"}',
        '{"key": "class1/00001.jpg", "variant": 0}',
        '["class1/00001.jpg"]',
        '{"variant": "0000"}',
        '{"key": "class1/0',
    ]
    assert main(["reject", str(path), "--from", listed(tmp_path, "\n".join(lines))]) == 1
    complaints = capsys.readouterr().err.splitlines()
    assert len(complaints) == 6
    for number, said in enumerate(
        ["no counterpart of 'nowhere.jpg'", "'perhaps'", "variant is 0", "not a JSON object", "no key", "cut off"], 2
    ):
        complaint = complaints[number - 2]
        assert f"line {number}: " in complaint
        assert said in complaint
    assert rejected(path) == {0}


@pytest.mark.parametrize("last", ["class1/00001.jpg", "class1/00001.jpg,0000"])
def test_a_table_that_is_cut_off_within_a_line_rejects_nothing_by_it(path, tmp_path, last, capsys):
    (tmp_path / "cut.csv").write_text(f"key,variant,verdict\nclass0/00000.jpg,0000,reject\n{last}")
    assert main(["reject", str(path), "--from", str(tmp_path / "cut.csv")]) == 1
    (complaint,) = capsys.readouterr().err.splitlines()
    assert "line 3: it has fewer cells than the first line has names; is the file cut off?" in complaint
    assert rejected(path) == {0}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "give the keys of sources, or --from FILE"),
        (["a.jpg", "--from", "x.jsonl"], "one of them"),
        (["--from", "x.txt"], "give a file that ends in .jsonl"),
        (["--from", "x.jsonl", "--variant", "0000"], "--variant goes with KEY"),
        (["--from", "absent.jsonl"], "No such file"),
    ],
)
def test_wrong_usage_of_reject_is_one_line(path, arguments, complaint, capsys):
    assert main(["reject", str(path), *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert complaint in line


def test_reject_says_which_sources_have_no_counterpart_left(path, capsys):
    main(["reject", str(path), key_of(4)])
    assert f"1 sources have no counterpart left, such as {key_of(4)}" in capsys.readouterr().out

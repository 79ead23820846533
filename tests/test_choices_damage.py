"""Files of verdicts that were cut off, changed or lost, and writers that were killed: no verdict is lost."""

import copy
import os
import time

import pytest
from choices_files import choices_file, reject, rejected
from store_files import VARIANT, child, flip, key_of, make_store

from albu_diffusemix.cli import main
from albu_diffusemix.store import Store, StoreError, Verdict
from albu_diffusemix.store.choices_index import COMPILED, Choices


@pytest.fixture
def path(tmp_path):
    return make_store(tmp_path / "flowers.dm", 6, parts=2).path


def test_a_torn_last_line_is_passed_over_and_said(path, capsys):
    reject(path, 0, 1)
    file = choices_file(path)
    with file.open("r+b") as stream:
        stream.truncate(file.stat().st_size - 20)
    assert rejected(path) == {0}
    assert main(["status", str(path)]) == 0
    assert "ends within a line, which is passed over" in capsys.readouterr().out
    reject(path, 1)
    Store.open(path).merge()
    assert rejected(path) == {0, 1}


def test_of_a_file_that_is_cut_anywhere_all_whole_lines_count(path):
    reject(path, 0, 1, 2)
    whole = choices_file(path).read_bytes()
    for length in range(0, len(whole), 7):
        choices_file(path).write_bytes(whole[:length])
        assert rejected(path) == set(range(whole[:length].count(b"\n")))


def test_verdicts_that_a_file_lost_since_they_were_compiled_are_said(path):
    reject(path, 0, 1)
    Store.open(path).merge()
    whole = choices_file(path).read_bytes()
    choices_file(path).write_bytes(whole[:-100])
    [problem] = Store.open(path).verify()
    assert problem.file == f"choices/{choices_file(path).name}"
    assert problem.what == "100 bytes of its verdicts are gone: put back a copy of it"
    choices_file(path).write_bytes(whole)
    assert Store.open(path).verify() == []


def test_what_follows_a_torn_line_is_read_when_its_writer_ends_it(path):
    reject(path, 0, 1)
    whole = choices_file(path).read_bytes()
    choices_file(path).write_bytes(whole[:-20])
    Store.open(path).merge()
    choices_file(path).write_bytes(whole)
    assert rejected(path) == {0, 1}


def test_a_line_that_is_not_a_verdict_is_named_and_the_others_count(path):
    reject(path, 0, 1)
    first, second = choices_file(path).read_text().splitlines()
    choices_file(path).write_text(f"{first}\n{second[:-9]}\n")
    for _ in range(2):  # read as it is, and compiled
        with pytest.warns(UserWarning, match=r"choices/.*line 2: it is not a verdict"):
            assert rejected(path) == {0}
        with pytest.warns(UserWarning, match="line 2"):
            store = Store.open(path)
        assert [problem.member for problem in store.verify()] == ["line 2"]
        store.merge()


@pytest.mark.parametrize(
    "line",
    [b"[]", b"{}", b"\xff", b'{"key": 1}', b"1e400", b'{"key":"a","variant":"0","verdict":"reject","time":1e300}'],
)
def test_any_line_is_read_or_named(path, line):
    reject(path, 0)
    with choices_file(path).open("ab") as stream:
        stream.write(line + b"\n")
    with pytest.warns(UserWarning, match="it is not a verdict"):
        assert rejected(path) == {0}


@pytest.mark.parametrize("harm", ["flip", "cut", "empty"])
def test_damaged_compiled_verdicts_are_not_used_and_are_repaired(path, harm):
    reject(path, 0, 2)
    Store.open(path).merge()
    file = path / COMPILED
    if harm == "flip":
        flip(file, file.stat().st_size - 5)
    os.truncate(file, {"flip": file.stat().st_size, "cut": 70, "empty": 0}[harm])
    assert rejected(path) == {0, 2}
    Store.repair(path)
    assert Choices(path).tail == 0
    assert rejected(path) == {0, 2}


def test_compiled_verdicts_of_a_file_that_is_gone_do_not_count(path):
    reject(path, 0)
    Store.open(path).merge()
    choices_file(path).unlink()
    assert rejected(path) == set()


def test_a_writer_that_is_killed_loses_no_verdict_that_was_acknowledged(path, tmp_path):
    acknowledged = tmp_path / "acknowledged"

    def work():
        store = Store.open(path)
        for number in range(6):
            store.choose([Verdict(key_of(number), VARIANT, "reject")] * 20)
            acknowledged.write_text(str(number))
        time.sleep(60)

    with child(work):
        while not acknowledged.exists() or acknowledged.read_text() < "2":
            time.sleep(0.005)
    count = int(acknowledged.read_text())
    assert rejected(path) >= set(range(count + 1))


def test_writers_in_several_processes_have_files_of_their_own(path):
    store = Store.open(path)
    store.choose([Verdict(key_of(0), VARIANT, "reject")])
    process = os.fork()
    if process == 0:
        store.choose([Verdict(key_of(1), VARIANT, "reject")])
        os._exit(0)
    os.waitpid(process, 0)
    copy.copy(store).choose([Verdict(key_of(2), VARIANT, "reject")])
    store.choose([Verdict(key_of(3), VARIANT, "reject")])
    assert len(list((path / "choices").iterdir())) == 3
    assert rejected(path) == {0, 1, 2, 3}


def test_after_a_write_that_failed_the_next_verdict_goes_to_another_file(path, monkeypatch):
    store = Store.open(path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(StoreError, match="free some space"):
            store.choose([Verdict(key_of(0), VARIANT, "reject")])
    store.choose([Verdict(key_of(1), VARIANT, "reject")])
    assert 1 in rejected(path)


def test_readers_write_nothing(path):
    reject(path, 0)
    before = {file: file.stat().st_mtime_ns for file in path.rglob("*")}
    assert rejected(path) == {0}
    list(Store.open(path).verdicts())
    Store.open(path).status()
    assert {file: file.stat().st_mtime_ns for file in path.rglob("*")} == before

"""Verdicts in a store: the last one counts, nothing is removed, and readers that do not know them are refused."""

import time

import pytest
from choices_files import put_again, reject, rejected
from store_files import VARIANT, key_of, make_store

from albu_diffusemix.cli import main
from albu_diffusemix.store import Store, StoreError, Verdict, store_json
from albu_diffusemix.store.choices import UNDO, opposite
from albu_diffusemix.store.choices_index import COMPILED, Choices


@pytest.fixture
def path(tmp_path):
    return make_store(tmp_path / "flowers.dm", 6, parts=2).path


def test_of_an_image_the_last_verdict_counts(path):
    reject(path, 0, 1)
    reject(path, 1, verdict="accept")
    assert rejected(path) == {0}


def test_a_handle_shows_its_own_verdicts_at_once(path):
    store = Store.open(path)
    store.choose([Verdict(key_of(2), VARIANT, "reject")])
    assert rejected(store) == {2}


def test_rejected_counterparts_are_left_out_by_kept_and_stay_in_the_store(path):
    reject(path, 0, 1, 2)
    store = Store.open(path)
    assert [record.seed for record in store.kept_records()] == [3, 4, 5]
    assert store.kept(store.variants(key_of(0))) == []
    assert [store.has(key_of(number), VARIANT) for number in range(6)] == [True] * 6
    assert store.verify() == []


def test_compiled_verdicts_are_those_of_the_files(path):
    reject(path, 0, 1, 2)
    reject(path, 1, verdict="accept")
    before = rejected(path)
    Store.open(path).merge()
    assert Choices(path).tail == 0
    assert rejected(path) == before == {0, 2}
    reject(path, 0, verdict="accept")
    reject(path, 3)
    assert rejected(path) == {2, 3}
    Store.open(path).merge()
    assert rejected(path) == {2, 3}
    assert Store.open(path).verify() == []


def test_a_verdict_of_an_earlier_time_does_not_count_against_a_later_one_that_is_compiled(path):
    reject(path, 0)
    Store.open(path).merge()
    reject(path, 0, verdict="accept", time=1000.0)
    assert rejected(path) == {0}


def test_verdicts_are_ordered_by_time_then_file_then_line(path):
    reject(path, 0, time=2000.0)
    reject(path, 1, 2, time=1000.0)
    assert [verdict.key for verdict in Store.open(path).verdicts()] == [key_of(1), key_of(2), key_of(0)]


def test_no_verdict_is_later_than_now(path):
    reject(path, 0, time=time.time() + 1e6)
    reject(path, 0, verdict="accept")
    assert rejected(path) == set()


def test_many_verdicts_are_compiled_on_the_way(tmp_path):
    path = make_store(tmp_path / "many.dm", 101).path
    reject(path, *range(101))
    assert (path / COMPILED).exists()
    assert Choices(path).tail == 0
    assert rejected(path) == set(range(101))


def test_an_image_that_is_made_again_does_not_inherit_a_verdict(path):
    reject(path, 0)
    put_again(path, 0, b"\xff\xd8\xff another picture")
    assert rejected(path) == set()
    assert Store.open(path).status()[-3:] == (0, 0, ())


def test_the_same_image_of_another_source_does_not_share_a_verdict(path):
    put_again(path, 1, Store.open(path).get(key_of(0), VARIANT)[0])
    reject(path, 0)
    for _ in range(2):
        assert rejected(path) == {0}
        Store.open(path).merge()


def test_a_verdict_on_an_image_that_was_made_again_since_is_refused(path):
    check = f"{Store.open(path).find(key_of(0), VARIANT).location.check:016x}"
    put_again(path, 0, b"\xff\xd8\xff another picture")
    with pytest.raises(StoreError, match="made again since that verdict: look at the new one first"):
        reject(path, 0, check=check)


@pytest.mark.parametrize(
    ("verdict", "complaint"),
    [
        (Verdict("nowhere.jpg", VARIANT, "reject"), "no counterpart 'nowhere.jpg' '0000' in the store"),
        (Verdict(key_of(0), "0001", "reject"), "no counterpart 'class0/00000.jpg' '0001' in the store"),
        (Verdict(key_of(0), VARIANT, "maybe"), "is 'maybe': give 'accept' or 'reject'"),
        (Verdict("/a.jpg", VARIANT, "reject"), "is absolute"),
    ],
)
def test_of_verdicts_with_a_wrong_one_none_is_written(path, verdict, complaint):
    with pytest.raises(ValueError, match=complaint):
        Store.open(path).choose([Verdict(key_of(1), VARIANT, "reject"), verdict])
    assert not (path / "choices").exists()


def test_opposite_verdicts_are_both_kept_and_shown_and_the_later_one_counts(path, capsys):
    reject(path, 0, reason="blurred")
    reject(path, 0, verdict="accept", reason="sharp enough")
    reject(path, 1, reason="blurred")
    assert main(["status", str(path), "--choices"]) == 0
    said = capsys.readouterr().out
    assert "Verdicts: 1 rejected, 1 accepted" in said
    assert "1 x rejected by hand: blurred" in said
    line = next(line for line in said.splitlines() if line.startswith("Opposite"))
    assert key_of(0) in line
    assert line.index("reject") < line.index("blurred") < line.index("accept") < line.index("sharp enough")
    assert key_of(1) not in line


def test_what_was_taken_back_is_not_an_opposite_verdict(path):
    reject(path, 0)
    reject(path, 0, verdict="accept", rule=UNDO)
    assert opposite(Store.open(path).verdicts()) == []


def test_a_reader_that_does_not_know_verdicts_is_refused(path, monkeypatch):
    Store.open(path)
    reject(path, 0)
    monkeypatch.setattr(store_json, "FEATURES", ("raw",))
    with pytest.raises(StoreError, match="needs choices, which this version cannot read"):
        Store.open(path)


def test_a_restored_store_json_still_refuses_such_readers(path):
    reject(path, 0)
    Store.open(path).merge()
    (path / "store.json").unlink()
    Store.repair(path)
    assert store_json.load(path)["needs"] == ["choices"]
    assert rejected(path) == {0}


def test_a_store_without_verdicts_needs_nothing_and_has_no_such_files(path):
    Store.open(path).merge()
    assert store_json.load(path)["needs"] == []
    assert not (path / COMPILED).exists()

"""Verdicts: training never draws what is rejected, nothing is removed, and no verdict is lost."""

import copy
import json
import os
import time

import numpy as np
import pytest
from job_files import Silent, content, generate, make, make_data, options_of
from store_files import VARIANT, child, flip, key_of, make_store, source_of

from albu_diffusemix.backends import Request
from albu_diffusemix.backends.precomputed import Precomputed
from albu_diffusemix.cli import main
from albu_diffusemix.generate import make_plan
from albu_diffusemix.images import read_image
from albu_diffusemix.keys import derive_seed
from albu_diffusemix.store import Store, StoreError, Verdict, store_json
from albu_diffusemix.store.choices import UNDO, opposite
from albu_diffusemix.store.choices_index import COMPILED, Choices


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


def reject(path, *numbers, verdict="reject", **fields):
    return Store.open(path).choose([Verdict(key_of(number), VARIANT, verdict, **fields) for number in numbers])


def rejected(path):
    store = path if isinstance(path, Store) else Store.open(path)
    return {record.seed for record in store.records() if store.is_rejected(record)}


def choices_file(path, number=0):
    return sorted((path / "choices").iterdir())[number]


def put_again(path, number, data):
    with Store.open(path).writer() as writer:
        writer.put(key_of(number), VARIANT, data, prompt="snowy", seed=number, source=source_of(number))


# What a store says


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


# Readers that do not know verdicts


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


# Damage


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


# The command


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


# Training and the doctor


@pytest.mark.parametrize("by_key", [True, False])
def test_training_never_draws_what_is_rejected(data, made, by_key):
    store = Store.open(made)
    key = "class1/001.png"
    image = image_of(data, key)
    store.choose([Verdict(key, "0001", "reject")])
    backend = Precomputed(str(made))
    requests = [Request(image, None, seed, key if by_key else None, (0, 0, 64, 48)) for seed in range(40)]
    assert {counterpart.variant for counterpart in backend.generate(requests)} == {"0000"}
    store.choose([Verdict(key, "0001", "accept", rule=UNDO)])
    brought_back = Precomputed(str(made))
    assert {counterpart.variant for counterpart in brought_back.generate(requests)} == {"0000", "0001"}


def image_of(data, key):
    return read_image(data / key)


def test_to_compare_what_is_rejected_is_drawn_where_the_spec_says_so(data, made):
    main(["reject", str(made), "class1/001.png"])
    backend = Precomputed(str(made), choices=False)
    request = Request(image_of(data, "class1/001.png"), None, 0, "class1/001.png", (0, 0, 64, 48))
    assert backend.generate([request])[0].status == "ok"
    assert backend.fingerprint != Precomputed(str(made)).fingerprint
    with pytest.raises(ValueError, match="choices must be true or false; got 'no'"):
        Precomputed(str(made), choices="no")


def test_an_image_that_lost_all_has_no_counterpart_and_the_error_says_why(data, made):
    key = "class1/001.png"
    Store.open(made).choose([Verdict(key, variant, "reject") for variant in ("0000", "0001")])
    request = Request(image_of(data, key), None, 0, key, (0, 0, 64, 48))
    with pytest.raises(ValueError, match=r"its counterparts are rejected .*reject --undo"):
        Precomputed(str(made)).generate([request])
    (counterpart,) = Precomputed(str(made), on_miss="passthrough").generate([request])
    assert counterpart.status == "missing"


def test_doctor_counts_an_image_that_lost_all_as_uncovered(data, made, capsys):
    main(["reject", str(made), "class1/001.png"])
    assert main(["doctor", str(data), str(made)]) == 1
    said = capsys.readouterr().out
    assert "has a counterpart for 2 of 3 images" in said
    assert "1 x its counterparts are rejected" in said


@pytest.mark.parametrize("kind", ["folder", "parquet"])
def test_exports_leave_out_what_is_rejected(made, tmp_path, kind):
    main(["reject", str(made), "class1/001.png", "--variant", "0000"])
    assert main(["export", str(made), "--to", kind, "-o", str(tmp_path / "out")]) == 0
    if kind == "folder":
        rows = [json.loads(line) for line in (tmp_path / "out/counterparts.jsonl").read_text().splitlines()]
        assert not (tmp_path / "out/class1/001.png/0000.jpg").exists()
    else:
        parquet = pytest.importorskip("pyarrow.parquet")
        rows = parquet.read_table(tmp_path / "out").to_pylist()
    assert len(rows) == 5
    assert ("class1/001.png", "0000") not in {(row["key"], row["variant"]) for row in rows}


@pytest.fixture
def copied(made, tmp_path):
    """A copy for Kaggle, without two rejected images, one of which was replaced since."""
    main(["reject", str(made), "class0/000.png", "--variant", "0000"])
    make(tmp_path / "train", made, per_image=2, replace_rejected=True)
    main(["reject", str(made), "class1/001.png", "--variant", "0001"])
    assert main(["export", str(made), "--to", "kaggle", "-o", str(tmp_path / "copy")]) == 0
    return tmp_path / "copy"


def test_a_copy_for_others_does_not_hold_the_bytes_of_what_is_rejected(made, copied):
    store = Store.open(made)
    whole = b"".join(file.read_bytes() for file in copied.rglob("*.part"))
    assert [store.read(record) in whole for record in store.kept_records()] == [True] * 5
    assert store.get("class1/001.png", "0001")[0] not in whole
    assert content(copied).keys() == {(record.key, record.variant) for record in store.kept_records()}
    assert Store.open(copied).status().images == 5


def test_readers_of_such_a_copy_need_to_know_nothing_of_verdicts(copied):
    assert store_json.load(copied)["needs"] == []
    assert not (copied / "choices").exists()


def test_what_is_left_out_of_a_copy_is_not_made_again_but_its_next_attempt_when_asked(data, copied):
    plan = make_plan(options_of(data, copied, per_image=2))
    assert (plan.present, plan.failed, plan.pending) == (5, 1, 0)
    make(data, copied, per_image=2, replace_rejected=True)
    record = Store.open(copied).find("class1/001.png", "0001")
    assert record.seed == derive_seed(0, record.key, record.prompt, "0001", 1)


# The job


def test_generate_counts_what_is_rejected_as_present(data, made, capsys):
    before = content(made)
    main(["reject", str(made), "class1/001.png"])
    plan = make_plan(options_of(data, made, per_image=2))
    assert (plan.present, plan.rejected, plan.pending) == (6, 2, 0)
    make(data, made, per_image=2)
    assert content(made) == before
    generate(data, made, "--per-image", "2", "--dry-run")
    assert "6 present (2 rejected, which --replace-rejected makes again), 0 to be made" in capsys.readouterr().out


def test_replace_rejected_makes_the_next_attempt_of_each(data, tmp_path):
    store, key = tmp_path / "noisy.dm", "class1/001.png"
    make(data, store, backend="procedural")
    before = content(store)
    for attempt in range(1, 4):
        main(["reject", str(store), key])
        assert make(data, store, backend="procedural", replace_rejected=True).made == 1
        record = Store.open(store).find(key, "0000")
        assert record.seed == derive_seed(0, key, record.prompt, "0000", attempt)
        assert not Store.open(store).is_rejected(record)
        assert make(data, store, backend="procedural", replace_rejected=True).made == 0
    others = {name: found for name, found in content(store).items() if name[0] != key}
    assert others == {name: found for name, found in before.items() if name[0] != key}


def test_replaced_counterparts_have_the_same_bytes_on_any_engine(data, tmp_path):
    found = []
    for workers in (1, 2):
        store = tmp_path / f"{workers}.dm"
        make(data, store, backend="procedural", per_image=2)
        main(["reject", str(store), "class0/000.png", "class1/001.png"])
        make(data, store, backend="procedural", per_image=2, replace_rejected=True, workers=workers)
        found.append(content(store))
    assert found[0] == found[1]


def test_what_is_replaced_is_drawn_by_training(data, tmp_path):
    store, key = tmp_path / "noisy.dm", "class1/001.png"
    make(data, store, backend="procedural")
    request = Request(image_of(data, key), None, 0, key, (0, 0, 64, 48))
    before = Precomputed(str(store)).generate([request])[0].image
    main(["reject", str(store), key])
    make(data, store, Silent(), backend="procedural", replace_rejected=True)
    after = Precomputed(str(store)).generate([request])[0].image
    assert not np.array_equal(before, after)

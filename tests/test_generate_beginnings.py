"""What a run leaves behind where it cannot begin, and what it says at its end."""

import json
import os
import signal
import threading

import cv2
import pytest
from job_files import (
    SIZE,
    Silent,
    arguments,
    children,
    content,
    failures,
    generate,
    images_so_far,
    make,
    make_data,
    options_of,
    start,
    wait_for,
)

from albu_diffusemix import generate as job
from albu_diffusemix.cli import main
from albu_diffusemix.generate import make_plan, run
from albu_diffusemix.store import Store

NOWHERE = {"name": "instruct_pix2pix", "model_id": "/nowhere/model"}


@pytest.fixture
def store(tmp_path):
    return tmp_path / "flowers.dm"


def lines_of(capsys):
    return [line for line in capsys.readouterr().err.splitlines() if "albu-diffusemix: error: " in line]


@pytest.mark.parametrize("count", [1, 3, 8, 20])
@pytest.mark.parametrize("there", ["nothing", "an empty folder"])
def test_a_backend_that_never_works_leaves_no_store(tmp_path, store, capsys, count, there):
    if there != "nothing":
        store.mkdir()
    assert generate(make_data(tmp_path / "data", count), store, fail_on="class") == 2
    [line] = lines_of(capsys)
    assert "RuntimeError: cannot do class" in line
    assert list(store.iterdir()) == [] if there != "nothing" else not store.exists()


@pytest.mark.parametrize("count", [1, 3, 20])
def test_a_dry_run_with_such_a_backend_ends_in_the_same_line(tmp_path, store, capsys, count):
    data = make_data(tmp_path / "data", count)
    assert generate(data, store, "--dry-run", fail_on="") == 0
    capsys.readouterr()
    assert generate(data, store, "--dry-run", fail_on="class") == 2
    dry = lines_of(capsys)
    assert generate(data, store, fail_on="class") == 2
    assert dry == lines_of(capsys)
    assert len(dry) == 1


@pytest.mark.parametrize("count", [2, 12])
@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_model_that_is_not_there_is_one_line_and_leaves_no_store(tmp_path, store, capsys, count, more):
    pytest.importorskip("diffusers")
    data = make_data(tmp_path / "data", count)
    command = ["generate", str(data), "-o", str(store), "--size", str(SIZE), "--backend", json.dumps(NOWHERE), *more]
    assert main(command) == 2
    [line] = lines_of(capsys)
    assert "/nowhere/model" in line
    assert not store.exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_whose_backend_never_works_leave_no_store(tmp_path, store, workers):
    data = make_data(tmp_path / "data", 3)
    process = start(tmp_path, arguments(data, store, "--workers", workers, fail_on="class"))
    _, err = process.communicate()
    assert process.returncode == 2
    assert err.count("albu-diffusemix: error: ") == 1
    assert not store.exists()


def test_what_failed_to_begin_does_not_bind_the_next_run(tmp_path, store):
    data = make_data(tmp_path / "data", 3)
    assert generate(data, store, "--base-seed", 5, fail_on="class") == 2
    assert generate(data, store, "--base-seed", 6, reject="") == 0
    assert Store.open(store).recipe.base_seed == 6


def test_a_mixed_recipe_of_a_backend_that_never_works_is_not_recorded(tmp_path, store):
    data = make_data(tmp_path / "data", 12)
    make(data, store, limit=1)
    assert generate(data, store, "--base-seed", 5, "--allow-mixed", fail_on="class") == 2
    assert Store.open(store).mixed == ()


def test_files_that_cannot_be_read_before_a_backend_fails_leave_no_store(tmp_path, store):
    data = make_data(tmp_path / "data", 10)
    for number in range(20):
        (data / f"class0/0-{number}.png").write_bytes(b"no image")
    assert generate(data, store, fail_on="class") == 2
    assert not store.exists()


def test_where_no_file_can_be_read_all_are_failures(tmp_path, store):
    data = make_data(tmp_path / "data", 3)
    for path in data.rglob("*.png"):
        path.write_bytes(b"no image")
    assert generate(data, store) == 1
    assert len(failures(store)) == 3


def test_one_image_that_fails_beside_others_is_a_failure(tmp_path, store):
    data = make_data(tmp_path / "data", 3)
    assert generate(data, store, fail_on="/000", batch_size=1) == 1
    assert len(failures(store)) == 1
    assert len(content(store)) == 2


def test_a_shard_without_sources_leaves_no_store(tmp_path, store):
    data = make_data(tmp_path / "data", 1)
    assert {generate(data, store.with_name(f"{i}.dm"), "--shard", f"{i}/2") for i in range(2)} == {0}
    assert sum(store.with_name(f"{i}.dm").exists() for i in range(2)) == 1


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_folder_that_holds_something_else_is_refused_before_anything_is_made(tmp_path, store, capsys, more):
    store.mkdir()
    (store / "notes.txt").write_text("somebody's")
    log = tmp_path / "log"
    assert generate(make_data(tmp_path / "data", 2), store, *more, log=str(log)) == 2
    assert "holds 'notes.txt' but no store.json" in capsys.readouterr().err
    assert [path.name for path in store.iterdir()] == ["notes.txt"]
    assert not log.exists()


def test_what_failed_because_its_worker_was_killed_is_tried_again_by_the_next_run(tmp_path, store):
    data = make_data(tmp_path / "data", 6)
    process = start(tmp_path, arguments(data, store, "--workers", 2, die_on="/004"))
    process.communicate()
    assert process.returncode == 1
    assert failures(store) == {("class1/004.png", "0000"): "its worker died 3 times (signal 9)"}
    plan = make_plan(options_of(data, store))
    assert (plan.pending, plan.failed) == (1, 0)
    assert generate(data, store) == 0
    assert len(content(store)) == 6
    assert failures(store) == {}


def test_what_failed_by_itself_is_not_tried_again(tmp_path, store):
    data = make_data(tmp_path / "data", 6)
    make(data, store, backend={"name": "negative", "fail_on": "/004"})
    plan = make_plan(options_of(data, store))
    assert (plan.pending, plan.failed) == (0, 1)


def test_workers_killed_from_outside_leave_no_failure(tmp_path, store):
    data = make_data(tmp_path / "data", 8)
    process = start(tmp_path, arguments(data, store, "--workers", 2, delay=0.2, batch_size=1))
    wait_for(lambda: (store / "store.json").exists() and images_so_far(store) > 0, process)
    for child in children(process):
        os.kill(child, signal.SIGKILL)
    process.communicate()
    assert process.returncode == 0
    assert failures(store) == {}


@pytest.mark.parametrize("error", [ValueError("no\npicture"), OSError(5, "I/O"), cv2.error("odd"), MemoryError()])
def test_a_contact_sheet_that_cannot_be_drawn_is_a_line_and_no_error(tmp_path, store, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(job, "contact_sheet", fail)
    reporter = Silent()
    summary = make(make_data(tmp_path / "data", 3), store, reporter)
    assert (summary.made, summary.missing) == (3, 0)
    [note] = reporter.notes
    assert note.startswith("the store's README and its picture cannot be written: ")
    assert "\n" not in note


def test_a_contact_sheet_whose_sources_hang_does_not_hold_up_the_end(tmp_path, store, monkeypatch):
    monkeypatch.setattr(job, "_SHEET_SECONDS", 0.2)
    end = threading.Event()
    monkeypatch.setattr(job, "contact_sheet", lambda *_: end.wait())
    reporter = Silent()
    assert make(make_data(tmp_path / "data", 3), store, reporter).made == 3
    end.set()
    assert "could not be read within 0 seconds" in reporter.notes[0]


@pytest.mark.filterwarnings("ignore:.*flowers.dm (has|was damaged):UserWarning")
def test_what_is_gone_at_the_end_is_said_and_the_status_is_1(tmp_path, store, monkeypatch, capsys):
    data = make_data(tmp_path / "data", 6)
    make(data, store, limit=3)
    [first] = store.glob("parts/*.tar")
    real = job._make

    def make_and_lose(*arguments):
        real(*arguments)
        for path in (first, first.with_suffix(".idx")):
            path.unlink()

    monkeypatch.setattr(job, "_make", make_and_lose)
    assert generate(data, store) == 1
    err = capsys.readouterr().err
    assert "3 counterparts are not in" in err
    assert "such as class0/000.png 0000" in err


def test_a_limited_run_that_made_all_it_was_asked_for_ends_with_0(tmp_path, store):
    data = make_data(tmp_path / "data", 6)
    assert [generate(data, store, "--limit", 4) for _ in range(2)] == [0, 0]


@pytest.mark.filterwarnings("ignore:.*flowers.dm (has|was damaged):UserWarning")
def test_a_part_that_was_cut_short_is_made_again_by_the_run_that_counts_it(tmp_path, store, capsys):
    data = make_data(tmp_path / "data", 6)
    make(data, store)
    whole = content(store)
    [part] = store.glob("parts/*.tar")
    os.truncate(part, part.stat().st_size // 2)
    capsys.readouterr()
    assert generate(data, store) == 0
    assert content(store) == whole
    assert " 0 to be made" not in capsys.readouterr().out


def test_the_plan_and_the_run_agree_after_a_kill(tmp_path, store):
    data = make_data(tmp_path / "data", 12)
    process = start(tmp_path, arguments(data, store, delay=0.1, batch_size=1))
    wait_for(lambda: (store / "store.json").exists() and images_so_far(store) > 2, process)
    process.kill()
    process.communicate()
    plan = make_plan(options_of(data, store), recover=True)
    assert plan.present > 0
    assert run(plan, Silent()).made == plan.pending == 12 - plan.present


def test_a_model_that_cannot_be_loaded_ends_the_run_before_any_image_is_asked_for(tmp_path, store, capsys):
    data, log = make_data(tmp_path / "data", 3), tmp_path / "asked.txt"
    assert generate(data, store, name="unloadable", log=str(log)) == 2
    [line] = lines_of(capsys)
    assert line.endswith("cannot be loaded: OSError: its weights are gone")
    assert not log.exists()
    assert not store.exists()

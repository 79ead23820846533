import signal
import threading

import pytest
from job_files import arguments, content, generate, make, make_data, start, wait_for

from albu_diffusemix.cli import main
from albu_diffusemix.generate import exclusive_runs
from albu_diffusemix.generate.exclusive_runs import exclusive_run
from albu_diffusemix.store import StoreError, run_lock
from albu_diffusemix.store.run_lock import hold_run

COUNT = 12
DOING = "wait for it"


@pytest.fixture
def data(tmp_path):
    return make_data(tmp_path / "data", COUNT)


@pytest.fixture
def store(tmp_path):
    return tmp_path / "flowers.dm"


@pytest.fixture
def both(data, store, tmp_path):
    """Start two slow runs at the same time, and return the status and the errors of each."""

    def run(*more):
        processes = [start(tmp_path, arguments(data, store, *one, delay=0.5, batch_size=1)) for one in more]
        errors = [process.communicate()[1] for process in processes]
        return [(process.returncode, error) for process, error in zip(processes, errors, strict=True)]

    return run


@pytest.mark.parametrize("there", [0, 1, 2, 3, 4])
def test_of_two_runs_that_start_together_one_runs_and_the_other_is_refused(data, store, both, there):
    if there:
        make(data, store, limit=there)
    (_, quiet), (status, error) = sorted(both([], []))
    assert status == 2
    lines = [line for line in error.splitlines() if line.startswith("albu-diffusemix: error: ")]
    assert len(lines) == 1
    assert "is being written by a live process (the whole store): wait for it, or share the work out" in lines[0]
    assert "error" not in quiet
    assert "Traceback" not in error + quiet
    assert len(content(store)) == COUNT


@pytest.mark.parametrize(
    ("one", "other"), [("0/2", "0/2"), ("0/2", "2/4"), ("1/2", "1/3"), ("0/3", "3/9"), ("0/1", "1/2")]
)
def test_shards_with_common_sources_do_not_run_together(store, one, other):
    first, second = (tuple(map(int, shard.split("/"))) for shard in (one, other))
    for held, asked in ((first, second), (second, first)):
        with hold_run(store, held, DOING, 0):  # noqa: SIM117  the inner one is refused
            with pytest.raises(StoreError, match=r"being written by a live process .*wait for it"):
                with hold_run(store, asked, DOING, 0):
                    pytest.fail("both run")


@pytest.mark.parametrize(("one", "other"), [((0, 2), (1, 2)), ((0, 2), (1, 4)), ((2, 6), (1, 4)), ((0, 3), (4, 9))])
def test_shards_without_common_sources_run_together(store, one, other):
    with hold_run(store, one, DOING, 0), hold_run(store, other, DOING, 0):
        assert len(list((store / "runs").glob("*.lock"))) == 2


def test_shards_overlap_just_where_some_number_leaves_both_remainders():
    shards = [(index, count) for count in range(1, 8) for index in range(count)]
    for one in shards:
        for other in shards:
            common = any(n % one[1] == one[0] and n % other[1] == other[0] for n in range(one[1] * other[1]))
            assert run_lock._overlap(one, other) == common


def test_two_shards_that_start_together_make_the_whole(data, store, both, tmp_path):
    assert [status for status, _ in both(["--shard", "0/2"], ["--shard", "1/2"])] == [0, 0]
    make(data, tmp_path / "whole.dm")
    assert content(store) == content(tmp_path / "whole.dm")


def test_of_many_that_ask_at_once_one_gets_the_lock(store):
    got, tried = [], threading.Barrier(8)

    def ask():
        tried.wait()
        try:
            with hold_run(store, (0, 1), DOING, 0):
                got.append(True)
                done.wait(60)
        except StoreError:
            refused.append(True)
            if len(refused) == 7:
                done.set()

    for _ in range(10):
        got.clear()
        refused, done = [], threading.Event()
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(got), len(refused)) == (1, 7)
        assert not store.exists()


def test_the_lock_of_a_dead_run_keeps_nobody_out_and_is_removed(data, store, tmp_path):
    process = start(tmp_path, arguments(data, store, "--shard", "1/2", delay=0.2))
    wait_for(lambda: list(store.glob("runs/1-of-2.lock")), process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert (store / "runs/1-of-2.lock").exists()
    assert generate(data, store) == 0
    assert not (store / "runs").exists()
    assert len(content(store)) == COUNT


def test_a_run_that_has_ended_leaves_no_lock(data, store):
    make(data, store)
    assert sorted(path.name for path in store.iterdir()) == [
        "README.md",
        "contact-sheet.jpg",
        "index",
        "parts",
        "store.json",
    ]


def test_where_the_file_system_has_no_locks_runs_go_on(data, store, monkeypatch):
    monkeypatch.setattr(run_lock, "try_lock", lambda *_: "unknown")
    with hold_run(store, (0, 1), DOING, 0):
        make(data, store)
    assert len(content(store)) == COUNT


def test_a_folder_that_is_empty_before_is_there_afterwards(store):
    store.mkdir()
    with hold_run(store, (0, 1), DOING, 0):
        pass
    assert list(store.iterdir()) == []


def test_an_import_waits_for_nobody_and_is_refused_while_a_run_is_under_way(data, store, capsys, monkeypatch):
    monkeypatch.setattr(exclusive_runs, "_GRACE", 0)
    make(data, store, encoding="png")
    main(["export", str(store), "--to", "folder", "-o", str(store.with_name("out"))])
    imported = store.with_name("imported.dm")
    command = ["import", str(store.with_name("out")), "-o", str(imported), "--sources", str(data)]
    capsys.readouterr()
    with exclusive_run(imported, (1, 2), DOING):
        assert main(command) == 2
        assert "(shard 1/2): wait until it has ended, then import" in capsys.readouterr().err
        assert [path.name for path in imported.iterdir()] == ["runs"]
    assert main(command) == 0

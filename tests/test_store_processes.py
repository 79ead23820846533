"""Processes that write, read, die, fork, or may not write: nothing acknowledged is lost and nobody waits."""

import contextlib
import errno
import fcntl
import multiprocessing
import os
import random
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from store_files import (
    HEAD,
    RECIPE,
    SAMPLE,
    VARIANT,
    abandon,
    child,
    found,
    key_of,
    make_store,
    part_file,
    picture,
    put,
    quiet_fork,
)

from albu_diffusemix.store import Store, StoreError, catalog, open_part
from albu_diffusemix.store.part_files import Listing

TOTAL = 999


@pytest.fixture
def path(tmp_path):
    return tmp_path / "flowers.dm"


def length_of(number: int) -> int:
    """Sizes from less than a block to many pages."""
    return random.Random(number).choice([10, 900, 5_000, 60_000])


def write_missing(path: Path, acknowledge: int, at_most: int = TOTAL) -> None:
    """Put pictures that are missing, tell the pipe of each that was acknowledged, and seal when none is missing."""
    store = Store.create(path, RECIPE)
    with store.writer(part_bytes=200_000) as writer:
        for number in range(TOTAL):
            if not store.has(key_of(number), VARIANT):
                if not at_most:
                    time.sleep(60)
                put(writer, number, length_of(number))
                os.write(acknowledge, b"%3d\n" % number)
                at_most -= 1


def killed_after(count: int, seconds: float, path: Path) -> set[int]:
    """Let a process put that many pictures, kill it a little later, and return what it had acknowledged."""
    reading, writing = os.pipe()
    with child(lambda: write_missing(path, writing, at_most=30)):
        lines = b"".join(os.read(reading, 4) for _ in range(count))
        time.sleep(seconds)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        return {int(line) for line in (lines + pipe.read()).splitlines()}


def contents(path: Path) -> dict[tuple[str, str], bytes]:
    store = Store.open(path)
    return {(record.key, record.variant): store.read(record) for record in store.records()}


def test_a_writer_killed_at_30_random_moments_loses_nothing_that_was_acknowledged(path):
    Store.create(path, RECIPE)
    rng = random.Random(9)
    acknowledged: set[int] = set()
    for kills in range(1, 31):
        acknowledged |= killed_after(rng.randrange(25), rng.uniform(0, 0.002), path)
        there = found(Store.create(path, RECIPE))
        assert acknowledged <= there
        assert len(there - acknowledged) <= kills
    assert 300 < len(there) < TOTAL
    with pipe_to_nowhere() as nowhere:
        write_missing(path, nowhere)
        write_missing(path.with_name("whole.dm"), nowhere)
    assert Store.open(path).verify() == []
    assert found(Store.open(path)) == set(range(TOTAL))
    assert contents(path) == contents(path.with_name("whole.dm"))


@contextlib.contextmanager
def pipe_to_nowhere() -> Iterator[int]:
    handle = os.open(os.devnull, os.O_WRONLY)
    yield handle
    os.close(handle)


@pytest.mark.parametrize("writers", [2, 4])
def test_several_writers_at_once_each_fill_parts_of_their_own(path, writers):
    def write(first: int) -> None:
        with Store.create(path, RECIPE).writer(part_bytes=20_000) as writer:
            for number in range(first, 160, writers):
                put(writer, number)

    run_all([lambda first=first: write(first) for first in range(writers)])
    store = Store.open(path)
    assert found(store) == set(range(160))
    assert store.verify() == []
    assert list((path / "parts").glob("*.open")) == []


def test_of_what_two_writers_put_at_once_one_is_seen(path):
    def write() -> None:
        with Store.open(path).writer(part_bytes=20_000) as writer:
            for number in range(60):
                put(writer, number)

    Store.create(path, RECIPE)
    run_all([write, write])
    store = Store.open(path)
    assert found(store) == set(range(60))
    store.merge()
    merged = Store.open(path)
    assert list(merged.records()) == list(store.records())
    assert merged.verify() == []


def run_all(works: Sequence[Callable[[], object]]) -> None:
    context = multiprocessing.get_context("fork")
    with quiet_fork():
        processes = [context.Process(target=work) for work in works]
        for process in processes:
            process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0


def test_a_live_writers_part_is_left_alone_and_what_is_sealed_can_be_read(path):
    make_store(path, 3)
    reading, writing = os.pipe()

    def write() -> None:
        writer = Store.open(path).writer()
        for number in range(3, 6):
            put(writer, number)
        os.write(writing, b"ready")
        time.sleep(60)

    with child(write):
        os.read(reading, 5)
        before = part_file(path, ".tar.open").read_bytes()
        store = Store.create(path, RECIPE)
        assert found(store) == {0, 1, 2}
        assert [(part.writer, part.images) for part in store.status().writing] == [("alive", 3)]
        assert store.verify() == []
        assert Store.repair(path) == ([], [])
        with store.writer() as writer:
            put(writer, 6)
        assert part_file(path, ".tar.open").read_bytes() == before
        assert found(Store.open(path)) == {0, 1, 2, 6}
    assert found(Store.create(path, RECIPE)) == set(range(7))
    os.close(reading)
    os.close(writing)


def test_stores_made_by_several_processes_at_once_are_one(path):
    run_all([lambda: Store.create(path, RECIPE)] * 4)
    assert found(Store.open(path)) == set()


def test_a_writer_is_refused_in_another_process(path):
    writer = Store.create(path, RECIPE).writer()
    put(writer, 0)
    for use in (lambda: put(writer, 1), writer.seal):
        assert answer_of(lambda use=use: str(use())).startswith("StoreError: this writer belongs to process")
    writer.seal()
    assert found(Store.open(path)) == {0}


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_handle_that_was_used_in_the_parent_reads_right_in_workers(path, method):
    make_store(path, 60, parts=3).merge()
    store = Store.open(path)
    assert found(store) == set(range(60))
    with quiet_fork(), ProcessPoolExecutor(2, multiprocessing.get_context(method)) as pool:
        assert list(pool.map(found, [store] * 4)) == [set(range(60))] * 4
    assert found(store) == set(range(60))


def test_a_handle_opens_the_parts_again_after_a_fork(path):
    store = make_store(path, 6)
    store.get(key_of(0), VARIANT)
    opened = part_file(path).stat()

    def use() -> str:
        for handle in range(3, 64):  # what the child inherited now reads another file
            with contextlib.suppress(OSError):
                if os.path.samestat(os.fstat(handle), opened):
                    os.dup2(os.open(path / "store.json", os.O_RDONLY), handle)
        return "right" if store.get(key_of(1), VARIANT)[0] == picture(1) else "wrong"

    assert answer_of(use) == "right"


def test_no_more_parts_are_open_than_the_limit_and_none_afterwards(path, monkeypatch):
    monkeypatch.setattr(catalog, "_OPEN_FILES", 3)
    store = make_store(path, 12, parts=12)
    before = open_files()
    assert found(store) == set(range(12))
    assert open_files() == before + 3
    del store
    assert open_files() == before


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def answer_of(work: Callable[[], str]) -> str:
    """Run the work in a forked process and return what it returns, or the error that it raises."""
    reading, writing = os.pipe()

    def report() -> None:
        try:
            answer = work()
        except Exception as error:  # noqa: BLE001, the other process judges
            answer = f"{type(error).__name__}: {error}"
        os.write(writing, answer.encode())

    with child(report), os.fdopen(reading) as pipe:
        os.close(writing)
        return pipe.read()


def as_another_user(work: Callable[[], str], folder: Path) -> str:
    """Run the work in the folder, which its user may read but not write."""
    for file in [folder, *folder.rglob("*")]:
        file.chmod(0o555)

    def become() -> str:
        os.chdir(folder)  # relative paths from here on: the folders above may be closed to the user
        if os.getuid() == 0:
            os.setgid(65534)
            os.setuid(65534)
        return work()

    try:
        return answer_of(become)
    finally:
        for file in [folder, *folder.rglob("*")]:
            file.chmod(0o755)


@pytest.mark.parametrize("merged", [False, True])
def test_a_read_only_folder_is_read_by_an_unprivileged_user(path, merged):
    make_store(path, 12, parts=3)
    if merged:
        Store.open(path).merge()

    def use() -> str:
        store = Store.open("flowers.dm")
        return f"{sorted(found(store)) == list(range(12))} {store.status().images} {store.verify()}"

    assert as_another_user(use, path.parent) == "True 12 []"


@pytest.mark.parametrize(
    ("work", "complaint"),
    [
        (lambda: put(Store.create("flowers.dm", RECIPE).writer(), 9), "cannot write in flowers.dm/parts"),
        (lambda: Store.create("new.dm", RECIPE), "cannot create new.dm"),
        (lambda: Store.open("flowers.dm").merge(), "cannot write flowers.dm/index/merged.idx"),
        (lambda: Store.open("flowers.dm").write_readme(), "cannot write flowers.dm/README.md"),
    ],
)
def test_writing_without_permission_is_one_line_with_what_to_do(path, work, complaint):
    make_store(path, 3)
    answer = as_another_user(lambda: str(work()), path.parent)
    assert answer == f"StoreError: {complaint}: Permission denied: ask for permission on that path or choose another"


def fill_up(path: Path) -> tuple[list[int], str]:
    """Put until there is no space, and return what was acknowledged and the error."""
    acknowledged: list[int] = []
    try:
        with Store.create(path, RECIPE).writer() as writer:
            for number in range(TOTAL):
                put(writer, number, 20_000)
                acknowledged.append(number)
    except StoreError as error:
        return acknowledged, str(error)
    return acknowledged, ""


def test_a_full_disk_is_one_line_and_what_was_acknowledged_stays(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = [shutil.which("mount") or "mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", disk]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system can be mounted by root only")
    try:
        (disk / "ballast").write_bytes(bytes(100_000))
        path = disk / "flowers.dm"
        acknowledged, error = fill_up(path)
        assert error == (
            f"cannot write {path}/parts/part-00000.tar.open: No space left on device: "
            "free some space and run again; everything acknowledged so far is kept"
        )
        assert 10 < len(acknowledged) < 30
        (disk / "ballast").unlink()
        assert found(Store.create(path, RECIPE)) == set(acknowledged)
    finally:
        subprocess.run([shutil.which("umount") or "umount", disk], check=True)


def test_a_limit_on_file_sizes_is_one_line_and_what_was_acknowledged_stays(path):
    def use() -> str:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
        acknowledged, error = fill_up(path)
        return f"{len(acknowledged)} {error}"

    count, error = answer_of(use).split(" ", 1)
    assert error.startswith(f"cannot write {path}/parts/part-00000.tar.open: File too large: raise the limit")
    assert found(Store.create(path, RECIPE)) == set(range(int(count)))
    assert int(count) == 200_000 // 22_016


def test_an_image_that_did_not_fit_can_be_put_again_by_the_same_writer(path, monkeypatch):
    writer = Store.create(path, RECIPE).writer()
    put(writer, 0)
    with monkeypatch.context() as broken:
        broken.setattr(os, "pwrite", half_written)
        with pytest.raises(StoreError, match="No space left on device"):
            put(writer, 1)
        assert part_file(path, ".tar.open").stat().st_size == HEAD + SAMPLE
    put(writer, 1)
    writer.seal()
    assert found(Store.open(path)) == {0, 1}
    assert Store.open(path).verify() == []


def half_written(handle: int, data: memoryview, offset: int, whole: Callable[..., int] = os.pwrite) -> int:
    if len(data) < 1000:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return whole(handle, data[: len(data) // 2], offset)


def test_an_image_put_while_the_disk_cannot_seal_is_salvaged_later(path, monkeypatch):
    def no_sync(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def write() -> None:
        with Store.create(path, RECIPE).writer() as writer:
            put(writer, 0)
            monkeypatch.setattr(os, "fsync", no_sync)

    with pytest.raises(StoreError, match=r"cannot seal .*part-00000.tar.open: Input/output error"):
        write()
    monkeypatch.undo()
    assert found(Store.create(path, RECIPE)) == {0}


def test_sealing_synchronises_the_tar_before_its_rename_and_then_its_folder(path, monkeypatch):
    done = []
    sync, rename = os.fsync, Path.rename
    monkeypatch.setattr(os, "fsync", lambda handle: (done.append(name_of(handle)), sync(handle)))
    monkeypatch.setattr(Path, "rename", lambda old, new: (done.append(f"to {new.name}"), rename(old, new))[1])
    make_store(path, 1)
    made = done.index("to part-00000.tar")
    assert "part-00000.tar.open" in done[:made]
    assert any(name.startswith("part-00000.idx.") for name in done[:made])
    assert "parts" in done[made:]


def name_of(handle: int) -> str:
    return Path(f"/proc/self/fd/{handle}").readlink().name


def test_a_merged_index_that_cannot_be_written_leaves_the_old_one(path, monkeypatch):
    make_store(path, 3).merge()
    before = (path / "index" / "merged.idx").read_bytes()
    with Store.open(path).writer() as writer:
        put(writer, 3)

    def no_space(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(os, "fsync", no_space)
        with pytest.raises(StoreError, match=r"cannot write .*merged.idx: No space left on device: free some space"):
            Store.open(path).merge()
    assert [file.name for file in (path / "index").iterdir()] == ["merged.idx"]
    assert (path / "index" / "merged.idx").read_bytes() == before


def test_a_store_is_made_where_there_are_no_hard_links(path, monkeypatch):
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(Path, "hardlink_to", no_links)
    assert found(make_store(path, 3)) == {0, 1, 2}
    assert list(path.glob("*.tmp")) == []


def test_a_name_that_another_writer_took_meanwhile_is_passed_over(path, monkeypatch):
    make_store(path, 3)
    abandon(path, 1, start=3)
    monkeypatch.setattr(open_part, "list_parts", lambda _: Listing([], [], [], [], []))
    with Store(path).writer() as writer:
        put(writer, 5)
    assert sorted(file.name for file in (path / "parts").iterdir()) == [
        "part-00000.idx",
        "part-00000.tar",
        "part-00001.tar.open",
        "part-00002.idx",
        "part-00002.tar",
    ]


@pytest.mark.parametrize(("end", "outcome"), [(False, "right"), (True, "is not as written")])
def test_a_read_that_gives_less_than_asked_goes_on_until_the_file_ends(path, monkeypatch, end, outcome):
    store = make_store(path, 3)
    whole = os.pread

    def half(handle: int, length: int, offset: int) -> bytes:
        return b"" if end and length < 500 else whole(handle, (length + 1) // 2, offset)

    monkeypatch.setattr(os, "pread", half)
    try:
        answer = "right" if store.get(key_of(1), VARIANT)[0] == picture(1) else "wrong"
    except StoreError as error:
        answer = str(error)
    assert outcome in answer


@pytest.fixture
def without_locks(monkeypatch):
    def no_locks(*_: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)


@pytest.mark.usefixtures("without_locks")
def test_without_file_locks_a_store_is_written_as_well(path):
    assert found(make_store(path, 6, parts=2)) == set(range(6))


@pytest.mark.usefixtures("without_locks")
def test_without_file_locks_an_open_part_waits_for_a_person_to_call_its_writer_dead(path):
    make_store(path, 3)
    abandon(path, 2, start=3)
    assert found(Store.create(path, RECIPE)) == {0, 1, 2}
    assert [part.writer for part in Store.open(path).status().writing] == ["unknown"]
    Store.repair(path, assume_dead=True)
    assert found(Store.open(path)) == set(range(5))

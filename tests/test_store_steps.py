"""A process that ends, or a call that fails, at any step of any change leaves a store that the next one repairs."""

import errno
import itertools
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from store_files import HEAD, RECIPE, SAMPLE, VARIANT, abandon, cut, found, key_of, make_store, part_file, put
from store_steps import Steps, watched

from albu_diffusemix.store import Store, StoreError, Verdict

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


class Change(NamedTuple):
    """A change of a store: what is there before, the work, and which pictures must, and may, be there afterwards."""

    prepare: Callable[[Path], object]
    work: Callable[[Path], object]
    kept: set[int]
    possible: set[int]


def write_three(path: Path) -> None:
    with Store.create(path, RECIPE).writer() as writer:
        for number in (6, 7, 8):
            put(writer, number)


def leave_a_hole(path: Path) -> None:
    make_store(path, 6, parts=2)
    file = abandon(path, 4, torn=300, start=6)
    with file.open("r+b") as stream:
        stream.seek(HEAD + SAMPLE + 700)
        stream.write(bytes(1000))


def cut_a_part(path: Path) -> None:
    make_store(path, 6, parts=2).merge()
    cut(part_file(path), HEAD + SAMPLE + 100)


def lose_a_part(path: Path) -> None:
    make_store(path, 6, parts=2).merge()
    part_file(path).write_bytes(b"rubbish" * 500)


def take_the_name(path: Path) -> None:
    make_store(path, 6, parts=2)
    file = abandon(path, 2, start=6)
    shutil.copy(part_file(path), file.with_name("part-00002.tar"))


def recover(path: Path) -> Store:
    return Store.create(path, RECIPE)


def end_a_writer(path: Path) -> None:
    make_store(path, 6)
    abandon(path, 2, start=6)


def let_in(path: Path) -> None:
    Store.create(path, replace(RECIPE, base_seed=1), allow_mixed=True)


def six(path: Path) -> None:
    make_store(path, 6, parts=3)


def reject_three(path: Path) -> None:
    Store.open(path).choose([Verdict(key_of(number), VARIANT, "reject") for number in range(3)])


def with_verdicts(path: Path) -> None:
    six(path)
    reject_three(path)


SIX, EIGHT = set(range(6)), set(range(8))
CHANGES = {
    "make a store": Change(lambda _: None, recover, set(), set()),
    "write and seal a part": Change(six, write_three, SIX, set(range(9))),
    "seal a dead writer's part": Change(end_a_writer, recover, EIGHT, EIGHT),
    "seal a dead writer's part with a hole": Change(leave_a_hole, recover, {*range(7), 8, 9}, {*range(7), 8, 9}),
    "seal a dead writer's part whose name is taken": Change(take_the_name, recover, EIGHT, EIGHT),
    "repair a part that was cut off": Change(cut_a_part, recover, {0, 3, 4, 5}, {0, 3, 4, 5}),
    "remove a part without a whole sample": Change(lose_a_part, Store.repair, {3, 4, 5}, {3, 4, 5}),
    "merge": Change(six, lambda path: Store(path).merge(), SIX, SIX),
    "write verdicts": Change(six, reject_three, SIX, SIX),
    "compile verdicts": Change(with_verdicts, lambda path: Store(path).merge(), SIX, SIX),
    "let a recipe in": Change(six, let_in, SIX, SIX),
    "write the README": Change(six, lambda path: Store(path).write_readme("text", b"\xff\xd8\xff"), SIX, SIX),
}


@pytest.fixture(params=CHANGES)
def change(request):
    return CHANGES[request.param]


@pytest.fixture
def prepared(change, tmp_path):
    change.prepare(tmp_path / "prepared.dm")
    return tmp_path / "prepared.dm"


def copied(prepared: Path) -> Path:
    path = Path(tempfile.mkdtemp(dir=prepared.parent)) / prepared.name
    if prepared.exists():
        shutil.copytree(prepared, path)
    return path


def check(change: Change, path: Path) -> None:
    """Repair the store as the next run does, and compare it with the truth."""
    Store.create(path, RECIPE)
    Store(path).merge()
    store = Store.open(path)
    assert change.kept <= found(store) <= change.possible
    assert store.verify() == []
    assert list(path.glob("parts/*.open")) == []


def left_behind(work: Callable[[Path], object], path: Path, *, after: bool, at: int | None = None) -> list[Path]:
    """Do the work, and return what a process leaves that ends before (or after) each step, or the one, and in the end.

    A copy is that: what the process wrote is there, what it did not write is not, and nobody holds its locks.
    """
    left = []

    def leave(step: Callable[[], Any]) -> Any:
        done = step() if after else None
        left.append(copied(path))
        return done if after else step()

    with watched(Steps(leave, at)):
        work(path)
    return [*left, path]


@pytest.mark.parametrize("after", [False, True])
def test_a_process_may_end_before_or_after_any_step(change, prepared, after):
    left = left_behind(change.work, prepared, after=after)
    assert len(left) > 2
    for path in left:
        check(change, path)


def test_the_next_process_may_end_at_the_same_step(change, prepared):
    for number, path in enumerate(left_behind(change.work, prepared, after=True)):
        check(change, left_behind(change.work, path, after=True, at=number)[0])


def failing(code: int, doing: Callable[[], object] = lambda: None) -> Callable[..., object]:
    def fail(_work: Callable[[], object]) -> object:
        doing()
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EMFILE, errno.EINTR, errno.EACCES])
def test_any_step_may_fail_in_one_line_and_what_was_acknowledged_stays(change, prepared, code):
    for number in itertools.count():
        path = copied(prepared)
        steps = Steps(failing(code), number)
        with warnings.catch_warnings(), watched(steps):
            try:
                change.work(path)
            except StoreError as error:
                assert os.strerror(code) in str(error) or "not read back" in str(error)  # noqa: PT017
                assert "\n" not in str(error)  # noqa: PT017
        check(change, path)
        shutil.rmtree(path)
        if steps.count <= number:
            break
    assert number > 1


def half_written(handle: int, data: memoryview, offset: int, write: Callable[..., int] = os.pwrite) -> int:
    return write(handle, data[: max(1, len(data) // 2)], offset)


def test_writes_that_take_less_than_they_were_given_go_on(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "pwrite", half_written)
    assert found(make_store(tmp_path / "flowers.dm", 6, parts=2)) == set(range(6))
    assert Store(tmp_path / "flowers.dm").verify() == []

"""Indexes that somebody made up, valid checks and all: they are refused or give right answers, and nothing else."""

import json
import os
import random
import resource
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from store_files import RECIPE, key_of, make_store, part_file, picture, source_of

from albu_diffusemix.cli import main
from albu_diffusemix.store import Store, StoreError
from albu_diffusemix.store.files import dump_checked
from albu_diffusemix.store.index import Index
from albu_diffusemix.store.index_file import SECTIONS, Contents, write_file
from albu_diffusemix.store.index_rows import ROW, check_row

COUNT = 6
ODD = (0, 1, 3, 97, 1 << 16, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)


@pytest.fixture
def path(tmp_path):
    make_store(tmp_path / "flowers.dm", COUNT, parts=2).merge()
    return tmp_path / "flowers.dm"


def forged(file: Path, rng: random.Random) -> str:
    """Replace one number of an index by another, and make all of its checks again; returns what was changed."""
    index = Index.open(file, whole=True)
    arrays = {name: array.copy() for name, array in index.arrays.items()}
    name = rng.choice([name for name in SECTIONS if name != "check"])
    field = rng.choice(ROW.names) if name == "rows" else ""
    column = arrays[name][field] if field else arrays[name]
    place, number = rng.randrange(len(column)), rng.choice([*ODD, rng.getrandbits(64)])
    column[place] = number % (1 << (8 * column.dtype.itemsize))
    raw = arrays["rows"].view(np.uint8).data
    arrays["rows"]["check"] = [check_row(raw[at : at + ROW.itemsize]) for at in range(0, len(raw), ROW.itemsize)]
    with file.open("wb") as stream:
        write_file(stream, Contents(index.parts, index.fields, index.recipe, arrays))
    return f"{name} {field} {place} {number}"


def use_everything(path: Path) -> None:
    """Ask all that can be asked; a StoreError is an answer, a wrong picture is not, and nothing else is raised."""
    store = Store(path)
    asks = [
        *(lambda number=number: store.variants(key_of(number)) for number in range(COUNT)),
        *(lambda number=number: store.variants_by_pixels(source_of(number).pixels) for number in range(COUNT)),
        lambda: store.variants("no/such.jpg"),
        lambda: list(store.records()),
        lambda: list(store.failures()),
        store.status,
        store.verify,
        store.merge,
    ]
    for ask in asks:
        try:
            answer = ask()
            for record in answer if isinstance(answer, list) else ():
                if hasattr(record, "offset"):
                    assert store.read(record) == picture(int(Path(record.key).stem))
        except StoreError:
            continue


@pytest.mark.parametrize("which", ["index/merged.idx", "parts/part-00000.idx"])
@pytest.mark.parametrize("seed", range(4))
def test_a_forged_number_anywhere_gives_no_wrong_picture_and_raises_nothing_unexpected(path, which, seed):
    rng = random.Random(seed)
    for _ in range(60):
        copy = path.with_name("copy.dm")
        shutil.copytree(path, copy)
        what = forged(copy / which, rng)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                use_everything(copy)
        except Exception as error:
            raise AssertionError(what) from error
        shutil.rmtree(copy)


def set_head(file: Path, **changes: object) -> None:
    """Change fields of an index's head, and make its check again."""
    data = file.read_bytes()
    start = 10 + int.from_bytes(data[8:10], "little")
    length = int(data[:start].split(b"'shape': (")[1].split(b",")[0])
    head = json.loads(data[start : start + length])
    del head["check"]
    text = dump_checked({**head, **changes})
    header = np.lib.format.header_data_from_array_1_0(np.zeros(len(text), np.uint8))
    with file.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        stream.write(text + data[start + length :])


@pytest.mark.parametrize(
    "changes",
    [
        {"parts": [["part-00000", -1, "x"]]},
        {"parts": [["part-00000", 1e308, "x"]]},
        {"parts": [[1, 2, 3]]},
        {"parts": [["part-00000"]]},
        {"parts": 7},
        {"sections": {}},
        {"sections": {name: [-1, 1 << 70] for name in SECTIONS}},
        {"sections": {name: ["a", None] for name in SECTIONS}},
        {"sections": {name: [0, 1 << 62] for name in SECTIONS}},
        {"store": 3},
        {"store": None},
        {"recipe": 5},
        {"recipe": {"recipe": "x"}},
        {"strings": None},
        {"version": 1e10},
        {"version": []},
    ],
)
@pytest.mark.parametrize("which", ["index/merged.idx", "parts/part-00000.idx"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_forged_head_is_passed_over(path, changes, which, capsys):
    set_head(path / which, **changes)
    use_everything(path)
    for command in ("status", "verify", "repair"):
        assert main([command, str(path)]) in (0, 1)
    assert "Traceback" not in capsys.readouterr().err
    assert len(list(Store.open(path).records())) == COUNT


@pytest.mark.parametrize(
    "text", [b"[" * 300_000, b'{"version": 1e400}', b'{"needs": {"a": 1}}', b"[]", b"null", b"7", b"\xff\xfe", b'"' * 9]
)
@pytest.mark.parametrize("command", ["status", "verify"])
def test_a_store_json_that_cannot_be_used_is_one_line(path, capsys, text, command):
    (path / "store.json").write_bytes(text)
    assert main([command, str(path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"`albu-diffusemix repair {path}` restores it" in error


USE_WITH_FEW_HANDLES = """
import sys, warnings
from albu_diffusemix.store import Recipe, Store
from store_files import found
warnings.simplefilter("error")
store = Store.open(sys.argv[1])
print(len(found(store)))
store.merge()
print(len(found(Store.open(sys.argv[1]))), Store(sys.argv[1]).verify(), Store(sys.argv[1]).status().images)
"""


def test_more_parts_than_file_handles_are_opened_read_and_merged(tmp_path):
    make_store(tmp_path / "many.dm", 300, parts=300)
    process = subprocess.run(
        [sys.executable, "-c", USE_WITH_FEW_HANDLES, tmp_path / "many.dm"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)),
    )
    assert process.stderr == ""
    assert process.stdout.split() == ["300", "300", "[]", "300"]


def test_a_reader_without_any_handle_left_says_what_to_raise(path):
    store = Store.open(path)
    record = store.find(key_of(0), "0000")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        with pytest.raises(StoreError, match=r"cannot read .*part-00000.tar: Too many open files: raise the limit"):
            store.read(record)
        with pytest.raises(StoreError, match=r"Too many open files: raise the limit"):
            Store.open(path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert store.read(record) == picture(0)


@pytest.mark.parametrize("name", ["store.json", "index/merged.idx", "parts/part-00000.idx", "parts/part-00007.tar"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_fifo_in_a_store_makes_nobody_wait(path, capsys, name):
    (path / name).unlink(missing_ok=True)
    os.mkfifo(path / name)
    for command in ("status", "verify"):
        assert main([command, str(path)]) in (0, 1, 2)
    out, err = capsys.readouterr()
    assert "is a FIFO" in out + err or "is passed over" in out + err
    if name != "store.json":
        assert len(list(Store.open(path).records())) == COUNT


def test_a_part_of_a_terabyte_that_is_almost_empty_ends_no_reader(path):
    part = part_file(path)
    with part.open("r+b") as stream:
        stream.truncate(1 << 40)
    with pytest.warns(UserWarning, match=r"part-00000.tar has 1099511627776 bytes"):
        store = Store.open(path)
    assert store.recipe == RECIPE

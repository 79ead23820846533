"""Stores travel: they are read where the system has no file locks, by other users, and under paths that move."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import albumentations as A
import numpy as np
import pytest
from precomputed_files import Entry, counterpart_of, make_store, picture, precomputed

from albu_diffusemix import HalfConcat, create_backend
from albu_diffusemix.images import write_image

IMAGES = {f"class/{number:03}.jpg": picture(number, 48, 64) for number in range(6)}

LIKE_WINDOWS = """
import os, sys
sys.modules["fcntl"] = None
for name in ("pread", "pwrite", "SEEK_DATA", "SEEK_HOLE", "O_NONBLOCK"):
    delattr(os, name)
"""

AS_ANOTHER_USER = """
import os
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
assert not os.access(sys.argv[1] + "/store.json", os.W_OK)
"""

IMPORTS = """
import hashlib, json, sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from albu_diffusemix.backends import Request
from albu_diffusemix.backends.precomputed import Precomputed
from albu_diffusemix.store import Store
"""

READING = """
path, images = sys.argv[1], dict(zip(sys.argv[3:], np.load(sys.argv[2])))
store, backend = Store.open(path), Precomputed(path)

def part_of(key):
    [by_key, by_pixels] = backend.generate([Request(images[key], None, 0, name) for name in (key, None)])
    assert np.array_equal(by_key.image, by_pixels.image)
    return hashlib.sha256(by_key.image).hexdigest()

with ThreadPoolExecutor(4) as threads:
    rounds = [list(threads.map(part_of, images)) for _ in range(20)]
assert all(each == rounds[0] for each in rounds)
status = store.status()
print(json.dumps({
    "parts": dict(zip(images, rounds[0])),
    "verified": list(map(str, store.verify())),
    "exported": sorted(record.key for record in store.records()),
    "status": [status.images, status.parts, [part.writer for part in status.writing]],
}))
"""

WRITING = """
import sys
from albu_diffusemix.store import Recipe, Store, StoreError

path = sys.argv[1]
writers = [
    lambda: Store.create(path, Store.open(path).recipe),
    lambda: Store.create(path + ".new", Store.open(path).recipe),
    lambda: Store.recover(path),
    lambda: Store.repair(path),
    lambda: Store.open(path).writer(),
    lambda: Store.open(path).merge(),
]
for write in writers:
    try:
        write()
    except StoreError as error:
        print(error)
"""


def python(code, *arguments, cwd=None):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, timeout=120)


@pytest.fixture
def folder():
    """Outside of pytest's folder, which only its owner may enter."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def store(folder):
    np.save(folder / "images.npy", np.stack(list(IMAGES.values())))
    return make_store(
        folder / "flowers.dm", *(Entry(key, each, counterpart_of(each, 32, 48)) for key, each in IMAGES.items())
    )


def reading(store, before="", once_imported=""):
    images = Path(store).with_name("images.npy")
    return python(before + IMPORTS + once_imported + READING, store, images, *IMAGES, cwd="/")


def read(store, *preludes):
    done = reading(store, *preludes)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def snapshot(store):
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in sorted(Path(store).rglob("*"))}


def test_a_store_is_read_in_whole_where_there_are_no_file_locks_and_no_pread(store):
    answer = read(store, LIKE_WINDOWS)
    assert answer == read(store)
    assert answer["verified"] == []
    assert answer["exported"] == sorted(IMAGES)
    assert answer["status"] == [len(IMAGES), 3, []]


def test_a_part_in_progress_is_counted_where_there_are_no_file_locks(store):
    part = next(Path(store, "parts").glob("*.tar"))
    part.with_name("other-00000.tar.open").write_bytes(part.read_bytes())
    assert read(store, LIKE_WINDOWS)["status"][2] == ["unknown"]


def test_a_damaged_image_is_told_of_where_there_is_no_pread(store):
    part = next(Path(store, "parts").glob("*.tar"))
    data = bytearray(part.read_bytes())
    data[data.index(b"\xff\xd8\xff") + 40] ^= 1
    part.write_bytes(data)
    done = reading(store, LIKE_WINDOWS)
    assert "is not as written" in done.stderr


def test_all_that_would_write_says_in_one_line_that_it_needs_file_locks(store):
    before = snapshot(store)
    done = python(LIKE_WINDOWS + WRITING, store)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 6
    assert all("cannot be written here: that needs the file locks of Linux or macOS" in line for line in lines)
    assert snapshot(store) == before
    assert not Path(store + ".new").exists()


def test_generate_says_in_one_line_that_it_needs_file_locks(folder):
    write_image(folder / "photographs/001.jpg", IMAGES["class/001.jpg"])
    program = LIKE_WINDOWS + "from albu_diffusemix.cli import main; sys.exit(main(sys.argv[1:]))"
    done = python(program, "generate", folder / "photographs", "-o", folder / "new.dm")
    assert done.returncode not in (0, 1)
    assert "cannot be written here" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_read_only_store_of_somebody_else_is_read(store):
    paths = [Path(store), *Path(store).rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    expected = read(store)
    assert read(store, "", AS_ANOTHER_USER) == expected


# Paths that move


@pytest.mark.parametrize("written", ["$DATA/flowers.dm", "${DATA}/flowers.dm", "~/flowers.dm"])
@pytest.mark.usefixtures("store")
def test_a_spec_keeps_the_path_as_written_and_opens_what_it_stands_for(folder, monkeypatch, written):
    for name in ("DATA", "HOME"):
        monkeypatch.setenv(name, str(folder))
    pipeline = A.Compose([HalfConcat(precomputed(written), p=1)])
    A.save(pipeline, folder / "train.yaml", data_format="yaml")
    assert written in (folder / "train.yaml").read_text()
    loaded = A.load(folder / "train.yaml", data_format="yaml")
    [(key, image)] = list(IMAGES.items())[:1]
    for each in (pipeline, loaded):
        assert not np.array_equal(each(image=image, diffusemix_metadata={"key": key})["image"], image)


def test_a_name_that_is_not_set_is_one_clear_error(monkeypatch):
    monkeypatch.delenv("DATA", raising=False)
    with pytest.raises(ValueError, match=r"store '\$DATA/flowers.dm': the environment variable DATA is not set"):
        create_backend(precomputed("$DATA/flowers.dm"))


def test_a_user_without_a_home_is_one_clear_error():
    with pytest.raises(ValueError, match="no home folder is known for '~nobody-of-this-name'"):
        create_backend(precomputed("~nobody-of-this-name/flowers.dm"))


def test_a_path_that_is_there_with_its_dollar_sign_is_taken_as_written(store, folder):
    path = Path(store).rename(folder / "$flowers.dm")
    assert str(path) in repr(create_backend(precomputed(str(path))))


@pytest.mark.usefixtures("store")
def test_a_relative_path_is_looked_for_where_the_script_was_started(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert "flowers.dm" in repr(create_backend(precomputed("flowers.dm")))

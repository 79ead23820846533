"""Whatever is cut, flipped, lost or crafted in a store: it is named, the rest is read, and no wrong image comes out."""

import io
import os
import random
import re
import shutil
import tarfile
import warnings
from pathlib import Path

import pytest
import xxhash
from store_files import (
    HEAD,
    RECIPE,
    SAMPLE,
    VARIANT,
    abandon,
    cut,
    flip,
    found,
    key_of,
    make_store,
    part_file,
    picture,
    put,
)

from albu_diffusemix.store import Store, StoreError, recovery
from albu_diffusemix.store.files import dump_checked
from albu_diffusemix.text import printable

COUNT = 6


@pytest.fixture
def path(tmp_path):
    make_store(tmp_path / "flowers.dm", COUNT, parts=2)
    return tmp_path / "flowers.dm"


@pytest.fixture
def merged(path):
    Store.open(path).merge()
    return path


def readable(path: Path) -> set[int]:
    """The numbers of the pictures that can still be read; an error is allowed, a wrong picture is not."""
    numbers = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        store = Store.open(path)
        for number in range(COUNT):
            try:
                for record in store.variants(key_of(number)):
                    assert store.read(record) == picture(number)
                    numbers.add(number)
            except StoreError as error:
                assert "damaged" in str(error)  # noqa: PT017, any number of records may raise
    return numbers


def copies(path: Path, count: int, seed: int):
    """Fresh copies of a store with a random number generator, to be broken one by one."""
    rng = random.Random(seed)
    for number in range(count):
        copy = path.with_name(f"copy{number}.dm")
        shutil.copytree(path, copy)
        yield copy, rng
        shutil.rmtree(copy)


def problems_of(path: Path) -> list[str]:
    return [str(problem) for problem in Store(path).verify()]


def repaired(path: Path) -> set[int]:
    """Repair, check that nothing is wrong any more, and return what is left."""
    report = Store.repair(path)
    assert report.repaired != []
    assert report.left == []
    assert problems_of(path) == []
    return found(Store.open(path))


@pytest.mark.parametrize("ending", [".tar", ".idx"])
def test_a_part_or_its_index_cut_anywhere_is_named_and_the_rest_is_read(path, ending):
    for copy, rng in copies(path, 25, seed=1):
        file = part_file(copy, ending)
        length = rng.randrange(file.stat().st_size)
        kept = range(max(0, length - HEAD) // SAMPLE) if ending == ".tar" else range(3)
        cut(file, length)
        assert readable(copy) == {*kept, 3, 4, 5}
        assert any(problem.startswith("part-00000") for problem in problems_of(copy))
        assert repaired(copy) == {*kept, 3, 4, 5}


def test_a_part_cut_while_a_reader_has_it_open_is_named_when_it_is_read(merged):
    store = Store.open(merged)
    cut(part_file(merged), 4000)
    with pytest.raises(
        StoreError, match=r"part-00000.tar is damaged: it has 4000 bytes of 9728; `albu-diffusemix veri"
    ):
        store.get(key_of(0), VARIANT)
    assert store.get(key_of(5), VARIANT)[0] == picture(5)
    assert any(problem.startswith("part-00000") for problem in problems_of(merged))
    assert repaired(merged) == {0, 3, 4, 5}


@pytest.mark.parametrize("ending", [".tar", ".idx"])
@pytest.mark.parametrize("with_merged", [False, True])
def test_a_bit_flipped_anywhere_in_a_part_is_found_and_no_wrong_image_is_read(path, ending, with_merged):
    if with_merged:
        Store.open(path).merge()
    for copy, rng in copies(path, 40, seed=2):
        file = part_file(copy, ending)
        flip(file, rng.randrange(file.stat().st_size))
        left = readable(copy)
        assert len(left) >= COUNT - 1
        assert any(problem.startswith("part-00000") for problem in problems_of(copy))
        assert repaired(copy) >= left & {0, 1, 2, 3, 4, 5} - ({0, 1, 2} if ending == ".tar" else set())


def test_every_bit_of_an_image_is_watched(merged):
    store = Store.open(merged)
    record = store.find(key_of(1), VARIANT)
    for position in random.Random(3).sample(range(record.location.length), 50):
        flip(part_file(merged), record.location.offset + position)
        with pytest.raises(StoreError, match=r"the image of class1/00001.jpg 0000 is not as written"):
            store.read(record)
        flip(part_file(merged), record.location.offset + position)
    assert store.read(record) == picture(1)


def test_a_damaged_image_is_named_by_part_and_member_and_dropped_by_repair(merged):
    record = Store.open(merged).find(key_of(1), VARIANT)
    flip(part_file(merged), record.location.offset + 100)
    assert "part-00000.tar: class1/00001.jpg/0000.json: its image is damaged" in problems_of(merged)[0]
    assert repaired(merged) == {0, 2, 3, 4, 5}
    with tarfile.open(part_file(merged)) as tar:
        assert len(tar.getnames()) == 5


def test_a_damaged_record_does_not_harm_reading_but_is_named(merged):
    record = Store.open(merged).find(key_of(1), VARIANT)
    flip(part_file(merged), record.location.offset + 1024 + 512 + 5)
    assert found(Store.open(merged)) == set(range(COUNT))
    assert "class1/00001.jpg/0000.json: its record is damaged" in problems_of(merged)[0]


def test_the_merged_index_cut_anywhere_is_named_and_done_without(merged):
    file = merged / "index" / "merged.idx"
    data = file.read_bytes()
    for length in random.Random(4).sample(range(len(data)), 30):
        file.write_bytes(data[:length])
        with pytest.warns(UserWarning, match=r"has 1 problem.*index/merged.idx"):
            store = Store.open(merged)
        assert found(store) == set(range(COUNT))
    assert problems_of(merged)[0].startswith("index/merged.idx: ")
    assert repaired(merged) == set(range(COUNT))


def test_a_bit_flipped_anywhere_in_the_merged_index_hides_no_image_and_is_found(merged):
    file = merged / "index" / "merged.idx"
    for position in random.Random(5).sample(range(file.stat().st_size), 200):
        flip(file, position)
        assert readable(merged) == set(range(COUNT))
        assert problems_of(merged)[0].startswith("index/merged.idx: ")
        flip(file, position)
    flip(file, 3000)
    assert repaired(merged) == set(range(COUNT))


def test_store_json_cut_anywhere_is_named_and_restored(path):
    file = path / "store.json"
    data = file.read_bytes()
    for length in random.Random(6).sample(range(len(data)), 15):
        file.write_bytes(data[:length])
        for use in (Store.open, lambda path: Store.create(path, RECIPE)):
            with pytest.raises(StoreError, match=r"store.json is damaged"):
                use(path)
        assert [problem.file for problem in Store.repair(path).repaired] == ["store.json"]
        assert file.read_bytes() == data


def test_a_bit_flipped_in_store_json_is_found_unless_it_says_the_same(path):
    file = path / "store.json"
    fields = Store.open(path).recipe, Store.open(path).provenance
    refused = 0
    for position in random.Random(7).sample(range(file.stat().st_size), 100):
        flip(file, position)
        try:
            store = Store.open(path)
            assert (store.recipe, store.provenance) == fields
        except StoreError:
            refused += 1
        flip(file, position)
    assert refused > 70


def test_a_lost_store_json_is_restored(path):
    (path / "store.json").unlink()
    assert repaired(path) == set(range(COUNT))


def test_a_store_json_that_nothing_remembers_cannot_be_restored(tmp_path):
    Store.create(tmp_path / "s.dm", RECIPE)
    (tmp_path / "s.dm" / "store.json").write_text("{")
    with pytest.raises(StoreError, match=r"store.json is damaged"):
        Store.repair(tmp_path / "s.dm")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_lost_index_is_made_again_from_the_tar(path):
    part_file(path, ".idx").unlink()
    assert found(Store.open(path)) == set(range(COUNT))
    assert repaired(path) == set(range(COUNT))
    assert part_file(path, ".idx").name == "part-00000.idx"


def test_an_index_whose_part_is_gone_is_named_and_removed(path):
    part_file(path).unlink()
    assert found(Store.open(path)) == {3, 4, 5}
    assert problems_of(path) == ["part-00000.idx: its part is gone"]
    assert repaired(path) == {3, 4, 5}


def test_a_merged_index_of_parts_that_are_gone_is_not_used(merged):
    part_file(merged).unlink()
    with pytest.warns(UserWarning, match="it covers parts that are gone: part-00000"):
        store = Store.open(merged)
    assert found(store) == {3, 4, 5}
    assert repaired(merged) == {3, 4, 5}


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_index_of_another_part_is_not_believed(path):
    shutil.copy(part_file(path, ".idx", 1), part_file(path, ".idx", 0))
    assert found(Store.open(path)) == set(range(COUNT))
    assert repaired(path) == set(range(COUNT))


@pytest.fixture
def other(tmp_path):
    """A store whose first part has the name and size of that in `path`, and other images at its places."""
    with Store.create(tmp_path / "other.dm", RECIPE).writer() as writer:
        for number in (2, 1, 0):
            put(writer, number)
    Store.open(tmp_path / "other.dm").merge()
    return tmp_path / "other.dm"


def test_the_merged_index_of_another_store_is_named_and_gives_no_wrong_image(merged, other):
    shutil.copy(other / "index" / "merged.idx", merged / "index" / "merged.idx")
    assert readable(merged) == {1, 3, 4, 5}
    assert problems_of(merged) == ["index/merged.idx: it does not agree with the indexes of the parts"]
    assert repaired(merged) == set(range(COUNT))


def test_the_index_of_another_stores_part_is_named_and_gives_no_wrong_image(path, other):
    shutil.copy(part_file(other, ".idx"), part_file(path, ".idx"))
    assert readable(path) == {1, 3, 4, 5}
    assert problems_of(path) == [
        f"part-00000.tar: {key_of(number)}/0000: tar and index do not agree on it" for number in (0, 2)
    ]
    assert repaired(path) == set(range(COUNT))


def test_a_part_without_one_whole_sample_is_removed_by_repair(path):
    part_file(path).write_bytes(b"rubbish" * 1000)
    assert repaired(path) == {3, 4, 5}


def test_bytes_behind_the_end_of_a_part_are_named(path):
    with part_file(path).open("ab") as file:
        file.write(b"x" * 512)
    assert any("bytes 8704 to 10240 belong to no member" in problem for problem in problems_of(path))
    assert repaired(path) == set(range(COUNT))


def test_an_open_part_cut_anywhere_keeps_its_whole_samples(path):
    for copy, rng in copies(path, 40, seed=8):
        file = abandon(copy, 4, start=COUNT)
        length = rng.randrange(file.stat().st_size)
        cut(file, length)
        assert found(Store.create(copy, RECIPE)) == {
            *range(COUNT),
            *range(COUNT, COUNT + max(0, length - HEAD) // SAMPLE),
        }
        assert problems_of(copy) == []
        assert list((copy / "parts").glob("*.open")) == []


def test_a_hole_in_an_open_part_costs_only_the_sample_it_is_in(path):
    file = abandon(path, 4, start=COUNT)
    with file.open("r+b") as stream:
        stream.seek(HEAD + SAMPLE + 700)
        stream.write(bytes(3000))
    assert found(Store.create(path, RECIPE)) == {*range(COUNT), 6, 9}
    assert problems_of(path) == []
    with tarfile.open(part_file(path, number=2)) as tar:
        assert len(tar.getnames()) == 5


def test_a_hole_in_a_part_is_named_by_its_bytes(path):
    with part_file(path).open("r+b") as stream:
        stream.seek(HEAD + SAMPLE)
        stream.write(bytes(SAMPLE))
    assert "part-00000.tar: bytes 3584 to 6144 belong to no member" in problems_of(path)
    assert repaired(path) == {0, 2, 3, 4, 5}


def test_a_part_that_was_about_to_be_sealed_is_sealed_with_all_its_samples(path):
    file = abandon(path, 4, start=COUNT)
    with file.open("ab") as stream:
        stream.write(bytes(1024))
    assert found(Store.create(path, RECIPE)) == set(range(COUNT + 4))


def test_a_part_sealed_by_somebody_else_is_not_sealed_twice(path):
    with Store.open(path).writer() as writer:
        put(writer, 6)
        part_file(path, ".tar.open").unlink()
        with pytest.raises(StoreError, match="was sealed or removed by somebody else"):
            writer.seal()


def test_bytes_that_changed_before_sealing_are_named_and_the_rest_is_sealed(path):
    with Store.open(path).writer() as writer:
        for number in (6, 7, 8):
            put(writer, number)
        flip(part_file(path, ".tar.open"), HEAD + SAMPLE + 700)
        with pytest.raises(StoreError, match=r"was not read back as it was written: .*its image is damaged"):
            writer.seal()
    assert found(Store.open(path)) == {*range(COUNT), 6, 8}


def test_a_part_that_its_writer_seals_while_it_is_looked_at_is_left_alone(path, monkeypatch):
    file = abandon(path, 2, start=COUNT)
    lock = recovery.try_lock

    def sealed_meanwhile(handle: int, kind: int) -> str:
        file.rename(file.with_suffix(""))
        return lock(handle, kind)

    monkeypatch.setattr(recovery, "try_lock", sealed_meanwhile)
    with pytest.warns(UserWarning, match=r"part-00002.idx: cannot read"):
        assert found(Store.create(path, RECIPE)) == set(range(COUNT + 2))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_open_part_whose_name_is_taken_is_sealed_under_another(path):
    file = abandon(path, 2, start=COUNT)
    shutil.copy(part_file(path), file.with_name("part-00002.tar"))
    assert found(Store.create(path, RECIPE)) == set(range(COUNT + 2))
    assert problems_of(path) == []
    assert list((path / "parts").glob("*.open")) == []


def crafted(path: Path, *members: tuple[str, bytes, bytes]) -> None:
    """Put a part into the store that holds these members, then a sound sample."""
    with tarfile.open(path / "parts" / "part-00009.tar", "w") as tar:
        for name, data, kind in members:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = kind, len(data), "/etc/passwd"
            tar.addfile(info, io.BytesIO(data))
        with tarfile.open(part_file(path)) as sound:
            for member in sound.getmembers()[:3]:
                tar.addfile(member, sound.extractfile(member))


def record(**changes: object) -> bytes:
    fields = {"key": "a.jpg", "variant": "0000", "prompt": "", "seed": 0, "height": 1, "width": 1, "pixels": "00" * 16}
    return dump_checked({**fields, "image": "", "reason": "blank", **changes})


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("../../evil/0000.jpg", b"\xff\xd8\xff", tarfile.REGTYPE),
        ("/etc/evil/0000.json", b"{}", tarfile.REGTYPE),
        ("__failed__/../../evil/0000", record(key="../../evil"), tarfile.REGTYPE),
        ("__failed__/a.jpg/../0000", record(variant="../0000"), tarfile.REGTYPE),
        ("__failed__/a.jpg/0000", record(seed=-1), tarfile.REGTYPE),
        ("__failed__/a.jpg/0000", record(seed="7"), tarfile.REGTYPE),
        ("__failed__/a.jpg/0000", record(pixels="zz"), tarfile.REGTYPE),
        ("__failed__/a.jpg/0000", dump_checked({"key": "a.jpg"}), tarfile.REGTYPE),
        ("__failed__/b.jpg/0000", record(), tarfile.REGTYPE),
        ("a.jpg/0000.json", record(), tarfile.REGTYPE),
        ("a.jpg/0000.txt", b"hello", tarfile.REGTYPE),
        ("a.jpg/0000.jpg", b"", tarfile.SYMTYPE),
        ("a.jpg", b"", tarfile.DIRTYPE),
    ],
)
def test_a_crafted_member_is_not_taken_in_and_what_follows_it_is(path, name, data, kind):
    crafted(path, (name, data, kind))
    store = Store.open(path)
    assert found(store) == set(range(COUNT))
    assert store.find(key_of(0), VARIANT).location.part == "part-00009"
    assert list(store.failures()) == []


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("between", "image_name", "image_kind", "record_name"),
    [
        ((), "a.jpg/0000.jpg", tarfile.REGTYPE, "b.jpg/0000.json"),
        ((), "b.jpg/0000.jpg", tarfile.REGTYPE, "a.jpg/0000.json"),
        ((), "a.jpg/0000.jpg", tarfile.SYMTYPE, "a.jpg/0000.json"),
        ([("a.jpg", b"", tarfile.DIRTYPE)], "a.jpg/0000.jpg", tarfile.REGTYPE, "a.jpg/0000.json"),
    ],
)
def test_an_image_and_its_record_are_two_plain_files_of_one_name_side_by_side(
    path, between, image_name, image_kind, record_name
):
    fields = record(reason="", image=xxhash.xxh3_64_hexdigest(b""))
    crafted(path, (image_name, b"", image_kind), *between, (record_name, fields, tarfile.REGTYPE))
    assert found(Store.open(path)) == set(range(COUNT))


def test_a_crafted_offset_reads_nothing_beyond_its_part(path, monkeypatch):
    store = Store.open(path)
    record = store.find(key_of(0), VARIANT)
    asked = []
    read = os.pread
    monkeypatch.setattr(os, "pread", lambda handle, length, at: asked.append(at + length) or read(handle, length, at))
    for changes in ({"offset": 1 << 40}, {"length": 0xFFFFFFFF}, {"offset": record.location.offset + 1}):
        with pytest.raises(StoreError, match="is not as written"):
            store.read(record._replace(location=record.location._replace(**changes)))
    assert asked == [record.location.offset + 1 + record.location.length]


@pytest.mark.parametrize(
    "name", ["a.b.tar", "part-00000 (1).tar", "\u00e9.tar", "part.tar.open.idx.txt", "\x1b[2J.tar"]
)
def test_a_file_that_is_not_named_as_a_part_is_named_and_passed_over(path, name):
    shutil.copy(part_file(path), path / "parts" / name)
    complaint = f"{printable(name)}: it is not a file named as a part and is passed over"
    with pytest.warns(UserWarning, match=re.escape(complaint)):
        assert found(Store.open(path)) == set(range(COUNT))
    with pytest.warns(UserWarning, match=re.escape(complaint)):
        assert found(Store.create(path, RECIPE)) == set(range(COUNT))
    assert problems_of(path) == [complaint]
    assert [str(problem) for problem in Store.repair(path).left] == [complaint]


def test_old_temporary_files_are_removed_by_repair_and_new_ones_are_left(path):
    old, new = path / "index" / "merged.idx.0.tmp", path / "index" / "merged.idx.1.tmp"
    old.touch()
    new.touch()
    os.utime(old, (0, 0))
    Store.repair(path)
    assert (old.exists(), new.exists()) == (False, True)


def test_a_store_without_its_parts_is_named(path):
    shutil.rmtree(path / "parts")
    with pytest.raises(StoreError, match=r"cannot read .*flowers.dm/parts: No such file or directory: check the path"):
        Store.open(path)

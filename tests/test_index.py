"""The index finds what was put in, by key and by pixels, and never says anything else when its file is damaged."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xxhash
from store_files import flip

from albu_diffusemix.store import Source, StoreError, index, index_file, indexing
from albu_diffusemix.store.index import Index
from albu_diffusemix.store.index_rows import ROW
from albu_diffusemix.store.indexing import index_part, join_indexes
from albu_diffusemix.store.records import Location, Part, Record, part_order

STORE = {"recipe": "any"}


def record_of(
    number: int, part: str = "part-00000", variant: str = "0000", encoding: str = "jpg", pixels: int = -1
) -> Record:
    digest = xxhash.xxh3_128_digest(b"%d" % (number if pixels < 0 else pixels))
    reason = "" if encoding else f"reason {number}"
    source = Source(10 + number, 20, digest)
    return Record(
        f"class/{number}.jpg",
        variant,
        f"p{number % 7}",
        number,
        source,
        encoding,
        reason,
        Location(part, number << 10, 99, ~0 % 2**64),
    )


def build(rows: list[Record], path: Path = Path("x.idx"), part: str = "part-00000") -> Index:
    return index_part(Part(part, 1 << 30, "00"), rows, STORE, path)


def saved(path: Path, count: int = 40) -> tuple[Path, list[Record]]:
    rows = [record_of(number) for number in range(count)]
    build(rows, path / "x.idx").save()
    return path / "x.idx", rows


def test_every_row_is_found_by_key_and_by_pixels_in_the_written_file(tmp_path):
    file, rows = saved(tmp_path, 3000)
    opened = Index.open(file, whole=True)
    assert [opened.by_key(record.key) for record in rows] == [[record] for record in rows]
    assert [opened.by_pixels(record.source.pixels) for record in rows] == [[record] for record in rows]


def test_what_was_not_put_in_is_not_found(tmp_path):
    opened = Index.open(saved(tmp_path, 3000)[0])
    assert not any(opened.by_key(f"other/{number}.jpg") for number in range(3000))
    assert not any(opened.by_pixels(random.Random(number).randbytes(16)) for number in range(3000))


@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 9])
def test_the_smallest_indexes_work_as_well(tmp_path, count):
    file, rows = saved(tmp_path, count)
    opened = Index.open(file, whole=True)
    assert sorted(opened.records()) == sorted(rows)
    assert [opened.by_key(record.key) for record in rows] == [[record] for record in rows]
    assert opened.by_key("other.jpg") == opened.by_pixels(bytes(16)) == opened.by_pixels(b"\xff" * 16) == []


def test_variants_come_ordered_by_name():
    rows = [record_of(1, variant=variant) for variant in ("snowy-1", "A", "0001", "snowy-0", "0000")]
    assert [record.variant for record in build(rows).by_key(rows[0].key)] == ["0000", "0001", "A", "snowy-0", "snowy-1"]


def test_sources_with_the_same_pixels_are_all_found():
    rows = [record_of(number, pixels=7) for number in range(5)]
    assert build(rows).by_pixels(rows[0].source.pixels) == rows


def test_failures_are_found_by_key_but_not_by_pixels():
    record = record_of(1, encoding="")
    assert build([record]).by_key(record.key) == [record]
    assert build([record]).by_pixels(record.source.pixels) == []


def test_keys_that_share_half_of_their_hash_are_kept_apart(monkeypatch):
    def half_equal(key: str) -> bytes:
        return b"\xaa" * 8 + xxhash.xxh3_64_digest(key.encode())

    monkeypatch.setattr(index, "hash_key", half_equal)
    monkeypatch.setattr(indexing, "hash_key", half_equal)
    rows = [record_of(number) for number in range(20)]
    built = build(rows)
    assert [built.by_key(record.key) for record in rows] == [[record] for record in rows]
    assert built.by_key("other.jpg") == []


def test_pixels_that_share_half_of_their_hash_are_kept_apart():
    hashes = [b"\xaa" * 8 + bytes([number] * 8) for number in range(20)]
    rows = [record_of(number)._replace(source=Source(1, 2, digest)) for number, digest in enumerate(hashes)]
    built = build(rows)
    assert [built.by_pixels(digest) for digest in hashes] == [[record] for record in rows]
    assert built.by_pixels(b"\xaa" * 16) == []


def test_rows_come_in_the_order_of_their_bytes():
    parts = [
        build([record_of(number, part) for number in numbers], part=part)
        for part, numbers in [("part-00001", [5, 3]), ("part-00000", [9, 1])]
    ]
    assert [record.seed for record in join_indexes(parts, STORE, Path()).records()] == [1, 9, 3, 5]


def test_merging_keeps_the_texts_of_each_row():
    parts = [build([record_of(number, part)], part=part) for number, part in enumerate(("a-1", "a-0", "b-7"))]
    rows = [record for part in parts for record in part.records()]
    merged = join_indexes(parts, STORE, Path())
    assert [merged.by_key(record.key) for record in rows] == [[record] for record in rows]


def test_merging_in_steps_is_merging_at_once():
    rows = {part: [record_of(number, part, "0000", "jpg") for number in range(9)] for part in ("a-3", "c-1", "b-2")}
    one, two, three = (build(own, part=part) for part, own in rows.items())
    stepwise = join_indexes([join_indexes([one, two], STORE, Path()), three], STORE, Path())
    at_once = join_indexes([three, one, two], STORE, Path())
    assert list(stepwise.records()) == list(at_once.records())
    assert stepwise.parts == at_once.parts


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_images_with_one_key_and_variant_the_later_part_wins(turned):
    early, late = (build([record_of(1, part)], part=part) for part in ("z-00002", "a-00010"))
    merged = join_indexes([late, early] if turned else [early, late], STORE, Path())
    assert [record.location.part for record in merged.by_key("class/1.jpg")] == ["a-00010"]
    assert len(merged) == 1


def test_an_image_wins_over_a_later_failure():
    image, failure = build([record_of(1, "a-1")], part="a-1"), build([record_of(1, "a-2", encoding="")], part="a-2")
    assert [record.failed for record in join_indexes([failure, image], STORE, Path()).by_key("class/1.jpg")] == [False]


def test_precedence_tells_what_merging_does():
    rows = [record_of(1, "a-2", encoding=""), record_of(1, "z-9"), record_of(1, "a-10")]
    assert max(rows, key=lambda record: record.precedence).location.part == "a-10"
    assert part_order("part") < part_order("part-00001") < part_order("a-00002")


def test_counts_tell_images_failures_and_sources():
    rows = [record_of(1), record_of(1, variant="0001"), record_of(2, encoding=""), record_of(3)]
    assert build(rows).counts() == (3, 1, 3)
    assert build([]).counts() == (0, 0, 0)


def test_numpy_reads_the_file_without_this_package(tmp_path):
    file, rows = saved(tmp_path)
    with file.open("rb") as stream:
        arrays = [np.load(stream) for _ in range(11)]
        assert stream.read() == b""
    assert arrays[2].dtype == ROW
    assert sorted(arrays[2]["seed"]) == sorted(record.seed for record in rows)
    assert bytes(arrays[9]).decode().count("class/") == len(rows)


def test_a_file_cut_anywhere_is_refused(tmp_path):
    file, _ = saved(tmp_path)
    data = file.read_bytes()
    for length in random.Random(1).sample(range(len(data)), 300):
        file.write_bytes(data[:length])
        with pytest.raises(StoreError, match="damaged"):
            Index.open(file)


def test_a_file_that_grew_is_refused(tmp_path):
    file, _ = saved(tmp_path)
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(StoreError, match=r"damaged: it has \d+ bytes of \d+"):
        Index.open(file)


def test_any_flipped_bit_is_found_when_the_whole_file_is_read(tmp_path):
    file, _ = saved(tmp_path)
    for position in random.Random(2).sample(range(file.stat().st_size), 600):
        flip(file, position)
        with pytest.raises(StoreError):
            Index.open(file, whole=True)
        flip(file, position)


def test_a_flipped_bit_never_changes_what_is_found(tmp_path):
    file, rows = saved(tmp_path)
    outcomes = set()
    for position in random.Random(3).sample(range(file.stat().st_size), 600):
        flip(file, position)
        for record in rows[::5]:
            outcomes.add(look_up(file, record, lambda opened, record=record: opened.by_key(record.key)))
            outcomes.add(look_up(file, record, lambda opened, record=record: opened.by_pixels(record.source.pixels)))
        flip(file, position)
    assert outcomes == {"right", "damaged"}


def look_up(file: Path, record: Record, ask: Callable[[Index], list[Record]]) -> str:
    try:
        rows = ask(Index.open(file))
    except StoreError:
        return "damaged"
    assert rows == [record]
    return "right"


def test_a_newer_format_is_refused_by_its_number(tmp_path, monkeypatch):
    file, _ = saved(tmp_path)
    monkeypatch.setattr(index_file, "VERSION", 0)
    with pytest.raises(StoreError, match="format version 1, this is 0: update"):
        Index.open(file)


@pytest.mark.parametrize(
    ("field", "text"), [("key", "../../etc/passwd"), ("variant", "../../x"), ("key", "/etc/passwd")]
)
def test_no_path_from_a_crafted_index_leaves_the_store(field, text):
    built = build([record_of(1)._replace(**{field: text})])
    with pytest.raises(StoreError, match="damaged"):
        list(built.records())


def test_a_part_name_from_a_crafted_index_is_refused(tmp_path):
    build([record_of(1)], tmp_path / "x.idx", part="../../etc/passwd").save()
    with pytest.raises(StoreError, match=r"part '\.\./\.\./etc/passwd': give"):
        Index.open(tmp_path / "x.idx")

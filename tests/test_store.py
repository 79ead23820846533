"""A store gives back what was put in it, refuses what does not fit it, and says what to do in one line."""

import copy
import json
import pickle
import tarfile

import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st
from store_files import (
    RECIPE,
    SOURCE,
    VARIANT,
    abandon,
    found,
    key_of,
    make_store,
    part_file,
    picture,
    put,
    source_of,
)

from albu_diffusemix.store import Source, Store, StoreError, health


@pytest.fixture
def path(tmp_path):
    return tmp_path / "flowers.dm"


def test_what_was_put_is_read_back(path):
    store = make_store(path, 30, parts=3)
    assert found(store) == set(range(30))
    data, record = store.get(key_of(7), VARIANT)
    assert data == picture(7)
    assert (record.prompt, record.seed, record.source, record.encoding) == ("snowy", 7, source_of(7), "jpg")


def test_what_was_put_is_read_back_from_the_merged_index(path):
    make_store(path, 30, parts=3).merge()
    assert found(Store.open(path)) == set(range(30))


def test_parts_sealed_after_merging_are_seen_as_well(path):
    make_store(path, 30, parts=3).merge()
    with Store.open(path).writer() as writer:
        put(writer, 30)
        put(writer, 31)
    store = Store.open(path)
    assert found(store) == set(range(32))
    assert store.status().images == 32


def test_a_source_is_found_by_its_pixels(path):
    store = make_store(path, 30, parts=3)
    assert [record.key for record in store.variants_by_pixels(source_of(7).pixels)] == [key_of(7)]
    assert store.variants_by_pixels(b"\xff" * 16) == []


def test_what_is_not_there_is_not_found(path):
    store = make_store(path)
    assert store.variants("other.jpg") == []
    assert store.find(key_of(0), "0001") is None
    assert not store.has("other.jpg", VARIANT)
    with pytest.raises(StoreError, match=r"flowers.dm has no variant '0001' of key 'class0/00000.jpg'"):
        store.get(key_of(0), "0001")


def test_an_empty_store_has_nothing(path):
    store = Store.create(path, RECIPE)
    assert found(store) == set()
    assert store.status()[:5] == (0, 0, 0, 0, 0)
    assert store.verify() == []
    store.merge()
    assert found(Store.open(path)) == set()


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=150),
            st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
            st.integers(0, 2**32 - 1),
            st.binary(max_size=700),
        ),
        max_size=8,
    ),
)
def test_any_key_prompt_seed_and_bytes_come_back_by_index_and_by_scanning_the_tar(tmp_path_factory, samples):
    path = tmp_path_factory.mktemp("any") / "s.dm"
    truth = {}
    with Store.create(path, RECIPE).writer() as writer:
        for key, prompt, seed, data in samples:
            try:
                writer.put(key, VARIANT, b"\xff\xd8\xff" + data, prompt=prompt, seed=seed, source=SOURCE)
            except ValueError:
                continue
            truth[key] = (prompt, seed, b"\xff\xd8\xff" + data)
    indexed = Store.open(path)
    assert {
        key: (record.prompt, record.seed, data) for key in truth for data, record in [indexed.get(key, VARIANT)]
    } == truth
    assert indexed.verify() == []


@pytest.mark.parametrize(
    "key", ["x" * 100, "y" * 300 + "/1.jpg", "caf\u00e9/\u65e5\u672c.jpg", "a.tar.gz/b.tar", "c.jpg/d.json"]
)
def test_long_and_odd_keys_are_members_that_the_standard_library_reads(path, key):
    with Store.create(path, RECIPE).writer() as writer:
        writer.put(key, VARIANT, picture(1), prompt="snowy", seed=1, source=SOURCE)
    with tarfile.open(part_file(path)) as tar:
        assert tar.getnames() == ["__recipe__", f"{key}/0000.jpg", f"{key}/0000.json"]
        assert tar.extractfile(f"{key}/0000.jpg").read() == picture(1)
        assert json.load(tar.extractfile(f"{key}/0000.json"))["key"] == key


def test_parts_hold_the_same_bytes_whenever_they_are_written(tmp_path):
    make_store(tmp_path / "a.dm")
    make_store(tmp_path / "b.dm")
    assert part_file(tmp_path / "a.dm").read_bytes() == part_file(tmp_path / "b.dm").read_bytes()
    assert part_file(tmp_path / "a.dm", ".idx").read_bytes() == part_file(tmp_path / "b.dm", ".idx").read_bytes()
    assert xxhash.xxh3_64_hexdigest(part_file(tmp_path / "a.dm").read_bytes()) == "22ccd33b4a133143"


@pytest.mark.parametrize(("start", "encoding"), [(b"\x89PNG\r\n\x1a\n", "png"), (b"RIFF\x10\0\0\0WEBP", "webp")])
def test_png_and_webp_are_kept_under_their_names(path, start, encoding):
    with Store.create(path, RECIPE).writer() as writer:
        writer.put("1.jpg", VARIANT, start + b"...", prompt="snowy", seed=1, source=SOURCE)
    data, record = Store.open(path).get("1.jpg", VARIANT)
    assert (data, record.encoding) == (start + b"...", encoding)
    with tarfile.open(part_file(path)) as tar:
        assert tar.getnames()[1] == f"1.jpg/0000.{encoding}"


def test_a_failure_is_a_row_with_its_reason_and_no_image(path):
    with Store.create(path, RECIPE).writer() as writer:
        put(writer, 0)
        writer.fail("broken.jpg", VARIANT, "cannot be decoded")
        writer.fail("black.jpg", VARIANT, "blank", prompt="snowy", seed=3, source=SOURCE)
    store = Store.open(path)
    assert [(record.key, record.reason, record.source) for record in store.failures()] == [
        ("broken.jpg", "cannot be decoded", Source(0, 0, bytes(16))),
        ("black.jpg", "blank", SOURCE),
    ]
    assert found(store) == {0}
    assert store.find("black.jpg", VARIANT).failed
    assert not store.has("black.jpg", VARIANT)
    assert store.variants("black.jpg") == []
    assert store.variants_by_pixels(SOURCE.pixels) == []
    assert store.status()[:3] == (1, 2, 3)
    assert store.verify() == []
    with pytest.raises(StoreError, match=r"black.jpg 0000 has no image in .*: blank"):
        store.get("black.jpg", VARIANT)


@pytest.mark.parametrize("merged", [False, True])
def test_an_image_takes_the_place_of_a_failure_in_any_later_or_earlier_part(path, merged):
    store = Store.create(path, RECIPE)
    with store.writer() as writer:
        writer.fail(key_of(0), VARIANT, "blank")
        put(writer, 1)
    if merged:
        Store.open(path).merge()
    with store.writer() as writer:
        put(writer, 0)
        writer.fail(key_of(1), VARIANT, "blank")
    store = Store.open(path)
    assert found(store) == {0, 1}
    assert list(store.failures()) == []
    assert store.status()[:3] == (2, 0, 2)


@pytest.mark.parametrize("merged", [False, True])
def test_of_two_images_with_one_key_and_variant_the_later_parts_is_seen_once(path, merged):
    store = Store.create(path, RECIPE)
    for number in (5, 6):
        with store.writer() as writer:
            writer.put("a.jpg", VARIANT, picture(number), prompt="snowy", seed=number, source=source_of(number))
        if merged and number == 5:
            Store.open(path).merge()
    store = Store.open(path)
    assert [record.seed for record in store.records()] == [record.seed for record in store.variants("a.jpg")] == [6]
    assert store.variants_by_pixels(source_of(5).pixels) == []
    assert [record.seed for record in store.variants_by_pixels(source_of(6).pixels)] == [6]
    assert store.status()[:3] == (1, 0, 1)


def test_a_writer_refuses_a_key_and_variant_that_it_has_written(path):
    with Store.create(path, RECIPE).writer() as writer:
        put(writer, 0)
        with pytest.raises(StoreError, match=r"class0/00000.jpg 0000 was written by this writer already"):
            put(writer, 0)
    assert found(Store.open(path)) == {0}


def test_a_full_part_is_sealed_and_the_next_one_started(path):
    with Store.create(path, RECIPE).writer("shard", part_bytes=5000) as writer:
        for number in range(10):
            put(writer, number)
    assert [file.name for file in sorted((path / "parts").glob("*.tar"))] == [
        f"shard-{number:05d}.tar" for number in range(5)
    ]
    assert found(Store.open(path)) == set(range(10))


def test_a_writer_that_put_nothing_leaves_nothing(path):
    with Store.create(path, RECIPE).writer():
        pass
    assert list((path / "parts").iterdir()) == []


def test_what_was_put_before_an_error_is_sealed(path):
    def interrupted() -> None:
        with Store.create(path, RECIPE).writer() as writer:
            put(writer, 0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert found(Store.open(path)) == {0}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"key": "../x"}, r"key '\.\./x' has"),
        ({"variant": "a.b"}, r"variant 'a\.b': give"),
        ({"data": b"GIF89a"}, r"data for 'a.jpg' '0000' starts with b'GIF89a': give a JPEG, PNG or WebP file"),
        ({"data": b""}, "starts with b'': give"),
        ({"seed": -1}, r"seed of a.jpg 0000 -1: give an int from 0 to 4294967295"),
        ({"seed": 2**32}, "seed of a.jpg 0000 4294967296"),
        ({"seed": 1.0}, r"seed of a.jpg 0000 1\.0"),
        ({"source": Source(-1, 2, bytes(16))}, "source height of a.jpg 0000 -1"),
        ({"source": Source(1, 2, b"short")}, "source pixels of a.jpg 0000: b'short', give the 16 bytes"),
        ({"prompt": "\ud800"}, "cannot be written as UTF-8"),
    ],
)
def test_a_wrong_argument_of_put_is_named_and_nothing_is_written(path, changes, complaint):
    arguments = {"key": "a.jpg", "variant": VARIANT, "data": picture(0), "prompt": "snowy", "seed": 0, "source": SOURCE}
    with Store.create(path, RECIPE).writer() as writer, pytest.raises(ValueError, match=complaint):
        writer.put(**{**arguments, **changes})
    assert found(Store.open(path)) == set()


def test_a_failure_without_a_reason_is_refused(path):
    with Store.create(path, RECIPE).writer() as writer, pytest.raises(StoreError, match=r"reason .* is empty"):
        writer.fail("a.jpg", VARIANT, "")


def test_a_key_is_one_in_all_its_unicode_forms(path):
    with Store.create(path, RECIPE).writer() as writer:
        writer.put("cafe\u0301.jpg", VARIANT, picture(0), prompt="snowy", seed=0, source=SOURCE)
        with pytest.raises(StoreError, match="already"):
            writer.put("caf\u00e9.jpg", VARIANT, picture(0), prompt="snowy", seed=0, source=SOURCE)
    store = Store.open(path)
    assert store.has("cafe\u0301.jpg", VARIANT)
    assert store.has("caf\u00e9.jpg", VARIANT)


@pytest.mark.parametrize("copied", [lambda store: pickle.loads(pickle.dumps(store)), copy.copy, copy.deepcopy])  # noqa: S301
def test_a_copied_handle_reads_the_same(path, copied):
    store = make_store(path)
    assert found(store) == found(copied(store)) == set(range(6))
    assert len(pickle.dumps(store)) < 500


def test_a_handle_is_pickled_before_its_store_exists(path):
    store = pickle.loads(pickle.dumps(Store(path)))  # noqa: S301
    make_store(path)
    assert found(store) == set(range(6))


def test_a_handle_shows_the_parts_that_were_there_when_it_was_opened(path):
    store = make_store(path, 3)
    with store.writer() as writer:
        put(writer, 3)
    assert found(store) == {0, 1, 2}
    assert found(Store.open(path)) == {0, 1, 2, 3}


def test_status_counts_parts_and_what_is_in_progress(path):
    store = make_store(path, 6, parts=2)
    with store.writer("late") as writer:
        put(writer, 6)
        writer.fail("x.jpg", VARIANT, "blank")
        status = store.status()
        (late,) = status.writing
        assert status[:4] == (7, 1, 8, 2)
        assert (late.part, late.writer, late.images, late.failures) == ("late-00002", "alive", 1, 1)
        assert late.size == part_file(path, ".tar.open").stat().st_size
    assert Store.open(path).status()[:4] == (7, 1, 8, 3)


def test_status_and_verify_tell_a_dead_writer(path):
    make_store(path, 3)
    abandon(path, 2, start=3)
    store = Store.open(path)
    assert [(part.writer, part.images) for part in store.status().writing] == [("dead", 2)]
    assert [str(problem) for problem in store.verify()] == [
        "part-00001.tar.open: its writer is dead: " + health._DEAD_WRITER.removeprefix("its writer is dead: "),
    ]


def test_verify_finds_nothing_in_a_sound_store(path):
    make_store(path, 12, parts=3).merge()
    assert Store.open(path).verify() == []
    assert Store.repair(path) == ([], [])


def test_the_readme_tells_how_the_store_was_made_and_shows_a_picture(path):
    store = make_store(path)
    assert '"fingerprint": "f00d"' in (path / "README.md").read_text()
    store.write_readme("Made on a Tuesday.", picture(0))
    page = (path / "README.md").read_text()
    assert "Made on a Tuesday." in page
    assert "(contact-sheet.jpg)" in page
    assert (path / "contact-sheet.jpg").read_bytes() == picture(0)


def test_a_picture_of_another_kind_is_refused(path):
    with pytest.raises(StoreError, match="starts with b'GIF89a': give the bytes of a JPEG or PNG file"):
        make_store(path).write_readme("", b"GIF89a")


def test_parts_of_stores_made_apart_join_by_copying(tmp_path):
    one, two = tmp_path / "one.dm", tmp_path / "two.dm"
    for path, label, numbers in ((one, "node1", range(3)), (two, "node2", range(3, 6))):
        with Store.create(path, RECIPE).writer(label) as writer:
            for number in numbers:
                put(writer, number)
    for file in (two / "parts").iterdir():
        file.rename(one / "parts" / file.name)
    assert found(Store.open(one)) == set(range(6))


def test_a_handle_shows_its_path(path):
    assert repr(make_store(path)) == f"Store({str(path)!r})"

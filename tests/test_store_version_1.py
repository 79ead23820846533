"""Stores of format version 1, kept as its code wrote them, open in every later version."""

import json
import shutil
from pathlib import Path

import pytest
import xxhash

from albu_diffusemix.cli import main
from albu_diffusemix.store import Store

KEPT = Path(__file__).parent / "golden" / "stores" / "version_1"
NAMES = ("merged", "unmerged", "partly_merged")
GENERATE = ("--backend", "procedural", "--prompt", "snowy", "--prompt", "sunset", "--size", "32")


@pytest.fixture
def kept(tmp_path):
    shutil.copytree(KEPT, tmp_path / "kept")
    return tmp_path / "kept"


def truth(name):
    return json.loads((KEPT / "truth.json").read_text())[name]


def images(store):
    return sorted(
        [
            *record[:4],
            record.source.height,
            record.source.width,
            record.source.pixels.hex(),
            xxhash.xxh3_64_hexdigest(store.read(record)),
        ]
        for record in store.records()
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_kept_store_reads_as_it_was_written(kept, name):
    store = Store.open(kept / name)
    assert images(store) == truth(name)["images"]
    assert sorted([record.key, record.variant, record.reason] for record in store.failures()) == truth(name)["failures"]


@pytest.mark.parametrize("name", NAMES)
def test_each_image_of_a_kept_store_is_found_by_key_and_by_pixels(kept, name):
    store = Store.open(kept / name)
    for key, variant, prompt, seed, *_, pixels, _ in truth(name)["images"]:
        record = store.find(key, variant)
        assert (record.prompt, record.seed) == (prompt, seed)
        assert record in store.variants_by_pixels(bytes.fromhex(pixels))


@pytest.mark.parametrize("per_image", [2, 3, 5])
def test_a_kept_store_is_gone_on_with_as_it_was_begun(kept, monkeypatch, capsys, per_image):
    monkeypatch.chdir(kept)
    assert main(["generate", "sources", "-o", "merged", *GENERATE, "--per-image", str(per_image)]) == 1
    out = capsys.readouterr().out
    assert f"{6 * max(0, per_image - 3) + max(0, per_image - 3)} to be made" in out
    store = Store.open("merged")
    assert {tuple(image) for image in truth("merged")["images"]} <= {tuple(image) for image in images(store)}
    for key, prompts in truth("merged gone on with").items():
        assert [record.prompt for record in store.variants(key)] == prompts[: max(per_image, 3)]


def test_what_a_killed_writer_left_in_a_kept_store_is_recovered(kept, monkeypatch):
    monkeypatch.chdir(kept)
    before = truth("partly_merged")["images"]
    main(["generate", "sources", "-o", "partly_merged", *GENERATE])
    store = Store.open("partly_merged")
    assert len(images(store)) == len(before) + 2
    assert store.find(before[0][0], "killed-1").seed == 5
    assert store.verify() == []


def test_the_mixed_recipes_of_a_kept_store_are_known(kept):
    store = Store.open(kept / "unmerged")
    assert [recipe.base_seed for recipe in (store.recipe, *store.mixed)] == [0, 9]

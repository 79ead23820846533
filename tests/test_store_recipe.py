"""A store says how it was made, is not continued otherwise, and is not made where something else is."""

import json
import os
from dataclasses import replace

import pytest
from store_files import RECIPE, found, make_store, quiet_fork

from albu_diffusemix.store import Recipe, Store, StoreError
from albu_diffusemix.store.files import dump_checked
from albu_diffusemix.store.store_json import publish


@pytest.fixture
def path(tmp_path):
    return tmp_path / "flowers.dm"


def test_a_store_remembers_its_recipe_and_provenance(path):
    Store.create(path, RECIPE, provenance={"command": "generate"})
    store = Store.open(path)
    assert store.recipe == RECIPE
    assert store.provenance == {"command": "generate"}


def test_creating_a_store_again_goes_on_with_it(path):
    make_store(path, 3)
    assert found(Store.create(path, RECIPE)) == {0, 1, 2}


def test_another_recipe_is_refused_with_all_differences(path):
    Store.create(path, RECIPE)
    other = Recipe({"name": "procedural", "strength": 0.7}, "beef", ("snowy", "sunset"), base_seed=1)
    with pytest.raises(StoreError) as caught:
        Store.create(path, other)
    assert str(caught.value) == (
        f"{path} was made with other parameters ("
        "backend.strength: the store has 0.5, you ask for 0.7; "
        "fingerprint: the store has 'f00d', you ask for 'beef'; "
        "size: the store has 64, you ask for None; "
        "base_seed: the store has 0, you ask for 1): "
        "use those, choose another folder, or allow mixed ones (--allow-mixed)"
    )


def test_of_two_processes_that_make_a_store_at_once_the_first_one_says_how(path):
    other = Recipe("procedural", "beef", ("snowy",))
    Store.create(path, RECIPE)
    publish(path, other, {})  # what the second does when it found no store a moment ago
    assert Store.open(path).recipe == RECIPE
    assert sorted(file.name for file in path.iterdir()) == ["README.md", "index", "parts", "store.json"]


def test_another_recipe_that_is_allowed_is_recorded_and_then_known(path):
    make_store(path, 2)
    other = Recipe("procedural", "beef", ("snowy",))
    assert found(Store.create(path, other, allow_mixed=True)) == {0, 1}
    assert Store.create(path, other).mixed == (other,)
    assert Store.open(path).recipe == RECIPE


def test_a_recipe_that_json_cannot_hold_is_refused(path):
    with pytest.raises(StoreError, match="cannot be written as JSON"):
        Store.create(path, Recipe({"name": object()}, "f00d", ()))


@pytest.mark.parametrize("value", [object(), float("nan"), "\ud800"])
def test_a_provenance_that_json_cannot_hold_is_refused_and_no_store_is_made(path, value):
    with pytest.raises(StoreError, match="cannot be written as JSON"):
        Store.create(path, RECIPE, provenance={"command": value})
    assert not (path / "store.json").exists()


@pytest.mark.parametrize(
    ("prepare", "complaint"),
    [
        (lambda _: None, "no store at .*: check the path, or make one with `albu-diffusemix generate DATA -o"),
        (lambda path: path.mkdir(), "is an empty folder: it is not a store"),
        (lambda path: (path / "parts").mkdir(parents=True), "has no store.json: it is not a store"),
        (lambda path: path.write_bytes(b""), "is a file, a store is a folder"),
    ],
)
def test_what_is_not_a_store_is_refused_in_one_line(path, prepare, complaint):
    prepare(path)
    with pytest.raises(StoreError, match=complaint) as caught:
        Store.open(path)
    assert "\n" not in str(caught.value)


def test_a_folder_that_holds_something_else_is_not_made_a_store(path):
    path.mkdir()
    (path / "thesis.doc").write_text("do not touch")
    with pytest.raises(StoreError, match=r"holds 'thesis.doc' but no store.json: choose a new or an empty folder"):
        Store.create(path, RECIPE)
    assert not (path / "store.json").exists()


def test_a_store_is_not_made_where_a_file_stands(path):
    path.write_bytes(b"")
    with pytest.raises(StoreError, match=r"cannot create .*flowers.dm: File exists"):
        Store.create(path, RECIPE)


def test_a_newer_format_is_refused_in_one_line(path):
    make_store(path)
    (path / "store.json").write_bytes(dump_checked({"format": "albu-diffusemix store", "version": 3, "shape": "new"}))
    for use in (Store.open, lambda path: Store.create(path, RECIPE)):
        with pytest.raises(StoreError, match=r"flowers.dm has format version 3, newer than 2: update albu-diffusemix"):
            use(path)


def test_features_that_this_version_does_not_know_are_refused_by_name(path):
    make_store(path)
    fields = json.loads((path / "store.json").read_text())
    del fields["check"]
    (path / "store.json").write_bytes(dump_checked({**fields, "needs": ["holograms", "smell\x1b"]}))
    with pytest.raises(StoreError, match=r"flowers.dm needs holograms, smell\\x1b, which .* update albu-diffusemix"):
        Store.open(path)


@pytest.mark.parametrize("draw", ["without_replacement", "in_turns"])
def test_recipes_that_draw_prompts_in_another_way_differ(path, draw):
    make_store(path)
    with pytest.raises(StoreError, match=f"draw: the store has 'with_replacement', you ask for '{draw}'"):
        Store.create(path, replace(RECIPE, draw=draw))


def test_an_edited_store_json_is_named(path):
    make_store(path)
    text = (path / "store.json").read_text()
    (path / "store.json").write_text(text.replace("snowy", "snowX"))
    with pytest.raises(StoreError, match=r"store.json is damaged"):
        Store.open(path)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"format": "something else"}, "store.json is not that of a store"),
        ({"format": "albu-diffusemix store", "version": 1}, "store.json is not one of format version 2: 'recipe'"),
        (
            {"format": "albu-diffusemix store", "version": 1, "recipe": {"prompts": []}, "mixed": []},
            "not one of format",
        ),
    ],
)
def test_a_store_json_of_another_make_is_named(path, fields, complaint):
    make_store(path)
    (path / "store.json").write_bytes(dump_checked(fields))
    with pytest.raises(StoreError, match=complaint):
        Store.open(path)


def test_a_store_json_with_another_layout_is_the_same(path):
    make_store(path)
    fields = json.loads((path / "store.json").read_text())
    (path / "store.json").write_text(json.dumps(fields))
    assert found(Store.open(path)) == set(range(6))


def test_the_readme_lists_every_recipe_that_was_let_in(path):
    store = make_store(path)
    for seed in (7, 8):
        store = Store.create(path, replace(RECIPE, base_seed=seed), allow_mixed=True)
    store.write_readme()
    page = (path / "README.md").read_text()
    assert [f'"base_seed": {seed}' in page for seed in (0, 7, 8, 9)] == [True, True, True, False]


def test_recipes_that_two_processes_let_in_at_once_are_both_kept(path):
    def let_in(seeds):
        for seed in seeds:
            Store.create(path, replace(RECIPE, base_seed=seed), allow_mixed=True)

    make_store(path)
    with quiet_fork():
        process = os.fork()
    if process == 0:
        let_in(range(10, 20))
        os._exit(0)
    let_in(range(20, 30))
    os.waitpid(process, 0)
    assert sorted(recipe.base_seed for recipe in Store.open(path).mixed) == list(range(10, 30))

"""`repair` restores what the store itself remembers, names what belongs elsewhere, and says what it did."""

import json
import os
import shutil
import tarfile
from dataclasses import replace

import numpy as np
import pytest
from store_files import RECIPE, abandon, cut, flip, found, key_of, make_store, part_file, put

from albu_diffusemix.cli import main
from albu_diffusemix.images import write_image
from albu_diffusemix.store import Store, StoreError

COUNT = 6


@pytest.fixture
def path(tmp_path):
    make_store(tmp_path / "flowers.dm", COUNT, parts=2)
    return tmp_path / "flowers.dm"


@pytest.fixture
def other(tmp_path):
    """A store that was made with other parameters."""
    with Store.create(tmp_path / "other.dm", replace(RECIPE, base_seed=7)).writer("other") as writer:
        for number in (50, 51):
            put(writer, number)
    return tmp_path / "other.dm"


def remove_indexes(path):
    for file in path.glob("*/*.idx"):
        file.unlink()


def copy_parts(source, target):
    for file in (source / "parts").iterdir():
        shutil.copy(file, target / "parts")


def test_a_part_says_how_it_was_made(path):
    with tarfile.open(part_file(path)) as tar:
        said = json.load(tar.extractfile("__recipe__"))
    assert said["recipe"] == RECIPE.to_json()
    assert (said["format"], said["version"], said["needs"]) == ("albu-diffusemix store", 2, [])


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("damage", [lambda file: file.unlink(), lambda file: file.write_bytes(b"")])
@pytest.mark.parametrize("indexes", [True, False])
def test_a_store_json_that_is_lost_or_empty_comes_back(path, damage, indexes):
    if not indexes:
        remove_indexes(path)
    damage(path / "store.json")
    report = Store.repair(path)
    assert (report.repaired[0].file, report.left) == ("store.json", [])
    store = Store.open(path)
    assert (store.recipe, store.mixed, found(store)) == (RECIPE, (), set(range(COUNT)))


def test_all_recipes_of_a_mixed_store_come_back(path):
    for seed in (1, 2):
        with Store.create(path, replace(RECIPE, base_seed=seed), allow_mixed=True).writer() as writer:
            put(writer, 10 * seed)
    (path / "store.json").unlink()
    assert Store.repair(path).left == []
    assert [recipe.base_seed for recipe in Store.open(path).mixed] == [1, 2]
    assert found(Store.open(path)) == {*range(COUNT), 10, 20}


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_store_json_comes_back_from_a_part_in_progress(tmp_path):
    path = tmp_path / "flowers.dm"
    Store.create(path, RECIPE)
    abandon(path, 2)
    (path / "store.json").unlink()
    assert Store.repair(path).left == []
    assert found(Store.open(path)) == {0, 1}


@pytest.fixture
def forgetful(tmp_path):
    """A store as version 1 wrote its parts, in which nothing remembers the recipe."""
    path = tmp_path / "old.dm"
    Store.create(path, RECIPE)
    new_part = part_file(make_store(tmp_path / "new.dm", 3).path)
    with tarfile.open(new_part) as new, tarfile.open(path / "parts/part-00000.tar", "w") as old:
        for member in new.getmembers()[1:]:
            old.addfile(member, new.extractfile(member))
    (path / "store.json").unlink()
    return path


def test_where_nothing_remembers_the_recipe_it_is_asked_for(forgetful, capsys):
    assert main(["repair", str(forgetful)]) == 2
    assert "give that with --recipe FILE" in capsys.readouterr().err


@pytest.mark.parametrize("whole", [True, False])
def test_a_recipe_can_be_given(forgetful, tmp_path, capsys, whole):
    fields = RECIPE.to_json()
    (tmp_path / "recipe.json").write_text(json.dumps({"recipe": fields} if whole else fields))
    assert main(["repair", str(forgetful), "--recipe", str(tmp_path / "recipe.json")]) == 0
    assert "repaired: store.json: " in capsys.readouterr().out
    assert found(Store.open(forgetful)) == {0, 1, 2}


@pytest.mark.parametrize("text", ["", "[]", '"x"', '{"backend": 1}', "[" * 100_000, "\udcff"])
def test_what_is_not_a_recipe_is_refused_in_one_line(forgetful, tmp_path, capsys, text):
    (tmp_path / "recipe.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert main(["repair", str(forgetful), "--recipe", str(tmp_path / "recipe.json")]) == 2
    error = capsys.readouterr().err
    assert "recipe.json' is not the JSON of a recipe" in error
    assert error.count("\n") == 1


def test_without_store_json_every_command_says_that_repair_restores_it(path, capsys):
    (path / "store.json").unlink()
    write_image(path.parent / "data/1.png", np.zeros((8, 8, 3), np.uint8))
    generate = ["generate", str(path.parent / "data"), "-o", str(path), "--backend", "procedural"]
    for command in (["status", str(path)], ["verify", str(path)], generate):
        assert main(command) == 2
        assert f"has no store.json: `albu-diffusemix repair {path}` restores it" in capsys.readouterr().err


@pytest.mark.parametrize("indexes", [True, False])
@pytest.mark.parametrize("merged", [True, False])
def test_parts_of_a_store_that_was_made_otherwise_are_named_and_not_read(path, other, indexes, merged):
    if merged:
        Store.open(path).merge()
    copy_parts(other, path)
    if not indexes:
        (path / "parts/other-00000.idx").unlink()
    complaint = r"other-00000.tar: it was made with other parameters and is not read"
    with pytest.warns(UserWarning, match=complaint):
        assert found(Store.open(path)) == set(range(COUNT))
    with pytest.warns(UserWarning, match=complaint):
        Store.create(path, RECIPE)
    assert [problem.file for problem in Store.repair(path).left] == ["other-00000.tar"]
    assert part_file(other).read_bytes() == (path / "parts/other-00000.tar").read_bytes()


def test_parts_that_were_made_in_the_same_way_join_the_store(path, tmp_path):
    with Store.create(tmp_path / "more.dm", RECIPE).writer("more") as writer:
        put(writer, 77)
    copy_parts(tmp_path / "more.dm", path)
    assert found(Store.open(path)) == {*range(COUNT), 77}
    assert Store(path).verify() == []


def test_a_part_whose_recipe_was_let_in_while_a_reader_opened_the_store_is_read(path, monkeypatch):
    before = Store.open(path)._now.fields
    with Store.create(path, replace(RECIPE, base_seed=1), allow_mixed=True).writer() as writer:
        put(writer, 40)
    answers = iter([before])
    from albu_diffusemix.store import store_json  # noqa: PLC0415

    load = store_json.load
    monkeypatch.setattr(store_json, "load", lambda root: next(answers, None) or load(root))
    assert found(Store.open(path)) == {*range(COUNT), 40}


@pytest.mark.parametrize("place", ["part-00000", "part-00000.tar", "class0"])
def test_unpacked_parts_are_recognised_by_every_command(path, capsys, place):
    Store.open(path).merge()
    with tarfile.open(part_file(path)) as tar:
        tar.extractall(path / "unpacked", filter="data")
    part_file(path).unlink()
    (path / "unpacked").rename(path / "parts" / place)
    for command in (["status", str(path)], ["verify", str(path)], ["repair", str(path)], ["doctor", ".", str(path)]):
        assert main(command) == 2
        error = capsys.readouterr().err
        assert f"parts/{place} is a folder, so its parts were unpacked" in error
        assert "generate" not in error


@pytest.mark.parametrize("name", ["part-00000.tar.zip", "part-00000.bin", "part-00000 (1).tar"])
@pytest.mark.parametrize("merged", [True, False])
def test_renamed_parts_are_recognised_by_every_command(path, capsys, name, merged):
    if merged:
        Store.open(path).merge()
        part_file(path, ".idx").unlink()
    part_file(path).rename(path / "parts" / name)
    for command in (["status", str(path)], ["doctor", ".", str(path)]):
        assert main(command) == 2
        error = capsys.readouterr().err
        assert f"its part part-00000.tar is gone, and parts/{name} looks like it" in error
        assert "generate" not in error


def test_repair_says_what_it_did_and_what_is_left(path, other, capsys):
    flip(part_file(path), Store.open(path).find(key_of(1), "0000").location.offset)
    copy_parts(other, path)
    assert main(["repair", str(path)]) == 1
    out = capsys.readouterr().out
    assert "repaired: part-00000.tar: class1/00001.jpg/0000.json: its image is damaged" in out
    assert "left: other-00000.tar: it was made with other parameters" in out
    assert "run the same `albu-diffusemix generate` again" in out


def test_a_sound_store_has_nothing_to_repair(path, capsys):
    Store.open(path).merge()
    assert main(["repair", str(path)]) == 0
    assert capsys.readouterr().out == f"0 problems repaired in {path}, 0 left\n"


def test_a_part_keeps_its_recipe_when_that_is_what_was_damaged(path):
    flip(part_file(path), 700)
    assert Store.repair(path).left == []
    with tarfile.open(part_file(path)) as tar:
        assert json.load(tar.extractfile("__recipe__"))["recipe"] == RECIPE.to_json()
    assert found(Store.open(path)) == set(range(COUNT))


def touched(path):
    """Give a part the time of a file that was changed after its index was written."""
    file = part_file(path)
    os.utime(file, ns=(0, file.with_suffix(".idx").stat().st_mtime_ns + 1))


@pytest.mark.parametrize("merged", [True, False])
def test_a_part_that_was_changed_is_repaired_before_more_is_written(path, merged):
    if merged:
        Store.open(path).merge()
    flip(part_file(path), Store.open(path).find(key_of(1), "0000").location.offset)
    touched(path)
    with pytest.warns(UserWarning, match=r"was damaged in 1 place\(s\), the first: part-00000.tar: .* was repaired"):
        store = Store.create(path, RECIPE)
    assert found(store) == {0, 2, 3, 4, 5}
    assert store.verify() == []


@pytest.mark.parametrize("merged", [True, False])
def test_a_part_that_was_cut_off_is_repaired_before_more_is_written(path, merged):
    if merged:
        Store.open(path).merge()
    cut(part_file(path), 5000)
    with pytest.warns(UserWarning, match="It was repaired"):
        store = Store.create(path, RECIPE)
    assert found(store) == {0, 3, 4, 5}
    assert store.verify() == []


def test_a_part_that_was_only_copied_is_read_once_and_not_again(path, monkeypatch):
    from albu_diffusemix.store import recovery  # noqa: PLC0415

    touched(path)
    looked = []
    verify = recovery.verify_part
    monkeypatch.setattr(recovery, "verify_part", lambda *a: looked.append(a[1]) or verify(*a))
    for _ in range(2):
        assert found(Store.create(path, RECIPE)) == set(range(COUNT))
    assert looked == ["part-00000"]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_damaged_index_of_a_part_is_made_again_by_the_merge_with_one_warning(path):
    Store.open(path).merge()
    file = part_file(path, ".idx")
    data = file.read_bytes()
    flip(file, 2000)
    with pytest.warns(UserWarning, match="Its index was made again") as caught:
        Store(path).merge()
    assert len(caught) == 1
    assert file.read_bytes() == data


def test_a_store_of_version_1_becomes_one_of_version_2_when_it_is_written_to(path):
    from albu_diffusemix.store import store_json  # noqa: PLC0415

    fields = store_json.load(path)
    store_json.restore(path, {name: value for name, value in fields.items() if name != "needs"} | {"version": 1})
    assert found(Store.open(path)) == set(range(COUNT))
    Store.create(path, RECIPE)
    assert store_json.load(path)["version"] == 2


def test_a_repair_of_what_is_not_a_store_is_refused(tmp_path):
    with pytest.raises(StoreError, match="no store at"):
        Store.repair(tmp_path / "nothing")

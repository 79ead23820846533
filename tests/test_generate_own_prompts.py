"""Sources that the data set gives prompts of their own."""

import json
from collections import defaultdict

import pytest
from job_files import content, make, make_data

from albu_diffusemix.store import Store

PROMPTS = {"000.png": ["a {label} in fog", "dusk"], "001.png": "dusk", "002.png": [], "003.png": None}


@pytest.fixture
def data(tmp_path):
    make_data(tmp_path, 4)
    return write(tmp_path / "list.jsonl", PROMPTS)


@pytest.fixture
def store(tmp_path):
    return tmp_path / "flowers.dm"


def write(path, prompts):
    files = sorted(path.parent.rglob("*.png"))
    lines = [
        {
            "path": str(file),
            "key": file.name,
            "label": "tea_rose",
            **({"prompts": prompts[file.name]} if prompts else {}),
        }
        for file in files
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def prompts_in(store):
    found = defaultdict(set)
    for (key, _), (prompt, *_) in content(store).items():
        found[key].add(prompt)
    return dict(found)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_source_with_prompts_of_its_own_has_these_and_the_others_those_of_the_run(data, store, workers):
    make(data, store, prompts=("snowy",), per_image=2, workers=workers)
    assert prompts_in(store) == {
        "000.png": {"a tea rose in fog", "dusk"},
        "001.png": {"dusk"},
        "002.png": {"snowy"},
        "003.png": {"snowy"},
    }


def test_all_prompts_are_those_of_the_source(data, store):
    make(data, store, prompts=("snowy", "sunset"), all_prompts=True)
    assert {variant for key, variant in content(store) if key == "000.png"} == {"a-tea-rose-in-fog", "dusk"}


def test_class_names_are_written_in_prompts_of_sources_too(data, store):
    make(data, store, prompts=("snowy",), per_image=2, class_names={"tea_rose": "rose"})
    assert prompts_in(store)["000.png"] == {"a rose in fog", "dusk"}
    assert Store.open(store).recipe.class_names == {"tea_rose": "rose"}


def test_the_recipe_says_that_sources_have_prompts_of_their_own(data, store):
    make(data, store)
    assert Store.open(store).recipe.prompts_by_source
    assert json.loads((store / "store.json").read_text())["recipe"]["prompts_by_source"] is True
    make(write(data, None), store.with_name("plain.dm"))
    assert "prompts_by_source" not in (store.with_name("plain.dm") / "store.json").read_text()


def test_a_second_run_makes_nothing(data, store):
    make(data, store, prompts=("snowy",))
    assert make(data, store).made == 0


def test_a_store_without_them_is_not_continued_with_them(data, store):
    make(write(data, None), store, prompts=("snowy",))
    with pytest.raises(ValueError, match="prompts_by_source: the store has False, you ask for True"):
        make(write(data, PROMPTS), store)


def test_other_prompts_of_a_source_than_the_store_has_are_refused(data, store):
    make(data, store, prompts=("snowy",))
    changed = write(data, PROMPTS | {"001.png": "dawn"})
    with pytest.raises(
        ValueError,
        match=r"source '001.png' has other prompts of its own now, and 'dawn' is asked for where .* has 'dusk'",
    ):
        make(changed, store)
    assert make(changed, store, allow_mixed=True).made == 0


WRONG = {
    "no label": ({"000.png": "{label}"}, "prompt '{label}' needs a label, and source '000.png' has none"),
    "impossible": ({"000.png": "impossible"}, "unknown prompt 'impossible'"),
    "twice": ({"000.png": ["a", "a"]}, "prompt 'a' is given twice"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_prompt_of_a_source_is_refused_before_anything_is_made(data, store, what):
    prompts, message = WRONG[what]
    write(data, PROMPTS | prompts)
    if what == "no label":
        data.write_text(data.read_text().replace(', "label": "tea_rose"', ""))
    with pytest.raises(ValueError, match=message):
        make(data, store)
    assert not store.exists()

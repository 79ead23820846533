"""Which prompts a source gets, and under which names they are kept."""

import json
import tarfile
from collections import Counter
from pathlib import Path

import pytest
from job_files import arguments, generate, make, make_data, start

from albu_diffusemix.datasets import SourceFile
from albu_diffusemix.generate import ResolvedOptions
from albu_diffusemix.generate.variants import variants_of
from albu_diffusemix.keys import derive_seed
from albu_diffusemix.store import Store

PROMPTS = ("snowy", "sunset", "aurora", "mosaic", "rainbow")
KEYS = [f"class/{number}.jpg" for number in range(5000)]
CHI_SQUARE = 18.47  # exceeded once in a thousand, with 4 degrees of freedom


@pytest.fixture
def data(tmp_path):
    return make_data(tmp_path / "data", 5)


@pytest.fixture
def store(tmp_path):
    return tmp_path / "flowers.dm"


def drawn(key, count, **options):
    job = ResolvedOptions(Path("data"), Path("store"), prompts=PROMPTS, per_image=count, **options)
    return [variant.prompt for variant in variants_of(SourceFile("", key), job)]


def records(store):
    for path in store.glob("parts/*.tar"):
        with tarfile.open(path) as tar:
            for member in tar:
                if member.name.endswith(".json"):
                    yield json.load(tar.extractfile(member))


def test_no_prompt_comes_twice_before_all_were_used():
    for key in KEYS[:500]:
        prompts = drawn(key, 15)
        assert [len(set(prompts[start : start + 5])) for start in (0, 5, 10)] == [5, 5, 5]


def test_later_rounds_are_drawn_again():
    rounds = [drawn(key, 10) for key in KEYS[:500]]
    assert sum(prompts[:5] == prompts[5:] for prompts in rounds) < 500 / 120 * 3


@pytest.mark.parametrize("draw", ["without_replacement", "with_replacement"])
def test_more_images_a_source_keep_the_first_draws(draw):
    for key in KEYS[:100]:
        whole = drawn(key, 13, draw=draw)
        assert all(drawn(key, count, draw=draw) == whole[:count] for count in range(1, 13))


@pytest.mark.parametrize("draw", ["without_replacement", "with_replacement"])
@pytest.mark.parametrize("place", range(7))
def test_each_prompt_is_as_likely_as_any_other_at_every_place(draw, place):
    counts = Counter(drawn(key, place + 1, draw=draw, base_seed=11)[place] for key in KEYS)
    expected = len(KEYS) / len(PROMPTS)
    assert sum((counts[prompt] - expected) ** 2 / expected for prompt in PROMPTS) < CHI_SQUARE


def test_over_whole_rounds_each_prompt_comes_exactly_as_often():
    counts = Counter(prompt for key in KEYS[:200] for prompt in drawn(key, 10))
    assert counts == dict.fromkeys(PROMPTS, 400)


def test_the_first_two_prompts_are_each_pair_as_often():
    counts = Counter(tuple(drawn(key, 2, base_seed=3)) for key in KEYS)
    assert len(counts) == 20
    assert sum((count - 250) ** 2 / 250 for count in counts.values()) < 43.82  # once in a thousand, 19 degrees


def test_with_replacement_each_draw_is_of_all_prompts_as_stores_of_version_1_have_it():
    for key in KEYS[:100]:
        seeds = [derive_seed(5, key, "", f"{number:04d}") for number in range(8)]
        assert drawn(key, 8, draw="with_replacement", base_seed=5) == [PROMPTS[seed % 5] for seed in seeds]


def test_other_base_seeds_draw_otherwise():
    assert sum(drawn(key, 5, base_seed=1) == drawn(key, 5, base_seed=2) for key in KEYS[:500]) < 500 / 120 * 3


def test_a_new_store_does_not_repeat_prompts_of_a_source(data, store):
    make(data, store, per_image=3)
    opened = Store.open(store)
    for path in data.rglob("*.png"):
        rows = opened.variants(path.relative_to(data).as_posix())
        assert sorted(row.prompt for row in rows) == ["aurora", "snowy", "sunset"]


def test_a_prompt_that_was_replaced_is_recorded_by_both_names(data, store):
    make(data, store, prompts=("foggy", "misty"), backend={"name": "negative", "nearest": "misty"})
    found = {(record["prompt"], record["used_prompt"]) for record in records(store)}
    assert found == {("foggy", "misty"), ("misty", "misty")}


@pytest.mark.parametrize("workers", [1, 2])
def test_the_summary_says_once_that_a_prompt_was_replaced(data, store, tmp_path, workers):
    command = arguments(data, store, "--prompt", "foggy", "--workers", workers, nearest="misty")
    out, _ = start(tmp_path, command).communicate()
    assert out.count("Prompt 'foggy' was drawn as 'misty'") == 1


def test_the_procedural_backend_tells_which_filter_it_used(data, store):
    make(data, store, backend="procedural", prompts=("a snowfall",))
    assert {(record["prompt"], record["used_prompt"]) for record in records(store)} == {("a snowfall", "snowy")}


def test_a_prompt_that_was_not_replaced_is_not_spoken_of(data, store, capsys):
    generate(data, store)
    assert "was drawn as" not in capsys.readouterr().out

"""More counterparts for small classes."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from job_files import content, generate, make, make_data, options_of

from albu_diffusemix.datasets import SourceFile
from albu_diffusemix.generate import make_plan
from albu_diffusemix.generate.balance import per_image, raise_small_classes
from albu_diffusemix.store import Store


def sources_of(**classes):
    return [
        SourceFile("", f"{label}/{number}.png", label) for label, count in classes.items() for number in range(count)
    ]


def counts_by_source(sources, usual, least):
    raised = raise_small_classes(sources, usual, least)
    return {source.key: per_image(source, usual, raised) for source in sources}


@pytest.fixture
def data(tmp_path):
    """Classes of 3, 2 and 2 images."""
    return make_data(tmp_path / "data", 7)


@pytest.fixture
def store(tmp_path):
    return tmp_path / "flowers.dm"


@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5), usual=st.integers(1, 4), least=st.integers(1, 200))
def test_each_class_has_exactly_the_least_number_or_its_usual_one(sizes, usual, least):
    sources = sources_of(**{f"class{place}": size for place, size in enumerate(sizes)})
    counts = counts_by_source(sources, usual, least)
    for place, size in enumerate(sizes):
        of_class = [count for key, count in counts.items() if key.startswith(f"class{place}/")]
        assert size + sum(of_class) == max(least, size * (1 + usual))
        assert max(of_class) - min(of_class) <= 1
        assert min(of_class) >= usual


def test_what_a_source_gets_does_not_depend_on_the_order():
    sources = sources_of(few=7, many=50)
    counts = counts_by_source(sources, 1, 40)
    random.Random(0).shuffle(sources)
    assert counts_by_source(sources, 1, 40) == counts
    assert set(Counter(counts.values())) == {1, 4, 5}


def test_those_that_get_one_more_are_chosen_by_the_hash_of_their_keys_not_by_their_order():
    counts = list(counts_by_source(sources_of(few=100), 1, 250).values())
    assert counts != sorted(counts)
    assert counts != sorted(counts, reverse=True)


def test_a_larger_number_keeps_every_counterpart(data, store):
    make(data, store, balance=8)
    before = content(store)
    make(data, store, balance=13)
    after = content(store)
    assert len(before) == 17
    assert len(after) == 32
    assert {key: after[key] for key in before} == before


def test_the_number_is_not_part_of_the_recipe(data, store):
    make(data, store, balance=8)
    make(data, store.with_name("plain.dm"))
    assert Store.open(store).recipe == Store.open(store.with_name("plain.dm")).recipe
    assert make_plan(options_of(data, store)).pending == 0


def test_a_shard_counts_the_whole_data_set(data, store):
    whole = make_plan(options_of(data, store, balance=8))
    shards = [make_plan(options_of(data, store, balance=8, shard=(number, 3))) for number in range(3)]
    assert whole.wanted == sum(shard.wanted for shard in shards) == 17
    assert all(shard.options.raised == whole.options.raised for shard in shards)


def test_a_source_without_a_label_is_refused(data, store):
    next(data.rglob("*.png")).rename(data / "flat.png")
    with pytest.raises(ValueError, match=r"balance needs a label for each source, and .flat\.png. has none"):
        make_plan(options_of(data, store, balance=8))


def test_it_is_refused_beside_all_prompts(data, store, capsys):
    assert generate(data, store, "--balance", 8, "--all-prompts") == 2
    assert "balance needs per_image" in capsys.readouterr().err


@pytest.mark.parametrize("number", ["0", "-1", "many"])
def test_a_number_that_is_not_one_is_refused(data, store, number, capsys):
    with pytest.raises(SystemExit):
        generate(data, store, "--balance", number)
    assert "--balance: must be a whole number of at least 1" in capsys.readouterr().err
    if number == "0":
        with pytest.raises(ValueError, match="balance is 0: give a whole number of at least 1"):
            make_plan(options_of(data, store, balance=0))


def test_a_dry_run_prints_the_classes(data, store, capsys):
    make(data, store, limit=1)
    assert generate(data, store, "--balance", 8, "--dry-run") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["class", "sources", "wanted", "present", "failed", "together"] in lines
    assert ["class0", "3", "5", "1", "0", "8"] in lines
    assert ["class1", "2", "6", "0", "0", "8"] in lines


def test_what_failed_is_not_counted_as_together(data, store, capsys):
    make(data, store, backend={"name": "negative", "fail_on": "class1/001"})
    assert generate(data, store, "--dry-run") == 0
    assert ["class1", "2", "2", "1", "1", "3"] in [line.split() for line in capsys.readouterr().out.splitlines()]


def test_sources_without_a_label_have_a_line_beside_classes_and_none_alone(data, store, tmp_path, capsys):
    next(data.rglob("*.png")).rename(data / "flat.png")
    assert generate(data, store, "--dry-run") == 0
    assert "(no label)" in capsys.readouterr().out
    (tmp_path / "flat").mkdir()
    (data / "flat.png").rename(tmp_path / "flat/flat.png")
    assert generate(tmp_path / "flat", store, "--dry-run") == 0
    assert "together" not in capsys.readouterr().out

"""Flags that are not given are taken from the store."""

import pytest
from job_files import content, generate, make, make_data, options_of

from albu_diffusemix.backends import create_backend
from albu_diffusemix.cli import main
from albu_diffusemix.generate import GenerateOptions, make_plan
from albu_diffusemix.generate.job import open_job
from albu_diffusemix.store import Recipe, Store

SPECIAL = {
    "backend": {"name": "negative", "batch_size": 3},
    "prompts": ("sunset", "aurora"),
    "size": 48,
    "encoding": "png",
    "base_seed": 7,
    "draw": "with_replacement",
}


@pytest.fixture
def data(tmp_path):
    return make_data(tmp_path / "data", 3)


@pytest.fixture
def store(tmp_path):
    return tmp_path / "flowers.dm"


def bare(data, store, **options):
    return GenerateOptions(data, store, modules=("job_backends",), **options)


def resolve(options):
    return open_job(options).options


def error_of(status, capsys):
    assert status == 2
    return capsys.readouterr().err


def test_what_is_not_given_is_that_of_the_store(data, store):
    make(data, store, **SPECIAL)
    resolved = resolve(bare(data, store))
    assert {name: getattr(resolved, name) for name in SPECIAL} == SPECIAL


def test_a_store_is_gone_on_with_by_its_name_alone(data, store, capsys):
    make(data, store, limit=1, **SPECIAL)
    make(data, store.with_name("whole.dm"), per_image=2, **SPECIAL)
    assert main(["generate", str(data), "-o", str(store), "--import", "job_backends", "--per-image", "2"]) == 0
    assert content(store) == content(store.with_name("whole.dm"))
    assert "Backend: {'name': 'negative', 'batch_size': 3}" in capsys.readouterr().out


@pytest.mark.parametrize("name", SPECIAL)
def test_what_is_given_and_equal_is_not_a_change(data, store, name):
    make(data, store, **SPECIAL)
    assert make_plan(bare(data, store, **{name: SPECIAL[name]})).pending == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"backend": "procedural"}, "fingerprint: the store has 'negative ', you ask for"),
        ({"prompts": ("snowy",)}, r"prompts: the store has \['sunset', 'aurora'\], you ask for \['snowy'\]"),
        ({"size": 32}, "size: the store has 48, you ask for 32"),
        ({"encoding": "jpeg"}, "encoding.format: the store has 'png', you ask for 'jpg'"),
        ({"base_seed": 0}, "base_seed: the store has 7, you ask for 0"),
        ({"draw": "without_replacement"}, "draw: the store has 'with_replacement', you ask for 'without_replacement'"),
        ({"similarity": {"low": 0.3, "high": 1.0}}, "similarity"),
    ],
)
def test_what_is_given_and_different_is_refused(data, store, given, message):
    make(data, store, **SPECIAL)
    with pytest.raises(ValueError, match=message):
        make_plan(bare(data, store, **given))


def test_the_recipe_that_agrees_with_what_is_given_serves(data, store):
    make(data, store, base_seed=3)
    make(data, store, base_seed=5, size=64, allow_mixed=True, per_image=2)
    assert resolve(bare(data, store)).size == 32
    assert resolve(bare(data, store, base_seed=5)).size == 64
    assert resolve(bare(data, store, size=64)).base_seed == 5
    assert make_plan(bare(data, store, size=64, per_image=2)).pending == 0


def test_a_mixed_recipe_takes_from_the_store_what_is_not_given(data, store):
    make(data, store, **SPECIAL)
    resolved = resolve(bare(data, store, size=64, allow_mixed=True))
    assert (resolved.size, resolved.encoding, resolved.base_seed) == (64, "png", 7)


def test_a_new_store_has_the_defaults(data, store):
    resolved = resolve(GenerateOptions(data, store))
    found = (resolved.backend, resolved.prompts, resolved.size, resolved.encoding, resolved.base_seed, resolved.draw)
    assert found == ("procedural", create_backend("procedural").prompts, 256, "jpeg", 0, "without_replacement")
    assert resolved.similarity is None


def test_paths_may_be_given_as_strings(data, store):
    options = GenerateOptions(str(data), str(store))
    assert options == GenerateOptions(data, store)
    assert GenerateOptions.from_json(options.to_json()) == options


def test_without_a_backend_a_new_store_is_procedural_and_that_is_said(data, store, capsys):
    assert main(["generate", str(data), "-o", str(store), "--size", "32"]) == 0
    assert "Backend: procedural" in capsys.readouterr().out
    assert Store.open(store).recipe.backend == "procedural"


def test_a_similarity_filter_is_taken_from_the_store(data, store):
    bounds = {"low": 0.25, "high": 0.9}
    recipe = Recipe("procedural", create_backend("procedural").fingerprint, ("snowy",), 32, similarity=bounds)
    Store.create(store, recipe)
    assert resolve(bare(data, store)).similarity == bounds


def test_a_store_whose_backend_cannot_be_had_says_what_to_do(data, store, capsys):
    Store.create(store, Recipe("imported", "imported", ("snowy",)))
    error = error_of(main(["generate", str(data), "-o", str(store)]), capsys)
    assert "was made by the backend 'imported', which does not work here: unknown backend" in error
    assert "--import the module that registers it, or choose another with --backend and --allow-mixed" in error


def test_an_unknown_way_of_drawing_is_refused(data, store):
    with pytest.raises(ValueError, match="draw 'often': give one of without_replacement, with_replacement"):
        make_plan(options_of(data, store, draw="often"))


@pytest.mark.parametrize("draw", ["with-replacement", "without-replacement"])
def test_the_way_of_drawing_is_a_flag_and_is_recorded(data, store, draw):
    assert generate(data, store, "--draw", draw) == 0
    assert Store.open(store).recipe.draw == draw.replace("-", "_")


def test_options_survive_the_way_to_another_process(data, store):
    for options in (bare(data, store), resolve(bare(data, store))):
        assert type(options).from_json(options.to_json()) == options

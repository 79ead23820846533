"""Nothing is written before a run can begin, and a run that ends well has made everything."""

import json
import tarfile

import pytest
from job_backends import Negative
from job_files import TESTS, content, failures, generate, make, make_data, options_of, spec

from albu_diffusemix import generate as package
from albu_diffusemix.cli import main
from albu_diffusemix.generate import ResolvedOptions, make_plan
from albu_diffusemix.generate.variants import variants_of
from albu_diffusemix.store import Recipe, Source, Store

COUNT = 3


@pytest.fixture
def data(tmp_path):
    return make_data(tmp_path / "data", COUNT)


@pytest.fixture
def store(tmp_path):
    return tmp_path / "flowers.dm"


BROKEN = {
    "a model that is not there": ({"name": "instruct_pix2pix", "model_id": "./nowhere"}, []),
    "a graph that is not there": ({"name": "onnx", "model": "./nowhere"}, []),
    "a backend that fails on all": (spec(fail_on="class"), []),
    "an unknown backend": ("nothing", []),
    "a Ray cluster that is not there": (spec(), ["--engine", "ray", "--ray-address", "127.0.0.1:1"]),
}


@pytest.mark.parametrize(
    ("name", "dry"),
    [(name, dry) for name in BROKEN for dry in ([], ["--dry-run"]) if not (dry and "Ray" in name)],
)
def test_a_run_that_cannot_begin_is_one_line_and_leaves_no_store(data, store, capsys, name, dry):
    backend, more = BROKEN[name]
    command = ["generate", str(data), "-o", str(store), "--import", "job_backends", "--backend"]
    assert main([*command, backend if isinstance(backend, str) else json.dumps(backend), *more, *dry]) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert len(error) == 1
    assert not store.exists()


@pytest.fixture
def for_workers(monkeypatch):
    """Let processes that are started here find the tests' own modules."""
    monkeypatch.setenv("PYTHONPATH", str(TESTS))


@pytest.mark.usefixtures("for_workers")
def test_with_workers_a_backend_that_fails_on_all_leaves_no_store(data, store, capsys):
    assert generate(data, store, "--workers", 2, fail_on="class") == 2
    assert "RuntimeError: cannot do class" in capsys.readouterr().err
    assert not store.exists()


def test_after_a_run_that_could_not_begin_another_backend_makes_the_store(data, store):
    assert generate(data, store, fail_on="class") == 2
    assert main(["generate", str(data), "-o", str(store), "--backend", "procedural"]) == 0


@pytest.mark.usefixtures("for_workers")
def test_what_failed_only_because_workers_died_is_tried_again_by_the_next_run(data, store, capsys):
    assert generate(data, store, "--workers", 2, die_on="000") == 1
    assert [reason.startswith("its worker died 3 times") for reason in failures(store).values()] == [True]
    assert generate(data, store) == 0
    assert "1 to be made" in capsys.readouterr().out
    assert len(content(store)) == COUNT


def test_a_run_that_lost_images_meanwhile_says_so_and_ends_with_1(data, store, capsys, monkeypatch):
    complete = package._complete

    def lose_and_complete(plan, reporter):
        for file in store.glob("parts/*"):
            file.unlink()
        with pytest.warns(UserWarning, match="part"):
            return complete(plan, reporter)

    make(data, store)
    monkeypatch.setattr(package, "_complete", lose_and_complete)
    assert generate(data, store, "--per-image", 2) == 1
    assert "6 counterparts are not in" in capsys.readouterr().err


GIVEN = {"--size": "48", "--encoding": "png", "--base-seed": "7", "--draw": "with-replacement"}


def test_flags_that_are_not_given_are_taken_from_the_store(data, store, capsys):
    flags = [text for pair in GIVEN.items() for text in pair]
    command = ["generate", str(data), "-o", str(store)]
    assert main([*command, "--backend", "procedural", "--prompt", "snowy", "--prompt", "sunset", *flags]) == 0
    recipe = Store.open(store).recipe
    assert (recipe.size, recipe.encoding["format"], recipe.base_seed, recipe.draw) == (48, "png", 7, "with_replacement")
    assert main([*command, "--per-image", "3"]) == 0
    assert "Backend: procedural" in capsys.readouterr().out
    assert Store.open(store).mixed == ()
    assert Store.open(store).recipe == recipe
    assert {row.encoding for row in Store.open(store).rows()} == {"png"}


@pytest.mark.parametrize("flag", [("--size", "64"), ("--encoding", "webp"), ("--base-seed", "8"), ("--prompt", "x")])
def test_a_flag_that_is_given_and_differs_is_refused(data, store, capsys, flag):
    make(data, store)
    before = content(store)
    assert main(["generate", str(data), "-o", str(store), "--import", "job_backends", *flag]) == 2
    assert "was made with other parameters" in capsys.readouterr().err
    assert content(store) == before


def test_without_a_backend_a_new_store_is_made_by_the_procedural_one_and_that_is_said(data, store, capsys):
    assert main(["generate", str(data), "-o", str(store)]) == 0
    assert "Backend: procedural" in capsys.readouterr().out
    recipe = Store.open(store).recipe
    assert (recipe.backend, recipe.size, recipe.draw) == ("procedural", 256, "without_replacement")


def test_a_mixed_store_goes_on_with_the_recipe_that_agrees_with_what_is_given(data, store):
    make(data, store)
    make(data, store, base_seed=5, allow_mixed=True, per_image=2)
    assert make_plan(options_of(data, store, base_seed=5, per_image=3)).options.base_seed == 5


def test_a_store_whose_backend_is_not_known_here_says_what_to_import(data, tmp_path, capsys):
    path = tmp_path / "theirs.dm"
    with Store.create(path, Recipe("of-somebody", "f", ("p",))).writer() as writer:
        writer.put("x.png", "0000", b"\xff\xd8\xff", prompt="p", seed=1, source=Source(1, 1, bytes(16)))
    assert main(["generate", str(data), "-o", str(path)]) == 2
    assert "--import the module that registers it" in capsys.readouterr().err


def test_prompts_of_a_new_store_do_not_repeat_before_all_were_used(data, store):
    make(data, store, per_image=7)
    for source in make_plan(options_of(data, store)).shown:
        prompts = [row.prompt for row in Store.open(store).variants(source.key)]
        assert sorted(prompts[:3]) == sorted(prompts[3:6]) == sorted(Negative.prompts)


def test_more_images_keep_the_prompts_of_the_first(data, store, tmp_path):
    make(data, store, per_image=2)
    make(data, store, per_image=5)
    make(data, tmp_path / "once.dm", per_image=5)
    assert content(store) == content(tmp_path / "once.dm")


def test_prompts_are_drawn_evenly(tmp_path):
    for draw in ("without_replacement", "with_replacement"):
        options = ResolvedOptions(tmp_path, tmp_path, per_image=2, draw=draw)
        drawn = [variants_of(f"{number}.png", ("a", "b", "c"), options) for number in range(3000)]
        for place in range(2):
            counts = [sum(variants[place].prompt == prompt for variants in drawn) for prompt in "abc"]
            assert all(900 < count < 1100 for count in counts)
        repeats = sum(one.prompt == two.prompt for one, two in drawn)
        assert repeats == 0 if draw == "without_replacement" else 900 < repeats < 1100


def test_a_prompt_that_was_replaced_is_recorded_with_what_was_used(data, store, capsys):
    assert main(["generate", str(data), "-o", str(store), "--backend", "procedural", "--prompt", "a snowy day"]) == 0
    assert "Prompt 'a snowy day' was drawn as 'snowy'" in capsys.readouterr().out
    [part] = store.glob("parts/*.tar")
    with tarfile.open(part) as tar:
        records = [json.load(tar.extractfile(name)) for name in tar.getnames() if name.endswith(".json")]
    assert {(record["prompt"], record["used_prompt"]) for record in records} == {("a snowy day", "snowy")}

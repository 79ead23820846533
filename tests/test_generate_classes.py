"""Prompts by class: which prompts a class is drawn from, and its name in them."""

import json
from collections import Counter, defaultdict
from dataclasses import replace

import pytest
from job_files import content, failures, generate, make, make_data, options_of

from albu_diffusemix.backends import Request, create_backend
from albu_diffusemix.cli import main
from albu_diffusemix.generate import GenerateOptions, ResolvedOptions, make_plan
from albu_diffusemix.images import read_image
from albu_diffusemix.store import Recipe, Store
from albu_diffusemix.store.store_json import publish

BY_CLASS = {"class1": ("rainbow", "mosaic"), "class2": ("{label} at sunset",)}
NAMES = {"class0": "daisy", "class2": "tea rose"}


@pytest.fixture
def data(tmp_path):
    return make_data(tmp_path / "data", 9)


@pytest.fixture
def store(tmp_path):
    return tmp_path / "flowers.dm"


@pytest.fixture
def files(tmp_path):
    """The flags that say the same as BY_CLASS and NAMES, with `snowy` for all other classes."""
    by_class, names = tmp_path / "prompts.yaml", tmp_path / "names.yaml"
    by_class.write_text('default: snowy\nclass1: [rainbow, mosaic]\nclass2: ["{label} at sunset"]\n')
    names.write_text("class0: daisy\nclass2: tea rose\n")
    return "--prompts-by-class", by_class, "--class-names", names


def prompts_of_classes(store):
    found = defaultdict(set)
    for (key, _), (prompt, *_) in content(store).items():
        found[key.partition("/")[0]].add(prompt)
    return dict(found)


def recipe_of(store):
    return Store.open(store).recipe


def error_of(status, capsys):
    assert status == 2
    [error] = capsys.readouterr().err.splitlines()
    return error


def test_the_label_is_filled_in_with_spaces_for_underscores(tmp_path, store):
    make_data(tmp_path / "data", 3)
    (tmp_path / "data/class1").rename(tmp_path / "data/oak_tree")
    make(tmp_path / "data", store, prompts=("a {label} in snow",))
    assert prompts_of_classes(store) == {
        "class0": {"a class0 in snow"},
        "class2": {"a class2 in snow"},
        "oak_tree": {"a oak tree in snow"},
    }


def test_a_class_has_the_name_that_was_given(data, store):
    make(data, store, prompts=("a {label}, {label}",), class_names=NAMES)
    names = {"class0": {"a daisy, daisy"}, "class1": {"a class1, class1"}, "class2": {"a tea rose, tea rose"}}
    assert prompts_of_classes(store) == names


def test_what_the_backend_makes_is_that_of_the_filled_prompt(data, store):
    make(data, store, prompts=("a {label} in snow",), prompts_by_class={"class1": ("snowy",)}, class_names=NAMES)
    make(data, store.with_name("plain.dm"), prompts=("a daisy in snow",))
    found, plain = content(store), content(store.with_name("plain.dm"))
    same = {key for key in found if found[key] == plain[key]}
    assert same == {key for key in found if key[0].startswith("class0/")}


def test_each_class_is_drawn_from_its_own_prompts_and_the_others_from_the_default(data, store):
    make(data, store, prompts=("snowy",), prompts_by_class=BY_CLASS, class_names=NAMES, per_image=2)
    assert prompts_of_classes(store) == {
        "class0": {"snowy"},
        "class1": {"rainbow", "mosaic"},
        "class2": {"tea rose at sunset"},
    }


def test_a_class_without_prompts_of_its_own_draws_as_without_classes(data, store):
    prompts = ("snowy", "sunset", "aurora")
    make(data, store, prompts=prompts, prompts_by_class={"class1": ("mosaic",)}, per_image=2)
    make(data, store.with_name("plain.dm"), prompts=prompts, per_image=2)
    found, plain = content(store), content(store.with_name("plain.dm"))
    others = [key for key in plain if not key[0].startswith("class1/")]
    assert len(others) == 12
    assert all(found[key] == plain[key] for key in others)


def test_all_prompts_are_those_of_the_class_and_named_after_them(data, store):
    make(data, store, prompts=("snowy",), prompts_by_class=BY_CLASS, class_names=NAMES, all_prompts=True)
    variants = Counter((key.partition("/")[0], variant) for key, variant in content(store))
    assert variants == {
        ("class0", "snowy"): 3,
        ("class1", "rainbow"): 3,
        ("class1", "mosaic"): 3,
        ("class2", "tea-rose-at-sunset"): 3,
    }


def test_two_workers_make_what_one_process_makes(data, store):
    options = {"prompts": ("a {label} in snow",), "prompts_by_class": BY_CLASS, "class_names": NAMES, "balance": 10}
    make(data, store, **options)
    make(data, store.with_name("workers.dm"), workers=2, **options)
    assert len(content(store)) == 21
    assert content(store.with_name("workers.dm")) == content(store)


def test_shards_with_a_limit_that_are_continued_make_what_one_run_makes(data, store):
    options = {"prompts": ("snowy", "{label}"), "prompts_by_class": BY_CLASS, "balance": 11}
    make(data, store, **options)
    pieces = store.with_name("pieces.dm")
    for shard in ((1, 2), (0, 2)):
        make(data, pieces, shard=shard, limit=1, **options)
        make(data, pieces, shard=shard, **options)
    assert content(pieces) == content(store)


def test_the_files_say_what_the_options_say(data, store, files):
    assert generate(data, store, *files) == 0
    make(data, store.with_name("options.dm"), prompts=("snowy",), prompts_by_class=BY_CLASS, class_names=NAMES)
    assert content(store) == content(store.with_name("options.dm"))
    assert recipe_of(store) == recipe_of(store.with_name("options.dm"))


def test_a_recipe_without_classes_says_nothing_of_them(data, store):
    make(data, store, prompts=("snowy",))
    written = json.loads((store / "store.json").read_text())["recipe"]
    assert {"prompts_by_class", "class_names"}.isdisjoint(written)


def test_the_recipe_keeps_the_placeholder_and_what_replaces_it(data, store):
    make(data, store, prompts=("a {label}",), prompts_by_class={"class1": ("mosaic",)}, class_names=NAMES)
    recipe = recipe_of(store)
    assert (recipe.prompts, recipe.prompts_by_class, recipe.class_names) == (
        ("a {label}",),
        {"class1": ("mosaic",)},
        NAMES,
    )


def test_what_is_not_given_is_that_of_the_store(data, store, files):
    assert generate(data, store, *files, "--limit", 1) == 0
    assert generate(data, store) == 0
    assert generate(data, store.with_name("whole.dm"), *files) == 0
    assert content(store) == content(store.with_name("whole.dm"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"prompts": ("sunset",)}, r"prompts_by_class: the store has {'class1'.*, you ask for None"),
        ({"prompts": ("snowy",), "prompts_by_class": {"class1": ("aurora",)}}, r"prompts_by_class.class1: .*'aurora'"),
        ({"prompts_by_class": BY_CLASS}, r"prompts: the store has \['snowy'\], you ask for \[\]"),
        ({"class_names": {"class2": "rose"}}, "class_names.class2: the store has 'tea rose', you ask for 'rose'"),
    ],
)
def test_other_prompts_by_class_or_names_are_another_recipe(data, store, given, message):
    make(data, store, prompts=("snowy",), prompts_by_class=BY_CLASS, class_names=NAMES)
    with pytest.raises(ValueError, match=message):
        make_plan(options_of(data, store, **given))


def test_of_a_thousand_differences_between_recipes_a_few_are_named(data, store):
    made = {f"class{number}": ("snowy",) for number in range(1000)}
    make(data, store, prompts=("snowy",), prompts_by_class=made)
    with pytest.raises(ValueError, match="and 990 more") as caught:
        make_plan(
            options_of(data, store, prompts=("snowy",), prompts_by_class=dict.fromkeys(made, ("mosaic",))),
        )
    assert len(str(caught.value)) < 1500


def test_a_store_that_was_made_when_nothing_replaced_the_label_keeps_it(data, store):
    fresh = make_plan(options_of(data, store, prompts=("{label}",))).job._recipe()
    old = replace(fresh, class_names=None)
    assert fresh != old
    Store.create(store, old)
    make(data, store)
    assert prompts_of_classes(store) == {f"class{number}": {"{label}"} for number in range(3)}
    assert generate(data, store, "--prompt", "{label}", "--class-names", _names_file(data.parent)) == 2


def _names_file(folder):
    (folder / "some.yaml").write_text("class0: daisy\n")
    return folder / "some.yaml"


def test_options_with_classes_survive_the_way_to_another_process(data, store):
    given = GenerateOptions(data, store, prompts_by_class=BY_CLASS, class_names=NAMES, balance=3)
    resolved = ResolvedOptions(data, store, prompts_by_class=BY_CLASS, raised={"class1": (3, "00ff")})
    assert GenerateOptions.from_json(json.loads(json.dumps(given.to_json()))) == given
    assert ResolvedOptions.from_json(json.loads(json.dumps(given.to_json()))).prompts_by_class == BY_CLASS
    assert resolved.to_json()["raised"] == {"class1": (3, "00ff")}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompts": ("a {label}",)}, r"prompt 'a {label}' needs a label, and source 'flat.png' has none: put it into"),
        ({"prompts_by_class": {"class0": ("snowy",)}}, "2 classes have no prompts, such as 'class1': give some"),
        (
            {"prompts_by_class": {"class0": ("snowy",), "class1": ("snowy",)}},
            "class 'class2' has no prompts: give some at this label, or for all other classes at 'default'",
        ),
        (
            {"prompts_by_class": {f"class{number}": ("snowy",) for number in range(3)}},
            "source 'flat.png' has no label, and there are no default prompts",
        ),
        ({"prompts": ("snowy",), "class_names": NAMES}, r"class names are given, but no prompt has {label} in it"),
    ],
)
def test_what_lacks_a_label_or_prompts_is_one_error_and_nothing_is_made(data, store, options, message):
    next(data.rglob("*.png")).rename(data / "flat.png")
    with pytest.raises(ValueError, match=message):
        make(data, store, **options)
    assert not store.exists()


def test_a_prompt_that_the_backend_cannot_do_is_found_in_every_class(data, store):
    for options in (
        {"prompts": ("{label}",), "class_names": {"class2": "impossible"}},
        {"prompts": ("snowy",), "prompts_by_class": {"class2": ("impossible",)}},
    ):
        with pytest.raises(ValueError, match="unknown prompt 'impossible'"):
            make_plan(options_of(data, store, **options))


@pytest.mark.parametrize(
    ("prompts", "all_prompts", "message"),
    [
        (("a {label}", "a class1"), False, "prompt 'a class1' is given twice"),
        (("a {label}", "A class1!"), True, "prompts 'a class1' and 'A class1!' are both the variant 'a-class1'"),
    ],
)
def test_prompts_that_are_the_same_for_one_class_are_refused(data, store, prompts, all_prompts, message):
    with pytest.raises(ValueError, match=message):
        make_plan(options_of(data, store, prompts=prompts, all_prompts=all_prompts))


def test_a_label_that_no_source_has_is_warned_of_with_the_nearest(data, store, tmp_path, capsys):
    (tmp_path / "prompts.yaml").write_text("default: snowy\nclas1: sunset\n")
    assert generate(data, store, "--prompts-by-class", tmp_path / "prompts.yaml", "--dry-run") == 0
    assert "warning: no source has the label 'clas1'; did you mean 'class1'?" in capsys.readouterr().err


def test_of_many_unknown_labels_a_few_are_named(data, store, tmp_path, capsys):
    lines = "".join(f"flower{number}: daisy\n" for number in range(900))
    (tmp_path / "names.yaml").write_text(lines)
    command = ("--prompt", "{label}", "--class-names", tmp_path / "names.yaml", "--dry-run")
    assert generate(data, store, *command) == 0
    warned = [line for line in capsys.readouterr().err.splitlines() if "no source has" in line]
    assert len(warned) == 6
    assert warned[-1].endswith("no source has 895 more of the labels")


def test_prompts_at_default_and_beside_the_file_are_refused(data, store, files, capsys):
    error = error_of(generate(data, store, *files, "--prompt", "mosaic"), capsys)
    assert "prompts.yaml' has prompts at 'default', and there are others beside it: give --prompt" in error


def test_prompts_beside_the_file_are_those_of_the_other_classes(data, store, tmp_path):
    (tmp_path / "prompts.yaml").write_text("class1: sunset\n")
    assert generate(data, store, "--prompts-by-class", tmp_path / "prompts.yaml", "--prompt", "mosaic") == 0
    assert prompts_of_classes(store) == {"class0": {"mosaic"}, "class1": {"sunset"}, "class2": {"mosaic"}}


def test_the_class_in_a_prompt_is_warned_of_when_it_is_given(data, store, capsys):
    generate(data, store, "--prompt", "{label}", "--limit", 1)
    assert "names the class of each image, which `albu-diffusemix generate` fills in" in capsys.readouterr().err
    generate(data, store)
    assert "warning" not in capsys.readouterr().err


def test_status_doctor_export_and_import_take_a_store_with_classes(data, store, tmp_path):
    make(data, store, prompts=("a {label}",), prompts_by_class={"class1": ("mosaic",)}, class_names=NAMES)
    assert main(["status", str(store)]) == 0
    assert main(["doctor", str(data), str(store)]) == 0
    assert main(["verify", str(store)]) == 0
    assert main(["export", str(store), "--to", "folder", "-o", str(tmp_path / "out")]) == 0
    assert main(["import", str(tmp_path / "out"), "-o", str(tmp_path / "back.dm"), "--sources", str(data)]) == 0
    assert content(tmp_path / "back.dm") == content(store)


def test_store_json_that_was_lost_comes_back_with_classes(data, store):
    make(data, store, prompts=("a {label}",), prompts_by_class={"class1": ("mosaic",)}, class_names=NAMES)
    recipe = recipe_of(store)
    (store / "store.json").unlink()
    assert main(["repair", str(store)]) == 0
    assert recipe_of(store) == recipe


@pytest.mark.parametrize(("label", "warnings"), [("class1", 0), ("class2", 1)])
def test_a_prompt_of_a_class_may_name_that_class_alone(data, store, tmp_path, capsys, label, warnings):
    (tmp_path / "prompts.yaml").write_text(f"default: snowy\n{label}: class1 in snow\n")
    assert generate(data, store, "--prompts-by-class", tmp_path / "prompts.yaml", "--dry-run") == 0
    assert capsys.readouterr().err.count("names the class 'class1'") == warnings


def test_of_many_prompts_that_were_replaced_a_few_are_named(data, store, capsys):
    lines = [f"class0/000.png,{number},flower{number}" for number in range(25)]
    (data / "list.csv").write_text("\n".join(["path,key,label", *lines]))
    assert generate(data / "list.csv", store, "--prompt", "{label}", nearest="misty") == 0
    out = capsys.readouterr().out
    assert out.count("was drawn as 'misty'") == 20
    assert "5 more prompts were drawn as the nearest that the backend knows" in out


@pytest.mark.parametrize("prompt", ["a {label}", "a tea rose"])
def test_training_takes_a_prompt_of_a_class_as_given_or_filled(data, store, prompt):
    make(data, store, prompts=("a {label}",), prompts_by_class={"class1": ("mosaic",)}, class_names=NAMES)
    backend = create_backend({"name": "precomputed", "store": str(store)})
    backend.check_prompt(prompt)
    image = read_image(data / "class2/002.png")
    request = Request(image, prompt, 0, "class2/002.png", (0, 0, 64, 48))
    assert [answer.prompt for answer in backend.generate([request])] == ["a tea rose"]


def test_training_names_the_prompts_that_the_class_has_instead(data, store):
    make(data, store, prompts=("snowy",), prompts_by_class={"class1": ("mosaic",)})
    backend = create_backend({"name": "precomputed", "store": str(store)})
    backend.check_prompt("mosaic")
    image = read_image(data / "class2/002.png")
    with pytest.raises(ValueError, match=r"its counterparts have other prompts than 'mosaic' \(snowy\)"):
        backend.generate([Request(image, "mosaic", 0, "class2/002.png", (0, 0, 64, 48))])
    with pytest.raises(ValueError, match=r"has the prompt 'rain'; it has: 'snowy', 'mosaic'"):
        backend.check_prompt("rain")


def test_a_manifests_labels_are_filled_in(data, store):
    lines = [f"{path.relative_to(data)},{path.name},{path.stem[-1]}" for path in sorted(data.rglob("*.png"))]
    (data / "list.csv").write_text("\n".join(["path,key,label", *lines]))
    make(data / "list.csv", store, prompts=("a {label}",))
    assert {key: prompt for (key, _), (prompt, *_) in content(store).items()} == {
        path.name: f"a {path.stem[-1]}" for path in data.rglob("*.png")
    }


def test_a_label_of_decomposed_letters_is_the_composed_one_of_a_file(data, store, tmp_path):
    (data / "class1").rename(data / "fe\u0301e")
    (tmp_path / "prompts.yaml").write_text("default: snowy\nf\u00e9e: sunset\n")
    assert generate(data, store, "--prompts-by-class", tmp_path / "prompts.yaml") == 0
    assert {prompt for prompts in prompts_of_classes(store).values() for prompt in prompts} == {"snowy", "sunset"}


def test_failures_keep_the_filled_prompt(data, store):
    make(data, store, prompts=("a {label}",), backend={"name": "negative", "fail_on": "class1"}, class_names=NAMES)
    assert len(failures(store)) == 3
    assert {record.prompt for record in Store.open(store).failures()} == {"a class1"}


def test_the_store_of_another_recipe_is_read_as_it_was_written(store):
    recipe = Recipe("procedural", "f00d", (), prompts_by_class={"rose": ("snowy",)}, class_names={"rose": "tea rose"})
    Store.create(store, recipe)
    publish(store, replace(recipe, class_names=None), {})  # keeps what is there
    assert Store.open(store).recipe == recipe
    assert recipe.every_prompt == ("snowy",)

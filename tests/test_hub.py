"""Stores pushed to, pulled from and read from a Hub on loopback, by the library that people have, unchanged."""

import pickle
import re
import shutil
import time
from pathlib import Path
from typing import NamedTuple

import datasets
import numpy as np
import pytest
import yaml
from hub_server import HubServer, Repository, loopback_hub
from huggingface_hub import constants
from job_files import make, make_data
from precomputed_files import precomputed
from store_files import RECIPE, VARIANT, abandon, child, found, key_of, make_store, part_file, picture, put

from albu_diffusemix.backends import create_backend
from albu_diffusemix.cli import main
from albu_diffusemix.store import Recipe, Store, Verdict

# Of the library's own way to send a file.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

LICENSE = ["--license", "cc-by-4.0"]


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with loopback_hub(tmp_path, monkeypatch) as server:
        yield server


@pytest.fixture
def path(tmp_path):
    """A store of three parts, merged."""
    make_store(tmp_path / "flowers.dm", 12, 3).merge()
    return tmp_path / "flowers.dm"


def push(path, *options, name="owner/flowers", license_=LICENSE):
    return main(["push", str(path), name, *license_, *options])


def files_of(hub, name="owner/flowers"):
    return hub.repositories[name].files


def wait_until(condition):
    while not condition():
        time.sleep(0.002)


def ending(error):
    """The one line that a command ends with, without the bars of the Hub's library."""
    [line] = re.findall(r"albu-diffusemix: error: (.*)", error)
    return line


@pytest.mark.usefixtures("hub")
def test_a_store_that_was_pushed_and_pulled_is_whole(path, tmp_path, capsys):
    assert push(path) == 0
    assert re.search(r"^Pushed: hf://owner/flowers@[0-9a-f]{40}$", capsys.readouterr().out, re.MULTILINE)
    assert main(["pull", "owner/flowers", "-o", str(tmp_path / "copy.dm")]) == 0
    copy = Store.open(tmp_path / "copy.dm")
    assert found(copy) == set(range(12))
    assert copy.verify() == []
    assert main(["pull", "owner/flowers", "-o", str(tmp_path / "copy.dm")]) == 2
    assert sorted(file.name for file in tmp_path.iterdir()) == ["copy.dm", "flowers.dm"]


def test_what_is_rejected_is_not_pushed_and_the_same_push_again_sends_nothing_new(hub, path, tmp_path):
    Store.open(path).choose([Verdict(key_of(number), VARIANT, "reject") for number in (0, 1)])
    assert push(path) == 0
    files = files_of(hub)
    assert [picture(number) in b"".join(files.values()) for number in (0, 1, 2)] == [False, False, True]
    assert push(path) == 0
    assert files_of(hub) == files
    assert main(["pull", "owner/flowers", "-o", str(tmp_path / "copy.dm")]) == 0
    assert found(Store.open(tmp_path / "copy.dm")) == set(range(2, 12))
    assert Store.open(tmp_path / "copy.dm").verify() == []


def test_nothing_but_sealed_parts_indexes_store_json_and_the_card_is_pushed(hub, path):
    sent = {file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()}
    Store.open(path).write_readme("", b"\xff\xd8\xff a picture of sources")
    (path / "store.json.1234.tmp").touch()
    (path / "runs").mkdir()
    (path / "runs/lock").touch()
    (path / "sources.zip").touch()
    abandon(path, 1, start=50)
    with Store.create(path.with_name("b.dm"), Recipe("procedural", "beef", ("snowy",))).writer("x") as writer:
        put(writer, 30)
    part_file(path.with_name("b.dm")).rename(path / "parts/x-00077.tar")
    (path / "parts/part-00000 (1).tar").touch()
    with pytest.warns(UserWarning, match="2 problem"):
        assert push(path) == 0
    assert set(files_of(hub)) == sent | {".gitattributes"}


@pytest.mark.parametrize(("options", "private"), [([], True), (["--public"], False)])
def test_a_data_set_is_private_unless_asked_otherwise(hub, path, options, private):
    assert push(path, *options) == 0
    assert hub.repositories["owner/flowers"].private == private


def test_a_dry_run_prints_the_card_and_the_files_and_asks_nobody(hub, path, capsys, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    assert push(path, "--dry-run") == 0
    out = capsys.readouterr().out
    assert "12 counterparts, 9 files, 51.4 kB; private" in out
    assert "    license: cc-by-4.0" in out
    assert "  parts/part-00002.tar" in out
    assert not hub.requests


def card_of(hub):
    text = files_of(hub)["README.md"].decode()
    return yaml.safe_load(text.split("---\n")[1]), text.split("---\n", 2)[2]


def test_the_card_says_license_size_sources_tags_prompts_and_how_to_train(hub, path):
    assert push(path, "--sources", "owner/photographs") == 0
    card, text = card_of(hub)
    assert card["license"] == "cc-by-4.0"
    assert card["size_categories"] == ["n<1K"]
    assert card["source_datasets"] == ["owner/photographs"]
    assert "diffusemix" in card["tags"]
    assert "base_model" not in card
    assert "| snowy | 12 |" in text
    assert '{"name": "precomputed", "store": "hf://owner/flowers"}' in text
    assert "not diffusion" in text


@pytest.mark.parametrize(
    ("backend", "models"),
    [
        ("instruct_pix2pix", ["timbrooks/instruct-pix2pix"]),
        ({"name": "diffusers", "model_id": "somebody/editor"}, ["somebody/editor"]),
        ({"name": "onnx", "model": "/home/somebody/graphs"}, None),
    ],
)
def test_the_card_names_a_base_model_of_the_hub_and_no_folder(hub, tmp_path, backend, models):
    with Store.create(tmp_path / "a.dm", Recipe(backend, "f00d", ("snowy",))).writer() as writer:
        put(writer, 1)
    assert push(tmp_path / "a.dm") == 0
    card, text = card_of(hub)
    assert card.get("base_model") == models
    assert "not diffusion" not in text


def test_a_prompt_ends_no_cell_of_the_cards_table(hub, tmp_path):
    with Store.create(tmp_path / "a.dm", Recipe("procedural", "f00d", ("a | b",))).writer() as writer:
        put(writer, 1, prompt="a | b")
    assert push(tmp_path / "a.dm") == 0
    assert "| a &#124; b | 1 |" in card_of(hub)[1]


def test_a_store_exported_for_kaggle_is_pushed_under_the_usual_names(hub, path, tmp_path):
    assert main(["export", str(path), "--to", "kaggle", "-o", str(tmp_path / "out")]) == 0
    assert push(tmp_path / "out") == 0
    assert files_of(hub)["parts/part-00001.tar"] == part_file(path, number=1).read_bytes()
    assert found(Store.open("hf://owner/flowers")) == set(range(12))


def test_the_same_push_again_sends_nothing(hub, path):
    assert push(path) == 0
    head = hub.repositories["owner/flowers"].head
    hub.requests.clear()
    assert push(path) == 0
    assert not hub.requests["PUT", "lfs"]
    assert hub.repositories["owner/flowers"].head == head


def test_a_store_that_grew_is_pushed_again_without_what_is_there(hub, path):
    assert push(path) == 0
    hub.requests.clear()
    with Store.create(path, RECIPE).writer() as writer:
        put(writer, 70)
    assert push(path) == 0
    assert hub.requests["PUT", "lfs"] == 2  # the new part and its index
    assert found(Store.open("hf://owner/flowers")) == {*range(12), 70}


def test_without_lfs_and_with_xet_switched_on_a_push_goes_through_plain_commits(hub, path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    hub.plain = True
    assert push(path) == 0
    assert found(Store.open("hf://owner/flowers")) == set(range(12))


@pytest.mark.parametrize("request_", [("PUT", "lfs", 3), ("POST", "commit", 1), ("POST", "commit", 2)])
def test_a_push_that_is_killed_is_no_store_and_goes_on_with_the_same_command(hub, path, request_, capfd):
    hub.stop_at = request_
    with child(lambda: push(path)):
        assert hub.stopped.wait(30)
        wait_until(lambda: len(hub.objects) >= 2)
    hub.stop_at, there = None, set(hub.objects)
    assert main(["status", "hf://owner/flowers"]) == 2
    assert "owner/flowers at main" in ending(capfd.readouterr().err)
    hub.go_on.set()
    assert push(path) == 0
    assert {hub.sent[name] for name in there} == {1}
    store = Store.open("hf://owner/flowers")
    assert found(store) == set(range(12))
    assert store.verify() == []


@pytest.mark.parametrize("number", [1, 9])
def test_a_pull_that_is_killed_leaves_no_store_and_goes_on_with_the_same_command(hub, path, tmp_path, number):
    assert push(path) == 0
    copy = tmp_path / "copy.dm"
    command = ["pull", "owner/flowers", "-o", str(copy)]
    hub.stop_at = ("GET", "resolve", number)
    with child(lambda: main(command)):
        assert hub.stopped.wait(30)
    assert not copy.exists()
    [beside] = tmp_path.glob("copy.dm.*.pulling")
    there = {file.relative_to(beside).as_posix() for file in beside.glob("[!.]*/*")}
    assert len(there) in {1: range(8), 9: [7]}[number]
    hub.stop_at = None
    hub.go_on.set()
    assert main(command) == 0
    assert found(Store.open(copy)) == set(range(12))
    assert Store.open(copy).verify() == []
    assert sorted(file.name for file in tmp_path.iterdir()) == ["copy.dm", "flowers.dm"]
    assert all(hub.asked[name] == 1 for name in there)


@pytest.mark.parametrize(("name", "others"), [("part-00001.tar", 7), ("store.json", 8)])
def test_what_a_killed_download_left_in_the_cache_is_not_taken_for_the_store(
    hub, path, tmp_path, name, others, monkeypatch, capsys
):
    assert push(path) == 0
    hub.stop_at = ("GET", name)
    with child(lambda: Store.open("hf://owner/flowers")):
        assert hub.stopped.wait(30)
        wait_until(lambda: sum(file.is_file() for file in tmp_path.glob("cache/*/snapshots/*/**/*")) >= others)
    hub.stop_at = None
    hub.go_on.set()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert main(["status", "hf://owner/flowers"]) == 2
    assert "the Hub cannot be reached for owner/flowers" in ending(capsys.readouterr().err)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    assert found(Store.open("hf://owner/flowers")) == set(range(12))


@pytest.mark.usefixtures("hub")
def test_a_handle_of_a_store_by_address_can_be_pickled(path):
    assert push(path) == 0
    assert found(pickle.loads(pickle.dumps(Store.open("hf://owner/flowers")))) == set(range(12))  # noqa: S301  our own


def test_a_revision_keeps_the_store_that_it_had(hub, path):
    assert push(path) == 0
    first = hub.repositories["owner/flowers"].head
    with Store.create(path, RECIPE).writer() as writer:
        put(writer, 70)
    assert push(path) == 0
    assert found(Store.open(f"hf://owner/flowers@{first}")) == set(range(12))


@pytest.mark.usefixtures("hub")
def test_what_is_in_the_cache_stays_until_it_is_pulled_again(path):
    assert push(path) == 0
    assert found(Store.open("hf://owner/flowers")) == set(range(12))
    with Store.create(path, RECIPE).writer() as writer:
        put(writer, 70)
    assert push(path) == 0
    assert found(Store.open("hf://owner/flowers")) == set(range(12))
    assert main(["pull", "owner/flowers"]) == 0
    assert found(Store.open("hf://owner/flowers")) == {*range(12), 70}


@pytest.mark.parametrize("encoding", ["jpeg", "raw"])
def test_the_viewers_library_finds_the_columns_that_the_card_promises(hub, tmp_path, encoding):
    make(make_data(tmp_path / "data", 3), tmp_path / "flowers.dm", encoding=encoding)
    assert push(tmp_path / "flowers.dm") == 0
    assert main(["pull", "owner/flowers", "-o", str(tmp_path / "copy.dm")]) == 0
    loaded = datasets.load_dataset(str(tmp_path / "copy.dm"), split="train", cache_dir=str(tmp_path / "hf"))
    card, _ = card_of(hub)
    assert loaded.features == datasets.Features._from_yaml_list(card["dataset_info"]["features"])
    tars = str(tmp_path / "copy.dm/parts/*.tar")
    guessed = datasets.load_dataset("webdataset", data_files=tars, split="train", cache_dir=str(tmp_path / "hf"))
    assert loaded.features["json"] == guessed.features["json"]
    assert {row["json"]["prompt"] for row in loaded} <= set(Store.open(tmp_path / "copy.dm").recipe.prompts)
    pictures = [np.array(row.get("jpg") or row.get("npy")) for row in loaded]
    assert [picture.shape for picture in pictures] == [(32, 48, 3)] * 3


class Bench(NamedTuple):
    """What a case of bad input may change."""

    hub: HubServer
    path: Path
    monkeypatch: pytest.MonkeyPatch


@pytest.fixture
def bench(hub, path, monkeypatch):
    return Bench(hub, path, monkeypatch)


def nothing(_bench):
    pass


def no_token(bench):
    bench.monkeypatch.delenv("HF_TOKEN")


def wrong_token(bench):
    bench.monkeypatch.setenv("HF_TOKEN", "hf_of_somebody_else")


def no_network(bench):
    bench.monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def of_something_else(bench):
    bench.hub.repositories["owner/flowers"] = Repository(private=True)
    bench.hub.repositories["owner/flowers"].commit({"train.parquet": b"PAR1"})


def of_another_recipe(bench):
    other = bench.path.with_name("other.dm")
    with Store.create(other, Recipe("procedural", "beef", ("snowy",))).writer() as writer:
        put(writer, 1)
    assert push(other) == 0


def public(bench):
    bench.hub.repositories["owner/flowers"] = Repository(private=False)


def later(bench):
    assert push(bench.path) == 0
    for file in (
        part_file(bench.path, number=2),
        part_file(bench.path, ".idx", number=2),
        bench.path / "index/merged.idx",
    ):
        file.unlink()


def of_other_images(bench):
    """Made with the same parameters from other sources: its part has the same name."""
    with Store.create(bench.path.with_name("other.dm"), RECIPE).writer() as writer:
        put(writer, 40)
    assert push(bench.path.with_name("other.dm")) == 0


def grown_elsewhere(bench):
    """A copy that has grown, while this one has grown by something else, into a part of the same name."""
    shutil.copytree(bench.path, bench.path.with_name("other.dm"))
    for path, number in ((bench.path, 70), (bench.path.with_name("other.dm"), 71)):
        with Store.create(path, RECIPE).writer() as writer:
            put(writer, number)
    assert push(bench.path.with_name("other.dm")) == 0


def of_other_images_without_lfs(bench):
    bench.hub.plain = True
    of_other_images(bench)


BAD_PUSHES = {
    "no license": (nothing, {"license_": []}, "no license is given: add --license"),
    "a sentence as the license": (
        nothing,
        {"license_": ["--license", "all mine"]},
        "'all mine' is not the name of a license",
    ),
    "a name without owner": (nothing, {"name": "flowers"}, "'flowers' is not a data set of the Hub: write"),
    "a revision": (nothing, {"name": "owner/flowers@v1"}, "is not the name of a data set on the Hub: give owner/name"),
    "no token": (no_token, {}, "no token for the Hub: log in with `hf auth login`"),
    "a wrong token": (wrong_token, {}, "the Hub does not let you do this with owner/flowers"),
    "another owner": (nothing, {"name": "somebody/flowers"}, "the Hub does not let you do this with somebody/flowers"),
    "no network": (no_network, {}, "the Hub cannot be reached for owner/flowers"),
    "something else there": (of_something_else, {}, "owner/flowers holds 'train.parquet', which no store has"),
    "another store there": (
        of_another_recipe,
        {},
        "made with other parameters (backend: the store has 'procedural', you ask for",
    ),
    "a public data set": (public, {}, "owner/flowers is public already: add --public"),
    "a later state there": (later, {}, "owner/flowers holds in parts/part-00002.idx what"),
    "another store of the same recipe": (
        of_other_images,
        {},
        "owner/flowers holds in parts/part-00000.idx what {path} does not: it is a later state",
    ),
    "the same without LFS": (of_other_images_without_lfs, {}, "owner/flowers holds in parts/part-00000.idx what"),
    "a copy that grew elsewhere": (grown_elsewhere, {}, "owner/flowers holds in parts/part-00003.idx what"),
}


def state(bench):
    there = {name: repository.head for name, repository in bench.hub.repositories.items()}
    return there, sorted(str(file) for file in bench.path.parent.rglob("*") if "cache" not in str(file))


@pytest.mark.parametrize("case", BAD_PUSHES)
def test_a_push_that_cannot_be_says_why_in_one_line_and_sends_nothing(bench, capsys, case):
    arrange, arguments, line = BAD_PUSHES[case]
    arrange(bench)
    before = state(bench)
    capsys.readouterr()
    assert push(bench.path, **arguments) == 2
    assert line.replace("{path}", str(bench.path)) in ending(capsys.readouterr().err)
    assert state(bench) == before


BAD_ADDRESSES = {
    "no data set": (nothing, "owner/trees", "the Hub has no data set owner/trees that you may see: check the name"),
    "no token": (no_token, "owner/flowers", "the Hub has no data set owner/flowers that you may see"),
    "no revision": (nothing, "owner/flowers@v9", "owner/flowers has no revision 'v9': give one of its branches"),
    "no network": (no_network, "owner/flowers", "the Hub cannot be reached for owner/flowers"),
    "something else": (
        of_something_else,
        "owner/flowers",
        "holds 'train.parquet' but no store.json: it is not a store",
    ),
    "a path": (nothing, "owner/../flowers", "'owner/../flowers' is not a data set of the Hub"),
    "a folder of it": (nothing, "owner/flowers/parts", "'owner/flowers/parts' is not a data set of the Hub"),
}


@pytest.mark.parametrize("case", BAD_ADDRESSES)
def test_a_pull_that_cannot_be_says_why_in_one_line_and_writes_nothing(bench, capsys, case):
    arrange, address, line = BAD_ADDRESSES[case]
    assert push(bench.path) == 0
    arrange(bench)
    before = state(bench)
    capsys.readouterr()
    assert main(["pull", address, "-o", str(bench.path.with_name("copy.dm"))]) == 2
    assert line in ending(capsys.readouterr().err)
    assert state(bench) == before


@pytest.mark.parametrize("case", BAD_ADDRESSES)
def test_a_spec_with_such_an_address_says_the_same(bench, case):
    arrange, address, line = BAD_ADDRESSES[case]
    assert push(bench.path) == 0
    arrange(bench)
    with pytest.raises(ValueError, match=re.escape(line.replace("'owner/", "'hf://owner/"))):
        create_backend(precomputed(f"hf://{address}"))


@pytest.mark.parametrize(
    "command", [["repair"], ["generate", "data", "-o"], ["import", "data", "--sources", "data", "-o"]]
)
def test_what_writes_to_a_store_does_not_take_an_address(tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        main([*command, "hf://owner/flowers"])
    assert "'hf://owner/flowers' can only be read: pull it into a folder first" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [["push", "STORE", "owner/flowers", *LICENSE], ["status", "hf://owner/flowers"]])
def test_without_the_library_the_error_says_what_to_install(path, monkeypatch, capsys, command):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    assert main([str(path) if word == "STORE" else word for word in command]) == 2
    assert "needs huggingface_hub: pip install huggingface_hub" in ending(capsys.readouterr().err)


@pytest.mark.usefixtures("hub")
def test_an_empty_store_is_not_pushed(tmp_path, capsys):
    Store.create(tmp_path / "a.dm", RECIPE)
    assert push(tmp_path / "a.dm") == 2
    assert "holds no counterparts: there is nothing to push" in ending(capsys.readouterr().err)

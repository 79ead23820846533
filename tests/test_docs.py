"""The pages say what the code does, each can be reached, and none sends a reader to a package registry."""

import configparser
import errno
import os
import re
import sys
from functools import cache
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from precomputed_files import Entry, counterpart_of, make_store, picture

from albu_diffusemix.backends import Status
from albu_diffusemix.backends.precomputed.matching import Explainer
from albu_diffusemix.cli import main
from albu_diffusemix.quality import Flaw
from albu_diffusemix.store import Store
from albu_diffusemix.store.files import StoreError, explained

sys.path.append(str(Path(__file__).parents[1] / "docs"))

import from_code
import messages

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
REGISTRY = re.compile(r"pypi\.|pythonhosted|pypistats|anaconda\.(org|com)|conda\.io|npmjs", re.IGNORECASE)
IMAGE = picture(1, 48, 64)
OTHER = picture(2, 48, 64)


@cache
def page(name):
    """A page as Sphinx reads it."""
    return from_code.fill_in((DOCS / name).read_text())


def plain(text):
    """Markdown without the escapes of single characters."""
    return re.sub(r"\\(.)", r"\1", text)


def test_each_page_is_in_a_table_of_contents():
    listed = re.findall(r"^```\{toctree\}\n(.*?)^```", page("index.md"), flags=re.MULTILINE | re.DOTALL)
    names = [line for block in listed for line in block.splitlines() if line and not line.startswith(":")]
    assert sorted(names) == sorted(path.stem for path in DOCS.glob("*.md") if path.stem != "index")


@pytest.mark.parametrize("name", sorted(path.name for path in DOCS.glob("*.md") if path.stem != "index"))
def test_the_index_says_when_to_read_each_page(name):
    assert re.search(rf"^\|.*\]\({name}\)", page("index.md"), flags=re.MULTILINE)


@pytest.mark.parametrize("path", [*sorted(DOCS.glob("*.md")), *sorted((ROOT / "benchmarks").glob("*.md"))], ids=str)
def test_no_page_holds_an_address_of_a_package_registry(path):
    assert not REGISTRY.search(from_code.fill_in(path.read_text()))


@pytest.mark.parametrize("path", sorted((DOCS / "pictures").iterdir()), ids=lambda path: path.name)
def test_a_picture_is_small_and_on_a_page(path):
    assert path.stat().st_size < 500_000
    pages = [*DOCS.glob("*.md"), ROOT / "benchmarks/RESULTS.md"]
    assert any(f"pictures/{path.name})" in page.read_text() for page in pages)


@pytest.mark.parametrize("command", sorted(from_code.parsers()))
def test_the_command_line_page_has_every_flag_that_help_prints(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    flags = set(re.findall(r"(?<![\w-])--?[a-z][a-z0-9-]*", capsys.readouterr().out))
    section = page("command_line.md").split(f"\n## {command}\n")[1].split("\n## ")[0]
    table = "\n".join(line for line in section.splitlines() if line.startswith("|"))
    assert len(flags) > 1
    assert all(re.search(rf"`{flag}[` ]", table) for flag in flags)


CHANGED = {
    "flipped": (lambda image: image[:, ::-1], "a.jpg"),
    "turned": (lambda image: np.rot90(image, 2), "a.jpg"),
    "transposed": (lambda image: image.transpose(1, 0, 2), "a.jpg"),
    "BGR": (lambda image: image[..., ::-1], "a.jpg"),
    "on its side": (lambda image: np.rot90(image) // 2, "a.jpg"),
    "cut": (lambda image: image[4:], "a.jpg"),
    "darker": (lambda image: image // 2, "a.jpg"),
    "under another key": (lambda image: image, "c.jpg"),
    "with the key of another": (lambda _image: OTHER, "a.jpg"),
    "with more folders": (lambda image: image // 2, "train/a.jpg"),
    "unknown by key": (lambda image: image // 2, "c.jpg"),
    "unknown by pixels": (lambda image: image // 2, None),
}


def row_of(cause):
    """The row of the troubleshooting page that has the cause and its advice."""
    rows = [plain(line).split(" | ") for line in page("troubleshooting.md").splitlines() if line.startswith("|")]
    return [
        told
        for told, advice in (row for row in rows if len(row) == 2)
        if cause.what in told.strip("| ").split("<br>") and advice.strip("| ") == cause.advice
    ]


@pytest.mark.parametrize("what", CHANGED)
def test_the_troubleshooting_page_knows_why_an_image_has_no_counterpart(tmp_path, what):
    data = counterpart_of(IMAGE, 48, 64)
    store = Store.open(make_store(tmp_path / "store", Entry("a.jpg", IMAGE, data), Entry("b.jpg", OTHER, data)))
    change, key = CHANGED[what]
    cause = Explainer(store).explain(np.ascontiguousarray(change(IMAGE)), key)
    assert len(row_of(cause)) == 1


def test_an_empty_store_is_on_the_troubleshooting_page(tmp_path):
    assert len(row_of(Explainer(Store.open(make_store(tmp_path / "store"))).explain(IMAGE, "a.jpg"))) == 1


def test_every_cause_of_the_code_is_on_the_troubleshooting_page():
    """The calls are counted in the text of the code: only the one that takes a change's own words has no row."""
    sources = [path.read_text() for path in (ROOT / "albu_diffusemix").rglob("*.py")]
    made = sum(len(re.findall(r"(?<!class )\bCause\(", source)) for source in sources)
    changes = [cause for cause in messages.causes() if re.search(r"is (BGR|flipped|turned|transposed)", cause.message)]
    assert len(messages.causes()) - len(changes) == made - 1
    assert len(changes) == 8


@pytest.mark.parametrize("reason", sorted({*get_args(Flaw), *get_args(Status)} - {"ok"}))
def test_each_reason_of_a_failure_is_on_the_troubleshooting_page(reason):
    assert f"\n| `{reason}` |" in page("troubleshooting.md")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EMFILE])
def test_what_the_system_refuses_is_on_the_troubleshooting_page(number):
    with pytest.raises(StoreError) as caught, explained("write", "a.tar"):
        raise OSError(number, os.strerror(number))
    reason, advice = str(caught.value).removeprefix("cannot write a.tar: ").split(": ", 1)
    assert re.search(rf"{reason}.* \| {re.escape(advice)}", plain(page("troubleshooting.md")))


@pytest.mark.parametrize("extra", ["demo", "diffusers", "hf", "hub", "onnx", "onnx-export", "parquet", "ray"])
def test_the_install_page_lists_the_packages_of_each_extra(extra):
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    packages = re.findall(r"^[\w-]+", config["options.extras_require"][extra], flags=re.MULTILINE)
    rows = [row for row in page("install.md").splitlines() if re.search(rf"\| `([a-z]+,)?{extra}` \|", row)]
    assert packages
    assert len(rows) == 1
    assert all(package in rows[0] for package in packages)


def test_each_word_of_the_glossary_is_explained_in_one_sentence():
    block = page("glossary.md").split("```{glossary}\n")[1].split("```")[0]
    entries = dict(entry.strip().split("\n  ") for entry in block.split("\n\n"))
    words = "source counterpart variant part hybrid backend recipe record location engine shard store"
    assert set(words.split()) <= entries.keys()
    assert list(entries) == sorted(entries)
    assert all(re.fullmatch(r"[A-Z][^\n]*\.", said) and ". " not in said for said in entries.values())


def test_a_mark_that_asks_for_something_unknown_is_an_error():
    with pytest.raises(KeyError, match="weather"):
        from_code.fill_in("<!-- from the code: weather -->")

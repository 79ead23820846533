"""What the scores say, in a store's README.md and on the card that is pushed."""

import re
import sys

import pytest
from curate_files import choose, make_photographs, make_store, put_figures, score
from hub_server import loopback_hub
from job_files import make

from albu_diffusemix.cli import main
from albu_diffusemix.curate.report import write_report
from albu_diffusemix.images import read_image
from albu_diffusemix.store import Recipe, Store

PNG = b"\x89PNG\r\n\x1a\n"
VALUES = [1, 2, 3, 5, 6, 10]


@pytest.fixture
def data(tmp_path):
    return make_photographs(tmp_path / "data")


@pytest.fixture
def store(data, tmp_path, monkeypatch):
    """Six counterparts of two classes, with figures."""
    path = make_store(data, tmp_path / "flowers.dm")
    put_figures(path, data, VALUES, monkeypatch)
    return path


def report_in(page):
    """The part of a page that scores have; there is one."""
    [found] = re.findall("(?s)<!-- scores -->.*?<!-- end of scores -->", page)
    return found


def readme(store):
    return (store / "README.md").read_text()


def rows_of(report, first):
    """The cells of the table whose first column has this heading."""
    table = report.partition(f"| {first} |")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:] if "|" in line]


def test_scoring_writes_means_by_prompt_and_class_and_a_picture(data, tmp_path):
    store = make_store(data, tmp_path / "s.dm")
    assert score(store, data, "--with", "pixels") == 0
    report = report_in(readme(store))
    assert [row[:3] for row in rows_of(report, "class")] == [
        ["astronaut", "3", "0"],
        ["chelsea", "3", "0"],
        ["all", "6", "0"],
    ]
    assert "pixels_luma" in report
    assert "](scores.png)" in report
    assert read_image(store / "scores.png").shape[2] == 3


def test_choosing_writes_what_is_rejected_in_place_of_what_stood_there(store):
    write_report(Store.open(store))
    assert rows_of(report_in(readme(store)), "class")[1] == ["chelsea", "3", "0", "7"]
    assert choose(store, "--where", "toy_figure < 6") == 0
    assert rows_of(report_in(readme(store)), "class")[1] == ["chelsea", "3", "2", "7"]
    assert "of which 2 are rejected" in readme(store)


def test_a_dry_run_writes_nothing(store):
    before = readme(store)
    assert choose(store, "--where", "toy_figure < 6", "--dry-run") == 0
    assert readme(store) == before


def test_a_later_run_of_the_job_keeps_what_the_scores_say(store, data):
    write_report(Store.open(store))
    before = report_in(readme(store))
    make_photographs(data, ["coffee"])
    make(data, store, size=64, encoding="raw")
    assert "9 counterparts of 9 sources" in readme(store)
    assert report_in(readme(store)) == before


def test_what_a_person_wrote_into_the_page_stays(store):
    (store / "README.md").write_text("my own page\r\n")
    write_report(Store.open(store))
    write_report(Store.open(store))
    assert readme(store).startswith("my own page\n")
    assert report_in(readme(store))


def test_without_scores_the_page_is_left_alone(data, tmp_path):
    store = make_store(data, tmp_path / "s.dm")
    before = readme(store)
    write_report(Store.open(store))
    assert readme(store) == before


def test_without_matplotlib_there_are_tables_alone_and_no_older_picture(store, monkeypatch):
    write_report(Store.open(store))
    assert (store / "scores.png").read_bytes().startswith(PNG)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    write_report(Store.open(store))
    assert not (store / "scores.png").exists()
    assert "scores.png" not in readme(store)
    assert rows_of(report_in(readme(store)), "class")


def test_a_page_that_cannot_be_written_does_not_fail_the_choice(store, capsys):
    (store / "README.md").unlink()
    (store / "README.md").mkdir()
    assert choose(store, "--where", "toy_figure < 6") == 0
    [line] = capsys.readouterr().err.splitlines()
    assert "README.md does not say what the scores say: cannot write" in line


def put_prompts(path, data, prompts, monkeypatch):
    """A store with a counterpart of each prompt of one photograph, and a figure of each."""
    make_store(data, path.with_name("one.dm"))
    one = Store.open(path.with_name("one.dm"))
    record = next(one.records())
    with Store.create(
        path, Recipe("procedural", "f00d", tuple(prompts), encoding=one.recipe.encoding)
    ).writer() as writer:
        for number, prompt in enumerate(prompts):
            bytes_ = one.read(record)
            writer.put(record.key, f"{number:04d}", bytes_, prompt=prompt, seed=number, source=record.source)
    put_figures(path, data, list(range(len(prompts))), monkeypatch)
    return path


def test_no_name_ends_a_cell_the_table_or_the_report(data, tmp_path, monkeypatch):
    prompts = ["a | b", "<!-- end of scores -->", r"$\frac{1}$", "雪\n| x |", "<script>alert(1)</script>"]
    store = put_prompts(tmp_path / "odd.dm", data, prompts, monkeypatch)
    write_report(Store.open(store))
    write_report(Store.open(store))
    report = report_in(readme(store))
    assert len(rows_of(report, "prompt")) == len(prompts) + 1
    assert all(len(row) == 4 for row in rows_of(report, "prompt"))
    assert "<script" not in report
    assert (store / "scores.png").read_bytes().startswith(PNG)


def test_of_many_prompts_thirty_are_shown_and_the_others_counted(data, tmp_path, monkeypatch):
    store = put_prompts(tmp_path / "many.dm", data, [f"prompt {number:02d}" for number in range(40)], monkeypatch)
    write_report(Store.open(store))
    rows = rows_of(report_in(readme(store)), "prompt")
    assert [row[0] for row in rows[-3:]] == ["prompt 29", "... and 10 more", "all"]


# Of the library's own way to send a file.
@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
def test_the_card_that_is_pushed_says_what_the_scores_say_and_has_the_picture(store, tmp_path, monkeypatch):
    write_report(Store.open(store))
    picture = (store / "scores.png").read_bytes()
    with loopback_hub(tmp_path, monkeypatch) as hub:
        assert main(["push", str(store), "owner/flowers", "--license", "mit"]) == 0
        files = hub.repositories["owner/flowers"].files
        assert report_in(files["README.md"].decode()) == report_in(readme(store))
        assert files["scores.png"] == picture
        assert main(["push", str(store), "owner/flowers", "--license", "mit"]) == 0
        assert main(["pull", "owner/flowers", "-o", str(tmp_path / "copy.dm")]) == 0
    assert (tmp_path / "copy.dm/scores.png").read_bytes() == picture

"""Choices by rule: which counterparts an expression over the figures rejects, and what comes back."""

import sys

import pytest
from curate_files import choose, make_photographs, make_store, put_figures, read_csv, rejected

from albu_diffusemix.cli import main
from albu_diffusemix.store import Store, Verdict

pytestmark = pytest.mark.usefixtures("without_pictures")

FIGURES = [1, 2, 3, 4, 5, 6]
IDS = [(f"{name}/{number}.png", "0000") for name in ("astronaut", "chelsea") for number in range(3)]


@pytest.fixture
def data(tmp_path):
    return make_photographs(tmp_path / "data")


@pytest.fixture
def store(data, tmp_path, monkeypatch):
    make_store(data, tmp_path / "s.dm")
    put_figures(tmp_path / "s.dm", data, FIGURES, monkeypatch)
    return tmp_path / "s.dm"


@pytest.fixture
def refused(store, capsys):
    def check(message, *words):
        capsys.readouterr()
        assert choose(store, *words) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert message in line
        assert rejected(store) == set()

    return check


def test_what_an_expression_is_false_for_is_rejected(store, capsys):
    assert choose(store, "--where", "toy_figure > 1 and toy_figure <= 5") == 0
    assert rejected(store) == {IDS[0], IDS[5]}
    out = capsys.readouterr().out
    assert "Counterparts: 6; 2 go, 0 return; 2 (33.3 %) are rejected then" in out
    assert "1 of 3  astronaut" in out
    assert "1 of 2  sunset" in out


def test_key_prompt_and_label_can_stand_in_an_expression(store):
    assert choose(store, "--where", "not (label = 'chelsea' and key like '%/2.png' and prompt = 'aurora')") == 0
    assert rejected(store) == {IDS[5]}


def test_a_verdict_of_a_rule_says_the_rule(store):
    choose(store, "--where", "toy_figure > 1", "--keep-best", "0.9", "--by", "toy_figure", "--per", "prompt")
    rules = {verdict.rule for verdict in Store.open(store).verdicts()}
    assert rules == {"toy_figure > 1, the best 0.9 by toy_figure per prompt"}


def test_the_best_stay_of_all_or_of_each_class(store):
    choose(store, "--keep-best", "0.5", "--by", "toy_figure", "--force")
    assert rejected(store) == set(IDS[:3])
    choose(store, "--keep-best", "0.34", "--by=-toy_figure", "--per", "class")
    assert rejected(store) == {IDS[2], IDS[5]}  # 1.02 of three: 2 stay


def test_a_new_rule_takes_the_place_of_the_one_before(store, capsys):
    choose(store, "--where", "toy_figure > 2")
    choose(store, "--where", "toy_figure <> 2 and toy_figure < 6")
    assert rejected(store) == {IDS[1], IDS[5]}
    assert "1 go, 1 return" in capsys.readouterr().out


def test_sources_that_lose_their_last_counterpart_are_counted(store, capsys):
    choose(store, "--where", "toy_figure > 2", "--force")
    out = capsys.readouterr().out
    assert "2 sources have no counterpart left then, such as astronaut/0.png" in out
    choose(store, "--where", "toy_figure > 1", "--force")
    assert "no counterpart left" not in capsys.readouterr().out


def test_a_choice_is_written_before_it_is_told_to_a_program_that_ends(store, monkeypatch):
    def gone(*_):
        raise BrokenPipeError

    monkeypatch.setattr("albu_diffusemix.cli.curate.say", gone)
    choose(store, "--where", "toy_figure > 2")
    assert rejected(store) == set(IDS[:2])


def test_undo_needs_no_figures(store):
    choose(store, "--where", "toy_figure > 2")
    [file] = (store / "scores/toy").glob("*.parquet")
    file.write_bytes(file.read_bytes()[:-50])
    assert choose(store, "--undo") == 0
    assert rejected(store) == set()


def test_an_expression_that_is_empty_or_has_an_unknown_function_is_refused(refused):
    refused("--where is empty: give an expression", "--where", " ")
    refused("--by is empty: give an expression", "--keep-best", "0.5", "--by", " ")
    refused("unction with name flor does not exist! Did you mean", "--where", "flor(toy_figure) > 2")


def test_undo_brings_back_what_rules_rejected(store):
    choose(store, "--where", "toy_figure > 2")
    assert choose(store, "--undo") == 0
    assert rejected(store) == set()


def test_what_a_person_decided_stays(store, capsys):
    Store.open(store).choose([Verdict(*IDS[0], "accept"), Verdict(*IDS[5], "reject", "two tails")])
    choose(store, "--where", "toy_figure >= 3")
    assert rejected(store) == {IDS[1], IDS[5]}
    assert "2 stay as a person decided" in capsys.readouterr().out
    choose(store, "--undo")
    assert rejected(store) == {IDS[5]}


def test_what_a_person_took_back_is_open_to_rules_again(store):
    Store.open(store).choose([Verdict(*IDS[0], "reject")])
    Store.open(store).choose([Verdict(*IDS[0], "accept", rule="undo")])
    choose(store, "--where", "toy_figure > 1")
    assert rejected(store) == {IDS[0]}


def test_what_has_no_figure_stays_as_it_is(data, store, monkeypatch, capsys):
    put_figures(store, data, [None, *FIGURES[1:]], monkeypatch, name="second")
    choose(store, "--where", "second_figure > 2")
    assert rejected(store) == {IDS[1]}
    assert "1 stay as they are: they lack a figure" in capsys.readouterr().out
    choose(store, "--keep-best", "0.5", "--by", "second_figure")
    assert rejected(store) == {IDS[1], IDS[2]}


def test_a_dry_run_writes_nothing(store, capsys):
    assert choose(store, "--where", "toy_figure > 4", "--dry-run") == 0
    assert "Nothing was written." in capsys.readouterr().out
    assert not (store / "choices").exists()


def test_a_class_that_would_lose_all_is_refused_unless_forced(store, refused):
    refused("1 of 2 classes would lose all their counterparts, such as 'astronaut'", "--where", "toy_figure > 3")
    assert choose(store, "--where", "toy_figure > 3", "--force") == 0
    assert rejected(store) == set(IDS[:3])
    assert choose(store, "--where", "toy_figure > 3") == 0  # it takes nothing more away


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("toy_figur > 3", "unknown column 'toy_figur'; known: key, variant, prompt, label, toy_figure; did you mean"),
        ("counterparts.toy > 3", "unknown column 'toy'"),
        ("toy_figure >", "syntax error"),
        ("toy_figure", "gives DOUBLE: it must give true or false"),
        ("avg(toy_figure) > 1", "must appear in the GROUP BY clause"),
        ("true) FROM counterparts; SELECT (true", "is not one expression"),
        ("key = 3", "Conversion Error"),
        ("", "--where is empty: give an expression"),
    ],
)
def test_a_wrong_expression_is_one_line(refused, expression, message):
    refused(message, "--where", expression)


@pytest.mark.parametrize(
    "expression",
    ["key IN (SELECT * FROM read_text('{}'))", "key IN (SELECT * FROM '{}')", "key IN (SELECT * FROM glob('/*'))"],
)
def test_an_expression_cannot_read_files(refused, tmp_path, expression):
    (tmp_path / "secret.csv").write_text("key\nastronaut/0.png\n")
    refused("disabled", "--where", expression.format(tmp_path / "secret.csv"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--keep-best", "0", "--by", "toy_figure"], "must be above 0 and at most 1; got 0.0"),
        (["--keep-best", "nan", "--by", "toy_figure"], "must be above 0 and at most 1; got nan"),
        (["--keep-best", "0.5"], "go together"),
        (["--by", "toy_figure"], "go together"),
        (["--keep-best", "0.5", "--by", "prompt"], "--by 'prompt' gives VARCHAR: it must give a number"),
        ([], "give --where EXPRESSION"),
        (["--undo", "--where", "toy_figure > 3"], "give it alone"),
    ],
)
def test_flags_that_do_not_go_together_are_one_line(refused, words, message):
    refused(message, *words)


def test_a_missing_package_is_named(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "duckdb", None)
    refused("a choice needs duckdb: pip install duckdb pyarrow", "--where", "toy_figure > 0")


def test_choices_are_written_beside_the_figures(store, tmp_path):
    choose(store, "--where", "toy_figure > 1")
    Store.open(store).choose([Verdict(*IDS[5], "accept", "fine")])
    assert main(["scores", str(store), "-o", str(tmp_path / "s.csv")]) == 0
    assert main(["reject", str(store), "--from", str(tmp_path / "s.csv")]) == 0
    assert rejected(store) == {IDS[0]}  # those that nobody decided on are passed over
    rows = read_csv(tmp_path / "s.csv")
    assert [(row["verdict"], row["reason"], row["rule"]) for row in rows if row["verdict"]] == [
        ("reject", "", "toy_figure > 1"),
        ("accept", "fine", ""),
    ]

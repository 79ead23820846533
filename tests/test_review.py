"""The page to look at counterparts, and its server."""

import http.client
import json
import threading
import urllib.parse
from html.parser import HTMLParser

import numpy as np
import pytest
from review_files import HOSTILE, PROMPTS, data_in, make_store, scores_of, table_of, write_photographs

from albu_diffusemix.cli import main
from albu_diffusemix.curate import page as pages
from albu_diffusemix.curate.page import store_names, write_page
from albu_diffusemix.curate.pictures import Sources, counterpart_picture, source_picture
from albu_diffusemix.curate.server import ReviewServer
from albu_diffusemix.curate.table import Query
from albu_diffusemix.images import read_encoded
from albu_diffusemix.store import Store, StoreError, Verdict

NOTHING_CHOSEN = dict.fromkeys(("sort", "label", "prompt", "store", "verdict"), "")
ALL = {**NOTHING_CHOSEN, "descending": False, "group": False, "limits": {}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_photographs(tmp_path_factory.mktemp("review") / "data", 7)


@pytest.fixture
def store(folder, tmp_path):
    return make_store(tmp_path / "photographs.dm", folder)


@pytest.fixture
def written(store, folder, tmp_path):
    def write(*stores, limit=None, read_scores=None):
        table, sources = table_of(store, *stores, folder=folder, read_scores=read_scores)
        assert write_page(table, sources, tmp_path / "review.html", limit, lambda: None) == []
        return (tmp_path / "review.html").read_text()

    return write


class Tags(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.tags = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


def test_a_page_carries_each_counterpart_with_what_is_known_of_it(written, store):
    data = data_in(written(read_scores=scores_of))
    records = list(store.records())
    assert [(row["key"], row["variant"]) for row in data["rows"]] == [record[:2] for record in records]
    assert [data["prompts"][row["prompt"]] for row in data["rows"]] == [record.prompt for record in records]
    assert [data["labels"][row["label"]] for row in data["rows"]] == [
        record.key.partition("/")[0] if "/" in record.key else "" for record in records
    ]
    assert [row["scores"] for row in data["rows"]] == [
        *([n / 100] for n in range(len(records) - 1)),
        [None],
    ]
    assert sum(data["figures"][0]["counts"]) == len(records) - 1


def test_a_page_carries_its_pictures(written):
    data = data_in(written())
    assert {row["picture"] for row in data["rows"]} | {row["source"] for row in data["rows"]} == set(data["pictures"])
    assert len(data["pictures"]) == 14 + 7
    assert all(address.startswith("data:image/jpeg;base64,/9j/") for address in data["pictures"].values())


def test_pictures_lie_beside_the_page_where_they_are_large_together(written, tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "MOST_INSIDE", 20_000)
    addresses = data_in(written())["pictures"].values()
    beside = [address for address in addresses if not address.startswith("data:")]
    assert beside
    assert {tmp_path / address for address in beside} == set((tmp_path / "review_files").iterdir())


def test_no_text_of_a_store_becomes_markup(written, folder, tmp_path):
    prompt = "</script><script>alert(1)</script>"
    page = written(make_store(tmp_path / "other.dm", folder, (prompt,)))
    assert HOSTILE in {row["key"] for row in data_in(page)["rows"]}
    assert prompt in data_in(page)["prompts"]
    assert [attributes for tag, attributes in Tags(page).tags if tag == "script"] == [
        {"type": "application/json", "id": "data"},
        {},
    ]


def test_the_policy_of_a_page_allows_nothing_but_its_own_script_style_and_pictures(written):
    [policy] = [tag["content"] for _, tag in Tags(written()).tags if tag.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"].startswith("'sha256-")
    assert "connect-src" not in rules
    assert "unsafe" not in policy
    assert "http" not in rules["img-src"]


def test_a_limit_shows_some_of_all(written):
    assert len(data_in(written(limit=4))["rows"]) == 4


def test_too_many_for_one_page_are_refused_with_what_to_do(store, tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "MOST_SHOWN", 5)
    with pytest.raises(ValueError, match=r"14 counterparts are too many .* use --serve, or --limit"):
        write_page(*table_of(store), tmp_path / "review.html", None, lambda: None)


def test_a_source_that_is_another_image_now_says_so(store, folder):
    record = next(store.records())
    sources = Sources(str(folder), store.path)
    same = read_encoded(source_picture(store, record, sources, 256).data, "same")
    changed = record._replace(source=record.source._replace(pixels=bytes(16)))
    other = read_encoded(source_picture(store, changed, sources, 256).data, "other")
    assert np.array_equal(other.shape, same.shape)
    assert other[:16, 250:].mean(axis=(0, 1)) == pytest.approx((179, 38, 30), abs=6)
    assert abs(other[24:].astype(int) - same[24:]).mean() < 2


def test_a_small_counterpart_is_shown_byte_for_byte(store):
    record = next(store.records())
    assert counterpart_picture(store, record, 64) == (store.read(record), "image/jpeg")
    assert read_encoded(counterpart_picture(store, record, 32).data, "small").shape == (32, 32, 3)


# What a query finds.


@pytest.fixture
def table(store, folder):
    return table_of(store, folder=folder, read_scores=scores_of)[0]


def found(table, **query):
    return [(table.record(number).key, table.record(number).variant) for number in table.find(Query(**query)).tolist()]


def test_rows_are_sorted_by_a_score_and_unknown_ones_come_last(table, store):
    made = [record[:2] for record in store.records()]
    assert found(table) == made
    assert found(table, sort="clip_image") == made
    assert found(table, sort="clip_image", descending=True) == [*made[:-1][::-1], made[-1]]


def test_rows_are_filtered_by_class_prompt_and_limits(table, store):
    records = list(store.records())
    label = table.facets()["labels"].index("cat")
    assert found(table, label=label) == [record[:2] for record in records if record.key.startswith("cat/")]
    assert found(table, prompt=1) == [record[:2] for record in records if record.prompt == PROMPTS[1]]
    assert found(table, limits={"clip_image": (0.02, 0.04)}) == [record[:2] for record in records[2:5]]


def test_rows_are_filtered_by_the_last_verdict(table, store):
    table.choose([(3, "reject"), (4, "reject"), (5, "accept"), (4, "accept"), (3, "")])
    rejected, accepted, none = (table.find(Query(verdict=verdict)).tolist() for verdict in ("reject", "accept", "none"))
    assert (rejected, sorted(accepted)) == ([], [4, 5])
    assert 3 in none
    again = table_of(Store.open(store.path))[0]
    again.facets()
    assert [again.verdict(number) for number in range(14)] == [table.verdict(number) for number in range(14)]


def test_all_verdicts_of_a_counterpart_are_shown(table):
    table.choose([(2, "reject")], "clip_image < 0.1")
    table.choose([(2, "accept")])
    [row] = [row for [row] in table.page(Query())["rows"] if row["id"] == 2]
    assert (row["verdict"], row["said"]) == ("accept", ["rejected by clip_image < 0.1", "accepted"])


def test_a_verdict_on_an_image_that_was_made_again_is_not_inherited(table, store):
    record = table.record(0)
    table.choose([(0, "reject")])
    with store.writer() as writer:
        writer.put(*record[:2], b"\xff\xd8\xff another", prompt=record.prompt, seed=9, source=record.source)
    again = table_of(Store.open(store.path))[0]
    again.facets()
    assert len(again) == len(table)
    assert len(again.find(Query(verdict="reject"))) == 0


def test_counterparts_of_several_stores_are_grouped_by_their_source(store, folder, tmp_path):
    other = make_store(tmp_path / "other.dm", folder, ("snowy", "watercolor"), "beef")
    both, _ = table_of(store, other)
    page = both.page(Query(group=True), 1, 2)
    assert (page["units"], page["matching"], len(page["rows"])) == (7, 28, 2)
    for rows in page["rows"]:
        assert len({row["key"] for row in rows}) == 1
        assert sorted((row["store"], both.prompts[row["prompt"]]) for row in rows) == [
            (0, "snowy"),
            (0, "sunset"),
            (1, "snowy"),
            (1, "watercolor"),
        ]


def test_stores_of_one_name_are_told_apart(store, folder, tmp_path):
    (tmp_path / "more").mkdir()
    other = make_store(tmp_path / "more" / "photographs.dm", folder)
    assert store_names(table_of(store, other)[0]) == ["photographs.dm (1)", "photographs.dm (2)"]


def test_an_unknown_figure_gets_the_nearest(table):
    with pytest.raises(ValueError, match=r"unknown figure 'clip_imge'; .*did you mean 'clip_image'"):
        table.find(Query(sort="clip_imge"))


# The server.


@pytest.fixture
def server(table, folder, store):
    with ReviewServer(table, Sources(str(folder), store.path)) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def ask(server, path, body=None, headers=None, start=None, kind="application/json"):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1])
    content = None if body is None else json.dumps(body)
    headers = {"Content-Type": kind, **(headers or {})} if body is not None else headers or {}
    connection.request("GET" if body is None else "POST", (start or f"/{server.token}/") + path, content, headers)
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer.status, json.loads(data) if answer.headers["Content-Type"] == "application/json" else data


def rows_of(server, **query):
    asked = urllib.parse.urlencode({"query": json.dumps({**ALL, **query}), "count": 5})
    return ask(server, f"rows?{asked}")


def test_the_server_gives_a_page_and_its_rows(server):
    assert ask(server, "")[1].startswith(b"<!doctype html>")
    status, page = rows_of(server, sort="clip_image")
    assert (status, page["units"], page["total"], len(page["rows"])) == (200, 14, 14, 5)
    assert ask(server, "facets")[1]["figures"][0]["name"] == "clip_image"
    for [row] in page["rows"]:
        assert read_encoded(ask(server, row["picture"])[1], "counterpart").shape == (64, 64, 3)
        assert read_encoded(ask(server, row["source"])[1], "source").shape == (240, 300, 3)


def test_verdicts_are_written_at_once(server, store):
    assert ask(server, "verdicts", {"changes": [[0, "reject"], [1, "accept"]]}) == (200, {})
    first, second = server.table.record(0), server.table.record(1)
    fresh = Store.open(store.path)
    assert [verdict[:3] for verdict in fresh.verdicts()] == [(*first[:2], "reject"), (*second[:2], "accept")]
    assert [fresh.is_rejected(record) for record in (first, second)] == [True, False]


def test_all_that_match_are_rejected_and_come_back(server, store):
    query = {**ALL, "limits": {"clip_image": [None, 0.045]}}
    _, answer = ask(server, "verdicts", {"query": query, "rule": "clip_image <= 0.045"})
    assert len(answer["before"]) == 5
    assert {verdict.rule for verdict in store.verdicts()} == {"clip_image <= 0.045"}
    assert rows_of(server)[1]["rejected"] == 5
    ask(server, "verdicts", {"changes": answer["before"]})
    assert rows_of(server)[1]["rejected"] == 0
    assert not any(map(Store.open(store.path).is_rejected, store.records()))


def test_verdicts_that_others_wrote_show_when_the_page_is_opened_again(server, store):
    record = server.table.record(4)
    Store.open(store.path).choose([Verdict(record.key, record.variant, "reject")])
    ask(server, "facets")
    assert rows_of(server)[1]["rejected"] == 1


def test_without_the_token_there_is_nothing(server):
    for path in ("", "facets", "picture/0", "verdicts"):
        assert ask(server, path, start="/guess/") == (404, {"error": "there is nothing here"})
    assert ask(server, "verdicts", {"changes": [[0, "reject"]]}, start="/guess/")[0] == 404
    assert server.table.verdict(0) == ""


def test_a_page_of_another_site_that_names_this_computer_gets_nothing(server):
    assert ask(server, "facets", headers={"Host": "other.example:80"})[0] == 404
    assert ask(server, "facets", headers={"Host": "localhost:8000"})[0] == 200


def test_a_form_of_another_site_cannot_write(server):
    status, answer = ask(server, "verdicts", {"changes": [[0, "reject"]]}, kind="text/plain")
    assert (status, answer["error"]) == (400, "a request must be application/json")
    assert server.table.verdict(0) == ""


@pytest.mark.parametrize(
    "path",
    [
        "../store.json",
        "store.json",
        "picture/../../store.json",
        "picture/%2e%2e/store.json",
        "picture//etc/passwd",
        "x",
    ],
)
def test_nothing_outside_of_the_store_is_served(server, path):
    assert ask(server, path) == (404, {"error": "there is nothing here"})


def test_the_server_listens_on_this_computer_alone(server):
    assert server.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("picture/14", None, "there is no counterpart 14: the last one is 13"),
        ("rows?query=[]", None, "is not a query of this page"),
        ("rows?query={", None, "Expecting"),
        ("verdicts", {"changes": [[99, "reject"]]}, "there is no counterpart 99"),
        ("verdicts", {"changes": [[0, "burn"]]}, "'burn'"),
        ("verdicts", {"changes": [[0]]}, "not enough values"),
        ("verdicts", [1], "a request must be a JSON object"),
    ],
)
def test_a_wrong_request_gets_a_line_and_writes_nothing(server, store, path, body, message):
    status, answer = ask(server, path, body)
    assert status == 400
    assert message in answer["error"]
    assert list(store.verdicts()) == []


def test_verdicts_that_cannot_be_written_are_not_shown(server, monkeypatch):
    def fail(_):
        raise StoreError("the disk is full")

    monkeypatch.setattr(server.table.stores[0], "choose", fail)
    assert ask(server, "verdicts", {"changes": [[0, "reject"]]}) == (400, {"error": "the disk is full"})
    assert server.table.verdict(0) == ""


# The command.


def test_the_command_writes_a_page(store, folder, tmp_path, capsys):
    output = tmp_path / "page.html"
    assert main(["review", str(store.path), str(folder), "-o", str(output), "--limit", "6"]) == 0
    assert "6 counterparts" in capsys.readouterr().out
    assert len(data_in(output.read_text())["rows"]) == 6


def test_the_page_has_what_was_measured_by_score(store, folder, tmp_path):
    assert main(["score", str(store.path), str(folder), "--with", "pixels"]) == 0
    assert main(["review", str(store.path), str(folder), "-o", str(tmp_path / "page.html")]) == 0
    data = data_in((tmp_path / "page.html").read_text())
    names = [figure["name"] for figure in data["figures"]]
    assert names
    assert all(name.startswith("pixels_") for name in names)
    assert all(None not in row["scores"] for row in data["rows"])


def test_sources_that_are_missing_are_named_and_the_page_is_written(store, folder, tmp_path, capsys):
    (tmp_path / "empty" / "cat").mkdir(parents=True)
    name = next(path for path in folder.rglob("*.png") if path.parent.name == "cat")
    (tmp_path / "empty" / "cat" / "000.png").write_bytes(name.read_bytes())
    output = tmp_path / "page.html"
    assert main(["review", str(store.path), str(tmp_path / "empty"), "-o", str(output)]) == 1
    assert "cannot be shown: " in capsys.readouterr().err
    assert len(data_in(output.read_text())["rows"]) == 14


def test_the_command_needs_a_page_or_a_server(store, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["review", str(store.path)])
    assert "one of the arguments -o/--output --serve is required" in capsys.readouterr().err

"""Figures of counterparts: what the free scorers measure, and how figures are kept."""

import json
import threading

import cv2
import datasets
import numpy as np
import pytest
from curate_files import figures, make_photographs, make_store, noise, put_figures, read_csv, score
from pyarrow import parquet
from skimage import data as pictures

from albu_diffusemix.cli import main
from albu_diffusemix.curate import ScoreOptions, plan_scores, read_scores, run_scores
from albu_diffusemix.curate.free_scorers import EdgeScorer, PixelScorer
from albu_diffusemix.curate.scorers import View
from albu_diffusemix.datasets import Box, SourceFile, find_sources
from albu_diffusemix.generate.sheet import decode_record
from albu_diffusemix.images import read_image, write_image
from albu_diffusemix.store import Store, Verdict

pytestmark = pytest.mark.usefixtures("without_pictures")

CAT = cv2.resize(pictures.chelsea(), (128, 96), interpolation=cv2.INTER_AREA)
COUNT = 6


@pytest.fixture
def data(tmp_path):
    return make_photographs(tmp_path / "data")


@pytest.fixture
def store(data, tmp_path):
    return make_store(data, tmp_path / "s.dm")


def measured(scorer, image, counterpart, **source):
    view = View(SourceFile("", "a.png", **source), image, [(None, counterpart)])
    [figures] = scorer.score(scorer.prepare(view))
    return dict(zip(scorer.figures, figures, strict=True))


def test_an_image_has_no_distance_from_itself():
    assert measured(PixelScorer(), CAT, CAT) == {"luma": 0, "color": 0}


def test_luma_is_the_mean_difference_in_brightness():
    grey = np.full((8, 8, 3), 100, np.uint8)
    assert measured(PixelScorer(), grey, grey + 51) == {"luma": pytest.approx(0.2), "color": 0}


def test_color_moves_without_luma_when_hues_are_exchanged():
    red, blue = np.zeros((2, 8, 8, 3), np.uint8)
    red[..., 0], blue[..., 2] = 76, 200
    found = measured(PixelScorer(), red, blue)
    assert found["color"] > 0.2
    assert found["luma"] < 0.01


def test_a_source_is_compared_at_the_size_of_its_counterpart():
    small = cv2.resize(CAT, (64, 48), interpolation=cv2.INTER_AREA)
    assert measured(PixelScorer(), CAT, small) == {"luma": 0, "color": 0}
    assert measured(EdgeScorer(), CAT, small)["whole"] == pytest.approx(1, abs=1e-3)


def test_edges_agree_with_those_of_the_negative_and_not_with_those_of_a_flip_or_of_noise():
    assert measured(EdgeScorer(), CAT, 255 - CAT)["whole"] == pytest.approx(1, abs=0.01)
    assert measured(EdgeScorer(), CAT, CAT[:, ::-1].copy())["whole"] < 0.5
    assert abs(measured(EdgeScorer(), CAT, noise(CAT.shape))["whole"]) < 0.2


def test_edges_of_a_plain_image_are_not_compared():
    assert measured(EdgeScorer(), CAT, np.zeros_like(CAT)) == {"whole": None, "inside": None}


def test_an_object_that_left_its_box_shows_inside_of_it():
    left, right = (Box(x, 0.25, x + 0.25, 0.75, "cat") for x in (0.125, 0.625))
    changed = CAT.copy()
    changed[24:72, 16:48] = noise((48, 32, 3))
    found = measured(EdgeScorer(), CAT, changed, boxes=(right,))
    assert found["inside"] == pytest.approx(1, abs=0.05)
    assert measured(EdgeScorer(), CAT, changed, boxes=(right, left))["inside"] < found["whole"] < 1


def test_an_object_that_left_its_mask_shows_inside_of_it(tmp_path):
    mask = np.zeros((96, 128), np.uint8)
    mask[24:72, 16:48] = 1
    mask[24:72, 80:112] = 2
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    changed = CAT.copy()
    changed[24:72, 16:48] = noise((48, 32, 3))
    found = measured(EdgeScorer(), CAT, changed, mask=str(tmp_path / "mask.png"))
    mask[mask == 1] = 255  # where nobody knows
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    assert found["inside"] < 0.5 < measured(EdgeScorer(), CAT, changed, mask=str(tmp_path / "mask.png"))["inside"]


def test_every_counterpart_is_scored_once(data, store, capsys):
    assert score(store, data, "--with", "pixels") == 0
    assert f"Scored {COUNT} counterparts; 0 failed" in capsys.readouterr().out
    assert min(figures(store, "pixels_luma").values()) > 0.1  # they are negatives
    assert score(store, data, "--with", "pixels") == 0
    assert f"{COUNT} scored before, 0 to be scored" in capsys.readouterr().out
    assert len(list((store / "scores/pixels").glob("*.parquet"))) == 1


def test_boxes_of_the_data_set_are_looked_into(data, store, tmp_path):
    lines = [
        {"path": str(path), "key": path.relative_to(data).as_posix(), "boxes": [[0, 0, 0.5, 0.5, "cat"]]}
        for path in data.rglob("*.png")
    ]
    (tmp_path / "boxes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert score(store, tmp_path / "boxes.jsonl", "--with", "edges") == 0
    assert None not in figures(store, "edges_inside").values()


def test_shards_score_the_whole_together_and_nothing_twice(data, store, capsys):
    parts = [score(store, data, "--with", "pixels", "--shard", f"{number}/2") for number in range(2)]
    scored = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Scored")]
    assert parts == [0, 0]
    assert sum(int(line.split()[1]) for line in scored) == COUNT
    assert None not in figures(store, "pixels_luma").values()


def test_two_processes_do_not_score_the_same_share(data, store):
    sources = find_sources(data, store)
    plans = [plan_scores(Store.open(store), sources, ScoreOptions("pixels")) for _ in range(2)]

    def report(*_):
        with pytest.raises(ValueError, match="another process scores share 0of1 of pixels: wait"):
            run_scores(plans[1], lambda *_: None, threading.Event())

    assert run_scores(plans[0], report, threading.Event()).scored == COUNT


def test_what_was_scored_before_an_interruption_stays(data, store, monkeypatch):
    stop = threading.Event()
    monkeypatch.setattr(PixelScorer, "batch_size", 2)
    plan = plan_scores(Store.open(store), find_sources(data, store), ScoreOptions("pixels"))
    summary = run_scores(plan, lambda *_: stop.set(), stop)
    assert summary.interrupted
    assert 0 < summary.scored < COUNT
    again = plan_scores(Store.open(store), find_sources(data, store), ScoreOptions("pixels"))
    assert (again.present, again.pending) == (summary.scored, COUNT - summary.scored)


def test_figures_with_other_settings_take_the_place_of_all_before(data, store, monkeypatch):
    score(store, data, "--with", "pixels")
    before = figures(store, "pixels_luma")
    monkeypatch.setattr(PixelScorer, "fingerprint", "pixels-2")
    score(store, data / "chelsea", "--with", "pixels", "--exclude", "*")  # has nothing to score
    assert figures(store, "pixels_luma") == before
    score(store, data, "--with", "pixels", "--exclude", "chelsea/*")
    found = figures(store, "pixels_luma")
    assert {key for (key, _), value in found.items() if value is None} == {f"chelsea/{n}.png" for n in range(3)}


def test_figures_of_an_image_that_was_made_again_do_not_count(data, store):
    score(store, data, "--with", "pixels")
    path = data / "chelsea/1.png"
    write_image(path, cv2.imread(str(path))[::-1].copy())
    assert score(store, data, "--with", "pixels") == 0
    make_store(data, store, changed=True)
    assert [key for (key, _), value in figures(store, "pixels_luma").items() if value is None] == ["chelsea/1.png"]
    assert score(store, data, "--with", "pixels") == 0
    assert None not in figures(store, "pixels_luma").values()


def test_a_source_that_changed_and_one_that_is_gone_fail_and_the_others_are_scored(data, store, capsys):
    (data / "chelsea/0.png").write_bytes(b"torn")
    write_image(data / "chelsea/1.png", CAT)
    assert score(store, data, "--with", "edges") == 1
    out = capsys.readouterr().out
    assert "Scored 4 counterparts; 2 failed" in out
    assert "failed: chelsea/1.png 0000: its source has other pixels now than when it was made" in out
    assert list(figures(store, "edges_whole").values()).count(None) == 2


def test_a_value_that_is_not_a_number_is_no_figure(data, store, monkeypatch):
    put_figures(store, data, [float("nan"), *range(COUNT - 1)], monkeypatch)
    assert list(figures(store, "toy_figure").values())[:2] == [None, 0]


def test_a_damaged_file_of_figures_is_one_line(data, store, capsys):
    score(store, data, "--with", "pixels")
    [file] = (store / "scores/pixels").glob("*.parquet")
    file.write_bytes(file.read_bytes()[:-9])
    capsys.readouterr()
    assert main(["scores", str(store)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert f"{file} is not a whole file of figures" in line
    assert "Remove it, and score again" in line


@pytest.mark.parametrize(("name", "said"), [("Clip", "give 1 to 40 of a-z"), ("../x", "give 1 to 40 of a-z")])
def test_a_name_that_no_expression_could_use_is_refused(data, store, capsys, name, said):
    assert score(store, data, "--with", "pixels", "--name", name) == 2
    assert said in capsys.readouterr().err


def test_data_that_the_store_was_not_made_from_is_refused(store, tmp_path, capsys):
    other = make_photographs(tmp_path / "other", ["coffee"])
    assert score(store, other, "--with", "pixels") == 2
    assert "`albu-diffusemix doctor` says why" in capsys.readouterr().err


def test_scores_are_shown_by_class_and_written_as_csv_and_parquet(data, store, tmp_path, capsys, monkeypatch):
    put_figures(store, data, [1, 2, 3, 5, 6, 10], monkeypatch)
    capsys.readouterr()
    assert main(["scores", str(store), "--per", "class"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows == [
        ["class", "images", "rejected", "toy_figure"],
        ["astronaut", "3", "0", "2"],
        ["chelsea", "3", "0", "7"],
        ["all", "6", "0", "4.5"],
    ]
    for ending in ("csv", "parquet"):
        assert main(["scores", str(store), "-o", str(tmp_path / f"s.{ending}")]) == 0
    written = read_csv(tmp_path / "s.csv")
    assert [row["toy_figure"] for row in written] == ["1", "2", "3", "5", "6", "10"]
    assert list(written[0]) == ["key", "variant", "prompt", "label", "toy_figure", "verdict", "reason", "rule"]
    table = parquet.read_table(tmp_path / "s.parquet")
    assert table["label"].to_pylist() == ["astronaut"] * 3 + ["chelsea"] * 3
    assert main(["scores", str(store), "-o", str(tmp_path / "s.txt")]) == 2
    assert "must end in .csv or .parquet" in capsys.readouterr().err
    assert main(["scores", str(store), "-o", str(tmp_path / "absent/s.csv")]) == 2
    assert "absent/s.csv': No such file" in capsys.readouterr().err


def test_a_store_without_scores_says_how_to_make_them(store, capsys):
    assert main(["scores", str(store)]) == 2
    assert "has no scores yet: albu-diffusemix score" in capsys.readouterr().err
    assert read_scores(Store.open(store)).column_names == ["key", "variant"]


def test_an_export_with_sources_shows_both_images_prompt_label_and_figures(data, store, tmp_path, monkeypatch):
    put_figures(store, data, range(COUNT), monkeypatch)
    Store.open(store).choose([Verdict("astronaut/1.png", "0000", "reject")])
    assert main(["export", str(store), "--to", "parquet", "-o", str(tmp_path / "out"), "--sources", str(data)]) == 0
    [file] = (tmp_path / "out").glob("*.parquet")
    rows = sorted(load_rows(file), key=lambda row: row["key"])
    assert list(rows[0])[:4] == ["input_image", "edit_prompt", "edited_image", "label"]
    assert [row["toy_figure"] for row in rows] == [0, 2, 3, 4, 5]
    source, counterpart = (np.asarray(rows[3][name]) for name in ("input_image", "edited_image"))
    np.testing.assert_array_equal(source, read_image(data / rows[3]["key"]))
    record = Store.open(store).find(rows[3]["key"], "0000")
    np.testing.assert_array_equal(counterpart, decode_record(Store.open(store), record))
    assert (rows[3]["label"], rows[3]["edit_prompt"]) == ("chelsea", record.prompt)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["parquet", "--sources", "part"], "the data set has no 'chelsea/"),
        (["folder", "--sources", "data"], "--sources is for --to parquet"),
    ],
)
def test_an_export_with_sources_that_do_not_fit_is_one_line(data, store, tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "part").mkdir()
    (data / "astronaut").rename(tmp_path / "part/astronaut")
    make_photographs(data)
    capsys.readouterr()
    assert main(["export", str(store), "-o", str(tmp_path / "out"), "--to", *words]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def load_rows(file):
    """The rows as the Hub's viewers see them."""
    return list(datasets.Dataset.from_parquet(str(file), cache_dir=str(file.parent / "cache")))

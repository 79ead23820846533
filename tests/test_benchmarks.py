"""The benchmarks' own code: all of it runs, and what it says about its figures is true."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from albu_diffusemix.functional import fractal_blend, half_concat

sys.path.append(str(Path(__file__).parents[1]))

from benchmarks import agree, conftest, hand_mixing, plots, released_mixing, report, side_by_side, tables
from benchmarks.lines import AT_LEAST, AT_MOST, Line
from benchmarks.report import Results, Row
from benchmarks.side_by_side import SideBySide, Spread

ROOT = Path(__file__).parents[1]
SLOW = Row("Speed", "ours", "224 px", Spread((1.3, 1.4, 1.5)), line=Line(AT_MOST, 1.0))
FAST = Row("Rate", "ours", "224 px", Spread((0.7, 0.9, 1.0)), line=Line(AT_LEAST, 0.8))


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """What a run of every benchmark saved, each as small as it can be."""
    saved = tmp_path_factory.mktemp("bench") / "bench.json"
    usual = ["--benchmark-enable", "--benchmark-only", "--benchmark-quiet", "--scale=smoke", "-p", "no:randomly"]
    # A plugin that shares tests out would take the benchmarks for shared out too.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    command = [sys.executable, "-m", "pytest", "benchmarks", *usual, f"--benchmark-json={saved}"]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return saved


def test_a_run_names_the_machine_and_the_versions(smoke):
    assert {"Python", "OpenCV", "NumPy", "simplejpeg"} <= Results.load(smoke).machine.keys()


def test_a_run_ends_in_the_table_against_the_lines():
    written = report.whole_report(Results([SLOW, FAST], {"Python": "3.11.7"}))
    tables, against = written.split("Against the lines")
    assert "Speed" in tables
    assert "Python 3.11.7" in against
    assert "missed by 0.4" in against.splitlines()[-2]
    assert "met" in against.splitlines()[-1]


def test_a_run_without_lines_says_so():
    assert report.whole_report(Results([SLOW._replace(line=None)], {})).endswith("None of these has a line.")


def test_a_part_of_the_benchmarks_prints_its_tables(monkeypatch):
    monkeypatch.setattr(conftest, "versions", dict)
    printed, options = [], {"scale": "smoke", "benchmark_json": None}
    config = SimpleNamespace(stash=pytest.Stash(), addinivalue_line=print, getoption=options.get)
    conftest.pytest_configure(config)
    measuring = conftest.Measuring(SimpleNamespace(extra_info={}), config)
    measuring.report(*SLOW[:3], SLOW.spread, line=SLOW.line)
    conftest.pytest_terminal_summary(SimpleNamespace(write_line=printed.append), config)
    assert "Speed\n\n| " in printed[0]


def test_the_processes_of_a_folder_are_joined(tmp_path):
    for number, rounds in enumerate([(2.0, 1.0), (3.0, 9.0, 5.0)], 1):
        row = SLOW._replace(spread=Spread(rounds))
        process = {"machine_info": {"versions": {"Python": "3.11.7", "busy": f"0.{number}"}}, "benchmarks": []}
        process["benchmarks"] = [{"extra_info": {report.ROWS: [row.as_json()]}}, {"extra_info": {}}]
        (tmp_path / f"{number}.json").write_text(json.dumps(process))
    joined = Results.load(tmp_path)
    assert joined.rows == [SLOW._replace(spread=Spread((2.0, 1.0, 3.0, 9.0, 5.0)))]
    assert (joined.rows[0].spread.value, joined.rows[0].spread.low, joined.rows[0].spread.high) == (3.0, 1.0, 9.0)
    assert joined.machine == {"Python": "3.11.7", "busy": "0.1 / 0.2"}


def test_a_folder_without_a_run_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=rf"no run in {tmp_path}: there is no .json file in it; measure, `make bench`"):
        Results.load(tmp_path)


def test_every_row_of_the_saved_run_is_read_again(smoke):
    saved = json.loads(smoke.read_text())["benchmarks"]
    rows = [row for benchmark in saved for row in benchmark["extra_info"][report.ROWS]]
    assert [row.as_json() for row in Results.load(smoke).rows] == rows


def test_every_plot_is_drawn_from_a_run(smoke, tmp_path):
    paths = plots.draw_all(Results.load(smoke), tmp_path)
    assert len(paths) == len(plots.PLOTS)
    assert all(np.asarray(Image.open(path)).std() > 0 for path in paths)


def test_the_plot_of_the_lines_has_a_bar_for_each_and_counts_the_met_ones():
    axes = plots.lines(Results([SLOW, SLOW._replace(line=None), FAST], {})).axes[0]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([0.8 / 0.9, 1.4])
    assert axes.get_title(loc="left") + axes.get_title() == "1 of 2 lines are met"
    assert [text.get_text() for text in axes.texts] == ["0.90, at least 0.8", "1.40, at most 1: missed"]


def test_the_bars_of_a_plot_are_as_high_as_their_figures(smoke):
    results = Results.load(smoke)
    above, below = plots.from_store(results).axes
    drawn = ((above, "From the store", plots.FROM_STORE), (below, "Images a second of a loader", plots.LOADERS))
    for axes, table, names in drawn:
        expected = sorted(row.spread.value for row in results.table(table) if row.name in names)
        assert sorted(bar.get_height() for bar in axes.patches) == pytest.approx(expected)


@pytest.mark.parametrize("page", ["README.md", "docs/performance.md", "docs/scaling.md", "benchmarks/RESULTS.md"])
def test_every_table_of_the_pages_is_in_a_run(smoke, page):
    text = (ROOT / page).read_text()
    titles = [found[2] for found in tables.MARKED.finditer(text)]
    assert titles
    smallest = Results.load(smoke)
    assert all(tables.content(title.split(", 224")[0].split(", 512")[0], smallest) for title in titles)


def test_a_missed_line_is_reported_with_the_gap_and_its_cause_and_a_met_one_without():
    caused = SLOW._replace(line=SLOW.line._replace(cause="Python"))
    met = FAST._replace(line=FAST.line._replace(cause="Python"))
    cells = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in report.lines_table([caused, met]).splitlines()
    ]
    assert cells[2:] == [
        ["Speed: ours, 224 px", "1.40", "1.30 to 1.50", "at most 1", "missed by 0.4", "Python"],
        ["Rate: ours, 224 px", "0.90", "0.70 to 1.00", "at least 0.8", "met", ""],
    ]


def test_a_line_is_met_on_the_right_side_and_on_the_line():
    assert [Line(AT_MOST, 1.0).met_by(value) for value in (0.9, 1.0, 1.1)] == [True, True, False]
    assert [Line(AT_LEAST, 1.0).met_by(value) for value in (0.9, 1.0, 1.1)] == [False, True, True]


def test_rows_without_a_line_have_no_verdict():
    row = SLOW._replace(line=None)
    assert "missed" not in report.pivot_table([row])
    assert len(report.lines_table([row]).splitlines()) == 2


def test_tables_are_written_between_their_markers_and_nowhere_else():
    page = "before\n<!-- table: Speed -->\nold\n<!-- end of table -->\nafter\n"
    written = tables.written_into(page, Results([SLOW, FAST], {}))
    table = report.pivot_table([SLOW._replace(line=None)])
    assert "1.40 (1.30 to 1.50)" in table
    assert written == f"before\n<!-- table: Speed -->\n\n{table}\n\n<!-- end of table -->\nafter\n"
    assert tables.written_into(written, Results([SLOW, FAST], {})) == written


def test_only_the_table_of_lines_says_what_is_missed():
    results = Results([SLOW, FAST], {})
    assert "missed by 0.4" in tables.content("lines", results)
    assert "missed" not in tables.content("Speed", results)


def test_the_first_tables_answer_what_a_loader_keeps(smoke):
    first, second, third, *_ = Results.load(smoke).tables()
    assert [first, second] == ["Images a second of a loader", "The same, without DiffuseMix = 1"]
    assert third.startswith("From the store")


def test_the_sentence_on_cost_gives_the_range_of_each_encoding():
    rates = {("raw", "500x375"): 0.9, ("raw", "512x512"): 0.8, ("4:2:0", "500x375"): 0.7, ("4:4:4", "500x375"): 0.1}
    rows = [Row(tables.RATES, f"{name}, p=0.5", size, Spread((value,))) for (name, size), value in rates.items()]
    sentence = tables.content("cost", Results(rows, {}))
    assert "keeps 0.80 to 0.90 of its rate" in sentence
    assert "0.70 to 0.70 with one of JPEG" in sentence


def test_mixup_and_cutmix_of_a_batch_mix_each_image_with_the_one_before_it():
    batch = torch.arange(4.0).reshape(4, 1, 1, 1).expand(4, 8, 8, 3).clone()
    mixed, pasted = hand_mixing.mixup(batch), hand_mixing.cutmix(batch)
    pairs = [(0, 3), (1, 0), (2, 1), (3, 2)]
    for place, (own, other) in enumerate(pairs):
        assert min(own, other) <= mixed[place].min() <= mixed[place].max() <= max(own, other)
        assert set(pasted[place].unique().tolist()) <= {float(own), float(other)}


def test_a_price_is_the_figure_of_the_first_column_or_the_range_of_all(monkeypatch):
    wide = SLOW._replace(column="512 px", spread=Spread((4.0, 5.0, 6.0)), unit="us")
    prices = (tables.Price("a call", "Speed", "ours"), tables.Price("any call", "Speed", "ours", every=True))
    monkeypatch.setattr(tables, "PRICES", prices)
    written = tables.content("prices", Results([SLOW._replace(unit="us"), wide], {})).splitlines()
    assert [[cell.strip() for cell in line.split("|")[1:-1]] for line in written[2:]] == [
        ["a call", "1.40 us", "224 px"],
        ["any call", "1.40 to 5.00 us", "lowest and highest of 2 cases"],
    ]


def test_a_table_that_the_run_lacks_is_an_error():
    with pytest.raises(ValueError, match=r"no table begins with 'Speed'.*make bench`"):
        tables.written_into("<!-- table: Speed -->\n<!-- end of table -->", Results([FAST], {}))


def test_two_runs_disagree_where_their_rounds_do_not_overlap():
    moved = SLOW._replace(spread=Spread((1.6, 1.7, 1.8)))
    near = SLOW._replace(spread=Spread((1.45, 1.5, 1.6)))
    assert list(agree.disagreements(Results([SLOW, FAST], {}), Results([moved, FAST], {}))) == [(SLOW, moved)]
    assert not list(agree.disagreements(Results([SLOW], {}), Results([near], {})))
    assert agree.moved(SLOW, moved).endswith("+21%")


def test_times_may_drift_with_the_machine_and_ratios_may_not():
    slower = Spread((1.6, 1.65))
    for unit, drift in (("us", slower), ("us", Spread((1.16, 1.2))), ("/s", slower)):
        time = SLOW._replace(unit=unit)
        assert not list(agree.disagreements(Results([time], {}), Results([time._replace(spread=drift)], {})))
    far = SLOW._replace(unit="us", spread=Spread((1.7, 1.8)))
    assert list(agree.disagreements(Results([SLOW._replace(unit="us")], {}), Results([far], {})))
    assert list(agree.disagreements(Results([SLOW], {}), Results([SLOW._replace(spread=slower)], {})))


def test_the_slower_candidate_is_found_slower_by_as_much_as_it_is():
    clock = [0.0]

    def waiting(seconds):
        def wait(_turn):
            clock[0] += seconds

        return wait

    comparison = SideBySide({"one": waiting(1.0), "three": waiting(3.0)}, 0, lambda: clock[0], calls=8)
    for _ in range(3):
        comparison.round()
    assert comparison.times().ratio("three", "one") == Spread((3.0, 3.0, 3.0))


def test_no_two_candidates_of_a_turn_get_the_same_input():
    met = {"one": [], "other": []}
    comparison = SideBySide({name: turns.append for name, turns in met.items()}, 0, calls=5)
    comparison.round()
    assert all(one != other for one, other in zip(*met.values(), strict=True))


def test_moved_inputs_are_equal_and_lie_elsewhere():
    image, row = np.arange(4), Spread((0, 1, 2))
    copy, same = side_by_side.moved([(image, {"data": b"abc"}), row])
    assert np.array_equal(copy[0], image)
    assert not np.shares_memory(copy[0], image)
    assert copy[1] == {"data": b"abc"}
    assert same is row


def test_interruptions_do_not_count():
    assert side_by_side.undisturbed([[1, 900, 900, 900, 1, 900, 900, 900]]) == 1


def test_an_input_that_costs_more_counts_as_much_as_one_that_costs_less():
    assert side_by_side.undisturbed([[1, 1, 1, 1], [5, 5, 5, 900]]) == 3


@pytest.mark.parametrize(("side", "mask_type"), [("right", "right"), ("bottom", "bottom")])
def test_the_rewritten_stage_makes_what_ours_makes(side, mask_type):
    """Both cut off twice where ours rounds, so up to two grey levels lie between."""
    image, fractal = data.astronaut()[:256, :256].copy(), data.coffee()[:256, :256].copy()
    theirs = released_mixing.mix(*map(Image.fromarray, (image, 255 - image, fractal)), side)
    hybrid = half_concat(image, 255 - image, mask_type, released_mixing.SEAM / 256)
    ours = fractal_blend(hybrid, fractal, released_mixing.ALPHA)
    assert np.abs(np.asarray(theirs, int) - ours).max() <= 2

import errno
import os
from pathlib import Path

import albumentations as A
import numpy as np
import pytest
from compare_files import (
    MODEL,
    NORMALIZE,
    PLAIN,
    TRAIN,
    compare,
    make_comparison,
    make_data,
    rows_in,
    shade,
    write_spec,
)

from albu_diffusemix.compare.comparison import Comparison
from albu_diffusemix.compare.data import Pixels, open_sets
from albu_diffusemix.compare.runs import Results
from albu_diffusemix.compare.spec import read_spec
from albu_diffusemix.images import write_image

INVERTED = [{"InvertImg": {"p": 1}}, *PLAIN]
NOISY = [{"GaussNoise": {"std_range": [0.02, 0.05], "p": 0.5}}, *PLAIN]


@pytest.fixture
def results(tmp_path):
    return tmp_path / "results"


def report_of(results):
    return (results / "report.md").read_text()


def complaint(capsys, *arguments):
    """The one line that a refused command says."""
    assert compare(*arguments) == 2
    [line] = capsys.readouterr().err.splitlines()
    return line


def test_two_arms_with_one_pipeline_give_equal_numbers_and_an_interval_of_zero(tmp_path, results):
    spec = make_comparison(tmp_path, {"one": {"pipeline": PLAIN}, "two": {"pipeline": PLAIN}})
    assert compare(spec, "-o", results) == 0
    rows = rows_in(results)
    for seed in (0, 1):
        assert {**rows["one", seed], "arm": ""} == {**rows["two", seed], "arm": ""}
    assert "two against one, top1: no difference shown, +0 (+0 to +0, 2 seeds)." in report_of(results)


def test_a_planted_effect_is_found_and_a_planted_null_is_not(tmp_path, results):
    arms = {"plain": {"pipeline": PLAIN}, "readable": {"pipeline": INVERTED}, "noisy": {"pipeline": NOISY}}
    make_data(tmp_path / "train", inverted=True)  # labels are readable only after another inversion
    make_data(tmp_path / "validation", first=100)
    spec = write_spec(tmp_path / "spec.yaml", arms, seeds=3, metrics=["top1"])
    assert compare(spec, "-o", results) == 0
    report = report_of(results)
    assert "readable against plain, top1: better, +100 (+100 to +100, 3 seeds)." in report
    assert "noisy against plain, top1: no difference shown" in report


def test_another_pipeline_changes_nothing_but_the_augmentation(tmp_path, results):
    arms = {"one": {"pipeline": PLAIN, "train": {"lr": 1e-12}}, "two": {"pipeline": INVERTED, "train": {"lr": 1e-12}}}
    assert compare(make_comparison(tmp_path, arms), "-o", results) == 0
    rows = rows_in(results)
    for seed in (0, 1):  # with no learning to speak of, what is left are the initial weights and the evaluation
        one, two = rows["one", seed], rows["two", seed]
        assert one["metrics"] == pytest.approx(two["metrics"])
        assert (one["steps"], one["images"]) == (two["steps"], two["images"]) == (9, 24)
    assert rows["one", 0]["metrics"] != pytest.approx(rows["one", 1]["metrics"])


def test_an_arm_that_only_crops_and_flips_is_added_where_there_is_none(tmp_path, results):
    assert compare(make_comparison(tmp_path, {"noisy": {"pipeline": NOISY}}, seeds=1), "-o", results) == 0
    assert "noisy against crop_and_flip, top1" in report_of(results)


def test_an_image_that_is_trained_on_and_validated_on_is_refused(tmp_path, results, capsys):
    spec = make_comparison(tmp_path, {"plain": {"pipeline": PLAIN}})
    write_image(tmp_path / "validation/class1/twin.png", shade(1, 5))
    line = complaint(capsys, spec, "-o", results)
    assert "images are trained on and validated on too, 1 in all" in line
    assert "validation/class1/twin.png' (class1/twin.png) is" in line
    assert "train/class1/05.png' (class1/05.png)" in line


def test_a_split_refuses_an_image_that_is_there_twice(tmp_path, results, capsys):
    spec = make_comparison(tmp_path, {"plain": {"pipeline": PLAIN}}, validation=None, split={"per_class": 6})
    write_image(tmp_path / "train/class1/twin.png", shade(1, 5))
    assert "(class1/twin.png) is" in complaint(capsys, spec, "-o", results)


def test_five_of_many_leaking_images_are_named_and_all_are_counted(tmp_path, results, capsys):
    spec = make_comparison(tmp_path, {"plain": {"pipeline": PLAIN}})
    for number in range(7):
        write_image(tmp_path / f"validation/class1/twin{number}.png", shade(1, number))
    line = complaint(capsys, spec, "-o", results)
    assert "7 in all" in line
    assert line.count("(class1/twin") == 5


def test_leaks_are_looked_for_again_only_where_a_file_changed(tmp_path, results, monkeypatch):
    spec = make_comparison(tmp_path, {"plain": {"pipeline": PLAIN}}, seeds=1)
    compare(spec, "-o", results)
    looked, original = [], Pixels.hashes
    monkeypatch.setattr(Pixels, "hashes", lambda *given: looked.append(given) or original(*given))
    compare(spec, "-o", results)
    assert not looked
    write_image(tmp_path / "validation/class1/100.png", shade(1, 5))  # now one that is trained on
    assert compare(spec, "-o", results) == 2
    assert looked


def test_a_split_is_drawn_by_seed_and_leaves_the_rest_for_validation(tmp_path, results, monkeypatch):
    changed = {"validation": None, "split": {"per_class": 5}, "metrics": ["compare_metrics:count"]}
    (tmp_path / "compare_metrics.py").write_text("def count(outcome):\n    return len(outcome.labels)\n")
    spec = make_comparison(tmp_path, {"plain": {"pipeline": PLAIN}}, **changed)
    monkeypatch.syspath_prepend(tmp_path)
    assert compare(spec, "-o", results) == 0
    rows = rows_in(results)
    assert [(row["images"], row["metrics"]) for row in rows.values()] == [(10, {"count": 14.0})] * 2
    sets = open_sets(read_spec(spec))
    assert sets.of_seed(0) == sets.of_seed(0) != sets.of_seed(1)


def test_a_run_that_was_killed_is_made_again_and_all_equals_one_that_was_not(tmp_path, results):
    spec = make_comparison(tmp_path, {"plain": {"pipeline": PLAIN}, "noisy": {"pipeline": NOISY, "mix": "cutmix"}})
    assert compare(spec, "-o", results) == 0
    whole, file = rows_in(results), results / "results.jsonl"
    text = file.read_text()
    first, second, *_ = text.splitlines(keepends=True)
    file.write_text(first + second[: len(second) // 2])
    assert compare(spec, "-o", results) == 0
    assert rows_in_valid(file) == whole
    assert file.read_text().startswith(first)


def rows_in_valid(file):
    lines = [line for line in file.read_text().splitlines() if line.endswith("}}")]
    file.write_text("\n".join(lines))
    return rows_in(file.parent)


def test_rows_that_are_there_are_not_made_again_while_seeds_and_arms_grow(tmp_path, results):
    spec = make_comparison(tmp_path, {"plain": {"pipeline": PLAIN}}, seeds=1)
    compare(spec, "-o", results)
    before = (results / "results.jsonl").read_text()
    write_spec(spec, {"plain": {"pipeline": PLAIN}, "noisy": {"pipeline": NOISY}})
    compare(spec, "-o", results)
    assert (results / "results.jsonl").read_text().startswith(before)
    assert sorted(rows_in(results)) == [("noisy", 0), ("noisy", 1), ("plain", 0), ("plain", 1)]
    assert (results / "results.jsonl").read_text().count("\n") == 4


def test_rows_of_another_spec_are_not_mixed_with_new_ones(tmp_path, results, capsys):
    spec = make_comparison(tmp_path, {"plain": {"pipeline": PLAIN}}, seeds=1)
    compare(spec, "-o", results)
    assert "has rows of another spec (train.epochs: 3 there, 4 now): give another -o" in complaint(
        capsys, spec, "-o", results, "--epochs", "4"
    )
    write_spec(spec, {"plain": {"pipeline": NOISY}}, seeds=1)
    assert "has rows of another arm 'plain'" in complaint(capsys, spec, "-o", results)


def test_workers_shards_and_loaders_give_the_numbers_of_one_process(tmp_path, results):
    arms = {"plain": {"pipeline": PLAIN}, "mixed": {"pipeline": [{"FractalBlend": {"p": 0.5}}, *PLAIN]}}
    spec = make_comparison(tmp_path, arms, seeds=1)
    compare(spec, "-o", results)
    compare(spec, "-o", tmp_path / "workers", "--workers", "2")
    assert rows_in(tmp_path / "workers") == rows_in(results)
    write_spec(spec, arms, seeds=1, train={**TRAIN, "loader_workers": 2})
    assert compare(spec, "-o", tmp_path / "loaders", "--shard", "1/2") == 0
    assert rows_in(tmp_path / "loaders") == {run: row for run, row in rows_in(results).items() if run == ("mixed", 0)}


def test_a_loss_that_is_not_finite_is_a_failed_row_and_the_others_go_on(tmp_path, results, capsys):
    arms = {
        "plain": {"pipeline": PLAIN},
        "wild": {"pipeline": PLAIN, "train": {"lr": 1e38}},
        "noisy": {"pipeline": NOISY},
    }
    assert compare(make_comparison(tmp_path, arms, seeds=1), "-o", results) == 1
    assert "wild, seed 0 failed: the loss became nan in epoch" in capsys.readouterr().err
    rows = rows_in(results)
    assert [name for name, row in rows.items() if "failed" in row] == [("wild", 0)]
    assert ("noisy", 0) in rows
    assert "- wild, seed 0: the loss became nan" in report_of(results)


def test_an_interrupt_before_the_first_row_is_said_as_such(tmp_path, results, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Comparison, "run", interrupted)
    assert compare(make_comparison(tmp_path, {"plain": {"pipeline": PLAIN}}, seeds=1), "-o", results) == 130
    assert capsys.readouterr().err.splitlines() == ["albu-diffusemix: interrupted"]
    assert "Nothing was measured" in report_of(results)


def test_a_full_disk_is_one_line_and_leaves_the_rows_whole(tmp_path, results, capsys, monkeypatch):
    spec = make_comparison(tmp_path, {"plain": {"pipeline": PLAIN}}, seeds=1)
    compare(spec, "-o", results)
    capsys.readouterr()
    file, fsync = results / "results.jsonl", os.fsync
    before = file.read_bytes()

    def full(handle):
        if Path(f"/proc/self/fd/{handle}").readlink().suffix == ".jsonl":
            os.ftruncate(handle, len(before) + 20)  # as much of the new row as fitted
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    with monkeypatch.context() as changed:
        changed.setattr(os, "fsync", full)
        assert compare(spec, "-o", results, "--seeds", "2") == 2
    assert capsys.readouterr().err.splitlines() == ["albu-diffusemix: error: No space left on device"]
    assert compare(spec, "-o", results, "--seeds", "2") == 0
    assert file.read_bytes().startswith(before)
    assert sorted(Results(results).rows()) == [("plain", 0), ("plain", 1)]


def test_the_report_has_every_arm_every_metric_and_the_published_numbers(tmp_path, results):
    arms = {"plain": {"pipeline": PLAIN}, "noisy": {"pipeline": NOISY}, "mixed": {"pipeline": PLAIN, "mix": "mixup"}}
    changed = {
        "metrics": [
            "top1",
            "top5",
            "nll",
            "calibration",
            "fgsm",
            {"corruptions": {"names": ["noise"], "severities": [1]}},
        ],
        "paper": {"table": "Table 2", "numbers": {"plain": {"top1": 76.33}, "PuzzleMix": {"top1": 80.38}}},
    }
    assert compare(make_comparison(tmp_path, arms, **changed), "-o", results) == 0
    report = report_of(results)
    sections = {text.split(":")[0]: text for text in report.split("\n## ")[1:]}
    for metric in ("top1", "top5", "nll", "ece", "rms_calibration", "fgsm_error", "corruption_error", "error_noise"):
        for arm in arms:
            assert f"\n| {arm} |" in sections[metric], metric
    assert "Table 2" in sections["top1"]
    assert "| 76.33 |" in sections["top1"]
    assert "| PuzzleMix, not run here | | | | | | 80.38 |" in sections["top1"]
    assert "torch" in report
    for picture in ("differences.png", "curves.png", "overhead.png"):
        assert (results / picture).stat().st_size > 1000
        assert f"({picture})" in report


def test_data_with_pipelines_needs_no_spec(tmp_path, results, monkeypatch):
    make_data(tmp_path / "train")
    for name, first in (("vanilla", A.NoOp()), ("noisy", A.GaussNoise())):
        steps = [first, A.RandomCrop(16, 16), A.HorizontalFlip(), A.Normalize(), A.ToTensorV2()]
        A.save(A.Compose(steps), tmp_path / f"{name}.yaml", data_format="yaml")
    monkeypatch.chdir(tmp_path)
    flags = (
        "--pipeline",
        "vanilla.yaml",
        "--pipeline",
        "noisy.yaml",
        "--model",
        MODEL,
        "--epochs",
        "1",
        "--seeds",
        "1",
    )
    assert compare("train", *flags, "-o", results) == 0
    assert {arm for arm, _ in rows_in(results)} == {"crop_and_flip", "vanilla", "noisy"}


def test_a_dry_run_tells_the_time_and_makes_nothing(tmp_path, results, capsys):
    spec = make_comparison(tmp_path, {"plain": {"pipeline": PLAIN}, "noisy": {"pipeline": NOISY}})
    assert compare(spec, "-o", results, "--dry-run", "--workers", "2") == 0
    out = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in out] == ["plain", "noisy", "All"]
    assert "2 arms x 2 seeds, 2 at a time" in out[-1]
    assert not results.exists()


SMALLER = [{"RandomCrop": {"height": 8, "width": 8}}, "HorizontalFlip", NORMALIZE]


@pytest.mark.parametrize(
    ("arms", "changed", "said"),
    [
        ({"a": {"pipeline": PLAIN}, "b": {"pipeline": SMALLER}}, {}, "arm 'a' gives 16 x 16 px, arm 'b' 8 x 8 px"),
        ({"a": {"pipeline": ["HorizontalFlip"]}}, {}, "arm 'a' gives uint8 of 3 channels: end it in A.Normalize()"),
        ({"a": {"pipeline": ["HorizontalFlop"]}}, {}, "'HorizontalFlop'; did you mean 'HorizontalFlip'?"),
        ({"a": {"pipeline": [{"GaussNoise": {"strength": 1}}]}}, {}, "arm 'a': Argument(s) 'strength' are not valid"),
        ({"a": {"pipeline": PLAIN, "store": "no.dm"}}, {}, "the pipeline has no DiffuseMix or HalfConcat to read it"),
        ({"a": {"pipeline": PLAIN}}, {"model": "small_resnett"}, "did you mean 'small_resnet'?"),
        ({"a": {"pipeline": PLAIN}}, {"model": "compare_files:brightnes_model"}, "did you mean 'brightness_model'?"),
        ({"a": {"pipeline": PLAIN}}, {"metrics": ["compare_files:no"]}, "unknown function of compare_files 'no'"),
        ({"a": {"pipeline": PLAIN}}, {"split": {"per_class": 12}, "validation": None}, "'class0' has no validation"),
        ({"a": {"pipeline": PLAIN}}, {"data": "trian"}, "trian"),
        ({"a": {"pipeline": PLAIN}}, {"evaluation": ["HorizontalFlip"]}, "evaluation: it must end in A.Normalize()"),
        ({"crop_and_flip": {"pipeline": NOISY}}, {}, "arm 'crop_and_flip' does more than to crop and to flip"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused_in_one_line(tmp_path, results, capsys, arms, changed, said):
    assert said in complaint(capsys, make_comparison(tmp_path, arms, **changed), "-o", results)


def test_a_class_without_images_on_one_side_is_refused(tmp_path, results, capsys):
    spec = make_comparison(tmp_path, {"plain": {"pipeline": PLAIN}})
    write_image(tmp_path / "validation/class2/0.png", np.zeros((16, 16, 3), np.uint8))
    assert "class 'class2' has no training image" in complaint(capsys, spec, "-o", results)

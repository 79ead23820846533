"""What is rejected is left out: training, the doctor, exports, copies for others."""

import json

import pytest
from job_files import content, make, make_data, options_of

from albu_diffusemix.backends import Request
from albu_diffusemix.backends.precomputed import Precomputed
from albu_diffusemix.cli import main
from albu_diffusemix.generate import make_plan
from albu_diffusemix.images import read_image
from albu_diffusemix.keys import derive_seed
from albu_diffusemix.store import Store, Verdict, store_json
from albu_diffusemix.store.choices import UNDO


@pytest.fixture
def data(tmp_path):
    return make_data(tmp_path / "train", 3)


@pytest.fixture
def made(data, tmp_path):
    """Two counterparts for each of three sources, made by the job."""
    make(data, tmp_path / "train.dm", per_image=2)
    return tmp_path / "train.dm"


@pytest.mark.parametrize("by_key", [True, False])
def test_training_never_draws_what_is_rejected(data, made, by_key):
    store = Store.open(made)
    key = "class1/001.png"
    image = read_image(data / key)
    store.choose([Verdict(key, "0001", "reject")])
    backend = Precomputed(str(made))
    requests = [Request(image, None, seed, key if by_key else None, (0, 0, 64, 48)) for seed in range(40)]
    assert {counterpart.variant for counterpart in backend.generate(requests)} == {"0000"}
    store.choose([Verdict(key, "0001", "accept", rule=UNDO)])
    brought_back = Precomputed(str(made))
    assert {counterpart.variant for counterpart in brought_back.generate(requests)} == {"0000", "0001"}


def test_to_compare_what_is_rejected_is_drawn_where_the_spec_says_so(data, made):
    main(["reject", str(made), "class1/001.png"])
    backend = Precomputed(str(made), choices=False)
    request = Request(read_image(data / "class1/001.png"), None, 0, "class1/001.png", (0, 0, 64, 48))
    assert backend.generate([request])[0].status == "ok"
    assert backend.fingerprint != Precomputed(str(made)).fingerprint
    with pytest.raises(ValueError, match="choices must be true or false; got 'no'"):
        Precomputed(str(made), choices="no")


def test_an_image_that_lost_all_has_no_counterpart_and_the_error_says_why(data, made):
    key = "class1/001.png"
    Store.open(made).choose([Verdict(key, variant, "reject") for variant in ("0000", "0001")])
    request = Request(read_image(data / key), None, 0, key, (0, 0, 64, 48))
    with pytest.raises(ValueError, match=r"its counterparts are rejected .*reject --undo"):
        Precomputed(str(made)).generate([request])
    (counterpart,) = Precomputed(str(made), on_miss="passthrough").generate([request])
    assert counterpart.status == "missing"


def test_doctor_counts_an_image_that_lost_all_as_uncovered(data, made, capsys):
    main(["reject", str(made), "class1/001.png"])
    assert main(["doctor", str(data), str(made)]) == 1
    said = capsys.readouterr().out
    assert "has a counterpart for 2 of 3 images" in said
    assert "1 x its counterparts are rejected" in said


@pytest.mark.parametrize("kind", ["folder", "parquet"])
def test_exports_leave_out_what_is_rejected(made, tmp_path, kind):
    main(["reject", str(made), "class1/001.png", "--variant", "0000"])
    assert main(["export", str(made), "--to", kind, "-o", str(tmp_path / "out")]) == 0
    if kind == "folder":
        rows = [json.loads(line) for line in (tmp_path / "out/counterparts.jsonl").read_text().splitlines()]
        assert not (tmp_path / "out/class1/001.png/0000.jpg").exists()
    else:
        parquet = pytest.importorskip("pyarrow.parquet")
        rows = parquet.read_table(tmp_path / "out").to_pylist()
    assert len(rows) == 5
    assert ("class1/001.png", "0000") not in {(row["key"], row["variant"]) for row in rows}


@pytest.fixture
def copied(made, tmp_path):
    """A copy for Kaggle, without two rejected images, one of which was replaced since."""
    main(["reject", str(made), "class0/000.png", "--variant", "0000"])
    make(tmp_path / "train", made, per_image=2, replace_rejected=True)
    main(["reject", str(made), "class1/001.png", "--variant", "0001"])
    assert main(["export", str(made), "--to", "kaggle", "-o", str(tmp_path / "copy")]) == 0
    return tmp_path / "copy"


def test_a_copy_for_others_does_not_hold_the_bytes_of_what_is_rejected(made, copied):
    store = Store.open(made)
    whole = b"".join(file.read_bytes() for file in copied.rglob("*.part"))
    assert [store.read(record) in whole for record in store.kept_records()] == [True] * 5
    assert store.get("class1/001.png", "0001")[0] not in whole
    assert content(copied).keys() == {(record.key, record.variant) for record in store.kept_records()}
    assert Store.open(copied).status().images == 5


def test_readers_of_such_a_copy_need_to_know_nothing_of_verdicts(copied):
    assert store_json.load(copied)["needs"] == []
    assert not (copied / "choices").exists()


def test_what_is_left_out_of_a_copy_is_not_made_again_but_its_next_attempt_when_asked(data, copied):
    plan = make_plan(options_of(data, copied, per_image=2))
    assert (plan.present, plan.failed, plan.pending) == (5, 1, 0)
    make(data, copied, per_image=2, replace_rejected=True)
    record = Store.open(copied).find("class1/001.png", "0001")
    assert record.seed == derive_seed(0, record.key, record.prompt, "0001", 1)

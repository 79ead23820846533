"""The job and what is rejected: present, and made again when it is asked for."""

import numpy as np
import pytest
from job_files import Silent, content, generate, make, make_data, options_of

from albu_diffusemix.backends import Request
from albu_diffusemix.backends.precomputed import Precomputed
from albu_diffusemix.cli import main
from albu_diffusemix.generate import make_plan
from albu_diffusemix.images import read_image
from albu_diffusemix.keys import derive_seed
from albu_diffusemix.store import Store


@pytest.fixture
def data(tmp_path):
    return make_data(tmp_path / "train", 3)


@pytest.fixture
def made(data, tmp_path):
    """Two counterparts for each of three sources, made by the job."""
    make(data, tmp_path / "train.dm", per_image=2)
    return tmp_path / "train.dm"


def test_generate_counts_what_is_rejected_as_present(data, made, capsys):
    before = content(made)
    main(["reject", str(made), "class1/001.png"])
    plan = make_plan(options_of(data, made, per_image=2))
    assert (plan.present, plan.rejected, plan.pending) == (6, 2, 0)
    make(data, made, per_image=2)
    assert content(made) == before
    generate(data, made, "--per-image", "2", "--dry-run")
    assert "6 present (2 rejected, which --replace-rejected makes again), 0 to be made" in capsys.readouterr().out


def test_replace_rejected_makes_the_next_attempt_of_each(data, tmp_path):
    store, key = tmp_path / "noisy.dm", "class1/001.png"
    make(data, store, backend="procedural")
    before = content(store)
    for attempt in range(1, 4):
        main(["reject", str(store), key])
        assert make(data, store, backend="procedural", replace_rejected=True).made == 1
        record = Store.open(store).find(key, "0000")
        assert record.seed == derive_seed(0, key, record.prompt, "0000", attempt)
        assert not Store.open(store).is_rejected(record)
        assert make(data, store, backend="procedural", replace_rejected=True).made == 0
    others = {name: found for name, found in content(store).items() if name[0] != key}
    assert others == {name: found for name, found in before.items() if name[0] != key}


def test_replaced_counterparts_have_the_same_bytes_on_any_engine(data, tmp_path):
    found = []
    for workers in (1, 2):
        store = tmp_path / f"{workers}.dm"
        make(data, store, backend="procedural", per_image=2)
        main(["reject", str(store), "class0/000.png", "class1/001.png"])
        make(data, store, backend="procedural", per_image=2, replace_rejected=True, workers=workers)
        found.append(content(store))
    assert found[0] == found[1]


def test_what_is_replaced_is_drawn_by_training(data, tmp_path):
    store, key = tmp_path / "noisy.dm", "class1/001.png"
    make(data, store, backend="procedural")
    request = Request(read_image(data / key), None, 0, key, (0, 0, 64, 48))
    before = Precomputed(str(store)).generate([request])[0].image
    main(["reject", str(store), key])
    make(data, store, Silent(), backend="procedural", replace_rejected=True)
    after = Precomputed(str(store)).generate([request])[0].image
    assert not np.array_equal(before, after)

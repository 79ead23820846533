"""A short campaign of kills and faults ends with nothing wrong; `make campaign` runs a long one."""

import pytest
from campaign.__main__ import run


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_campaign_finds_nothing_wrong(tmp_path, seed):
    tally = run(tmp_path, 20, seed)
    assert tally.complaints == []
    assert tally.counts["kills"] > 0
    assert tally.counts["faults found"] == tally.counts["faults"] > 0

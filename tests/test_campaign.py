"""A short campaign of kills and faults ends with nothing wrong; `make campaign` runs a long one."""

import pytest
from campaign.__main__ import run


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_campaign_finds_nothing_wrong(tmp_path):
    tally = run(tmp_path, seconds=30, seed=1)
    assert tally.complaints == []
    assert tally.counts["kills"] > 0
    assert tally.counts["faults found"] == tally.counts["faults"] > 0

"""A run of each family of editing models that was killed goes on to the same bytes."""

import pytest
import tiny_editors
from diffusion_tools import THIRD_PARTY_WARNINGS
from family_checks import check_resumed

pytestmark = [pytest.mark.filterwarnings(warning) for warning in THIRD_PARTY_WARNINGS]


@pytest.mark.parametrize("name", tiny_editors.EVERYDAY)
def test_a_killed_run_goes_on_to_the_same_images(tmp_path, name):
    check_resumed(name, tiny_editors.EVERYDAY[name](tmp_path / "model"), tmp_path)

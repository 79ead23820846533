"""A baked folder, read by torchvision's ImageFolder: `make test-vision`."""

import sys
from collections import Counter
from pathlib import Path

from torchvision.datasets import ImageFolder

sys.path.append(str(Path(__file__).parent))

from baked_files import bake, make_folder


def test_image_folder_reads_a_baked_folder(tmp_path):
    assert bake(make_folder(tmp_path / "data"), tmp_path / "out", "--per-image", 2, "--keep-originals") == 0
    found = ImageFolder(tmp_path / "out")
    assert found.classes == ["animal", "person", "thing"]
    assert Counter(found.targets) == {0: 9, 1: 9, 2: 18}
    assert found[0][0].size == (96, 64)

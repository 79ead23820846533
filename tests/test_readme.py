import re
from pathlib import Path

import pytest
from skimage import data

README = (Path(__file__).parents[1] / "README.md").read_text()
MAKEFILE = (Path(__file__).parents[1] / "Makefile").read_text()


def test_the_python_of_the_readme_runs():
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert blocks
    for block in blocks:
        image = data.astronaut()
        names = {"image": image, "mask": image[..., 0]}
        exec(block, names)  # noqa: S102  the README is ours
        assert names["augmented"]["image"].shape == (224, 224, 3)


@pytest.mark.parametrize("path", re.findall(r"\]\((?!http)([^)#]+)", README))
def test_what_the_readme_links_to_is_there(path):
    assert (Path(__file__).parents[1] / path).exists()


@pytest.mark.parametrize("command", sorted(set(re.findall(r"(?:^ {4}|`)make ([a-z-]+)", README, re.MULTILINE))))
def test_what_the_readme_tells_to_make_is_a_target(command):
    assert re.search(rf"^{command}:", MAKEFILE, flags=re.MULTILINE)


def test_the_pictures_of_the_readme_are_small():
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", README)
    assert pictures
    assert all((Path(__file__).parents[1] / picture).stat().st_size < 500_000 for picture in pictures)

import re
import shlex
from pathlib import Path

import albumentations as A
import pytest

from albu_diffusemix.cli import main
from albu_diffusemix.images import read_image

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()


def test_the_commands_and_the_python_of_the_readme_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    photograph = read_image(ROOT / "docs/pictures/demo.jpg")
    names = {"image": photograph, "mask": photograph[..., 0]}
    for command, code in re.findall(
        r"^    albu-diffusemix (.*?)(?:\s+#.*)?$|^```python\n([^`]*)```", README, flags=re.MULTILINE
    ):
        if command:
            assert main(shlex.split(command)) == 0
        exec(code, names)  # noqa: S102  the README is ours
    assert "4 of 4 images" in capsys.readouterr().out
    assert len(list(Path("baked").glob("*.*g"))) == 8
    assert names["augmented"]["image"].shape == (224, 224, 3)
    loaded = A.load("train.yaml", data_format="yaml")
    assert loaded(image=read_image(Path("diffusemix_demo/photographs/coffee.png")))["image"].shape == (224, 224, 3)


def test_the_readme_begins_with_what_it_is_a_picture_and_how_to_install_it():
    blocks = [block for block in README.split("\n\n") if not block.startswith("#")]
    assert re.fullmatch(r"\*\*[^.\n]+\.\*\*", blocks[0])
    assert blocks[1].startswith("![")
    assert re.findall(r"^ {4}(pip install|make \w+)", blocks[3], re.MULTILINE) == [
        "pip install",
        "make demo",
        "make test",
    ]


def test_no_link_of_the_readme_needs_the_repository():
    assert re.findall(r"(?<!!)\[[^]]*\]\((?!https://)[^)]*\)", README) == []


@pytest.mark.parametrize("path", re.findall(r"`((?:docs|fractal_assets)/[a-z./]+|[A-Z]{2,}\.[a-z]+)`", README))
def test_what_the_readme_names_in_the_repository_is_there(path):
    assert (ROOT / path).exists()


@pytest.mark.parametrize("command", sorted(set(re.findall(r"(?:^ {4}|`)make ([a-z-]+)", README, re.MULTILINE))))
def test_what_the_readme_tells_to_make_is_a_target(command):
    assert re.search(rf"^{command}:", MAKEFILE, flags=re.MULTILINE)


def test_the_pictures_of_the_readme_are_small():
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", README)
    assert pictures
    assert all((ROOT / picture).stat().st_size < 500_000 for picture in pictures)

import re
import shlex
from pathlib import Path

import albumentations as A
import pytest

from albu_diffusemix.cli import main
from albu_diffusemix.images import read_image

README = (Path(__file__).parents[1] / "README.md").read_text()
MAKEFILE = (Path(__file__).parents[1] / "Makefile").read_text()


def test_the_commands_and_the_python_of_the_readme_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    photograph = read_image(Path(__file__).parents[1] / "docs/pictures/demo.jpg")
    main(["demo"])
    commands = re.findall(r"^    albu-diffusemix (.*?)(?:\s+#.*)?$", README, flags=re.MULTILINE)
    assert [main(shlex.split(command)) for command in commands] == [0] * len(commands)
    assert "4 of 4 images" in capsys.readouterr().out

    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    names = {"image": photograph, "mask": photograph[..., 0]}
    exec("\n".join(blocks), names)  # noqa: S102  the README is ours
    assert names["augmented"]["image"].shape == (224, 224, 3)
    loaded = A.load("train.yaml", data_format="yaml")
    assert loaded(image=read_image(Path("diffusemix_demo/photographs/coffee.png")))["image"].shape == (224, 224, 3)


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

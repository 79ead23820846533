import configparser
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NO_TEST_CODE = ("tests/", "benchmarks/", "docs/")


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """The sdist, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    # A copy, for setuptools writes beside the sources, where another run of these tests may do the same.
    sources = folder / "sources"
    shutil.copytree(ROOT, sources, ignore=shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__"))
    subprocess.run([sys.executable, "-m", "build", "--outdir", folder, sources], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def wheel(distributions):
    [path] = distributions.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def test_the_packages_listed_by_name_are_the_folders_on_disk():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = set(config["options"]["packages"].split())
    inner = {path.parent.relative_to(ROOT) for path in (ROOT / "albu_diffusemix").rglob("__init__.py")}
    on_disk = {".".join(folder.parts) for folder in inner} | {"albu_diffusemix.fractal_assets"}
    assert listed == on_disk


def test_the_wheel_carries_the_fractals_with_their_manifest_and_the_type_marker(wheel):
    fractals = [name for name in wheel if name.startswith("albu_diffusemix/fractal_assets/") and name.endswith(".jpg")]
    assert len(fractals) == 100
    assert "albu_diffusemix/fractal_assets/manifest.csv" in wheel
    assert "albu_diffusemix/py.typed" in wheel
    assert any(name.endswith("licenses/LICENSE") for name in wheel)


def test_the_wheel_carries_the_page_of_review(wheel):
    assert {f"albu_diffusemix/curate/review.{ending}" for ending in ("html", "css", "js")} <= set(wheel)


def test_the_wheel_carries_every_module_of_the_package_and_no_other_program(wheel):
    modules = {name for name in wheel if name.endswith(".py")}
    expected = {path.relative_to(ROOT).as_posix() for path in (ROOT / "albu_diffusemix").rglob("*.py")}
    assert modules == expected | {"albu_diffusemix/fractal_assets/__init__.py"}


def test_the_description_on_a_package_index_needs_nothing_from_the_repository(distributions):
    [path] = distributions.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        _, _, description = archive.read(name).decode().partition("\n\n")
    readme = (ROOT / "README.md").read_text()
    assert re.findall(r"\]\((?!https://)", description) == []
    assert len(readme.splitlines()) - len(description.splitlines()) == 2  # the picture and the line after it
    assert [line for line in description.splitlines() if line not in readme.splitlines()] == []


def test_the_sdist_carries_what_the_wheel_is_built_from(distributions, wheel):
    [path] = distributions.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    sources = {name for name in wheel if ".dist-info/" not in name}
    assert {name.replace("albu_diffusemix/fractal_assets", "fractal_assets") for name in sources} <= names
    assert {
        "CHANGELOG.md",
        "CITATION.cff",
        *re.findall(r"!\[[^]]*\]\(([^)]+)\)", (ROOT / "README.md").read_text()),
    } <= names

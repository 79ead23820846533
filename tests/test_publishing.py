"""What stands around the code for those who find it, use it, or carry it on."""

import configparser
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

import albu_diffusemix

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text()
GITHUB = [str(path.relative_to(ROOT)) for path in sorted((ROOT / ".github").rglob("*.yml"))]
WORKFLOWS = [path for path in GITHUB if "/workflows/" in path]
RELEASE = ".github/workflows/release.yml"
MADE = re.compile(r"\.(?!github$|ci$).*|build|dist|_build|__pycache__|.*\.egg-info|.*\.dm|diffusemix_demo")
TEXTS = {".cff", ".cfg", ".in", ".json", ".md", ".py", ".toml", ".txt", ".yaml", ".yml", ""}
REGISTRY = re.compile(r"(?:pypi|pythonhosted|anaconda|conda|npmjs|docker|debian)\.(?:org|com|co|io)\b")


def texts():
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if not MADE.fullmatch(name)]
        yield from (Path(folder, name) for name in files if Path(name).suffix in TEXTS)


def test_no_address_of_a_package_registry_stands_in_code_documentation_or_stores():
    found = {
        str(path.relative_to(ROOT)): addresses
        for path in texts()
        if path.is_file() and (addresses := REGISTRY.findall(path.read_text(errors="replace")))
    }
    assert found == {}


def load(path):
    return yaml.safe_load((ROOT / path).read_text())


@pytest.mark.parametrize("path", ["CITATION.cff", ".pre-commit-config.yaml", *GITHUB])
def test_a_yaml_file_is_a_mapping(path):
    assert isinstance(load(path), dict)


def test_the_citation_names_this_version_the_paper_and_its_authors():
    citation = load("CITATION.cff")
    paper = citation["preferred-citation"]
    assert citation["version"] == albu_diffusemix.__version__
    assert [author["name"] for author in citation["authors"]] == ["the albu-diffusemix developers"]
    assert [author["family-names"] for author in paper["authors"]] == ["Islam", "Zaheer", "Mahmood", "Nandakumar"]
    assert paper["title"] in (ROOT / "README.md").read_text().replace("\n", " ")


def test_the_changelog_begins_with_what_is_unreleased_and_has_only_headings_of_its_form():
    headings = re.findall(r"^(#+) (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[:2] == [("#", "Changelog"), ("##", "[Unreleased]")]
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert {title for level, title in headings if level == "###"} <= kinds


def test_the_security_policy_has_three_lines():
    assert len((ROOT / "SECURITY.md").read_text().splitlines()) == 3


def test_the_form_for_bugs_requires_the_host_and_the_line_of_versions():
    fields = {part["id"]: part for part in load(".github/ISSUE_TEMPLATE/bug.yml")["body"]}
    assert "albu-diffusemix --version" in fields["versions"]["attributes"]["description"]
    assert all(fields[name]["validations"] == {"required": True} for name in ("happened", "versions", "host"))


def test_the_hooks_run_the_ruff_that_the_tests_pin():
    [repository] = load(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    assert {hook["entry"].split()[0] for hook in repository["hooks"]} == {".venv/bin/ruff"}


def steps(path):
    return [step for job in load(path)["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS)
def test_a_workflow_runs_the_script_that_a_change_must_pass(path):
    assert "bash .ci/run" in [step.get("run") for step in steps(path)]


@pytest.mark.parametrize("path", WORKFLOWS)
def test_what_a_workflow_makes_is_a_target(path):
    targets = re.findall(r"^make ([a-z-]+)", "\n".join(step.get("run", "") for step in steps(path)), re.MULTILINE)
    assert targets
    assert all(re.search(rf"^{target}:", MAKEFILE, re.MULTILINE) for target in targets)


def test_a_release_is_built_from_a_tag_once_the_script_has_passed():
    release = load(RELEASE)
    assert release[True] == {"push": {"tags": ["v*"]}}  # YAML 1.1 reads "on" as true
    order = [step["run"] for step in release["jobs"]["build"]["steps"] if "run" in step]
    assert order[1:] == ["bash .ci/run", "make dist"]
    assert release["jobs"]["publish"]["needs"] == "build"


@pytest.mark.parametrize(("tag", "status"), [(f"v{albu_diffusemix.__version__}", 0), ("v9.9.9", 1)])
def test_a_release_whose_tag_is_not_the_version_stops(tag, status):
    command = next(run for step in steps(RELEASE) if "GITHUB_REF_NAME" in (run := step.get("run", "")))
    done = subprocess.run(["/bin/sh", "-c", command], cwd=ROOT, env={"GITHUB_REF_NAME": tag}, check=False)
    assert done.returncode == status


def house():
    """The rooms as CONTRIBUTING lists them, from the top: one list of names for each line."""
    text = (ROOT / "CONTRIBUTING.md").read_text().partition("## The house")[2].partition("Inside of")[0]
    return [re.findall(r"\w+", line.partition("   ")[0]) for line in re.findall(r"^ {4}(.+)$", text, re.MULTILINE)]


def test_every_room_of_the_package_is_listed_for_contributors():
    rooms = {path.stem for path in (ROOT / "albu_diffusemix").iterdir()} - {"__init__", "__pycache__", "py"}
    assert rooms == {name for line in house() for name in line}


def test_contributors_read_the_rooms_in_the_order_of_the_import_contract():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    layers = config["importlinter:contract:layers"]["layers"].strip().splitlines()
    height = {name: row for row, line in enumerate(layers) for name in re.findall(r"albu_diffusemix\.(\w+)", line)}
    listed = [height[name] for line in house() for name in line if name in height]
    assert listed == sorted(listed)
    assert len(listed) == len(height)

"""Tests that are left out on AlbumentationsX have nothing to do with the Albumentations that is installed."""

import ast
from pathlib import Path

import pytest
from conftest import ANY_HOST

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "albu_diffusemix"
HARMLESS = "albu_diffusemix._host.HOST"
COMMANDS_WITH_TRANSFORMS = {"demo", "preview"}


def imported(file):
    """Return the full names of everything that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names - {HARMLESS}


def strings(file):
    return {node.value for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Constant)}


def of_modules(names, modules):
    return {name for name in names if any(f"{name}.".startswith(f"{module}.") for module in modules)}


@pytest.fixture(scope="module")
def on_the_host():
    """Albumentations, and each module of the package below the command line that imports one of these, by their names.

    So do the public names of the package that come from such a module.
    """
    files = {".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts): file for file in PACKAGE.rglob("*.py")}
    imports = {name.removesuffix(".__init__"): imported(file) for name, file in files.items() if ".cli." not in name}
    public = imports.pop(PACKAGE.name)
    found = {"albumentations", "albu_diffusemix._host"}
    while more := {name for name, names in imports.items() if of_modules(names, found)} - found:
        found |= more
    return found | {f"{PACKAGE.name}.{name.rpartition('.')[2]}" for name in of_modules(public, found)}


def with_helpers(name):
    """Return a module of the tests and those of the tests that it needs."""
    files, waiting = set(), {TESTS / f"{name}.py"}
    while waiting:
        file = waiting.pop()
        files.add(file)
        waiting |= {TESTS / f"{name.split('.')[0]}.py" for name in imported(file)} - files
        waiting = {file for file in waiting if file.exists()}
    return files


def test_what_depends_on_the_host_is_found(on_the_host):
    assert {f"albu_diffusemix.{name}" for name in ("mixing", "preview", "workers", "DiffuseMix")} <= on_the_host
    assert not on_the_host & {"albu_diffusemix.functional", "albu_diffusemix.store", "albu_diffusemix.create_backend"}


@pytest.mark.parametrize("name", sorted(ANY_HOST))
def test_a_module_for_any_host_uses_nothing_that_depends_on_one(name, on_the_host):
    for file in with_helpers(name):
        assert not of_modules(imported(file), on_the_host), file
        assert not COMMANDS_WITH_TRANSFORMS & strings(file), file

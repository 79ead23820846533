"""What the package can tell a user, read from its source: causes, errors, problems, warnings."""

import ast
import errno
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import albu_diffusemix

UNKNOWN = "…"
"""Stands where a message names what only a run knows, such as a path."""

_INSTALL = re.compile(r"^(.*?):? (pip install .*)$")
_Names = dict[str, ast.expr]


class Advice(NamedTuple):
    """What a user is told, and what to do about it."""

    message: str
    advice: str


def causes() -> list[Advice]:
    """Return why an image can have no counterpart: all that the doctor and the precomputed backend can say."""
    stated = [Advice(what, advice) for what, _, advice in _arguments("Cause", 3) if advice != UNKNOWN]
    changes = [Advice(f"the image is {what}", advice) for what, advice in _arguments("Change", 2) if what != UNKNOWN]
    return sorted({*stated, *changes})


def missing_packages() -> list[Advice]:
    """Return the errors about a package that is not installed, and the command that installs it."""
    return sorted({Advice(*found.groups()) for text in _raised() if (found := _INSTALL.match(text))})


def system_errors() -> list[Advice]:
    """Return what the operating system may refuse while a store is read or written."""
    return [
        Advice(os.strerror(getattr(errno, key.attr)), _text(value, {}))
        for module in _modules()
        for _, table in _assigned(module)
        if isinstance(table, ast.Dict)
        for key, value in zip(table.keys, table.values, strict=True)
        if isinstance(key, ast.Attribute) and getattr(key.value, "id", "") == "errno"
    ]


def problems() -> list[str]:
    """Return what `albu-diffusemix verify` can say about a file of a store."""
    return sorted({text for *_, text in _arguments("Problem", 3) if text != UNKNOWN})


def warnings() -> list[str]:
    """Return the warnings of the package."""
    return sorted({text for [text] in _arguments("warn", 1) if text != UNKNOWN})


def _raised() -> Iterator[str]:
    """Yield the texts of the errors that the code raises."""
    for scope, names in _scopes():
        for node in _own(scope):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                yield from (_text(value, names) for value in node.exc.args)


def _arguments(name: str, count: int) -> Iterator[list[str]]:
    """Yield the first texts that each call of a class or function is given, such as `Cause(what, detail, advice)`."""
    for scope, names in _scopes():
        for node in _own(scope):
            if isinstance(node, ast.Call) and _name(node.func) == name and len(node.args) >= count:
                yield [_text(value, names) for value in node.args[:count]]


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


@cache
def _scopes() -> list[tuple[ast.AST, _Names]]:
    """Return each module and each function, with the values of the names that it can see."""
    everywhere = {name: value for module in _modules() for name, value in _assigned(module)}
    scopes: list[tuple[ast.AST, _Names]] = []
    for module in _modules():
        own = everywhere | dict(_assigned(module))
        functions = [node for node in ast.walk(module) if isinstance(node, ast.FunctionDef)]
        scopes += [(module, own), *((function, own | dict(_assigned(function))) for function in functions)]
    return scopes


@cache
def _modules() -> list[ast.Module]:
    return [ast.parse(path.read_text()) for path in sorted(Path(albu_diffusemix.__file__).parent.rglob("*.py"))]


def _own(scope: ast.AST) -> Iterator[ast.AST]:
    """Walk a scope without the functions in it, which are scopes of their own."""
    for child in ast.iter_child_nodes(scope):
        if not isinstance(child, ast.FunctionDef):
            yield child
            yield from _own(child)


def _assigned(scope: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    for node in _own(scope):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node.value


def _text(value: ast.expr, names: _Names) -> str:
    """Write a string of the code as a user reads it; what only a run knows becomes an ellipsis."""
    if isinstance(value, ast.Constant):
        return str(value.value)
    if isinstance(value, ast.JoinedStr):
        return "".join(_text(part, names) for part in value.values)
    if isinstance(value, ast.FormattedValue):
        return _text(value.value, names)
    if isinstance(value, ast.Name) and value.id in names:
        return _text(names[value.id], {**names, value.id: ast.Constant(UNKNOWN)})
    return UNKNOWN

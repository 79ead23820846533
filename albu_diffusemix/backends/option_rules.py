"""What an option of a backend may be: each rule in words for the error, and as a test."""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_HUB_FILE = re.compile(r"[\w.-]+/[\w.-]+(/[\w.-]+)*/[\w.-]+\.safetensors")


class Rule(NamedTuple):
    """What a value may be, in words that follow "must be", and as a test."""

    words: str
    holds: Callable[[Any], bool]

    def or_none(self) -> "Rule":
        """Return the same rule for an option that may be left out."""
        return Rule(self.words, lambda value: value is None or self.holds(value))


def check_values(values: Mapping[str, Any], rules: Mapping[str, Rule]) -> None:
    """Check each value that has a rule.

    Raises:
        ValueError: A value breaks its rule; the message says which one, what is allowed, and the value.

    """
    for name, rule in rules.items():
        if not rule.holds(values[name]):
            raise ValueError(f"{name} must be {rule.words}; got {values[name]!r}")


def check_packages(backend: str, packages: Iterable[str]) -> None:
    """Check that packages are installed, without importing them.

    Raises:
        ValueError: Some are missing; the message names them and the command that installs them.

    """
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise ValueError(
            f"backend {backend!r} needs {', '.join(missing)}, not installed here: pip install {' '.join(missing)}"
        )


def is_whole(value: Any) -> bool:
    """Return whether a value is an integer; True and False are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number; True and False are not."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond what a float can hold
        return False


def is_plain(value: Any) -> bool:
    """Return whether JSON can hold a value."""
    try:
        json.dumps(dict(value) if isinstance(value, Mapping) else value)
    except (TypeError, ValueError):
        return False
    return True


def one_of(*names: str) -> Rule:
    """Return the rule that a value is one of these names."""
    return Rule(f"one of {', '.join(map(repr, names))}", lambda value: isinstance(value, str) and value in names)


def model_folder(made_by: str) -> Rule:
    """Return the rule for where a model is: a folder that `made_by` made, or an id on the Hub."""

    def holds(value: Any) -> bool:
        return isinstance(value, str) and not Path(value).is_file() and _is_here_or_on_hub(value)

    return Rule(f"an existing folder that {made_by}, or a Hub id such as 'owner/name'", holds)


def _is_here_or_on_hub(value: Any) -> bool:
    return isinstance(value, str) and (Path(value).exists() or _HUB_ID.fullmatch(value) is not None)


def scheduler_of(names: Iterable[str]) -> Rule:
    """Return the rule for a sampler: one of these names, or a mapping that has it as its `name`."""
    known = tuple(names)

    def holds(value: Any) -> bool:
        name = value.get("name") if isinstance(value, Mapping) else value
        return isinstance(name, str) and name in known and is_plain(value)

    return Rule(f"one of {', '.join(known)}, or a mapping with its 'name' and options", holds)


FLAG = Rule("True or False", lambda value: isinstance(value, bool))
COUNT = Rule("a whole number of at least 1", lambda value: is_whole(value) and value > 0)
NUMBER = Rule("a finite number", is_number)
TEXT = Rule("a string", lambda value: isinstance(value, str))
TEMPLATE = Rule(
    "a string with {prompt} in it, where the effect is put in",
    lambda value: isinstance(value, str) and "{prompt}" in value,
)
LORA = Rule(
    "an existing file or folder, or a Hub id such as 'owner/name', or 'owner/name/file.safetensors'",
    lambda value: _is_here_or_on_hub(value) or (isinstance(value, str) and _HUB_FILE.fullmatch(value) is not None),
)
MAPPING = Rule(
    "a mapping of plain data, which YAML can hold", lambda value: isinstance(value, Mapping) and is_plain(value)
)

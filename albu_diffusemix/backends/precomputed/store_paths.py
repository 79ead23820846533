"""Paths of stores in pipeline files that move between machines."""

import os
import re

__all__ = ["filled_in"]

_NAME = re.compile(r"\$(?:(\w+)|\{(\w+)\})", re.ASCII)


def filled_in(path: str) -> str:
    """Return the path with the home folder in place of `~`, and environment variables in place of `$NAME`.

    A path that is there as it is written stays as it is.

    Args:
        path: As a spec has it; `${NAME}` and `~user` work too.

    Raises:
        ValueError: A variable is not set, or the home folder is not known.

    """
    if os.path.lexists(path):
        return path
    unset = [first or second for first, second in _NAME.findall(path) if (first or second) not in os.environ]
    if unset:
        raise ValueError(
            f"store {path!r}: the environment variable {unset[0]} is not set; set it or write out the path"
        )
    filled = os.path.expanduser(os.path.expandvars(path))  # noqa: PTH111  it raises nothing
    if filled.startswith("~"):
        raise ValueError(f"store {path!r}: no home folder is known for {filled.split('/')[0]!r}; write out the path")
    return filled

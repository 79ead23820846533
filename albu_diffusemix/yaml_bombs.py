"""YAML that is small as a file and huge or endless as a value."""

from typing import Any

import yaml

__all__ = ["parse_yaml", "refuse_yaml_bomb"]

_MOST_VALUES = 100_000
_DEEPEST = 100


def parse_yaml(text: str) -> Any:
    """Return what YAML says, as plain data.

    Args:
        text: A document.

    Raises:
        ValueError: It is a bomb, or has a date that there is not.
        yaml.YAMLError: It is not valid YAML.

    """
    refuse_yaml_bomb(text)
    return yaml.safe_load(text)


def refuse_yaml_bomb(text: str) -> None:
    """Refuse YAML whose value is nested too deeply, or grows too large by aliases (`*name`) of what stands before.

    Args:
        text: A document, of which nothing is built.

    Raises:
        ValueError: It is such a bomb.
        yaml.YAMLError: It is not valid YAML.

    """
    sizes: dict[str, int] = {}  # of what has an anchor
    open_values: list[tuple[str | None, int]] = []  # each with its anchor, and how many values were counted before it
    count = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            count += sizes.get(event.anchor or "", _MOST_VALUES)  # one that still grows would hold itself
        elif isinstance(event, yaml.ScalarEvent):
            count += 1
            sizes[event.anchor or ""] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            sizes.pop(event.anchor or "", None)
            open_values.append((event.anchor, count))
            count += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_values.pop()
            sizes[anchor or ""] = count - before
        if count >= _MOST_VALUES or len(open_values) > _DEEPEST:
            raise ValueError(f"it has over {_MOST_VALUES:,} values, or is nested over {_DEEPEST} deep")

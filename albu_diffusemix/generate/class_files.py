"""Files that say something of each class, in YAML: its prompts, its name in prompts, or its outputs of a classifier."""

import unicodedata
from collections.abc import Iterator
from pathlib import Path

import yaml

from albu_diffusemix.regular_files import read_text
from albu_diffusemix.yaml_bombs import refuse_yaml_bomb

__all__ = ["DEFAULT", "read_class_names", "read_label_map", "read_prompts_by_class"]

DEFAULT = "default"
"""What stands in the place of a label before the prompts of all other classes."""


def read_prompts_by_class(path: Path) -> dict[str, tuple[str, ...]]:
    """Read labels with their prompts, each one text or a list of texts; those of all others stand at `default`.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not such a file; the message says the line.

    """
    example = "rose: [sunset, snowy]"
    return {label: _texts(where, node, "prompt") for label, where, node in _entries(path, example)}


def read_label_map(path: Path) -> dict[str, tuple[str, ...]]:
    """Read labels with the outputs of a classifier that stand for them, each one or a list.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not such a file; the message says the line.

    """
    return {label: _texts(where, node, "output") for label, where, node in _entries(path, "daisy: [daisy, oxeye]")}


def read_class_names(path: Path) -> dict[str, str]:
    """Read labels with the words that stand for them in prompts.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not such a file; the message says the line.

    """
    return {label: _text(where, node, "one name") for label, where, node in _entries(path, "n11939491: daisy")}


def _entries(path: Path, example: str) -> Iterator[tuple[str, str, yaml.Node]]:
    """Yield labels, where they stand, and what stands there.

    All scalars are text, also `001`, `no` and `1e3`, which folders of classes may be called.
    """
    root = _root(path)
    if not isinstance(root, yaml.MappingNode) or not root.value:
        raise ValueError(f"{str(path)!r} has no labels: give a line for each, such as `{example}`")
    seen = set()
    for key, value in root.value:
        line = f"{str(path)!r} line {key.start_mark.line + 1}"
        label = unicodedata.normalize("NFC", _text(line, key, "a label"))
        if label in seen:
            raise ValueError(f"{line} has {label!r} for the second time: leave one out")
        seen.add(label)
        yield label, f"{line}, {label!r}", value


def _root(path: Path) -> yaml.Node | None:
    text = read_text(path)
    try:
        refuse_yaml_bomb(text)
        return yaml.compose(text, yaml.SafeLoader)
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"{str(path)!r} is not valid YAML: {' '.join(str(error).split())}") from error


def _texts(where: str, node: yaml.Node, one: str) -> tuple[str, ...]:
    if not isinstance(node, yaml.SequenceNode):
        return (_text(where, node, f"one {one} or a list of them"),)
    if not node.value:
        raise ValueError(f"{where}: there are no {one}s; give one, or leave the label out")
    return tuple(_text(where, text, "text") for text in node.value)


def _text(where: str, node: yaml.Node, wanted: str) -> str:
    if not isinstance(node, yaml.ScalarNode):
        kind = "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"
        raise ValueError(f"{where}: here must be {wanted}, not {kind}")  # noqa: TRY004  bad input
    if not node.value.strip():
        raise ValueError(f"{where}: here must be {wanted}; it is empty")
    return str(node.value.strip())

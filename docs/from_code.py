"""Parts of the pages that are made from the code when the documentation is built, so that they cannot drift.

A page holds a mark, such as `<!-- from the code: commands -->`; `fill_in` replaces it by Markdown.
"""

import argparse
import re
from typing import Any

from messages import Advice, causes, missing_packages, problems, system_errors, warnings

from albu_diffusemix import cli

MARK = re.compile(r"<!-- from the code: (.+?) -->")
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|$#])")
_WIDTH = 88  # characters of a line of usage


def setup(app: Any) -> dict[str, bool]:
    """Make Sphinx call `fill_in` for each page that it reads."""
    app.connect("source-read", _read)
    return {"parallel_read_safe": True}


def fill_in(page: str) -> str:
    """Replace the marks of a page.

    Raises:
        KeyError: A mark asks for something that is not made here.

    """
    return MARK.sub(lambda found: _MAKERS[found[1]](), page)


def parsers() -> dict[str, argparse.ArgumentParser]:
    """Return the parser of each command, by its name."""
    return dict(_subcommands().choices)


def _read(_app: Any, _page: str, source: list[str]) -> None:
    source[0] = fill_in(source[0])


# argparse offers no public way to the arguments of a parser, so the private names below.
# ruff: noqa: SLF001
def _subcommands() -> Any:
    actions = cli._parser()._actions
    return next(action for action in actions if isinstance(action, argparse._SubParsersAction))


def _commands() -> str:
    helps = {choice.dest: choice.help for choice in _subcommands()._choices_actions}
    return "\n".join(_command(name, helps[name], parser) for name, parser in parsers().items())


def _command(name: str, does: str, parser: argparse.ArgumentParser) -> str:
    usage = argparse.HelpFormatter(parser.prog, width=_WIDTH)
    usage.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups, "")
    rows = [(_spelled(action), _explained(action)) for action in parser._actions]
    table = _table(("argument", "meaning"), rows)
    epilog = f"\n{_escaped(parser.epilog)}\n" if parser.epilog else ""
    title = _escaped(does[:1].upper() + does[1:])
    return f"## {name}\n\n{title}.\n\n```text\n{usage.format_help().strip()}\n```\n\n{table}\n{epilog}"


def _spelled(action: argparse.Action) -> str:
    *shorter, last = action.option_strings or [""]
    return ", ".join(f"`{name}`" for name in (*shorter, f"{last} {_value(action)}".strip()))


def _value(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    if isinstance(action.metavar, tuple):
        return " ".join(action.metavar)
    choices = "{" + ",".join(map(str, action.choices)) + "}" if action.choices else ""
    return action.metavar or choices or (action.dest.upper() if action.option_strings else action.dest)


def _explained(action: argparse.Action) -> str:
    text = _escaped((action.help or "") % {"default": action.default})
    return f"{text} (required)".lstrip() if action.required and action.option_strings else text


def _advice(found: list[Advice]) -> str:
    """Write a row for each advice, with all the messages that share it."""
    messages: dict[str, list[str]] = {}
    for message, advice in found:
        messages.setdefault(advice, []).append(_escaped(message))
    rows = [("<br>".join(told), _escaped(advice)) for advice, told in messages.items()]
    return _table(("the message says", "what to do"), rows)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ("---",) * len(head), *rows))


def _list(texts: list[str]) -> str:
    return "\n".join(f"- {_escaped(text)}" for text in texts)


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text)


_MAKERS = {
    "commands": _commands,
    "causes": lambda: _advice(causes()),
    "missing packages": lambda: _advice(missing_packages()),
    "system errors": lambda: _advice(system_errors()),
    "problems": lambda: _list(problems()),
    "warnings": lambda: _list(warnings()),
}

"""Text from files, stores and backends, which may hold anything: made fit to be shown, and read as JSON."""

import difflib
import json
import math
import sys
import warnings
from collections.abc import Collection, Iterable
from typing import Any

__all__ = [
    "did_you_mean",
    "in_one_line",
    "make_output_printable",
    "parse_json",
    "printable",
    "refuse_unknown",
    "table_cell",
    "unknown",
]

_MOST_NAMES = 20


def printable(text: object) -> str:
    r"""Return text that a terminal, a log or a picture can show: in one line, each odd character escaped.

    Escaped are control characters (an ESC could rewrite the screen), line breaks, marks that turn the direction of
    writing, and bytes of a file name that are not UTF-8.

    Args:
        text: Anything; what is not a string is turned into one.

    Returns:
        Printable characters only, those of all languages among them.

    Examples:
        >>> from albu_diffusemix.text import printable
        >>> printable("caf\u00e9\n\x1b[2J")
        'café\\n\\x1b[2J'

    """
    text = str(text)
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )


def table_cell(text: object) -> str:
    """Return text that ends neither its cell nor its table of Markdown, and starts no HTML.

    Examples:
        >>> table_cell("a | <b>")
        'a &#124; &lt;b>'

    """
    return printable(text).replace("&", "&amp;").replace("<", "&lt;").replace("|", "&#124;")


def in_one_line(message: object) -> str:
    """Return a message without its line breaks and repeated spaces, such as that of an error of a library."""
    text = f"there is no {message}" if isinstance(message, KeyError) else str(message)  # whose text is the key alone
    return " ".join(text.split())


def unknown(what: str, name: object, known: Collection[str]) -> str:
    """Return a message about a name that is not known: which are, unless they are many, and which one may be meant.

    Args:
        what: What it would be the name of.
        name: As it was given.
        known: Those that there are.

    Examples:
        >>> from albu_diffusemix.text import unknown
        >>> unknown("loss", "jds", ["cross_entropy", "jsd"])
        "unknown loss 'jds'; known: cross_entropy, jsd; did you mean 'jsd'?"

    """
    listed = f"; known: {', '.join(known)}" if len(known) <= _MOST_NAMES else ""
    return f"unknown {what} {name!r}{listed}{did_you_mean(name, known)}"


def did_you_mean(name: object, known: Collection[str]) -> str:
    """Return the end of a message that names the nearest of the known names; nothing where none is near."""
    close = difflib.get_close_matches(str(name), known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def refuse_unknown(what: str, names: Iterable[object], known: Collection[str]) -> None:
    """Refuse the first name that is not known.

    Args:
        what: What it would be the name of.
        names: As they were given.
        known: Those that there are.

    Raises:
        ValueError: There is one; see `unknown`.

    """
    for name in names:
        if name not in known:
            raise ValueError(unknown(what, name, known))


def make_output_printable() -> None:
    """Make this process print any text on any terminal.

    What the encoding of standard output and standard error lacks is escaped, in place of a UnicodeEncodeError; the text
    of a warning is printed in one line.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    warnings.formatwarning = _format_warning


def parse_json(text: str | bytes) -> Any:
    """Return what JSON says.

    Args:
        text: A JSON document; bytes are UTF-8.

    Returns:
        Its value.

    Raises:
        ValueError: It is not valid JSON, is nested too deeply, or has a number that is not finite. Nothing else.

    Examples:
        >>> from albu_diffusemix.text import parse_json
        >>> parse_json('{"seed": 1e400}')
        Traceback (most recent call last):
        ValueError: the number 1e400 is too large

    """
    try:
        return json.loads(text, parse_float=_finite, parse_constant=_finite)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _format_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    del line  # a line of our code tells a user nothing
    return f"{printable(filename)}:{lineno}: {category.__name__}: {printable(message)}\n"


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"the number {number} is too large" if number[-1].isdigit() else f"{number} is not a number")
    return value

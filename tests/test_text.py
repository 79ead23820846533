"""What comes from outside is shown in one line of printable characters, and JSON raises nothing but ValueError."""

import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from albu_diffusemix.text import in_one_line, make_output_printable, parse_json, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("class/001.jpg", "class/001.jpg"),
        ("caf\u00e9 \u732b", "caf\u00e9 \u732b"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("caf\udce9", "caf\\udce9"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("\x9b31m", "\\x9b31m"),
        (ValueError("a\nb"), "a\\nb"),
    ],
)
def test_odd_characters_are_escaped_and_others_stay(text, shown):
    assert printable(text) == shown


@given(st.text(st.characters()))
def test_whatever_is_shown_can_be_printed_in_one_line(text):
    assert printable(text).isprintable()
    printable(text).encode()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[" * 200_000 + "]" * 200_000, "nested too deeply"),
        (b"\xff", "utf-8"),
        ("", "Expecting value"),
        ('{"seed": 1e400}', "the number 1e400 is too large"),
        ('{"seed": NaN}', "NaN is not a number"),
        ('{"seed": -Infinity}', "-Infinity is not a number"),
        ("1" * 5000, "digit"),
    ],
)
def test_json_that_cannot_be_used_is_a_value_error(text, complaint):
    with pytest.raises(ValueError, match=complaint):
        parse_json(text)


def test_json_that_can_be_used_is_returned():
    assert parse_json(b'{"seed": 1e3, "prompts": ["caf\xc3\xa9"]}') == {"seed": 1000.0, "prompts": ["caf\u00e9"]}


def test_a_warning_is_one_printable_line_without_a_line_of_code(monkeypatch):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    make_output_printable()
    shown = warnings.formatwarning("a\n\x1b[2J", UserWarning, "file\udce9.py", 3)
    assert shown == "file\\udce9.py:3: UserWarning: a\\n\\x1b[2J\n"


def test_a_message_of_several_lines_is_said_in_one():
    assert in_one_line(ValueError("cannot read\n\n  a.png:\tbroken ")) == "cannot read a.png: broken"

"""Text of others is safe to print, to draw and to write as XML."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ConfigError, StepFailed
from harness.printable import printable


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("\x1b[31;1mError\x1b[0m: no", "Error: no"),
        ("\x1b[38;2;1;2;3mrgb\x1b[m \x1b[2K\x1b[1A", "rgb "),
        ("\x9b31mred", "red"),
        ("\x1b(B\x1b[mplain\x1b7\x1b8\x1b=", "plain"),  # what `tput sgr0` says
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x07", "link"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]0;never ended\nthe next line", "\nthe next line"),
        ("\x1bPq#0\x1b\\sixel", "sixel"),
        ("a\x00b\x07c\x7fd\x9be\ud800f\ufffe", "abcdef"),
        ("line\r\nend", "line\nend"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("ü 測 😀", "ü 測 😀"),
        ("no such\x1b thing", "no such thing"),
        ("\x1b", ""),
        ("\x1b[", ""),
    ],
)
def test_colours_and_control_characters_are_left_out(text: str, wanted: str) -> None:
    assert printable(text) == wanted


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=())))
def test_what_is_left_is_xml_and_utf_8_and_stays_as_it_is(text: str) -> None:
    left = printable(text)
    element = ElementTree.Element("x", a=left)
    element.text = left
    read = ElementTree.fromstring(ElementTree.tostring(element, encoding="utf-8"))
    assert (read.get("a"), read.text or "") == (left, left)
    assert printable(left) == left


def test_an_errors_text_and_hint_are_printable() -> None:
    error = StepFailed("\x1b[1;31mlayer 3 is missing\x1b[0m: see the log", "\x07remove it")
    assert (error.message, error.hint) == ("layer 3 is missing: see the log", "remove it")
    assert str(error) == "layer 3 is missing: see the log"


def test_a_file_with_an_odd_name_is_named_without_it() -> None:
    error = ConfigError(["a\x1b[2Jb\udcff.yaml:1: empty"])
    assert error.mistakes == [error.message] == ["ab.yaml:1: empty"]

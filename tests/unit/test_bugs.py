"""What is said of a bug: one line for a list, a block for an issue."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest

from harness import __version__
from harness.bugs import LONGEST, bug_report


def raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


def test_the_line_has_the_class_and_the_message() -> None:
    assert bug_report(raised(ValueError("no number")), "x").line == "bug: ValueError: no number"


def test_an_error_without_a_message_is_named_by_its_class() -> None:
    assert bug_report(raised(RuntimeError()), "x").line == "bug: RuntimeError"


def test_the_line_is_one_line_without_colours_and_of_300_characters_at_most() -> None:
    coloured = "\x1b[1;31mred\x1b[0m\n  and\ttwo\x00 lines"
    assert bug_report(ValueError(coloured), "x").line == "bug: ValueError: red and two lines"
    long = bug_report(ValueError("a" * 1000), "x").line
    assert len(long) == LONGEST == 300
    assert long.endswith("a…")


def test_the_text_names_version_platform_command_and_what_was_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["/opt/venv/bin/bench", "devices", "a b"])
    text = bug_report(raised(KeyError("cpus")), "state of the device pixel").text
    first, _, second, command, _, *trace = text.splitlines()
    assert first == f"bench {__version__}: unexpected KeyError in state of the device pixel"
    assert second.startswith(f"Python {platform.python_version()} on ")
    assert command == "Command: bench devices 'a b'"
    assert trace[:2] == ["```", "Traceback (most recent call last):"]
    assert trace[-2:] == ["KeyError: 'cpus'", "```"]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/home/mara/project/x.py", "~/project/x.py"),
        ("/Users/mara/x.py", "~/x.py"),
        ("/root/.cache", "~/.cache"),
        ("/root", "~"),
        ("/srv/root/x", "/srv/root/x"),
        ("/rootfs/x", "/rootfs/x"),
        ("/data/home/mara/x", "/data/home/mara/x"),
    ],
)
def test_home_folders_are_shortened(path: str, said: str) -> None:
    report = bug_report(raised(OSError(f"cannot open '{path}'")), "x")
    assert report.line == f"bug: OSError: cannot open '{said}'"
    assert f"OSError: cannot open '{said}'\n" in report.text


def test_the_home_of_this_user_is_shortened_wherever_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert bug_report(ValueError(f"{tmp_path}/x"), "x").line == "bug: ValueError: ~/x"


@pytest.mark.parametrize("home", ["/", ""])
def test_a_user_without_a_home_changes_nothing(monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    monkeypatch.setenv("HOME", home)
    assert bug_report(ValueError("/srv/x"), "x").line == "bug: ValueError: /srv/x"


def test_an_error_whose_text_raises_is_still_told() -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            raise ZeroDivisionError

    report = bug_report(raised(Odd()), "x")
    assert report.line == "bug: Odd: message unreadable: ZeroDivisionError"
    assert "Odd: <exception str() failed>" in report.text


def test_a_fence_in_the_message_does_not_end_the_block() -> None:
    text = bug_report(ValueError("```\nmore"), "x").text
    assert "\n````\nValueError: ```\nmore\n````\n" in text


def test_causes_and_notes_are_in_the_text() -> None:
    error = ValueError("outer")
    error.__cause__ = raised(KeyError("inner"))
    error.add_note("and a note")
    text = bug_report(error, "x").text
    assert "KeyError: 'inner'" in text
    assert "ValueError: outer\nand a note" in text

"""Texts for users are plain English: no odd words, and hints are one imperative sentence.

Looked at are the strings of `harness/`, the page templates, the documents, and the comments of
scenarios and devices; words in backquotes are names and do not count.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: what must not come back -> what to write instead
INSTEAD = {
    r"holes?": "missing result",
    r"void(ed)?": "discarded",
    r"set aside": "excluded",
    r"pictures?": "image",
    r"foreign": "background load; of another program",
    r"surely": "significantly; 95 % CI",
    r"restless": "noisy",
    r"of ours": "bench's",
    r"put back": "restored",
    r"lets? go": "restored",
    r"hear of|heard of": "contact",
    r"travel(s|led)?": "is sent, is copied",
    r"without a word": "no output",
    r"told nothing|tells? nothing": "no readings",
    r"hinders?": "prevents",
    r"speaks? against": "warning",
    r"(be|is) believed": "valid",
    r"be had": "fetched",
    r"at hand": "this machine; current",
    r"side by side": "in parallel",
    r"(broken|breaks?|broke) gates?|gates? (is |are )?(broken|broke|breaks?)": "failed gate",
    r"in the middle of": "during",
    r"stands? (there|behind|beside)": "is",
    r"what it is|what it saw": "hardware; example detections",
}
ERRORS = {
    "BenchError", "CannotRun", "ConfigError", "DeviceLost", "JobTimeout", "OutOfMemory", "RunEnds",
    "StepFailed", "UsageError",
}  # fmt: skip


def python_texts(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            for at, line in enumerate(node.value.splitlines()):
                yield node.lineno + at, line.partition("#")[0]


def texts(path: Path) -> Iterator[tuple[int, str]]:
    if path.suffix == ".py":
        yield from python_texts(path)
        return
    for at, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        plain = re.sub(r"<[^>]*>|\{[{%].*?[%}]\}", " ", line) if path.suffix == ".html" else line
        yield at, plain


def user_files() -> list[Path]:
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    for folder, ending in (("harness", "py"), ("harness", "html"), ("scenarios", "yaml"),
                           ("devices", "yaml")):  # fmt: skip
        found += ROOT.glob(f"{folder}/**/*.{ending}")
    return sorted(found)


@pytest.mark.parametrize("odd", INSTEAD)
def test_odd_words_are_not_in_texts_for_users(odd: str) -> None:
    pattern = re.compile(rf"\b({odd})\b", re.I)
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text.strip()}"
        for path in user_files()
        for line, text in texts(path)
        if pattern.search(re.sub(r"`[^`]*`", "", text))
    ]
    assert not found, f"write: {INSTEAD[odd]}"


def hints(path: Path) -> Iterator[tuple[int, str]]:
    """The hints of errors that are written out where the error is raised; `x` for a value."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        hint = next((k.value for k in node.keywords if k.arg == "hint"), None) or (
            node.args[1] if len(node.args) > 1 else None
        )
        if name in ERRORS and isinstance(hint, ast.JoinedStr | ast.Constant):
            parts = hint.values if isinstance(hint, ast.JoinedStr) else [hint]
            yield (
                node.lineno,
                "".join(
                    str(part.value) if isinstance(part, ast.Constant) else "x." for part in parts
                ).replace("x..", "x."),
            )


def test_a_hint_is_one_imperative_sentence() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {hint}"
        for path in sorted(ROOT.glob("harness/**/*.py"))
        for line, hint in hints(path)
        if hint and not re.fullmatch(r"[A-Z].*\.", hint, re.S)
    ]
    assert not wrong

"""Mistakes on the command line as one line and a hint; bugs as one line and a file."""

from __future__ import annotations

import re
import sys
import tempfile
import time
from pathlib import Path

import typer

from ..errors import UsageError


def usage_error(error: typer.TyperException) -> UsageError:
    """The parser's error, worded like bench's own."""
    text = " ".join(error.format_message().split()).rstrip(".")
    text = text[:1].lower() + text[1:]
    text = re.sub(r"\. Did you mean (.*)\?$", r"; did you mean \1?", text)
    text = re.sub(r" \(Possible options: (.*)\)$", r"; did you mean \1?", text)
    text = re.sub(r"^(missing \w+) '(.*)'$", r"\1 \2", text)
    context = getattr(error, "ctx", None)
    return UsageError(text, f"See `{context.command_path if context else 'bench'} --help`.")


def show_bug(error: Exception) -> int:
    """Write the traceback to a file for an issue, and show its path; the exit code."""
    from ..bugs import bug_report
    from . import console

    report = bug_report(error, " ".join(["bench", *sys.argv[1:2]]))
    path = _write(report.text)
    console.show_failure(
        "bug", report.line.removeprefix("bug: "), f"Report it with the contents of {path}."
    )
    return 1


def _write(text: str) -> Path:
    """Into the cache's logs, or into a temporary folder if that is not writable."""
    from ..workspace import cache_root

    name = time.strftime("bug-%Y%m%dT%H%M%S.txt")
    for folder in (cache_root() / "logs", Path(tempfile.mkdtemp(prefix="bench-"))):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        except OSError:
            continue
        return folder / name
    return Path("(no writable folder)")

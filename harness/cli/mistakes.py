"""Mistakes on the command line in one line and one hint; bugs in one line and a file."""

from __future__ import annotations

import re
import sys
import tempfile
import time
from pathlib import Path

import typer

from ..errors import UsageError


def usage_error(error: typer.TyperException) -> UsageError:
    """What the parser says of a command line, in the words of our own errors."""
    text = " ".join(error.format_message().split()).rstrip(".")
    text = text[:1].lower() + text[1:]
    text = re.sub(r"\. Did you mean (.*)\?$", r"; did you mean \1?", text)
    text = re.sub(r" \(Possible options: (.*)\)$", r"; did you mean \1?", text)
    text = re.sub(r"^(missing \w+) '(.*)'$", r"\1 \2", text)
    context = getattr(error, "ctx", None)
    return UsageError(text, f"See `{context.command_path if context else 'bench'} --help`.")


def show_bug(error: Exception) -> int:
    """Write the traceback to a file that is ready for an issue, and name both; the exit code."""
    from ..bugs import bug_report
    from . import console

    report = bug_report(error, " ".join(["bench", *sys.argv[1:2]]))
    path = _write(report.text)
    console.show_failure(
        "bug", report.line.removeprefix("bug: "), f"Report it with the text in {path}."
    )
    return 1


def _write(text: str) -> Path:
    """In the cache's logs; in a temporary folder where that cannot be written."""
    from ..workspace import cache_root

    name = time.strftime("bug-%Y%m%dT%H%M%S.txt")
    for folder in (cache_root() / "logs", Path(tempfile.mkdtemp(prefix="bench-"))):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        except OSError:
            continue
        return folder / name
    return Path("(no folder can be written)")

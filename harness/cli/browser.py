"""Opens the report in the user's browser, if there is a display."""

from __future__ import annotations

import os
import sys
import webbrowser
from pathlib import Path


def is_older(page: Path, run: Path) -> bool:
    """Whether the page is missing, or older than the run's newest result."""
    try:
        written = page.stat().st_mtime
        return any(
            written < path.stat().st_mtime
            for name in ("run.json", "results.jsonl")
            if (path := run / name).exists()
        )
    except FileNotFoundError:
        return True


def has_display() -> bool:
    """Text browsers do not count: they show little of the pages and take over the terminal."""
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def open_page(page: Path) -> bool:
    """Whether a browser was opened."""
    if not has_display():
        return False
    try:
        return webbrowser.open(page.resolve().as_uri())
    except webbrowser.Error:
        return False

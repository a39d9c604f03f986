"""Runs one lab device until SIGTERM: `unshare --mount python -m harness.lab.daemon PLAN.json`."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

from ..errors import StepFailed
from ..serial import from_json
from .board import Board, DevicePlan
from .control import Reply, Request, listen
from .faults import apply


def main() -> int:
    """Commands arrive over a Unix socket in the board's folder; see `control`."""
    plan = from_json(DevicePlan, json.loads(Path(sys.argv[1]).read_text("utf-8")))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    board = Board(plan)
    try:
        board.boot()
        for request, answer in listen(board.folder / "control"):
            answer(_obey(board, request))
    finally:
        board.close()
    return 0


def _obey(board: Board, request: Request) -> Reply:
    if request.name == "written":
        return Reply(True, f"{board.written_bytes() / 1e6:.1f} MB")
    try:
        return Reply(True, apply(board, request.name, request.value))
    except (StepFailed, OSError) as error:
        return Reply(False, str(error))


if __name__ == "__main__":
    sys.exit(main())

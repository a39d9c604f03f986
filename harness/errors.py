"""Every error that bench raises on purpose. Any other exception is a bug.

BenchError                  a cell, or the command, cannot go on
├── ConfigError             a user's file has mistakes (exit code 2)
├── UsageError              the command line names something that does not exist (exit code 2)
├── StepFailed              a step of one cell failed; the other cells go on
│   ├── JobTimeout          a job ran past its deadline
│   └── OutOfMemory         a job was killed by its memory limit
├── CannotRun               a device lacks what a cell needs; the cell is skipped
├── DeviceLost              the connection to a device broke; transient
└── RunEnds                 the disk is full: the run stops; results so far are saved
"""

from __future__ import annotations

from .printable import printable

#: a longer list of mistakes is cut in messages
SHOWN_MISTAKES = 10


class BenchError(Exception):
    """What happened and where; `hint` is one imperative sentence.

    Messages may quote the output of other programs: control characters are removed.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        self.message, self.hint = printable(message), printable(hint)
        super().__init__(self.message)


class ConfigError(BenchError):
    """All mistakes of one or more files, one per line, as `path:line: what`.

    The message shows the first ten and the number of others; `mistakes` has all.
    """

    def __init__(self, mistakes: list[str], hint: str = "") -> None:
        more = len(mistakes) - SHOWN_MISTAKES
        rest = [f"and {more:,} more mistakes"] if more > 1 else mistakes[SHOWN_MISTAKES:]
        super().__init__("\n".join([*mistakes[:SHOWN_MISTAKES], *rest]), hint)
        self.mistakes = [printable(mistake) for mistake in mistakes]


class UsageError(BenchError):
    """An invalid name or option on the command line."""


class StepFailed(BenchError):
    """A step of one cell failed; the message is shown in place of its result."""


class JobTimeout(StepFailed):
    """A job exceeded its deadline and was stopped."""


class OutOfMemory(StepFailed):
    """A job exceeded the memory limit of its container."""


class CannotRun(BenchError):
    """A device lacks what a cell needs: the cell is skipped with a reason, not failed."""


class DeviceLost(BenchError):
    """The connection to a device broke."""


class RunEnds(BenchError):
    """Nothing more can be written; results so far are saved, and the run can be resumed."""

"""Every error that bench raises on purpose. Anything else that escapes is a bug and a traceback.

BenchError                  a cell, or the command, cannot go on
├── ConfigError             a file of the user's has mistakes (exit code 2)
├── UsageError              the command line asks for something that is not there (exit code 2)
├── StepFailed              a step of one cell failed; the other cells go on
│   ├── JobTimeout          a job ran past its deadline
│   └── OutOfMemory         a job was killed by its memory limit
├── CannotRun               a device cannot have what a cell needs; the cell is skipped
├── DeviceLost              the connection to a device broke; transient
└── RunEnds                 no cell can go on, since the disk is full; what was measured is kept
"""

from __future__ import annotations

from .printable import printable

#: a longer list of mistakes is cut in messages
SHOWN_MISTAKES = 10


class BenchError(Exception):
    """What happened, where and what was seen; `hint` says what to do next.

    Much of it is what others have printed: nothing of it recolours a terminal or breaks a file.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        self.message, self.hint = printable(message), printable(hint)
        super().__init__(self.message)


class ConfigError(BenchError):
    """All the mistakes of one or more files, one line each, as `path:line: what`.

    The message has the first ten and how many more there are; `mistakes` has all of them.
    """

    def __init__(self, mistakes: list[str], hint: str = "") -> None:
        more = len(mistakes) - SHOWN_MISTAKES
        rest = [f"and {more:,} more mistakes"] if more > 1 else mistakes[SHOWN_MISTAKES:]
        super().__init__("\n".join([*mistakes[:SHOWN_MISTAKES], *rest]), hint)
        self.mistakes = [printable(mistake) for mistake in mistakes]


class UsageError(BenchError):
    """A name or option on the command line that cannot be used."""


class StepFailed(BenchError):
    """A step of one cell failed; the message is shown in the table's hole."""


class JobTimeout(StepFailed):
    """A job ran past its deadline and was ended."""


class OutOfMemory(StepFailed):
    """A job was killed by the memory limit of its container."""


class CannotRun(BenchError):
    """A device cannot have what a cell needs: a hole with a reason, not a failure."""


class DeviceLost(BenchError):
    """The connection to a device broke in the middle of something."""


class RunEnds(BenchError):
    """Nothing can be written any more; what was measured is kept, and the run can be resumed."""

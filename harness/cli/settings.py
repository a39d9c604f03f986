"""What every command takes: how much it says, in which colours, and in which project it works."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Settings:
    """The options that may stand before or after a command's name."""

    quiet: bool = False
    verbose: bool = False
    color: bool = True
    #: of `--project`; empty: BENCH_PROJECT, or found from the current folder or the scenario
    project: str = ""
    #: `bench images build`, for hints
    command: str = "bench"


_current = Settings()


def current() -> Settings:
    """Those of the command that runs."""
    return _current


def set_all(settings: Settings) -> None:
    """For a new command line, so that nothing of an earlier one stays."""
    global _current
    _current = settings


def update(**given: object) -> None:
    """What was given, where it was given; None was not."""
    chosen = {name: value for name, value in given.items() if value is not None}
    set_all(replace(_current, **chosen))  # type: ignore[arg-type]

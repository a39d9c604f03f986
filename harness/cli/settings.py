"""Common options: verbosity, colours and project."""

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
    """The settings of the running command."""
    return _current


def set_all(settings: Settings) -> None:
    """Start a new command line without settings of an earlier one."""
    global _current
    _current = settings


def update(**given: object) -> None:
    """Set the given values; None means not given."""
    chosen = {name: value for name, value in given.items() if value is not None}
    set_all(replace(_current, **chosen))  # type: ignore[arg-type]

"""Where files are: first in the user's project, then among those that ship with bench.

A project is a folder with a `bench.toml`; its models/, devices/, scenarios/, runs/ and reports/ are
next to that file. Folder names alone never make a project.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .errors import UsageError

PACKAGE = Path(__file__).resolve().parent
#: the file that makes a folder a project; what is in it is for people
MARK = "bench.toml"


def builtin() -> Path:
    """The folder with bench's models, devices, scenarios and dockerfiles: checkout or wheel."""
    shipped = PACKAGE / "data"
    return shipped if shipped.is_dir() else PACKAGE.parent


def cache_root() -> Path:
    """`$BENCH_CACHE`, or `~/.cache/bench`."""
    return Path(os.environ.get("BENCH_CACHE") or Path.home() / ".cache" / "bench")


def marked(folder: Path) -> Path | None:
    """The nearest folder with a `bench.toml`, at or above `folder`."""
    start = folder.resolve()
    return next((path for path in (start, *start.parents) if (path / MARK).is_file()), None)


@dataclass(frozen=True)
class Workspace:
    """A project folder; what ships with bench is available as well.

    `asked`, in all constructors, is the folder of `--project`: it has precedence, followed by
    `BENCH_PROJECT`.
    """

    project: Path

    @classmethod
    def of_scenario(cls, scenario: Path, asked: str = "") -> Workspace:
        """The marked folder at or above a scenario; else its own folder, or that of `scenarios/`.

        A scenario that ships with bench is run in the current project.
        """
        folder = scenario.parent.resolve()
        if _asked(asked) or folder.is_relative_to(PACKAGE / "data"):
            return cls.here(asked)
        own = folder.parent if folder.name == "scenarios" else folder
        return cls(marked(folder) or own)

    @classmethod
    def here(cls, asked: str = "") -> Workspace:
        """The marked folder at or above the current one; else the current one."""
        return cls(_asked(asked) or marked(Path.cwd()) or Path.cwd().resolve())

    @classmethod
    def with_runs(cls, asked: str = "") -> Workspace:
        """As `here`, to read runs; raises UsageError if there is no project and no runs."""
        space = cls.here(asked)
        if _asked(asked) or (space.project / MARK).is_file() or space.runs.is_dir():
            return space
        raise UsageError(
            f"no project: no {MARK} in {space.project} or a parent folder, and no runs/",
            "Change to a project folder, or pass --project DIR.",
        )

    @classmethod
    def of_run(cls, run: Path, asked: str = "") -> Workspace:
        """For a run given by its folder: the current project; else the one that contains it."""
        try:
            return cls.with_runs(asked)
        except UsageError:
            folder = run.resolve().parent
            return cls(folder.parent if folder.name == "runs" else Path.cwd().resolve())

    @property
    def runs(self) -> Path:
        """Run folders, one a run."""
        return self.project / "runs"

    @property
    def reports(self) -> Path:
        """Generated pages, one folder a run."""
        return self.project / "reports"

    def models(self) -> dict[str, Path]:
        """Model name -> its folder."""
        return self._named("models", "*/model.yaml", lambda path: (path.parent.name, path.parent))

    def devices(self) -> dict[str, Path]:
        """Device name -> its file; with the lab's devices while it is up."""
        return self._named(
            "devices", "*.yaml", lambda path: (path.stem, path), cache_root() / "lab"
        )

    def scenarios(self) -> tuple[Path, ...]:
        """The project's own scenario files."""
        return tuple(sorted((self.project / "scenarios").glob("*.yaml")))

    def _named(
        self, folder: str, pattern: str, name: Callable[[Path], tuple[str, Path]], *more: Path
    ) -> dict[str, Path]:
        roots = dict.fromkeys((builtin(), *more, self.project))
        return dict(name(path) for root in roots for path in sorted((root / folder).glob(pattern)))


def _asked(option: str) -> Path | None:
    """The folder of `--project` or `BENCH_PROJECT`; raises UsageError if it does not exist."""
    named, source = option, "--project "
    if not option:
        named, source = os.environ.get("BENCH_PROJECT", ""), "BENCH_PROJECT="
    if not named:
        return None
    path = Path(named).expanduser().resolve()
    if not path.is_dir():
        raise UsageError(f"{source}{named}: no such folder", "Name an existing project folder.")
    return path

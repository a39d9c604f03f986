"""Where things are: the user's project first, then what ships with bench."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from .errors import UsageError

PACKAGE = Path(__file__).resolve().parent
#: makes a folder a project, wherever it lies; `bench init` writes it
MARK = "bench.toml"


def builtin() -> Path:
    """The folder with our own models, devices, scenarios and dockerfiles: checkout or wheel."""
    shipped = PACKAGE / "data"
    return shipped if shipped.is_dir() else PACKAGE.parent


def cache_root() -> Path:
    """`$BENCH_CACHE`, or `~/.cache/bench`."""
    return Path(os.environ.get("BENCH_CACHE") or Path.home() / ".cache" / "bench")


@dataclass(frozen=True)
class Workspace:
    """A project's folder; what ships with bench is looked up beside it."""

    project: Path

    @classmethod
    def of_scenario(cls, scenario: Path) -> Workspace:
        """The project that a scenario belongs to: the marked folder above it, else its own folder.

        A scenario in a folder called `scenarios` belongs to the folder around that.
        """
        folder = scenario.resolve().parent
        own = folder.parent if folder.name == "scenarios" else folder
        return _asked_for() or _marked(folder) or cls(own)

    @classmethod
    def here(cls) -> Workspace:
        """The project of a command without a scenario: the marked folder at or above, else cwd."""
        return _asked_for() or _marked(Path.cwd()) or cls(Path.cwd())

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
        """Device name -> its file; those of the lab as long as it is up."""
        return self._named(
            "devices", "*.yaml", lambda path: (path.stem, path), cache_root() / "lab"
        )

    def _named(self, folder: str, pattern: str, name: object, *more: Path) -> dict[str, Path]:
        assert callable(name)
        roots = dict.fromkeys((builtin(), *more, self.project))
        return dict(name(path) for root in roots for path in sorted((root / folder).glob(pattern)))


def _asked_for() -> Workspace | None:
    named = os.environ.get("BENCH_PROJECT")
    if not named:
        return None
    folder = Path(named).expanduser().resolve()
    if not folder.is_dir():
        raise UsageError(f"BENCH_PROJECT={named}: no such folder", "Name a project's folder.")
    return Workspace(folder)


def _marked(start: Path) -> Workspace | None:
    start = start.resolve()
    marked = (folder for folder in (start, *start.parents) if (folder / MARK).is_file())
    return next((Workspace(folder) for folder in marked), None)

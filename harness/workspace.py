"""Where things are: the user's project first, then what ships with bench."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
FOLDERS = ("models", "devices", "scenarios", "dockerfiles")


def builtin() -> Path:
    """The folder with our own models, devices, scenarios and dockerfiles: checkout or wheel."""
    shipped = PACKAGE / "data"
    return shipped if shipped.is_dir() else PACKAGE.parent


def cache_root() -> Path:
    """`$BENCH_CACHE`, or `~/.cache/bench`."""
    return Path(os.environ.get("BENCH_CACHE") or Path.home() / ".cache" / "bench")


@dataclass(frozen=True)
class Workspace:
    """A project folder; `find` also looks into what ships with bench."""

    project: Path

    @classmethod
    def around(cls, path: Path) -> Workspace:
        """The nearest folder at or above `path` with models/, devices/ or scenarios/; else cwd."""
        start = path.resolve()
        for folder in (start, *start.parents):
            if folder.is_dir() and any((folder / name).is_dir() for name in FOLDERS[:3]):
                return cls(folder)
        return cls(Path.cwd())

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

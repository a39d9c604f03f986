"""A host with something to lose: a private file, a start-up file, and folders of bench beside them.

Each test asserts what did not happen there, and that the message is one clear line.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.errors import BenchError

SECRET = "PRIVATE KEY that nobody may have"
STARTUP = "# what a login shell runs\n"


@dataclass(frozen=True)
class Host:
    """`home` is the user's; bench works in `cache` and `run`."""

    home: Path
    cache: Path
    run: Path

    @property
    def private(self) -> Path:
        return self.home / "keys" / "id_rsa"

    @property
    def startup(self) -> Path:
        return self.home / ".profile"

    def check(self) -> None:
        """Nothing of the user's was written, and nothing of it came into bench's folders."""
        assert self.private.read_text() == SECRET
        assert self.startup.read_text() == STARTUP
        assert sorted(path.name for path in self.home.rglob("*")) == [".profile", "id_rsa", "keys"]
        for path in (*self.cache.rglob("*"), *self.run.rglob("*")):
            mode = path.lstat().st_mode
            assert stat.S_ISREG(mode) or stat.S_ISDIR(mode), f"{path} came back as it is"
            assert not mode & 0o7022, f"{path} has mode {mode:o}"
            if stat.S_ISREG(mode):
                assert SECRET.encode() not in path.read_bytes(), f"{path} has the private file"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    made = Host(tmp_path / "home", tmp_path / "cache", tmp_path / "run")
    for folder in (made.private.parent, made.cache, made.run):
        folder.mkdir(parents=True)
    made.private.write_text(SECRET)
    made.startup.write_text(STARTUP)
    monkeypatch.setenv("BENCH_CACHE", str(made.cache))
    yield made
    made.check()


def one_line(error: BenchError) -> str:
    """The message, which is a line that a terminal shows as it is."""
    assert error.message
    assert error.message.isprintable()
    assert len(error.message) < 400
    return error.message

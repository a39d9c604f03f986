"""Copies of ssh configs, which `ssh -G` reads in the place of the files themselves.

So ssh reads exactly the lines that were looked at here: no other file, and from a config that a
device's file names no `Match exec`, which runs a program while the config is read.
"""

from __future__ import annotations

import errno
import glob
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ..errors import UsageError
from . import local_networks, small_files

#: `keyword value`, `keyword=value`, `"keyword" value`
_LINE = re.compile(r"\s*\"?([A-Za-z0-9]+)\"?(?:\s*=\s*|\s+|$)(.*)", re.ASCII)
_CRITERION = re.compile(r"\s*(?:=\s*)?(?:\"([^\"]*)\"|([^\s\"=]+))", re.ASCII)
_ARGUMENT = re.compile(r"\s*(?:\"([^\"]*)\"|'([^']*)'|(\S+))", re.ASCII)
#: criteria without an argument
_ALONE: Final = ("all", "canonical", "final")
#: a block that a program would decide about sets this variable, which then is in ssh's answer
_MARK: Final = "BENCH_MATCH_EXEC_"

#: maximum size of a config; real ones have a few KB
MOST_BYTES: Final = 256 << 10
LONGEST_LINE: Final = 4096

Place = tuple[Path, int]
#: (`localnetwork`, `10.0.0.0/8`); the argument is empty for `all`, `canonical`, `final`
Criterion = tuple[str, str]


class Copies:
    """`trusted` are the user's own files: their `Match exec` stays, as ssh has it."""

    def __init__(self, name: str, folder: Path, *, trusted: bool) -> None:
        self._name, self._folder, self._trusted = name, folder, trusted
        self._copies: dict[Path, Path] = {}
        self._origins: dict[str, list[Place]] = {}
        self._execs: list[Place] = []
        self._addresses = local_networks.addresses()

    def of(self, files: list[tuple[Path, Path]], last: str) -> Path:
        """One config: the files, each with the folder of its relative Includes, then `last`."""
        main = self._folder / "config"
        lines = [f'Include "{self.add(path, base)}"' for path, base in files]
        main.write_text("\n".join([*lines, last, ""]))
        return main

    def add(self, path: Path, base: Path) -> Path:
        """Raises OSError, and UsageError for a line that ssh must not or cannot be given."""
        if path in self._copies:
            return self._copies[path]
        copy = self._copies[path] = self._folder / str(len(self._copies))
        origins = self._origins[copy.name] = []
        made: list[str] = []
        for number, text in enumerate(read_lines(path), 1):
            for line in self._line(text, (path, number), base):
                made.append(line)
                origins.append((path, number))
        copy.write_text("\n".join([*made, ""]), "utf-8", "surrogateescape")
        return copy

    def check(self, sent: list[str]) -> None:
        """`sent` is ssh's SendEnv. Raises UsageError when a program had to decide on a block."""
        for number, (path, line) in enumerate(self._execs):
            if f"{_MARK}{number}" in sent:
                raise self._mistake(
                    (path, line),
                    "`Match exec` would run a program when the config is read",
                    "Move the host to a config without `Match exec`.",
                )

    def explained(self, said: str) -> str:
        """ssh's error text, with the files and lines that were copied."""
        what: list[str] = []
        for line in said.splitlines():
            found = re.match(rf"{re.escape(str(self._folder))}/(\d+):? line (\d+): (.*)", line)
            if found:
                path, number = self._origins[found[1]][int(found[2]) - 1]
                return f"{path}:{number}: {'; '.join([found[3], *what])}"
            if "terminating" not in line and line.strip():
                what.append(line.strip())
        return what[0] if what else "no message from ssh"

    def _line(self, text: str, place: Place, base: Path) -> list[str]:
        keyword, rest = split_line(text)
        if keyword == "":
            return [""]
        if keyword == "include":
            return [self._include(rest, place, base)]
        if keyword == "match":
            return self._match(rest, place)
        if keyword is None:
            raise self._mistake(place, "invalid line")
        return [f"{keyword} {rest}"]

    def _include(self, rest: str, place: Place, base: Path) -> str:
        found: list[str] = []
        for pattern in arguments(rest):
            if "%" in pattern or "$" in pattern:
                raise self._mistake(
                    place, f"bench does not support the Include pattern '{pattern}'"
                )
            wanted = base / home(pattern)
            self._check_below(wanted, place)
            paths = sorted(glob.glob(str(wanted)))  # noqa: PTH207  no hidden files
            for path in paths:
                self._check_below(Path(path).resolve(), place)
            try:
                found += [f'"{self.add(Path(p), base)}"' for p in paths if Path(p).is_file()]
            except OSError as error:
                raise self._mistake(place, f"{error.filename}: {error.strerror}") from error
        return " ".join(["Include", *found]) if found else ""

    def _check_below(self, path: Path, place: Place) -> None:
        """Raises UsageError if a project's config would read files outside of the project."""
        folder = place[0].parent.absolute()
        inside = any(path.is_relative_to(own) for own in (folder, folder.resolve()))
        if not self._trusted and (".." in path.parts or not inside):
            raise self._mistake(
                place,
                "a config that a device file names includes a file outside of its folder",
                f"Move the included file below {folder}, or the host into ~/.ssh/config.",
            )

    def _match(self, rest: str, place: Place) -> list[str]:
        """The same criteria in one way of quoting, so that ssh sees those that are seen here."""
        wanted = list(criteria(rest))
        networks = any(kind.lstrip("!") == "localnetwork" for kind, _ in wanted)
        if self._trusted and not networks:
            return [f"Match {rest}"]
        kept: list[str] = []
        programs = 0
        for kind, argument in wanted:
            if not re.fullmatch(r"!?[a-z0-9-]+", kind) or "\\" in argument:
                raise self._mistake(place, f"bench does not support `Match {rest}`")
            if kind.lstrip("!") == "exec" and not self._trusted:
                programs += 1
            elif kind.lstrip("!") == "localnetwork":
                kept.append(self._network(kind, argument, place))
            else:
                kept.append(f'{kind} "{argument}"' if argument else kind)
        if not programs:
            return [" ".join(["Match", *kept])]
        self._execs.append(place)
        mark = f"SendEnv {_MARK}{len(self._execs) - 1}"
        return [" ".join(["Match", *(kept or ["all"])]), mark]

    def _network(self, kind: str, networks: str, place: Place) -> str:
        """Decided here: OpenSSH only knows `localnetwork` since 9.4."""
        own = self._addresses
        if own is None:
            return f'{kind} "{networks}"'
        try:
            holds = local_networks.is_in(networks, own)
        except ValueError as error:
            raise self._mistake(place, f"Match localnetwork: {error}") from error
        return 'host "*"' if holds != kind.startswith("!") else '!host "*"'

    def _mistake(self, place: Place, what: str, hint: str = "") -> UsageError:
        return UsageError(f"{self._name}: {place[0]}:{place[1]}: {what}", hint)


def read_lines(path: Path) -> list[str]:
    """The lines of a config. Raises OSError, also for implausibly long files and lines."""
    lines = small_files.read(path, MOST_BYTES).decode("utf-8", "surrogateescape").split("\n")
    if any(len(line) > LONGEST_LINE for line in lines):
        raise OSError(errno.EINVAL, f"a line of more than {LONGEST_LINE:,} characters", str(path))
    return lines


def split_line(text: str) -> tuple[str | None, str]:
    """Keyword in lower case and the rest; "" for an empty line or comment, None for neither."""
    text = text.strip()
    if not text or text.startswith("#"):
        return "", ""
    found = _LINE.fullmatch(text)
    return (found[1].lower(), found[2]) if found else (None, text)


def criteria(rest: str) -> Iterator[Criterion]:
    """What a Match line wants; a kind is in lower case and may begin with `!`."""
    words = (found[1] if found[1] is not None else found[2] for found in _CRITERION.finditer(rest))
    for kind in words:
        if kind.startswith("#"):
            return
        alone = kind.lower().lstrip("!") in _ALONE
        yield kind.lower(), "" if alone else next(words, "")


def arguments(rest: str) -> Iterator[str]:
    """The words of a line, up to a comment."""
    for found in _ARGUMENT.finditer(rest):
        if (found[3] or "").startswith("#"):
            return
        yield next(part for part in found.groups() if part is not None)


def home(text: str) -> Path:
    """`~` and `~user` as they are meant; unchanged for a user that is not there."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)

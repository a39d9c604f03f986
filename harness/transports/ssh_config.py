"""The user's ssh config as OpenSSH itself reads it: `ssh -G`, and paramiko where there is no ssh.

A config that a device's file names may come with a foreign project, so one with `Match exec`,
which runs a program to be read at all, is refused there.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ..errors import UsageError

DEFAULT: Final = Path("~/.ssh/config")
DEADLINE_S: Final = 10.0
#: OpenSSH follows no more levels of Include
DEEPEST: Final = 16
#: `Match` criteria that paramiko reads as OpenSSH does
PARAMIKO_KNOWS: Final = ("all", "host", "originalhost", "user", "localuser")

Options = dict[str, list[str]]


def lookup(name: str, host: str, config: str, user: str = "", port: int | None = None) -> Options:
    """Keyword in lower case -> its values for `host`; `config` is a path, or empty for the user's.

    Raises UsageError that names the file for one that cannot be read, or must not be.
    """
    path = Path(config or DEFAULT).expanduser()
    if config and not path.exists():
        raise UsageError(f"{name}: {path}: no such ssh config", "Correct `config=` in the address.")
    ssh = shutil.which("ssh")
    if config or ssh is None:
        _check_lines(name, path, has_ssh=ssh is not None)
    return _ask_ssh(ssh, name, host, config, user, port) if ssh else _ask_paramiko(name, host, path)


def _ask_ssh(ssh: str, name: str, host: str, config: str, user: str, port: int | None) -> Options:
    argv = [ssh, "-G"]
    argv += ["-F", str(Path(config).expanduser())] if config else []
    argv += ["-l", user] if user else []
    argv += ["-p", str(port)] if port else []
    try:
        done = subprocess.run(
            [*argv, "--", host],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=DEADLINE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"{name}: ssh cannot read its config: {error}") from None
    text, said = (out.decode("utf-8", "backslashreplace") for out in (done.stdout, done.stderr))
    if done.returncode:
        last = [line for line in said.splitlines() if line.strip()][:1] or ["it says nothing"]
        raise UsageError(
            f"{name}: ssh cannot read its config: {last[0]}",
            f"Correct it until `ssh -G {host}` works.",
        )
    found: Options = {}
    for line in text.splitlines():
        keyword, _, value = line.partition(" ")
        found.setdefault(keyword.lower(), []).append(value)
    return found


def _ask_paramiko(name: str, host: str, path: Path) -> Options:
    import paramiko

    try:
        config = paramiko.SSHConfig()
        if path.is_file():
            config = paramiko.SSHConfig.from_text(path.read_text("utf-8", "backslashreplace"))
        found = config.lookup(host)
    except Exception as error:  # paramiko raises plain Exception, and ValueError by shlex
        raise UsageError(
            f"{name}: {path}: {error}", "Install openssh-client, or correct it."
        ) from None
    return {key: value if isinstance(value, list) else [value] for key, value in found.items()}


def _check_lines(name: str, path: Path, *, has_ssh: bool) -> None:
    """Raises UsageError for lines that must not be followed, or that paramiko cannot follow."""
    for file, number, keyword, rest in _lines(path):
        where = f"{name}: {file}:{number}"
        if keyword == "match" and re.search(r"\bexec\b", rest, re.I):
            raise UsageError(
                f"{where}: `Match exec` runs a program while the config is read",
                "Move the host into a config without it.",
            )
        if has_ssh:
            continue
        criteria = re.findall(r"!?([A-Za-z]+)(?=[ =]|$)", rest)[:1] if keyword == "match" else []
        if keyword == "include" or any(one.lower() not in PARAMIKO_KNOWS for one in criteria):
            shown = f"{keyword.capitalize()} {rest}"
            raise UsageError(
                f"{where}: `{shown}` can only be followed by OpenSSH", "Install openssh-client."
            )


def _lines(path: Path, depth: int = 0) -> Iterator[tuple[Path, int, str, str]]:
    """File, line, keyword in lower case and the rest, of a config and of what it includes."""
    try:
        text = path.read_text("utf-8", "backslashreplace")
    except OSError:
        return
    for number, line in enumerate(text.splitlines(), 1):
        keyword, rest = _split(line)
        if not keyword:
            continue
        yield path, number, keyword, rest
        if keyword == "include" and depth < DEEPEST:
            for word in rest.split():
                for found in _included(word.strip('"')):
                    yield from _lines(found, depth + 1)


def _split(line: str) -> tuple[str, str]:
    match = re.match(r"\s*([A-Za-z]+)\s*[=\s]\s*(.*?)\s*$", line)
    return (match[1].lower(), match[2]) if match else ("", "")


def _included(pattern: str) -> list[Path]:
    """Files of an Include; relative ones are below ~/.ssh, as in OpenSSH."""
    path = DEFAULT.expanduser().parent / Path(pattern).expanduser()
    try:
        return sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
    except (ValueError, NotImplementedError, OSError):
        return []

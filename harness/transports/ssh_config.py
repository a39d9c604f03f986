"""The user's ssh config as OpenSSH itself reads it: `ssh -G`, and paramiko where there is no ssh.

A config that a device file names may be part of an untrusted project: reading it runs nothing, and
its ProxyCommand is not run either. Whatever is in ~/.ssh is the user's own, and is followed as ssh
follows it, `Match exec` included.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from ..errors import StepFailed, UsageError
from .ssh_config_copies import Copies, criteria, home, read_lines, split_line

#: the user's own and this machine's, each with the folder of its relative Includes
OWN: Final = "~/.ssh/config"
SYSTEM: Final = Path("/etc/ssh/ssh_config")
#: address options that mean: no config at all
NONE: Final = ("none", "/dev/null")
DEADLINE_S: Final = 10.0
#: `Match` criteria that paramiko reads as OpenSSH does
PARAMIKO_KNOWS: Final = ("all", "host", "originalhost", "user", "localuser")

Options = dict[str, list[str]]


def lookup(name: str, host: str, config: str, user: str = "", port: int | None = None) -> Options:
    """Keyword in lower case -> its values for `host`; `config` is a path, or empty for the user's.

    Raises UsageError that names the file for one that cannot be read, or must not be.
    """
    ssh = shutil.which("ssh")
    if ssh is None:
        return _ask_paramiko(name, host, config)
    with tempfile.TemporaryDirectory(prefix="bench-ssh-") as folder:
        copies = Copies(name, Path(folder), trusted=is_own(config))
        try:
            main = copies.of(_files(config), _defaults())
        except OSError as error:
            raise _unreadable(name, error) from error
        argv = [ssh, "-T", "-G", "-F", str(main)]
        argv += ["-l", user] if user else []
        argv += ["-p", str(port)] if port else []
        found = _ask_ssh(name, [*argv, "--", host], copies)
        copies.check(found.get("sendenv", []))
    return found


def is_own(config: str) -> bool:
    """Whether only the user can have written it; "" is what ssh reads without `config=`."""
    folder = home(OWN).parent
    return not config or home(config).resolve().is_relative_to(folder.resolve())


def _files(config: str) -> list[tuple[Path, Path]]:
    if config:
        return [] if config in NONE else [(home(config), home(OWN).parent)]
    files = [(home(OWN), home(OWN).parent), (SYSTEM, SYSTEM.parent)]
    return [(path, base) for path, base in files if path.is_file()]


def _defaults() -> str:
    """ssh takes the home of the password database for its own defaults, not $HOME."""
    folder = home(OWN).parent
    return f'UserKnownHostsFile "{folder}/known_hosts" "{folder}/known_hosts2"'


def _ask_ssh(name: str, argv: list[str], copies: Copies) -> Options:
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=DEADLINE_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        what = f"{name}: `ssh -G {argv[-1]}` did not finish within {DEADLINE_S:g} s"
        raise StepFailed(what, "Find the entry in your ssh config that waits.") from error
    text, said = (out.decode("utf-8", "surrogateescape") for out in (done.stdout, done.stderr))
    if done.returncode:
        raise UsageError(
            f"{name}: {copies.explained(said)}",
            "Correct the config, or name another one in the address with ?config=FILE.",
        )
    found: Options = {}
    for line in text.splitlines():
        keyword, _, value = line.partition(" ")
        found.setdefault(keyword.lower(), []).append(value)
    return found


def _ask_paramiko(name: str, host: str, config: str) -> Options:
    import paramiko

    path = home(config or OWN)
    if config in NONE or not (config or path.is_file()):
        return {}
    try:
        lines = read_lines(path)
    except OSError as error:
        raise _unreadable(name, error) from error
    foreign = not is_own(config)
    for number, line in enumerate(lines, 1):
        _check_line(f"{name}: {path}:{number}", line, foreign=foreign)
    try:
        found = paramiko.SSHConfig.from_text("\n".join(lines)).lookup(host)
    except Exception as error:  # it raises plain Exception, and ValueError by shlex
        raise UsageError(
            f"{name}: {path}: {error}", "Install openssh-client, or correct the config."
        ) from error
    return {key: value if isinstance(value, list) else [value] for key, value in found.items()}


def _check_line(where: str, line: str, *, foreign: bool) -> None:
    """Raises UsageError for what paramiko does not follow, or must not."""
    keyword, rest = split_line(line)
    kinds = [kind.lstrip("!") for kind, _ in criteria(rest)] if keyword == "match" else []
    if "exec" in kinds and foreign:
        raise UsageError(
            f"{where}: `Match exec` would run a program when the config is read",
            "Move the host to a config without `Match exec`.",
        )
    if keyword == "include" or any(kind not in PARAMIKO_KNOWS for kind in kinds):
        shown = f"{(keyword or '').capitalize()} {rest}"
        raise UsageError(f"{where}: `{shown}` requires OpenSSH", "Install openssh-client.")


def _unreadable(name: str, error: OSError) -> UsageError:
    what = f"{name}: {error.filename}: cannot read the ssh config: {error.strerror}"
    return UsageError(what, "Correct `config=` in the address.")

"""`%h`, `${HOME}` and `~` in values of an ssh config, where `ssh -G` leaves them as they are."""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import socket
from collections.abc import Mapping
from pathlib import Path

from .ssh_config_copies import home

_TOKEN = re.compile(r"%(.?)", re.DOTALL)
_VARIABLE = re.compile(r"\$\{([^}]*)\}")


def tokens(given: str, host: str, port: int, user: str, jump: str, alias: str) -> dict[str, str]:
    """Token -> value; `given` is the host as the address has it, before HostName."""
    here = socket.gethostname()
    whole = hashlib.sha1(f"{here}{host}{port}{user}{jump}".encode()).hexdigest()
    try:
        me = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        me = str(os.getuid())
    return {
        **{"%": "%", "C": whole, "d": str(home("~")), "h": host, "i": str(os.getuid())},
        **{"j": jump, "k": alias or given, "L": here.partition(".")[0], "l": here},
        **{"n": given, "p": str(port), "r": user, "u": me},
    }


def expanded(text: str, values: Mapping[str, str]) -> str:
    """Raises ValueError for an unknown token."""

    def value(found: re.Match[str]) -> str:
        if found[1] not in values:
            raise ValueError(f"unknown ssh token '%{found[1]}' in '{text}'")
        return values[found[1]]

    return _TOKEN.sub(value, text)


def path(text: str, values: Mapping[str, str]) -> str:
    """A file's name with its variables, tokens and `~`. Raises ValueError."""

    def value(found: re.Match[str]) -> str:
        if found[1] not in os.environ:
            raise ValueError(f"environment variable {found[1]}, used in '{text}', is not set")
        return os.environ[found[1]]

    return str(home(expanded(_VARIABLE.sub(value, text), values)))


def paths(text: str) -> tuple[Path, ...]:
    """Files that `ssh -G` prints on one line, without quotes: a name may have blanks itself."""
    found: list[Path] = []
    for part in re.split(r" +(?=[/~])", text.strip()):
        whole = home(part)
        there = os.path.exists(whole)  # noqa: PTH110  # pathlib raises for a path that is too long
        found += [whole] if there else [home(word) for word in part.split()]
    return tuple(path for path in found if str(path) != "none")

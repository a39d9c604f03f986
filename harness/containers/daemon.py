"""Which Docker daemon the docker command uses here, and whether it answers. Needs no package."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..serial import Malformed, parse

DEFAULT: Final = "unix:///var/run/docker.sock"
NOBODY: Final = "no daemon running: sudo systemctl start docker, or sudo apt-get install docker.io"
NOT_ALLOWED: Final = (
    "no permission for its socket: sudo usermod -aG docker $USER, then log in again"
)


@dataclass(frozen=True)
class Endpoint:
    """A daemon's address; no host for a context that is broken.

    `named`: what names it, as `DOCKER_HOST` or `the context 'alt'`; `undo`: how to use another one.
    Both are empty for the default socket. `tls`: a folder with the context's certificates.
    """

    host: str
    named: str = ""
    undo: str = ""
    tls: Path | None = None

    @property
    def socket(self) -> Path | None:
        """Of a daemon that listens on this machine's file system."""
        kind, _, path = self.host.partition("://")
        return Path(path) if kind == "unix" else None


def endpoint(env: Mapping[str, str] = os.environ) -> Endpoint:
    """As `docker` finds it: DOCKER_HOST, DOCKER_CONTEXT, its config, the default socket."""
    if host := env.get("DOCKER_HOST"):
        return Endpoint(host, "DOCKER_HOST", "unset DOCKER_HOST")
    folder = Path(env.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker"))  # noqa: PTH111
    if name := env.get("DOCKER_CONTEXT"):
        return _of_context(folder / "contexts", name, "unset DOCKER_CONTEXT")
    current = _read(folder / "config.json").get("currentContext") or "default"
    return _of_context(folder / "contexts", str(current), "docker context use default")


def _of_context(folder: Path, name: str, undo: str) -> Endpoint:
    """The file of a context is named by the hash of its name; `default` has none."""
    if name == "default":
        return Endpoint(DEFAULT)
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()
    found = _read(folder / "meta" / digest / "meta.json").get("Endpoints")
    docker = found.get("docker") if isinstance(found, dict) else None
    host = docker.get("Host") if isinstance(docker, dict) else None
    tls = folder / "tls" / digest / "docker"
    return Endpoint(
        host if isinstance(host, str) else "",
        f"the context '{name}'",
        undo,
        tls if tls.is_dir() else None,
    )


def unreachable(env: Mapping[str, str] = os.environ) -> str | None:
    """Why not, and what to do about it; None also for one that can only be asked by the network."""
    found = endpoint(env)
    if not found.host:
        return f"{found.named} is unreadable: {found.undo}"
    if found.host.startswith("ssh://"):
        return elsewhere(found)
    if found.socket is None:
        return None
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(found.socket))
        except PermissionError:
            return _of(found, "no permission for") if found.named else NOT_ALLOWED
        except OSError:
            return _of(found, "no daemon running at") if found.named else NOBODY
    return None


def elsewhere(found: Endpoint, folder: Path | None = None) -> str:
    """The reason against a daemon that cannot mount this machine's folders."""
    what = str(folder) if folder else "this machine's folders"
    whose = f"of {found.named} " if found.named else ""
    undo = found.undo or "export DOCKER_HOST=unix://… of a local daemon"
    return f"the daemon {whose}({found.host}) cannot access {what}: {undo}"


def _of(found: Endpoint, what: str) -> str:
    return f"{what} {found.host} ({found.named}): start it as this user, or {found.undo}"


def _read(path: Path) -> dict[str, Any]:
    try:
        found = parse(path.read_bytes(), path.name)
    except (OSError, Malformed):
        return {}
    return found if isinstance(found, dict) else {}

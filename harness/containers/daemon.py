"""Which Docker daemon the docker command uses here, and whether it answers. Needs no package."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

DEFAULT: Final = "unix:///var/run/docker.sock"
NOBODY: Final = "no daemon answers: sudo systemctl start docker, or sudo apt-get install docker.io"
NOT_ALLOWED: Final = "no permission on its socket: sudo usermod -aG docker $USER, then log in again"


@dataclass(frozen=True)
class Endpoint:
    """A daemon's address, and the context that it is from; no host for a context that is broken."""

    host: str
    context: str = ""


def endpoint(env: Mapping[str, str] = os.environ) -> Endpoint:
    """As `docker` finds it: DOCKER_HOST, DOCKER_CONTEXT, its config, the default socket."""
    if host := env.get("DOCKER_HOST"):
        return Endpoint(host)
    folder = Path(env.get("DOCKER_CONFIG") or Path.home() / ".docker")
    config = _read(folder / "config.json")
    context = env.get("DOCKER_CONTEXT") or config.get("currentContext") or "default"
    if context == "default":
        return Endpoint(DEFAULT)
    name = hashlib.sha256(str(context).encode()).hexdigest()
    meta = _read(folder / "contexts" / "meta" / name / "meta.json")
    try:
        return Endpoint(str(meta["Endpoints"]["docker"]["Host"]), str(context))
    except (KeyError, TypeError):
        return Endpoint("", str(context))


def unreachable(env: Mapping[str, str] = os.environ) -> str | None:
    """Why not, and what to do about it; None also where DOCKER_HOST names another machine."""
    found = endpoint(env)
    kind, _, path = found.host.partition("://")
    if found.context and not found.host:
        return f"its context {found.context!r} cannot be read: docker context use default"
    if found.context and kind != "unix":
        return (
            f"its context {found.context!r} is a daemon on another machine, which does not have "
            "bench's folders: docker context use default"
        )
    if kind != "unix":
        return None
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except PermissionError:
            return NOT_ALLOWED
        except OSError:
            return NOBODY
    return None


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}

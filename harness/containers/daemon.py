"""Whether a Docker daemon answers on this machine. It asks the socket, and needs no package."""

from __future__ import annotations

import os
import socket
from typing import Final

DEFAULT: Final = "unix:///var/run/docker.sock"
NOBODY: Final = "no daemon answers: sudo systemctl start docker, or sudo apt-get install docker.io"
NOT_ALLOWED: Final = "no permission on its socket: sudo usermod -aG docker $USER, then log in again"


def unreachable() -> str | None:
    """Why not, and what to do about it; None also where the daemon is on another machine."""
    kind, _, path = (os.environ.get("DOCKER_HOST") or DEFAULT).partition("://")
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

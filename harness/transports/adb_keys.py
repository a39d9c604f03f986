"""The RSA key that identifies bench to phones: created once, readable only by its owner."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from adb_shell.auth.keygen import keygen
from adb_shell.auth.sign_cryptography import CryptographySigner

from ..errors import StepFailed
from ..workspace import cache_root

_lock = threading.Lock()


def signer() -> CryptographySigner:
    """The key at `$BENCH_CACHE/adb/adbkey`. Raises StepFailed when it cannot be made or read."""
    path = cache_root() / "adb" / "adbkey"
    try:
        with _lock:
            if not path.is_file():
                _make(path)
        path.chmod(0o600)
        return CryptographySigner(str(path))
    except (OSError, ValueError, TypeError) as error:  # TypeError: it has a passphrase
        raise StepFailed(
            f"the adb key {path}: {error}", f"Delete {path} to create a new key."
        ) from (error)


def _make(path: Path) -> None:
    """Under a temporary name first: a killed bench leaves no half key, two at once no mixed one."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_name(f".adbkey.{os.getpid()}")
    public = part.with_name(f"{part.name}.pub")
    part.touch(mode=0o600)
    keygen(str(part))
    public.replace(path.with_name("adbkey.pub"))
    part.replace(path)

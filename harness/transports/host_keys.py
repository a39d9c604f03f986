"""known_hosts as OpenSSH reads it: broken lines skipped, revoked keys refused, patterns matched."""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class HostKeys:
    """Key blobs that a host may show, and those that nobody may; each with its type."""

    accepted: tuple[tuple[str, bytes], ...]
    revoked: tuple[bytes, ...]


def host_keys(paths: Iterable[Path], host: str, port: int = 22) -> HostKeys:
    """What the files say of `host`; a file that is not there says nothing."""
    names = (host if port == 22 else f"[{host}]:{port}").lower()
    accepted: list[tuple[str, bytes]] = []
    revoked: list[bytes] = []
    for path in paths:
        try:
            lines = path.read_bytes().splitlines()
        except OSError:
            continue
        for line in lines:
            entry = _entry(line.decode("utf-8", "replace"))
            if entry is None or not _is_for(entry[1], names):
                continue
            marker, _, kind, blob = entry
            if marker == "@revoked":
                revoked.append(blob)
            elif not marker:
                accepted.append((kind, blob))
    return HostKeys(tuple(accepted), tuple(revoked))


def _entry(line: str) -> tuple[str, str, str, bytes] | None:
    """Marker, patterns, type and key of a line; None for one that has none, or is broken."""
    words = line.split()
    if not words or words[0].startswith("#"):
        return None
    marker = words.pop(0) if words[0].startswith("@") else ""
    if len(words) < 3:
        return None
    patterns, kind, text = words[:3]
    try:
        blob = base64.b64decode(text.encode("ascii", "strict"), validate=True)
    except (binascii.Error, ValueError):
        return None
    length = int.from_bytes(blob[:4], "big")
    return (marker, patterns, kind, blob) if blob[4 : 4 + length] == kind.encode() else None


def _is_for(patterns: str, name: str) -> bool:
    """Whether comma-separated patterns, or one hashed name, are this host; `!` takes one out."""
    if patterns.startswith("|1|"):
        return _hashed(patterns, name)
    found = False
    for pattern in patterns.lower().split(","):
        plain = pattern.removeprefix("!").replace("[", "[[]")
        if fnmatch.fnmatchcase(name, plain):
            if pattern.startswith("!"):
                return False
            found = True
    return found


def _hashed(pattern: str, name: str) -> bool:
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in pattern[3:].split("|"))
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(hmac.new(salt, name.encode(), hashlib.sha1).digest(), digest)

"""known_hosts as OpenSSH reads it: broken lines skipped, revoked keys refused, patterns matched."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from . import small_files

#: ssh-keygen would read any kind of file, and wait for a pipe
ANSWER_S: Final = 10.0

#: maximum length of a key in base64; RSA's of 16,384 bits have 3 KB
LONGEST_KEY: Final = 16 << 10

Verdict = Literal["known", "unknown", "changed", "revoked"]


@dataclass(frozen=True)
class HostKey:
    """One line that is for the host."""

    kind: str
    blob: bytes
    path: Path
    line: int


@dataclass(frozen=True)
class HostKeys:
    """What known_hosts files say of a host."""

    accepted: tuple[HostKey, ...] = ()
    revoked: tuple[HostKey, ...] = ()
    #: keys of the same host without the port; they only count when there are no others
    without_port: tuple[HostKey, ...] = ()
    #: whether a certificate authority may vouch for it, which paramiko cannot check
    has_authority: bool = False

    def verdict(self, kind: str, blob: bytes) -> Verdict:
        """What to make of the key that a server shows."""
        if any(key.blob == blob for key in self.revoked):
            return "revoked"
        if any(key.blob == blob for key in self.accepted or self.without_port):
            return "known"
        return "changed" if any(key.kind == kind for key in self.accepted) else "unknown"

    @property
    def kinds(self) -> tuple[str, ...]:
        """Types of keys that can be compared: a server should show one of them."""
        return tuple(dict.fromkeys(key.kind for key in self.accepted or self.without_port))


def host_keys(paths: Iterable[Path], host: str, port: int = 22) -> HostKeys:
    """What the files say of `host`; a file that is not there says nothing. Raises OSError."""
    lines = list(_lines(paths))
    if port == 22:
        return _named(lines, host.lower())
    found, plain = _named(lines, f"[{host}]:{port}".lower()), _named(lines, host.lower())
    if found.accepted:
        return found
    authority = found.has_authority or plain.has_authority
    return HostKeys((), found.revoked + plain.revoked, plain.accepted, authority)


def is_revoked(revocations: Path, kind: str, blob: bytes) -> bool:
    """Whether ssh's RevokedHostKeys has the key, or cannot be read, which counts as much."""
    with tempfile.NamedTemporaryFile("w", suffix=".pub") as file:
        file.write(f"{kind} {base64.b64encode(blob).decode()}\n")
        file.flush()
        asked = ["ssh-keygen", "-Q", "-f", str(revocations), file.name]
        try:
            done = subprocess.run(asked, capture_output=True, check=False, timeout=ANSWER_S)
        except (OSError, subprocess.TimeoutExpired):
            return True
    return done.returncode != 0


def _named(lines: list[tuple[str, str, HostKey]], name: str) -> HostKeys:
    accepted: list[HostKey] = []
    revoked: list[HostKey] = []
    has_authority = False
    for marker, patterns, key in lines:
        if not _is_for(patterns, name):
            continue
        if marker == "@revoked":
            revoked.append(key)
        elif marker == "@cert-authority":
            has_authority = True
        elif not marker:
            accepted.append(key)
    return HostKeys(tuple(accepted), tuple(revoked), (), has_authority)


def _lines(paths: Iterable[Path]) -> Iterator[tuple[str, str, HostKey]]:
    """Marker, patterns and key of every line that is whole."""
    for path in paths:
        try:
            content = small_files.read(path)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            continue
        for number, line in enumerate(content.splitlines(), 1):
            words = line.split()
            if not words or words[0].startswith(b"#"):
                continue
            marker = words.pop(0).decode("ascii", "replace") if words[0][:1] == b"@" else ""
            key = _key(words[1:3], path, number)
            if key is not None:
                yield marker, words[0].decode("utf-8", "replace"), key


def _key(words: list[bytes], path: Path, line: int) -> HostKey | None:
    """None for what is no type with a key of that type."""
    if len(words) < 2 or len(words[1]) > LONGEST_KEY:
        return None
    try:
        blob = base64.b64decode(words[1], validate=True)
    except (binascii.Error, ValueError):
        return None
    fields = list(_fields(blob))
    if len(fields) < 2 or sum(len(field) + 4 for field in fields) != len(blob):
        return None
    return (
        HostKey(words[0].decode("ascii", "replace"), blob, path, line)
        if fields[0] == words[0]
        else None
    )


def _fields(blob: bytes) -> Iterator[bytes]:
    """The parts of a public key: each has its length before it."""
    at = 4
    while at <= len(blob):
        end = at + int.from_bytes(blob[at - 4 : at], "big")
        if end > len(blob):
            return
        yield blob[at:end]
        at = end + 4


def _is_for(patterns: str, name: str) -> bool:
    """Whether comma-separated patterns, or one hashed name, are this host; `!` takes one out."""
    if patterns.startswith("|"):
        return _hashed(patterns, name)
    found = False
    for pattern in patterns.lower().split(","):
        if matches(name, pattern.removeprefix("!")):
            if pattern.startswith("!"):
                return False
            found = True
    return found


def matches(name: str, pattern: str) -> bool:
    """As OpenSSH's match_pattern: `*` is any text, `?` a letter. Uses linear memory, and no
    regular expression per pattern."""
    at = begin = 0
    star: int | None = None
    while at < len(name):
        if begin < len(pattern) and pattern[begin] == "*":
            star, resume = begin, at
            begin += 1
        elif begin < len(pattern) and pattern[begin] in ("?", name[at]):
            begin, at = begin + 1, at + 1
        elif star is not None:
            resume += 1
            begin, at = star + 1, resume
        else:
            return False
    return not pattern[begin:].strip("*")


def _hashed(pattern: str, name: str) -> bool:
    """`|1|salt|digest`."""
    try:
        _, version, *parts = pattern.split("|")
        salt, digest = (base64.b64decode(part, validate=True) for part in parts)
    except (binascii.Error, ValueError):
        return False
    made = hmac.new(salt, name.encode(), hashlib.sha1).digest()
    return version == "1" and hmac.compare_digest(made, digest)

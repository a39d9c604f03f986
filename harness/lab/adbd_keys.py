"""How a phone checks who connects: Android's format of RSA keys, and a signature of 20 bytes."""

from __future__ import annotations

import base64
import binascii
import struct
from dataclasses import dataclass

_WORDS = 64
_FORMAT = struct.Struct(f"<II{_WORDS * 4}s{_WORDS * 4}sI")
#: PKCS #1 v1.5: what SHA-1 puts before the 20 bytes (RFC 8017, 9.2)
_SHA1 = bytes.fromhex("3021300906052b0e03021a05000414")


@dataclass(frozen=True)
class PublicKey:
    """RSA, 2048 bits."""

    modulus: int
    exponent: int

    def signed(self, token: bytes, signature: bytes) -> bool:
        """Whether this key's owner signed the token (which stands for its own SHA-1)."""
        size = _WORDS * 4
        plain = pow(int.from_bytes(signature, "big"), self.exponent, self.modulus)
        padding = b"\xff" * (size - 3 - len(_SHA1) - len(token))
        return plain.to_bytes(size, "big") == b"\0\1" + padding + b"\0" + _SHA1 + token


def parse(line: bytes) -> PublicKey:
    """A line of `adb_keys`: base64 of the key, and a name. Raises ValueError."""
    words = line.strip(b"\0 \n").split()
    try:
        raw = base64.b64decode(words[0], validate=True)
        size, _, modulus, _, exponent = _FORMAT.unpack(raw)
    except (IndexError, binascii.Error, struct.error) as error:
        raise ValueError(f"not an adb key: {error}") from error
    if size != _WORDS:
        raise ValueError(f"not a 2048-bit key: {size} words")
    return PublicKey(int.from_bytes(modulus, "little"), exponent)

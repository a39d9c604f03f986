"""Messages of the ADB protocol over a cable, and the handshake that begins a connection."""

from __future__ import annotations

import socket
import struct
import threading
from dataclasses import dataclass

from adb_shell import constants
from adb_shell.auth.sign_cryptography import CryptographySigner

from ..errors import DeviceLost, StepFailed
from ..printable import one_line, printable
from .adb_keys import signer
from .adb_pipe import Pipe
from .adb_states import advice

#: since this version nobody looks at checksums any more
VERSION = 0x01000001
MAX_DATA = 1 << 20
#: no device has ever taken less in one message
SMALLEST = 1 << 12
#: real ones have a few hundred bytes
LONGEST_BANNER = 1 << 14
#: how long a device may take to answer while it is connected to, seconds
ANSWER_S = 10.0
#: how long somebody may take to accept our key on the screen, seconds
ACCEPT_S = 30.0
_HEAD = struct.Struct("<6I")

CNXN, AUTH, OPEN, OKAY, WRTE, CLSE = (
    int.from_bytes(name, "little")
    for name in (
        *(constants.CNXN, constants.AUTH, constants.OPEN),
        *(constants.OKAY, constants.WRTE, constants.CLSE),
    )
)


@dataclass(frozen=True)
class Greeting:
    """What a device says of itself."""

    #: `device`, or `recovery`, `sideload`, …
    state: str
    max_data: int
    features: frozenset[str]


class Messages:
    """Whole messages in both directions. Raises OSError when the connection is broken."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._writing = threading.Lock()
        #: until the device has said that it does not look at them
        self.checksums = True

    def write(self, command: int, first: int, second: int, data: bytes = b"") -> None:
        """From any thread."""
        check = sum(data) & 0xFFFFFFFF if self.checksums else 0
        head = _HEAD.pack(command, first, second, len(data), check, command ^ 0xFFFFFFFF)
        with self._writing:
            self._pipe.write(head, data)

    def read(self) -> tuple[int, int, int, bytes]:
        """Command, both arguments, data; from one thread."""
        head = self._pipe.read(_HEAD.size)
        command, first, second, size, _, check = _HEAD.unpack(head)
        if check != command ^ 0xFFFFFFFF or size > MAX_DATA:
            raise ConnectionError(f"invalid ADB message {head[:12]!r}")
        return command, first, second, self._pipe.read(size) if size else b""

    def close(self) -> None:
        self._pipe.close()


def shake_hands(name: str, messages: Messages) -> Greeting:
    """Connect and authorise. Raises DeviceLost, StepFailed when our key is not accepted."""
    banner = f"host::features=shell_v2,cmd;{socket.gethostname()}".encode() + b"\0"
    guard = threading.Timer(ANSWER_S, messages.close)
    guard.start()
    try:
        messages.write(CNXN, VERSION, MAX_DATA, banner)
        answer = messages.read()
        if answer[:2] == (AUTH, constants.AUTH_TOKEN):
            guard.cancel()
            answer = _authorise(name, messages, answer[3])
    except OSError as error:
        raise DeviceLost(
            f"{name}: no answer to the ADB handshake: {error}",
            "Check that the address is an ADB port.",
        ) from error
    finally:
        guard.cancel()
    command, version, max_data, data = answer
    if command != CNXN:
        raise StepFailed(
            f"{name}: unsupported ADB protocol",
            "For wireless debugging, run `adb pair` and use the address server:SERIAL.",
        )
    messages.checksums = version < VERSION
    banner = data[:LONGEST_BANNER]
    greeting = Greeting(_state(banner), min(max_data, MAX_DATA), _features(banner))
    if greeting.state != "device":
        raise StepFailed(f"{name}: device state is {greeting.state}", advice(greeting.state))
    if max_data < SMALLEST:
        raise StepFailed(
            f"{name}: accepts messages of {max_data:,} bytes, but ADB requires {SMALLEST:,}",
            "Check that this is an ADB port, and restart USB debugging on the device.",
        )
    return greeting


def _state(banner: bytes) -> str:
    return one_line(printable(banner.partition(b"::")[0].decode("ascii", "backslashreplace")))[:40]


def _features(banner: bytes) -> frozenset[str]:
    for part in banner.decode("utf-8", "replace").rstrip("\0").split(";"):
        _, found, names = part.rpartition("features=")
        if found:
            return frozenset(names.split(","))
    return frozenset()


def _authorise(name: str, messages: Messages, token: bytes) -> tuple[int, int, int, bytes]:
    """Sign; a device that does not know the key is sent it, and asks on its screen."""
    key = signer()
    guard = threading.Timer(ACCEPT_S, messages.close)
    guard.start()
    try:
        messages.write(AUTH, constants.AUTH_SIGNATURE, 0, _signed(name, key, token))
        answer = messages.read()
        if answer[0] == AUTH:
            messages.write(AUTH, constants.AUTH_RSAPUBLICKEY, 0, key.GetPublicKey() + b"\0")
            answer = messages.read()
    except OSError as error:
        raise _not_accepted(name) from error
    finally:
        guard.cancel()
    if answer[0] == AUTH:
        raise _not_accepted(name)
    return answer


def _signed(name: str, key: CryptographySigner, token: bytes) -> bytes:
    """Raises StepFailed unless the token has 20 bytes."""
    try:
        return bytes(key.Sign(token))
    except ValueError as error:
        raise StepFailed(
            f"{name}: cannot sign the device's token of {len(token):,} bytes, expected 20",
            "Check that this is an ADB port.",
        ) from error


def _not_accepted(name: str) -> StepFailed:
    return StepFailed(
        f"{name}: the phone did not accept bench's key within {ACCEPT_S:g} s",
        "Unlock the phone, confirm 'Allow USB debugging?' with 'Always allow', and try again.",
    )

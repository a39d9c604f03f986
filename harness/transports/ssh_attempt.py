"""One connection to an SSH server: agree on keys, check the host's, be let in."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import paramiko
from paramiko.agent import AgentKey

from ..errors import BenchError, StepFailed
from . import ssh_way, ssh_words
from .host_keys import HostKeys, host_keys, is_revoked
from .ssh_address import Address
from .ssh_keys import SIGN_S, Keys
from .ssh_limits import limit_packets

# what it has to say arrives as an error; without a handler it would go to the console, too
logging.getLogger("paramiko").addHandler(logging.NullHandler())

#: fast ones first
CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
#: still offered by paramiko, but no longer by OpenSSH's client
WEAK_DIGESTS = ("hmac-md5", "hmac-md5-96", "hmac-sha1-96")

Way = socket.socket | paramiko.Channel
P = ParamSpec("P")
Result = TypeVar("Result")


class CannotSign(Exception):
    """The agent has a key that it does not sign with; paramiko has ended the connection."""

    def __init__(self, blob: bytes, note: str) -> None:
        super().__init__(note)
        self.blob, self.note = blob, note


class Attempt:
    """One connection, from its first byte to the point where commands can be started."""

    transport: paramiko.Transport

    def __init__(self, where: str, address: Address, way: Way) -> None:
        self._where, self._address, self._way = where, address, way

    def start(self) -> None:
        """Agree on keys, and check the host's. Raises StepFailed, DeviceLost."""
        known = self._known()
        self.transport = self._call(paramiko.Transport, self._way)
        _prepare(self.transport, self._address, known)
        self._call(self.transport.start_client, None, self._address.patience_s or ssh_way.CONNECT_S)
        key = self._call(self.transport.get_remote_server_key)
        self._check_host(known, key.get_name(), key.asbytes())

    def authenticate(self, unable: dict[bytes, str]) -> None:
        """Raises StepFailed when nothing is accepted, CannotSign."""
        tried: list[str] = []
        with Keys(self._address, frozenset(unable)) as keys:
            if self._is_let_in(keys, tried):
                return
            notes = [*unable.values(), *keys.notes]
        if keys.locked and not tried:
            raise ssh_words.locked(self._where, keys.locked)
        if not self.transport.is_active():
            notes.append("the device closed the connection")
        raise ssh_words.refused(self._where, self._address, tried, notes)

    def close(self) -> None:
        """The connection, also one that never began."""
        if hasattr(self, "transport"):
            self.transport.close()
        self._way.close()

    def _call(self, function: Callable[P, Result], *args: P.args, **options: P.kwargs) -> Result:
        """Into paramiko: whatever it raises is about what the other side, or a file, said."""
        try:
            return function(*args, **options)
        except paramiko.AuthenticationException:
            raise
        except Exception as error:
            self._way.close()
            said = self._way.last_words if isinstance(self._way, ssh_way.Command) else ""
            raise ssh_words.translated(self._where, self._address, error, said) from error

    def _known(self) -> HostKeys:
        address = self._address
        name, port = address.host, address.port
        if address.host_key_alias:
            name, port = address.host_key_alias, 22
        try:
            return host_keys(address.known_hosts, name, port)
        except OSError as error:
            raise StepFailed(
                f"{self._where}: {error.filename}: {error.strerror}",
                "Make the known_hosts file readable.",
            ) from error

    def _check_host(self, known: HostKeys, kind: str, blob: bytes) -> None:
        """Raises StepFailed unless the key is one that known_hosts has."""
        shown = ssh_words.fingerprint(kind, blob)
        verdict, revoked = known.verdict(kind, blob), self._address.revoked
        if verdict == "revoked" or (revoked and is_revoked(revoked, kind, blob)):
            raise ssh_words.revoked_host(self._where, shown)
        if verdict == "changed":
            raise ssh_words.changed_host(self._where, self._address, known, shown)
        if verdict != "known":
            raise ssh_words.unknown_host(self._where, self._address, known, shown)

    def _is_let_in(self, keys: Keys, tried: list[str]) -> bool:
        """`tried` gets what was offered."""
        wanted = self._without_any()
        if "publickey" in wanted:
            for shown, key in keys.offers():
                left = self._offer(shown, key)
                if left == ():
                    return True
                tried.append(shown)
                if left is not None or not self.transport.is_active():
                    break
        password = self._address.password
        if wanted and password is not None and self.transport.is_active():
            tried.append("the password")
            return self._takes_password(password)
        return not wanted

    def _without_any(self) -> tuple[str, ...]:
        """What the server wants to see; empty when it lets anybody in."""
        try:
            return tuple(self._call(self.transport.auth_none, self._address.user))
        except paramiko.BadAuthenticationType as error:
            return tuple(error.allowed_types)
        except paramiko.AuthenticationException:
            return ("publickey", "password")  # it does not tell

    def _offer(self, shown: str, key: paramiko.PKey) -> tuple[str, ...] | None:
        """What the server wants on top of the key, () for nothing; None when it is refused."""
        failed: list[str] = []
        if isinstance(key, AgentKey):
            _watch(key, failed)
        try:
            return tuple(self._call(self.transport.auth_publickey, self._address.user, key))
        except (BenchError, paramiko.AuthenticationException) as error:
            if failed and isinstance(key, AgentKey):
                raise CannotSign(key.blob, f"{shown}: {failed[0]}") from error
            if isinstance(error, BenchError):
                raise
            return None

    def _takes_password(self, password: str) -> bool:
        try:
            return not self._call(self.transport.auth_password, self._address.user, password)
        except paramiko.AuthenticationException:
            return False


def _prepare(transport: paramiko.Transport, address: Address, known: HostKeys) -> None:
    """Limits, ciphers, and host key types in the order in which they can be checked."""
    limit_packets(transport)
    transport.banner_timeout = address.patience_s or ssh_way.CONNECT_S
    transport.auth_timeout = SIGN_S + 5
    security = transport.get_security_options()
    strong = [name for name in security.ciphers if "3des" not in name]
    security.ciphers = tuple(sorted(strong, key=lambda name: name not in CIPHERS))
    security.digests = tuple(name for name in security.digests if name not in WEAK_DIGESTS)
    security.key_types = tuple(
        sorted(security.key_types, key=lambda name: _kind(name) not in known.kinds)
    )


def _kind(algorithm: str) -> str:
    """The type of key that known_hosts has for a signature algorithm."""
    return "ssh-rsa" if algorithm.startswith("rsa-sha2-") else algorithm


def _watch(key: AgentKey, failed: list[str]) -> None:
    """Note what the agent says instead of a signature: paramiko tells it in its own thread."""
    sign = key.sign_ssh_data

    def watched(data: bytes, algorithm: str | None = None) -> bytes:
        try:
            return bytes(sign(data, algorithm))
        except Exception as error:
            failed.append(str(error) or type(error).__name__)
            raise

    key.sign_ssh_data = watched  # type: ignore[method-assign,assignment]

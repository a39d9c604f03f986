"""Log in to an SSH host: strict host keys, the agent, keys, a password, jump hosts."""

from __future__ import annotations

import base64
import hashlib
import logging
import socket
import struct
from pathlib import Path

import paramiko

from ..errors import BenchError, DeviceLost, StepFailed
from . import ssh_address
from .host_keys import host_keys
from .ssh_address import Address

# what it has to say arrives as an error; without a handler it would go to the console, too
logging.getLogger("paramiko").addHandler(logging.NullHandler())

#: what paramiko raises over a config, a key or an agent that it cannot take
UNEXPECTED = (
    *(paramiko.SSHException, OSError, EOFError, ValueError, TypeError, KeyError, IndexError),
    *(AttributeError, struct.error),
)
CONNECT_S = 15.0
KEEPALIVE_S = 10
#: fast ones first; all that paramiko knows stay possible
CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")


class _UnknownHost(Exception):
    def __init__(self, key: paramiko.PKey) -> None:
        super().__init__()
        self.key = key


class _Refuse(paramiko.MissingHostKeyPolicy):
    def missing_host_key(
        self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey
    ) -> None:
        raise _UnknownHost(key)


def _transport(sock: object, **options: object) -> paramiko.Transport:
    made = paramiko.Transport(sock, **options)  # type: ignore[arg-type]
    security = made.get_security_options()
    security.ciphers = tuple(sorted(security.ciphers, key=lambda name: name not in CIPHERS))
    return made


def login(name: str, address: Address) -> list[paramiko.SSHClient]:
    """Clients from the first jump host to the device itself; close the last one first.

    Raises StepFailed for keys and passwords that are not accepted, DeviceLost when it is away.
    """
    clients: list[paramiko.SSHClient] = []
    try:
        for jump in filter(None, (address.jump or "").split(",")):
            suffix = f"?config={address.config}" if address.config else ""
            hop = ssh_address.read(f"{name} (jump host)", jump.strip() + suffix)
            clients.append(_client(name, hop, _way(clients, hop)))
        clients.append(_client(name, address, _way(clients, address)))
    except BenchError:
        for client in reversed(clients):
            client.close()
        raise
    return clients


def _way(clients: list[paramiko.SSHClient], to: Address) -> paramiko.Channel | None:
    """A channel through the host before; None for the direct way."""
    if not clients:
        return None
    through = clients[-1].get_transport()
    assert through is not None
    try:
        return through.open_channel(
            "direct-tcpip", (to.host, to.port), ("127.0.0.1", 0), timeout=CONNECT_S
        )
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise DeviceLost(f"the jump host cannot reach {to.shown}: {error}") from error


def _client(name: str, address: Address, way: paramiko.Channel | None) -> paramiko.SSHClient:
    client = paramiko.SSHClient()
    shown = address.host_key_alias or address.host
    port = 22 if address.host_key_alias else address.port
    known = host_keys(address.known_hosts, shown, port)
    try:
        for kind, blob in known.accepted:
            if blob not in known.revoked and (key := _public_key(kind, blob)):
                client.get_host_keys().add(shown if port == 22 else f"[{shown}]:{port}", kind, key)
        client.set_missing_host_key_policy(_Refuse())
        _connect(client, address, shown, port, way)
    except _UnknownHost as error:
        client.close()
        if error.key.asbytes() in known.revoked:
            raise _revoked(name, address, error.key) from None
        raise _translated(name, address, error) from error
    except UNEXPECTED as error:
        client.close()
        raise _translated(name, address, error) from error
    return client


def _public_key(kind: str, blob: bytes) -> paramiko.PKey | None:
    """None for a type that paramiko does not know: OpenSSH passes over it, too."""
    try:
        return paramiko.PKey.from_type_string(kind, blob)
    except UNEXPECTED:
        return None


def _connect(
    client: paramiko.SSHClient,
    address: Address,
    shown: str,
    port: int,
    way: paramiko.Channel | None,
) -> None:
    """`shown` and `port` are what known_hosts has the host under."""
    sock = way or (
        paramiko.ProxyCommand(address.command)
        if address.command
        else _socket(address.host, address.port)
    )
    keys = [key for key in address.keys if Path(key).is_file()]
    client.connect(
        shown,
        port,
        address.user,
        password=address.password,
        key_filename=keys or None,  # type: ignore[arg-type]
        look_for_keys=not address.only_keys and not keys,
        allow_agent=not address.only_keys,
        sock=sock,
        timeout=CONNECT_S,
        banner_timeout=CONNECT_S,
        auth_timeout=CONNECT_S,
        channel_timeout=CONNECT_S,
        transport_factory=_transport,
    )
    transport = client.get_transport()
    assert transport is not None
    transport.set_keepalive(KEEPALIVE_S)


def _socket(host: str, port: int) -> socket.socket:
    """A connection that notices within half a minute that nobody is there any more."""
    made = socket.create_connection((host, port), CONNECT_S)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000)
    return made


def _translated(name: str, address: Address, error: Exception) -> BenchError:
    where = f"{name}: {address.shown}"
    if isinstance(error, _UnknownHost):
        return _unknown_host(where, address, error.key)
    if isinstance(error, paramiko.BadHostKeyException):
        return _changed_host(where, address, error)
    if isinstance(error, paramiko.PasswordRequiredException):
        return StepFailed(f"{where}: the key has a passphrase", "ssh-add it to your agent")
    if isinstance(error, paramiko.AuthenticationException):
        return StepFailed(
            f"{where}: login refused: {error}",
            f"try `ssh -p {address.port} {address.user}@{address.host}`; "
            "ssh-copy-id puts your key there",
        )
    if isinstance(error, PermissionError):
        return StepFailed(f"{where}: {error}", "Make the key file readable for you.")
    if not isinstance(error, (paramiko.SSHException, OSError, EOFError)):
        what = f"{type(error).__name__}: {error}"
        return StepFailed(
            f"{where}: cannot log in: {what}",
            f"Compare with `ssh -v -p {address.port} {address.host}`.",
        )
    return DeviceLost(
        f"{where}: cannot connect: {error or type(error).__name__}",
        "is the device on, is its sshd running, is the address right?",
    )


def fingerprint(key: paramiko.PKey) -> str:
    """As `ssh-keygen -l` shows it."""
    digest = base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")
    return f"{key.get_name()} SHA256:{digest}"


def _look(address: Address) -> str:
    return (
        "on the device itself, `for k in /etc/ssh/ssh_host_*.pub; do ssh-keygen -lf $k; done` "
        "must show this fingerprint; then, and only then, "
    )


def _unknown_host(where: str, address: Address, key: paramiko.PKey) -> StepFailed:
    return StepFailed(
        f"{where}: its host key is not known: {fingerprint(key)}",
        _look(address)
        + f"`ssh-keyscan -p {address.port} {address.host} >> {address.known_hosts[0]}`",
    )


def _revoked(name: str, address: Address, key: paramiko.PKey) -> StepFailed:
    what = f"{name}: {address.shown}: its host key is revoked: {fingerprint(key)}"
    return StepFailed(what, "Give the device a new host key.")


def _changed_host(where: str, address: Address, error: paramiko.BadHostKeyException) -> StepFailed:
    entry = address.host if address.port == 22 else f"[{address.host}]:{address.port}"
    return StepFailed(
        f"{where}: its host key has changed: {fingerprint(error.key)} now, "
        f"{fingerprint(error.expected_key)} before; someone may be in between",
        _look(address) + f"`ssh-keygen -R '{entry}' -f {address.known_hosts[0]}`, and ssh-keyscan",
    )

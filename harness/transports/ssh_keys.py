"""The keys that a login can offer: those of the agent, and those of files."""

from __future__ import annotations

import base64
import binascii
import contextlib
import io
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from paramiko.agent import AgentKey, AgentSSH

from . import small_files
from .ssh_address import Address

#: how long an agent may take to list its keys, and to sign: it may ask somebody
ANSWER_S = 10.0
SIGN_S = 30.0
#: what reading a key, or an agent, raises over what is in there
BROKEN = (
    *(paramiko.SSHException, UnsupportedAlgorithm, NotImplementedError),
    *(OSError, ValueError, TypeError, KeyError),
)


@dataclass
class Keys:
    """Ends the connection to the agent when it is closed."""

    address: Address
    #: public blobs of agent keys that could not sign
    unable: frozenset[bytes] = frozenset()
    #: why some keys cannot be offered, for a login that fails
    notes: list[str] = field(default_factory=list)
    #: files that want a passphrase
    locked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._agent = _Agent()

    def __enter__(self) -> Keys:
        return self

    def __exit__(self, *_: object) -> None:
        self._agent.close()

    def offers(self) -> Iterator[tuple[str, paramiko.PKey]]:
        """Name and key in OpenSSH's order: the agent's, first those that a file names; files."""
        files = {path: public_blob(Path(path)) for path in self.address.keys}
        agent = {key.blob: key for key in self._agent_keys() if key.blob not in self.unable}
        named = [agent[blob] for blob in files.values() if blob in agent]
        others = [key for key in agent.values() if key not in named]
        for key in named if self.address.only_keys else [*named, *others]:
            yield f"the agent's {key.get_name()} '{key.comment}'", key
        for path, blob in files.items():
            if blob not in agent and (loaded := self._load(path)) is not None:
                yield path, loaded

    def _agent_keys(self) -> tuple[AgentKey, ...]:
        if not self.address.agent:
            return ()
        try:
            return self._agent.ask(self.address.agent)
        except (*BROKEN, EOFError, AttributeError, IndexError) as error:  # an agent that is none
            self.notes.append(f"the agent at {self.address.agent}: {error or 'no answer'}")
            return ()

    def _load(self, path: str) -> paramiko.PKey | None:
        if not Path(path).is_file():
            return None
        if public_blob(Path(path), beside=False) is not None:
            self.notes.append(f"{path} is not in the agent")
            return None
        try:
            return load(Path(path), self.address.password)
        except NeedsPassphrase:
            self.locked.append(path)
            self.notes.append(f"{path} has a passphrase")
        except BROKEN as error:
            self.notes.append(f"{path}: {str(error).splitlines()[0] if str(error) else 'unfit'}")
        return None


class NeedsPassphrase(ValueError):
    """A private key that is encrypted."""


def load(path: Path, passphrase: str | None) -> paramiko.PKey:
    """A private key of any format that OpenSSH reads. Raises NeedsPassphrase, or of BROKEN."""
    data = small_files.read(path)
    for secret in (None, passphrase.encode()) if passphrase is not None else (None,):
        try:
            return _with_certificate(_parsed(data, secret), path)
        except TypeError:  # encrypted
            continue
        except ValueError as error:
            if secret is None:
                raise ValueError("not a readable private key") from error
    raise NeedsPassphrase


def _parsed(data: bytes, secret: bytes | None) -> paramiko.PKey:
    """Raises TypeError when it is encrypted and there is no secret, ValueError."""
    read = (
        serialization.load_ssh_private_key
        if b"OPENSSH PRIVATE KEY" in data
        else serialization.load_pem_private_key
    )
    loaded = read(data, secret)
    if isinstance(loaded, rsa.RSAPrivateKey):
        made: type[paramiko.PKey] = paramiko.RSAKey
    elif isinstance(loaded, ec.EllipticCurvePrivateKey):
        made = paramiko.ECDSAKey
    elif isinstance(loaded, ed25519.Ed25519PrivateKey):
        made = paramiko.Ed25519Key
    else:
        raise UnsupportedAlgorithm(f"unsupported key type {type(loaded).__name__}")
    plain = loaded.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    return made.from_private_key(io.StringIO(plain.decode()))


def _with_certificate(key: paramiko.PKey, path: Path) -> paramiko.PKey:
    certificate = Path(f"{path}-cert.pub")
    if certificate.is_file():
        with contextlib.suppress(*BROKEN):  # one that is broken is not offered, the key is
            key.load_certificate(str(certificate))
    return key


def public_blob(path: Path, *, beside: bool = True) -> bytes | None:
    """The public key in the file or, if `beside`, in the `.pub` next to it; None without one."""
    for file in (path, Path(f"{path}.pub")) if beside else (path,):
        try:
            words = small_files.read(file)[: 1 << 16].split(None, 2)
            if len(words) > 1 and words[0].startswith((b"ssh-", b"ecdsa-", b"sk-")):
                return base64.b64decode(words[1], validate=True)
        except (OSError, binascii.Error, ValueError):
            continue
    return None


class _Agent(AgentSSH):
    """An agent at any socket; paramiko only knows $SSH_AUTH_SOCK, and waits for ever."""

    def ask(self, path: str) -> tuple[AgentKey, ...]:
        """Its keys. Raises OSError, or what paramiko makes of its answer."""
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.settimeout(ANSWER_S)
            made.connect(path)
            self._connect(made)  # type: ignore[attr-defined]
            made.settimeout(SIGN_S)
        except BaseException:
            made.close()
            raise
        return self.get_keys()

    def close(self) -> None:
        self._close()  # type: ignore[attr-defined]

"""Login errors, with what to do about them."""

from __future__ import annotations

import base64
import hashlib
import shlex

import paramiko

from ..errors import BenchError, DeviceLost, StepFailed
from . import endpoint
from .host_keys import HostKeys
from .ssh_address import Address

_COMPARE = (
    "Compare this fingerprint with that of "
    "`for k in /etc/ssh/ssh_host_*.pub; do ssh-keygen -lf $k; done` on the device; "
    "only if they are equal, run "
)


def fingerprint(kind: str, blob: bytes) -> str:
    """As `ssh-keygen -l` shows it."""
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    return f"{kind} SHA256:{digest}"


def unknown_host(where: str, address: Address, known: HostKeys, shown: str) -> StepFailed:
    """No line of known_hosts has the key of a server."""
    if known.has_authority:
        what = f"{where}: unknown host key (bench does not support host certificates): {shown}"
    else:
        what = f"{where}: unknown host key: {shown}"
    return StepFailed(what, _COMPARE + f"`{_scan(address)}`.")


def changed_host(where: str, address: Address, known: HostKeys, shown: str) -> StepFailed:
    """known_hosts has another key of the same type."""
    kind = shown.partition(" ")[0]
    before = next(key for key in known.accepted if key.kind == kind)
    file = address.known_hosts[0] if before.path == address.known_hosts[0] else before.path
    removes = shlex.join(["ssh-keygen", "-R", _entry(address), "-f", str(file)])
    return StepFailed(
        f"{where}: host key has changed: {shown} now, {fingerprint(kind, before.blob)} before "
        f"({before.path}:{before.line}); possible man-in-the-middle attack",
        _COMPARE + f"`{removes}` and ssh-keyscan.",
    )


def revoked_host(where: str, shown: str) -> StepFailed:
    """The key is one that must never be accepted again."""
    return StepFailed(f"{where}: revoked host key: {shown}", "Create a new host key on the device.")


def refused(where: str, address: Address, tried: list[str], notes: list[str]) -> StepFailed:
    """The server accepts none of the offered keys."""
    said = [f"none accepted of {', '.join(tried)}"] if tried else ["no key to offer"]
    return StepFailed(
        f"{where}: login refused: {'; '.join([*said, *notes])}",
        f"Test with `{_ssh(address)}`; ssh-copy-id installs your key.",
    )


def locked(where: str, paths: list[str]) -> StepFailed:
    """Nothing but encrypted keys."""
    return StepFailed(
        f"{where}: the key has a passphrase: {', '.join(paths)}",
        f"Add it to your agent with `{shlex.join(['ssh-add', paths[0]])}`.",
    )


def translated(where: str, address: Address, error: Exception, said: str = "") -> BenchError:
    """An exception of paramiko's, or of the network's; `said` is a ProxyCommand's last line."""
    text = f"{error or type(error).__name__}" + (f" (ProxyCommand: {said})" if said else "")
    if isinstance(error, (paramiko.SSHException, OSError, EOFError, UnicodeError)):
        return DeviceLost(
            f"{where}: cannot connect: {text}",
            "Check that the device is on, its sshd is running, and the address is correct.",
        )
    return StepFailed(
        f"{where}: cannot log in: {type(error).__name__}: {text}",
        f"Compare with `{_ssh(address, '-v')}`.",
    )


def _scan(address: Address) -> str:
    files = [shlex.quote(str(p)) for p in address.known_hosts if str(p) != "/dev/null"]
    asks = shlex.join(["ssh-keyscan", "-p", str(address.port), address.host])
    return f"{asks} >> {(files or ['~/.ssh/known_hosts'])[0]}"


def _ssh(address: Address, *options: str) -> str:
    """A command to paste into a shell: each value of an address or a config is one quoted word."""
    place = f"{address.user}@{address.host}"
    return shlex.join(["ssh", *options, "-p", str(address.port), place])


def _entry(address: Address) -> str:
    name = address.host_key_alias or address.host
    plain = address.port == 22 or address.host_key_alias
    return name if plain else f"[{name}]:{address.port}"


def jump_failed(name: str, to: Address, error: Exception) -> DeviceLost:
    """The last jump host does not get through."""
    where = endpoint.joined(to.host, to.port)
    return DeviceLost(
        f"{name}: the jump host cannot reach {where}: {error or type(error).__name__}",
        "Check that the jump host allows TCP forwarding and that the device is on.",
    )

"""`host`, `host:port`, `[v6]:port` and bare IPv6 addresses, for ssh and for adb."""

from __future__ import annotations

import ipaddress
import re
import socket

#: what neither a host name nor an address has; OpenSSH refuses the same
_ODD = re.compile(r"[\s\x00-\x1f\x7f'\"`$\\;&<>|(){}/?#@,]")


def split(text: str) -> tuple[str, int | None]:
    """Host without brackets, and the port if there is one. Raises ValueError with the reason."""
    if text.startswith("["):
        host, closed, rest = text[1:].partition("]")
        if not closed or (rest and not rest.startswith(":")):
            raise ValueError("unbalanced brackets in an IPv6 address")
        _check_v6(host)
        return host, number(rest[1:]) if rest else None
    if text.count(":") > 1:
        _check_v6(text)
        return text, None
    host, colon, port = text.partition(":")
    check_host(host)
    return host, number(port) if colon else None


def number(text: str) -> int:
    """A TCP port. Raises ValueError."""
    if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= 65535):
        raise ValueError(f"port '{text}' is not a number from 1 to 65535")
    return int(text)


def check_host(host: str) -> None:
    """Raises ValueError for what cannot be the name of a host."""
    if not host:
        raise ValueError("missing host")
    if host.startswith("-"):
        raise ValueError(f"host '{host}' starts with '-'")
    if not host.isascii() and not host.isprintable():
        raise ValueError("the host contains characters that cannot be shown")
    if found := _ODD.search(host):
        what = "a space" if found[0].isspace() else f"'{found[0]}'"
        raise ValueError(f"host '{host}' contains {what}")


def check_scope(host: str) -> None:
    """Raises ValueError for `fe80::1%eth0` where this machine has no `eth0`."""
    _, _, scope = host.partition("%")
    if ":" not in host or not scope or scope.isdigit():
        return
    names = [name for _, name in socket.if_nameindex()]
    if scope not in names:
        raise ValueError(
            f"this machine has no network interface '{scope}', only {', '.join(names)}"
        )


def connect(host: str, port: int, timeout_s: float) -> socket.socket:
    """Raises OSError, also for a name that no host can have."""
    try:
        return socket.create_connection((host, port), timeout_s)
    except UnicodeError as error:  # a label that is empty, or longer than 63 characters
        raise OSError(f"invalid host name '{host}'") from error


def joined(host: str, port: int) -> str:
    """For people: `host:port`, `[v6]:port`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _check_v6(host: str) -> None:
    address, percent, scope = host.partition("%")
    try:
        ipaddress.IPv6Address(address)
    except ValueError:
        raise ValueError(f"'{host}' is not an IPv6 address; write host:port") from None
    if percent and not re.fullmatch(r"[\w.-]+", scope, re.ASCII):
        raise ValueError(f"'{host}' has no valid scope after '%'")

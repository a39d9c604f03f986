"""Log in to an SSH host, through its jump hosts."""

from __future__ import annotations

import paramiko

from ..errors import UsageError
from . import ssh_address, ssh_way, ssh_words
from .ssh_address import Address
from .ssh_attempt import Attempt, CannotSign, Way

KEEPALIVE_S = 10
#: so many jump hosts that name jump hosts themselves are no loop
DEEPEST = 8


def login(name: str, address: Address) -> list[paramiko.Transport]:
    """Connections from the first jump host to the device itself; close the last one first.

    Raises StepFailed for keys and passwords that are not accepted, DeviceLost when it is away.
    """
    open_: list[paramiko.Transport] = []
    try:
        for hop in _route(name, address):
            shown = name if hop is address else f"{name} (jump host)"
            open_.append(_entered(shown, hop, open_))
    except BaseException:
        for transport in reversed(open_):
            transport.close()
        raise
    return open_


def _route(name: str, to: Address, depth: int = 0) -> list[Address]:
    """Jump hosts in their order, and the device. The first one may have jump hosts of its own."""
    hops = ssh_address.hops(name, to)
    if not hops:
        return [to]
    if depth == DEEPEST:
        raise UsageError(
            f"devices/{name}.yaml: address: the jump hosts form a loop at {hops[0].shown}",
            "Set `ProxyJump none` for the jump host in your ssh config.",
        )
    return [*_route(name, hops[0], depth + 1), *hops[1:], to]


def _entered(name: str, address: Address, before: list[paramiko.Transport]) -> paramiko.Transport:
    """Once more for every key of the agent that cannot sign: the connection ends with it."""
    unable: dict[bytes, str] = {}
    while True:
        try:
            return _logged_in(name, address, _way(name, address, before), unable)
        except CannotSign as error:
            unable[error.blob] = error.note


def _way(name: str, to: Address, before: list[paramiko.Transport]) -> Way:
    """Through the host before, or straight on. Raises DeviceLost, or StepFailed."""
    try:
        if before:
            patience_s = to.patience_s or ssh_way.CONNECT_S
            target = (to.host, to.port)
            return before[-1].open_channel(
                "direct-tcpip", target, ("127.0.0.1", 0), timeout=patience_s
            )
        if to.command:
            return ssh_way.Command(to.command)
        return ssh_way.tcp(to.host, to.port, to.family, to.patience_s or ssh_way.CONNECT_S)
    except Exception as error:  # of paramiko or the network
        if before:
            raise ssh_words.jump_failed(name, to, error) from error
        raise ssh_words.translated(f"{name}: {to.shown}", to, error) from error


def _logged_in(
    name: str, address: Address, way: Way, unable: dict[bytes, str]
) -> paramiko.Transport:
    attempt = Attempt(f"{name}: {address.shown}", address, way)
    try:
        attempt.start()
        attempt.authenticate(unable)
        attempt.transport.set_keepalive(KEEPALIVE_S)
    except BaseException:
        attempt.close()
        raise
    return attempt.transport

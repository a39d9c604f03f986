"""What a device is and how it is treated: linux, jetson, android, macos. Knows nothing of models.

A kind reads facts and state through a transport, and holds the device steady while it is measured.
What it changes it restores, also after a crash: see `steady` and `restore`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Protocol

from ..records import DeviceFacts, DeviceState
from ..transports import Transport

#: of hosts, where users have workdirs of their own; BENCH_LEASES there names another one
LEASES: Final = "/tmp/bench-leases"


@dataclass(frozen=True)
class KindSpec:
    """What is the same for all devices of a kind."""

    name: str
    title: str
    #: where everything of ours goes; a leading `~` is the user's home on the device
    workdir: str
    #: how a runner can get there, best first
    runtimes: tuple[str, ...]
    #: measures that a device's file may allow under `steady:` -> what each one does
    measures: dict[str, str]
    #: folder of leases that all users of a device share; empty: they share the workdir
    leases: str = ""


class Kind(Protocol):
    """A module of this folder."""

    @property
    def SPEC(self) -> KindSpec: ...

    def read_facts(self, transport: Transport) -> DeviceFacts:
        """What does not change while the device is up; one round trip or two.

        Raises DeviceLost, and StepFailed when the device is of another kind.
        """

    def read_state(self, transport: Transport) -> DeviceState:
        """Clocks, temperatures, load, battery, storage at this moment; an unknown one is None."""

    def steady(
        self, transport: Transport, allowed: Sequence[str], workdir: str
    ) -> AbstractContextManager[tuple[str, ...]]:
        """Hold what `allowed` names; gives the measures that are in force, with their values.

        What was there before is written to the device first, and put back at the end, by the
        device itself when we are gone, or by `restore` at the next contact.
        """

    def restore(self, transport: Transport, workdir: str) -> tuple[str, ...]:
        """Put back what a crashed holder left; what was restored, nothing when all was well."""


def _linux() -> Kind:
    from . import linux

    return linux


def _jetson() -> Kind:
    from . import jetson

    return jetson


def _android() -> Kind:
    from . import android

    return android


def _macos() -> Kind:
    from . import macos

    return macos


#: kind -> what imports its module, when it is first used
REGISTRY: Final[dict[str, Callable[[], Kind]]] = {
    "linux": _linux,
    "jetson": _jetson,
    "android": _android,
    "macos": _macos,
}


def find(name: str) -> Kind:
    """The kind's module; `config` has checked the name."""
    return REGISTRY[name]()

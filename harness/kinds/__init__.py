"""Device kinds: linux, jetson, android, macos. Knows nothing of models.

A kind reads facts and state through a transport, and stabilises the device while it is measured.
It restores what it changes, even after a crash: see `steady` and `restore`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Protocol

from ..records import DeviceFacts, DeviceState
from ..transports import Transport

#: of hosts, where each user has a separate workdir; BENCH_LEASES on the host names another folder
LEASES: Final = "/tmp/bench-leases"


@dataclass(frozen=True)
class KindSpec:
    """What all devices of a kind share."""

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
        """Constant facts while the device is up; one round trip or two.

        Raises DeviceLost, and StepFailed if the device is of another kind.
        """

    def read_state(self, transport: Transport) -> DeviceState:
        """Current clocks, temperatures, load, battery and storage; unknown values are None."""

    def steady(
        self, transport: Transport, allowed: Sequence[str], workdir: str
    ) -> AbstractContextManager[tuple[str, ...]]:
        """Apply the measures in `allowed`; yields the applied measures with their values.

        Previous settings are recorded on the device first, and restored at the end, by the
        device itself if bench is gone, or by `restore` at the next contact.
        """

    def restore(self, transport: Transport, workdir: str) -> tuple[str, ...]:
        """Restore settings that a crashed run left; what was restored, empty if nothing."""


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

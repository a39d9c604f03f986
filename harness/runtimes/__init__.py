"""How a format's runner is installed on a device: as an image, a bundle, or a virtual environment.

All use the same lock. Each satisfies `Provide`; `targets.remote` picks one by kind and
facts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, Protocol

from ..containers import ContainerEngine, EngineName
from ..records import DeviceFacts, DeviceSpec, Image
from ..transports import Transport

OnLine = Callable[[str], None]


@dataclass(frozen=True)
class DeviceMount:
    """A file or folder on the device; `target` is its path in a container."""

    path: PurePosixPath
    target: str
    writable: bool = False


@dataclass(frozen=True)
class RuntimeRequest:
    """A runtime to install: the image's folder in dockerfiles/, and the paths involved."""

    name: str
    device: DeviceSpec
    facts: DeviceFacts
    #: on the device, absolute
    workdir: PurePosixPath
    cache: Path
    log: Path
    #: the engine of this machine, which has or builds the images
    engine: ContainerEngine


class InstalledRuntime(Protocol):
    """A format's runtime on a device, complete and verified."""

    @property
    def image(self) -> Image: ...

    def seen(self, there: DeviceMount) -> str:
        """The path as seen by a job."""
        ...

    def command(
        self,
        argv: Sequence[str],
        mounts: Sequence[DeviceMount],
        env: Mapping[str, str],
        cpus: Sequence[int],
        memory_bytes: int,
    ) -> tuple[str, ...]:
        """The command line that runs its Python with `argv` on the device."""
        ...


class Provide(Protocol):
    """A module of this folder."""

    def lacks(self, facts: DeviceFacts) -> str | None:
        """What the device lacks for it, for any format; None if nothing."""

    def why_not(self, image: str, facts: DeviceFacts, engine: EngineName) -> str | None:
        """Why a device cannot have the runner of an image, based on its facts; None if it can.

        `engine` is this machine's.
        """

    def provide(
        self, transport: Transport, wanted: RuntimeRequest, on_line: OnLine | None = None
    ) -> InstalledRuntime:
        """Build, transfer and verify it; transfers nothing if it is installed.

        Raises StepFailed (no space, damaged, build failed), DeviceLost.
        """


def _image() -> Provide:
    from . import image

    return image


def _bundle() -> Provide:
    from . import bundle

    return bundle


def _venv() -> Provide:
    from . import venv

    return venv


#: runtime -> what imports its module, when it is first used
REGISTRY: Final[dict[str, Callable[[], Provide]]] = {
    "image": _image,
    "bundle": _bundle,
    "venv": _venv,
}


def find(name: str) -> Provide:
    """The module of a runtime."""
    return REGISTRY[name]()


def first(
    names: Sequence[str], image: str, facts: DeviceFacts, engine: EngineName
) -> tuple[str | None, tuple[str, ...]]:
    """The kind's first runtime that can run an image there, and why the others before cannot."""
    reasons: list[str] = []
    for name in names:
        reason = find(name).why_not(image, facts, engine)
        if reason is None:
            return name, tuple(reasons)
        reasons.append(f"{name}: {reason}")
    return None, tuple(reasons)

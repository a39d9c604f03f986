"""How a format's runner gets onto a device: as an image, a bundle, or a virtual environment.

All three come from the same lock. Each satisfies `Provide`; `targets.remote` picks one by kind and
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
    """A file or folder that is on the device; `target` is its path in a container."""

    path: PurePosixPath
    target: str
    writable: bool = False


@dataclass(frozen=True)
class RuntimeRequest:
    """A runtime to be made ready: the image's folder under dockerfiles/, and where things are."""

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
    """A format's runtime on a device, whole and verified."""

    @property
    def image(self) -> Image: ...

    def seen(self, there: DeviceMount) -> str:
        """The path under which a job sees it."""
        ...

    def command(
        self,
        argv: Sequence[str],
        mounts: Sequence[DeviceMount],
        env: Mapping[str, str],
        cpus: Sequence[int],
        memory_bytes: int,
    ) -> tuple[str, ...]:
        """The device's command line that runs its Python with `argv`."""
        ...


class Provide(Protocol):
    """A module of this folder."""

    def lacks(self, facts: DeviceFacts) -> str | None:
        """What the device lacks for it, whatever the format; None when nothing."""

    def why_not(self, image: str, facts: DeviceFacts, engine: EngineName) -> str | None:
        """Why a device cannot have the runner of an image, from facts alone; None when it can.

        `engine` is that of this machine.
        """

    def provide(
        self, transport: Transport, wanted: RuntimeRequest, on_line: OnLine | None = None
    ) -> InstalledRuntime:
        """Make it, move it, verify it; nothing moves when it is there already.

        Raises StepFailed (no room, damaged, cannot be made), DeviceLost.
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
    """Of a kind's runtimes the first that can run an image there; why those before it cannot."""
    reasons: list[str] = []
    for name in names:
        reason = find(name).why_not(image, facts, engine)
        if reason is None:
            return name, tuple(reasons)
        reasons.append(f"{name}: {reason}")
    return None, tuple(reasons)

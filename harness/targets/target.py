"""Where the cells of a device run: this machine, or one at the other end of a transport.

A target gives a format's place, CPUs for a measured job, and the transport and kind through which
its state is read. `remote` has the one behind a transport.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Protocol

from ..containers import ContainerEngine, OnLine
from ..errors import DeviceLost
from ..kinds import Kind
from ..records import DeviceFacts, DeviceSpec, RunDevice
from ..steps.jobs import Place, machine_cpus
from ..transports import Transport
from ..workspace import cache_root
from .this_machine import ThisMachine


class Target(Protocol):
    """One device, connected, for the length of a run."""

    @property
    def spec(self) -> DeviceSpec: ...

    @property
    def transport(self) -> Transport: ...

    @property
    def kind(self) -> Kind: ...

    @property
    def workdir(self) -> str: ...

    @property
    def facts(self) -> DeviceFacts:
        """What it is, as read at the start."""
        ...

    @property
    def restored(self) -> tuple[str, ...]:
        """What an earlier holder had left changed, and is put back."""
        ...

    def place(self, image: str) -> Place:
        """A format's runtime there, ready. Raises CannotRun, StepFailed, DeviceLost."""
        ...

    def cpus(self, threads: int) -> tuple[int, ...]:
        """CPUs of a measured job, at most so many."""
        ...

    def all_cpus(self) -> tuple[int, ...]:
        """CPUs of a job that is not timed."""
        ...

    def steady(self) -> AbstractContextManager[tuple[str, ...]]:
        """Held as the device's file allows, while the body runs."""
        ...

    def wait_until_back(self) -> None:
        """After DeviceLost: until it answers again; restores what was held. Raises DeviceLost."""
        ...

    def kill_jobs(self) -> None:
        """End every job of ours that still runs there."""
        ...

    def claim(self, on_wait: Callable[[str], None]) -> None:
        """Nobody else measures there from now on; `on_wait` is told who does, where that is waited
        for. Raises StepFailed where it is not, DeviceLost."""
        ...

    def why_unsure(self, since: float) -> str | None:
        """Why another may have measured there after that moment of `lease.clock`; None: nobody
        has. Raises DeviceLost."""
        ...


class LocalTarget:
    """This machine: jobs run in its own container engine.

    A context manager, which gives back what `claim` took.
    """

    def __init__(self, spec: DeviceSpec, place: Callable[[str], Place], run_id: str = "") -> None:
        from .. import kinds, transports

        self.spec, self._build = spec, place
        self._machine = ThisMachine(run_id)
        self.transport: Transport = transports.connect(spec)
        self.kind: Kind = kinds.find(spec.kind)
        folder = cache_root() / "device"
        folder.mkdir(parents=True, exist_ok=True)
        self.workdir = str(folder)
        self.facts = self.kind.read_facts(self.transport)
        self.restored = self.kind.restore(self.transport, self.workdir) if spec.steady else ()

    def place(self, image: str) -> Place:
        """See `Target`."""
        return self._build(image)

    def cpus(self, threads: int) -> tuple[int, ...]:
        """See `Target`."""
        if self.spec.cpus:
            return chosen(self.spec.cpus, threads)
        return chosen(in_order(self.all_cpus(), self.facts), threads)

    def all_cpus(self) -> tuple[int, ...]:
        """See `Target`; those that the facts leave under a quota."""
        ours = machine_cpus()
        return tuple(cpu for cpu in ours if cpu in self.facts.cpus) or ours

    def steady(self) -> AbstractContextManager[tuple[str, ...]]:
        """See `Target`."""
        if not self.spec.steady:
            return nullcontext(())
        return self.kind.steady(self.transport, self.spec.steady, self.workdir)

    def wait_until_back(self) -> None:
        """This machine is always there."""

    def kill_jobs(self) -> None:
        """The container engine ends its own."""

    def claim(self, on_wait: Callable[[str], None]) -> None:
        """See `Target`; others prepare meanwhile, and wait with their own trials."""
        self._machine.claim(self.transport, on_wait)

    def why_unsure(self, since: float) -> str | None:
        """See `Target`."""
        return self._machine.why_unsure(since)

    def __enter__(self) -> LocalTarget:
        return self

    def __exit__(self, *exc: object) -> None:
        self._machine.release()


@contextmanager
def connected(
    spec: DeviceSpec,
    engine: ContainerEngine,
    cache: Path,
    logs: Path,
    holder: str,
    on_line: OnLine = lambda line: None,
) -> Iterator[Target]:
    """The device, connected and leased to `holder` until the body ends; this machine once it is
    measured.

    A connection that is lost at once is tried once more. Raises DeviceLost and what else
    connecting raises.
    """
    logs.mkdir(parents=True, exist_ok=True)
    if spec.transport == "local":
        with LocalTarget(spec, images_here(engine, logs, on_line), holder) as here:
            yield here
        return
    from .remote import RemoteTarget

    target = RemoteTarget(spec, engine, cache, logs, holder, on_line)
    try:
        target.connect()
    except DeviceLost:
        target.connect()
    with target:
        yield target


def images_here(
    engine: ContainerEngine, logs: Path, on_line: OnLine = lambda line: None
) -> Callable[[str], Place]:
    """From an image's name to the image on this machine, built once if it is not there."""

    @functools.cache
    def place(name: str) -> Place:
        return Place(engine, engine.build(name, logs / f"image-{name}.log", on_line))

    return place


def record(target: Target, held: tuple[str, ...] = (), set_aside: str = "") -> RunDevice:
    """What a run keeps of its device; no address, since runs are sent around."""
    spec = target.spec
    return RunDevice(
        name=spec.name,
        kind=spec.kind,
        transport=spec.transport,
        labels=spec.labels,
        description=spec.description,
        emulated=spec.emulated,
        facts=target.facts,
        held=held,
        allowed=spec.steady,
        restored=target.restored,
        set_aside=set_aside,
    )


def in_order(cpus: Sequence[int], facts: DeviceFacts) -> tuple[int, ...]:
    """`cpus` with the best ones last; unchanged where nothing is known of them."""
    known = [cpu for cpu in facts.cpu_order or facts.big_cpus if cpu in cpus]
    return (*(cpu for cpu in cpus if cpu not in known), *known)


def chosen(cpus: Sequence[int], threads: int) -> tuple[int, ...]:
    """The last `threads` of them, the best ones."""
    return tuple(cpus)[-threads:]

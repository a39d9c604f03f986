"""Where the cells of a device run: this machine, or a device behind a transport.

A target provides a format's place, CPUs for a measured job, and the transport and kind to read its
state. `remote` has the target behind a transport.
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
    """A connected device, for the duration of a run."""

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
        """Its facts, as read at the start."""
        ...

    @property
    def restored(self) -> tuple[str, ...]:
        """Settings of an earlier session that were restored."""
        ...

    def place(self, image: str) -> Place:
        """Install a format's runtime. Raises CannotRun, StepFailed, DeviceLost."""
        ...

    def cpus(self, threads: int) -> tuple[int, ...]:
        """CPUs of a measured job, at most `threads`."""
        ...

    def all_cpus(self) -> tuple[int, ...]:
        """CPUs of an untimed job."""
        ...

    def steady(self) -> AbstractContextManager[tuple[str, ...]]:
        """Apply the device file's `steady` measures while the body runs."""
        ...

    def wait_until_back(self) -> None:
        """After DeviceLost: until it answers again; restores what was held. Raises DeviceLost."""
        ...

    def kill_jobs(self) -> None:
        """Kill every bench job that still runs there."""
        ...

    def claim(self, on_wait: Callable[[str], None]) -> None:
        """Reserve the device for measuring; `on_wait` is called with the holder while waiting.

        Raises StepFailed if the device cannot be waited for, DeviceLost.
        """
        ...

    def why_unsure(self, since: float) -> str | None:
        """Why another run may have measured after that moment of `lease.clock`; None if none did.

        Raises DeviceLost.
        """
        ...


class LocalTarget:
    """This machine: jobs run in its own container engine.

    A context manager, which releases what `claim` acquired.
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
        """See `Target`; respects CPU quotas."""
        ours = machine_cpus()
        return tuple(cpu for cpu in ours if cpu in self.facts.cpus) or ours

    def steady(self) -> AbstractContextManager[tuple[str, ...]]:
        """See `Target`."""
        if not self.spec.steady:
            return nullcontext(())
        return self.kind.steady(self.transport, self.spec.steady, self.workdir)

    def wait_until_back(self) -> None:
        """This machine is never lost."""

    def kill_jobs(self) -> None:
        """The container engine stops its own jobs."""

    def claim(self, on_wait: Callable[[str], None]) -> None:
        """See `Target`; other runs may prepare meanwhile, and wait before their trials."""
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
    """The device, connected and leased to `holder` in the body; this machine while it measures.

    A connection that is lost immediately is retried once. Raises DeviceLost and what else
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
    """Maps an image's name to the local image, built once if missing."""

    @functools.cache
    def place(name: str) -> Place:
        return Place(engine, engine.build(name, logs / f"image-{name}.log", on_line))

    return place


def record(target: Target, held: tuple[str, ...] = (), set_aside: str = "") -> RunDevice:
    """The run's record of its device, without the address, since runs are shared."""
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
    """`cpus` with the best ones last; unchanged if their order is unknown."""
    known = [cpu for cpu in facts.cpu_order or facts.big_cpus if cpu in cpus]
    return (*(cpu for cpu in cpus if cpu not in known), *known)


def chosen(cpus: Sequence[int], threads: int) -> tuple[int, ...]:
    """The last `threads` CPUs, which are the best."""
    return tuple(cpus)[-threads:]

"""A device in a run: connected, leased, restored, with its runtimes and jobs.

A job's read-only folders are stored once, by content, on the device; its own folder is
pushed before it, pulled after it, and removed. No process of it is left running.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path, PurePosixPath
from types import TracebackType

from .. import formats, kinds, runtimes, transports
from ..containers import CompletedJob, ContainerEngine, JobSpec, Mount, OnLine
from ..errors import CannotRun, DeviceLost, OutOfMemory, StepFailed
from ..kinds import Kind
from ..ondevice.lease import Lease, hold, owner
from ..ondevice.store import place_of, put
from ..records import DeviceFacts, DeviceSpec, Image
from ..runtimes import DeviceMount, InstalledRuntime, RuntimeRequest
from ..steps.jobs import Place
from ..transports import Transport
from ..transports.manifest import read as read_manifest
from ..untrusted.budget import Leaf
from .target import chosen, in_order

#: what a shell says of a process that was killed by signal 9
KILLED = (137, -9)
#: a device that was lost gets so long to come back, seconds
RETURN_S = 60.0
#: kills what has our job folders in its command line; the shell's own line has them as `$1`
KILL_JOBS = """\
if [ ! -e /proc/self ]; then
  ps -axww -o pid= -o command= | while read -r p line; do
    case $line in sh\\ *|-sh*|ps\\ *) ;; *"$1/jobs/"*) kill -9 "$p" ;; esac
  done
  exit 0
fi
for p in /proc/[0-9]*; do
  [ "${p#/proc/}" = "$$" ] && continue
  if tr '\\0' ' ' < "$p/cmdline" 2>/dev/null | grep -q -F "$1/jobs/"; then
    case $(cat "$p/comm" 2>/dev/null) in sh|mksh|busybox|toybox) ;; *) kill -9 "${p#/proc/}" ;; esac
  fi
done
exit 0
"""


#: which of the names `$2`… exist in the folder `$1`
LEFT = """\
cd "$1" || exit
shift
for name in "$@"; do [ ! -e "$name" ] || printf '%s\\n' "$name"; done
"""


class RemoteTarget:
    """Satisfies `target.Target`; a context manager that restores the device."""

    def __init__(
        self,
        spec: DeviceSpec,
        engine: ContainerEngine,
        cache: Path,
        logs: Path,
        run_id: str,
        on_line: OnLine = lambda line: None,
    ) -> None:
        self.spec, self._engine, self._cache, self._logs = spec, engine, cache, logs
        self._owner, self._on_line = owner(run_id), on_line
        self._open = ExitStack()
        self._ready: dict[str, Place] = {}
        self._lease: Lease | None = None
        self.restored: tuple[str, ...] = ()
        self.kind: Kind = kinds.find(spec.kind)

    def connect(self) -> None:
        """Connect, lease, restore what a crashed run changed. Raises like `transports.connect`."""
        try:
            self.transport: Transport = transports.connect(self.spec)
            self._open.callback(self.transport.close)
            self.facts: DeviceFacts = self.kind.read_facts(self.transport)
            self.workdir = self.facts.workdir
            shared = self.kind.SPEC.leases
            claim = hold(self.transport, self.workdir, self._owner, shared=shared)
            self._lease = self._open.enter_context(claim)
            self.restored = self.kind.restore(self.transport, self.workdir)
        except BaseException:
            self._open.close()
            raise

    def adopt(self, transport: Transport, facts: DeviceFacts) -> None:
        """Use the connection of a caller who holds the lease and closes the connection."""
        self.transport, self.facts, self.workdir = transport, facts, facts.workdir

    def __enter__(self) -> RemoteTarget:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    @property
    def identity(self) -> str:
        """Changes with anything that affects a model's results there."""
        facts = self.facts
        known = (self.spec.name, facts.model, facts.soc, facts.arch, facts.build, facts.driver)
        return " ".join(part for part in known if part)

    def place(self, image: str) -> Place:
        """See `target.Target`; the kind's first runtime that the device supports."""
        if image not in self._ready:
            ready = self._provide(image)
            runner = DeviceRunner(self.transport, self.spec, self.workdir, ready)
            self._ready[image] = Place(runner, ready.image, self.identity)
        return self._ready[image]

    def cpus(self, threads: int) -> tuple[int, ...]:
        """See `target.Target`."""
        return chosen(self.spec.cpus or in_order(self.facts.cpus, self.facts), threads)

    def all_cpus(self) -> tuple[int, ...]:
        """See `target.Target`."""
        return self.spec.cpus or self.facts.cpus

    def steady(self) -> AbstractContextManager[tuple[str, ...]]:
        """See `target.Target`."""
        return self.kind.steady(self.transport, self.spec.steady, self.workdir)

    def wait_until_back(self) -> None:
        """After DeviceLost: wait until it answers, then restore its settings. Raises DeviceLost."""
        until = time.monotonic() + RETURN_S
        while True:
            try:
                self.transport.run(["true"], timeout_s=10.0)
                break
            except (DeviceLost, StepFailed):
                if time.monotonic() > until:
                    raise
                time.sleep(1.0)
        if self._lease:
            self._lease.confirm()  # before anything is changed: another run may hold it by now
        self.kill_jobs()
        self.kind.restore(self.transport, self.workdir)

    def claim(self, on_wait: Callable[[str], None]) -> None:
        """See `target.Target`; held since connecting, so there is no wait."""
        if self._lease:
            self._lease.confirm()

    def why_unsure(self, since: float) -> str | None:
        """See `target.Target`."""
        return self._lease.why_unsure(since) if self._lease else None

    def kill_jobs(self) -> None:
        """Kill every bench job that still runs there."""
        self.transport.run(["sh", "-c", KILL_JOBS, "sh", self.workdir], timeout_s=30.0)

    def _provide(self, image: str) -> InstalledRuntime:
        name, facts = self.spec.name, self.facts
        if reason := formats.why_no_image(image, name, facts):
            raise CannotRun(reason)
        wanted = RuntimeRequest(
            name=image,
            device=self.spec,
            facts=facts,
            workdir=PurePosixPath(self.workdir),
            cache=self._cache,
            log=self._logs / f"{self.spec.name}-{image}.log",
            engine=self._engine,
        )
        offered = self.kind.SPEC.runtimes
        runtime, reasons = runtimes.first(offered, image, facts, self._engine.name)
        if runtime is None:
            raise CannotRun(f"{name} has no compatible runtime for {image}: " + "; ".join(reasons))
        return runtimes.find(runtime).provide(self.transport, wanted, self._on_line)


class DeviceRunner:
    """Satisfies `jobs.JobRunner` for one format's runtime on a device."""

    def __init__(
        self, transport: Transport, spec: DeviceSpec, workdir: str, ready: InstalledRuntime
    ) -> None:
        self._transport, self._spec, self._ready = transport, spec, ready
        self._workdir = PurePosixPath(workdir)

    def locate(self, mount: Mount) -> str:
        """The path that a job sees for a mount; pushes nothing."""
        return self._ready.seen(self._there(mount))

    def run(self, image: Image, job: JobSpec, on_line: OnLine | None = None) -> CompletedJob:
        """Push, run, pull. Raises JobTimeout, OutOfMemory, StepFailed, DeviceLost."""
        began = time.monotonic()
        theirs = {mount: self._there(mount) for mount in job.mounts}
        own = next(mount for mount in job.mounts if mount.writable)
        for mount in theirs:
            if not mount.writable:
                self._put(mount)
        try:
            self._transport.push(own.host, theirs[own].path)
            exit_code, output = self._execute(job, tuple(theirs.values()), on_line)
            job.log.write_bytes(output)
            if exit_code == 0:
                self._pull(job.leaves, theirs[own].path, own.host)
        finally:
            self._remove(theirs[own].path)
        self._check(job, exit_code)
        text = output[-(1 << 16) :].decode("utf-8", "backslashreplace")
        return CompletedJob(exit_code, text, time.monotonic() - began)

    def _execute(
        self, job: JobSpec, mounts: tuple[DeviceMount, ...], on_line: OnLine | None
    ) -> tuple[int, bytes]:
        command = self._ready.command(job.argv, mounts, job.env, job.cpus, job.memory_bytes)
        done = self._transport.run(command, timeout_s=job.timeout_s, on_line=on_line)
        return done.exit_code, done.stdout + done.stderr

    def _pull(self, leaves: Sequence[Leaf], there: PurePosixPath, here: Path) -> None:
        """Pull the wanted files by name; the caller reports missing ones."""
        names = [leaf.name for leaf in leaves]
        asked = self._transport.run(["sh", "-c", LEFT, "sh", str(there), *names], timeout_s=60.0)
        left = asked.text.split("\n")
        for leaf in leaves:
            if leaf.name in left:
                self._transport.pull(there / leaf.name, here / leaf.name, leaf.budget)

    def _there(self, mount: Mount) -> DeviceMount:
        if mount.writable:
            token = hashlib.sha256(str(mount.host).encode()).hexdigest()[:16]
            return DeviceMount(self._workdir / "jobs" / token, mount.target, writable=True)
        return DeviceMount(place_of(self._workdir, mount.host, _key(mount.host)), mount.target)

    def _put(self, mount: Mount) -> None:
        quota = self._spec.storage_mb * 10**6
        put(self._transport, self._workdir, mount.host, _key(mount.host), quota)

    def _remove(self, path: PurePosixPath) -> None:
        record = path.with_name(f".{path.name}.pushed")
        with suppress(DeviceLost):  # the next job has the same path, and `clean` removes all
            self._transport.run(["rm", "-rf", str(path), str(record)], timeout_s=60.0)

    def _check(self, job: JobSpec, exit_code: int) -> None:
        if exit_code in KILLED:
            limit = f"{job.memory_bytes / 1e6:.0f} MB"
            raise OutOfMemory(
                f"the job on {self._spec.name} was killed (signal 9), probably out of memory "
                f"(limit {limit})",
                f"See the log {job.log}.",
            )


def _key(path: Path) -> str:
    return read_manifest(path).content[:32]

"""A bundle on a device: mainly for phones, and for hosts without Docker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from ..bundling import bundle as bundles
from ..bundling.contents import ARCHITECTURES
from ..containers import EngineName
from ..errors import StepFailed
from ..ondevice import store
from ..records import DeviceFacts, Image
from ..transports import Transport
from . import DeviceMount, OnLine, RuntimeRequest, running

#: a first import on a slow device, seconds
CHECK_S: Final = 300.0
MB: Final = 1_000_000


@dataclass(frozen=True)
class InstalledBundle:
    """See `InstalledRuntime`; `tree` is the bundle, unpacked on the device."""

    image: Image
    tree: PurePosixPath

    def seen(self, there: DeviceMount) -> str:
        """The path on the device: nothing is mounted."""
        return str(there.path)

    def command(
        self,
        argv: Sequence[str],
        mounts: Sequence[DeviceMount],
        env: Mapping[str, str],
        cpus: Sequence[int],
        memory_bytes: int,
    ) -> tuple[str, ...]:
        """The runner pins itself to CPUs; the memory limit makes an allocation fail."""
        limit = {"BENCH_DATA_KB": str(memory_bytes // 1024)} if memory_bytes else {}
        own = {**running.folders(mounts), **limit, **env}
        return ("env", *running.assignments(own), "sh", str(self.tree / "bin" / "python"), *argv)


def lacks(facts: DeviceFacts) -> str | None:
    """See `Provide`."""
    if facts.kind == "macos":
        return "no bundle for macOS: bundles contain Linux programs"
    known = ", ".join(ARCHITECTURES)
    return None if facts.arch in ARCHITECTURES else f"bundles support {known}, not {facts.arch}"


def why_not(image: str, facts: DeviceFacts, engine: EngineName) -> str | None:
    """See `Provide`."""
    if missing := lacks(facts):
        return missing
    reason = bundles.why_not(image, facts.arch)
    return f"{image}: {reason}" if reason else None


def provide(
    transport: Transport, wanted: RuntimeRequest, on_line: OnLine | None = None
) -> InstalledBundle:
    """See `Provide`; a new bundle is tested by importing its runtime once."""
    bundle = bundles.make(wanted.name, wanted.facts.arch, wanted.cache, wanted.log, on_line)
    placed = store.put_archive(
        transport,
        wanted.workdir,
        bundle.path,
        f"bundle-{bundle.sha256}",
        bundle.unpacked_bytes,
        wanted.device.storage_mb * MB,
        on_line,
    )
    image = Image(
        wanted.name,
        "bundle",
        bundle.path.name,
        f"sha256:{bundle.sha256}",
        bundle.cached and not placed.fresh,
        bundle.seconds,
        "none",
    )
    ready = InstalledBundle(image, placed.path)
    if placed.fresh:
        _check(transport, wanted, ready, bundle)
    return ready


def _check(
    transport: Transport, wanted: RuntimeRequest, ready: InstalledBundle, bundle: bundles.Bundle
) -> None:
    """Import the runtime; on failure the entry is removed, so that a retry starts afresh."""
    code = f"import numpy, {bundle.module}"
    argv = ready.command(("-c", code), (DeviceMount(wanted.workdir, "/job", True),), {}, (), 0)
    done = transport.run(argv, timeout_s=CHECK_S)
    if done.exit_code:
        store.remove(transport, wanted.workdir, (f"bundle-{bundle.sha256}",))
        said = running.last_line(done)
        raise StepFailed(
            f"{transport.name}: the bundle of {wanted.name} does not run: {said}",
            f"Use a {wanted.facts.arch} Linux and a folder mounted without noexec.",
        )

"""Linux hosts and boards: x86 servers and desktops, Raspberry Pis, clouds."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from ..errors import StepFailed
from ..printable import one_line
from ..records import DeviceFacts, DeviceState
from ..transports import Transport
from . import LEASES, KindSpec, hold, readings, scripts
from .answers import Readings, ask

GOVERNOR = "governor `performance` on every CPU (as root, or with sudo without a password)"
SPEC = KindSpec(
    name="linux",
    title="Linux host",
    workdir="~/.cache/bench-device",
    runtimes=("image", "bundle", "venv"),
    measures={"governor": GOVERNOR},
    leases=LEASES,
)


def read_facts(transport: Transport) -> DeviceFacts:
    """See `Kind`."""
    seen = ask(transport, SPEC, scripts.KERNEL_FACTS, scripts.HOST_FACTS, scripts.CPU_MODEL,
                        timeout_s=60.0)  # fmt: skip
    check(transport, seen)
    return host_facts(SPEC.name, seen)


def check(transport: Transport, seen: Readings) -> None:
    """Raises StepFailed if it is not a Linux host."""
    if seen.last("android"):
        raise StepFailed(f"{transport.name}: this is an Android device", "Set `kind: android`.")
    if seen.last("system") != "Linux":
        kind = "Set `kind: macos`." if seen.last("system") == "Darwin" else ""
        named = one_line(seen.last("system") or "an unnamed system")
        raise StepFailed(f"{transport.name}: not Linux but {named}", kind)


def host_facts(kind: str, seen: Readings, driver: str | None = None) -> DeviceFacts:
    """Facts of a distribution with /etc/os-release."""
    libc = next((name for name in ("glibc", "musl") if name in seen.all("libc")), None)
    return readings.facts(
        kind,
        seen,
        os=seen.last("distribution") or "Linux",
        build=seen.last("kernel"),
        libc=libc,
        soc=seen.first("cpu_model") or (seen.last("compatible") or seen.last("hardware")),
        driver=driver or nvidia(seen.last("nvidia")),
    )


def nvidia(line: str | None) -> str | None:
    """`NVIDIA 535.129.03` of /proc/driver/nvidia/version."""
    for word in (line or "").split():
        if word[0].isdigit() and "." in word:
            return f"NVIDIA {word}"
    return None


def read_state(transport: Transport) -> DeviceState:
    """See `Kind`; consistent with the runner's `state.read_state`."""
    asked = (scripts.KERNEL_STATE, scripts.CPU_MODEL)
    return readings.state(ask(transport, SPEC, *asked, timeout_s=30.0))


def steady(
    transport: Transport, allowed: Sequence[str], workdir: str
) -> AbstractContextManager[tuple[str, ...]]:
    """See `Kind`."""
    return hold.steady(transport, SPEC, allowed, workdir)


def restore(transport: Transport, workdir: str) -> tuple[str, ...]:
    """See `Kind`."""
    return hold.restore(transport, workdir)

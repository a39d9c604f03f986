"""NVIDIA Jetsons: a Linux host with L4T, tegrastats, nvpmodel and jetson_clocks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager

from ..errors import StepFailed
from ..records import DeviceFacts, DeviceState
from ..transports import Transport
from . import LEASES, KindSpec, hold, linux, rails, readings, scripts
from .answers import Readings, ask

_RELEASE = re.compile(r"R(\d+) \(release\), REVISION: ([\d.]+)")
SPEC = KindSpec(
    name="jetson",
    title="NVIDIA Jetson",
    workdir="~/.cache/bench-device",
    runtimes=("image", "bundle", "venv"),
    measures={
        "nvpmodel": "the highest power mode (MAXN_SUPER, MAXN, else mode 0)",
        "jetson_clocks": "all clocks at their maximum",
        "governor": linux.GOVERNOR,
    },
    leases=LEASES,
)


def read_facts(transport: Transport) -> DeviceFacts:
    """See `Kind`."""
    asked = (scripts.KERNEL_FACTS, scripts.HOST_FACTS, scripts.CPU_MODEL, scripts.JETSON_FACTS)
    seen = ask(transport, SPEC, *asked, timeout_s=60.0)
    linux.check(transport, seen)
    if not seen.last("tegra") and not any("tegra" in name for name in seen.all("compatible")):
        raise StepFailed(
            f"{transport.name}: not a Jetson: no /etc/nv_tegra_release, and no tegra in the "
            "device tree",
            "Set `kind: linux`.",
        )
    return linux.host_facts(SPEC.name, seen, driver(seen))


def driver(seen: Readings) -> str | None:
    """`L4T 35.4.1, JetPack 5.1.2-b104`, as far as known."""
    known = (("L4T", l4t(seen.last("tegra"))), ("JetPack", seen.last("jetpack")))
    return ", ".join(f"{name} {version}" for name, version in known if version) or None


def l4t(release: str | None) -> str | None:
    """`35.4.1` of `# R35 (release), REVISION: 4.1, GCID: …`."""
    match = _RELEASE.search(release or "")
    return f"{match[1]}.{match[2]}" if match else None


def read_state(transport: Transport) -> DeviceState:
    """See `Kind`; with power mode, board power, and alerts of the thermal driver."""
    asked = (scripts.KERNEL_STATE, scripts.CPU_MODEL, scripts.JETSON_STATE)
    seen = ask(transport, SPEC, *asked, timeout_s=30.0)
    stats = seen.last("tegrastats")
    zones = readings.zone_temperatures(seen.all("zone")) or rails.tegrastats_temperatures(stats)
    alerts = seen.all("alert")
    return readings.state(
        seen,
        temperatures_c=zones,
        hottest_c=readings.hottest_c(zones),
        throttled=any(value != "0" for value in alerts) if alerts else None,
        power_mode=power_mode(seen.all("nvpmodel")),
        power_mw=rails.tegrastats_power_mw(stats),
    )


def power_mode(lines: Sequence[str]) -> str | None:
    """`NV Power Mode: MODE_15W` of `nvpmodel -q`."""
    for line in lines:
        if line.startswith("NV Power Mode:"):
            return line.partition(":")[2].strip() or None
    return None


def steady(
    transport: Transport, allowed: Sequence[str], workdir: str
) -> AbstractContextManager[tuple[str, ...]]:
    """See `Kind`."""
    return hold.steady(transport, SPEC, allowed, workdir)


def restore(transport: Transport, workdir: str) -> tuple[str, ...]:
    """See `Kind`."""
    return hold.restore(transport, workdir)

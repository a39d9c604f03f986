"""Android phones, tablets and boxes, over ADB."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from ..errors import StepFailed
from ..records import DeviceFacts, DeviceState
from ..transports import Transport
from . import KindSpec, batteries, hold, readings, scripts, thermal_service
from .answers import Readings, ask

SPEC = KindSpec(
    name="android",
    title="Android",
    workdir="/data/local/tmp/bench",
    runtimes=("bundle",),
    measures={
        "fixed_performance": "fixed performance mode, if the vendor supports it "
        "(`cmd power set-fixed-performance-mode-enabled`)",
        "stay_awake": "stay awake while plugged in (like `svc power stayon`)",
        "governor": "governor `performance` on every CPU (requires `adb root`)",
    },
)


def read_facts(transport: Transport) -> DeviceFacts:
    """See `Kind`."""
    seen = ask(transport, SPEC, scripts.KERNEL_FACTS, scripts.ANDROID_FACTS, timeout_s=60.0)
    if not seen.last("ro.build.version.release"):
        raise StepFailed(
            f"{transport.name}: not Android: `getprop ro.build.version.release` is empty",
            "Set `kind: linux` or `kind: jetson`.",
        )
    build = seen.last("ro.build.display.id") or seen.last("ro.build.fingerprint")
    return readings.facts(
        SPEC.name,
        seen,
        os=f"Android {seen.last('ro.build.version.release')}",
        model=_joined(seen, "ro.product.manufacturer", "ro.product.model"),
        soc=_joined(seen, "ro.soc.manufacturer", "ro.soc.model")
        or seen.last("ro.board.platform")
        or seen.last("ro.hardware"),
        build=", ".join(part for part in (build, seen.last("kernel")) if part),
        libc="bionic",
    )


def _joined(seen: Readings, maker: str, model: str) -> str | None:
    """`Google Pixel 7`; the manufacturer once, if the model starts with it."""
    first, second = seen.last(maker) or "", seen.last(model) or ""
    if second.lower().startswith(first.lower()):
        return second or None
    return f"{first} {second}".strip() or None


def read_state(transport: Transport) -> DeviceState:
    """See `Kind`; sensors of the kernel, if readable, and of the thermal HAL."""
    asked = (scripts.KERNEL_STATE, scripts.CPU_MODEL, scripts.ANDROID_STATE)
    seen = ask(transport, SPEC, *asked, timeout_s=30.0)
    battery = batteries.of_service(seen.all("battery"))
    kernel = batteries.of_kernel(seen.all("supply"))
    service = thermal_service.read(seen.all("thermal"))
    found = {**service.temperatures_c, **readings.zone_temperatures(seen.all("zone"))}
    if battery.celsius is not None:
        found["battery"] = battery.celsius
    return readings.state(
        seen,
        temperatures_c=found,
        hottest_c=readings.hottest_c(found),
        throttled=service.throttled,
        battery_percent=kernel.percent if battery.percent is None else battery.percent,
        charging=kernel.charging if battery.charging is None else battery.charging,
    )


def steady(
    transport: Transport, allowed: Sequence[str], workdir: str
) -> AbstractContextManager[tuple[str, ...]]:
    """See `Kind`."""
    return hold.steady(transport, SPEC, allowed, workdir)


def restore(transport: Transport, workdir: str) -> tuple[str, ...]:
    """See `Kind`."""
    return hold.restore(transport, workdir)

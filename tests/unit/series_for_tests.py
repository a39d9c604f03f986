"""Readings as a sampler would have seen them, for tests of what is made of them."""

from __future__ import annotations

from collections.abc import Sequence

from harness.records import DeviceState, Reading

STATE = DeviceState("2026-01-01T00:00:00Z")
BEGAN_S = 100.0


def series(
    count: int = 20,
    *,
    khz: int | Sequence[int] = 2_800_000,
    celsius: float | Sequence[float] = 50.0,
    **fields: object,
) -> list[Reading]:
    """Half a second apart, cpu4 under full load; any other field stays the same."""
    clocks = [khz] * count if isinstance(khz, int) else list(khz)
    heat = [celsius] * count if isinstance(celsius, float) else list(celsius)
    common: dict[str, object] = {
        "busy_percent": {"0": 3.0, "4": 99.0},
        "cpu_pressure_percent": 0.5,
        "memory_pressure_percent": 0.0,
        "steal_percent": 0.0,
        **fields,
    }
    return [
        Reading(
            BEGAN_S + i / 2,
            frequency_khz={"0": 600_000, "4": clocks[i]},
            limit_khz={"0": 1_800_000, "4": 2_841_600},
            temperatures_c={"cpu-1-0-usr": heat[i]},
            **common,  # type: ignore[arg-type]
        )
        for i in range(count)
    ]

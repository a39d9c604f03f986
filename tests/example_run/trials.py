"""Trials of the made-up run: samples that arrive in every way, and what a trial says of itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.records import (
    Arrivals,
    Cell,
    Energy,
    PhaseMemory,
    RateTried,
    Trial,
)

_LOCAL: Final[dict[tuple[str, str], str]] = {
    ("openvino", "fp32"): "server",
    ("onnx", "fp16"): "camera",
    ("tflite", "fp32"): "offline",
}
_MINUTES: Final = 10
_BOUND_MS: Final = 60.0
#: how much slower a format is on the hot device
_HEAT: Final = {"onnx": 0.75, "openvino": 0.55, "tflite": 0.08}


@dataclass(frozen=True)
class Samples:
    """Nanoseconds from the trial's first sample on."""

    latency: NDArray[np.int64]
    start: NDArray[np.int64]
    warmup: NDArray[np.int64]

    @property
    def seconds(self) -> float:
        """To the end of the last sample."""
        return float(self.start[-1] + self.latency[-1]) / 1e9

    def arrays(self, began_s: float) -> dict[str, NDArray[np.int64]]:
        """As `samples.npz` has them, for a process whose clock is at `began_s`."""
        return {
            "latency_ns": self.latency,
            "start_ns": self.start + int(began_s * 1e9),
            "warmup_ns": self.warmup,
            "e2e_ns": self.latency[:64] + 5_400_000,
        }


def pattern_of(cell: Cell) -> str:
    """Every pattern once on the host, and minutes of work on the board that heats up."""
    if cell.device == "local":
        return _LOCAL.get((cell.format, cell.precision), "single")
    return "sustained" if (cell.device, cell.precision) == ("jetson", "fp16") else "single"


def samples(
    cell: Cell, pattern: str, index: int, middle: float, count: int, rng: np.random.Generator
) -> Samples:
    """Log-normal latencies around `middle` ms with one slow in a hundred."""
    spread = rng.lognormal(0.0, 0.02, count) * (1 + 0.003 * index)
    slow = rng.random(count) < 0.01
    scale = np.where(slow, spread * 1.3, spread)
    tight = (middle * 1e6 * scale).astype(np.int64)
    if pattern == "camera":
        paced = (tight * 1.18).astype(np.int64)
        return Samples(paced, np.arange(count) * 100_000_000 // 3, tight[:120])
    if pattern == "sustained":
        start = np.linspace(0, _MINUTES * 60e9, count).astype(np.int64)
        warm = 1 / (1 + np.exp(-(start / 60e9 - 3.5)))
        hot = tight * (1 + _HEAT.get(cell.format, 0.3) * warm)
        return Samples(hot.astype(np.int64), start, tight[:40])
    return Samples(tight, np.cumsum(tight + 20_000) - tight, tight[:40])


def told(trial: Trial, cell: Cell, pattern: str, made: Samples) -> Trial:
    """The trial with its memory, threads, arrivals and energy."""
    base, peak = 41_000_000, trial.peak_rss_bytes
    split = PhaseMemory(
        base, base + (peak - base) // 3, base + (peak - base) * 3 // 4, peak,
        "end" if cell.device.startswith("phone") else "peak",
    )  # fmt: skip
    return replace(
        trial,
        affinity=tuple(range(cell.threads)),
        memory=split,
        busy_threads=cell.threads,
        thread_percent=(99.4,) * cell.threads + (1.2,),
        sampler_cpu_percent=0.4,
        energy=_energy(cell, made),
        arrivals=_arrivals(pattern, made),
    )


def _energy(cell: Cell, made: Samples) -> Energy | None:
    ms = float(np.median(made.latency)) / 1e6
    if cell.device == "local":
        return Energy(ms * 11.2, 3.1, 14.3, "on-board rail: RAPL package-0")
    if cell.device == "jetson":
        return Energy(
            ms * 6.4, None, 6.4, "on-board rail: INA3221 VDD_IN", "idle power not measured"
        )
    if cell.device.startswith("phone"):
        return Energy(note="the battery gauge did not change during the timed loop")
    return None


def _arrivals(pattern: str, made: Samples) -> Arrivals:
    count, ms = len(made.latency), made.latency / 1e6
    plain = Arrivals(pattern, count, made.seconds, count / made.seconds)
    if pattern == "camera":
        return replace(plain, rate_hz=30.0, response_p50_ms=float(np.median(ms)) + 0.4,
                       response_p90_ms=float(np.quantile(ms, 0.9)) + 0.9, dropped=4)  # fmt: skip
    if pattern == "sustained":
        tenth = max(1, count // _MINUTES)
        ends = float(np.median(ms[:tenth])), float(np.median(ms[-tenth:]))
        return replace(plain, first_minute_ms=ends[0], last_minute_ms=ends[1])
    if pattern == "server":
        rates = tuple(_rate(hz, float(np.median(ms))) for hz in (28.3, 42.5, 35.4, 38.9, 40.7))
        kept = max(r.rate_hz for r in rates if r.kept)
        plain = replace(plain, rate_hz=kept, bound_ms=_BOUND_MS, response_p50_ms=21.7)
        plain = replace(plain, response_p90_ms=36.2, response_p99_ms=57.4)
        return replace(plain, rates=rates, best_rate_hz=kept)
    return plain


def _rate(hz: float, ms: float) -> RateTried:
    """Waiting as a single queue has it, near enough for a picture."""
    load = min(0.95, hz * ms / 1000)
    p99 = ms * (1 + 1.3 * load / (1 - load))
    kept = p99 <= _BOUND_MS
    n = 662 if kept else 311
    return RateTried(hz, n, ms * 1.2, p99 if kept else None, p99 * 1.3, 2 if kept else 7, kept)

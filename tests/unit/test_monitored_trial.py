"""A trial between two looks at its device: what is waited for, kept, thrown away, told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from records_for_tests import STATE, trial

from harness.errors import DeviceLost, StepFailed
from harness.monitor import state_file
from harness.records import DeviceSpec, DeviceState, Trial
from harness.run.monitored_trial import Monitoring, monitored, quiet_s
from harness.runner.job import PROFILES
from harness.transports.local import LocalTransport

HOT = replace(STATE, throttled=True)
VOID = "throttled: reported by the system after the trial; let the device cool"
FOLDER = trial().folder


class Device:
    """Satisfies of `target.Target` what a trial needs; its states are given, look by look."""

    def __init__(self, workdir: Path, states: list[DeviceState]) -> None:
        self.spec = DeviceSpec("local", "linux", "local")
        self.transport, self.workdir = LocalTransport("local"), str(workdir)
        self.states, self.did = iter(states), list[str]()
        self.lost = iter(list[str | None]())
        self.kind = SimpleNamespace(read_state=self.read_state)

    def read_state(self, transport: object) -> DeviceState:
        self.did.append("look")
        return next(self.states)

    def all_cpus(self) -> tuple[int, ...]:
        return (0, 1)

    def claim(self, on_wait: Callable[[str], None]) -> None:
        self.did.append("claim")

    def why_unsure(self, since: float) -> str | None:
        return next(self.lost, None)

    @contextmanager
    def steady(self) -> Iterator[tuple[str, ...]]:
        self.did.append("hold")
        try:
            yield ("governor",)
        finally:
            self.did.append("restore")


Run = Callable[..., tuple[Trial, tuple[str, ...], Device]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def run(
        states: list[DeviceState],
        trouble: Exception | None = None,
        lost: Iterable[str | None] = (),
    ) -> Any:
        device = Device(tmp_path, states)
        device.lost = iter(lost)
        target: Any = device

        def measure() -> Trial:
            device.did.append("measure")
            if trouble:
                raise trouble
            (tmp_path / FOLDER).mkdir(parents=True)
            marked = np.full(3, 1_000_000 + device.did.count("measure"), np.int64)
            start = np.arange(3, dtype=np.int64) * 2_000_000
            np.savez(tmp_path / FOLDER / "samples.npz", latency_ns=marked, start_ns=start)
            return replace(trial(), boot_offset_s=time.clock_gettime(time.CLOCK_BOOTTIME))

        how = Monitoring(target, tmp_path, (1,), 30.0, 0.0, lambda reason: None)
        made, held = monitored(how, measure)
        return made, held, device

    return run


def first_latency(folder: Path) -> int:
    with np.load(folder / "samples.npz") as samples:
        return int(samples["latency_ns"][0])


def test_a_trial_is_measured_on_a_held_device_and_looked_at_before_and_after(
    run: Run, tmp_path: Path
) -> None:
    made, held, device = run([STATE, STATE])
    assert device.did == ["claim", "look", "hold", "measure", "restore", "look"]
    assert (held, made.void, made.voided) == (("governor",), "", ())
    watched = state_file.read(tmp_path / FOLDER / "state.jsonl")
    assert watched.readings
    assert made.sampler_cpu_percent == watched.sampler_cpu_percent


def test_what_the_first_look_shows_is_noted(run: Run) -> None:
    made, _, _ = run([replace(STATE, charging=True), STATE])
    assert "the device was charging, which heats it and raises power limits" in made.state_notes


def test_a_throttled_trial_is_set_apart_and_the_next_one_counts(run: Run, tmp_path: Path) -> None:
    made, _, device = run([STATE, HOT, STATE, STATE])
    assert device.did.count("measure") == 2
    assert (made.voided, made.void) == ((VOID,), "")
    assert first_latency(tmp_path / FOLDER) == 1_000_002
    assert first_latency(tmp_path / f"{FOLDER}-discarded-1") == 1_000_001
    assert (tmp_path / f"{FOLDER}-discarded-1" / "state.jsonl").is_file()


def test_a_device_that_throttles_three_times_has_an_invalid_trial(run: Run, tmp_path: Path) -> None:
    made, _, _ = run([STATE, HOT] * 3)
    assert made.void == f"discarded 3 times; last reason: {VOID}"
    assert made.voided == (VOID, VOID)
    kept = sorted(path.name for path in (tmp_path / FOLDER).parent.iterdir())
    assert kept == ["trial-0", "trial-0-discarded-1", "trial-0-discarded-2"]


def test_what_an_interrupted_run_set_apart_is_replaced(run: Run, tmp_path: Path) -> None:
    old = tmp_path / f"{FOLDER}-discarded-1"
    old.mkdir(parents=True)
    (old / "old").touch()
    run([STATE, HOT, STATE, STATE])
    assert not (old / "old").exists()
    assert first_latency(old) == 1_000_001


def test_a_device_with_a_low_battery_is_neither_held_nor_measured(run: Run) -> None:
    with pytest.raises(StepFailed, match="battery at 12 %, at least 30 % required"):
        run([replace(STATE, battery_percent=12.0)])


def test_a_device_that_is_lost_in_a_trial_is_restored_and_not_tried_again(
    run: Run, tmp_path: Path
) -> None:
    with pytest.raises(DeviceLost, match="dut: gone"):
        run([STATE, STATE], DeviceLost("dut: gone"))
    assert not (tmp_path / FOLDER).exists()


def test_only_profiles_of_long_trials_wait_for_background_load() -> None:
    waits = {name: quiet_s(rules) for name, rules in PROFILES.items()}
    assert {name for name, seconds in waits.items() if seconds} == {"full", "mlperf"}
    assert waits["full"] == 30.0


LOST = "the lease was lost: it was not renewed for more than 120 s"


def test_a_trial_that_another_may_have_disturbed_is_set_apart_and_measured_again(
    run: Run, tmp_path: Path
) -> None:
    made, _, device = run([STATE] * 4, lost=[LOST, None])
    assert device.did.count("claim") == 2
    assert (made.voided, made.void) == ((LOST,), "")
    assert first_latency(tmp_path / FOLDER) == 1_000_002


def test_a_lease_that_is_lost_again_and_again_makes_the_trial_invalid(run: Run) -> None:
    made, _, _ = run([STATE] * 6, lost=[LOST] * 3)
    assert made.void == f"discarded 3 times; last reason: {LOST}"

"""The sampler on real devices' shells, over every transport, while a made-up /sys is moved."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from transport_servers import Device, processes, wait_for
from transport_servers.phone import Phone
from transport_servers.sshd import Sshd

from harness.monitor import state_file
from harness.monitor.energy import energy_of, window_of
from harness.monitor.judge import UNALIGNED, Verdicts, judge_state
from harness.monitor.parse import Parser
from harness.monitor.retry import run_with_redo
from harness.monitor.sampler import Watch
from harness.monitor.sampler_script import command
from harness.records import DeviceSpec, DeviceState, Reading, Watched
from harness.transports import Transport, connect

pytestmark = pytest.mark.servers  # and the shells of scripts/system-packages

STATE = DeviceState("2026-01-01T00:00:00Z")
SHELLS = (["dash"], ["bash", "--posix"], ["mksh"], ["busybox", "sh"])
served_only = pytest.mark.parametrize("device", ["ssh", "adb"], indirect=True)
ZONE = "sys/class/thermal/thermal_zone0/temp"
CLOCK = "sys/devices/system/cpu/cpu4/cpufreq/scaling_cur_freq"
FILES = {
    "sys/devices/system/cpu/cpu0/cpufreq/affected_cpus": "0 1 2 3",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "600000",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq": "1800000",
    "sys/devices/system/cpu/cpu1/cpufreq/affected_cpus": "0 1 2 3",
    "sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq": "600000",
    "sys/devices/system/cpu/cpu4/cpufreq/affected_cpus": "4",
    CLOCK: "2841600",
    "sys/devices/system/cpu/cpu4/cpufreq/scaling_max_freq": "2841600",
    "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "5",
    "sys/devices/system/cpu/cpu4/thermal_throttle/core_throttle_count": "7",
    "sys/class/thermal/thermal_zone0/type": "cpu-1-0-usr",
    ZONE: "45000",
    "sys/class/thermal/thermal_zone1/type": "gpuss 0",
    "sys/class/thermal/thermal_zone1/temp": "41000",
    "sys/class/thermal/cooling_device0/type": "thermal-cpufreq-4",
    "sys/class/thermal/cooling_device0/cur_state": "0",
    "sys/class/hwmon/hwmon0/name": "k10temp",
    "sys/class/hwmon/hwmon0/temp1_input": "47000",
    "sys/class/hwmon/hwmon1/name": "ina3221",
    "sys/class/hwmon/hwmon1/in1_label": "VDD_IN",
    "sys/class/hwmon/hwmon1/in1_input": "5000",
    "sys/class/hwmon/hwmon1/curr1_input": "1200",
    "sys/class/hwmon/hwmon2/name": "soctherm_oc",
    "sys/class/hwmon/hwmon2/oc1_event_cnt": "3",
    "sys/class/powercap/intel-rapl:0/name": "package-0",
    "sys/class/powercap/intel-rapl:0/max_energy_range_uj": "262143328850",
    "sys/class/powercap/intel-rapl:0/energy_uj": "1000000",
    "sys/class/power_supply/battery/type": "Battery",
    "sys/class/power_supply/battery/current_now": "-215000",
    "sys/class/power_supply/battery/voltage_now": "4000000",
    "sys/class/power_supply/battery/capacity": "87",
    "sys/class/power_supply/battery/status": "Discharging",
    "sys/class/power_supply/mouse/type": "Battery",
    "sys/class/power_supply/mouse/scope": "Device",
    "sys/class/power_supply/mouse/capacity": "3",
    "proc/pressure/cpu": "some avg10=0.00 avg60=0.00 avg300=0.00 total=1000",
    "proc/pressure/memory": "some avg10=0.00 avg60=0.00 avg300=0.00 total=0",
    "proc/meminfo": "MemTotal: 8000000 kB\nMemFree: 100 kB\nMemAvailable: 5000000 kB",
    "proc/stat": "cpu  9 9 9 9\ncpu0 0 0 0 100 0 0 0 0 0 0\ncpu4 100 0 0 0 0 0 0 0 0 0\nintr 1 2",
}


class Tree:
    """A made-up /sys and /proc that a test moves while it is read."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name, value in FILES.items():
            self.put(name, value)

    def put(self, name: str, value: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        part.write_text(value + "\n")
        part.replace(path)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "a tree")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Device]]:
    started: dict[str, Device] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        started["ssh"] = Sshd(tmp_path_factory.mktemp("ssh"))
        started["adb"] = Phone(tmp_path_factory.mktemp("adb"))
        yield started
        for server in started.values():
            server.stop()


@pytest.fixture(params=["local", "ssh", "adb"])
def device(request: pytest.FixtureRequest) -> Device | None:
    """None is this machine, which cannot be lost."""
    if request.param == "local":
        return None
    found: Device = request.getfixturevalue("servers")[request.param]
    return found


@pytest.fixture
def transport(device: Device | None) -> Iterator[Transport]:
    where = (device.transport, device.address) if device else ("local", "")
    made = connect(DeviceSpec("dut", "linux", *where))
    yield made
    made.close()


def watch(transport: Transport, tree: Tree, **options: object) -> Watch:
    options = {"deadline_s": 60, "cpus": (4,), **options}
    there = tree.root.parent / "device"
    return Watch(transport, "linux", str(there), root=str(tree.root), **options)  # type: ignore[arg-type]


def more(watching: Watch, count: int) -> None:
    """Until so many further readings are there."""
    least = len(watching.readings) + count
    wait_for(lambda: len(watching.readings) >= least, 20)


def judged(watched: Watched) -> Verdicts:
    return judge_state(watched.readings, STATE, STATE, cpus=(4,))


def samplers(folder: Path) -> list[str]:
    return [line for _, _, line in processes() if f"{folder}/watch-" in line]


# ---- readings ----------------------------------------------------------------------------------


def test_every_sensor_is_read(transport: Transport, tree: Tree) -> None:
    with watch(transport, tree) as watching:
        more(watching, 1)
    first = watching.readings[0]
    assert first == Reading(
        at_s=first.at_s,
        frequency_khz={"0": 600000, "1": 600000, "2": 600000, "3": 600000, "4": 2841600},
        limit_khz={"0": 1800000, "1": 1800000, "2": 1800000, "3": 1800000, "4": 2841600},
        temperatures_c={"cpu-1-0-usr": 45.0, "gpuss 0": 41.0, "k10temp": 47.0},
        cooling={"thermal-cpufreq-4": 0},
        throttle_counts={"cpu4 core_throttle_count": 7, "oc1_event_cnt": 3},
        memory_available_bytes=5_120_000_000,
        power_w={"INA3221 VDD_IN": 6.0, "battery": 0.86},
        energy_uj={"RAPL package-0": 1_000_000},
        battery_percent=87.0,
        charging=False,
    )
    assert watching.watched.counter_range_uj == {"RAPL package-0": 262143328850}
    assert watching.watched.notes == (
        f"state is read from {tree.root}, not from the system's files",
    )
    assert watching.watched.sampler_cpu_percent is not None


def load(tree: Tree, seconds: float) -> None:
    """cpu4 has worked so long, cpu0 has not."""
    ticks = round(100 * seconds)
    stat = f"cpu  1 1\ncpu0 0 0 0 {100 + ticks} 0 0 0 0\ncpu4 {100 + ticks} 0 0 0 0 0 0 0\nintr 1"
    tree.put("proc/stat", stat)


def under_load(watching: Watch, tree: Tree, count: int) -> None:
    """So many readings, of a device that is busy at each."""
    for _ in range(count):
        load(tree, (watching.now_s() or 0.0) + 1)
        more(watching, 1)


def test_a_device_that_is_heated_in_the_middle_is_void(transport: Transport, tree: Tree) -> None:
    with watch(transport, tree) as watching:
        under_load(watching, tree, 4)
        tree.put(ZONE, "86000")
        tree.put(CLOCK, "1500000")
        under_load(watching, tree, 4)
        tree.put("sys/class/thermal/cooling_device0/cur_state", "6")
        under_load(watching, tree, 2)
    verdicts = judged(watching.watched)
    assert verdicts.void == (
        "throttled: by the kernel (cooling device thermal-cpufreq-4 from 0 to 6)"
    )
    assert "fell from 2.84 GHz to 1.5 GHz (47 %) under load" in verdicts.flags[0]
    assert "cpu-1-0-usr heated up by 41 °C" in verdicts.flags[1]


@pytest.mark.parametrize("device", ["adb"], indirect=True)
def test_a_phone_that_gets_hot_in_every_try_is_invalid(transport: Transport, tree: Tree) -> None:
    def measure(attempt: int) -> Watched:
        tree.put("sys/class/thermal/cooling_device0/cur_state", "0")
        with watch(transport, tree) as watching:
            tree.put("sys/class/thermal/cooling_device0/cur_state", str(attempt + 1))
            more(watching, 2)
        return watching.watched

    done = run_with_redo(measure, lambda watched: judged(watched).void)
    slowed = "throttled: by the kernel (cooling device thermal-cpufreq-4 from 0 to"
    assert done.voided == (f"{slowed} 1)", f"{slowed} 2)")
    assert done.invalid == f"discarded 3 times; last reason: {slowed} 3)"


@pytest.mark.parametrize("value", [None, "4095", "-274000", "", "no number"])
def test_a_sensor_that_breaks_while_it_is_read_is_named(tree: Tree, value: str | None) -> None:
    transport = connect(DeviceSpec("dut", "linux", "local"))
    with watch(transport, tree) as watching:
        more(watching, 3)
        if value is None:
            (tree.root / ZONE).unlink()
        else:
            tree.put(ZONE, value)
        more(watching, 3)
    last = watching.readings[-1].temperatures_c
    assert last.get("cpu-1-0-usr") == {"4095": 4.095, "-274000": -274.0}.get(str(value))
    flags = judged(watching.watched).flags
    what = "implausible reading" if "cpu-1-0-usr" in last else "no more readings"
    assert flags[0].startswith(f"temperature sensor cpu-1-0-usr: {what}")
    assert len(watching.readings) >= 6


def test_energy_comes_from_a_counter_that_moves(tree: Tree) -> None:
    transport = connect(DeviceSpec("dut", "linux", "local"))
    with watch(transport, tree) as watching:
        idle = watching.idle(1.0)
        began_s = watching.readings[-1].at_s
        for step in range(1, 4):
            tree.put("sys/class/powercap/intel-rapl:0/energy_uj", str(1_000_000 + step * 9_000_000))
            more(watching, 2)  # the first of them may have been under way
        ended_s = watching.readings[-1].at_s
    energy = energy_of(watching.watched, (began_s, ended_s), 100, idle)
    assert energy.tier == "on-board rail: RAPL package-0"
    assert energy.note == (
        "idle power not subtracted: RAPL package-0 did not change (virtual machine?)"
    )
    assert energy.per_inference_mj == pytest.approx(270.0)


def test_this_machine_says_what_it_can(tmp_path: Path) -> None:
    transport = connect(DeviceSpec("here", "linux", "local"))
    with Watch(transport, "linux", str(tmp_path), 30, apart=(0,)) as watching:
        more(watching, 2)
    last = watching.readings[-1]
    assert len(last.busy_percent) == os.cpu_count()
    assert last.memory_available_bytes
    assert last.at_s == pytest.approx(float(Path("/proc/uptime").read_text().split()[0]), abs=5)
    assert watching.watched.notes == ()
    state_file.write(tmp_path / "state.jsonl", watching.watched)
    assert state_file.read(tmp_path / "state.jsonl") == watching.watched


BUSY = """\
import time
began = time.perf_counter_ns()
while time.perf_counter_ns() < began + 2 * 10**9:
    pass
ahead = time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
print(began, time.perf_counter_ns() - began, ahead)
"""


def test_samples_and_readings_have_one_clock(tmp_path: Path) -> None:
    transport = connect(DeviceSpec("here", "linux", "local"))
    with Watch(transport, "linux", str(tmp_path), 60) as watching:
        done = transport.run([sys.executable, "-S", "-c", BUSY], timeout_s=30)
        more(watching, 2)
    began, took, ahead = done.text.split()
    window = window_of([int(began)], [int(took)], float(ahead))
    assert window is not None
    inside = [r for r in watching.readings if window[0] <= r.at_s <= window[1]]
    assert len(inside) >= 2
    assert watching.readings[0].at_s <= window[0] < window[1] <= watching.readings[-1].at_s
    assert max(sum(r.busy_percent.values()) for r in inside) > 80
    verdicts = judge_state(watching.readings, STATE, STATE, window=window)
    assert UNALIGNED not in verdicts.notes


def test_androids_thermal_service_is_asked(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = tmp_path / "bin/dumpsys"
    stand_in.parent.mkdir()
    stand_in.write_text(
        '#!/bin/sh\necho "Thermal Status: 3"\necho "Cached temperatures:"\n'
        'echo "  Temperature{mValue=99.0, mType=0, mName=OLD, mStatus=2}"\n'
        'sleep 1.2\necho "Current temperatures from HAL:"\n'
        'echo "  Temperature{mValue=43.2, mType=3, mName=SKIN, mStatus=2}"\n'
    )
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{stand_in.parent}:{os.environ['PATH']}")
    transport = connect(DeviceSpec("dut", "android", "local"))
    with Watch(transport, "android", str(tmp_path), 60, root=str(tree.root)) as watching:
        wait_for(lambda: watching.readings[-1].thermal_status is not None, 20)
    first, *_, last = watching.readings
    times = [reading.at_s for reading in watching.readings]
    assert max(b - a for a, b in zip(times, times[1:], strict=False)) < 1.2  # nobody waits for it
    assert (first.thermal_status, last.thermal_status) == (None, 3)
    assert (last.temperatures_c["hal SKIN"], "hal OLD" in last.temperatures_c) == (43.2, False)
    assert "severe" in str(judged(watching.watched).void)


def test_the_environment_can_name_another_tree(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_SYSFS", str(tree.root))
    transport = connect(DeviceSpec("dut", "linux", "local"))
    with Watch(transport, "linux", str(tmp_path), 60) as watching:
        pass
    assert watching.readings[0].temperatures_c["cpu-1-0-usr"] == 45.0
    assert watching.watched.notes[0].startswith(f"state is read from {tree.root}")


# ---- its pace and its end ----------------------------------------------------------------------


def test_it_reads_at_most_twice_a_second(tree: Tree) -> None:
    transport = connect(DeviceSpec("dut", "linux", "local"))
    with watch(transport, tree) as watching:
        more(watching, 4)
    times = [reading.at_s for reading in watching.readings]
    assert min(b - a for a, b in zip(times, times[1:], strict=False)) >= 0.49
    with pytest.raises(ValueError, match="exceeds 2 Hz"):
        watch(transport, tree, period_s=0.25)


def test_nothing_of_it_is_left(transport: Transport, tree: Tree) -> None:
    there = tree.root.parent / "device"
    with watch(transport, tree) as watching:
        assert len(list(there.iterdir())) == 1
        assert samplers(there)
    assert watching.over
    assert list(there.iterdir()) == []
    wait_for(lambda: not samplers(there), 10)


def test_it_ends_when_the_measurement_fails(tree: Tree) -> None:
    there = tree.root.parent / "device"
    transport = connect(DeviceSpec("dut", "linux", "local"))
    with pytest.raises(KeyError), watch(transport, tree):
        raise KeyError
    wait_for(lambda: not samplers(there), 10)
    assert list(there.iterdir()) == []


def test_it_ends_at_its_own_deadline(tree: Tree) -> None:
    transport = connect(DeviceSpec("dut", "linux", "local"))
    with watch(transport, tree, deadline_s=1) as watching:
        wait_for(lambda: watching.over, 10)
    assert "the sampler ended: deadline reached" in watching.watched.notes
    assert list((tree.root.parent / "device").iterdir()) == []


@served_only
def test_a_lost_connection_is_a_note_and_ends_it_on_the_device(
    device: Device, transport: Transport, tree: Tree
) -> None:
    there = tree.root.parent / "device"
    with watch(transport, tree) as watching:
        more(watching, 2)
        device.drop()
        wait_for(lambda: watching.over, 30)
    (_, note) = watching.watched.notes
    assert note.startswith("lost the sampler: dut: connection lost ")
    assert note.endswith("; state unknown from then on")
    assert len(watching.readings) >= 3
    wait_for(lambda: not samplers(there), 15)


@served_only
def test_a_device_that_is_gone_is_a_note(device: Device, transport: Transport, tree: Tree) -> None:
    device.stop()
    try:
        with watch(transport, tree) as watching:
            assert watching.idle(1.0) is None
            assert watching.now_s() is None
    finally:
        device.start()
    assert watching.readings == ()
    assert watching.watched.notes[0].startswith("lost the sampler: dut: ")


def test_a_folder_that_cannot_be_written_is_a_note(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    transport = connect(DeviceSpec("dut", "linux", "local"))
    with Watch(transport, "linux", str(tmp_path / "file/x"), 30) as watching:
        pass
    assert watching.watched.notes[0].startswith("the sampler ended: cannot write ")


# ---- shells ------------------------------------------------------------------------------------


def sampled(
    argv: list[str], tree: Tree, there: Path, kind: str = "linux", **options: object
) -> tuple[Parser, list[Reading]]:
    """What the script says under a shell, to its deadline of two seconds."""
    line = command(kind, there / "on", 2, root=str(tree.root), **options)  # type: ignore[arg-type]
    done = subprocess.run(
        [*argv, *line[1:]], capture_output=True, text=True, check=True, timeout=30
    )
    parser = Parser()
    readings = [parser.feed(text) for text in done.stdout.splitlines()]
    assert done.stderr == ""
    return parser, [reading for reading in readings if reading]


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
def test_each_shell_says_the_same(shell: list[str], tree: Tree, tmp_path: Path) -> None:
    parser, readings = sampled(shell, tree, tmp_path, cpus=(4,))
    assert len(readings) >= 2
    assert readings[0].temperatures_c == {"cpu-1-0-usr": 45.0, "gpuss 0": 41.0, "k10temp": 47.0}
    assert readings[0].throttle_counts == {"cpu4 core_throttle_count": 7, "oc1_event_cnt": 3}
    assert readings[0].energy_uj == {"RAPL package-0": 1_000_000}
    assert (parser.damaged, parser.ended, parser.cpu_percent is not None) == (0, True, True)
    assert not (tmp_path / "on").exists()


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
def test_each_shell_reads_a_thors_input_and_the_die_of_a_ryzen(
    shell: list[str], tree: Tree, tmp_path: Path
) -> None:
    tree.put("sys/class/hwmon/hwmon0/temp2_label", "Tdie")
    tree.put("sys/class/hwmon/hwmon0/temp2_input", "37000")
    tree.put("sys/class/hwmon/hwmon3/name", "ina238")
    tree.put("sys/class/hwmon/hwmon3/power1_input", "28548000")
    _, readings = sampled(shell, tree, tmp_path, "jetson")
    assert readings[0].temperatures_c["k10temp"] == 37.0
    assert readings[0].power_w["INA238 VIN"] == 28.548
    _, readings = sampled(shell, tree, tmp_path, "linux")  # it may measure anything elsewhere
    assert list(readings[0].power_w) == ["INA3221 VDD_IN", "battery"]


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
def test_each_shell_tells_that_a_thermal_service_has_no_hal(
    shell: list[str], tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = tmp_path / "bin/dumpsys"
    stand_in.parent.mkdir()
    said = "IsStatusOverride: false|Thermal Status: 0|Cached temperatures:|HAL Ready: false"
    stand_in.write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in said.split("|")))
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{stand_in.parent}:{os.environ['PATH']}")
    parser, readings = sampled(shell, tree, tmp_path, "android")
    assert parser.notes[1:] == ["the thermal service has no HAL: throttling not monitored",
                                "the sampler ended: deadline reached"]  # fmt: skip
    assert {reading.thermal_status for reading in readings} == {None}


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
def test_each_shell_goes_on_when_all_sensors_vanish(
    shell: list[str], tree: Tree, tmp_path: Path
) -> None:
    line = command("linux", tmp_path / "on", 3, root=str(tree.root))  # type: ignore[arg-type]
    running = subprocess.Popen([*shell, *line[1:]], stdout=subprocess.PIPE, text=True)
    wait_for(lambda: (tmp_path / "on").exists())
    time.sleep(0.8)
    shutil.rmtree(tree.root)
    text, _ = running.communicate(timeout=30)
    parser = Parser()
    readings = [reading for line in text.splitlines() if (reading := parser.feed(line))]
    assert (parser.damaged, parser.ended) == (0, True)
    assert readings[0].temperatures_c
    assert readings[-1].temperatures_c == {}


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
def test_it_needs_no_program_but_sleep_mkdir_and_rm(
    shell: list[str], tree: Tree, tmp_path: Path
) -> None:
    few = tmp_path / "bin"
    few.mkdir()
    for name in ("sleep", "mkdir", "rm"):
        (few / name).symlink_to(str(shutil.which(name)))
    argv = [str(shutil.which(shell[0])), *shell[1:]]
    _, readings = sampled(["env", f"PATH={few}", *argv], tree, tmp_path)
    assert len(readings) >= 2
    assert not (tmp_path / "on").exists()


def test_sensors_that_this_user_may_not_read_are_told(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    top = tmp_path_factory.mktemp("open")
    for folder in (top, *top.parents[:2]):
        folder.chmod(0o755)
    tree = Tree(top / "tree")
    (top / "device").mkdir()
    (top / "device").chmod(0o777)
    (tree.root / "sys/class/powercap/intel-rapl:0/energy_uj").chmod(0o400)
    (tree.root / ZONE).chmod(0)
    nobody = ["setpriv", "--reuid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    parser, readings = sampled([*nobody, "sh"], tree, top / "device")
    assert parser.unreadable == (["temperature", "rapl_uj"] if nobody else ["temperature"])
    assert readings[0].temperatures_c == {"gpuss 0": 41.0, "k10temp": 47.0}

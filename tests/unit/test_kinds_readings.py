"""What tools and files of devices say becomes facts and states; nonsense becomes nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness import kinds
from harness.errors import StepFailed
from harness.kinds import android, cpus, jetson, linux, macos, rails, scripts
from harness.kinds.answers import Readings
from harness.runner import state as runner_state
from harness.transports import Completed, OnLine
from harness.transports.local import LocalTransport

DATA = Path(__file__).parents[1] / "data" / "devices"
CPU = "sys/devices/system/cpu"
MEMINFO = "MemTotal:        7802880 kB\nMemFree:          912345 kB\nMemAvailable:    4194304 kB\n"


class Made:
    """A made-up device: files under a root, stand-ins for its commands, any shell."""

    name = "dut"

    def __init__(self, folder: Path, shell: Sequence[str] = ("sh",)) -> None:
        self.root, self.bin, self._shell = folder / "root", folder / "bin", list(shell)
        self.bin.mkdir()
        for tool in ("df", "tr", "id", "sleep"):
            (self.bin / tool).symlink_to(str(shutil.which(tool)))
        self.command("uname", 'case $1 in -m) echo aarch64 ;; -s) echo Linux ;; '
                     '-r) echo 5.15.148 ;; *) echo Linux 5.15.148 aarch64 ;; esac')  # fmt: skip
        self.file("proc/meminfo", MEMINFO)

    def file(self, path: str, text: str) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def command(self, name: str, text: str) -> None:
        (self.bin / name).write_text(f"#!/bin/sh\n{text}\n")
        (self.bin / name).chmod(0o755)

    def says(self, name: str, recorded: str) -> None:
        self.command(name, f'while IFS= read -r line; do echo "$line"; done <{DATA / recorded}')

    def run(
        self, argv: Sequence[str], *, timeout_s: float, on_line: OnLine | None = None
    ) -> Completed:
        where = shutil.which(self._shell[0])
        assert where is not None
        command = [where, *self._shell[1:], *argv[1:]]
        env = {"PATH": f"{self.bin}", "HOME": "/home/me", "BENCH_SYSFS": str(self.root)}
        done = subprocess.run(command, env=env, capture_output=True, timeout=60, check=False)
        assert done.stderr == b""
        return Completed(done.returncode, done.stdout, done.stderr, 0.0)


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)


def phone(made: Made) -> Made:
    made.file("system/bin/sh", "")
    (made.root / "system/bin/sh").chmod(0o755)
    for cpu, capacity, policy in ((0, 325, 0), (1, 325, 0), (2, 838, 2), (3, 1024, 3)):
        made.file(f"{CPU}/cpu{cpu}/cpu_capacity", f"{capacity}\n")
        made.file(f"{CPU}/cpu{cpu}/cpufreq/scaling_cur_freq", f"{300000 + cpu}\n")
        made.file(f"{CPU}/cpu{cpu}/cpufreq/scaling_governor", "schedutil\n")
        made.file(f"{CPU}/cpufreq/policy{policy}/scaling_governor", "schedutil\n")
        for word, khz in (("min", 300000), ("cur", 1100000), ("max", 1800000)):
            made.file(f"{CPU}/cpufreq/policy{policy}/scaling_{word}_freq", f"{khz}\n")
    made.file(f"{CPU}/online", "0-3\n")
    for zone, (kind, value) in enumerate(
        [("cpu-0", "45300"), ("cpu-0", "44000"), ("off", "-274000"), ("bad", "4095000"), ("x", "")]
    ):
        made.file(f"sys/class/thermal/thermal_zone{zone}/type", kind + "\n")
        made.file(f"sys/class/thermal/thermal_zone{zone}/temp", value + "\n")
    made.command(
        "getprop",
        """case $1 in ro.product.manufacturer) echo Google ;; ro.product.model) echo Pixel 7 ;;
        ro.soc.manufacturer) echo Google ;; ro.soc.model) echo GS201 ;;
        ro.build.version.release) echo 14 ;; ro.build.display.id) echo UQ1A.240105.004 ;;
        *) echo ;; esac""",
    )
    made.command(
        "dumpsys",
        f"""while IFS= read -r line; do echo "$line"; done <{DATA}/dumpsys-$1.txt""",
    )
    return made


def test_a_phone_says_what_it_is(made: Made) -> None:
    facts = android.read_facts(phone(made))
    assert (facts.kind, facts.arch, facts.os, facts.model, facts.soc, facts.libc) == (
        "android", "aarch64", "Android 14", "Google Pixel 7", "Google GS201", "bionic",
    )  # fmt: skip
    assert facts.build == "UQ1A.240105.004, Linux 5.15.148"
    assert (facts.cpus, facts.big_cpus) == ((0, 1, 2, 3), (2, 3))
    assert facts.memory_total_bytes == 7802880 * 1024
    assert facts.workdir == "/data/local/tmp/bench"
    assert facts.free_bytes is not None
    assert (facts.python, facts.docker, facts.nvidia_runtime) == (None, None, False)


def test_a_phone_s_state_drops_sensors_that_are_off(made: Made) -> None:
    state = android.read_state(phone(made))
    assert state.temperatures_c == {
        "cpu-0": 45.3, "cpu-0 (thermal_zone1)": 44.0, "battery": 28.1, "VIRTUAL-SKIN": 41.5,
    }  # fmt: skip
    assert (state.hottest_c, state.throttled) == (45.3, True)
    assert (state.battery_percent, state.charging) == (86.0, True)
    assert (state.governor, state.frequency_khz) == ("schedutil", (300000, 300001, 300002, 300003))
    assert [(p.name, p.min_khz, p.current_khz, p.max_khz) for p in state.policies] == [
        (f"policy{n}", 300000, 1100000, 1800000) for n in (0, 2, 3)
    ]
    assert state.memory_available_bytes == 4 << 30
    assert state.os == "Linux 5.15.148 aarch64"


@pytest.mark.parametrize(
    "shell", [s for s in (["dash"], ["bash"], ["mksh"], ["busybox", "sh"]) if shutil.which(s[0])]
)
def test_every_shell_reads_the_same(tmp_path: Path, shell: list[str]) -> None:
    (tmp_path / "other").mkdir()
    seen = android.read_state(phone(Made(tmp_path, shell)))
    expected = android.read_state(phone(Made(tmp_path / "other")))
    assert seen.temperatures_c == expected.temperatures_c
    assert (seen.policies, seen.battery_percent, seen.governor) == (
        expected.policies, expected.battery_percent, expected.governor,
    )  # fmt: skip
    assert seen.temperatures_c


def test_a_phone_that_says_nothing_is_all_none(made: Made) -> None:
    state = android.read_state(made)
    assert (state.hottest_c, state.battery_percent, state.charging, state.throttled) == (None,) * 4
    assert (state.governor, state.frequency_khz, state.policies) == (None, None, ())


def test_a_hybrid_cpus_cores_are_read_from_the_kernel(made: Made) -> None:
    for cpu, core in enumerate((0, 0, 4, 4, 8, 9)):
        made.file(f"{CPU}/cpu{cpu}/topology/core_id", f"{core}\n")
        made.file(f"{CPU}/cpu{cpu}/topology/physical_package_id", "0\n")
    made.file("sys/devices/cpu_core/cpus", "0-3\n")
    made.file(f"{CPU}/online", "0-5\n")
    facts = linux.read_facts(made)  # type: ignore[arg-type]
    assert (facts.big_cpus, facts.cpu_order) == ((0, 2, 1, 3), (0, 2, 4, 5, 1, 3))


@pytest.mark.parametrize(
    ("cgroup", "files", "cpus"),
    [
        ("0::/\n", {"cpu.max": "200000 100000"}, (2, 3)),
        ("0::/user.slice/user-1000.slice\n", {"user.slice/cpu.max": "100000 100000",
         "user.slice/user-1000.slice/cpu.max": "max 100000"}, (3,)),
        ("5:cpuset:/x\n4:cpu,cpuacct:/docker/ab\n1:name=systemd:/\n",
         {"cpu,cpuacct/docker/ab/cpu.cfs_quota_us": "300000",
          "cpu,cpuacct/docker/ab/cpu.cfs_period_us": "100000"}, (1, 2, 3)),
        ("0::/\n", {}, (0, 1, 2, 3)),
    ],
)  # fmt: skip
def test_the_quota_of_a_cgroup_is_read(
    made: Made, cgroup: str, files: dict[str, str], cpus: tuple[int, ...]
) -> None:
    made.file(f"{CPU}/online", "0-3\n")
    made.file("proc/self/cgroup", cgroup)
    for path, text in files.items():
        made.file(f"sys/fs/cgroup/{path}", text + "\n")
    assert linux.read_facts(made).cpus == cpus  # type: ignore[arg-type]


def test_cores_of_two_clusters_with_the_same_number_are_two(made: Made) -> None:
    for cpu in range(4):
        made.file(f"{CPU}/cpu{cpu}/topology/core_id", f"{cpu % 2}\n")
        made.file(f"{CPU}/cpu{cpu}/topology/cluster_id", f"{cpu // 2}\n")
        made.file(f"{CPU}/cpu{cpu}/topology/physical_package_id", "0\n")
    made.file(f"{CPU}/online", "0-3\n")
    assert linux.read_facts(made).cpu_order == (0, 1, 2, 3)  # type: ignore[arg-type]


def test_this_machines_cores_are_told_by_every_shell() -> None:
    ids = Path("/sys/devices/system/cpu/cpu0/topology/core_id")
    if not ids.exists():
        pytest.skip("this machine does not tell its cores")
    found = []
    for shell in (["dash"], ["bash"], ["mksh"], ["busybox", "sh"]):
        if shutil.which(shell[0]):
            script = scripts.PRELUDE + scripts.KERNEL_FACTS
            done = subprocess.run(
                [*shell, "-c", script], capture_output=True, text=True, check=False
            )
            found.append([line for line in done.stdout.splitlines() if line.startswith("core=")])
    assert found[0]
    assert all(lines == found[0] for lines in found)


def supply(made: Made, name: str, **files: str) -> None:
    for file, text in files.items():
        made.file(f"sys/class/power_supply/{name}/{file}", text + "\n")


def test_a_battery_is_found_by_its_type_whatever_its_name(made: Made) -> None:
    supply(made, "AC", type="Mains", online="1")
    supply(made, "hidpp_battery_0", type="Battery", scope="Device", capacity="5")
    supply(made, "BAT9", type="Battery", present="0", capacity="3")
    supply(made, "ucsi-source-psy-1", type="USB")
    supply(made, "bq27541-0", type="Battery", capacity="61", status="Not charging")
    state = linux.read_state(made)  # type: ignore[arg-type]
    assert (state.battery_percent, state.charging) == (61.0, False)


def test_two_batteries_are_one_and_a_gauge_over_100_is_read_by_its_charge(made: Made) -> None:
    inner = {"capacity": "117", "energy_now": "23400000", "energy_full": "23400000"}
    outer = {"capacity": "20", "energy_now": "14400000", "energy_full": "72000000"}
    supply(made, "BAT0", type="Battery", status="Full", **inner)
    supply(made, "BAT1", type="Battery", status="Discharging", **outer)
    state = linux.read_state(made)  # type: ignore[arg-type]
    assert state.battery_percent == pytest.approx(100 * 37.8 / 95.4)
    assert state.charging is False


def test_a_cpu_without_a_thermal_zone_is_read_by_its_own_sensor(made: Made) -> None:
    made.file("sys/class/thermal/thermal_zone0/type", "acpitz\n")
    made.file("sys/class/thermal/thermal_zone0/temp", "16800\n")
    for file, text in {"name": "k10temp", "temp1_label": "Tctl", "temp1_input": "97000",
                       "temp2_label": "Tdie", "temp2_input": "70000"}.items():  # fmt: skip
        made.file(f"sys/class/hwmon/hwmon2/{file}", text + "\n")
    made.file("sys/class/hwmon/hwmon3/name", "nvme\n")
    made.file("sys/class/hwmon/hwmon3/temp1_input", "88000\n")
    state = linux.read_state(made)  # type: ignore[arg-type]
    assert state.temperatures_c == {"acpitz": 16.8, "k10temp": 70.0}
    assert state.hottest_c == 70.0


def test_the_runner_reads_heat_and_charge_as_the_kind_does(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    zones = {"cpu": "61", "PMIC-Die": "100000", "soc": "97", "gone": "4095", "gpu": "58500"}
    for number, (kind, value) in enumerate(zones.items()):
        made.file(f"sys/class/thermal/thermal_zone{number}/type", kind + "\n")
        made.file(f"sys/class/thermal/thermal_zone{number}/temp", value + "\n")
    made.file("sys/class/hwmon/hwmon0/name", "coretemp\n")
    made.file("sys/class/hwmon/hwmon0/temp1_input", "64000\n")
    supply(made, "battery", capacity="104")
    sys = made.root / "sys/class"
    monkeypatch.setattr(runner_state, "THERMAL", sys / "thermal")
    monkeypatch.setattr(runner_state, "HWMON", sys / "hwmon")
    monkeypatch.setattr(runner_state, "BATTERY", sys / "power_supply/battery")
    ours, theirs = linux.read_state(made), runner_state.read_state()  # type: ignore[arg-type]
    assert ours.hottest_c == theirs.hottest_c == 64.0
    assert ours.battery_percent == theirs.battery_percent == 100.0


ORIN = {
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic\n",
    "etc/os-release": 'NAME="Ubuntu"\nPRETTY_NAME="Ubuntu 22.04.5 LTS"\n',
    "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
    "proc/device-tree/compatible": "nvidia,p3768-0000+p3767-0005\0nvidia,tegra234\0",
    "proc/cpuinfo": "processor\t: 0\nBogoMIPS\t: 62.50\n\nprocessor\t: 1\nBogoMIPS\t: 62.50\n",
    "lib/ld-linux-aarch64.so.1": "",
    "sys/class/thermal/cooling_device0/type": "cpufreq-cpu0\n",
    "sys/class/thermal/cooling_device0/cur_state": "2\n",
    "sys/class/thermal/cooling_device1/type": "cpu-throttle-alert\n",
    "sys/class/thermal/cooling_device1/cur_state": "0\n",
}


@pytest.fixture
def orin(made: Made) -> Made:
    for path, text in ORIN.items():
        made.file(path, text)
    made.says("tegrastats", "tegrastats-orin.txt")
    made.says("nvpmodel", "nvpmodel-q.txt")
    made.command("dpkg-query", "printf 6.2+b77")
    made.command("python3", "echo 3.10.12")
    made.command("docker", 'case $1 in version) echo 27.5.1 ;; info) echo "runc nvidia " ;; esac')
    return made


def test_a_jetson_says_its_l4t_jetpack_and_docker(orin: Made) -> None:
    facts = jetson.read_facts(orin)
    assert (facts.model, facts.soc) == ("NVIDIA Jetson Orin Nano Developer Kit", "nvidia,tegra234")
    assert facts.driver == "L4T 36.4.3, JetPack 6.2+b77"
    assert (facts.os, facts.build) == ("Ubuntu 22.04.5 LTS", "Linux 5.15.148")
    assert (facts.docker, facts.nvidia_runtime, facts.python) == ("27.5.1", True, "3.10.12")
    assert (facts.libc, facts.cpus, facts.big_cpus) == ("glibc", (0, 1), (0, 1))
    assert facts.workdir == "/home/me/.cache/bench-device"


def test_a_jetson_s_state_has_its_power_mode_and_its_sensors(orin: Made) -> None:
    state = jetson.read_state(orin)
    assert (state.power_mode, state.power_mw, state.throttled) == ("MODE_15W", 5120.0, False)
    assert state.temperatures_c == {
        "cpu": 46.3, "soc2": 44.0, "soc0": 44.8, "tj": 46.9, "soc1": 45.1,
    }  # fmt: skip
    assert state.hottest_c == 46.9
    orin.file("sys/class/thermal/cooling_device1/cur_state", "1\n")
    assert jetson.read_state(orin).throttled is True


def test_an_old_nano_s_tegrastats_is_read_too() -> None:
    line = (DATA / "tegrastats-nano.txt").read_text()
    assert rails.tegrastats_power_mw(line) == 2140.0
    assert rails.tegrastats_temperatures(line)["thermal"] == 36.25
    assert rails.tegrastats_temperatures(line)["CPU"] == 37.5


@pytest.mark.parametrize(
    ("kind", "message", "hint"),
    [
        ("jetson", "dut: not a Jetson: no /etc/nv_tegra_release, and no tegra in the device "
         "tree", "Set `kind: linux`."),
        ("android", "dut: not Android: `getprop ro.build.version.release` is empty",
         "Set `kind: linux` or `kind: jetson`."),
        ("macos", "dut: not macOS but Linux", "Set `kind: linux`."),
    ],
)  # fmt: skip
def test_a_device_of_another_kind_is_named(made: Made, kind: str, message: str, hint: str) -> None:
    made.command("getprop", "")
    with pytest.raises(StepFailed) as raised:
        kinds.find(kind).read_facts(made)  # type: ignore[arg-type]
    assert (raised.value.message, raised.value.hint) == (message, hint)


def test_a_phone_is_no_linux_host(made: Made) -> None:
    with pytest.raises(StepFailed, match="dut: this is an Android device"):
        linux.read_facts(phone(made))


def test_a_docker_daemon_that_does_not_answer_is_no_docker(made: Made) -> None:
    made.command("docker", "echo 'Cannot connect to the Docker daemon' >&2; echo; exit 1")
    facts = linux.read_facts(made)
    assert (facts.docker, facts.nvidia_runtime) == (None, False)


@pytest.mark.parametrize(
    ("version", "seen"), [("3.7.3", None), ("3.8.0", "3.8.0"), ("3.12.1", "3.12.1"), ("x", None)]
)
def test_a_python_that_the_runner_cannot_use_is_none(
    made: Made, version: str, seen: str | None
) -> None:
    made.command("python3", f"echo {version}")
    assert linux.read_facts(made).python == seen


def test_this_machine_s_state_is_what_the_runner_says() -> None:
    transport = LocalTransport("local")
    ours, theirs = linux.read_state(transport), runner_state.read_state()
    for field in ("cpu_model", "cores", "governor", "os", "memory_total_bytes"):
        assert getattr(ours, field) == getattr(theirs, field), field
    assert (ours.hottest_c is None) == (theirs.hottest_c is None)
    assert ours.load_1m == pytest.approx(theirs.load_1m, abs=2)
    assert linux.read_facts(transport).cpus == tuple(sorted(os.sched_getaffinity(0)))


def test_a_mac_s_battery_heat_and_memory() -> None:
    seen = Readings(
        "\n".join(f"vm_stat={x}" for x in (DATA / "vm_stat.txt").read_text().split("\n"))
    )
    assert macos.available_bytes(seen) == 16384 * 153000
    assert macos.battery((DATA / "pmset-batt.txt").read_text().splitlines()) == (85.0, False)
    assert macos.throttled((DATA / "pmset-therm.txt").read_text().splitlines()) is False
    assert macos.throttled(["CPU_Scheduler_Limit 	= 100", "CPU_Speed_Limit 	= 72"]) is True
    assert macos.throttled([]) is None


@pytest.mark.parametrize(
    ("speeds", "big"),
    [
        ({}, (0, 1, 2, 3)),
        ({0: "max 5000", 1: "max 5100", 2: "max 3800", 3: "max 3800"}, (0, 1)),
        ({0: "capacity 1024", 1: "capacity 1024", 2: "capacity 400", 3: "capacity 800"}, (3, 0, 1)),
        ({0: "max 2000", 1: "max 2000"}, (0, 1, 2, 3)),
        ({0: "max x", 1: "max", 2: "", 3: "max 9"}, (0, 1, 2, 3)),
    ],
)
def test_the_fast_cpus_come_with_the_fastest_last(
    speeds: dict[int, str], big: tuple[int, ...]
) -> None:
    lines = [f"speed={cpu} {text}" for cpu, text in speeds.items()]
    seen = Readings("\n".join(["arch=x86_64", *lines]))
    assert cpus.fast(seen, (0, 1, 2, 3)) == big


@pytest.mark.parametrize(
    ("text", "found"),
    [("0-3", (0, 1, 2, 3)), ("0,2-3", (0, 2, 3)), ("5", (5,)), ("", ()), (None, ()), ("a-b", ())],
)
def test_a_list_of_cpus(text: str | None, found: tuple[int, ...]) -> None:
    assert cpus.listed(text) == found


def test_a_shell_that_says_nothing_is_an_error() -> None:
    class Mute(LocalTransport):
        def run(
            self, argv: Sequence[str], *, timeout_s: float, on_line: OnLine | None = None
        ) -> Completed:
            return Completed(127, b"", b"sh: inaccessible or not found\n", 0.0)

    with pytest.raises(StepFailed, match="exit code 127.*: sh: inaccessible or not found"):
        linux.read_state(Mute("dut"))


def test_the_scripts_use_no_tool_that_toybox_or_busybox_lacks() -> None:
    """Every kind's scripts are plain for a parser that knows POSIX only."""
    for text in (scripts.KERNEL_FACTS, scripts.KERNEL_STATE, scripts.ANDROID_STATE):
        done = subprocess.run(["sh", "-n", "-c", scripts.PRELUDE + text], check=False)
        assert done.returncode == 0
        for word in (" sed ", " awk ", " grep ", " cat ", "[[", "$'", "mktemp"):
            assert word not in text

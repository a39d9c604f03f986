"""The lab's devices, as Debian's own clients and our transports see them, and what goes wrong."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from conftest import Lab, wait_for

from harness.errors import DeviceLost, JobTimeout, StepFailed
from harness.transports import Transport

pytestmark = [pytest.mark.servers, pytest.mark.slow]
NAMES = ("phone", "jetson", "host")
FOLDER = {"phone": "/data/local/tmp", "jetson": "/root", "host": "/home/bench"}


@pytest.fixture(autouse=True)
def _cache(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(lab.cache))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def device(lab: Lab, name: str) -> Iterator[Transport]:
    made = lab.connect(name)
    yield made
    made.close()


def shell(device: Transport, script: str) -> str:
    """Standard output of a script that must end well."""
    done = device.run(["sh", "-c", script], timeout_s=120)
    assert done.exit_code == 0, done.stderr
    return done.text


def fresh(lab: Lab, name: str, script: str) -> str:
    """The same over a new connection."""
    device = lab.connect(name)
    try:
        return shell(device, script)
    finally:
        device.close()


# ---- Debian's clients --------------------------------------------------------------------------


class Adb:
    """Debian's adb: a server on a port of its own, with its own key."""

    def __init__(self, home: Path, serial: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        self._env = {**os.environ, "HOME": str(home), "ANDROID_ADB_SERVER_PORT": port}
        self._serial = serial
        self._server = subprocess.Popen(
            ["adb", "nodaemon", "server"],
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def run(self, *argv: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["adb", *argv], env=self._env, capture_output=True, check=False, timeout=120
        )

    def on(self, *argv: str) -> bytes:
        """A command to the phone that must end well."""
        done = self.run("-s", self._serial, *argv)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def state(self) -> str:
        self.run("connect", self._serial)
        return self.run("-s", self._serial, "get-state").stdout.decode().strip()

    def stop(self) -> None:
        self._server.terminate()
        self._server.wait(10)


@pytest.fixture
def adb(lab: Lab, tmp_path: Path) -> Iterator[Adb]:
    made = Adb(tmp_path, lab.spec("phone").address)
    yield made
    made.stop()


def test_the_real_adb_client_takes_it_for_a_phone(adb: Adb, tmp_path: Path) -> None:
    wait_for(lambda: adb.state() == "device", 60)
    assert b"model:Lab_Phone" in adb.run("devices", "-l").stdout
    assert adb.on("shell", "getprop ro.product.cpu.abi; id -u").splitlines() == [
        b"arm64-v8a",
        b"2000",
    ]
    assert adb.run("-s", adb._serial, "shell", "exit 7").returncode == 7
    data = os.urandom(3_000_001)
    (tmp_path / "sent").write_bytes(data)
    adb.on("push", str(tmp_path / "sent"), "/data/local/tmp/sent file")
    assert adb.on("exec-out", "cat '/data/local/tmp/sent file'") == data
    adb.on("pull", "/data/local/tmp/sent file", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == data
    assert b"sent file" in adb.on("shell", "ls /data/local/tmp")
    adb.on("shell", "rm '/data/local/tmp/sent file'")
    refused = adb.run("-s", adb._serial, "push", str(tmp_path / "sent"), "/system/bin/sent")
    assert refused.returncode != 0
    assert b"Permission denied" in refused.stderr + refused.stdout


def test_the_real_adb_client_waits_where_nobody_allows_it(lab: Lab, adb: Adb) -> None:
    lab.fault("phone", "refuse-key")
    try:
        wait_for(
            lambda: "unauthorized" in adb.run("devices").stdout.decode() or not adb.state(), 60
        )
        assert "unauthorized" in adb.run("devices").stdout.decode()
    finally:
        lab.fault("phone", "accept-key")


@pytest.mark.parametrize(("name", "who"), [("jetson", "root aarch64"), ("host", "bench x86_64")])
def test_the_real_ssh_client_logs_in(lab: Lab, name: str, who: str) -> None:
    found = re.fullmatch(
        r"ssh://(\w+)@127\.0\.0\.1:(\d+)\?key=(.*)&known_hosts=(.*)", lab.spec(name).address
    )
    assert found is not None
    user, port, key, known = found.groups()
    options = [f"UserKnownHostsFile={known}", "BatchMode=yes", "StrictHostKeyChecking=yes"]
    words = [word for option in options for word in ("-o", option)]
    done = subprocess.run(
        ["ssh", "-F", "none", *words, "-i", key, "-p", port, f"{user}@127.0.0.1",
         'echo "$(id -un) $(uname -m)"'],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, who + "\n"), done.stderr


# ---- what the devices look like ----------------------------------------------------------------


def test_the_phone_has_androids_layout_and_nothing_else(lab: Lab) -> None:
    seen = fresh(
        lab,
        "phone",
        "echo $KSH_VERSION; setsid sh -c 'echo $KSH_VERSION'; for f in /usr /tmp /lib "
        "/etc/resolv.conf /dev/shm; do [ -e $f ] && echo $f; done; command -v python3; "
        "cat /sys/devices/system/cpu/possible; echo a | sha256sum; uname -m; "
        "echo hello world | cksum; cksum </dev/null",
    ).splitlines()
    cpus = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    assert all("MIRBSD KSH" in line for line in seen[:2])
    assert seen[2:] == [
        cpus,
        "87428fc522803d31065e7bce3cf03fe475096631e5e07bbd7a0fde60c4cf25c7  -",
        "aarch64",
        "3733384285 12",  # as GNU's
        "4294967295 0",
    ]


def test_the_phones_stand_ins_print_what_android_prints(lab: Lab) -> None:
    seen = fresh(
        lab, "phone", "getprop ro.build.version.release; getprop | head -n 1; dumpsys battery"
    )
    assert seen.startswith("14\n[ro.board.platform]: [emulated]\nCurrent Battery Service state:\n")
    assert "\n  level: 87\n  scale: 100\n" in seen
    seen = fresh(lab, "phone", "dumpsys thermalservice")
    assert "\nThermal Status: 0\n" in seen
    assert "\tTemperature{mValue=29.0, mType=2, mName=battery, mStatus=0}\n" in seen
    seen = fresh(
        lab,
        "phone",
        "settings get global stay_on_while_plugged_in; svc power stayon true; "
        "settings get global stay_on_while_plugged_in; svc power stayon false; "
        "cmd power set-fixed-performance-mode-enabled true && dumpsys power; "
        "cmd power set-fixed-performance-mode-enabled false; cmd nothing x; echo $?",
    ).splitlines()
    assert (seen[0], seen[1], seen[-1]) == ("null", "7", "20")
    assert "  mFixedPerformanceModeEnabled=true" in seen


TEGRASTATS = re.compile(
    r"\d\d-\d\d-\d{4} \d\d:\d\d:\d\d RAM \d+/\d+MB \(lfb 4x4MB\) SWAP 0/3810MB \(cached 0MB\) "
    r"CPU \[\d+%@\d+(,\d+%@\d+)*\] EMC_FREQ 0%@2133 GR3D_FREQ 0%@\[306\] .*"
    r"cpu@46\.0C gpu@45\.5C soc0@44\.0C tj@46\.0C VDD_IN \d+mW/\d+mW VDD_CPU_GPU_CV \d+mW/\d+mW "
    r"VDD_SOC \d+mW/\d+mW"
)


def test_tegrastats_goes_on_at_its_interval(lab: Lab) -> None:
    lines = fresh(lab, "jetson", "tegrastats --interval 300 | head -n 3").splitlines()
    assert len(lines) == 3
    for line in lines:
        assert TEGRASTATS.fullmatch(line), line


def test_the_jetsons_clocks_are_held_and_given_back(lab: Lab) -> None:
    seen = fresh(
        lab,
        "jetson",
        "nvpmodel -q; jetson_clocks --show | grep cpu0; jetson_clocks --store /tmp/kept; "
        "jetson_clocks; jetson_clocks --show | grep cpu0; jetson_clocks --restore /tmp/kept; "
        "jetson_clocks --show | grep cpu0; nvpmodel -m 1; nvpmodel -q; nvpmodel -m 0; "
        "rm /tmp/kept; nvpmodel -m 9 2>&1; echo $?",
    ).splitlines()
    before = "cpu0: Online=1 Governor=schedutil MinFreq=115200 MaxFreq=1510400 CurrentFreq=1510400"
    assert seen[:2] == ["NV Power Mode: 15W", "0"]
    assert seen[2].startswith(before)
    assert "MinFreq=1510400 MaxFreq=1510400" in seen[3]
    assert seen[4].startswith(before)
    assert seen[5:] == [
        "NV Power Mode: 7W", "1", "NVPM ERROR: Invalid power mode ID: 9", "255",
    ]  # fmt: skip


def test_the_devices_have_no_network_and_a_clock_of_their_own(name: str, device: Transport) -> None:
    seen = shell(device, "cat /proc/net/dev | grep -c :; cut -d. -f1 /proc/uptime; hostname")
    interfaces, uptime_s, hostname = seen.split()
    assert (interfaces, hostname) == ("1", f"lab-{name}")
    assert int(uptime_s) <= time.clock_gettime(time.CLOCK_BOOTTIME)


def test_a_hundred_files_go_there_and_back(device: Transport, name: str, tmp_path: Path) -> None:
    there = PurePosixPath(FOLDER[name]) / "many"
    (tmp_path / "many").mkdir()
    for number in range(100):
        (tmp_path / "many" / f"f {number}").write_bytes(os.urandom(number))
    device.push(tmp_path / "many", there)
    assert device.push(tmp_path / "many", there).sent_bytes == 0
    device.pull(there, tmp_path / "back")
    for number in range(100):
        sent, back = (tmp_path / part / f"f {number}" for part in ("many", "back"))
        assert sent.read_bytes() == back.read_bytes()
    shell(device, f"rm -rf {there} {there.parent}/.many.pushed")


# ---- faults ------------------------------------------------------------------------------------


def later(action: object, *values: str) -> threading.Timer:
    timer = threading.Timer(2, action, values)  # type: ignore[arg-type]
    timer.start()
    return timer


def test_a_dropped_connection_is_a_lost_device_and_the_next_call_works(
    lab: Lab, name: str, device: Transport
) -> None:
    timer = later(lab.fault, name, "drop")
    with pytest.raises(DeviceLost):
        device.run(["sleep", "100"], timeout_s=90)
    timer.join()
    assert device.run(["echo", "again"], timeout_s=60).text == "again\n"


def test_after_a_reboot_processes_are_gone_and_files_are_there(lab: Lab, name: str) -> None:
    kept = f"{FOLDER[name]}/kept"
    count = "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -o 'sleep 432[1]' | wc -l"
    ask = f"cat /proc/sys/kernel/random/boot_id; {count}; true"
    start = "setsid sleep 4321 >/dev/null 2>&1 </dev/null & sleep 2"
    fresh(lab, name, f"echo x >{kept}; {start}")
    boot_id, sleeping = fresh(lab, name, ask).split()
    assert sleeping == "1"
    assert "switched off; restarts in 1 s" in lab.fault(name, "reboot", "1")
    wait_for(lambda: answers(lab, name), 60)
    new_id, sleeping, uptime_s = fresh(lab, name, f"{ask}; cut -d. -f1 /proc/uptime").split()
    assert new_id != boot_id
    assert sleeping == "0"
    assert int(uptime_s) < 120
    assert fresh(lab, name, f"cat {kept}; rm {kept}") == "x\n"


def answers(lab: Lab, name: str) -> bool:
    try:
        return fresh(lab, name, "echo ok") == "ok\n"
    except DeviceLost:
        return False


def test_a_device_that_hangs_is_lost_and_wakes_up(lab: Lab, name: str, device: Transport) -> None:
    shell(device, "true")
    lab.fault(name, "hang")
    try:
        with pytest.raises((DeviceLost, JobTimeout)):
            device.run(["true"], timeout_s=3)
    finally:
        lab.fault(name, "wake")
    assert fresh(lab, name, "echo awake") == "awake\n"


def test_a_full_disk_is_said_and_room_comes_back(
    lab: Lab, name: str, device: Transport, tmp_path: Path
) -> None:
    (tmp_path / "big").write_bytes(os.urandom(5_000_000))
    there = PurePosixPath(FOLDER[name]) / "big"
    lab.fault(name, "fill-disk", "1")
    try:
        with pytest.raises(StepFailed, match="(?i)no space left"):
            device.push(tmp_path / "big", there)
    finally:
        lab.fault(name, "free-disk")
    device.push(tmp_path / "big", there)
    assert shell(device, f"wc -c <{there}; rm {there}").strip() == "5000000"


def test_a_key_is_refused_until_it_is_accepted_again(lab: Lab, name: str) -> None:
    lab.fault(name, "refuse-key")
    try:
        with pytest.raises(StepFailed):
            lab.connect(name)
    finally:
        lab.fault(name, "accept-key")
    assert fresh(lab, name, "echo in") == "in\n"


@pytest.mark.parametrize("name", ["jetson", "host"])
def test_a_changed_host_key_is_not_accepted(lab: Lab, name: str) -> None:
    lab.fault(name, "change-host-key")
    try:
        with pytest.raises(StepFailed, match="has changed"):
            lab.connect(name)
    finally:
        lab.fault(name, "change-host-key")
    assert fresh(lab, name, "echo in") == "in\n"


def test_heat_and_throttling_are_seen_and_end(lab: Lab, name: str, device: Transport) -> None:
    hottest = "cat /sys/class/thermal/thermal_zone*/temp | sort -n | tail -n 1"
    clock = "cat /sys/devices/system/cpu/cpufreq/policy*/scaling_cur_freq | sort -n | tail -n 1"
    cold, fast = map(int, shell(device, f"{hottest}; {clock}").split())
    lab.fault(name, "heat", "91.5")
    lab.fault(name, "throttle")
    hot, slow = map(int, shell(device, f"{hottest}; {clock}").split())
    assert (hot, slow < fast) == (91500, True)
    if name == "phone":
        assert "Thermal Status: 3" in shell(device, "dumpsys thermalservice")
    lab.fault(name, "cool")
    assert list(map(int, shell(device, f"{hottest}; {clock}").split())) == [cold, fast]


def test_the_battery_drains(lab: Lab) -> None:
    lab.fault("phone", "drain", "12")
    assert "  level: 12\n" in fresh(lab, "phone", "dumpsys battery")
    lab.fault("phone", "cool")
    assert "  level: 87\n" in fresh(lab, "phone", "dumpsys battery")


def test_the_memory_killer_takes_the_process_that_it_is_told(
    lab: Lab, name: str, device: Transport
) -> None:
    timer = later(lab.fault, name, "kill-process", "sleep 77")
    done = device.run(["sleep", "77"], timeout_s=60)
    timer.join()
    assert done.exit_code == 128 + 9


def test_the_clock_jumps_and_comes_back(lab: Lab, name: str) -> None:
    python = "; python3 -c 'import time; print(int(time.time()))'"
    ask = "date +%s" + (python if name != "phone" else "")
    lab.fault(name, "clock-jump", "7200")
    try:
        seen = list(map(int, fresh(lab, name, ask).split()))
        assert all(7000 < second - time.time() < 7400 for second in seen)
    finally:
        lab.fault(name, "clock-jump", "0")
    assert all(abs(int(s) - time.time()) < 120 for s in fresh(lab, name, ask).split())


def test_a_fault_that_a_device_cannot_have_is_said(lab: Lab) -> None:
    done = lab.bench("fault", "host", "drain")
    assert done.returncode == 1
    assert "unknown fault 'drain' for the host; known: drop, reboot" in done.stderr
    done = lab.bench("fault", "phone", "heat", "warm")
    assert done.returncode == 1
    assert "'warm' is not a number" in done.stderr

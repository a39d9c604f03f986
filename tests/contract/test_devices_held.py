"""Devices behind real connections are put back when the cable, the server or we are gone."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from transport_servers import Device, wait_for
from transport_servers.phone import Phone
from transport_servers.sshd import Sshd

from harness.errors import DeviceLost, StepFailed
from harness.kinds import hold, linux
from harness.ondevice import lease
from harness.records import DeviceSpec
from harness.transports import Transport, connect

pytestmark = pytest.mark.servers
ROOT = Path(__file__).parents[2]
BEFORE = ["schedutil", "ondemand"]
HELD = ["performance", "performance"]


class Cpus:
    """The device's cpufreq files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._files = []
        for policy, governor in zip((0, 4), BEFORE, strict=True):
            folder = root / f"sys/devices/system/cpu/cpufreq/policy{policy}"
            folder.mkdir(parents=True)
            self._files.append(folder / "scaling_governor")
            self._files[-1].write_text(governor + "\n")

    def governors(self) -> list[str]:
        return [file.read_text().strip() for file in self._files]


class SshdWithRoot(Sshd):
    """Its commands see the made-up files."""

    def __init__(self, folder: Path, root: Path) -> None:
        self._root = root
        super().__init__(folder)

    def start(self) -> None:
        config = self.folder / "sshd_config"
        text = config.read_text()
        if "BENCH_SYSFS" not in text:
            config.write_text(text.replace("SetEnv ", f"SetEnv BENCH_SYSFS={self._root} "))
        super().start()


@pytest.fixture
def cpus(tmp_path: Path) -> Cpus:
    return Cpus(tmp_path / "root")


@pytest.fixture(params=["ssh", "adb"])
def device(
    request: pytest.FixtureRequest, tmp_path: Path, cpus: Cpus, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Device]:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BENCH_SYSFS", str(cpus.root))  # what adbd starts inherits it
    (tmp_path / "server").mkdir()
    if request.param == "ssh":
        made: Device = SshdWithRoot(tmp_path / "server", cpus.root)
    else:
        made = Phone(tmp_path / "server")
    yield made
    made.stop()


@pytest.fixture
def transport(device: Device) -> Iterator[Transport]:
    made = connect(DeviceSpec("dut", "linux", device.transport, device.address))
    yield made
    made.close()


@pytest.fixture
def workdir(tmp_path: Path) -> str:
    return str(tmp_path / "work")


def test_facts_state_and_steady_come_through(
    transport: Transport, cpus: Cpus, workdir: str
) -> None:
    facts = linux.read_facts(transport)
    assert facts.arch
    assert facts.workdir.endswith("/.cache/bench-device")
    assert facts.free_bytes is not None
    assert [policy.governor for policy in linux.read_state(transport).policies] == BEFORE
    with linux.steady(transport, ["governor"], workdir) as in_force:
        assert in_force == ("governor=performance",)
        assert cpus.governors() == HELD
    assert cpus.governors() == BEFORE


def test_a_lost_cable_lets_the_device_go(
    device: Device, transport: Transport, cpus: Cpus, workdir: str
) -> None:
    steady = hold.steady(transport, linux.SPEC, ["governor"], workdir, beat_s=0.3, stale_s=2)
    steady.__enter__()
    assert cpus.governors() == HELD
    device.stop()
    wait_for(lambda: cpus.governors() == BEFORE, 30)
    with pytest.raises(DeviceLost):
        steady.__exit__(None, None, None)


def test_a_short_loss_does_not(
    device: Device, transport: Transport, cpus: Cpus, workdir: str
) -> None:
    with hold.steady(transport, linux.SPEC, ["governor"], workdir, beat_s=0.3, stale_s=20):
        device.drop()
        time.sleep(1.5)
        assert cpus.governors() == HELD
    assert cpus.governors() == BEFORE


HOLDER = """
import sys, time
from harness.kinds import hold, linux
from harness.records import DeviceSpec
from harness.transports import connect
on = connect(DeviceSpec("dut", "linux", sys.argv[1], sys.argv[2]))
with hold.steady(on, linux.SPEC, ["governor"], sys.argv[3], 0.3, float(sys.argv[4])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("contact", [True, False])
def test_a_killed_holder_leaves_nothing_changed(
    device: Device, transport: Transport, cpus: Cpus, workdir: str, contact: bool
) -> None:
    stale_s = "60" if contact else "2"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, device.transport, device.address, workdir, stale_s],
        stdout=subprocess.PIPE, text=True, cwd=ROOT,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert cpus.governors() == HELD
        process.send_signal(signal.SIGKILL)
        process.wait()
    if contact:
        assert linux.restore(transport, workdir) == ("governor: schedutil", "governor: ondemand")
    wait_for(lambda: cpus.governors() == BEFORE, 30)
    assert linux.restore(transport, workdir) == ()


def test_two_of_us_do_not_share_it(device: Device, transport: Transport, workdir: str) -> None:
    other = connect(DeviceSpec("dut", "linux", device.transport, device.address))
    try:
        with (
            lease.hold(transport, workdir, "ann@desk pid 7, run r1"),
            pytest.raises(StepFailed, match="in use by ann@desk pid 7, run r1"),
            lease.hold(other, workdir, "bob"),
        ):
            pass
        with lease.hold(other, workdir, "bob") as mine:
            assert mine.taken_over == ()
    finally:
        other.close()

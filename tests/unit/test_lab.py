"""The parts of the lab that start nothing: package lists, busybox, /sys, orders, device files."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from harness.errors import StepFailed, UsageError
from harness.lab import binfmt, control, packages, roots, sysfs, upkeep
from harness.scenario.config import read_device
from harness.workspace import Workspace


def test_a_package_list_names_what_comes_and_what_stays_out(tmp_path: Path) -> None:
    path = tmp_path / "packages.txt"
    path.write_text("# why\nbash\ntar   # packs\n\n-perl*\n")
    assert packages.read_list(path) == packages.PackageList(("bash", "tar"), ("perl*",))


def test_hidden_applets_are_not_found_and_the_table_stays_sorted() -> None:
    names = [b"[", b"[[", b"arp", b"ash", b"cat", b"setsid", b"sh", b"sha1sum", b"sv", b"svc"]
    program = b"\x7fELF" + b"\0".join([*names, b"svok"]) + b"\0\0rest"
    hidden = roots.hide_applets(program, ("ash", "sh", "svc"))
    table = hidden[4:].partition(b"\0\0")[0].split(b"\0")
    assert len(hidden) == len(program)
    assert not {b"ash", b"sh", b"svc"} & set(table)
    assert table == sorted(table)
    assert hidden.endswith(b"\0\0rest")


def test_a_busybox_without_the_applet_is_an_error() -> None:
    with pytest.raises(StepFailed, match="no applet 'sh' to hide"):
        roots.hide_applets(b"\x7fELF[\0[[\0cat\0\0", ("sh",))


def test_sys_has_two_clusters_on_a_phone_and_one_elsewhere(tmp_path: Path) -> None:
    sysfs.write(sysfs.PHONE, [0, 1, 2, 3], tmp_path / "phone")
    sysfs.write(sysfs.JETSON, [0, 1, 2, 3], tmp_path / "jetson")
    cpu = tmp_path / "phone" / sysfs.CPU
    assert [path.name for path in sysfs.policies(tmp_path / "phone")] == ["policy0", "policy2"]
    assert [path.name for path in sysfs.policies(tmp_path / "jetson")] == ["policy0"]
    assert (cpu / "cpufreq/policy2/related_cpus").read_text() == "2 3\n"
    assert (cpu / "cpu3/cpufreq/scaling_max_freq").read_text() == "2841600\n"
    assert [(cpu / f"cpu{i}/cpu_capacity").read_text() for i in (0, 3)] == ["380\n", "1024\n"]
    assert (cpu / "possible").read_text() == "0,1,2,3\n"


def test_writing_sys_again_sets_it_back(tmp_path: Path) -> None:
    sysfs.write(sysfs.PHONE, [5], tmp_path)
    zone = tmp_path / sysfs.THERMAL / "thermal_zone0" / "temp"
    zone.write_text("99000\n")
    sysfs.write(sysfs.PHONE, [5], tmp_path)
    assert zone.read_text() == "35000\n"
    assert (tmp_path / sysfs.CPU / "cpu5/cpufreq/scaling_min_freq").read_text() == "787200\n"


def test_an_order_is_answered_also_in_a_folder_with_a_long_name(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 120) / "control"
    path.parent.mkdir()

    def serve() -> None:
        for request, answer in control.listen(path):
            answer(control.Reply(True, f"{request.name} {request.value}"))
            return

    server = threading.Thread(target=serve)
    server.start()
    while not path.exists():
        pass
    until = 200
    while until:  # bound, but perhaps not listening yet
        try:
            said = control.ask(path, control.Request("heat", "90"))
            break
        except ConnectionRefusedError:
            until -= 1
    server.join()
    assert said == control.Reply(True, "heat 90")


def test_a_registration_that_works_in_no_other_root_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binfmt, "FOLDER", tmp_path)
    (tmp_path / "register").write_text("")
    (tmp_path / binfmt.NAME).write_text("enabled\ninterpreter /usr/bin/qemu\nflags: OC\n")
    with pytest.raises(StepFailed, match="but without the flag F"):
        binfmt.ensure()
    (tmp_path / binfmt.NAME).write_text("enabled\ninterpreter /usr/bin/qemu\nflags: OCF\n")
    assert binfmt.ensure() == binfmt.Changed(False, False)


def test_a_lab_that_is_down_takes_no_orders_and_shows_no_devices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    with pytest.raises(StepFailed, match="lab-phone is not running"):
        upkeep.fault("lab-phone", "drop")
    with pytest.raises(UsageError, match="unknown lab device 'tv'"):
        upkeep.fault("tv", "drop")
    assert [row[:2] for row in upkeep.status()] == [
        ("lab-phone", "down"),
        ("lab-jetson", "down"),
        ("lab-host", "down"),
    ]
    assert not [name for name in Workspace(tmp_path).devices() if name.startswith("lab-")]


@pytest.mark.parametrize(
    ("name", "kind", "transport"),
    [("phone", "android", "adb"), ("jetson", "jetson", "ssh"), ("host", "linux", "ssh")],
)
def test_a_lab_devices_file_says_the_same_as_its_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: str, transport: str
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    device = upkeep.spec(upkeep.Running(name, os.getpid(), 1, 20001, "/none"))
    path = tmp_path / "lab" / "devices" / f"lab-{name}.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(upkeep.device_file(device))
    assert read_device(path) == device
    assert (device.kind, device.transport, device.emulated) == (kind, transport, True)
    assert Workspace(tmp_path / "project").devices()[f"lab-{name}"] == path

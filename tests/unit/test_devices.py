"""`bench devices`: nobody is waited for, each reason is told, nothing of ours stays."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path

import pytest

from harness import cli, kinds
from harness.cli import device_text
from harness.errors import ConfigError, DeviceLost, StepFailed, UsageError
from harness.kinds import LEASES
from harness.ondevice import lease
from harness.records import DeviceFacts, DeviceSpec, DeviceState
from harness.scenario.config import read_device
from harness.targets import check as devices
from harness.targets import discover
from harness.transports import Transport, adb_list
from harness.transports.adb_list import Listed
from harness.transports.local import LocalTransport

ROOT = Path(__file__).parents[2]
LOCAL = DeviceSpec("here", "linux", "local", labels=("host",))
GONE = DeviceSpec("orin", "jetson", "ssh", "ssh://me@127.0.0.1:1?config=/dev/null")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "devices").mkdir()
    (tmp_path / "bin").mkdir()  # asking a real daemon takes seconds
    (tmp_path / "bin/docker").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "bin/docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    return tmp_path / "cache" / "device"


def bench(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    sys.argv = ["bench", *argv]
    with pytest.raises(SystemExit) as stop:
        cli.main()
    seen = capsys.readouterr()
    return int(stop.value.code or 0), seen.out, seen.err


# ---- the list ----------------------------------------------------------------------------------


def test_the_list_says_what_is_there_and_why_not() -> None:
    ready, gone = devices.look_at_all([LOCAL, GONE])
    assert (ready.state, ready.reason) == ("ready", "")
    assert ready.facts is not None
    assert ready.now is not None
    assert device_text.why_not(ready) == ""
    assert (gone.state, gone.facts) == ("unreachable", None)
    assert "127.0.0.1" in gone.reason
    assert device_text.why_not(gone).startswith("orin: ")
    row = device_text.device_row(ready)
    assert row[:3] == ("here", "linux over local", "ready")
    assert (row[5], "load" in row[4], "CPUs" in row[3]) == ("host", True, True)


def test_a_device_of_another_kind_is_unfit() -> None:
    (seen,) = devices.look_at_all([DeviceSpec("x", "jetson", "local")])
    assert (seen.state, seen.hint) == ("unfit", "Set `kind: linux`.")
    assert device_text.why_not(seen).startswith("x: not a Jetson: no /etc/nv_tegra_release")


def test_one_that_hangs_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def slow(spec: DeviceSpec) -> Transport:
        if spec.name == "slow":
            over.wait(60)
        return LocalTransport(spec.name)

    monkeypatch.setattr(devices.transports, "connect", slow)
    began = time.monotonic()
    slow_one, fast = devices.look_at_all([DeviceSpec("slow", "linux", "local"), LOCAL], 15)
    over.set()
    assert time.monotonic() - began < 30
    assert (slow_one.state, slow_one.reason) == (
        "unreachable", "no answer within 15 s",
    )  # fmt: skip
    assert fast.state == "ready"


def test_a_bug_with_one_device_costs_no_other_its_entry(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    wrong, right = DeviceSpec("wrong", "linux", "ssh"), DeviceSpec("here", "linux", "local")

    def look(spec: DeviceSpec) -> devices.Device:
        if spec is wrong:
            raise ZeroDivisionError("division by zero")
        return devices._device(spec, "ready", "", "")

    monkeypatch.setattr(devices, "look_at", look)
    first, second = devices.look_at_all([wrong, right])
    assert (first.state, first.reason) == ("failed", "bug: ZeroDivisionError: division by zero")
    path = tmp_path / "logs/bug-wrong.txt"
    assert first.hint == f"Report it with the contents of {path}."
    assert "unexpected ZeroDivisionError in the examination of wrong" in path.read_text()
    assert second.state == "ready"


def test_a_bug_is_told_though_its_report_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(devices, "look_at", lambda spec: 1 / 0)
    (seen,) = devices.look_at_all([LOCAL])
    assert (seen.state, seen.reason, seen.hint) == (
        "failed", "bug: ZeroDivisionError: division by zero", "",
    )  # fmt: skip


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_bug_with_one_device_lists_the_others_and_exits_with_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    look_at = devices.look_at

    def look(spec: DeviceSpec) -> devices.Device:
        if spec.name == "orin":
            raise ValueError("\x1b[31mno number\x1b[0m\nand more")
        return look_at(spec)

    Path("devices/orin.yaml").write_text(f"kind: jetson\ntransport: ssh\naddress: {GONE.address}\n")
    monkeypatch.setattr(devices, "look_at", look)
    code, out, _ = bench(capsys, "devices", *options)
    assert code == 1
    assert "local" in out
    assert "bug: ValueError: no number and more" in out.replace("\n", " ")


def test_one_that_is_leased_is_busy(here: Path) -> None:
    with lease.hold(LocalTransport("here"), "", "ann@desk pid 7, run r1", shared=LEASES):
        seen = devices.look_at(LOCAL)
    assert seen.state == "busy"
    assert device_text.why_not(seen).startswith("here is in use by ann@desk pid 7, run r1; ")


FACTS = DeviceFacts("android", "aarch64", "Android 14", workdir="/data/local/tmp/bench")


@pytest.mark.parametrize(
    ("facts", "state", "reason"),
    [
        ({}, {}, None),
        ({}, {"battery_percent": 30.0}, None),
        ({}, {"battery_percent": 12.4}, "battery at 12 %, below min_battery_percent 30 %"),
        (
            {"free_bytes": 120_000_000}, {},
            "120 MB free in /data/local/tmp/bench, at least 300 MB required",
        ),
        (
            {"arch": "armv7l"}, {},
            "no compatible runtime: bundle: bundles support aarch64, x86_64, not armv7l",
        ),
    ],
)  # fmt: skip
def test_what_makes_a_phone_unfit(
    facts: dict[str, object], state: dict[str, object], reason: str | None
) -> None:
    spec = DeviceSpec("p", "android", "adb", "127.0.0.1:1")
    seen = devices.unfit(
        spec,
        DeviceFacts(**{**vars(FACTS), **facts}),  # type: ignore[arg-type]
        DeviceState("now", **state),  # type: ignore[arg-type]
    )
    assert seen == ([] if reason is None else [reason])


# ---- the walk ----------------------------------------------------------------------------------


def outcomes(checks: list[devices.Check]) -> str:
    return " ".join(f"{check.step}:{check.outcome}" for check in checks)


def test_a_walk_calls_the_runtime_and_one_inference(here: Path) -> None:
    calls = []

    def trial(transport: Transport, spec: DeviceSpec, facts: DeviceFacts) -> str:
        calls.append((transport.name, spec.name, facts.kind))
        assert lease.holder(transport, "", LEASES) is not None
        return "fine"

    told: list[devices.Check] = []
    done = devices.check(LOCAL, trial, trial, told.append)
    assert done == told
    assert outcomes(done) == " ".join(f"{step}:ok" for step in devices.STEPS)
    assert calls == [("here", "here", "linux")] * 2
    assert done[-1].seen == "fine"
    assert lease.holder(LocalTransport("here"), "", LEASES) is None


def test_what_comes_after_a_failed_step_is_skipped() -> None:
    def trial(transport: Transport, spec: DeviceSpec, facts: DeviceFacts) -> str:
        raise StepFailed("the bundle does not fit", "free some space")

    done = devices.check(LOCAL, trial, trial)
    assert outcomes(done[-2:]) == "runtime:failed inference:skipped"
    assert device_text.check_lines(done[-2]) == [
        "!! runtime    the bundle does not fit",
        "   → free some space",
    ]
    assert done[-1].seen == "skipped after failed step `runtime`"


@pytest.mark.parametrize("step", ["connect", "kind", "steady", "runtime"])
def test_a_bug_in_a_step_fails_that_step_and_skips_the_rest(
    monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def broken(*args: object) -> str:
        raise KeyError("cpus")

    kind = kinds.find("linux")
    if step == "connect":
        monkeypatch.setattr(devices.transports, "connect", broken)
    elif step == "kind":
        monkeypatch.setattr(kind, "read_facts", broken)
    elif step == "steady":
        monkeypatch.setattr(kind, "restore", broken)
    done = devices.check(LOCAL, broken if step == "runtime" else None)
    at = devices.STEPS.index(step)
    assert [check.step for check in done] == list(devices.STEPS)
    assert (done[at].outcome, done[at].seen) == ("failed", "bug: KeyError: 'cpus'")
    assert done[at].hint.startswith("Report it with the contents of ")
    assert {check.outcome for check in done[:at]} <= {"ok"}
    assert {check.outcome for check in done[at + 1 :]} <= {"skipped"}


@pytest.mark.parametrize(
    ("error", "seen"),
    [
        (DeviceLost("orin: nobody there"), "connect:failed authorise:skipped"),
        (UsageError("orin: 'x' has no host"), "connect:failed authorise:skipped"),
        (StepFailed("orin: the key is refused"), "connect:ok authorise:failed kind:skipped"),
    ],
)
def test_who_says_no_was_there(
    monkeypatch: pytest.MonkeyPatch, error: Exception, seen: str
) -> None:
    def refuse(spec: DeviceSpec) -> Transport:
        raise error

    monkeypatch.setattr(devices.transports, "connect", refuse)
    done = devices.check(GONE)
    assert outcomes(done).startswith(seen)
    assert len(done) == len(devices.STEPS)


def test_a_walk_leaves_a_leased_device_alone(here: Path) -> None:
    with lease.hold(LocalTransport("here"), "", "ann", shared=LEASES):
        done = devices.check(LOCAL)
    assert outcomes(done[3:5]) == "lease:failed space:skipped"
    assert "in use by ann" in done[3].seen


def test_a_folder_that_runs_no_programs_is_found(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.mkdir(parents=True)
    monkeypatch.setattr(devices, "_TRY_OUT", 'echo "$1/.trial: Permission denied" >&2; exit 126')
    done = devices.check(LOCAL)
    assert (done[4].step, done[4].outcome) == ("space", "failed")
    assert "Permission denied" in done[4].seen
    assert "noexec" in done[4].hint


def test_the_walk_tries_the_steady_measures() -> None:
    done = devices.check(DeviceSpec("here", "linux", "local", steady=("governor",)))
    step = done[5]
    if Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").exists():
        assert step.outcome in ("ok", "failed")
    else:
        assert (step.outcome, step.seen) == (
            "failed",
            "here: cannot apply governor: no cpufreq (virtual machine?)",
        )


# ---- cleaning ----------------------------------------------------------------------------------


def test_cleaning_removes_all_of_ours_and_nothing_else(here: Path) -> None:
    for path in ("device/store/a", ".device.pushed/files", ".device.12ab.part/x", "other/file"):
        (here.parent / path).parent.mkdir(parents=True, exist_ok=True)
        (here.parent / path).write_text("x" * 5000)
    done = devices.clean(LOCAL)
    assert [Path(path).name for path in done.removed] == [
        "device", ".device.pushed", ".device.12ab.part",
    ]  # fmt: skip
    assert done.bytes >= 15000
    assert [path.name for path in here.parent.iterdir()] == ["other"]
    assert device_text.cleaned_lines(devices.Cleaned("p", (), (), 0)) == ["p: nothing to remove"]


def test_a_device_in_use_is_not_cleaned(here: Path) -> None:
    (here / "store").mkdir(parents=True)
    with lease.hold(LocalTransport("here"), "", "ann", shared=LEASES):
        with pytest.raises(StepFailed, match="here is in use by ann"):
            devices.clean(LOCAL)
        assert (here / "store").is_dir()


def test_a_folder_of_another_name_is_not_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").mkdir()
    monkeypatch.setattr(devices, "workdir_of", lambda spec, facts: str(tmp_path / "home"))
    with pytest.raises(StepFailed, match="not a bench folder: "):
        devices.clean(LOCAL)
    assert (tmp_path / "home").is_dir()


# ---- discover ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        (
            "R5CT1   device usb:1-2 product:o1sxeea model:SM_G991B device:o1s transport_id:3",
            Listed("R5CT1", "device", "SM G991B"),
        ),
        ("127.0.0.1:5555  unauthorized transport_id:1", Listed("127.0.0.1:5555", "unauthorized")),
        (
            "0123  no permissions (user in plugdev group; are your udev rules wrong?) usb:1-2",
            Listed("0123", "no permissions"),
        ),
        ("emulator-5554 offline", Listed("emulator-5554", "offline")),
    ],
)
def test_a_line_of_adb_devices(line: str, seen: Listed) -> None:
    assert adb_list.parse(line) == seen


def test_offers_are_files_that_bench_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = (
        Listed("R5CT1", "device", "Pixel 7"), Listed("R5CT2", "device", "Pixel 7"),
        Listed("R5CT3", "unauthorized", "Pixel 7"), Listed("R5CT4", "device", "Pixel 7"),
    )  # fmt: skip
    facts = DeviceFacts("android", "aarch64", "Android 14", "Google Pixel 7 'x'", "GS201")
    monkeypatch.setattr(adb_list, "listed", lambda: lines)
    monkeypatch.setattr(discover.transports, "connect", lambda spec: LocalTransport(spec.name))
    monkeypatch.setattr(discover.kinds.find("android"), "read_facts", lambda transport: facts)
    known = {"desk": DeviceSpec("desk", "android", "adb", "usb:R5CT4")}
    first, second, locked, had = discover.discover(known)
    assert (first.name, second.name, had.known_as) == ("pixel-7", "pixel-7-2", "desk")
    assert (locked.yaml, locked.reason) == ("", "adb state: unauthorized")
    assert "Allow USB debugging" in locked.hint
    path = discover.write(first, Path("devices"))
    spec = read_device(path)
    assert (spec.name, spec.kind, spec.address) == ("pixel-7", "android", "server:R5CT1")
    assert (spec.steady, spec.labels, spec.cool_below_c) == (("stay_awake",), ("phone",), 38.0)
    with pytest.raises(UsageError, match="already exists"):
        discover.write(first, Path("devices"))


# ---- files and commands ------------------------------------------------------------------------


def test_a_steady_measure_that_the_kind_lacks_is_named_with_its_line() -> None:
    path = Path("devices/p.yaml")
    path.write_text("kind: android\ntransport: adb\nsteady:\n  - stay_awak\n  - nvpmodel\n")
    with pytest.raises(ConfigError) as raised:
        read_device(path)
    assert raised.value.mistakes == [
        "devices/p.yaml:4: steady[0]: unknown measure 'stay_awak' for android; "
        "did you mean 'stay_awake'?",
        "devices/p.yaml:5: steady[1]: unknown measure 'nvpmodel' for android; "
        "known: fixed_performance, stay_awake, governor",
    ]
    path.write_text("kind: jetson\ntransport: ssh\nsteady: [nvpmodel, jetson_clocks, governor]\n")
    assert read_device(path).steady == ("nvpmodel", "jetson_clocks", "governor")


@pytest.mark.parametrize("path", sorted((ROOT / "devices/examples").glob("*.yaml")))
def test_the_examples_are_device_files(path: Path) -> None:
    assert read_device(path).labels


def test_every_measure_is_documented() -> None:
    text = (ROOT / "docs/devices.md").read_text()
    for name in kinds.REGISTRY:
        for measure in kinds.find(name).SPEC.measures:
            assert f"| `{measure}` |" in text


def test_a_secret_that_is_not_set_names_the_file() -> None:
    spec = DeviceSpec(
        "nas", "linux", "ssh", "ssh://me@127.0.0.1?password=${env:BENCH_NO_SUCH}&config=/dev/null"
    )
    seen = devices.look_at(spec)
    assert (seen.state, seen.reason, seen.hint) == (
        "unreachable",
        "devices/nas.yaml: address: environment variable BENCH_NO_SUCH is not set",
        "Set it with `export BENCH_NO_SUCH=…`.",
    )


def test_the_commands(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    Path("devices/orin.yaml").write_text(f"kind: jetson\ntransport: ssh\naddress: {GONE.address}\n")
    code, out, _ = bench(capsys, "devices", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert (code, {row["name"]: row["state"] for row in rows}["orin"]) == (0, "unreachable")
    code, out, _ = bench(capsys, "devices")
    assert (code, "orin: 127.0.0.1" in out or "orin: " in out) == (0, True)
    code, out, _ = bench(capsys, "devices", "check", "orin")
    assert (code, out.splitlines()[0][:13]) == (1, "!! connect   ")
    code, out, _ = bench(capsys, "devices", "check", "orin", "--json")
    assert (code, json.loads(out.splitlines()[0])["step"]) == (1, "connect")
    code, _, err = bench(capsys, "devices", "clean", "orni")
    assert (code, "unknown device 'orni'; did you mean 'orin'?" in err) == (2, True)
    (here / "store").mkdir(parents=True)
    code, out, _ = bench(capsys, "devices", "clean", "local")
    assert (code, f"local: removed {here}" in out) == (0, True)


def test_without_an_adb_server_discover_says_how_to_start_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", "1")
    code, out, err = bench(capsys, "devices", "discover")
    assert (code, out) == (1, "")
    assert "no answer from an adb server at 127.0.0.1:1" in err
    assert "adb start-server" in err

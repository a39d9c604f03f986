"""A Mac: its Pythons are found, an environment is made there, and the runner runs on it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from records_for_tests import ok_result, trial

from harness import kinds
from harness.analysis.verdict import judge
from harness.bundling import contents, wheels
from harness.containers.output import JobOutput
from harness.containers.venv import VenvEngine
from harness.kinds import answers, macos, readings, scripts
from harness.kinds.answers import Readings
from harness.monitor.sampler import BLIND, Watch
from harness.records import Cell, DeviceFacts, DeviceSpec, ModelSpec, TensorSpec
from harness.runner.job import PROFILES, VERSION, Job, TrialAnswer
from harness.runtimes import DeviceMount, RuntimeRequest, venv
from harness.serial import dumps, loads
from harness.transports.local import LocalTransport

ROOT = Path(__file__).parents[2]
VERSION_HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def mac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This machine answers as a Mac does; its tools are in the folder."""
    tools = tmp_path / "tools"
    tools.mkdir()
    said = {
        "uname": f"case $1 in -s) echo Darwin ;; -m) echo {platform.machine()} ;; "
        "-r) echo 24.1.0 ;; *) echo Darwin 24.1.0 ;; esac",
        "sysctl": "case $2 in hw.model) echo Mac14,2 ;; hw.ncpu) echo 8 ;; "
        "hw.memsize) echo 17179869184 ;; *.brand_string) echo Apple M2 ;; "
        "vm.loadavg) echo '{ 1.50 1.20 1.10 }' ;; esac",
        "sw_vers": "case $1 in -productVersion) echo 15.1 ;; *) echo 24B83 ;; esac",
        "xcode-select": "exit 2",
        "pmset": "case $2 in batt) echo ' -InternalBattery-0 (id=1)\t64%; discharging; 5:12' ;; "
        "*) echo 'Note: No thermal warning level has been recorded' ;; esac",
        "vm_stat": "echo 'Statistics: (page size of 16384 bytes)'; echo 'Pages free: 1000.'",
    }
    for name, text in said.items():
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tools


def python(path: Path, version: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {version}\n")
    path.chmod(0o755)


# ---- facts -------------------------------------------------------------------------------------


def test_a_mac_says_what_it_is(mac: Path) -> None:
    facts = macos.read_facts(LocalTransport("mac"))
    assert (facts.kind, facts.os, facts.model, facts.soc) == (
        "macos", "macOS 15.1", "Mac14,2", "Apple M2",
    )  # fmt: skip
    assert facts.cpus == facts.big_cpus == tuple(range(8))  # so many threads for what is not timed
    assert facts.memory_total_bytes == 17179869184
    state = macos.read_state(LocalTransport("mac"))
    assert (state.battery_percent, state.charging, state.throttled) == (64.0, False, False)
    assert (state.load_1m, state.memory_available_bytes) == (1.5, 16_384_000)


def test_pythons_beside_the_path_are_found_and_the_systems_asks_nobody_to_install_tools(
    mac: Path, tmp_path: Path
) -> None:
    """A login by SSH has no Homebrew in its PATH, and /usr/bin/python3 may open a window."""
    brew, org = tmp_path / "opt/homebrew/bin", tmp_path / "Python.framework/Versions"
    python(brew / "python3.13", "3.13.1")
    python(brew / "python3.11", "3.11.9")
    python(org / "3.12/bin/python3.12", "3.12.4")
    python(org / "3.13/bin/python3.13", "9.9.9")  # known: not asked again
    python(org / "3.7/bin/python3.7", "3.7.9")
    (brew / "python3.10").write_text("#!/bin/sh\nexit 1\n")
    (brew / "python3.10").chmod(0o755)
    (brew / "python3.14").mkdir()
    script = scripts.PRELUDE + scripts.PYTHONS + f"pythons '{brew}' '{org}'/3.*/bin"
    done = LocalTransport("mac").run(["sh", "-c", script], timeout_s=30)
    assert readings.pythons(Readings(done.text)) == ("3.11.9", "3.13.1", "3.12.4")
    seen = answers.ask(LocalTransport("mac"), macos.SPEC, scripts.MACOS_FACTS, timeout_s=60)
    assert seen.all("python") == []  # of /usr/bin, where the developer tools are missing


@pytest.mark.parametrize("shell", [["dash"], ["bash", "--posix"], ["mksh"], ["busybox", "sh"]])
def test_a_linux_hosts_second_python_is_found(tmp_path: Path, shell: list[str]) -> None:
    python(tmp_path / "a/python3", "3.14.0")
    python(tmp_path / "b/python3.11", "3.11.9")
    python(tmp_path / "b/python3.14", "9.9.9")
    python(tmp_path / "shims/python3.12", "3.12.1")  # pyenv's, which say no, and late
    asked = """command -v python3 >/dev/null 2>&1 && python python3
IFS=:; set -f; set -- $PATH; set +f; unset IFS
pythons "$@"
"""
    assert asked in scripts.HOST_FACTS
    path = ":".join(str(tmp_path / name) for name in ("a", "shims", "b"))
    script = f"{scripts.PRELUDE}{scripts.PYTHONS}PATH='{path}'\n{asked}"
    done = subprocess.run([*shell, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["python=3.14.0", "python=3.11.9"]


@pytest.mark.parametrize(
    ("lines", "throttled"),
    [
        (
            ["CPU_Scheduler_Limit \t= 100", "CPU_Available_CPUs \t= 8", "CPU_Speed_Limit \t= 72"],
            True,
        ),
        (["CPU_Scheduler_Limit \t= 60", "CPU_Speed_Limit \t= 100"], True),
        (["CPU_Scheduler_Limit = 100", "CPU_Available_CPUs = 8", "CPU_Speed_Limit = 100"], False),
        (["Note: No thermal warning level has been recorded"], False),
        (["Thermal warning level set to 2"], True),
        ([], None),
    ],
)
def test_a_mac_says_whether_it_throttles(lines: list[str], throttled: bool | None) -> None:
    assert macos.throttled(lines) is throttled


def test_a_macs_battery_is_not_the_ups_beside_it() -> None:
    lines = [" -UPS (id=9)\t31%; AC attached; not charging", " -InternalBattery-0\t90%; charged;"]
    assert macos.battery(lines) == (90.0, True)
    assert macos.battery(lines[:1]) == (None, None)


# ---- an environment there ----------------------------------------------------------------------


def wheel(folder: Path, name: str, code: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-1-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}.py", code)


@pytest.fixture
def wanted(mac: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RuntimeRequest:
    """A format whose wheels are made here, of pip's answers; the rest is what a Mac gets."""
    asked: list[str] = []

    def run(argv: tuple[str, ...], output: JobOutput, folder: Path, *more: object) -> None:
        asked.extend(argv)
        (tmp_path / "asked.json").write_text(json.dumps(asked))
        for name in ("numpy", "clay"):
            wheel(folder / "wheels", name, f"name = {name!r}\n")

    monkeypatch.setattr(wheels.commands, "run", run)
    made = contents.Contents("clay", ("clay",), "clay", ("3.8", VERSION_HERE), (), {}, "clay==1\n")
    monkeypatch.setattr(venv.listing, "read", lambda name: made)
    found = macos.read_facts(LocalTransport("mac"))
    facts = DeviceFacts(
        "macos", "arm64", "macOS 14.2", workdir=found.workdir, python="3.9.6",
        pythons=("3.9.6", f"{VERSION_HERE}.1"),
    )  # fmt: skip
    return RuntimeRequest(
        "clay", DeviceSpec("mac", "macos", "local"), facts, PurePosixPath(found.workdir),
        tmp_path / "cache", tmp_path / "log.txt", VenvEngine(),
    )  # fmt: skip


def test_a_mac_runs_the_environment_that_was_made_by_its_own_python(
    wanted: RuntimeRequest, mac: Path, tmp_path: Path
) -> None:
    """The one of the right version, though `python3` is another; nothing of Linux is asked for."""
    python(mac / "python3", "3.9.6")
    (mac / f"python{VERSION_HERE}").symlink_to(sys.executable)
    for name in ("prlimit", "setsid", "taskset"):
        (mac / name).write_text("#!/bin/sh\nexit 127\n")
        (mac / name).chmod(0o755)
    transport = LocalTransport("mac")
    ready = venv.provide(transport, wanted)
    assert ready.image.engine == "venv"
    asked = json.loads((tmp_path / "asked.json").read_text())
    assert asked[asked.index("--python-version") + 1] == VERSION_HERE
    tags = [asked[i + 1] for i, word in enumerate(asked) if word == "--platform"]
    assert tags[0] == "macosx_14_0_arm64"
    assert not [tag for tag in tags if "linux" in tag]
    mounts = (DeviceMount(PurePosixPath(tmp_path), "/job", writable=True),)
    code = "import clay, sys; print(clay.name, *sys.version_info[:2], sys.argv[1])"
    done = transport.run(ready.command(("-c", code, "it's"), mounts, {}, (0,), 10**9), timeout_s=60)
    assert done.text.split() == ["clay", *VERSION_HERE.split("."), "it's"]


def test_a_python_that_is_gone_is_named(
    wanted: RuntimeRequest, mac: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("python3", f"python{VERSION_HERE}"):
        python(mac / name, "3.9.6")
    monkeypatch.setattr(venv, "CHECK", venv.CHECK.replace(scripts.MACOS_PYTHONS, str(mac)))
    with pytest.raises(venv.StepFailed) as raised:
        venv.provide(LocalTransport("mac"), wanted)
    assert raised.value.message == (
        f"mac: the environment of clay does not work: no Python {VERSION_HERE} "
        f"for {platform.machine()}"
    )


# ---- the runner --------------------------------------------------------------------------------

#: no scheduler's calls, no /proc and /sys, and the format's engine does next to nothing
DARWIN = r"""
import os, sys, time
from types import SimpleNamespace

for name in [n for n in dir(os) if n.startswith("sched_")]:
    delattr(os, name)
for name in ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC_RAW"):
    if hasattr(time, name):
        delattr(time, name)

import numpy as np
import harness.formats as formats

def hide(event, args):
    if event in ("open", "os.listdir", "os.scandir") and str(args[0]).startswith(("/proc", "/sys")):
        raise FileNotFoundError(2, "No such file or directory", str(args[0]))

sys.addaudithook(hide)
real = os.stat
def stat(path, *a, **k):
    hide("open", (path,))
    return real(path, *a, **k)
os.stat = stat
sys.platform = "darwin"

class Engine:
    unbound = ()
    def __init__(self, model):
        self.inputs, self.fed = model.inputs, np.zeros((1, 3, 8, 8), np.float32)
    def feed(self, tensors): self.fed[...] = tensors[0]
    def invoke(self): self.sum = np.full((1, 2), self.fed.sum(), np.float32)
    def fetch(self): return {"logits": self.sum}

formats.REGISTRY["pytorch"] = SimpleNamespace(
    SPEC=SimpleNamespace(runtime="json", imports=()),
    load=lambda path, model, options: Engine(model))
from harness.runner.__main__ import main
sys.exit(main())
"""


def job(folder: Path, mode: str, **more: object) -> Job:
    pack = folder / "pack"
    pack.mkdir(parents=True)
    np.save(pack / "ids.npy", np.arange(3))
    np.save(pack / "shapes.npy", np.full((3, 3), (12, 10, 3), np.int64))
    np.save(pack / "pixels.npy", np.arange(3 * 12 * 10 * 3, dtype=np.uint8).reshape(3, 12, 10, 3))
    model = ModelSpec(
        "m", "classification", "n.py", "b", "w.pt", "0",
        (TensorSpec("images", (1, 3, 8, 8)),), ("logits",), ("a", "b"),
    )  # fmt: skip
    asked = Job(
        VERSION, mode, "pytorch", "fp32", 1, model, "", "m", str(pack), 3,  # type: ignore[arg-type]
        measure=PROFILES["smoke"], cpus=(7,), memory_bytes=4 << 30,
    )  # fmt: skip
    (folder / "job.json").write_text(dumps(asked))
    return asked


def run_as_darwin(folder: Path) -> None:
    environment = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-c", DARWIN, str(folder)], env=environment, capture_output=True,
        text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_trial_is_measured_without_what_linux_alone_has(tmp_path: Path) -> None:
    job(tmp_path, "trial")
    run_as_darwin(tmp_path)
    answer = loads(TrialAnswer, (tmp_path / "result.json").read_bytes())
    with np.load(tmp_path / "samples.npz") as samples:
        assert len(samples["latency_ns"]) >= 8
    assert answer.affinity == ()  # no process is pinned there
    assert (answer.busy_threads, answer.thread_percent, answer.boot_offset_s) == (None, (), 0.0)
    assert answer.os_threads >= 1
    assert answer.memory is not None
    assert answer.memory.how == "end"
    assert 10**6 < answer.memory.base_rss_bytes <= answer.peak_rss_bytes
    assert (answer.before.hottest_c, answer.before.cpu_pressure_percent) == (None, None)
    assert answer.before.memory_total_bytes is None
    assert answer.before.load_1m is not None


@pytest.mark.parametrize(
    ("mode", "left"), [("outputs", "outputs.npz"), ("predict", "predictions.npz")]
)
def test_outputs_and_predictions_need_nothing_of_linux(
    tmp_path: Path, mode: str, left: str
) -> None:
    job(tmp_path, mode)
    run_as_darwin(tmp_path)
    assert (tmp_path / left).stat().st_size > 0


def test_a_trial_whose_system_pins_no_process_is_not_invalid() -> None:
    cell = Cell("rio", "onnx", "fp32", "mac", 2)
    summary = ok_result().summary
    assert summary is not None
    assert judge(cell, [replace(trial(), affinity=())], summary) == ("valid", ())
    assert judge(cell, [replace(trial(), affinity=(1,))], summary)[0] == "invalid"


def test_what_cannot_be_seen_on_a_mac_is_noted(mac: Path, tmp_path: Path) -> None:
    assert set(BLIND) <= set(kinds.REGISTRY)
    with Watch(LocalTransport("mac"), "macos", str(tmp_path), 30) as watch:
        pass
    assert watch.watched.notes[0] == (
        "macOS does not support CPU pinning or report clocks: cores and clocks unknown"
    )


def test_jobs_of_a_lost_mac_are_ended_by_what_ps_says(tmp_path: Path) -> None:
    """Where there is no /proc; the shell that looks for them goes on."""
    from harness.targets.remote import KILL_JOBS

    script = KILL_JOBS.replace("/proc/self", "/nonexistent/proc")
    folder = tmp_path / "jobs" / "1a2b"
    folder.mkdir(parents=True)
    code = "import sys, time; time.sleep(60)"
    ours = subprocess.Popen([sys.executable, "-c", code, str(folder)])
    other = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "else")])
    try:
        done = LocalTransport("mac").run(["sh", "-c", script, "sh", str(tmp_path)], timeout_s=30)
        assert done.exit_code == 0
        assert ours.wait(10) == -9
        assert other.poll() is None
    finally:
        for process in (ours, other):
            process.kill()
            process.wait()

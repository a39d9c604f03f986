"""`bench lab up` and `down`: what they start, and that nothing of it stays."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Lab, lab_in, wait_for

from harness.lab.upkeep import State
from harness.serial import from_json

pytestmark = [pytest.mark.servers, pytest.mark.slow]
BINFMT = Path("/proc/sys/fs/binfmt_misc")


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Lab]:
    """A lab of its own, with nothing up."""
    made = lab_in(tmp_path / "cache")
    yield made
    made.bench("down")


def command_lines(cache: Path) -> list[str]:
    """Of all processes that name a folder of this lab, as its daemons and first processes do."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(cache) in line:
            found.append(line)
    return found


def in_other_spaces(root: str) -> list[str]:
    """Processes whose root folder is below `root`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            seen = str((folder / "root").readlink())
        except OSError:
            continue
        if seen.startswith(root):
            found.append(folder.name)
    return found


def mounts(cache: Path) -> list[str]:
    """Those that only a lab makes; others, as of a Docker daemon, come and go meanwhile."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return [line for line in lines if str(cache) in line or "binfmt_misc" in line]


def rules() -> list[str]:
    """The kernel's rules for foreign programs."""
    return sorted(path.name for path in BINFMT.iterdir())


def daemons(lab: Lab) -> dict[str, int]:
    state = from_json(State, json.loads((lab.cache / "lab" / "state.json").read_text()))
    return {device.name: device.pid for device in state.devices}


def test_what_up_starts_down_ends_and_the_machine_is_as_before(alone: Lab) -> None:
    before = mounts(alone.cache), rules()
    up = alone.bench("up", "phone", "host")
    assert up.returncode == 0, up.stderr
    assert "lab-jetson  down" in up.stdout
    assert (BINFMT / "qemu-aarch64").is_file()
    assert not [line for line in mounts(alone.cache) if str(alone.cache) in line]
    assert alone.connect("phone").run(["uname", "-m"], timeout_s=60).text == "aarch64\n"
    job = alone.connect("host")
    job.run(["sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 </dev/null &"], timeout_s=60)
    assert command_lines(alone.cache)

    down = alone.bench("down")
    assert (down.returncode, down.stdout) == (0, "stopped lab-phone\nstopped lab-host\n")
    assert (mounts(alone.cache), rules()) == before
    assert command_lines(alone.cache) == []
    assert in_other_spaces(str(alone.cache)) == []
    assert not (alone.cache / "lab" / "devices").exists()
    assert alone.bench("down").stdout == ""


def test_up_twice_starts_nothing_twice_and_a_killed_device_comes_back(alone: Lab) -> None:
    assert alone.bench("up", "host").returncode == 0
    first = daemons(alone)
    assert alone.bench("up", "host").returncode == 0
    assert daemons(alone) == first
    os.kill(first["host"], signal.SIGKILL)
    wait_for(lambda: not command_lines(alone.cache), 20)
    assert "lab-host    down" in alone.bench("status").stdout
    assert alone.bench("up", "host").returncode == 0
    assert daemons(alone)["host"] != first["host"]
    assert alone.connect("host").run(["true"], timeout_s=60).exit_code == 0


def test_names_that_are_none_are_usage_errors(alone: Lab) -> None:
    wrong = alone.bench("up", "tablet")
    assert wrong.returncode == 2
    assert "unknown lab device 'tablet'; known: phone, jetson, host" in wrong.stderr
    wrong = alone.bench("fault", "phone", "explode")
    assert wrong.returncode == 2
    assert "unknown fault 'explode'; known: drop, reboot, hang" in wrong.stderr
    down = alone.bench("fault", "phone", "drop")
    assert down.returncode == 1
    assert "lab-phone is not running" in down.stderr
    assert "bench lab up" in down.stderr

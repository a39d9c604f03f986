"""`bench lab up|down|fault`: starts and stops the emulated devices, and undoes all changes."""

from __future__ import annotations

import fcntl
import json
import os
import random
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .. import cache, transports
from ..errors import BenchError, DeviceLost, StepFailed, UsageError
from ..records import DeviceSpec
from ..serial import dumps, from_json
from ..workspace import cache_root
from . import binfmt, control, roots
from .board import DevicePlan
from .faults import FAULTS

NAMES: Final = ("phone", "jetson", "host")
_EMULATED: Final = ("phone", "jetson")
PACKAGES: Final = {
    "unshare": "util-linux", "apt-get": "apt", "dpkg-deb": "dpkg", "tar": "tar",
    "ssh-keygen": "openssh-client",
}  # fmt: skip
STORAGE_MB: Final = 3000
_START_S, _END_S = 60.0, 20.0


@dataclass(frozen=True)
class Running:
    """A device's daemon; the start time distinguishes it from another process with the same pid."""

    name: str
    pid: int
    started_ticks: int
    port: int
    root: str


@dataclass(frozen=True)
class State:
    """What `up` has done and `down` must undo; stored in `lab/state.json` of the cache."""

    devices: tuple[Running, ...] = ()
    changed: binfmt.Changed = binfmt.Changed(False, False)


def folder() -> Path:
    """The lab's folder."""
    return cache_root() / "lab"


def up(names: Sequence[str] = NAMES, say: Callable[[str], None] = lambda _: None) -> State:
    """Start the devices that are not running, and wait until each answers.

    Raises UsageError for an unknown name, StepFailed for missing requirements.
    """
    _check_names(names)
    _check_machine(names)
    with _locked():
        state = _alive(_read())
        trees = {name: roots.make(name, say) for name in names}
        _make_keys()
        if any(name in _EMULATED for name in names):
            changed = binfmt.ensure()
            state = State(state.devices, _both(state.changed, changed))
            _write(state)
        for name in names:
            if not any(device.name == name for device in state.devices):
                state = _start(state, name, trees[name])
        _write_files(state)
    for device in state.devices:
        _wait(device)
    return state


def down(say: Callable[[str], None] = lambda _: None) -> None:
    """Stop exactly what `up` started; the roots stay in the cache."""
    with _locked():
        state = _read()
        for device in state.devices:
            _end(device)
            say(f"stopped lab-{device.name}")
        binfmt.undo(state.changed)
        for name in ("run", "devices"):
            shutil.rmtree(folder() / name, ignore_errors=True)
        for name in ("state.json", "known_hosts"):
            (folder() / name).unlink(missing_ok=True)


def running() -> State:
    """The running devices."""
    return _alive(_read())


def status() -> list[tuple[str, str, str, str, str]]:
    """Table rows: device, state, address, size of its root, bytes written."""
    known = {device.name: device for device in running().devices}
    return [_row(name, known.get(name)) for name in NAMES]


def _row(name: str, device: Running | None) -> tuple[str, str, str, str, str]:
    if device is None:
        return f"lab-{name}", "down", "", "", ""
    try:
        written = control.ask(_socket(name), control.Request("written")).text
    except OSError as error:
        return f"lab-{name}", f"not responding: {error}", spec(device).address, "", ""
    size = f"{_tree_bytes(Path(device.root)) / 1e6:.0f} MB"
    return f"lab-{name}", "up", spec(device).address.partition("?")[0], size, written


def _tree_bytes(root: Path) -> int:
    """Files only: links of a root may lead anywhere."""
    seen = (path.lstat() for path in root.rglob("*"))
    return sum(each.st_size for each in seen if stat.S_ISREG(each.st_mode))


def _socket(name: str) -> Path:
    return folder() / "run" / name / "control"


def fault(device: str, name: str, value: str = "") -> str:
    """Inject the fault; what was done. Raises UsageError, StepFailed."""
    short = device.removeprefix("lab-")
    _check_names([short])
    if name not in FAULTS:
        raise UsageError(f"unknown fault '{name}'; known: {', '.join(FAULTS)}")
    if not any(each.name == short for each in running().devices):
        raise StepFailed(f"lab-{short} is not running", "Start it with `sudo bench lab up`.")
    try:
        reply = control.ask(_socket(short), control.Request(name, value))
    except OSError as error:
        raise StepFailed(f"lab-{short} is not responding: {error}", _log_hint(short)) from error
    if not reply.ok:
        raise StepFailed(reply.text)
    return reply.text


def spec(device: Running) -> DeviceSpec:
    """Its device specification; the same as its file in `lab/devices`."""
    transport = "adb" if device.name == "phone" else "ssh"
    return DeviceSpec(
        name=f"lab-{device.name}",
        kind={"phone": "android", "jetson": "jetson", "host": "linux"}[device.name],
        transport=transport,
        address=_address(device),
        labels=(f"lab-{device.name}", "lab"),
        description=_DESCRIPTIONS[device.name],
        emulated=True,
        cpus=_cpus(device.name),
    )


def _cpus(name: str) -> tuple[int, ...]:
    """Emulated processors share this machine's: each gets one, as far apart as there are."""
    usable = sorted(os.sched_getaffinity(0))
    return (usable[{"phone": -1, "jetson": 0, "host": -1}[name]],)


_DESCRIPTIONS: Final = {
    "phone": "emulated phone (bench lab): arm64 under qemu",
    "jetson": "emulated Jetson (bench lab): arm64 under qemu, no GPU",
    "host": "host with its own root file system (bench lab)",
}


def _address(device: Running) -> str:
    if device.name == "phone":
        return f"127.0.0.1:{device.port}"
    user = "root" if device.name == "jetson" else "bench"
    options = f"key={folder() / 'keys' / 'id_ed25519'}&known_hosts={folder() / 'known_hosts'}"
    return f"ssh://{user}@127.0.0.1:{device.port}?{options}"


# ---- starting ----------------------------------------------------------------------------------


def _check_names(names: Sequence[str]) -> None:
    for name in names:
        if name not in NAMES:
            raise UsageError(f"unknown lab device '{name}'; known: {', '.join(NAMES)}")


def _check_machine(names: Sequence[str]) -> None:
    if sys.platform != "linux":
        raise StepFailed(f"the lab requires Linux; this is {sys.platform}")
    if os.geteuid() != 0:
        raise StepFailed(
            "the lab requires root, to mount file systems",
            "Run `sudo bench lab up`, or use a container with --privileged.",
        )
    lacking = {package for tool, package in PACKAGES.items() if shutil.which(tool) is None}
    if any(name in _EMULATED for name in names) and binfmt.missing():
        lacking.add("qemu-user-static")
    if lacking:
        raise StepFailed(
            f"missing packages: {', '.join(sorted(lacking))}",
            f"Run `apt-get install {' '.join(sorted(lacking))}` or `scripts/system-packages lab`.",
        )


def _make_keys() -> None:
    keys = folder() / "keys"
    keys.mkdir(parents=True, exist_ok=True, mode=0o700)
    wanted = ["id_ed25519", *(f"{name}_{i}" for name in ("jetson", "host") for i in (0, 1))]
    for name in wanted:
        if not (keys / name).is_file():
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"bench-lab {name}"]
            subprocess.run([*command, "-f", str(keys / name)], check=True)


def _start(state: State, name: str, lower: Path) -> State:
    here, keys = folder() / "run" / name, folder() / "keys"
    shutil.rmtree(here, ignore_errors=True)
    here.mkdir(parents=True)
    ssh = name != "phone"
    plan = DevicePlan(
        name=name,
        lower=str(lower),
        folder=str(here),
        port=_free_port(),
        storage_mb=STORAGE_MB,
        user_key=str(keys / "id_ed25519.pub") if ssh else "",
        host_keys=tuple(str(keys / f"{name}_{i}") for i in (0, 1)) if ssh else (),
    )
    (here / "plan.json").write_text(dumps(plan, indent=1), "utf-8")
    with open(here / "log", "ab") as log:
        daemon = subprocess.Popen(
            [
                *("unshare", "--mount", "--propagation", "private"),
                *(sys.executable, "-P", "-m", "harness.lab.daemon", str(here / "plan.json")),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env={**os.environ, "PYTHONPATH": _python_path()},
            start_new_session=True,
        )
    ticks = _started_ticks(daemon.pid)
    assert ticks is not None, "a child is there until it is waited for"
    started = Running(name, daemon.pid, ticks, plan.port, str(lower))
    state = State((*state.devices, started), state.changed)
    _write(state)
    return state


def _python_path() -> str:
    """Where this package was imported from, for a daemon that starts in another folder."""
    own = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join(filter(None, (own, os.environ.get("PYTHONPATH"))))


def _wait(device: Running) -> None:
    """Wait until it runs a command over its own protocol."""
    until = time.monotonic() + _START_S
    while True:
        try:
            transport = transports.connect(spec(device))
            try:
                transport.run(["true"], timeout_s=20)
                return
            finally:
                transport.close()
        except DeviceLost as error:
            if time.monotonic() > until or not _is_alive(device):
                raise StepFailed(
                    f"no answer from lab-{device.name}: {error.message}", _log_hint(device.name)
                ) from error
        time.sleep(0.1)


def _log_hint(name: str) -> str:
    log = folder() / "run" / name / "log"
    return f"See {log}, or restart with `bench lab down` and `bench lab up`."


def _free_port() -> int:
    """Below the kernel's ephemeral ports, so that it is still free after a reboot."""
    for port in random.sample(range(20000, 29999), 50):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise StepFailed("no free port between 20000 and 29999 on 127.0.0.1")


# ---- files -------------------------------------------------------------------------------------


def _write_files(state: State) -> None:
    devices = folder() / "devices"
    devices.mkdir(parents=True, exist_ok=True)
    known = []
    for device in state.devices:
        if device.name != "phone":
            key = (folder() / "keys" / f"{device.name}_0.pub").read_text().split()
            known.append(f"[127.0.0.1]:{device.port} {key[0]} {key[1]}\n")
        (devices / f"lab-{device.name}.yaml").write_text(device_file(spec(device)), "utf-8")
    (folder() / "known_hosts").write_text("".join(known))


def device_file(device: DeviceSpec) -> str:
    """YAML of it, as in `devices/`."""
    return (
        "# Written by `bench lab up`, removed by `bench lab down`.\n"
        f"kind: {device.kind}\ntransport: {device.transport}\naddress: {device.address!r}\n"
        f"labels: [{', '.join(device.labels)}]\ndescription: {device.description!r}\n"
        f"emulated: true\ncpus: {list(device.cpus)}\n"
    )


@contextmanager
def _locked() -> Iterator[None]:
    try:
        folder().mkdir(parents=True, exist_ok=True)
        (folder() / "lock").touch()
    except OSError as error:
        raise cache.unusable(folder(), error) from error
    with open(folder() / "lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _read() -> State:
    path = folder() / "state.json"
    if not path.is_file():
        return State()
    try:
        return from_json(State, json.loads(path.read_text("utf-8")))
    except ValueError as error:
        raise BenchError(
            f"{path}: {error}", "Delete the file, and stop the lab's processes manually."
        ) from error


def _write(state: State) -> None:
    part = folder() / ".state.json"
    part.write_text(dumps(state, indent=1), "utf-8")
    part.replace(folder() / "state.json")


def _both(old: binfmt.Changed, new: binfmt.Changed) -> binfmt.Changed:
    return binfmt.Changed(old.mounted or new.mounted, old.registered or new.registered)


# ---- processes ---------------------------------------------------------------------------------


def _started_ticks(pid: int) -> int | None:
    """Clock ticks after boot at which a process started; None when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])


def _is_alive(device: Running) -> bool:
    return _started_ticks(device.pid) == device.started_ticks


def _alive(state: State) -> State:
    return State(tuple(filter(_is_alive, state.devices)), state.changed)


def _end(device: Running) -> None:
    """Asks it first; raises StepFailed when it does not end even when it is killed."""
    until = time.monotonic() + _END_S
    for number in (signal.SIGTERM, signal.SIGKILL):
        if _is_alive(device):
            os.kill(device.pid, number)
        while _is_alive(device) and time.monotonic() < until:
            time.sleep(0.02)
        until += _END_S
    if _is_alive(device):
        raise StepFailed(f"cannot stop process {device.pid} of lab-{device.name}")

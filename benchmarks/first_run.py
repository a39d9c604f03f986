"""How long the first run on a machine takes, from nothing to the complete page, and the next one.

    sudo python benchmarks/first_run.py [--engine venv] [--images] [--no-warm] [--project FOLDER]

Its own Docker daemon has an empty data root, and bench an empty cache, both under a temporary
folder; downloads are part of the time, and the host's own caches of packages are left as they
are. `--images` builds the images only; `--project` is where the runs and pages stay.

It prints what each part took, and ratios to the limits. A slow or busy machine is no failure: it
exits with 1 only where not measured at all.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
SCENARIO: Final = ROOT / "scenarios" / "rio.yaml"
FIRST_CELL_S, COMPLETE_S, WARM_CELL_S = 6 * 60, 16 * 60, 10
#: network of the benchmark's daemon, separate from that of an existing daemon
BRIDGE, GATEWAY, SUBNET = "bench-first", "172.31.250.1/24", "172.31.250.0/24"
RULES: Final = (
    f"-t nat {{}} POSTROUTING -s {SUBNET} ! -o {BRIDGE} -j MASQUERADE",
    f"{{}} FORWARD -i {BRIDGE} -j ACCEPT",
    f"{{}} FORWARD -o {BRIDGE} -j ACCEPT",
)
BASE: Final = "bench/base:bookworm"
START_S: Final = 60

Event = dict[str, Any]


def main() -> int:
    """Print everything; whether a cell was measured."""
    options = _options()
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="bench-first-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        env = _environment(folder, options.project or folder / "project")
        if options.engine == "docker":
            env |= {"DOCKER_HOST": stack.enter_context(_own_docker(folder))}
        print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, engine {options.engine}")
        if options.images:
            return _images_alone(options, env)
        cold = _run(options, env, to_first_cell=False)
        _print_cold(cold, env)
        if options.warm:
            _print_limit("warm: first measured cell", _first_cell(*_run(options, env)), WARM_CELL_S)
    return int(_first_cell(*cold) is None)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine", choices=["docker", "venv"], default="docker")
    parser.add_argument("--images", action="store_true", help="build the images only")
    parser.add_argument("--no-warm", dest="warm", action="store_false", help="only the first run")
    parser.add_argument("--project", type=Path, help="folder that keeps the runs and their pages")
    return parser.parse_args()


def _environment(folder: Path, project: Path) -> dict[str, str]:
    project.mkdir(parents=True, exist_ok=True)
    paths = {"BENCH_CACHE": folder / "cache", "BENCH_PROJECT": project.resolve()}
    return {**os.environ, "PYTHONPATH": str(ROOT), **{k: str(v) for k, v in paths.items()}}


# ---- a Docker daemon that has nothing ----------------------------------------------------------


@contextmanager
def _own_docker(folder: Path) -> Iterator[str]:
    """The address of a daemon of our own, which ends with the body."""
    host = f"unix://{folder}/docker.sock"
    places = ["--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec"]
    network = ["--bridge", BRIDGE, "--iptables=false"]
    argv = ["dockerd", "-H", host, *places, "-p", f"{folder}/docker.pid", *network]
    with _bridge(), (folder / "dockerd.log").open("wb") as log:
        daemon = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)
        try:
            _wait_for(host, daemon, folder / "dockerd.log")
            yield host
        finally:
            daemon.terminate()
            daemon.wait()


@contextmanager
def _bridge() -> Iterator[None]:
    commands = [
        f"ip link add {BRIDGE} type bridge",
        f"ip addr add {GATEWAY} dev {BRIDGE}",
        f"ip link set {BRIDGE} up",
        *(f"iptables {rule.format('-I')}" for rule in RULES),
    ]
    undo = [*(f"iptables {rule.format('-D')}" for rule in RULES), f"ip link del {BRIDGE}"]
    try:
        for command in commands:
            subprocess.run(command.split(), check=True)
        yield
    finally:
        for command in undo:
            subprocess.run(command.split(), check=False, stderr=subprocess.DEVNULL)


def _wait_for(host: str, daemon: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while daemon.poll() is None and time.monotonic() < deadline:
        if subprocess.run(["docker", "-H", host, "version"], capture_output=True).returncode == 0:
            return
        time.sleep(0.2)
    sys.exit(f"dockerd did not start:\n{log.read_text('utf-8', 'replace')[-2000:]}")


# ---- a run, and what its events say ------------------------------------------------------------


def _run(
    options: argparse.Namespace, env: Mapping[str, str], to_first_cell: bool = True
) -> tuple[float, float, list[Event]]:
    """Start and end of a run in seconds since the epoch, and its events.

    With `to_first_cell` it is interrupted when the first cell is measured.
    """
    began, runs = time.time(), Path(env["BENCH_PROJECT"]) / "runs"
    before = set(runs.glob("*"))
    argv = [*_bench(), "run", str(SCENARIO), "--engine", options.engine]
    events: list[Event] = []
    with subprocess.Popen(argv, env=dict(env), stdout=subprocess.DEVNULL, cwd=runs.parent) as run:
        while run.poll() is None:
            time.sleep(0.1)
            events = _events(set(runs.glob("*")) - before)
            if to_first_cell and _first_cell(began, 0, events) is not None:
                run.send_signal(signal.SIGINT)
                break
    return began, time.time(), events or _events(set(runs.glob("*")) - before)


def _bench() -> list[str]:
    return [str(Path(sys.executable).with_name("bench"))]


def _events(runs: set[Path]) -> list[Event]:
    """What is written of the one new run, up to its last whole line."""
    files = [run / "events.jsonl" for run in runs if (run / "events.jsonl").exists()]
    lines = [line for file in files for line in file.read_text("utf-8").splitlines(True)]
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _first_cell(began: float, _: float, events: list[Event]) -> float | None:
    """Seconds until the first number of a cell that was measured."""
    measured = {event["cell"] for event in events if event["event"] == "trial"}
    numbers = [e for e in events if e["event"] in ("provisional", "cell")]
    at = [e["at"] for e in numbers if e["cell"] in measured]
    return min(at) - began if at else None


def _task_ends(began: float, events: list[Event], start: str) -> dict[str, float]:
    """Name -> seconds until it was there, of the tasks whose names begin with `start`."""
    ends = (e for e in events if e["event"] == "task_end" and e["outcome"] == "ok")
    return {e["task"]: e["at"] - began for e in ends if e["task"].startswith(start)}


def _base_made(env: Mapping[str, str]) -> float | None:
    """When the base image was made here, in seconds since the epoch."""
    argv = ["docker", "image", "inspect", "-f", "{{.Created}}", BASE]
    if "DOCKER_HOST" not in env or env.get("BENCH_BASE_IMAGE"):
        return None
    done = subprocess.run(argv, env=dict(env), capture_output=True, text=True)
    words = re.sub(r"(\.\d{6})\d*Z$", r"\1+00:00", done.stdout.strip())
    return datetime.fromisoformat(words).timestamp() if done.returncode == 0 else None


# ---- what is printed ---------------------------------------------------------------------------


def _images_alone(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    began = time.time()
    argv = [*_bench(), "images", "build", "--engine", options.engine]
    done = subprocess.run(argv, env=dict(env), cwd=env["BENCH_PROJECT"])
    if made := _base_made(env):
        _print("base image", made - began)
    _print("all images", time.time() - began)
    return done.returncode


def _print_cold(cold: tuple[float, float, list[Event]], env: Mapping[str, str]) -> None:
    began, ended, events = cold
    if made := _base_made(env):
        _print("base image", made - began)
    for name, seconds in _task_ends(began, events, "image ").items():
        _print(name, seconds)
    if conversions := _task_ends(began, events, "convert "):
        _print("first conversion", min(conversions.values()))
    _print_limit("first measured cell", _first_cell(*cold), FIRST_CELL_S)
    _print_limit("complete page", ended - began, COMPLETE_S)


def _print(what: str, seconds: float) -> None:
    print(f"{what}: {seconds:.0f} s", flush=True)


def _print_limit(what: str, seconds: float | None, limit_s: float) -> None:
    if seconds is None:
        print(f"{what}: none")
        return
    print(
        f"{what}: {seconds:.1f} s, {seconds / limit_s:.2f} of the limit of {limit_s} s", flush=True
    )


if __name__ == "__main__":
    sys.exit(main())

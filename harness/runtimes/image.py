"""A format's image on a device with Docker of its own: moved once, found by what it is.

A job there gets what one here gets: no network, a read-only root, no root user, no capability,
its CPUs and its memory. Docker's client can be killed and its container would go on: a small
watcher on the device ends the container when its client is gone.
"""

from __future__ import annotations

import itertools
import platform
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from ..cache import file_sha256, get_or_create
from ..containers import EngineName
from ..errors import StepFailed
from ..ondevice import store
from ..records import DeviceFacts, Image
from ..serial import Malformed, parse
from ..transports import Transport
from . import DeviceMount, OnLine, RuntimeRequest, running

LABEL: Final = "bench.job"
PIDS: Final = 1024
TMPFS: Final = "/tmp:rw,noexec,nosuid,nodev,size=1g"
#: of one file, and of files that are open at once
FILE_BYTES: Final = 16 << 30
OPEN_FILES: Final = 4096
LOAD_S: Final = 1800.0
ASK_S: Final = 60.0
MB: Final = 1_000_000
HINT: Final = "is Docker running there, and may this user use it?"

#: name, folder that the job writes or nothing, user or nothing, docker command…: the watcher looks
#: every 2 s
RUN: Final = """\
name=$1 own=$2 user=$3; shift 3
if [ -n "$user" ]; then :
elif [ "$(id -u)" = 0 ]; then
  user=1000:1000
  [ -z "$own" ] || chown -R "$user" "$own" || exit 126
else user=$(id -u):$(id -g)
fi
if command -v setsid >/dev/null 2>&1; then apart=setsid; else apart=; fi
watch='while kill -0 "$1" 2>/dev/null; do sleep 2; done; docker rm -f "$2"'
$apart sh -c "$watch" sh "$$" "$name" </dev/null >/dev/null 2>&1 &
exec docker run --name "$name" --user "$user" "$@"
"""
#: what a daemon says that has no root's rights
ROOTLESS: Final = "name=rootless"
#: label: removes containers that have it
SWEEP: Final = """\
ids=$(docker ps -aq --filter "label=$1") || exit 1
[ -z "$ids" ] || docker rm -f $ids >/dev/null
"""

_PROCESS: Final = secrets.token_hex(4)
_NUMBERS = itertools.count()


@runtime_checkable
class Exports(Protocol):
    """What of the Docker engine moves an image; the venv engine has nothing of it."""

    def layers(self, image: Image) -> tuple[str, ...]:
        """The digests of the image's layers, unpacked: the same wherever it is."""

    def export(self, image: Image, path: Path) -> None:
        """Write the image as a .tar.gz that `docker load` takes."""


@dataclass(frozen=True)
class InstalledImage:
    """See `InstalledRuntime`; `there` is the image's id in the device's Docker."""

    image: Image
    there: str
    options: tuple[str, ...]
    #: under a rootless daemon a container's root is the device's user, and nobody else is
    user: str = ""

    def seen(self, there: DeviceMount) -> str:
        """The path in the container."""
        return there.target

    def command(
        self,
        argv: Sequence[str],
        mounts: Sequence[DeviceMount],
        env: Mapping[str, str],
        cpus: Sequence[int],
        memory_bytes: int,
    ) -> tuple[str, ...]:
        """A container of its own name each time; a writable mount is given to its user first."""
        name = f"bench-{_PROCESS}-{next(_NUMBERS)}"
        own = next((str(mount.path) for mount in mounts if mount.writable), "")
        return (
            *("sh", "-c", RUN, "sh", name, own, self.user),
            *("--rm", "--init", "--label", f"{LABEL}={_PROCESS}", "--log-driver", "none"),
            *("--userns", "host"),  # where users are remapped, mounts belong to none of them
            *("--network", "none", "--read-only", "--tmpfs", TMPFS, "--workdir", "/tmp"),
            *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
            *("--ulimit", "core=0", "--ulimit", f"fsize={FILE_BYTES}"),
            *("--ulimit", f"nofile={OPEN_FILES}"),
            *("--pids-limit", str(PIDS), *_limits(cpus, memory_bytes), *self.options),
            *(word for mount in mounts for word in ("--mount", _bind(mount))),
            *(word for pair in running.assignments(env) for word in ("--env", pair)),
            *(self.there, "python", *argv),
        )


def lacks(facts: DeviceFacts) -> str | None:
    """See `Provide`."""
    return None if facts.docker else "no Docker daemon answers this user on the device"


def why_not(image: str, facts: DeviceFacts, engine: EngineName) -> str | None:
    """See `Provide`."""
    if reason := lacks(facts):
        return reason
    if engine != "docker":
        return f"images are moved from Docker, and this machine uses {engine}"
    here = platform.machine()
    if facts.arch != here:
        return f"the images of this machine are for {here}, and the device is {facts.arch}"
    return None


def provide(
    transport: Transport, wanted: RuntimeRequest, on_line: OnLine | None = None
) -> InstalledImage:
    """See `Provide`; what containers a killed run has left there is removed first."""
    began = time.monotonic()
    engine = wanted.engine
    if not isinstance(engine, Exports):
        reason = why_not(wanted.name, wanted.facts, engine.name)
        raise StepFailed(f"{transport.name}: {reason}", "run with --engine docker")
    image = engine.build(wanted.name, wanted.log, on_line)
    layers = engine.layers(image)
    cleanup(transport)
    there = _found(transport, image, layers)
    cached = there is not None
    if there is None:
        _move(transport, wanted, engine, image, on_line)
        there = _found(transport, image, layers)
    if there is None:
        raise StepFailed(
            f"{transport.name}: Docker took {image.reference} and has another image under its name",
            f"docker rmi {image.reference} there, and try again",
        )
    seconds = time.monotonic() - began
    moved = replace(image, cached=cached, seconds=seconds)
    return InstalledImage(moved, there, _options(wanted), "0:0" if _is_rootless(transport) else "")


def cleanup(transport: Transport) -> None:
    """Remove every container of ours on the device; the caller holds its lease."""
    _docker(transport, ("sh", "-c", SWEEP, "sh", LABEL), "old containers cannot be removed")


def _move(
    transport: Transport,
    wanted: RuntimeRequest,
    engine: Exports,
    image: Image,
    on_line: OnLine | None,
) -> None:
    """Save here, push, load there; broken off anywhere, the next try begins with what is whole."""

    def save(part: Path) -> None:
        engine.export(image, part / "image.tar.gz")

    key = image.digest.removeprefix("sha256:")
    file = get_or_create(wanted.cache, "images", key, save)[0] / "image.tar.gz"
    name = f"image-{file_sha256(file)}"
    quota = wanted.device.storage_mb * MB
    path = store.put(transport, wanted.workdir, file, name, quota, on_line)
    try:
        _docker(
            transport, ("docker", "load", "--input", str(path)), f"cannot load {image.reference}"
        )
    finally:
        store.remove(transport, wanted.workdir, (name,))


def _found(transport: Transport, image: Image, layers: tuple[str, ...]) -> str | None:
    """The image's id there: under its digest, or by its name with the very same layers.

    Docker with containerd's image store has other ids for the same image.
    """
    form = "{{.Id}} {{json .RootFS.Layers}}"
    for name in (image.digest, image.reference):
        done = transport.run(
            ("docker", "image", "inspect", "--format", form, name), timeout_s=ASK_S
        )
        word, _, text = done.text.strip().partition(" ")
        if done.exit_code == 0 and _listed(text) == layers:
            return word
    return None


def _listed(text: str) -> tuple[object, ...]:
    """Of a JSON list; nothing of what is none."""
    try:
        found = parse(text, "layers")
    except Malformed:
        return ()
    return tuple(found) if isinstance(found, list) else ()


def _is_rootless(transport: Transport) -> bool:
    form = "{{range .SecurityOptions}}{{.}} {{end}}"
    done = transport.run(("docker", "info", "--format", form), timeout_s=ASK_S)
    return any(word.startswith(ROOTLESS) for word in done.text.replace(",", " ").split())


def _docker(transport: Transport, argv: Sequence[str], failed: str) -> None:
    done = transport.run(argv, timeout_s=LOAD_S)
    if done.exit_code:
        raise StepFailed(f"{transport.name}: {failed}: {running.last_line(done)}", HINT)


def _options(wanted: RuntimeRequest) -> tuple[str, ...]:
    nvidia = wanted.facts.kind == "jetson" and wanted.facts.nvidia_runtime
    return ("--runtime", "nvidia") if nvidia else ()


def _limits(cpus: Sequence[int], memory_bytes: int) -> tuple[str, ...]:
    pinned = ("--cpuset-cpus", ",".join(map(str, cpus))) if cpus else ()
    memory = str(memory_bytes)
    return (*pinned, *(("--memory", memory, "--memory-swap", memory) if memory_bytes else ()))


def _bind(mount: DeviceMount) -> str:
    """Docker reads it as CSV, so that a comma or a quote in a path needs quotes."""
    source = str(mount.path).replace('"', '""')
    mode = "" if mount.writable else ",readonly"
    return f'type=bind,"source={source}",target={mount.target}{mode}'

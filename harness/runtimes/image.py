"""A format's image on a device with Docker: transferred once, found by its digest.

A job there runs like one here: no network, a read-only root, no root user, no capabilities, its
CPUs and its memory. A container outlives a killed Docker client: a small watcher on the device
removes the container when its client is gone.
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
#: limits: size of a file, and open files
FILE_BYTES: Final = 16 << 30
OPEN_FILES: Final = 4096
LOAD_S: Final = 1800.0
ASK_S: Final = 60.0
MB: Final = 1_000_000
HINT: Final = "Check that Docker runs on the device and that this user may use it."

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
    """The part of the Docker engine that exports an image; the venv engine lacks it."""

    def layers(self, image: Image) -> tuple[str, ...]:
        """The digests of the image's layers, unpacked: the same wherever it is."""

    def export(self, image: Image, path: Path) -> None:
        """Write the image as a .tar.gz for `docker load`."""


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
        """A new container name each time; a writable mount is first given to its user."""
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
    return None if facts.docker else "no Docker daemon for this user on the device"


def why_not(image: str, facts: DeviceFacts, engine: EngineName) -> str | None:
    """See `Provide`."""
    if reason := lacks(facts):
        return reason
    if engine != "docker":
        return f"images require Docker on this machine, which uses {engine}"
    here = platform.machine()
    if facts.arch != here:
        return f"this machine builds images for {here}; the device is {facts.arch}"
    return None


def provide(
    transport: Transport, wanted: RuntimeRequest, on_line: OnLine | None = None
) -> InstalledImage:
    """See `Provide`; containers of killed runs are removed first."""
    began = time.monotonic()
    engine = wanted.engine
    if not isinstance(engine, Exports):
        reason = why_not(wanted.name, wanted.facts, engine.name)
        raise StepFailed(f"{transport.name}: {reason}", "Run with --engine docker.")
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
            f"{transport.name}: Docker loaded {image.reference} but lists another image",
            f"Run `docker rmi {image.reference}` on the device and try again.",
        )
    seconds = time.monotonic() - began
    moved = replace(image, cached=cached, seconds=seconds)
    return InstalledImage(moved, there, _options(wanted), "0:0" if _is_rootless(transport) else "")


def cleanup(transport: Transport) -> None:
    """Remove every bench container on the device; the caller holds the lease."""
    _docker(transport, ("sh", "-c", SWEEP, "sh", LABEL), "cannot remove old containers")


def _move(
    transport: Transport,
    wanted: RuntimeRequest,
    engine: Exports,
    image: Image,
    on_line: OnLine | None,
) -> None:
    """Export here, push, load there; a retry reuses completed stages."""

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
    """The image's id there: by digest, or by name with the same layers.

    Docker with containerd's image store has different ids for the same image.
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
    """Items of a JSON list; none for anything else."""
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
    """Docker parses it as CSV, so paths with a comma or a quote are quoted."""
    source = str(mount.path).replace('"', '""')
    mode = "" if mount.writable else ",readonly"
    return f'type=bind,"source={source}",target={mount.target}{mode}'

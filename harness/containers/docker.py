"""Jobs in containers, through the `docker` package: the only module that knows it.

A job gets no network, a read-only root, a tmpfs at /tmp without programs, a user other than root,
no capabilities, and its CPU, memory and disk limits. Its container is always removed; what a killed
process left is removed by the next one.
"""

from __future__ import annotations

import gzip
import math
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Final, Literal

import docker
import requests
from docker.errors import APIError, DockerException, NotFound
from docker.types import LogConfig, Ulimit
from docker.types import Mount as DockerMount

from ..errors import JobTimeout, OutOfMemory, StepFailed
from ..records import Image
from ..workspace import cache_root
from . import (
    Built,
    CompletedJob,
    Confinement,
    JobSpec,
    Mount,
    OnLine,
    daemon,
    disk_limit,
    owner,
    platforms,
    recipe,
    user,
)
from . import docker_build as making
from .output import JobOutput, to_file

OWNER_LABEL: Final = "bench.owner"
TMPFS: Final = {"/tmp": "rw,noexec,nosuid,nodev,size=1g"}
KILLED: Final = 137
#: of gzip, for what travels once and is unpacked at once
SAVE_LEVEL: Final = 3
#: nothing has this name
NO_IMAGE: Final = "bench/none:none"


class DockerEngine:
    """Satisfies `ContainerEngine`; images are `bench/<name>:<hash of every input>`."""

    name: Literal["docker"] = "docker"
    confinement: Confinement = "docker"

    def __init__(self, root: Path | None = None) -> None:
        self._root = root or recipe.dockerfiles()
        with _told("Docker unavailable"):
            self._api = _client().api
            info = self._api.info()
        self._platform = platforms.of_processor(str(info.get("Architecture")))
        self._rootless = _rootless_user(info.get("SecurityOptions") or ())
        self._numbers = count()
        self._base, self._shared = threading.Lock(), making.SharedLayers()
        self._remove_containers(lambda word: not owner.alive(word))

    def reference(self, name: str, platform: str | None = None) -> str:
        """The tag that `build` makes; it depends on the base image, also while there is none."""
        other = self._other(platform)
        with _told(f"cannot look for the image {name}"):
            return making.reference(self._api, recipe.find(name, self._root), other)

    def build(
        self, name: str, log: Path, on_line: OnLine | None = None, platform: str | None = None
    ) -> Image:
        """See `ContainerEngine`; makes or pulls the base image first where it is missing."""
        started = time.perf_counter()
        folder, other = recipe.find(name, self._root), self._other(platform)
        with _told(f"cannot build the image {name}"):
            found = self._found(folder, other)
            if found:
                seconds = time.perf_counter() - started
                return Image(name, self.name, *found, True, seconds, self.confinement)
            with to_file(log, on_line) as output:
                with self._base:
                    making.need_base(self._api, output, other)
                with self._shared.part_of(folder, other):
                    tag = making.reference(self._api, folder, other)
                    digest = making.build(self._api, folder, tag, log, output, other)
        seconds = time.perf_counter() - started
        return Image(name, self.name, tag, digest, False, seconds, self.confinement)

    def _other(self, platform: str | None) -> str | None:
        """A platform that is not the daemon's own."""
        if platform is None:
            return None
        platforms.check(platform)
        return None if platform == self._platform else platform

    def _found(self, folder: recipe.Recipe, platform: str | None) -> tuple[str, str] | None:
        """Tag and id of the image, where it is there."""
        tag = making.reference(self._api, folder, platform)
        digest = making.image_id(self._api, tag)
        return (tag, digest) if digest else None

    def make_base(self, log: Path, on_line: OnLine | None = None) -> str:
        """See `ContainerEngine`."""
        with _told("cannot build the base image"), to_file(log, on_line) as output:
            return making.make_base(self._api, output)

    def run(self, image: Image, job: JobSpec, on_line: OnLine | None = None) -> CompletedJob:
        """See `ContainerEngine`."""
        started = time.perf_counter()
        with to_file(job.log, on_line, append=True) as output, _told("cannot run the job"):
            exit_code = self._run(image, job, output)
        return CompletedJob(exit_code, output.text(), time.perf_counter() - started)

    def locate(self, mount: Mount) -> str:
        """Where the mount is in the container."""
        return mount.target

    def built(self) -> tuple[Built, ...]:
        """Every bench image except the base."""
        with _told("cannot list the images"):
            images = self._api.images(name="bench/*")
        tags = [(tag, image["Size"]) for image in images for tag in image["RepoTags"] or ()]
        found = (Built(tag[len("bench/") :].split(":")[0], tag, size) for tag, size in tags)
        return tuple(image for image in found if image.name != "base")

    def remove(self, built: Built) -> None:
        """Untag an image; its layers go with the last image that has them."""
        with _told(f"cannot remove {built.reference}"):
            self._api.remove_image(built.reference)

    def layers(self, image: Image) -> tuple[str, ...]:
        """The digests of an image's layers, unpacked: the same wherever it is."""
        with _told(f"cannot look for the image {image.reference}"):
            found = self._api.inspect_image(image.digest)
        return tuple(found["RootFS"]["Layers"])

    def export(self, image: Image, path: Path) -> None:
        """Write an image as a .tar.gz that `docker load` takes."""
        with (
            _told(f"cannot save the image {image.reference}"),
            path.open("wb") as file,
            gzip.GzipFile("", "wb", SAVE_LEVEL, file, mtime=0) as packed,
        ):
            for chunk in self._api.get_image(image.reference):
                packed.write(chunk)

    def sweep(self) -> int:
        """Delete the stages that builds leave behind; the bytes that this gave back."""
        with _told("cannot delete the remains of builds"):
            old = {"dangling": True, "label": [making.STAGE_LABEL]}
            done = self._api.prune_images(old)
        return int(done["SpaceReclaimed"])

    def close(self) -> None:
        """See `ContainerEngine`."""
        self._remove_containers(lambda word: word == owner.ME or not owner.alive(word))
        self._api.close()

    def _run(self, image: Image, job: JobSpec, output: JobOutput) -> int:
        name = f"bench-{os.getpid()}-{id(self):x}-{next(self._numbers)}"
        late = threading.Event()
        timer = threading.Timer(job.timeout_s, self._kill, (name, late))
        try:
            self._create(name, image, job)
            with self._attached(name) as stream, self._watched(name, job) as watch:
                self._api.start(name)
                timer.start()
                for chunk in stream:
                    output.feed(chunk)
            ended = self._api.wait(name, timeout=math.ceil(job.timeout_s) + 60)
            exit_code = int(ended["StatusCode"])
            disk_limit.check(job, watch, exit_code, output.last_lines())
            self._check(name, job, exit_code, late.is_set())
            return exit_code
        finally:
            timer.cancel()
            with suppress(NotFound):
                self._api.remove_container(name, force=True, v=True)

    def _create(self, name: str, image: Image, job: JobSpec) -> None:
        whose = _user(job, self._rootless)
        limits = self._api.create_host_config(
            network_mode="none",
            userns_mode="host",  # where the daemon remaps users, mounts belong to ours
            read_only=True,
            tmpfs=TMPFS,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            init=True,
            pids_limit=user.MOST_TASKS,
            ulimits=_ulimits(job),
            mem_limit=job.memory_bytes,
            memswap_limit=job.memory_bytes,
            cpuset_cpus=",".join(map(str, job.cpus)) or None,
            log_config=LogConfig(type="none"),
            mounts=[_bind(mount) for mount in job.mounts],
        )
        self._api.create_container(
            image.digest,
            ["python", *job.argv],
            name=name,
            user=whose,
            environment=dict(job.env),
            labels={OWNER_LABEL: owner.ME},
            host_config=limits,
        )

    @contextmanager
    def _attached(self, name: str) -> Iterator[Iterable[bytes]]:
        stream = self._api.attach(name, stdout=True, stderr=True, stream=True)
        try:
            yield stream
        finally:
            # the stream's own close() leaves the connection open
            stream._response.close()

    def _watched(self, name: str, job: JobSpec) -> AbstractContextManager[disk_limit.DiskWatch]:
        return disk_limit.watched(job, lambda: self._kill(name, threading.Event()))

    def _kill(self, name: str, late: threading.Event) -> None:
        late.set()
        with suppress(APIError):
            self._api.kill(name)

    def _check(self, name: str, job: JobSpec, exit_code: int, late: bool) -> None:
        if late:
            text = f"the job exceeded its deadline of {job.timeout_s:g} s and was stopped"
            raise JobTimeout(text, f"See the log {job.log}.")
        if exit_code and (
            exit_code == KILLED or self._api.inspect_container(name)["State"]["OOMKilled"]
        ):
            text = f"the job exceeded its memory limit of {job.memory_bytes / 1e6:.0f} MB"
            raise OutOfMemory(text, f"See the log {job.log}.")

    def _remove_containers(self, ours: Callable[[str], bool]) -> None:
        with _told("cannot remove old containers"):
            for found in self._api.containers(all=True, filters={"label": OWNER_LABEL}):
                if ours(found["Labels"][OWNER_LABEL]):
                    with suppress(NotFound):
                        self._api.remove_container(found["Id"], force=True, v=True)


def blind() -> str | None:
    """Why the daemon cannot mount bench's folders; None if it can, or if unknown.

    It is asked for a container without an image, but with a mount, which it checks first. An
    unreachable daemon or an unwritable cache is reported later, when it is used.
    """
    try:
        cache_root().mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="docker-sees-", dir=cache_root()))
    except OSError:
        return None
    try:
        with closing(_client().api) as api:
            mounts = [_bind(Mount(folder, "/mnt"))]
            api.create_container(NO_IMAGE, host_config=api.create_host_config(mounts=mounts))
    except APIError as error:
        if "mount config" in str(error.explanation or error):
            return daemon.elsewhere(daemon.endpoint(), cache_root())
    except (DockerException, requests.RequestException):
        return None
    finally:
        folder.rmdir()
    return None


def _client() -> docker.DockerClient:
    """Of the daemon that the docker command itself uses."""
    found = daemon.endpoint()
    if not found.host or os.environ.get("DOCKER_HOST"):
        return docker.from_env()
    return docker.DockerClient(base_url=found.host, tls=_tls(found.tls))


def _tls(folder: Path | None) -> docker.tls.TLSConfig | None:
    """Of a context's certificates."""
    if folder is None:
        return None
    files = [folder / name for name in ("ca.pem", "cert.pem", "key.pem")]
    ca, cert, key = (str(path) if path.exists() else None for path in files)
    pair = (cert, key) if cert and key else None
    return docker.tls.TLSConfig(client_cert=pair, ca_cert=ca, verify=bool(ca))


def _rootless_user(security: Iterable[str]) -> int | None:
    """The user of a rootless daemon, who is root in its containers; None for other daemons."""
    if not any("name=rootless" in word for word in security):
        return None
    path = daemon.endpoint().socket
    return path.stat().st_uid if path else os.getuid()


def _user(job: JobSpec, rootless: int | None) -> str:
    """The user of the job: bench's own; if that is root, an unprivileged one.

    Under a rootless daemon that is the container's root, who is the daemon's user outside.
    """
    user.give(disk_limit.writable(job), user.USER_ID if rootless is None else rootless)
    if rootless is not None:
        return "0:0"
    return f"{user.USER_ID}:{user.USER_ID}" if os.getuid() == 0 else f"{os.getuid()}:{os.getgid()}"


def _ulimits(job: JobSpec) -> list[Ulimit]:
    limits = {
        "core": 0,
        "nofile": disk_limit.OPEN_FILES,
        "fsize": disk_limit.largest_file(job),
    }
    return [Ulimit(name=name, soft=most, hard=most) for name, most in limits.items()]


def _bind(mount: Mount) -> DockerMount:
    return DockerMount(
        mount.target, str(mount.host.resolve()), type="bind", read_only=not mount.writable
    )


@contextmanager
def _told(doing: str) -> Iterator[None]:
    """Turn what the package raises into StepFailed."""
    try:
        yield
    except APIError as error:
        raise StepFailed(f"{doing}: {error.explanation or error}") from error
    except (DockerException, requests.RequestException) as error:
        raise StepFailed(f"{doing}: no answer from the Docker daemon: {error}") from error

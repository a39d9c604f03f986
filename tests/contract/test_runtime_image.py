"""Images on a device with Docker: a second daemon of its own, behind a real sshd."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import pytest
from test_container_engines import fetch_uv, make_recipe, make_wheel
from transport_servers import wait_for
from transport_servers.sshd import Sshd

from harness.containers import ContainerEngine
from harness.containers.docker import DockerEngine
from harness.errors import JobTimeout, StepFailed
from harness.records import DeviceFacts, DeviceSpec, Image
from harness.runtimes import DeviceMount, RuntimeRequest, image
from harness.transports import Transport, connect

pytestmark = [
    pytest.mark.docker,
    pytest.mark.servers,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="starts a second Docker daemon"),
]
FACTS = DeviceFacts("linux", os.uname().machine, "Linux", docker="28", cpus=(0, 1))


@dataclass
class Daemon:
    """dockerd with everything of its own."""

    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def address(self) -> str:
        return f"unix://{self.folder}/d.sock"

    def docker(self, *argv: str) -> str:
        done = subprocess.run(
            ["docker", *argv],
            env={**os.environ, "DOCKER_HOST": self.address},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder = tmp_path_factory.mktemp("d")
    paths = {"data-root": "data", "exec-root": "exec", "pidfile": "pid"}
    options = [f"--{name}={folder}/{leaf}" for name, leaf in paths.items()]
    network = ["--bridge=none", "--iptables=false", "--ip6tables=false"]
    with open(folder / "log", "wb") as log:
        # a network of its own: a daemon without a bridge removes docker0, also another one's
        process = subprocess.Popen(
            ["unshare", "--net", "dockerd", f"--host=unix://{folder}/d.sock", *options, *network],
            stdout=log,
            stderr=log,
        )
    made = Daemon(folder, process)
    try:
        wait_for(lambda: _answers(made), 60)
        yield made
    finally:
        process.terminate()
        process.wait(60)


def _answers(daemon: Daemon) -> bool:
    try:
        return bool(daemon.docker("version", "--format", "{{.Server.Version}}"))
    except subprocess.CalledProcessError:
        return False


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, daemon: Daemon) -> Iterator[Sshd]:
    made = Sshd(tmp_path_factory.mktemp("ssh"))
    made.stop()
    config = made.folder / "sshd_config"
    text = config.read_text().replace("SetEnv HOME", f"SetEnv DOCKER_HOST={daemon.address} HOME")
    config.write_text(text)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def transport(server: Sshd) -> Iterator[Transport]:
    transport = connect(DeviceSpec("host", "linux", server.transport, server.address))
    yield transport
    transport.close()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerEngine]:
    place = tmp_path_factory.mktemp("engine")
    line = make_wheel(place / "wheels")
    make_recipe(place / "dockerfiles", "tiny", line)
    fetch_uv(place)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_FIND_LINKS", str(place / "wheels"))
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("BENCH_CACHE", str(place / "cache"))
        made = DockerEngine(place / "dockerfiles")
        yield made
        for built in made.built():
            if built.name == "tiny":
                made.remove(built)
        made.close()


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory, engine: ContainerEngine) -> RuntimeRequest:
    place = tmp_path_factory.mktemp("wanted")
    return RuntimeRequest(
        name="tiny",
        device=DeviceSpec("host", "linux", "ssh", storage_mb=3000),
        facts=FACTS,
        workdir=PurePosixPath(place / "bench"),
        cache=place / "cache",
        log=place / "log.txt",
        engine=engine,
    )


@pytest.fixture
def job(tmp_path: Path) -> Path:
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    (tmp_path / "job").mkdir()
    return tmp_path / "job"


def run(
    transport: Transport, ready: image.InstalledImage, job: Path, code: str, timeout_s: float = 60
) -> str:
    mounts = (DeviceMount(PurePosixPath(job), "/job", True),)
    argv = ready.command(("-c", code), mounts, {"WORD": "it's"}, (1,), 300_000_000)
    done = transport.run(argv, timeout_s=timeout_s)
    assert done.exit_code == 0, done
    return done.text.strip()


def test_an_image_is_moved_once_and_is_the_same_there(
    transport: Transport, wanted: RuntimeRequest, daemon: Daemon
) -> None:
    first = image.provide(transport, wanted)
    assert not first.image.cached
    assert daemon.docker("image", "inspect", "--format", "{{.Id}}", first.there) == first.there
    second = image.provide(transport, wanted)
    assert second.image.cached
    assert (second.there, second.image.digest) == (first.there, first.image.digest)
    left = [path.name for path in (Path(wanted.workdir) / "store").iterdir()]
    assert left in ([], [".count"])  # the file has gone, Docker has it


def test_a_job_there_is_confined_as_one_here(
    transport: Transport, wanted: RuntimeRequest, job: Path
) -> None:
    ready = image.provide(transport, wanted)
    code = """
import os, pathlib, tinybench
status = dict(l.split(":\\t") for l in open("/proc/self/status").read().splitlines() if ":\\t" in l)
pathlib.Path("/job/out").write_text("kept")
pathlib.Path("/tmp/x").write_text("y")
try: pathlib.Path("/x").write_text("")
except OSError as error: root = error.strerror
print(os.getuid(), status["CapEff"], status["NoNewPrivs"], os.listdir("/sys/class/net"), root,
  sorted(os.sched_getaffinity(0)), open("/sys/fs/cgroup/memory.max").read().strip()
  if os.path.exists("/sys/fs/cgroup/memory.max") else 300000000, os.environ["WORD"])
"""
    said = run(transport, ready, job, code)
    words = "1000 0000000000000000 1 ['lo'] Read-only file system [1]"
    assert said.startswith(words), said
    assert said.endswith("it's")
    assert (job / "out").read_text() == "kept"


def test_a_killed_client_takes_its_container_along(
    transport: Transport, wanted: RuntimeRequest, daemon: Daemon, job: Path
) -> None:
    ready = image.provide(transport, wanted)
    with pytest.raises(JobTimeout):
        run(transport, ready, job, "import time; time.sleep(300)", timeout_s=4)
    wait_for(lambda: daemon.docker("ps", "-aq") == "", 20)


def test_what_a_lost_run_left_is_removed_by_the_next(
    transport: Transport, wanted: RuntimeRequest, daemon: Daemon
) -> None:
    ready = image.provide(transport, wanted)
    label = f"{image.LABEL}=another"
    daemon.docker(
        *("run", "--detach", "--label", label, "--network", "none", ready.there, "sleep", "300")
    )
    image.provide(transport, wanted)
    assert daemon.docker("ps", "-aq") == ""


def test_a_broken_transfer_starts_again(
    server: Sshd, wanted: RuntimeRequest, daemon: Daemon, engine: DockerEngine
) -> None:
    transport = connect(DeviceSpec("host", "linux", server.transport, server.address))
    for name in daemon.docker("images", "-q").split():
        daemon.docker("rmi", "-f", name)
    assert daemon.docker("images", "-q") == ""
    stop = threading.Event()

    def drop() -> None:
        store = Path(wanted.workdir) / "store"
        while not stop.is_set():
            if any(p.stat().st_size for p in store.glob(".part-*/.*.part")):
                server.drop()
                return
            time.sleep(0.005)

    thread = threading.Thread(target=drop)
    thread.start()
    try:
        with pytest.raises(Exception, match="connection lost during a push"):
            image.provide(transport, wanted)
    finally:
        stop.set()
        thread.join()
    assert daemon.docker("images", "-q") == ""
    ready = image.provide(transport, wanted)
    assert not ready.image.cached
    assert daemon.docker("images", "-q", "--no-trunc") == ready.there
    transport.close()


def test_a_jetson_gets_its_gpu(wanted: RuntimeRequest) -> None:
    facts = replace(FACTS, kind="jetson", nvidia_runtime=True)
    assert image._options(replace(wanted, facts=facts)) == ("--runtime", "nvidia")
    assert image._options(wanted) == ()


def test_another_image_under_the_name_is_no_match(
    transport: Transport, wanted: RuntimeRequest, engine: DockerEngine
) -> None:
    ready = image.provide(transport, wanted)
    layers = engine.layers(ready.image)
    other = Image("tiny", "docker", ready.image.reference, "sha256:" + "0" * 64, True, 0.0)
    assert image._found(transport, other, layers) == ready.there  # its name, the very same layers
    assert image._found(transport, other, layers[1:]) is None


def test_docker_that_refuses_is_named(transport: Transport) -> None:
    with pytest.raises(StepFailed, match=r"host: cannot load x: .*No such file|no such file"):
        image._docker(transport, ("docker", "load", "--input", "/nonexistent"), "cannot load x")

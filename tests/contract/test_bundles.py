"""Bundles, really made and really run: natively, and for arm64 in a root like a phone's."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import pytest

from harness.bundling import bundle as bundles
from harness.containers.venv import VenvEngine
from harness.errors import StepFailed
from harness.lab import binfmt
from harness.ondevice import store as devicestore
from harness.payload import payload
from harness.records import DeviceFacts, DeviceSpec
from harness.runtimes import DeviceMount, InstalledRuntime, RuntimeRequest, bundle, venv
from harness.transports import Completed, OnLine, Transfer
from harness.transports.local import LocalTransport

pytestmark = [pytest.mark.slow, pytest.mark.servers]
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="changes the root folder of a process")
WORKDIR = PurePosixPath("/data/local/tmp/bench")
TOOLS = "cat mkdir rm mv find sort xargs df tail sync tar gzip cksum env sha256sum".split()


class Chrooted(LocalTransport):
    """A root with nothing but /system/bin, /data, and a few files of /proc and /sys."""

    def __init__(self, root: Path) -> None:
        super().__init__("phone")
        self.root = root

    def push(self, local: Path, remote: PurePosixPath) -> Transfer:
        return super().push(local, self._outside(remote))

    def run(
        self, argv: Sequence[str], *, timeout_s: float, on_line: OnLine | None = None
    ) -> Completed:
        clean = ("/usr/bin/env", "-i", "PATH=/system/bin", "/usr/sbin/chroot", str(self.root))
        return super().run((*clean, *argv), timeout_s=timeout_s, on_line=on_line)

    def _outside(self, remote: PurePosixPath) -> PurePosixPath:
        return PurePosixPath(self.root) / remote.relative_to("/")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A new one; BENCH_TEST_CACHE names one whose bundles are used again."""
    kept = os.environ.get("BENCH_TEST_CACHE")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def arm64(cache: Path) -> bundles.Bundle:
    return bundles.make("tflite", "aarch64", cache, cache / "log.txt")


def make_root(folder: Path, shell: Path, busybox: Path) -> Path:
    tools = folder / "system" / "bin"
    tools.mkdir(parents=True)
    shutil.copy(shell, tools / "sh")
    shutil.copy(busybox, tools / "busybox")
    for name in TOOLS:
        (tools / name).symlink_to("busybox")
    for name in ("data/local/tmp", "proc", "sys/devices/system/cpu", "dev"):
        (folder / name).mkdir(parents=True)
    for name in ("possible", "present"):  # onnxruntime on arm64 must not see this machine's
        (folder / "sys/devices/system/cpu" / name).write_text("0-1\n")
    (folder / "dev/null").touch()
    return folder


@pytest.fixture(scope="module")
def phone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrooted]:
    changed = binfmt.ensure()
    folder = tmp_path_factory.mktemp("phone")
    files = debian_files("arm64", folder / "apt", ("busybox-static", "mksh"))
    shell = next(path for path in sorted(files.glob("usr/lib/*/bin/mksh")))
    yield Chrooted(make_root(folder / "root", shell, files / "bin" / "busybox"))
    binfmt.undo(changed)


def debian_files(arch: str, folder: Path, packages: Sequence[str]) -> Path:
    """The files of Debian's packages, got as the bundles' are."""
    from harness.bundling import debian

    folder.mkdir()
    config = debian._prepare(arch, folder)
    apt = ["apt-get", "-q", "-c", str(config)]
    subprocess.run([*apt, "update"], check=True, capture_output=True)
    subprocess.run([*apt, "download", *packages], check=True, capture_output=True, cwd=folder)
    for deb in folder.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", deb, folder / "root"], check=True)
    return folder / "root"


def wanted(name: str, arch: str, cache: Path, workdir: PurePosixPath = WORKDIR) -> RuntimeRequest:
    return RuntimeRequest(
        name=name,
        device=DeviceSpec("phone", "android", "local"),
        facts=DeviceFacts("android", arch, "Android 14"),
        workdir=workdir,
        cache=cache,
        log=cache / "log.txt",
        engine=VenvEngine(),
    )


def run(transport: LocalTransport, ready: InstalledRuntime, job: PurePosixPath, code: str) -> str:
    transport.run(("mkdir", "-p", str(job)), timeout_s=60)
    mounts = (DeviceMount(job, "/job", True),)
    env = {"PYTHONPATH": "/payload", "WORD": "it's"}
    done = transport.run(ready.command(("-c", code), mounts, env, (), 2 << 30), timeout_s=300)
    assert done.exit_code == 0, done.stderr.decode()
    return done.text.strip()


def test_the_phone_bundle_is_small_and_made_of_the_lock(arm64: bundles.Bundle) -> None:
    assert arm64.size_bytes <= 60e6
    with tarfile.open(arm64.path) as archive:
        members = archive.getmembers()
    names = [member.name for member in members]
    assert {"bin/python", "lib/ld-linux-aarch64.so.1", "py/python3.11", "bundle.json"} <= {*names}
    assert names == sorted(names)
    assert {(m.mtime, m.uid, m.gid, m.uname) for m in members} == {(0, 0, 0, "")}
    assert not [name for name in names if name.endswith(".pyc") or "/tests/" in name]


def test_the_same_inputs_make_the_same_bytes(arm64: bundles.Bundle, tmp_path: Path) -> None:
    again = bundles.make("tflite", "aarch64", tmp_path / "another", tmp_path / "log.txt")
    assert not again.cached
    assert again.sha256 == arm64.sha256


def test_what_was_made_is_found(arm64: bundles.Bundle, cache: Path) -> None:
    again = bundles.make("tflite", "aarch64", cache, cache / "log.txt")
    assert again.cached
    assert (again.path, again.sha256) == (arm64.path, arm64.sha256)


@root_only
def test_a_phone_without_usr_tmp_etc_runs_it(
    phone: Chrooted, arm64: bundles.Bundle, cache: Path
) -> None:
    ready = bundle.provide(phone, wanted("tflite", "aarch64", cache))
    assert ready.image.engine == "bundle"
    assert ready.image.digest == f"sha256:{arm64.sha256}"
    job = WORKDIR / "jobs" / "1"
    code = (
        "import os, platform, sys, tempfile, numpy, ai_edge_litert.interpreter as litert;"
        "print(platform.machine(), sys.path[1], tempfile.gettempdir(), os.environ['WORD'],"
        " numpy.arange(3).sum(), litert.Interpreter.__name__)"
    )
    said = run(phone, ready, job, code)
    assert said == f"aarch64 /payload {job} it's 3 Interpreter"
    assert bundle.provide(phone, wanted("tflite", "aarch64", cache)).image.cached


@root_only
def test_the_runner_itself_starts_there(phone: Chrooted, cache: Path) -> None:
    ready = bundle.provide(phone, wanted("tflite", "aarch64", cache))
    home = devicestore.put(phone, WORKDIR, payload().folder, payload().sha256, 10**9)
    job = WORKDIR / "jobs" / "2"
    phone.run(("mkdir", "-p", str(job)), timeout_s=60)
    mounts = (DeviceMount(job, "/job", True),)
    argv = ("-m", "harness.runner", str(job))
    done = phone.run(ready.command(argv, mounts, {"PYTHONPATH": str(home)}, (), 0), timeout_s=300)
    assert done.exit_code == 2
    assert done.stderr.decode().strip().splitlines()[-1] == (
        f"bench runner: [Errno 2] No such file or directory: '{job}/job.json'"
    )


@root_only
def test_onnxruntime_runs_on_an_arm64_phone(phone: Chrooted, cache: Path) -> None:
    ready = bundle.provide(phone, wanted("onnx", "aarch64", cache))
    code = "import onnxruntime; print(onnxruntime.get_available_providers()[-1])"
    assert run(phone, ready, WORKDIR / "jobs" / "3", code) == "CPUExecutionProvider"


@root_only
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="runs natively on x86-64")
def test_an_x86_host_without_anything_runs_its_own(tmp_path: Path, cache: Path) -> None:
    root = make_root(tmp_path / "root", Path("/bin/mksh-static"), Path("/bin/busybox"))
    transport = Chrooted(root)
    ready = bundle.provide(transport, wanted("tflite-runtime", "x86_64", cache))
    code = "import tflite_runtime.interpreter, numpy; print(numpy.__version__)"
    assert run(transport, ready, WORKDIR / "jobs" / "1", code) == "1.26.4"


@root_only
def test_a_bundle_that_does_not_run_there_is_named_and_removed(tmp_path: Path, cache: Path) -> None:
    root = make_root(tmp_path / "root", Path("/bin/mksh-static"), Path("/bin/busybox"))
    (root / "system/bin/env").unlink()
    (root / "system/bin/env").write_text(
        "#!/system/bin/sh\necho 'Exec format error' >&2; exit 126\n"
    )
    (root / "system/bin/env").chmod(0o755)
    transport = Chrooted(root)
    with pytest.raises(StepFailed) as caught:
        bundle.provide(transport, wanted("tflite-runtime", "x86_64", cache))
    assert caught.value.message == (
        "phone: the bundle of tflite-runtime does not run: Exec format error"
    )
    store = root / str(WORKDIR)[1:] / "store"
    assert [path.name for path in store.iterdir() if path.is_dir()] == []


def test_a_host_with_python_gets_an_environment(tmp_path: Path, cache: Path) -> None:
    facts = DeviceFacts("linux", os.uname().machine, "Linux", python="3.11.2", libc="glibc")
    asked = RuntimeRequest(
        name="tflite-runtime",
        device=DeviceSpec("host", "linux", "local"),
        facts=facts,
        workdir=PurePosixPath(tmp_path / "bench"),
        cache=cache,
        log=cache / "log.txt",
        engine=VenvEngine(),
    )
    transport = LocalTransport("host")
    ready = venv.provide(transport, asked)
    job = PurePosixPath(tmp_path / "job")
    code = (
        "import sys, tempfile, numpy, tflite_runtime.interpreter;"
        "print(sys.prefix, tempfile.gettempdir(), numpy.__version__, sys.path[1])"
    )
    assert run(transport, ready, job, code) == f"{ready.tree} {job} 1.26.4 /payload"
    assert venv.provide(transport, asked).image.cached

"""What a model's code tries in a virtual environment that bubblewrap confines, and does not get."""

from __future__ import annotations

import os
import platform
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.containers import Mount, user
from harness.records import Image

from .sandboxed import environment, run

pytestmark = pytest.mark.sandbox
TRY = """
try:
    {code}
except BaseException as error:
    print("refused:", type(error).__name__, getattr(error, "errno", None), flush=True)
else:
    print("done", flush=True)
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return environment(tmp_path_factory.mktemp("venv") / "tiny-1")


def tried(image: Image, folder: Path, code: str, *mounts: Mount) -> str:
    """What came of one line of the model's."""
    done = run(image, folder, TRY.format(code=code), *mounts)
    assert done.exit_code == 0, done.output
    return done.output.strip()


def test_a_model_reads_nothing_of_the_home_folder(
    image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = Path.home() / f".bench-test-{os.getpid()}"
    key.write_text("private key")
    try:
        assert tried(image, tmp_path, f"print(open({str(key)!r}).read())") == (
            "refused: FileNotFoundError 2"
        )
    finally:
        key.unlink()


@pytest.mark.parametrize(
    "path",
    ["/etc/shadow", "/etc/passwd", "/etc/hostname", "/run", "/var", "/root", "/home", "/boot"],
)
def test_a_model_sees_nothing_of_the_system_but_programs_and_libraries(
    image: Image, tmp_path: Path, path: str
) -> None:
    if Path(path) in (Path(image.reference), *Path(image.reference).parents):
        pytest.skip("the environment lies there")
    code = f"import os; print(os.listdir({path!r}) if os.path.isdir({path!r}) else open({path!r}))"
    said = tried(image, tmp_path, code)
    python = Path(image.reference, "bin/python").resolve()
    if path == "/root" and python.is_relative_to("/root"):
        assert said == f"{[python.parts[2]]}\ndone"
    else:
        assert said == "refused: FileNotFoundError 2"


@pytest.mark.parametrize(
    "path",
    [
        "/new", "/usr/new", "/usr/bin/python3", "/bin/sh", "/sys/kernel/new", "/dev/new",
        "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/etc/ld.so.cache", "{venv}/new",
        "{seen}/new", "{seen}/old",
    ],
)  # fmt: skip
def test_a_model_writes_nowhere_but_in_its_folder(image: Image, tmp_path: Path, path: str) -> None:
    seen = tmp_path / "seen"
    seen.mkdir()
    (seen / "old").write_text("old")
    path = path.format(venv=image.reference, seen=seen)
    said = tried(image, tmp_path, f"open({path!r}, 'r+' if {path!r}.endswith('old') else 'w')",
                 Mount(seen, "/seen"))  # fmt: skip
    gone = "refused: FileNotFoundError 2" if path == "/proc/sysrq-trigger" else ""
    assert said in ("refused: OSError 30", "refused: PermissionError 13", gone)
    assert (seen / "old").read_text() == "old"
    assert not (seen / "new").exists()


def test_a_link_that_a_model_leaves_in_tmp_leads_nowhere(image: Image, tmp_path: Path) -> None:
    name = Path("/tmp", f"bench-hostile-{os.getpid()}")
    assert tried(image, tmp_path, f"import os; os.symlink('/etc/passwd', {str(name)!r})") == "done"
    assert not name.is_symlink()


def test_a_model_reaches_no_server_of_this_machine(image: Image, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(1)
        port = server.getsockname()[1]
        code = f"import socket; socket.create_connection(('127.0.0.1', {port}), timeout=5)"
        assert tried(image, tmp_path, code) == "refused: ConnectionRefusedError 111"
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_model_reaches_no_abstract_socket(image: Image, tmp_path: Path) -> None:
    """Those have no path that could be hidden; desktops and daemons listen on some."""
    name = f"bench-hostile-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0{name}")
        server.listen()
        code = f"import socket; socket.socket(socket.AF_UNIX).connect('\\0{name}')"
        assert tried(image, tmp_path, code) == "refused: ConnectionRefusedError 111"


def test_a_model_sees_and_ends_no_process(image: Image, tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        code = f"import os; os.kill({other.pid}, 9)"
        assert tried(image, tmp_path, code) == "refused: ProcessLookupError 3"
        code = "import os; print(sum(name.isdigit() for name in os.listdir('/proc')))"
        assert tried(image, tmp_path, code) == "2\ndone"
        assert other.poll() is None
        other.kill()


def test_a_model_has_no_capability_and_gets_none(image: Image, tmp_path: Path) -> None:
    said = tried(image, tmp_path, "print(open('/proc/self/status').read())")
    assert "Uid:\t0" not in said
    fields = dict(line.split(":\t", 1) for line in said.splitlines() if ":\t" in line)
    assert {fields[name] for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert fields["NoNewPrivs"] == "1"


@pytest.mark.parametrize(
    "call",
    [
        "import os; os.mknod('/job/disk', 0o60600, os.makedev(8, 0))",
        "import os; os.chroot('/usr')",
        "import os; os.setuid(65534)",
        "import os; os.sethostname('x') if hasattr(os, 'sethostname') else "
        "__import__('socket').sethostname('x')",
        "import fcntl, termios; fcntl.ioctl(open('/dev/tty'), termios.TIOCSTI, b'x')",
    ],
)
def test_a_model_uses_no_right_of_root(image: Image, tmp_path: Path, call: str) -> None:
    call = call.replace("/job", str(tmp_path / "job"))
    assert tried(image, tmp_path, call).startswith("refused: ")


#: of keyctl: the keyring of this session is the caller's, whatever namespaces it is in
KEYRING = """
import ctypes, os
calls = ctypes.CDLL(None, use_errno=True).syscall
def call(*words):
    found = calls(*words)
    if found < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return found
"""
KEYCTL, ADD_KEY = (250, 248) if platform.machine() == "x86_64" else (219, 217)


def test_a_model_reads_no_key_of_the_session(image: Image, tmp_path: Path) -> None:
    """Kerberos tickets, keys of disks and of containers' logins are in there."""
    owner = f"""{KEYRING}
call({KEYCTL}, 1, b"bench-test")  # a session of its own, which goes with this process
key = call({ADD_KEY}, b"user", b"bench-secret", b"secret", 6, -3)
call({KEYCTL}, 5, key, 0x3f3f3f3f)
import sys
sys.path[:0] = {[*sys.path, str(Path(__file__).parent)]!r}
from pathlib import Path
from sandboxed import run
from harness.records import Image
print(run({image!r}, Path({str(tmp_path)!r}), sys.argv[1]).output)
"""
    search = f'{KEYRING}\nprint(call({KEYCTL}, 10, -3, b"user", b"bench-secret", 0))'
    argv = [sys.executable, "-c", owner, search]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert "PermissionError: [Errno 1] refused" in done.stdout


@pytest.mark.parametrize("family", ["AF_VSOCK", "AF_ALG", "AF_PACKET"])
def test_a_model_has_no_socket_that_has_no_namespace(
    image: Image, tmp_path: Path, family: str
) -> None:
    """AF_VSOCK leads from a virtual machine to its host."""
    code = f"import socket; socket.socket(socket.{family})"
    assert tried(image, tmp_path, code) == "refused: OSError 97"


def test_a_model_makes_no_user_namespace(image: Image, tmp_path: Path) -> None:
    """In one of its own it would have every right, and all of the kernel that needs them."""
    code = "import subprocess; subprocess.run(['unshare', '--user', 'true'], check=True)"
    said = "unshare: unshare failed: Operation not permitted\nrefused: CalledProcessError None"
    assert tried(image, tmp_path, code) == said


def test_a_model_starts_processes_up_to_a_limit(image: Image, tmp_path: Path) -> None:
    code = """
        import os, time
        for number in range(3000):
            try:
                if not os.fork():
                    time.sleep(60)
            except OSError as error:
                print(number, error.errno)
                break
    """
    number, code = run(image, tmp_path, code).output.split()
    assert code == "11"
    assert 900 < int(number) <= user.MOST_TASKS


def test_a_model_goes_before_bench_where_memory_runs_out(image: Image, tmp_path: Path) -> None:
    assert tried(image, tmp_path, "print(open('/proc/self/oom_score_adj').read())") == (
        "1000\n\ndone"
    )


def test_a_model_cannot_take_memory_by_files(image: Image, tmp_path: Path) -> None:
    code = "open('/dev/shm/x', 'wb').write(bytes(80 << 20))"
    assert tried(image, tmp_path, code) == "refused: OSError 28"


def test_what_a_model_starts_ends_with_it(image: Image, tmp_path: Path) -> None:
    """Also in a session and a process group of its own."""
    code = """
        import subprocess, sys
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(74.25)"],
                         start_new_session=True)
    """
    assert run(image, tmp_path, code).exit_code == 0
    assert not still_running("74.25")


def test_what_a_model_started_ends_with_a_killed_bench(image: Image, tmp_path: Path) -> None:
    code = f"""
import sys
sys.path[:0] = {sys.path!r}
from pathlib import Path
from harness.containers import JobSpec
from harness.containers.venv import VenvEngine
from harness.records import Image
inner = "import os, time; os.setsid(); print('begun', flush=True); time.sleep(75.25)"
begin = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {{inner!r}}])"
VenvEngine().run({image!r}, JobSpec(("-c", begin), Path({str(tmp_path / "log")!r})), print)
"""
    argv = [sys.executable, "-u", "-c", code]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as bench:
        assert bench.stdout is not None
        assert bench.stdout.readline() == "begun\n"
        bench.send_signal(signal.SIGKILL)
    assert not still_running("75.25")


def test_a_folder_inside_of_another_keeps_its_own_rights(image: Image, tmp_path: Path) -> None:
    """The job's folder lies in the model's, which is only to be read."""
    (tmp_path / "job").mkdir()
    tmp_path.chmod(0o755)
    code = f"open({str(tmp_path / 'job/x')!r}, 'w').write('x'); open({str(tmp_path / 'y')!r}, 'w')"
    assert tried(image, tmp_path, code, Mount(tmp_path, "/model")) == "refused: OSError 30"
    assert (tmp_path / "job/x").read_text() == "x"


def still_running(word: str) -> bool:
    """Whether a process has `word` in its command line, for longer than a moment."""
    until = time.monotonic() + 2
    while True:
        found = [path for path in Path("/proc").glob("[0-9]*/cmdline") if word in _text(path)]
        if not found or time.monotonic() > until:
            return bool(found)
        time.sleep(0.05)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""

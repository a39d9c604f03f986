"""Transfers against the tools that everybody has: scp and Debian's adb push, in one run, loopback.

    python benchmarks/transfer.py [ROUNDS]

One file of 200 MB and 5,000 files of 4 KB, incompressible, from and to memory; each round runs
ours and theirs in turn, and the ratio is that of the medians. Limits: cold pushes at 0.9 times
their speed, a push of what is there already 100 ms. Needs openssh-server, openssh-client and adb.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests" / "contract")]

from transport_servers.phone import AdbServer, Phone  # noqa: E402
from transport_servers.sshd import Sshd  # noqa: E402

from harness.records import DeviceSpec  # noqa: E402
from harness.transports import Transport, connect  # noqa: E402

SPEED_LIMIT, WARM_LIMIT_MS = 0.9, 100.0
FILES, FILE_BYTES, BIG_BYTES = 5000, 4096, 200_000_000


def make_sources(folder: Path) -> tuple[Path, Path]:
    """The big file and the tree."""
    big, tree = folder / "big", folder / "tree"
    big.write_bytes(os.urandom(BIG_BYTES))
    for number in range(FILES):
        path = tree / f"{number // 100:02}" / f"{number:04}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(FILE_BYTES))
    return big, tree


def timed_s(work: Callable[[], object], target: Path) -> float:
    """Of one transfer to an empty place."""
    for path in target.parent.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    began = time.perf_counter()
    work()
    took = time.perf_counter() - began
    assert target.exists()
    return took


def compare(
    name: str, rounds: int, ours: Callable[[], object], theirs: Callable[[], object], to: Path
) -> bool:
    """Print one line; whether it is within the limit."""
    taken = [(timed_s(theirs, to), timed_s(ours, to)) for _ in range(rounds)]
    their_s, our_s = (statistics.median(column) for column in zip(*taken, strict=True))
    ratio = their_s / our_s
    print(f"{name}: ours {our_s:.3f} s, theirs {their_s:.3f} s, {ratio:.2f} x their speed")
    return bool(ratio >= SPEED_LIMIT)


def warm(name: str, transport: Transport, source: Path, to: Path, rounds: int) -> bool:
    """A push of what is there already; then, for a folder, with one changed file."""
    transport.push(source, PurePosixPath(to))
    taken = []
    for _ in range(max(5, rounds)):
        began = time.perf_counter()
        assert transport.push(source, PurePosixPath(to)).sent_bytes == 0
        taken.append((time.perf_counter() - began) * 1e3)
    took_ms = statistics.median(taken)
    print(f"{name}: already there: {took_ms:.1f} ms")
    if source.is_dir():
        next(source.rglob("*.bin")).write_bytes(os.urandom(FILE_BYTES))
        done = transport.push(source, PurePosixPath(to))
        print(f"{name}: one file changed: {done.files} sent, {done.seconds * 1e3:.1f} ms")
        assert done.files == 1
    return took_ms <= WARM_LIMIT_MS


def scp(sshd: Sshd, source: Path, to: Path) -> Callable[[], object]:
    options = ["-q", "-r", "-P", str(sshd.port), "-i", f"{sshd.folder}/id"]
    trust = ["-o", f"UserKnownHostsFile={sshd.known_hosts}", "-o", "BatchMode=yes"]
    command = ["scp", *options, *trust, str(source), f"{sshd.user}@127.0.0.1:{to}"]
    return lambda: subprocess.run(command, check=True)


def measure(folder: Path, rounds: int) -> bool:
    """Everything; whether all limits hold."""
    big, tree = make_sources(folder)
    to = folder / "device" / "target"
    to.parent.mkdir()
    (folder / "sshd").mkdir()
    (folder / "phone").mkdir()
    sshd, phone, adb = Sshd(folder / "sshd"), Phone(folder / "phone"), AdbServer(folder)
    held = []
    try:
        serial = adb.connect(phone)
        for kind, device in (("ssh", sshd), ("adb", phone)):
            transport = connect(DeviceSpec("dut", "linux", kind, device.address))
            for name, source in (("200 MB", big), ("5,000 files", tree)):
                if kind == "ssh":
                    theirs = scp(sshd, source, to)
                else:
                    theirs = partial(adb.run, "-s", serial, "push", str(source), str(to))
                ours = partial(transport.push, source, PurePosixPath(to))
                held.append(compare(f"{kind}, {name}", rounds, ours, theirs, to))
                held.append(warm(f"{kind}, {name}", transport, source, to, rounds))
            transport.close()
    finally:
        adb.stop()
        phone.stop()
        sshd.stop()
    return all(held)


def main() -> int:
    """Print, and exit 1 over a limit."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory, prefix="bench-transfer-") as folder:
        os.environ["BENCH_CACHE"] = f"{folder}/cache"
        return int(not measure(Path(folder), rounds))


if __name__ == "__main__":
    sys.exit(main())

"""Targets: what devices of every kind say of themselves, and the words of this machine's kernel."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final

from hostile.test_readings import KEYS, WORDS, Liar, judged

from harness import kinds
from harness.analysis import host_noise
from harness.bundling import elf
from harness.cli import human
from harness.kinds import hold
from harness.ondevice import lease, store
from harness.records import DeviceFacts, DeviceState
from harness.runtimes import venv
from harness.serial import dumps, loads
from harness.targets import discover

from .target import Reader, Target, of_file, of_text, pure, text_of

DATA: Final = Path(__file__).parents[1] / "data" / "devices"


def _said(name: str) -> str:
    return (DATA / name).read_text()


def _prefixed(key: str, text: str) -> str:
    return "".join(f"{key}={line}\n" for line in text.splitlines())


COMMON: Final = """\
workdir=/home/me/bench
system=Linux
arch=aarch64
kernel=5.15.148
MemTotal=7802880
MemAvailable=4194304
online=0-3,5
allowed=0-5
quota=150000 100000
core=0 0-1
core=1 0-1
speed=0 max 2400000
speed=1 capacity 1024
freq=1200000
policy=policy0 schedutil 300000 1100000 1800000
zone=45000 thermal_zone0 cpu-thermal
zone=52000 thermal_zone1 gpu-thermal
supply=BAT0 Discharging 85 41000000 48000000
load=0.42
pressure=some avg10=1.23 avg60=0.5
cpu_model=Example CPU
python=3.11.2
python=3.9.1+local
free_kib=1000000
governor=schedutil
"""
KINDS: Final[dict[str, str]] = {
    "linux": COMMON + "distribution=Debian GNU/Linux 12\nlibc=glibc\ndocker=27.1\nruntimes=runc nvidia\nnvidia=NVRM version: NVIDIA UNIX 535.129.03\n",
    "jetson": COMMON + "tegra=# R35 (release), REVISION: 4.1, GCID: 3\njetpack=5.1.2-b104\nalert=0\n" + _prefixed("nvpmodel", _said("nvpmodel-q.txt")) + _prefixed("tegrastats", _said("tegrastats-orin.txt")),
    "android": COMMON + "ro.build.version.release=14\nro.build.display.id=UP1A\nro.soc.model=Tensor\nro.product.manufacturer=Google\nro.product.model=Pixel 7\n" + _prefixed("battery", _said("dumpsys-battery.txt")) + _prefixed("thermal", _said("dumpsys-thermalservice.txt")),
    "macos": COMMON.replace("Linux", "Darwin") + "version=14.2.1\nbuild=23C71\ncores=8\nmemory_bytes=17179869184\n" + _prefixed("batt", _said("pmset-batt.txt")) + _prefixed("therm", _said("pmset-therm.txt")) + _prefixed("vm_stat", _said("vm_stat.txt")),
}  # fmt: skip


def kind(name: str) -> Callable[[Path], Reader]:
    """Facts and state; what is read of them can be stored, and read again."""

    def read(data: bytes) -> object:
        device: Any = Liar(data)
        facts, state = kinds.find(name).read_facts(device), kinds.find(name).read_state(device)
        assert loads(DeviceFacts, dumps(facts)) == facts
        assert loads(DeviceState, dumps(state)) == state
        return venv.lacks(facts) or venv.why_not("onnx", facts, "docker")

    return pure(read)


def sampler(data: bytes) -> object:
    """Lines of a sampler, and all that is made of them."""
    return judged(data.decode("utf-8", "backslashreplace").splitlines()[:3000])


def liar(data: bytes) -> Any:
    """What it says, at which exit code."""
    return Liar(data, data[-40:], int(data[:1] == b"!"))


def held(data: bytes) -> object:
    device = liar(data)
    try:
        return hold._take(device, kinds.find("linux").SPEC, "/x", ["governor"], 60.0)
    finally:
        hold.restore(device, "/x")


def leased(data: bytes) -> object:
    device = liar(data)
    found = lease.holder(device, "/x")
    until = found.until if found else ""
    claimed = lease.Lease(device, "/x/lease", "ann@desk", 120)
    claimed._claim_again()
    return until, claimed.taken_over, claimed.why_unsure(0.0)


def stored(folder: Path) -> Reader:
    (folder / "model.onnx").write_bytes(b"model")

    def read(data: bytes) -> object:
        device, place = liar(data), PurePosixPath("/x")
        new = store._New(folder / "model.onnx", "k", "model.onnx", False, 5, 5)
        store.there(device, place, ("k",))
        store._make_room(device, place / "store", new, 10**6)
        if data.startswith((b"sha", b"cks")):
            store._verify(device, place, new, lambda line: None)
        return data

    return read


def kernel(folder: Path) -> Reader:
    """This machine's own files, as another kernel may have them."""
    cpus = folder / host_noise.CPUS
    (folder / "proc").mkdir()
    (cpus / "cpu0" / "cpufreq").mkdir(parents=True)

    def read(data: bytes) -> object:
        (folder / "proc" / "stat").write_bytes(data)
        (cpus / "cpu0/cpufreq/scaling_governor").write_bytes(data[:64])
        seen = host_noise.read_cpu_time(folder)
        machine = host_noise.read_machine(folder)
        return host_noise.advice(machine, host_noise.steal_percent(seen, seen), 1.0)

    return read


def offered(data: bytes) -> object:
    """What a phone says of itself, in a device file that is written for it."""
    text = text_of(data)
    made = discover.text(f"server:{text}", text)
    assert len(made.splitlines()) in (9, 10), made
    return discover.slug(text)


def times(text: str) -> object:
    """Times that a run's files say."""
    for line in text.split("\n"):
        human.local_time(line)
    return text


def release(text: str) -> object:
    facts = DeviceFacts("macos", "arm64", text, python="3.11.2")
    return venv.lacks(facts) or venv._platform(facts)


def _elf() -> Sequence[bytes]:
    found = shutil.which("true") or "/bin/true"
    data = Path(found).read_bytes()
    return [data[: 64 << 10]]


LEASES: Final = (b"held=100 ann@desk pid 7, run r\nover=bob@desk\n", b"over=bob\n", b"")
_VERIFIED: Final = (
    b"sha256 "
    + hashlib.sha256(b"%s  ./model.onnx\n" % hashlib.sha256(b"model").hexdigest().encode())
    .hexdigest()
    .encode()
    + b"\n"
)
STORES: Final = (
    b"entry 17 2048 key-a\nentry 18 4 key-b\ndf /dev/x 100 50 50000000 50% /data\n",
    _VERIFIED,
)
TICKS: Final = (
    b"H temperature /sys/class/thermal/thermal_zone0/temp cpu-thermal\nH frequency /sys/x/scaling_cur_freq 0 1\nH rapl_uj /sys/p/energy_uj 262143 package-0\n"
    b"H battery_status /sys/b/status BAT0\nH battery_capacity /sys/b/capacity BAT0\nB 123\n"
    b"T 100.5 total=5 total=6 1000 45000 1200000 55 Full 80 | 0,1,2,3,4,5,6,7,8 1,1,2,3,4,5,6,7,8\n"
    b"T 101.0 total=9 total=7 1000 45500 1200000 99 Full 80 | 0,2,3,4,5,6,7,8,9 1,2,3,4,5,6,7,8,9\n"
    b"D Thermal Status: 1|Current temperatures from HAL:|Temperature{mValue=40.1, mType=0, mName=CPU, mStatus=0}\nU rapl_uj\nX gone\nQ 101.5\n0m0.01s 0m0.02s\n"
)  # fmt: skip
SAID: Final = tuple(word.encode("utf-8", "surrogatepass") for word in WORDS if len(word) < 6000)
ASKED: Final = tuple(f"\n{key}=".encode() for key in KEYS)

TARGETS: Final = (
    *(
        Target(
            f"answers, {name}",
            kind(name),
            lambda said=said: [said.encode()],
            (*SAID, *ASKED),
            share=6,
        )
        for name, said in KINDS.items()
    ),  # type: ignore[misc]  # fmt: skip
    Target(
        "sampler",
        pure(sampler),
        lambda: [TICKS],
        (*SAID, b"\nT ", b"\nH ", b"\nQ ", b" |", b" - "),
        (),
        (),
        4,
    ),
    Target(
        "held",
        pure(held),
        lambda: [b"held=governor: performance\nrestored=governor file /x schedutil\nholder=ab\n"],
        (b"!", b"cannot=", b"failed=", b"restored="),
        share=15,
    ),  # fmt: skip
    Target("lease", pure(leased), lambda: LEASES, (b"held=", b"over="), share=25),
    Target("store", stored, lambda: STORES, (b"entry ", b"df ", b"sha256 ", b"cksum "), share=30),
    Target(
        "/proc",
        kernel,
        lambda: [b"cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 2 3 4 5 6 7 8\n"],
        (b"cpu ",),
        (),
        (),
        20,
    ),
    Target(
        "discovered",
        pure(offered),
        lambda: [b"Pixel 7, Google Tensor, Android 14"],
        (b"'", b"''", b"\n", b": ", b"# "),
        share=8,
    ),  # fmt: skip
    Target(
        "times",
        of_text(times),
        lambda: [
            b"2026-11-22T09:00:00+00:00\n2026-11-22",
            b"0001-01-01T00:00:00+14:00\n9999-12-31T23:59:59-14:00",
        ],
        (b"0001", b"9999", b"T", b"Z", b"W53"),
        (),
        (),
        30,
    ),  # fmt: skip
    Target(
        "release of macOS",
        of_text(release),
        lambda: [b"macOS 14.2.1"],
        (b"10.15", b"26.0"),
        share=30,
    ),
    Target("ELF", of_file("program", elf.read), _elf, (b"\x7fELF\x02\x01",), share=10),
)

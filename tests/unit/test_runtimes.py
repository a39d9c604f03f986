"""Every kind of device × every runtime × every format: what can run where, and why not."""

from __future__ import annotations

import platform
from dataclasses import replace

import pytest

from harness import kinds, runtimes
from harness.bundling import contents, wheels
from harness.containers import EngineName, recipe
from harness.formats import REGISTRY
from harness.records import DeviceFacts, DeviceSpec
from harness.targets import check

HERE = platform.machine()
#: as recorded from, or told of, devices that people have
DEVICES = {
    "server with docker": DeviceFacts(
        "linux", HERE, "Ubuntu 24.04.1 LTS", docker="27.5.1", python="3.12.3", libc="glibc"
    ),
    "server without docker": DeviceFacts(
        "linux", "x86_64", "Debian GNU/Linux 12", python="3.11.2", libc="glibc"
    ),
    "pi": DeviceFacts("linux", "aarch64", "Debian GNU/Linux 13", python="3.13.5", libc="glibc"),
    "alpine": DeviceFacts("linux", "x86_64", "Alpine Linux v3.20", python="3.12.3", libc="musl"),
    "orin": DeviceFacts(
        "jetson", "aarch64", "Ubuntu 22.04.5 LTS", docker="27.5.1", python="3.10.12",
        nvidia_runtime=True, libc="glibc",
    ),
    "pixel": DeviceFacts("android", "aarch64", "Android 14", libc="bionic"),
    "emulator": DeviceFacts("android", "x86_64", "Android 14", libc="bionic"),
    "m2": DeviceFacts("macos", "arm64", "macOS 15.1", python="3.12.7", pythons=("3.12.7", "3.9.6")),
    "m1 with the system's python and homebrew's": DeviceFacts(
        "macos", "arm64", "macOS 14.0", python="3.9.6", pythons=("3.9.6", "3.11.9")
    ),
}  # fmt: skip


def choice(
    facts: DeviceFacts, image: str, engine: EngineName = "docker"
) -> tuple[str | None, tuple[str, ...]]:
    return runtimes.first(kinds.find(facts.kind).SPEC.runtimes, image, facts, engine)


@pytest.mark.parametrize("kind", kinds.REGISTRY)
def test_every_runtime_that_a_kind_names_is_there(kind: str) -> None:
    assert set(kinds.find(kind).SPEC.runtimes) <= set(runtimes.REGISTRY)
    assert kinds.find(kind).SPEC.runtimes


@pytest.mark.parametrize("device", DEVICES)
def test_a_device_that_works_has_a_runtime_for_litert(device: str) -> None:
    facts = DEVICES[device]
    assert choice(facts, "tflite")[0] is not None
    spec = DeviceSpec("x", facts.kind, "ssh")
    assert "tflite" in sum(check.usable_runtimes(kinds.find(spec.kind).SPEC, facts).values(), [])
    assert kinds.find(facts.kind).SPEC.runtimes  # and every kind has such a device:
    assert {facts.kind for facts in DEVICES.values()} == set(kinds.REGISTRY)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("image", recipe.available())
def test_what_cannot_run_says_why_by_each_of_its_runtimes(device: str, image: str) -> None:
    facts = DEVICES[device]
    found, reasons = choice(facts, image, "venv")
    offered = kinds.find(facts.kind).SPEC.runtimes
    tried = offered if found is None else offered[: offered.index(found)]
    assert [reason.split(": ", 1)[0] for reason in reasons] == list(tried)
    assert all(reason.split(": ", 1)[1] for reason in reasons)


@pytest.mark.parametrize(
    ("device", "image", "engine", "found"),
    [
        ("server with docker", "pytorch", "docker", "image"),
        ("server with docker", "pytorch", "venv", "bundle" if HERE == "x86_64" else None),
        ("server without docker", "pytorch", "docker", "bundle"),
        ("alpine", "onnx", "docker", "bundle"),
        ("pi", "onnx", "docker", "bundle"),
        ("orin", "onnx", "docker", "bundle"),
        ("pixel", "openvino", "docker", "bundle"),
        ("m2", "onnx", "docker", "venv"),
        ("m2", "openvino", "docker", "venv"),
        ("m2", "tflite", "venv", "venv"),
        ("m1 with the system's python and homebrew's", "onnx", "venv", "venv"),
    ],
)
def test_the_best_runtime_is_taken(
    device: str, image: str, engine: EngineName, found: str | None
) -> None:
    if device == "server with docker" and HERE != "x86_64" and image == "pytorch":
        pytest.skip("PyTorch's bundle is for x86-64")
    assert choice(DEVICES[device], image, engine)[0] == found


PI, M2, ORIN = DEVICES["pi"], DEVICES["m2"], DEVICES["orin"]


@pytest.mark.parametrize(
    ("runtime", "image", "facts", "why"),
    [
        ("image", "onnx", PI, "no Docker daemon for this user on the device"),
        ("image", "onnx", replace(ORIN, arch="riscv64"),
         f"this machine builds images for {HERE}; the device is riscv64"),
        ("bundle", "onnx", replace(PI, arch="armv7l"),
         "bundles support aarch64, x86_64, not armv7l"),
        ("bundle", "pytorch", PI,
         "pytorch: no bundle for aarch64: the lock's torch is a CPU build that is there for x86-64 "
         "only"),
        ("bundle", "onnx", M2, "no bundle for macOS: bundles contain Linux programs"),
        ("venv", "onnx", replace(PI, python=None), "the device has no Python 3.8 or newer"),
        ("venv", "onnx", replace(PI, libc="musl"),
         "the locked wheels require glibc; the device has musl"),
        ("venv", "onnx", replace(PI, arch="armv7l"),
         "wheels support aarch64 and x86_64, not armv7l"),
        ("venv", "onnx", ORIN,
         "the lock of onnx requires Python 3.11, 3.12, 3.13, 3.14; the device has 3.10"),
        ("venv", "pytorch", PI,
         "pytorch: the lock's torch is a CPU build that is there for x86-64 only"),
        ("venv", "pytorch", M2,
         "pytorch: the lock's torch is a CPU build that is there for x86-64 Linux only"),
        ("venv", "torchscript", M2,
         "torchscript: the lock's torch is a CPU build that is there for x86-64 Linux only"),
        ("venv", "tflite-runtime", M2,
         "tflite-runtime: tflite-runtime has wheels for Linux only"),
        ("venv", "onnx", replace(M2, arch="x86_64"),
         "onnx: onnxruntime has no wheel for Macs with Intel processors any more"),
        ("venv", "onnx", replace(M2, os="macOS 13.6"),
         "the lock of onnx requires macOS 14; this is macOS 13.6"),
        ("venv", "tflite", replace(M2, os="macOS 11.7"),
         "the lock of tflite requires macOS 12; this is macOS 11.7"),
        ("venv", "openvino", replace(M2, os="macOS 11.7"), None),
        ("venv", "tflite", replace(M2, pythons=("3.9.6", "3.10.1")),
         "the lock of tflite requires Python 3.11, 3.12, 3.13, 3.14; the device has 3.9, 3.10"),
        ("venv", "tflite", DEVICES["pixel"],
         "environments require a host with Python; this is android"),
        ("venv", "clay", PI, "unknown image 'clay'"),
    ],
)  # fmt: skip
def test_why_a_device_cannot_have_a_runner(
    runtime: str, image: str, facts: DeviceFacts, why: str | None
) -> None:
    assert runtimes.find(runtime).why_not(image, facts, "docker") == why


def test_images_are_moved_from_docker_alone() -> None:
    facts = DEVICES["server with docker"]
    assert runtimes.find("image").why_not("onnx", facts, "venv") == (
        "images require Docker on this machine, which uses venv"
    )


def test_a_second_python_of_the_device_is_as_good() -> None:
    facts = replace(PI, python="3.14.0", pythons=("3.14.0", "3.11.9"))
    venv = runtimes.find("venv")
    assert venv.why_not("onnx", facts, "docker") is None
    assert venv.why_not("tflite-runtime", facts, "docker") is None


# ---- the list of devices -----------------------------------------------------------------------


def test_the_list_says_what_the_formats_lack_each_reason_once() -> None:
    facts = replace(M2, pythons=("3.9.6",), python="3.9.6")
    (reason,) = check.unfit(DeviceSpec("mac", "macos", "ssh"), facts, check.DeviceState("now"))
    assert reason.startswith("no compatible runtime: venv: ")
    torch = "the lock's torch is a CPU build that is there for x86-64 Linux only"
    assert reason.count(torch) == 2
    assert "the lock of tflite requires Python 3.11, 3.12, 3.13, 3.14; the device has 3.9" in reason


def test_this_machine_needs_no_runtime_but_its_engine() -> None:
    facts = DeviceFacts("linux", "riscv64", "Linux")
    now = check.DeviceState("now")
    assert check.unfit(DeviceSpec("local", "linux", "local"), facts, now) == []
    assert check.unfit(DeviceSpec("far", "linux", "ssh"), facts, now) == [
        "no compatible runtime: image: no Docker daemon for this user on the device; "
        "bundle: bundles support aarch64, x86_64, not riscv64; "
        "venv: the device has no Python 3.8 or newer"
    ]


# ---- wheels ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REGISTRY)
def test_every_lock_says_for_which_macs_it_is(name: str) -> None:
    """By hand, from its packages' wheels: each has those of Apple silicon, or says why not."""
    image = REGISTRY[name].SPEC.image
    read = contents.read(image)
    assert read.why_not("macos", "macos-x86_64")
    on_arm = read.why_not("macos", "macos-arm64")
    assert (on_arm is None) == (image in ("onnx", "openvino", "tflite"))


def test_wheels_for_apple_silicon_are_none_of_intels() -> None:
    tags = wheels.macos("arm64", (13, 6)).tags
    assert tags[:3] == ("macosx_13_0_arm64", "macosx_13_0_universal2", "macosx_12_0_arm64")
    assert tags[-1] == "macosx_11_0_universal2"
    assert not [tag for tag in tags if "x86_64" in tag]


def test_wheels_for_an_intel_mac_are_of_its_release_and_older() -> None:
    tags = wheels.macos("x86_64", (10, 15)).tags
    assert (tags[0], tags[-1]) == ("macosx_10_15_x86_64", "macosx_10_9_universal2")
    assert wheels.macos("x86_64", (12, 1)).tags[:1] == ("macosx_12_0_x86_64",)
    assert "macosx_10_16_x86_64" in wheels.macos("x86_64", (12, 1)).tags


def test_wheels_for_linux_are_of_its_glibc_and_older() -> None:
    tags = wheels.linux("aarch64", 31).tags
    assert (tags[0], tags[-1]) == ("manylinux_2_31_aarch64", "manylinux1_aarch64")

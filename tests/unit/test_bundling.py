"""Bundles: lists, locks, ELF and archives; nothing is fetched."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.bundling import bundle as bundles
from harness.bundling import contents, debian, elf, pack, wheels
from harness.containers import recipe
from harness.errors import StepFailed, UsageError
from harness.ondevice.folder_hash import cksum
from harness.records import DeviceFacts
from harness.runtimes import DeviceMount, bundle, venv


@pytest.mark.parametrize("name", recipe.available())
def test_every_image_says_what_its_runner_needs(name: str) -> None:
    read = contents.read(name)
    assert "numpy" in read.packages
    assert read.lock.count("==") == len(read.packages)
    assert "3.11" in read.pythons


def test_a_package_that_the_lock_lacks_is_named() -> None:
    with pytest.raises(StepFailed) as caught:
        contents.subset("a==1 \\\n    --hash=sha256:" + "0" * 64, ("a", "b"), Path("x.lock"))
    assert caught.value.message == "x.lock does not pin b"


def test_a_subset_has_pins_and_hashes_only() -> None:
    one, two = "1" * 64, "2" * 64
    lock = f"a==1 \\\n    --hash=sha256:{one} \\\n    --hash=sha256:{two}\n    # via b\nb==2\n"
    assert contents.subset(lock, ("a",), Path("x")) == (
        f"a==1 \\\n    --hash=sha256:{one} \\\n    --hash=sha256:{two}\n"
    )


def test_why_there_is_no_bundle() -> None:
    assert bundles.why_not("tflite", "aarch64") is None
    assert bundles.why_not("tflite", "armv7l") == (
        "no bundle for armv7l, only for aarch64 and x86_64"
    )
    assert bundles.why_not("pytorch", "aarch64") == (
        "no bundle for aarch64: the lock's torch is a CPU build that is there for x86-64 only"
    )
    with pytest.raises(UsageError):
        contents.read("tflit")


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({}, "the device has no Python 3.8 or newer"),
        ({"python": "3.11.2"}, None),
        ({"python": "3.13.0", "libc": "glibc"}, None),
        (
            {"python": "3.8.10"},
            "the lock of tflite requires Python 3.11, 3.12, 3.13, 3.14; the device has 3.8",
        ),
        (
            {"python": "3.11.2", "libc": "musl"},
            "the locked wheels require glibc; the device has musl",
        ),
        (
            {"kind": "android"},
            "environments require a host with Python; this is android",
        ),
    ],
)
def test_why_there_is_no_environment(facts: dict[str, str], why: str | None) -> None:
    full = {"kind": "linux", "arch": "x86_64", "os": "Linux", **facts}
    assert venv.why_not("tflite", DeviceFacts(**full), "docker") == why  # type: ignore[arg-type]


def test_a_bundle_runs_by_argv_with_its_environment() -> None:
    ready = bundle.InstalledBundle(
        bundle.Image("tflite", "bundle", "f", "sha256:0", True, 0.0),
        bundle.PurePosixPath("/s/tree"),
    )
    mounts = (DeviceMount(bundle.PurePosixPath("/w/job"), "/job", True),)
    assert ready.seen(mounts[0]) == "/w/job"
    assert ready.command(("-m", "x y"), mounts, {"A": "it's"}, (0,), 4096) == (
        *("env", "HOME=/w/job", "TMPDIR=/w/job", "BENCH_DATA_KB=4", "A=it's"),
        *("sh", "/s/tree/bin/python", "-m", "x y"),
    )


def test_an_archive_depends_on_names_contents_and_modes_only(tmp_path: Path) -> None:
    digests = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        for file in ("b", "a") if name == "one" else ("a", "b"):
            (folder / file).write_text(file)
        (folder / "a").chmod(0o700 if name == "one" else 0o755)
        digests.append(pack.pack(folder, tmp_path / f"{name}.tar.gz"))
    assert digests[0] == digests[1]
    (tmp_path / "two" / "a").chmod(0o644)
    assert pack.pack(tmp_path / "two", tmp_path / "two.tar.gz") != digests[0]


def test_a_program_says_what_it_needs(tmp_path: Path) -> None:
    found = elf.read(Path(sys.executable).resolve())
    assert found
    assert "libc.so.6" in found.needed
    (tmp_path / "text").write_text("#!/bin/sh\n")
    assert elf.read(tmp_path / "text") is None


def test_a_wheel_with_a_path_that_leads_out_is_refused(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "bad-1-py3-none-any.whl", "w") as archive:
        archive.writestr("../out.py", "")
    with pytest.raises(StepFailed) as caught:
        wheels.unpack((tmp_path / "bad-1-py3-none-any.whl",), tmp_path / "site")
    assert caught.value.message == (
        "bad-1-py3-none-any.whl contains a path outside of the wheel: ../out.py"
    )


def test_a_machine_without_the_release_is_told(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text("# deb x bookworm main\ndeb http://x jammy main\n")
    with pytest.raises(StepFailed, match="no apt source of Debian bookworm"):
        debian.sources(tmp_path)
    (tmp_path / "sources.list").write_text("deb http://x bookworm main\n")
    assert debian.sources(tmp_path) == (tmp_path / "sources.list",)


@pytest.mark.parametrize(("data", "crc"), [(b"", 4294967295), (b"hello", 3287646509)])
def test_cksum_is_that_of_posix(data: bytes, crc: int) -> None:
    assert cksum(iter([data])) == crc
    assert cksum(iter([data[:2], data[2:]])) == crc

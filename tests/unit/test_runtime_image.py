"""A container on a device runs as whom its files belong to, also under a rootless daemon."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pytest

from harness.records import Image
from harness.runtimes import DeviceMount
from harness.runtimes.image import InstalledImage, _is_rootless
from harness.transports.local import LocalTransport

ON = LocalTransport("host")
IMAGE = Image("tflite", "docker", "bench/tflite:1", "sha256:1", True, 0.0)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A docker that says its arguments, and what is in `docker.security`; an id of no root."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "docker").write_text(
        '#!/bin/sh\ncase $1 in info) cat "$0.security" ;; run) shift; echo "$@" ;; esac\n'
    )
    (folder / "docker.security").write_text("")
    (folder / "id").write_text(
        '#!/bin/sh\ncase $1 in -u) echo "${ID:-1234}" ;; *) echo 77 ;; esac\n'
    )
    for name in ("docker", "id"):
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def user_of(ready: InstalledImage, job: Path) -> str:
    command = ready.command(
        ("-c", "1"), (DeviceMount(PurePosixPath(job), "/job", True),), {}, (1,), 9
    )
    words = ON.run(command, timeout_s=30).text.split()
    assert words[words.index("--userns") + 1] == "host"
    return words[words.index("--user") + 1]


@pytest.mark.parametrize(
    ("security", "rootless"),
    [
        ("name=apparmor name=seccomp,profile=builtin name=rootless name=cgroupns", True),
        ("name=rootless", True),
        ("name=seccomp,profile=default name=userns", False),
        ("", False),
    ],
)
def test_a_rootless_daemon_says_so(tools: Path, security: str, rootless: bool) -> None:
    (tools / "docker.security").write_text(security)
    assert _is_rootless(ON) is rootless


def test_a_container_runs_as_the_devices_user(tools: Path, tmp_path: Path) -> None:
    assert user_of(InstalledImage(IMAGE, "sha256:1", ()), tmp_path) == "1234:77"


def test_a_rootless_container_runs_as_its_root_and_no_file_is_given_away(
    tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tmp_path.stat().st_uid
    monkeypatch.setenv("ID", "0")
    assert user_of(InstalledImage(IMAGE, "sha256:1", (), "0:0"), tmp_path) == "0:0"
    assert tmp_path.stat().st_uid == before

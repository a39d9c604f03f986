"""Images of another platform: what they are made from, and where they are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.containers import docker_build, platforms, recipe
from harness.containers.base import root_tar
from harness.containers.output import to_file
from harness.containers.venv import VenvEngine
from harness.errors import StepFailed, UsageError

ARM = "linux/arm64"
QEMU = """enabled
interpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P
flags: POCF
offset 0
magic 7f454c460201010000000000000000000200b700
mask ffffffffffffff00fffffffffffffffffeffffff
"""


class FakeDocker:
    """A daemon's images: reference -> (id, architecture); a registry with both platforms."""

    def __init__(self, **images: tuple[str, str]) -> None:
        self.images: dict[str, tuple[str, str]] = dict(images)
        self.serves = {None: ("sha256:amd64", "amd64"), ARM: ("sha256:arm64", "arm64")}

    def inspect_image(self, name: str) -> dict[str, str]:
        from docker.errors import ImageNotFound

        if name not in self.images:
            raise ImageNotFound(name)
        found, architecture = self.images[name]
        return {"Id": found, "Architecture": architecture}

    def pull(self, name: str, platform: str | None = None, **_: Any) -> list[dict[str, str]]:
        self.images[name] = self.serves[platform]
        return []

    def tag(self, image: str, repository: str, tag: str | None = None) -> None:
        self.images[f"{repository}:{tag}"] = (image, image.removeprefix("sha256:"))


def need_base(fake: FakeDocker, folder: Path, platform: str | None) -> None:
    with to_file(folder / "log.txt", None) as output:
        docker_build.need_base(fake, output, platform)  # type: ignore[arg-type]


@pytest.fixture
def amd64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")


def test_a_platform_is_part_of_the_tag_and_its_base_is_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("BENCH_BASE_IMAGE", raising=False)
    fake = FakeDocker(**{"bench/base:bookworm": ("sha256:own", "amd64")})
    fake.images["bench/base:bookworm-arm64"] = ("sha256:own", "arm64")
    ours = recipe.find("tflite-runtime")
    tags = {docker_build.reference(fake, ours, platform) for platform in (None, ARM)}  # type: ignore[arg-type]
    assert len(tags) == 2


@pytest.mark.parametrize("named", ["python@sha256:aa", "registry:5000/python:3.11"])
def test_a_base_of_another_platform_leaves_our_own_where_it_was(
    named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_BASE_IMAGE", named)
    fake = FakeDocker()
    need_base(fake, tmp_path, None)
    need_base(fake, tmp_path, ARM)
    assert fake.images[named] == ("sha256:amd64", "amd64")
    assert fake.images[docker_build.base_reference(ARM)] == ("sha256:arm64", "arm64")


def test_a_base_image_that_is_for_one_platform_only_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_BASE_IMAGE", "lab/python:1")
    fake = FakeDocker()
    fake.serves[ARM] = fake.serves[None]
    with pytest.raises(StepFailed) as caught:
        need_base(fake, tmp_path, ARM)
    wrong = "the base image lab/python:1 is for linux/amd64, not linux/arm64"
    assert caught.value.message == wrong
    assert docker_build.base_reference(ARM) not in fake.images


@pytest.mark.usefixtures("amd64")
def test_an_unknown_platform_names_those_there_are() -> None:
    with pytest.raises(UsageError) as caught:
        VenvEngine().reference("onnx", "linux/riscv64")
    wrong = "unknown platform linux/riscv64, expected one of linux/amd64, linux/arm64"
    assert caught.value.message == wrong


@pytest.mark.usefixtures("amd64")
def test_an_environment_is_for_this_machine_only() -> None:
    engine = VenvEngine()
    assert engine.reference("onnx", "linux/amd64") == engine.reference("onnx")
    with pytest.raises(StepFailed) as caught:
        engine.reference("onnx", ARM)
    wrong = "cannot create a virtual environment for linux/arm64 on linux/amd64"
    assert caught.value.message == wrong


@pytest.mark.usefixtures("amd64")
@pytest.mark.parametrize(
    ("entry", "runs"),
    [
        (QEMU, True),
        (QEMU.replace("enabled", "disabled"), False),
        (QEMU.replace("b700", "f300"), False),
        ("enabled\ninterpreter /usr/bin/python\nmagic 420d0d0a\n", False),
    ],
)
def test_another_platform_needs_an_emulator_that_is_enabled(
    tmp_path: Path, entry: str, runs: bool
) -> None:
    (tmp_path / "some-name").write_text(entry)
    (tmp_path / "status").write_text("enabled\n")
    platforms.need_emulator("linux/amd64", tmp_path)
    if runs:
        platforms.need_emulator(ARM, tmp_path)
        return
    with pytest.raises(StepFailed) as caught:
        platforms.need_emulator(ARM, tmp_path)
    wrong = "this machine cannot run linux/arm64 programs: no emulator registered"
    assert caught.value.message == wrong
    assert caught.value.hint == "Run `sudo apt-get install qemu-user-static binfmt-support`."


@pytest.mark.usefixtures("amd64")
def test_a_base_of_another_platform_is_not_begun_without_an_emulator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.containers.base._check", lambda: None)
    monkeypatch.setattr("harness.containers.platforms.need_emulator.__defaults__", (tmp_path,))
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    packages = recipe.dockerfiles() / "base" / "packages.txt"
    with (
        to_file(tmp_path / "log.txt", None) as output,
        pytest.raises(StepFailed, match="no emulator registered"),
        root_tar(packages, output, ARM),
    ):
        pass
    assert not (tmp_path / "cache").exists()

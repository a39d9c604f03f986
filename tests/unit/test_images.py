"""What images are made from, and what is done with several of them. Nothing is built here."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Literal

import pytest

from harness import containers
from harness.containers import Built, CompletedJob, JobSpec, Mount, OnLine, recipe
from harness.containers.base import root_tar
from harness.containers.output import JobOutput, to_file
from harness.errors import StepFailed, UsageError
from harness.records import Image
from harness.steps import images

OURS = recipe.dockerfiles()
PIN = re.compile(r"^([\w.-]+)==(\S+)", re.M)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of two recipes, one of which copies a shared lock."""
    for name, text in (("one", "COPY shared.lock /inputs/\n"), ("two", "COPY own /\n")):
        folder = tmp_path / "dockerfiles" / name
        folder.mkdir(parents=True)
        (folder / "Dockerfile").write_text(f"FROM x\n{text}")
        (folder / "requirements.lock").write_text("some-package==1.5 --hash=sha256:00\n")
        (folder / "requirements.in").write_text("some-package\n")
    (tmp_path / "dockerfiles" / "shared.lock").write_text("torch==2.0+cpu --hash=sha256:01\n")
    return tmp_path / "dockerfiles"


# ---- the hash of the inputs --------------------------------------------------------------------


@pytest.mark.parametrize("path", ["one/Dockerfile", "one/requirements.lock", "shared.lock"])
def test_a_change_of_any_input_changes_the_tag(root: Path, path: str) -> None:
    before = recipe.find("one", root).key("base")
    (root / path).write_text((root / path).read_text() + "# changed\n")
    assert recipe.find("one", root).key("base") != before


def test_another_base_image_changes_the_tag(root: Path) -> None:
    one = recipe.find("one", root)
    assert one.key("sha256:1") != one.key("sha256:2")


def test_what_is_in_no_image_leaves_the_tag(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = [recipe.find(name, root).key("base") for name in ("one", "two")]
    (root / "one" / "requirements.in").write_text("other\n")
    (root / "one" / "README.md").write_text("words\n")
    monkeypatch.setenv("PIP_INDEX_URL", "https://elsewhere.example/simple")
    os.utime(root / "one" / "Dockerfile", (1, 1))
    assert [recipe.find(name, root).key("base") for name in ("one", "two")] == before


def test_a_shared_lock_is_an_input_of_those_that_copy_it(root: Path) -> None:
    before = recipe.find("two", root).key("base")
    (root / "shared.lock").write_text("torch==3.0+cpu --hash=sha256:02\n")
    assert recipe.find("two", root).key("base") == before


def test_an_unknown_image_names_all_there_are(root: Path) -> None:
    with pytest.raises(UsageError) as caught:
        recipe.find("zzz", root)
    assert caught.value.hint == "Name one of one, two."


# ---- how this machine gets packages ------------------------------------------------------------


def test_only_indexes_that_a_container_can_reach_are_passed_on(root: Path) -> None:
    env = {
        "PIP_INDEX_URL": "https://a.example/simple",
        "PIP_EXTRA_INDEX_URL": "file:///disk https://b.example/simple http://c.example",
    }
    args = recipe.HostInputs.read(root, env).args
    assert args["PIP_INDEX_URL"] == "https://a.example/simple"
    assert args["PIP_EXTRA_INDEX_URL"] == "https://b.example/simple http://c.example"


def test_only_wheels_that_a_lock_names_go_into_a_build(root: Path, tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    names = ("torch-2.0+cpu-cp311-a.whl", "Some_Package-1.5-py3-none-any.whl", "torch-1.0-x.whl")
    for name in names:
        (wheels / name).touch()
    env = {"PIP_FIND_LINKS": f"file://{wheels} https://links.example/torch.html"}
    inputs = recipe.HostInputs.read(root, env)
    assert {path.name for path in inputs.wheels} == set(names[:2])
    assert inputs.args["PIP_FIND_LINKS"] == "/inputs/wheels https://links.example/torch.html"


def test_the_first_ca_that_is_set_is_used(root: Path, tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.touch()
    inputs = recipe.HostInputs.read(root, {"SSL_CERT_FILE": "/other", "PIP_CERT": str(ca)})
    assert inputs.ca == ca
    assert inputs.args["PIP_CERT"] == "/inputs/ca.pem"
    assert "PIP_CERT" not in recipe.HostInputs.read(root, {"SSL_CERT_FILE": "/missing"}).args


# ---- our own locks -----------------------------------------------------------------------------


def test_there_is_an_image_for_each_format() -> None:
    expected = {"pytorch", "torchscript", "onnx", "openvino", "tflite", "tflite-runtime"}
    assert set(images.available()) >= expected


@pytest.mark.parametrize("lock", sorted(OURS.rglob("*.lock")), ids=lambda path: path.parent.name)
def test_every_pin_of_a_lock_has_a_hash_and_no_place(lock: Path) -> None:
    text = lock.read_text("utf-8")
    entries = re.sub(r"\\\n|\n +#.*", "", text).splitlines()
    entries = [line for line in entries if line and not line.startswith("#")]
    assert entries
    assert all(re.fullmatch(r"[\w.-]+==\S+( +--hash=sha256:\w{64})+ *", line) for line in entries)
    assert "://" not in text
    assert not re.search(r"^(nvidia|triton)", text, re.M)


@pytest.mark.parametrize("name", images.available())
def test_images_with_torch_have_the_shared_pins(name: str) -> None:
    shared = dict(PIN.findall((OURS / "torch.lock").read_text("utf-8")))
    own = dict(PIN.findall(recipe.find(name).lock.read_text("utf-8")))
    assert shared["torch"] == "2.13.0+cpu"
    if "torch" in own:
        assert {package: own.get(package) for package in shared} == shared


def test_dockerfiles_with_torch_begin_alike() -> None:
    texts = [path.read_text("utf-8") for path in OURS.glob("*/Dockerfile")]
    heads = {
        text[text.index("ARG BASE") : text.index("COPY requirements.lock")]
        for text in texts
        if "torch.lock" in text
    }
    assert len(heads) == 1


# ---- several images ----------------------------------------------------------------------------


class FakeEngine:
    """Builds nothing; `broken` fails, everything else is there."""

    name: Literal["venv"] = "venv"

    def __init__(self) -> None:
        self.removed: list[str] = []

    def reference(self, name: str) -> str:
        if name == "unknown":
            raise UsageError("unknown image 'unknown'")
        return f"{name}-new"

    def build(self, name: str, log: Path, on_line: OnLine | None = None) -> Image:
        if on_line:
            on_line(f"into {log.name}")
        if name == "broken":
            raise StepFailed("broken failed")
        return Image(name, "venv", self.reference(name), "sha256:0", False, 1.0)

    def built(self) -> tuple[Built, ...]:
        return (Built("one", "one-new", 10), Built("one", "one-old", 9))

    def remove(self, built: Built) -> None:
        self.removed.append(built.reference)

    def sweep(self) -> int:
        return 5

    def make_base(self, log: Path, on_line: OnLine | None = None) -> str:
        return "sha256:1"

    def run(self, image: Image, job: JobSpec, on_line: OnLine | None = None) -> CompletedJob:
        return CompletedJob(0, "", 0.0)

    def locate(self, mount: Mount) -> str:
        return mount.target

    def close(self) -> None:
        pass


def test_a_failed_build_stops_no_other(tmp_path: Path) -> None:
    lines: list[tuple[str, str]] = []
    done = images.build_all(
        FakeEngine(), ["broken", "one"], tmp_path, lambda *told: lines.append(told)
    )
    assert isinstance(done["broken"], StepFailed)
    assert isinstance(done["one"], Image)
    assert lines == [("broken", "into broken.log"), ("one", "into one.log")]


def test_nothing_is_built_when_a_name_is_wrong(tmp_path: Path) -> None:
    lines: list[str] = []
    with pytest.raises(UsageError):
        images.build_all(FakeEngine(), ["one", "unknown"], tmp_path, lambda n, _: lines.append(n))
    assert lines == []


def test_states_say_what_is_built() -> None:
    assert images.states(FakeEngine(), ["one", "two"]) == (
        images.ImageState("one", "one-new", 10),
        images.ImageState("two", "two-new", None),
    )


def test_old_is_what_no_build_would_make() -> None:
    engine = FakeEngine()
    assert images.old(engine, ["one", "two"]) == (Built("one", "one-old", 9),)
    assert engine.removed == []


# ---- what is missing on a machine --------------------------------------------------------------


def test_auto_is_venv_where_no_daemon_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    reason = containers.docker_available()
    assert reason == (
        "no daemon running at unix:///nowhere.sock (DOCKER_HOST): start it as this user, "
        "or unset DOCKER_HOST"
    )
    assert containers.choose("auto").name == "venv"
    with pytest.raises(StepFailed) as caught:
        containers.choose("docker")
    assert caught.value.message == f"Docker unavailable: {reason}"
    assert caught.value.hint == "Start Docker, or run with --engine venv."


def test_auto_is_venv_where_the_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "docker", None)
    monkeypatch.delitem(sys.modules, "harness.containers.docker", raising=False)
    assert containers.docker_available() == (
        "Python package docker not found; run `pip install docker`"
    )
    assert containers.choose("auto").name == "venv"


def test_an_engine_is_one_of_three() -> None:
    with pytest.raises(
        UsageError, match="--engine podman: unknown engine, expected auto, docker or venv"
    ):
        containers.choose("podman")


def test_the_base_needs_debootstrap_and_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with to_file(tmp_path / "log.txt") as output:
        monkeypatch.setattr(shutil, "which", lambda _: None)
        assert "debootstrap not found" in base_failure(output)
        monkeypatch.setattr(shutil, "which", lambda _: "/usr/sbin/debootstrap")
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        assert "requires root" in base_failure(output)


def base_failure(output: JobOutput) -> str:
    with pytest.raises(StepFailed) as caught, root_tar(OURS / "base" / "packages.txt", output):
        pass
    assert "BENCH_BASE_IMAGE" in caught.value.hint
    return caught.value.message


# ---- output ------------------------------------------------------------------------------------


def test_a_character_and_a_line_may_come_in_pieces(tmp_path: Path) -> None:
    lines: list[str] = []
    with to_file(tmp_path / "deep" / "log.txt", lines.append) as output:
        for byte in "aü\r\n漢\nend".encode():
            output.feed(bytes([byte]))
    assert lines == ["aü", "漢", "end"]
    assert (tmp_path / "deep" / "log.txt").read_bytes().decode() == "aü\r\n漢\nend"


def test_a_log_is_added_to_when_asked(tmp_path: Path) -> None:
    for append in (False, True, True):
        with to_file(tmp_path / "log.txt", append=append) as output:
            output.feed(b"x")
    assert (tmp_path / "log.txt").read_text() == "xxx"


def test_images_with_the_longest_locks_are_built_first() -> None:
    ordered = images.heaviest_first(["tflite-runtime", "onnx", "tflite", "no-such-image"])
    assert ordered == ["tflite", "onnx", "tflite-runtime", "no-such-image"]

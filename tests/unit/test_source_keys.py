"""What a model's code can read decides its artifacts: every file of its folder, whatever it is."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from test_jobs import IMAGE, MODEL, FakeEngine

from harness.errors import BenchError
from harness.formats import REGISTRY
from harness.payload import source_sha256
from harness.steps.convert import artifact_key
from harness.steps.infer import LoadedArtifact, pass_key
from harness.steps.jobs import Place


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "data" / "images").mkdir(parents=True)
    (folder / "network.py").write_text("x = 1\n")
    (folder / "model.yaml").write_text("classes: [card]\n")
    (folder / "vocabulary.txt").write_text("a b c\n")
    (folder / "data" / "images" / "1.png").write_bytes(b"\x89PNG")
    (folder / "link").symlink_to("vocabulary.txt")
    (folder / b"\xff\xfe".decode("utf-8", "surrogateescape")).write_bytes(b"any name")
    return folder


def touch(path: Path, text: str) -> None:
    """Write, at a time that differs."""
    path.write_text(text)
    os.utime(path, ns=(10**18, 10**18))


CHANGES: dict[str, Callable[[Path], object]] = {
    "code": lambda folder: touch(folder / "network.py", "x = 2\n"),
    "what it reads": lambda folder: touch(folder / "vocabulary.txt", "a b d\n"),
    "what lies deep": lambda folder: touch(folder / "data/images/1.png", "other"),
    "a new file without an ending": lambda folder: (folder / "weights").touch(),
    "a new empty name": lambda folder: (folder / "data" / "x").touch(),
    "a file that is gone": lambda folder: (folder / "vocabulary.txt").unlink(),
    "another name": lambda folder: (folder / "vocabulary.txt").rename(folder / "words.txt"),
    "where a link leads": lambda folder: (
        (folder / "link").unlink(),
        (folder / "link").symlink_to("network.py"),
    ),
    "a hidden file": lambda folder: (folder / ".env").write_text("x"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_makes_another_artifact(model: Path, change: str) -> None:
    before = source_sha256(model)
    CHANGES[change](model)
    assert source_sha256(model) != before


def test_what_bench_python_and_git_write_there_makes_none(model: Path) -> None:
    before = source_sha256(model)
    (model / "model.yaml").write_text("classes: [badge]\n")
    for name in ("__pycache__/network.cpython-311.pyc", ".git/index", "data/__pycache__/x.pyc"):
        (model / name).parent.mkdir(exist_ok=True)
        (model / name).write_text("x")
    assert source_sha256(model) == before


def test_a_link_out_of_the_folder_is_not_followed(model: Path, tmp_path: Path) -> None:
    """No sandbox has what it leads to, and a folder of somebody else's reads nothing of ours."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "private").write_text("1")
    (model / "up").symlink_to(outside)
    (model / "loop").symlink_to(model)
    before = source_sha256(model)
    (outside / "private").write_text("2, and more")
    assert source_sha256(model) == before


def test_a_pipe_in_the_folder_is_not_read(model: Path) -> None:
    os.mkfifo(model / "pipe")
    source_sha256(model)


def test_a_file_that_cannot_be_read_is_named(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for any user but root."""

    def refused(path: Path) -> str:
        if path.name == "vocabulary.txt":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return "0"

    monkeypatch.setattr("harness.cache.file_sha256", refused)
    with pytest.raises(BenchError, match=r"vocabulary\.txt: Permission denied"):
        source_sha256(model)


def test_a_file_is_hashed_once_in_a_process(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = source_sha256(model)
    monkeypatch.setattr("harness.cache.file_sha256", lambda path: "read again")
    assert source_sha256(model) == before
    (model / "vocabulary.txt").write_text("other words")
    assert source_sha256(model) != before


# ---- keys ----------------------------------------------------------------------------------------

PLACE = Place(FakeEngine({}), IMAGE)


def test_another_module_of_the_folder_makes_another_artifact(model: Path) -> None:
    (model / "small.py").write_text("x = 2\n")
    one, other = (
        artifact_key(PLACE, replace(MODEL, module=name), model, REGISTRY["onnx"].SPEC, "fp32")
        for name in ("network.py", "small.py")
    )
    assert one != other


def reference(folder: Path) -> str:
    """The key of a pass of a model whose own file is run."""
    spec = replace(MODEL, source="onnx", weights="net.onnx")
    own = LoadedArtifact(spec, folder, "onnx", "fp32", folder / "net.onnx", "ab", PLACE)
    return pass_key("outputs", own, "pack", 16)


def test_weights_that_a_file_keeps_next_to_it_are_part_of_its_passes(model: Path) -> None:
    (model / "net.onnx").write_bytes(b"graph")
    touch(model / "net.onnx.data", "weights")
    before = reference(model)
    assert reference(model) == before
    (model / "net.onnx.data").write_text("others!")
    assert reference(model) != before


def test_passes_of_a_converted_file_read_nothing_of_the_folder(model: Path, tmp_path: Path) -> None:
    made = LoadedArtifact(MODEL, model, "onnx", "fp32", tmp_path / "model.onnx", "ab", PLACE)
    before = pass_key("outputs", made, "pack", 16)
    touch(model / "vocabulary.txt", "a b d\n")
    assert pass_key("outputs", made, "pack", 16) == before

"""What a file is that a model.yaml names as its source, before anything is built."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

import pytest

from harness.errors import ConfigError
from harness.records import ModelSpec
from harness.scenario.config import read_model
from harness.scenario.model_file import SUFFIXES, kind_by_name

#: beginnings of real files
ONNX = b"\x08\x0a\x12\x07pytorch\x1a\x052.13.0"
TFLITE = b"\x1c\x00\x00\x00TFL3\x14\x00"
MODEL = """\
task: classification
{source}
input: {{name: x, shape: [1, 3, 8, 8]}}
outputs: [logits]
classes: [a, b]
"""


def torchscript(path: Path) -> bytes:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("net/constants.pkl", b"")
    return path.read_bytes()


def read(folder: Path, source: str, name: str = "", content: bytes = ONNX) -> ModelSpec:
    (folder / "model.yaml").write_text(MODEL.format(source=source))
    if name:
        (folder / name).write_bytes(content)
    return read_model(folder).spec


def mistakes(folder: Path, source: str, name: str = "", content: bytes = ONNX) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(folder, source, name, content)
    return caught.value.mistakes


def test_the_kinds_are_those_of_formats_that_take_their_own_file() -> None:
    assert SUFFIXES == {
        ".torchscript": "torchscript",
        ".onnx": "onnx",
        ".tflite": "tflite",
    }
    assert kind_by_name(Path("Model.ONNX")) == "onnx"
    assert kind_by_name(Path("model.pt")) is None


@pytest.mark.parametrize(("name", "content"), [("m.onnx", ONNX), ("m.tflite", TFLITE)])
def test_a_file_is_a_model_without_any_python(tmp_path: Path, name: str, content: bytes) -> None:
    found = read(tmp_path, f"source: {name}", name, content)
    assert (found.source, found.weights, found.module) == (name.split(".")[1], name, "")
    assert found.weights_sha256 == hashlib.sha256(content).hexdigest()


def test_a_kind_may_be_said_where_the_suffix_does_not_tell(tmp_path: Path) -> None:
    content = torchscript(tmp_path / "net.pt")
    found = read(tmp_path, "source: net.pt\nkind: torchscript", "net.pt", content)
    assert found.source == "torchscript"
    assert mistakes(tmp_path, "source: net.pt") == [
        f"{tmp_path}/model.yaml:2: source: unknown suffix of net.pt; use .torchscript, .onnx, "
        ".tflite, or add `kind:`"
    ]


def test_a_hash_that_is_given_is_the_one_that_counts(tmp_path: Path) -> None:
    found = read(tmp_path, f"source: m.onnx\nsha256: '{'0' * 64}'", "m.onnx")
    assert found.weights_sha256 == "0" * 64


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("m.onnx", b"", "the file is empty"),
        ("m.onnx", bytes(900), "the file begins with zeros only; its download may be incomplete"),
        ("m.onnx", TFLITE, "this is a TFLite model, not an ONNX model"),
        ("m.tflite", ONNX, "this is an ONNX model, not a TFLite model"),
        ("m.tflite", b"anything", "this is not a TFLite model"),
        ("m.torchscript", b"anything", "this is not a TorchScript archive"),
        ("m.onnx", b"PK\x03\x04....", "this is a ZIP archive, not an ONNX model"),
        (
            "m.onnx",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "this is a Git LFS pointer; run `git lfs pull` to download the file itself",
        ),
        (
            "m.onnx",
            b"<!DOCTYPE html><title>404</title>",
            "this is an HTML page, such as the error page of a download",
        ),
        (
            "m.onnx",
            b"\x89HDF\r\n\x1a\n..",
            "this is an HDF5 file, such as a Keras model or weights",
        ),
        ("m.onnx", b"\x1f\x8b\x08", "this is a gzip archive; unpack it first"),
        ("m.onnx", b"\x80\x02}q", "this is a pickle, such as an old PyTorch checkpoint"),
    ],
)
def test_a_file_that_is_something_else_is_named_before_anything_is_built(
    tmp_path: Path, name: str, content: bytes, why: str
) -> None:
    found = mistakes(tmp_path, f"source: {name}", name, content)
    assert found == [f"{tmp_path}/model.yaml:2: source: {name}: {why}"]


@pytest.mark.parametrize("name", ["../m.onnx", "a/../../m.onnx", "/m.onnx"])
def test_a_file_outside_of_the_model_s_folder_is_refused(tmp_path: Path, name: str) -> None:
    """Jobs see the folder of the file that they load."""
    (tmp_path / "m.onnx").write_bytes(ONNX)
    (tmp_path / "model" / "a").mkdir(parents=True)
    path = name.replace("/m.onnx", f"{tmp_path}/m.onnx") if name[0] == "/" else name
    assert mistakes(tmp_path / "model", f"source: {path}") == [
        f"{tmp_path}/model/model.yaml:2: source: {path}: outside of the model's folder"
    ]
    inside = tmp_path / "model"
    assert read(inside, "source: a/../m.onnx", "m.onnx").weights == "a/../m.onnx"


def test_a_file_that_is_missing_or_none_is_a_mistake(tmp_path: Path) -> None:
    line = f"{tmp_path}/model.yaml:2: source: m.onnx: {tmp_path}/m.onnx"
    assert mistakes(tmp_path, "source: m.onnx") == [f"{line}: No such file or directory"]
    os.mkfifo(tmp_path / "m.onnx")
    assert mistakes(tmp_path, "source: m.onnx") == [f"{line}: not a regular file"]


def test_a_file_and_a_module_are_two_ways_of_which_one_is_chosen(tmp_path: Path) -> None:
    assert mistakes(tmp_path, "source: m.onnx\nmodule: n.py\nweights: w.pt", "m.onnx") == [
        f"{tmp_path}/model.yaml:3: module: cannot be given with `source`",
        f"{tmp_path}/model.yaml:4: weights: cannot be given with `source`",
    ]
    assert mistakes(tmp_path, "function: build") == [
        f"{tmp_path}/model.yaml:1: weights: missing",
        f"{tmp_path}/model.yaml:1: sha256: missing",
    ]

"""What a file is that a model.yaml names as its source, before anything is built."""

from __future__ import annotations

import hashlib
import io
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
SAVED_MODEL = b"\x08\x01\x12\xd2\xe3\x20"
FROZEN = b"\x0a\x22\x0a\x06images\x12\x0bPlaceholder"
HDF5 = b"\x89HDF\r\n\x1a\n"
MODEL = """\
task: classification
{source}
input: {{name: x, shape: [1, 3, 8, 8]}}
outputs: [logits]
classes: [a, b]
"""


def zipped(name: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(name, b"")
    return content.getvalue()


TORCHSCRIPT, KERAS = zipped("net/constants.pkl"), zipped("metadata.json")


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
        ".savedmodel": "savedmodel",
        ".keras": "keras",
        ".h5": "keras",
        ".hdf5": "keras",
        ".pb": "frozen",
    }
    assert kind_by_name(Path("Model.ONNX")) == "onnx"
    assert kind_by_name(Path("model.pt")) is None


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("m.onnx", ONNX, "onnx"),
        ("m.tflite", TFLITE, "tflite"),
        ("m.keras", KERAS, "keras"),
        ("m.h5", HDF5, "keras"),
        ("m.pb", FROZEN, "frozen"),
    ],
)
def test_a_file_is_a_model_without_any_python(
    tmp_path: Path, name: str, content: bytes, kind: str
) -> None:
    found = read(tmp_path, f"source: {name}", name, content)
    assert (found.source, found.weights, found.module) == (kind, name, "")
    assert found.weights_sha256 == hashlib.sha256(content).hexdigest()


def test_a_kind_may_be_said_where_the_suffix_does_not_tell(tmp_path: Path) -> None:
    found = read(tmp_path, "source: net.pt\nkind: torchscript", "net.pt", TORCHSCRIPT)
    assert found.source == "torchscript"
    assert mistakes(tmp_path, "source: net.pt") == [
        f"{tmp_path}/model.yaml:2: source: unknown suffix of net.pt; use .torchscript, .onnx, "
        ".tflite, .savedmodel, .keras, .pb, .h5, .hdf5, or add `kind:`"
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
            "this is a Keras file or other HDF5 file, not an ONNX model",
        ),
        ("m.onnx", b"\x1f\x8b\x08", "this is a gzip archive; unpack it first"),
        ("m.onnx", b"\x80\x02}q", "this is a pickle, such as an old PyTorch checkpoint"),
        ("m.keras", TORCHSCRIPT, "this is a ZIP archive, not a Keras model"),
        ("m.keras", ONNX, "this is an ONNX model, not a Keras model"),
        ("m.h5", b"anything", "this is not a Keras model"),
        (
            "m.torchscript",
            KERAS,
            "this is a Keras file or other HDF5 file, not a TorchScript archive",
        ),
        ("m.pb", b"node {\n  name:", "this is a graph in text, not in binary"),
        ("m.pb", b"anything", "this is not a TF frozen graph"),
        (
            "m.pb",
            SAVED_MODEL,
            "this is saved_model.pb of a TF SavedModel, whose folder is the model, not a TF "
            "frozen graph",
        ),
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


def test_a_saved_model_is_a_folder_that_may_have_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "exported"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(SAVED_MODEL)
    found = read(tmp_path, "source: exported")
    assert (found.source, found.weights) == ("savedmodel", "exported")
    (folder / "variables" / "data").write_bytes(b"more")
    assert read(tmp_path, "source: exported").weights_sha256 != found.weights_sha256


def test_a_saved_model_that_is_no_folder_of_one_is_a_mistake(tmp_path: Path) -> None:
    folder = tmp_path / "exported"
    folder.mkdir()
    line = f"{tmp_path}/model.yaml:2: source: exported"
    assert mistakes(tmp_path, "source: exported\nkind: savedmodel") == [
        f"{line}: this folder has no saved_model.pb"
    ]
    (folder / "saved_model.pb").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    assert mistakes(tmp_path, "source: exported") == [
        f"{line}: this is a Git LFS pointer; run `git lfs pull` to download the file itself"
    ]
    assert mistakes(tmp_path, "source: exported/saved_model.pb\nkind: savedmodel") == [
        f"{line}/saved_model.pb: a SavedModel is a folder with saved_model.pb; name the folder"
    ]


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

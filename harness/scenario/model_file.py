"""What kind of file a model is in, from its first bytes: nothing is parsed, unpacked or run."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from .. import regular
from ..cache import known_sha256, tree_sha256
from ..formats import REGISTRY

#: so many bytes tell the kinds apart
HEAD_BYTES: Final = 4096
#: formats whose files may be a model's source, by suffix; a `.pt` may be anything
SUFFIXES: Final = {
    **{
        module.SPEC.suffix: name
        for name, module in REGISTRY.items()
        if not module.SPEC.needs_source
        and any(way.source == name for way in module.SPEC.conversions)
    },
    ".h5": "keras",
    ".hdf5": "keras",
}
#: kinds whose source is one file, or a SavedModel's folder
KINDS: Final = tuple(dict.fromkeys(SUFFIXES.values()))
#: the file in every SavedModel's folder
SAVED_MODEL: Final = "saved_model.pb"

_LFS: Final = b"version https://git-lfs"
_HDF5: Final = b"\x89HDF\r\n\x1a\n"
_ZIP: Final = b"PK\x03\x04"
#: first entries of a `.keras` file, which is a ZIP archive
_IN_KERAS: Final = (b"metadata.json", b"config.json", b"model.weights.h5")
#: first bytes, what they are the beginning of
_OTHERS: Final = (
    (_LFS, "a Git LFS pointer; run `git lfs pull` to download the file itself"),
    (b"<!DOCTYPE", "an HTML page, such as the error page of a download"),
    (b"<html", "an HTML page, such as the error page of a download"),
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
    (b"\x80\x02", "a pickle, such as an old PyTorch checkpoint"),
    (b"node {", "a graph in text, not in binary"),
)


def kind_by_name(path: Path) -> str | None:
    """The kind that the suffix stands for, or the contents of a folder."""
    if (path / SAVED_MODEL).is_file():
        return "savedmodel"
    return SUFFIXES.get(path.suffix.lower())


def sha256(path: Path) -> str:
    """Of a file, or of all files of a folder. Raises OSError."""
    return tree_sha256(path) if path.is_dir() else known_sha256(path)


def mistake(path: Path, kind: str) -> str | None:
    """Why the file cannot be of its kind; None if it may be. Raises OSError."""
    if kind == "savedmodel":
        if path.is_file():
            return f"a SavedModel is a folder with {SAVED_MODEL}; name the folder"
        if path.is_dir() and not (path / SAVED_MODEL).exists():
            return f"this folder has no {SAVED_MODEL}"
        path = path / SAVED_MODEL if path.is_dir() else path
    with regular.opened(path) as file:
        head = file.read(HEAD_BYTES)
    if not head:
        return "the file is empty"
    if not head.strip(b"\0"):
        return "the file begins with zeros only; its download may be incomplete"
    for start, what in _OTHERS:
        if head.startswith(start):
            return f"this is {what}"
    seen = _seen(head)
    if seen and seen != kind:
        return f"this is {_SEEN[seen]}, not {_WANTED[kind]}"
    if kind in _CERTAIN and seen != kind:
        return f"this is not {_WANTED[kind]}"
    return None


#: kinds whose files all begin in the same way
_CERTAIN: Final = ("tflite", "torchscript", "savedmodel", "keras", "frozen")
_WANTED: Final = {
    "onnx": "an ONNX model",
    "tflite": "a TFLite model",
    "torchscript": "a TorchScript archive",
    "savedmodel": "a TF SavedModel",
    "keras": "a Keras model",
    "frozen": "a TF frozen graph",
}
_SEEN: Final = {
    **_WANTED,
    "torchscript": "a ZIP archive",
    "keras": "a Keras file or other HDF5 file",
    "savedmodel": f"{SAVED_MODEL} of a TF SavedModel, whose folder is the model",
}


def _seen(head: bytes) -> str | None:
    if head[4:8] == b"TFL3":
        return "tflite"
    if head.startswith(_HDF5):
        return "keras"
    if head.startswith(_ZIP):
        return "keras" if head[30:].startswith(_IN_KERAS) else "torchscript"
    if head.startswith(b"\x08\x01\x12"):  # SavedModel: its version of the schema, MetaGraphDef
        return "savedmodel"
    if head.startswith(b"\x0a") and head[4:8] != b"TFL3":  # GraphDef begins with a node
        return "frozen"
    # protobuf: ir_version, the first field of ModelProto, then another field of it
    return "onnx" if head[:1] == b"\x08" and len(head) > 2 and head[2] & 7 in (0, 2) else None

"""What kind of file a model is in, from its first bytes: nothing is parsed, unpacked or run."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from .. import regular
from ..formats import REGISTRY

#: so many bytes tell the kinds apart
HEAD_BYTES: Final = 4096
#: formats whose files may be a model's source, by suffix; a `.pt` may be anything
SUFFIXES: Final = {
    module.SPEC.suffix: name
    for name, module in REGISTRY.items()
    if not module.SPEC.needs_source and any(way.source == name for way in module.SPEC.conversions)
}
#: kinds whose source is one file
KINDS: Final = tuple(SUFFIXES.values())

_LFS: Final = b"version https://git-lfs"
_HDF5: Final = b"\x89HDF\r\n\x1a\n"
#: first bytes, what they are the beginning of
_OTHERS: Final = (
    (_LFS, "a Git LFS pointer; run `git lfs pull` to download the file itself"),
    (_HDF5, "an HDF5 file, such as a Keras model or weights"),
    (b"<!DOCTYPE", "an HTML page, such as the error page of a download"),
    (b"<html", "an HTML page, such as the error page of a download"),
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
    (b"\x80\x02", "a pickle, such as an old PyTorch checkpoint"),
)


def kind_by_name(path: Path) -> str | None:
    """The kind that the suffix stands for."""
    return SUFFIXES.get(path.suffix.lower())


def mistake(path: Path, kind: str) -> str | None:
    """Why the file cannot be of its kind; None if it may be. Raises OSError."""
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
_CERTAIN: Final = ("tflite", "torchscript")
_WANTED: Final = {
    "onnx": "an ONNX model",
    "tflite": "a TFLite model",
    "torchscript": "a TorchScript archive",
}
_SEEN: Final = {**_WANTED, "torchscript": "a ZIP archive"}


def _seen(head: bytes) -> str | None:
    if head[4:8] == b"TFL3":
        return "tflite"
    if head.startswith(b"PK\x03\x04"):
        return "torchscript"
    # protobuf: ir_version, the first field of ModelProto, then another field of it
    return "onnx" if head[:1] == b"\x08" and len(head) > 2 and head[2] & 7 in (0, 2) else None

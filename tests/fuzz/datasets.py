"""Targets: datasets, their images, models, scenarios and the files of devices."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from harness.errors import ConfigError
from harness.formats import checkpoint
from harness.metrics import coco_map, coco_rle, masks, topk, truth
from harness.metrics.coco_entries import is_path
from harness.records import ModelSpec, TensorSpec
from harness.scenario import config, model_file
from harness.serial import parse
from harness.steps import datasets, image_files, tensor_data
from harness.steps.dataset_kinds.source import Source
from harness.steps.image_paths import ImageFolder, is_file
from harness.untrusted import files, results
from harness.untrusted.names import NotTaken, shown

from .mutate import json_value, zip_member
from .records import CLASSES, TRUTH, npz, predictions
from .target import Reader, Target, of_file, pure, text_of

ROOT: Final = Path(__file__).parents[2]
JSON: Final = (json_value,)


# ---- annotations -------------------------------------------------------------------------------


def annotations(folder: Path) -> Reader:
    """Read, looked at for masks, and predictions scored against them."""
    path, found = folder / "annotations.json", folder / "predictions.npz"
    found.write_bytes(predictions()[0])
    arrays = results.read_predictions(found)

    def read(data: bytes) -> object:
        path.write_bytes(data)
        truth._read.cache_clear()  # two inputs of one size may be written within one tick
        annotated = truth.read(path)
        masks.scored_notes(annotated)
        topk.score(arrays, path, CLASSES)
        return coco_map.score(arrays, path, CLASSES)

    return read


def dataset(name: str) -> Callable[[Path], Reader]:
    """A whole dataset with one of its files exchanged."""

    def make(folder: Path) -> Reader:
        (folder / "images").mkdir()
        for picture in TRUTH["images"]:
            (folder / "images" / str(picture["file_name"])).write_bytes(b"no image")
        content = json.dumps(TRUTH).encode()
        (folder / "annotations.json").write_bytes(content)

        def read(data: bytes) -> object:
            (folder / name).write_bytes(data)
            truth._read.cache_clear()
            return datasets.read(folder)

        return read

    return make


def kind(name: str) -> Callable[[Path], Reader]:
    """A dataset of another kind than COCO, with one of its files exchanged."""

    def make(folder: Path) -> Reader:
        picture = io.BytesIO()
        Image.new("RGB", (16, 12)).save(picture, "PNG")
        (folder / "images").mkdir()
        (folder / "images" / "a.png").write_bytes(picture.getvalue())
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        if name == "labels/a.txt":
            (folder / "data.yaml").write_text("val: images\nnames: [card, coin]\n")
        if name == "data.yaml":
            (folder / "labels").mkdir()
            (folder / "labels" / "a.txt").write_text("0 0.5 0.5 0.2 0.3\n")

        def read(data: bytes) -> object:
            path.write_bytes(data)
            found = datasets.find(Source(folder, kind=KINDS[name]))
            masks.scored_notes(found.truth)
            return found

        return read

    return make


KINDS: Final = {
    "data.yaml": "yolo",
    "labels/a.txt": "yolo",
    "Annotations/a.xml": "voc",
    "list.csv": "csv",
}
DATA_YAML: Final = (
    b"path: .\nval: images\nnames: {0: card, 1: coin}\n",
    b"train: ../train/images\nval: [images]\nnc: 2\nnames: ['a', 'b']\nkpt_shape: null\n",
)
VOC: Final = (
    b"<annotation><filename>a.png</filename><size><width>16</width><height>12</height></size>"
    b"<object><name>card</name><difficult>0</difficult><bndbox><xmin>1</xmin><ymin>2</ymin>"
    b"<xmax>9</xmax><ymax>8</ymax></bndbox></object></annotation>",
)
CSV: Final = (
    b"path,label\nimages/a.png,card\n",
    b"a.png,1,2,9,8,card\na.png,,,,,\n",
    b"filename;width;height;class;xmin;ymin;xmax;ymax\na.png;16;12;card;1;2;9;8\n",
)


SPEC: Final = ModelSpec(
    "m", "tensor", "", "", "m.onnx", "",
    (TensorSpec("x", (1, 3)), TensorSpec("ids", (2,), "int32"), TensorSpec("sr", (), "int64")),
    ("y",), (), source="onnx",
)  # fmt: skip


TENSOR_MODEL: Final = b"""\
task: tensor
source: m.onnx
sha256: "0000000000000000000000000000000000000000000000000000000000000000"
inputs:
  - {name: x, shape: [1, 8], dtype: float16, generate: {distribution: normal, std: 0.1}}
  - {name: ids, shape: [], dtype: int64, generate: {distribution: integers, low: 0, high: 9}}
  - {name: y, shape: [2], generate: {distribution: uniform, low: -1, high: 1, seed: 3}}
outputs: [y]
"""


def tensors(path: Path) -> object:
    """A sample of a model that takes no images, read and packed."""
    found = tensor_data.read(SPEC, Source(path), {}, 16)
    return [tensor_data.pack_key(found), *found.tensors]


def _tensors() -> list[bytes]:
    values = {"x": np.ones((1, 3)), "ids": np.array([1, 2]), "sr": np.array(16000)}
    narrow = {name: one.astype(np.int8) for name, one in values.items() if name != "sr"}
    return [npz(**values), npz(True, **values), npz(**narrow, sr=values["sr"], label=values["x"])]


@lru_cache
def _manifest() -> list[bytes]:
    content, image = json.dumps(TRUTH).encode(), hashlib.sha256(b"no image").hexdigest()
    listed = {"annotations.json": hashlib.sha256(content).hexdigest(), "images/a.png": image, "images/b.png": image}  # fmt: skip
    return [json.dumps({"name": "val", "images": 2, "files": listed}).encode()]


def _annotations() -> list[bytes]:
    odd = json.loads(json.dumps(TRUTH))
    odd["annotations"][0]["segmentation"] = [5, 5, 15, 5, 15, 13]
    odd["annotations"][1].pop("bbox")
    odd["images"][0]["id"] = odd["annotations"][0]["image_id"] = "4"
    return [
        json.dumps(TRUTH).encode(),
        json.dumps(TRUTH, indent=1).encode(),
        json.dumps(odd).encode(),
    ]


def run_lengths(data: bytes) -> object:
    return coco_rle.pixels(text_of(data).split("\n"))


def image_name(folder: Path) -> Reader:
    """A name of annotations, and of what a job left."""
    (folder / "images" / "train").mkdir(parents=True)
    (folder / "images" / "train" / "a.png").write_bytes(b"x")

    def read(data: bytes) -> object:
        name = text_of(data)
        shown(name).encode()
        with contextlib.suppress(NotTaken):
            files.read(folder / name, 1 << 20, folder)
        if not name.strip() or not is_path(name):
            return None
        there = ImageFolder(folder)
        path, others = there.find(name)
        assert len(others) < 2
        return there.own.has(path) and is_file(path)

    return read


# ---- images ------------------------------------------------------------------------------------


@lru_cache
def _images() -> list[bytes]:
    pixels = np.arange(12 * 16 * 3, dtype=np.uint8).reshape(12, 16, 3)
    colour = Image.fromarray(pixels)
    grey = Image.fromarray((np.arange(12 * 16, dtype=np.uint16) * 300).reshape(12, 16))
    turned = Image.Exif()
    turned[0x0112] = 6
    ways: list[tuple[Image.Image, str, dict[str, Any]]] = [
        (colour, "JPEG", {"exif": turned}), (colour, "JPEG", {"progressive": True}), (colour.convert("CMYK"), "JPEG", {}),
        (colour, "PNG", {}), (grey, "PNG", {}), (colour.convert("P"), "PNG", {"transparency": 3}), (colour.convert("RGBA"), "PNG", {}),
        (colour, "TIFF", {"compression": "tiff_lzw"}), (grey, "TIFF", {}), (colour, "TIFF", {"compression": "jpeg"}),
        (colour, "BMP", {}), (colour, "GIF", {}), (colour, "PPM", {}), (colour, "WEBP", {}), (colour, "WEBP", {"lossless": True}),
    ]  # fmt: skip
    made = []
    for image, kind, options in ways:
        out = io.BytesIO()
        image.save(out, kind, **options)
        made.append(out.getvalue())
    return made


def image(path: Path) -> object:
    """In the process that decodes; of the size that it says it has, and then of any."""
    height, width = image_files.size_of(path, 0, 0)
    found = image_files.decode(path, height, width)
    assert found.shape == (height, width, 3)
    return found.shape


class _Said(image_files.Decoder):
    """A decoder that a hostile image has taken over: it answers what it likes."""

    def _send(self, request: bytes) -> None:
        pass

    def _more(self) -> None:
        if not self.said:
            raise image_files._Ended("it is gone")
        self._buffer += self.said[: 1 << 16]
        self.said = self.said[1 << 16 :]

    said = b""


def decoder(data: bytes) -> object:
    said = _Said()
    said.said = data
    return said.decode(Path("a.png"), 0, 0, "").shape


# ---- YAML --------------------------------------------------------------------------------------


def scenario(path: Path) -> object:
    known = {"models": ("rio",), "formats": ("onnx", "tflite"), "devices": ("local",)}
    found = config.read_scenario(path, known)
    config.unknown_names(found.source, known)
    return found


def model(folder: Path) -> Reader:
    (folder / "network.py").write_text("")
    (folder / "weights.pt").write_text("")
    (folder / "m.onnx").write_bytes(b"\x08\x0a\x12\x07pytorch")

    def read(data: bytes) -> object:
        (folder / "model.yaml").write_bytes(data)
        found = config.read_model(folder)
        for place in found.datasets.values():
            with contextlib.suppress(ConfigError):
                datasets.read_annotations(place)
        return found

    return read


def model_source(path: Path) -> object:
    """A file that is said to be of each kind, and the one in a SavedModel's folder."""
    folder = path.with_name("exported")
    folder.mkdir(exist_ok=True)
    (folder / model_file.SAVED_MODEL).write_bytes(path.read_bytes())
    return [model_file.mistake(one, kind) for kind in model_file.KINDS for one in (path, folder)
            if one is path or kind == "savedmodel"]  # fmt: skip


MODEL_FILES: Final = [
    b"\x08\x0a\x12\x07pytorch\x1a\x052.13.0",
    b"\x1c\x00\x00\x00TFL3\x14\x00",
    b"\x08\x01\x12\xd2\xe3\x20",
    b"\x0a\x22\x0a\x06images\x12\x0bPlaceholder",
    b"\x89HDF\r\n\x1a\n",
    b"PK\x03\x04" + bytes(26) + b"metadata.json",
]


def _scenarios() -> list[bytes]:
    rich = (
        "name: s\nmodels: [rio]\nformats: [onnx, tflite]\nprecisions: [fp32, int8]\ndevices: [local, 'label:x']\n"
        "matrix: {threads: [1, 2], batch: [1]}\nexclude: ['*-int8-*']\n"
        "measure:\n  profile: full\n  pattern: server\n  server: {rates_hz: [10.0], bound_ms: 50.0}\n  trials: 3\n  seed: 7\n"
        "accuracy: {dataset: val, images: 100}\ngates: {p50_ms: 20.0, size_mb: 5.5, map50_95_drop: 0.01}\n"
    )
    return [rich.encode(), *((ROOT / "scenarios" / name).read_bytes() for name in ("rio.yaml", "rio-sustained.yaml"))]  # fmt: skip


def _devices() -> list[bytes]:
    found = sorted((ROOT / "devices").rglob("*.yaml"))
    return [path.read_bytes() for path in found][:8]


YAML_WORDS: Final = (
    b"&a [*a]", b"*a", b"<<: *a", b"!!binary aGk=", b"!!set {a}", b"!!timestamp 2001-99-99", b"2001-12-14t21:59:43.10-05:00",
    b"!!int 0o9", b"0b1", b"1:60:60", b"190:20:30", b"!!float x", b"!!omap [a]", b"|\n", b">-\n", b"? ", b"%YAML 9.9\n",
    b"\"\\ud800\"", b"\"\\U00110000\"", b"\"\\x\"", b"0o17", b".inf", b".nan", b"~", b"!<tag:yaml.org,2002:null> x", b"=", b"!!python/name:os",
)  # fmt: skip


# ---- checkpoints -------------------------------------------------------------------------------


class _Tensor:
    def __init__(self, shape: Any) -> None:
        self.shape = shape


def fitted(data: bytes) -> object:
    """A checkpoint as torch has loaded it: objects are mappings, lists are tensors."""
    content = _loaded(parse(data, "w.pt"))
    wanted = {
        "a.weight": _Tensor((2, 3)),
        "a.num_batches_tracked": _Tensor(()),
        "b.bias": _Tensor((3,)),
    }
    state = checkpoint.fitted(content, wanted, "w.pt")
    return checkpoint.mistakes(state, wanted)


def _loaded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _loaded(one) for key, one in value.items()}
    whole = isinstance(value, list) and all(type(side) is int for side in value)
    return _Tensor(tuple(value)) if whole else value


def unreadable(data: bytes) -> object:
    """torch's own words over a file that it cannot read."""
    said = text_of(data)
    for error in (RuntimeError(said), EOFError(said), KeyError(said)):
        found = checkpoint.unreadable("w.pt", error)
        assert "\n" not in found
    return found


CHECKPOINTS: Final = (
    b'{"a.weight": [2, 3], "b.bias": [3]}', b'{"state_dict": {"module.a.weight": [2, 3], "module.b.bias": [3]}, "epoch": 3}',
    b'{"ema": {"module": {"a.weight": [2, 3], "b.bias": [3], "total_ops": [1]}}, "model": {"a.weight": [2, 3], "b.bias": [3]}}',
)  # fmt: skip

TARGETS: Final = (
    Target(
        "annotations.json",
        annotations,
        _annotations,
        (b'"segmentation"', b'"counts"', b'"iscrowd"', b'"bbox"'),
        JSON,
        share=12,
    ),  # fmt: skip
    Target(
        "dataset annotations",
        dataset("annotations.json"),
        _annotations,
        (b'"file_name"', b"\\\\", b"%2e%2e", b"file:///", b"?d="),
        JSON,
        share=8,
    ),  # fmt: skip
    Target("manifest.json", dataset("manifest.json"), _manifest, (b'"files"',), JSON, share=10),
    Target("data.yaml", kind("data.yaml"), lambda: DATA_YAML, YAML_WORDS, share=2),
    Target(
        "label file",
        kind("labels/a.txt"),
        lambda: [b"0 0.5 0.5 0.2 0.3\n1 0.1 0.1 0.9 0.1 0.5 0.8\n"],
        share=8,
    ),
    Target(
        "VOC annotation",
        kind("Annotations/a.xml"),
        lambda: VOC,
        (
            b"<!DOCTYPE a [<!ENTITY b 'c'>]>",
            b"&b;",
            b"<![CDATA[",
            b"<?xml version='1.0' encoding='x'?>",
        ),
        share=8,
    ),
    Target("CSV list", kind("list.csv"), lambda: CSV, (b'"', b";", b"\t", b"x1", b"w,h"), share=8),
    Target("tensors.npz", of_file("a.npz", tensors), _tensors, (), (zip_member,), share=20),
    Target("run lengths", pure(run_lengths), lambda: [b"d01\n`0`0`0\n", b"PPYo1"], share=15),
    Target(
        "file name",
        image_name,
        lambda: [
            b"images/train/a.png",
            b"train/a.png",
            b"C:\\x\\train\\a.png",
            b"http://h/data/?d=train/a.png",
        ],
        (b"%2f", b"?d=", b"http://[", b"\\"),
        share=15,
    ),  # fmt: skip
    Target("image", of_file("image", image), _images, share=4),
    Target(
        "decoder's answer",
        pure(decoder),
        lambda: [b'{"size": [2, 3]}\n' + b"x" * 18],
        (b'"size"', b'{"mistakes": ["no"], "hint": "h"}\n'),
        share=40,
    ),  # fmt: skip
    Target("model's file", of_file("model", model_source), lambda: MODEL_FILES, share=8),
    Target("scenario.yaml", of_file("scenario.yaml", scenario), _scenarios, YAML_WORDS, share=2),
    Target(
        "model.yaml",
        model,
        lambda: [(ROOT / "models/rio/model.yaml").read_bytes(), TENSOR_MODEL],
        YAML_WORDS,
        share=2,
    ),  # fmt: skip
    Target(
        "device.yaml", of_file("device.yaml", config.read_device), _devices, YAML_WORDS, share=2
    ),
    Target(
        "checkpoint",
        pure(fitted),
        lambda: CHECKPOINTS,
        (b'"module."', b'"state_dict"'),
        JSON,
        (ValueError,),
        40,
    ),  # fmt: skip
    Target(
        "torch's words",
        pure(unreadable),
        lambda: [b"Unsupported global: GLOBAL os.system was not", b"PytorchStreamReader failed"],
        share=15,
    ),  # fmt: skip
)

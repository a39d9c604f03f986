"""What goes into a model of any shape, type, layout and scale, and how engines take it."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.formats import onnx
from harness.formats.engine import declared, positions
from harness.formats.feeds import dequantised, feeds, quantised
from harness.formats.tflite import InterpreterEngine
from harness.records import ModelSpec, Quantisation, TensorSpec
from harness.runner import samples
from harness.tasks.inputs import arranged, check_whole
from harness.tasks.tensor import preprocess

IMAGE = TensorSpec("x", (1, 3, 4, 6))
MODEL = ModelSpec(
    "m", "classification", "", "", "m.onnx", "0", (IMAGE,), ("y",), ("a", "b"), source="onnx"
)
TENSORS = replace(
    MODEL, task="tensor", classes=(),
    inputs=(
        TensorSpec("input", (1, 8)), TensorSpec("state", (2, 1, 4)), TensorSpec("sr", (), "int64"),
    ),
)  # fmt: skip


def fed(values: Any, said: TensorSpec, wanted: TensorSpec) -> np.ndarray:
    return feeds((values,), replace(MODEL, inputs=(said,)), (wanted,))[0]


# ---- shapes and names --------------------------------------------------------------------------


def test_height_and_width_are_where_the_layout_has_them() -> None:
    assert IMAGE.size == (4, 6)
    assert TensorSpec("x", (1, 4, 6, 3), layout="NHWC").size == (4, 6)


def test_the_batch_is_the_first_input_s_first_dimension() -> None:
    assert TENSORS.batch == 1
    assert replace(TENSORS, inputs=(TensorSpec("sr", ()),)).batch == 1
    assert replace(TENSORS, inputs=(TensorSpec("x", (8, 2)),)).batch == 8


@pytest.mark.parametrize("side", ["N", None, -1, 0])
def test_an_open_dimension_becomes_the_model_s(side: Any) -> None:
    assert declared(IMAGE, (side, 3, 4, 6), "uint8") == replace(IMAGE, dtype="uint8")


def test_an_input_that_a_converter_turned_has_the_other_layout() -> None:
    turned = declared(IMAGE, (1, 4, 6, 3), "float32")
    assert (turned.shape, turned.layout) == ((1, 4, 6, 3), "NHWC")
    back = declared(turned, (1, 3, 4, 6), "float32")
    assert (back.shape, back.layout) == ((1, 3, 4, 6), "NCHW")


@pytest.mark.parametrize(
    ("shape", "seen"), [((1, 3, "h", 5), "1, 3, ?, 5"), ((1, 3, 4), "1, 3, 4"), ((), "")]
)
def test_an_input_of_another_shape_is_named(shape: tuple[Any, ...], seen: str) -> None:
    words = f"input x has shape ({seen}) in the file, expected (1, 3, 4, 6) (model.yaml)"
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        declared(IMAGE, shape, "float32")


def test_tensors_go_by_name_and_else_by_position() -> None:
    assert positions(("a", "b"), ("b", "a")) == [1, 0]
    assert positions(("a", "b"), ("args_0", "args_1")) == [0, 1]


@pytest.mark.parametrize("found", [("a",), ("a", "c"), ("c", "d", "e")])
def test_tensors_that_only_partly_match_are_named(found: tuple[str, ...]) -> None:
    words = f"the file has the inputs {', '.join(found)}, expected a, b (model.yaml)"
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        positions(("a", "b"), found)


# ---- values ------------------------------------------------------------------------------------


def test_what_fits_already_is_not_copied() -> None:
    values = np.zeros((1, 3, 4, 6), np.float32)
    assert fed(values, IMAGE, IMAGE) is values


def test_an_image_is_turned_and_rounded_for_a_uint8_input_of_the_other_layout() -> None:
    values = np.linspace(0, 255, 72, dtype=np.float32).reshape(1, 3, 4, 6)
    wanted = TensorSpec("x", (1, 4, 6, 3), "uint8", "NHWC")
    found = fed(values, IMAGE, wanted)
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, np.rint(values).astype(np.uint8).transpose(0, 2, 3, 1))


def test_real_values_are_quantised_by_the_file_s_scale_and_saturate() -> None:
    how = Quantisation(0.5, -3)
    values = np.array([-100, -1.0, 0, 0.2, 0.3, 100], np.float32)
    found = quantised(values, how, np.dtype(np.int8))
    assert found.tolist() == [-128, -5, -3, -3, -2, 127]
    wanted = TensorSpec("x", (6,), "int8", quantisation=how)
    assert fed(values, TensorSpec("x", (6,), "int8"), wanted).tolist() == found.tolist()
    np.testing.assert_array_equal(dequantised(found[1:5], how), [-1.0, 0, 0, 0.5])


def test_integers_of_a_quantised_input_stay_as_they_are() -> None:
    wanted = TensorSpec("x", (2,), "int8", quantisation=Quantisation(0.5, 3))
    values = np.array([1, 2], np.int8)
    assert fed(values, replace(wanted, quantisation=None), wanted) is values


@pytest.mark.parametrize(
    ("dtype", "values", "words"),
    [
        ("uint8", [-1.0, 3.0], "input x is uint8, which cannot hold -1 to 3"),
        ("int8", [0, 200], "input x is int8, which cannot hold 0 to 200"),
        ("int32", [0.0, np.nan], "input x is int32, which cannot hold nan to nan"),
    ],
)
def test_values_beyond_the_type_are_refused(dtype: str, values: list[float], words: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        fed(np.array(values), TensorSpec("x", (2,)), TensorSpec("x", (2,), dtype))


def test_a_half_precision_input_and_a_truth_value_get_their_types() -> None:
    half = TensorSpec("x", (2,), "float16")
    assert fed(np.array([0.1, 1], np.float32), IMAGE, half).dtype == np.float16
    assert fed(np.array([0.0, 2]), IMAGE, TensorSpec("x", (2,), "bool")).tolist() == [False, True]


def test_an_image_in_a_batch_of_the_other_layout() -> None:
    spec = replace(MODEL, inputs=(TensorSpec("x", (2, 4, 6, 3), layout="NHWC"),))
    tensor = np.arange(72, dtype=np.float32).reshape(1, 3, 4, 6)
    found = arranged(tensor, spec)
    assert found.shape == (2, 4, 6, 3)
    np.testing.assert_array_equal(found[1], tensor[0].transpose(1, 2, 0))


def test_whole_numbers_without_a_scale_need_their_range() -> None:
    plain = replace(IMAGE, dtype="uint8")
    words = "input x is uint8 without a scale: set options.range: 0..255"
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        check_whole(MODEL, plain)
    check_whole(replace(MODEL, task_options={"range": "0..255"}), plain)
    check_whole(MODEL, replace(plain, quantisation=Quantisation(0.1)))
    check_whole(MODEL, IMAGE)


def test_a_sample_of_tensors_goes_in_as_it_is() -> None:
    sample = (np.zeros((1, 8)), np.zeros((2, 1, 4)), np.array(16000))
    assert preprocess(sample, TENSORS)[0] is sample
    ready, _ = samples.prepared(sample, TENSORS)
    engine: Any = SimpleNamespace(inputs=TENSORS.inputs)
    found = samples.fed(ready, TENSORS, engine)
    assert [one.dtype.name for one in found] == ["float32", "float32", "int64"]
    assert found[2].shape == ()


# ---- ONNX Runtime's sessions -------------------------------------------------------------------


def node(name: str, shape: list[Any], kind: str = "tensor(float)") -> Any:
    return SimpleNamespace(name=name, shape=shape, type=kind)


def session(inputs: list[Any], outputs: list[Any]) -> Any:
    return SimpleNamespace(get_inputs=lambda: inputs, get_outputs=lambda: outputs)


def test_onnx_inputs_are_those_of_the_session_in_the_model_s_order() -> None:
    found = onnx.declared_inputs(
        session(
            [node("sr", [], "tensor(int64)"), node("input", ["b", 8]), node("state", [2, "b", 4])],
            [],
        ),
        TENSORS,
    )
    assert found == TENSORS.inputs


def test_onnx_inputs_that_model_yaml_does_not_name_are_told() -> None:
    words = "the file has the inputs x, sizes, expected x (model.yaml)"
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        onnx.declared_inputs(session([node("x", [1]), node("sizes", [1])], []), MODEL)


def test_an_onnx_input_of_text_is_not_supported() -> None:
    words = "input x has the unsupported type tensor(string)"
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        onnx.declared_inputs(session([node("x", [1, 3, 4, 6], "tensor(string)")], []), MODEL)


def test_outputs_are_bound_where_the_inputs_give_their_shapes() -> None:
    outputs = [node("y", ["b", 5, 7]), node("kept", ["count", 4]), node("sum", []), node("z", [0])]
    under = session([node("x", ["b", 3, 4, 6])], outputs)
    model = replace(MODEL, inputs=(TensorSpec("x", (8, 3, 4, 6)),))
    shapes = onnx.output_shapes(under, onnx.declared_inputs(under, model))
    assert shapes == {"y": [8, 5, 7], "kept": None, "sum": [], "z": [0]}


# ---- TFLite's interpreter ----------------------------------------------------------------------


def detail(index: int, name: str, shape: tuple[int, ...], **more: Any) -> dict[str, Any]:
    """As TFLite's interpreter describes a tensor."""
    signature = more.pop("signature", shape)
    return {"index": index, "name": name, "shape": np.array(shape), "dtype": np.float32,
            "shape_signature": np.array(signature), "quantization": (0.0, 0), **more}  # fmt: skip


class Interpreter:
    """Two inputs of open batch, of which one is quantised; two outputs in another order."""

    def __init__(self) -> None:
        self.tensors: dict[int, Any] = {}
        self.resized: list[tuple[int, tuple[int, ...]]] = []
        self.inputs = [
            detail(0, "tokens", (1, 4), dtype=np.int32, signature=(-1, 4)),
            detail(1, "x", (1, 2), dtype=np.int8, quantization=(0.5, 1)),
        ]
        self.outputs = [
            detail(2, "kept", (1,), dtype=np.int8, quantization=(0.25, 0), signature=(-1,)),
            detail(3, "y", (2,), dtype=np.int64),
        ]

    def get_input_details(self) -> Any:
        return self.inputs

    def get_output_details(self) -> Any:
        return self.outputs

    def resize_tensor_input(self, index: int, shape: tuple[int, ...]) -> None:
        self.resized.append((index, shape))

    def allocate_tensors(self) -> None: ...

    def invoke(self) -> None:
        self.tensors[2] = np.array([4, -8, 1], np.int8)
        self.tensors[3] = np.array([1, 2])

    def set_tensor(self, index: int, value: Any) -> None:
        self.tensors[index] = value

    def get_tensor(self, index: int) -> Any:
        return self.tensors[index]


INTERPRETED = replace(
    TENSORS,
    inputs=(TensorSpec("x", (1, 2), "int8"), TensorSpec("tokens", (2, 4), "int32")),
    outputs=("y", "kept"),
)


def test_a_quantised_tflite_model_takes_and_gives_real_values() -> None:
    engine = InterpreterEngine(under := Interpreter(), INTERPRETED)
    assert engine.inputs == (
        TensorSpec("x", (1, 2), "int8", quantisation=Quantisation(0.5, 1)),
        TensorSpec("tokens", (2, 4), "int32"),
    )
    assert under.resized == [(0, (2, 4))]
    real = np.array([[0.5, -1]], np.float32)
    engine.feed(feeds((real, np.ones((2, 4), np.int32)), INTERPRETED, engine.inputs))
    assert under.tensors[1].tolist() == [[2, -1]]
    assert under.tensors[0].tolist() == [[1] * 4] * 2
    engine.invoke()
    found = engine.fetch()
    assert found["kept"].tolist() == [1.0, -2.0, 0.25]
    assert (found["y"].dtype, found["y"].tolist()) == (np.int64, [1, 2])


def test_a_tflite_output_of_open_length_is_allocated_in_each_run() -> None:
    assert InterpreterEngine(Interpreter(), INTERPRETED).unbound == ()  # it may be the batch's
    under = Interpreter()
    under.inputs[0] = detail(0, "tokens", (2, 4), dtype=np.int32)
    assert InterpreterEngine(under, INTERPRETED).unbound == ("kept",)

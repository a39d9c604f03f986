"""What the TensorFlow formats do without TensorFlow: names, layouts, layers of a trace."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from harness.formats.frozen import ends, tensor_name
from harness.formats.onnx_to_tf import turn
from harness.formats.tf_function import argument, layers_of, named
from harness.records import Layer, ModelSpec, TensorSpec

MODEL = ModelSpec(
    "card",
    "detection",
    "",
    "",
    "m",
    "0" * 64,
    (TensorSpec("x", (1,)),),
    ("boxes", "scores"),
    ("a",),
)


def test_an_output_is_turned_as_its_values_show_even_where_sides_are_equal() -> None:
    wanted = np.random.default_rng(0).random((1, 4, 4, 4), np.float32)
    assert turn(wanted.transpose(0, 2, 3, 1), wanted) == (0, 3, 1, 2)
    assert turn(wanted + 1e-6, wanted) == (0, 1, 2, 3)
    assert turn(wanted[0].transpose(1, 0, 2), wanted[0]) == (1, 0, 2)
    assert turn(wanted[0, 0, 0] > 0.5, wanted[0, 0, 0] > 0.5) == (0,)


def test_an_output_without_differences_stays_as_it_is() -> None:
    assert turn(np.zeros((2, 2, 2)), np.ones((2, 2, 2))) == (0, 1, 2)
    assert turn(np.full((2, 2), np.nan), np.zeros((2, 2))) == (0, 1)


def test_an_output_of_other_sides_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"onnx2tf made an output of shape \(1, 3\), not \(1, 4\)"):
        turn(np.zeros((1, 3)), np.zeros((1, 4)))


def test_outputs_go_by_name_and_without_names_by_position() -> None:
    assert named({"scores": 1, "boxes": 2, "more": 3}, MODEL) == {"boxes": 2, "scores": 1}
    assert named([2, 1], MODEL) == {"boxes": 2, "scores": 1}
    with pytest.raises(ValueError, match=r"has the outputs a, b, expected boxes, scores"):
        named({"a": 1, "b": 2}, MODEL)
    with pytest.raises(ValueError, match=r"has 1 outputs, expected boxes, scores"):
        named(1, MODEL)


@pytest.mark.parametrize(
    ("name", "allowed"),
    [("images", "images"), ("x.1", "x_1"), ("/in/Conv:0", "x_in_Conv_0"), ("1", "x1")],
)
def test_an_input_s_name_is_one_of_an_argument(name: str, allowed: str) -> None:
    assert argument(name) == allowed


def test_a_layer_is_an_operator_of_the_trace_with_its_mean_time() -> None:
    events = [
        ("/host:CPU", "net/conv:Conv2D", 2.0),
        ("/host:CPU", "net/conv:Conv2D", 4.0),
        ("/host:CPU", "ExecutorState::Process", 9.0),
        ("/host:CPU", "EagerLocalExecute: __inference_1", 9.0),
        ("/host:CPU", "net/mul:Mul", 1.0),
    ]
    assert layers_of(events, 2) == (
        Layer("net/conv", "Conv2D", "CPU", 3.0),
        Layer("net/mul", "Mul", "CPU", 0.5),
    )


def test_inputs_and_outputs_of_a_frozen_graph_are_proposed_from_its_ends() -> None:
    def node(name: str, op: str, *inputs: str) -> SimpleNamespace:
        return SimpleNamespace(name=name, op=op, input=inputs)

    graph = SimpleNamespace(
        node=[
            node("images", "Placeholder"),
            node("weights", "Const"),
            node("unused", "Const"),
            node("conv", "Conv2D", "images", "weights:0", "^check"),
            node("check", "Assert"),
            node("scores", "Softmax", "conv:0"),
            node("done", "NoOp", "^scores"),
            node("boxes", "Split", "conv"),
        ]
    )
    inputs, outputs = ends(graph)
    assert [one.name for one in inputs] == ["images"]
    assert [one.name for one in outputs] == ["scores", "boxes"]
    assert [tensor_name(name) for name in ("scores", "boxes:1")] == ["scores:0", "boxes:1"]

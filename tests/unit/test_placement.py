"""Execution placement: each runtime's own words, read into the same layers."""

from __future__ import annotations

import datetime
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.formats import REGISTRY, litert_c, onnx, openvino, pytorch, tflite
from harness.formats.litert_c import Event, ProfilerMissing
from harness.formats.placement import Profiled, placement
from harness.formats.tflite import BUILTIN, DELEGATE, XNNPACK, Node
from harness.records import Layer, Placed

GPU, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


def test_shares_are_of_all_nodes_and_all_time_most_first() -> None:
    layers = (
        Layer("a", "Conv", GPU, 1.0),
        Layer("b", "Conv", GPU, 6.0),
        Layer("c", "Top", CPU, 1.0),
    )
    summary, ordered = placement(Profiled(GPU, "tool", 20, layers))
    assert [(layer.name, layer.share) for layer in ordered] == [
        ("b", 0.75), ("a", 0.125), ("c", 0.125),
    ]  # fmt: skip
    assert summary.placed == (Placed(GPU, 2, 2 / 3, 0.875), Placed(CPU, 1, 1 / 3, 0.125))
    assert (summary.total_ms, summary.refused) == (8.0, False)
    assert summary.unasked == (
        "1 of 3 nodes (33.3 %, 12.5 % of the time) ran on CPUExecutionProvider: Top",
    )


def test_without_times_only_nodes_are_counted() -> None:
    layers = (Layer("a", "CONV_2D", XNNPACK), Layer("b", "GATHER", BUILTIN))
    summary, ordered = placement(Profiled(XNNPACK, "tool", 0, layers))
    assert [layer.share for layer in ordered] == [None, None]
    assert summary.total_ms is None
    assert summary.unasked == ("1 of 2 nodes (50 %) ran on TFLite's own kernels: GATHER",)


def test_a_provider_that_took_nothing_is_refused() -> None:
    summary, _ = placement(Profiled(GPU, "tool", 20, (Layer("a", "Conv", CPU, 1.0),)))
    assert summary.refused


def test_many_kinds_of_nodes_are_cut_short() -> None:
    layers = tuple(Layer(str(i), f"Op{i}", CPU, 1.0) for i in range(6))
    summary, _ = placement(Profiled(GPU, "tool", 1, layers))
    assert summary.unasked[0].endswith("ran on CPUExecutionProvider: Op0, Op1, Op2, Op3 and 2 more")


def kernel(name: str, provider: str, micros: int) -> dict[str, Any]:
    args = {"op_name": "Conv", "provider": provider, "node_index": "0"}
    return {"cat": "Node", "name": f"{name}_kernel_time", "dur": micros, "args": args}


def test_onnx_runtime_s_profile_is_the_mean_of_its_last_runs() -> None:
    events = [
        {"cat": "Session", "name": "model_loading_uri", "dur": 9, "args": {}},
        {"cat": "Node", "name": "a_fence_before", "dur": 9, "args": {}},
        *(kernel("a", CPU, micros) for micros in (9000, 1000, 3000)),
        *(kernel("b", GPU, micros) for micros in (9000, 500, 500)),
    ]
    assert onnx.layers_of(events, runs=2) == (
        Layer("a", "Conv", CPU, 2.0),
        Layer("b", "Conv", GPU, 0.5),
    )


def counter(name: str, micros: int, status: str = "Status.EXECUTED") -> Any:
    return SimpleNamespace(
        node_name=name,
        node_type="Convolution",
        exec_type="brgconv_avx2_f32",
        status=status,
        real_time=datetime.timedelta(microseconds=micros),
    )


def test_openvino_s_counters_leave_out_what_was_optimised_away() -> None:
    runs = [
        [counter("a", 1000), counter("b", 9, "Status.OPTIMIZED_OUT")],
        [counter("a", 3000), counter("c", 9, "Status.NOT_RUN")],
    ]
    assert openvino.layers_of(runs, "CPU") == (
        Layer("a", "Convolution (brgconv_avx2_f32)", "CPU", pytest.approx(2.0)),
    )


def test_torch_s_operators_are_counted_by_run() -> None:
    operator = SimpleNamespace(
        key="aten::conv2d", device_type="DeviceType.CPU", self_cpu_time_total=8000.0, count=40
    )
    assert pytorch.layers_of([operator], runs=4) == (
        Layer("aten::conv2d", "aten::conv2d", "CPU", 2.0, count=10),
    )


def test_a_partition_holds_what_lies_between_its_inputs_and_outputs() -> None:
    # 0 ─ CONV ─ 1 ─ ADD(+ weight 9) ─ 2 ─ GATHER ─ 3 ─ MUL ─ 4 ; CONV and ADD, and MUL are taken
    nodes = [
        Node(0, "CONV_2D", (0, 8), (1,)),
        Node(1, "ADD", (1, 9), (2,)),
        Node(2, "GATHER", (2,), (3,)),
        Node(3, "MUL", (3,), (4,)),
        Node(4, DELEGATE, (0, 8, 9), (2,)),
        Node(5, DELEGATE, (3,), (4,)),
    ]
    where = {layer.type: layer.where for layer in tflite.layers_of(nodes)}
    assert where == {"CONV_2D": XNNPACK, "ADD": XNNPACK, "GATHER": BUILTIN, "MUL": XNNPACK}


def test_a_partition_with_several_outputs_has_all_their_producers() -> None:
    nodes = [
        Node(0, "CONV_2D", (0,), (1,)),
        Node(1, "RELU", (1,), (2,)),
        Node(2, "TOPK_V2", (1,), (3,)),
        Node(3, DELEGATE, (0,), (1, 2)),
    ]
    assert [layer.where for layer in tflite.layers_of(nodes)] == [XNNPACK, XNNPACK, BUILTIN]


def test_without_a_delegate_nothing_is_xnnpack_s() -> None:
    layers = tflite.layers_of([Node(0, "CONV_2D", (0,), (1,))])
    assert placement(Profiled(XNNPACK, "tool", 0, layers))[0].refused


def in_xnnpack(index: int, tag: str, us: int) -> Event:
    return Event(litert_c.DELEGATE_OPERATOR, tag, index, us)


def one_run(*micros: int) -> list[Event]:
    return [
        Event(1, "Invoke", 0, 99999),
        in_xnnpack(0, "Transpose", micros[0]),
        in_xnnpack(1, "Convolution", micros[1]),
        Event(litert_c.OPERATOR, "GATHER", 207, micros[2]),
        in_xnnpack(0, "Add", micros[3]),
    ]


def test_litert_s_operators_are_means_and_named_by_their_partition() -> None:
    outside = (Layer("node 7", "CONV_2D", XNNPACK), Layer("node 9", "GATHER", BUILTIN))
    events = [one_run(100, 2000, 30, 0), one_run(300, 4000, 50, 0)]
    assert tflite.timed_layers(events, outside) == (
        Layer("partition 1, operator 0", "Transpose", XNNPACK, 0.2),
        Layer("partition 1, operator 1", "Convolution", XNNPACK, 3.0),
        Layer("node 207", "GATHER", BUILTIN, 0.04),
        Layer("partition 2, operator 0", "Add", XNNPACK, 0.0),
    )


def test_times_of_another_graph_than_the_measured_one_are_not_taken() -> None:
    with pytest.raises(
        ProfilerMissing, match=r"nodes outside of XNNPACK are .'GATHER'., expected .."
    ):
        tflite.timed_layers([one_run(1, 1, 1, 1)], (Layer("node 7", "CONV_2D", XNNPACK),))
    with pytest.raises(ProfilerMissing, match="operators differ between runs"):
        tflite.timed_layers([one_run(1, 1, 1, 1), one_run(1, 1, 1, 1)[:-1]], ())


def test_a_wheel_without_litert_s_library_says_so(tmp_path: Path) -> None:
    with pytest.raises(ProfilerMissing, match="no libLiteRt.so next to the interpreter"):
        litert_c.events(tmp_path, tmp_path / "model.tflite", 1, [], 0)


def test_a_library_that_crashes_is_a_reason_and_no_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> list[list[Event]]:
        os.kill(os.getpid(), signal.SIGSEGV)
        return []

    monkeypatch.setattr(litert_c, "_events", crash)
    with pytest.raises(ProfilerMissing, match="crashed: signal 11"):
        litert_c.events(tmp_path, tmp_path / "model.tflite", 1, [], 0)
    monkeypatch.setattr(litert_c, "_events", lambda *_: [one_run(1, 2, 3, 4)])
    assert litert_c.events(tmp_path, tmp_path / "m", 1, [], 0) == [one_run(1, 2, 3, 4)]


def test_every_format_can_say_what_ran_where() -> None:
    assert all(callable(getattr(module, "profile", None)) for module in REGISTRY.values())

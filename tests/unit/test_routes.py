"""From a model's file to each format: the shortest chain of conversions, or why there is none."""

from __future__ import annotations

import pytest

from harness.formats import REGISTRY
from harness.formats.routes import route, why_no_route
from harness.records import Conversion, FormatSpec

SPECS = {name: module.SPEC for name, module in REGISTRY.items()}


def spec(name: str, *sources: str, converter: str = "", **more: str) -> FormatSpec:
    ways = tuple(Conversion(source, f"{source} to {name}", f"image-{name}") for source in sources)
    precisions = {"fp32": ""}
    return FormatSpec(
        name, name.upper(), f".{name}", precisions, name, converter or name, name,
        conversions=ways, **more,  # type: ignore[arg-type]
    )  # fmt: skip


#: a and b lead to c, c to d; e is made from nothing
MADE_UP = {
    one.name: one
    for one in (
        spec("a", "a"),
        spec("b", "a", "b"),
        spec("c", "b"),
        spec("d", "c"),
        spec("e"),
        spec("runs-d", converter="d"),
        spec("own", "a", converted_on="device"),
        spec("after-own", "own"),
    )
}


def formats(source: str, format: str) -> list[str]:
    found = route(source, format, MADE_UP)
    return [step.format for step in found or ()]


def test_the_shortest_chain_is_taken() -> None:
    assert formats("a", "b") == ["b"]
    assert formats("a", "c") == ["b", "c"]
    assert formats("a", "d") == ["b", "c", "d"]
    assert formats("b", "d") == ["c", "d"]


def test_a_format_that_runs_another_s_file_has_its_route() -> None:
    assert formats("b", "runs-d") == ["c", "d"]


def test_a_file_of_the_format_s_own_kind_is_still_checked_and_converted() -> None:
    assert formats("b", "b") == ["b"]
    found = route("b", "b", MADE_UP)
    assert found
    assert found[0].conversion == Conversion("b", "b to b", "image-b")


def test_a_file_that_only_a_device_makes_leads_no_further() -> None:
    assert formats("a", "own") == ["own"]
    assert formats("a", "after-own") == []


@pytest.mark.parametrize(
    ("source", "format", "why"),
    [
        ("d", "a", "no conversion leads from D to A, which is made from A"),
        ("a", "e", "no conversion leads from A to E, which is made from nothing"),
        ("d", "runs-d", "no conversion leads from D to RUNS-D, which is made from C"),
        ("keras", "a", "there is no format keras"),
        ("a", "d", None),
    ],
)
def test_where_there_is_no_route_it_says_what_would_do(
    source: str, format: str, why: str | None
) -> None:
    assert why_no_route(source, format, MADE_UP) == why


def test_every_format_is_reached_from_pytorch_in_one_step() -> None:
    for name, one in SPECS.items():
        found = route("pytorch", name, SPECS)
        assert found
        assert [step.format for step in found] == [one.converter]


def test_what_an_onnx_a_tflite_and_a_torchscript_file_lead_to() -> None:
    reached = {
        source: {name for name in SPECS if route(source, name, SPECS)}
        for source in ("onnx", "tflite", "torchscript")
    }
    assert reached == {
        "onnx": {"onnx", "openvino"},
        "tflite": {"tflite", "tflite-runtime", "openvino"},
        "torchscript": {"torchscript", "openvino"},
    }

"""From a model's file to each format: the shortest chain of conversions, or why there is none."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import pytest

from harness.containers.recipe import dockerfiles
from harness.formats import REGISTRY, routes
from harness.formats.routes import VERIFIED, described, route, table, tools, why_no_route
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
        (
            "b",
            "d@a to b",
            "no route from B to D has a to b; there is c (b to c) > d (c to d)",
        ),
        ("keras", "a", "there is no format keras"),
        ("a", "d", None),
    ],
)
def test_where_there_is_no_route_it_says_what_would_do(
    source: str, format: str, why: str | None
) -> None:
    assert why_no_route(source, format, MADE_UP) == why


def test_a_tool_is_a_choice_among_the_routes() -> None:
    two = {
        **MADE_UP,
        "d": dataclasses.replace(
            MADE_UP["d"], conversions=(*MADE_UP["d"].conversions, Conversion("a", "short", "x"))
        ),
    }
    assert described(route("a", "d", two) or ()) == "d (short)"
    assert described(route("a", "d@b to c", two) or ()) == "b (a to b) > c (b to c) > d (c to d)"
    assert described(route("a", "runs-d@short", two) or ()) == "d (short)"
    assert tools("d", two) == ("a to a", "a to b", "b to b", "b to c", "c to d", "short")
    assert why_no_route("c", "d@nothing", two) == (
        "no route from C to D has nothing; there is d (c to d)"
    )


def test_verified_conversions_are_taken_before_shorter_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    two = {
        **MADE_UP,
        "c": dataclasses.replace(
            MADE_UP["c"], conversions=(*MADE_UP["c"].conversions, Conversion("a", "short", "x"))
        ),
    }
    assert described(route("a", "c", two) or ()) == "c (short)"
    edges = frozenset({("a", "b", "a to b"), ("b", "c", "b to c")})
    monkeypatch.setattr(routes, "verified", lambda: edges)
    assert described(route("a", "c", two) or ()) == "b (a to b) > c (b to c)"
    assert described(route("a", "c@short", two) or ()) == "c (short)"


def test_what_pytorch_leads_to_and_in_how_many_steps() -> None:
    lengths = {name: len(route("pytorch", name, SPECS) or ()) for name in SPECS}
    assert lengths == {
        **dict.fromkeys(SPECS, 1),
        "savedmodel": 2,  # through ONNX
        "keras": 0,
        "frozen": 0,
    }
    assert described(route("pytorch", "tflite@onnx2tf", SPECS) or ()) == (
        "onnx (torch.onnx) > savedmodel (onnx2tf) > tflite (tf.lite)"
    )


def test_what_each_kind_of_file_leads_to() -> None:
    reached = {
        source: {name for name in SPECS if route(source, name, SPECS)}
        for source in SPECS
        if source not in ("pytorch", "openvino", "tflite-runtime")
    }
    from_tf = {"savedmodel", "tflite", "tflite-runtime", "onnx", "openvino"}
    assert reached == {
        "onnx": from_tf,
        "tflite": from_tf,
        "savedmodel": from_tf,
        "keras": from_tf | {"keras"},
        "frozen": from_tf | {"frozen"},
        "torchscript": {"torchscript", "openvino"},
    }


def test_every_conversion_is_verified_with_the_packages_of_its_image() -> None:
    """If this fails, run tests/e2e/test_conversions.py with UPDATE_VERIFIED=1."""
    known = {(one.source, one.format, one.tool): one.image for one in table(SPECS)}
    found = json.loads(VERIFIED.read_text())
    assert {(one["source"], one["format"], one["tool"]) for one in found} == set(known)
    for one in found:
        image = known[one["source"], one["format"], one["tool"]]
        lock = (dockerfiles() / image / "requirements.lock").read_bytes()
        assert one["lock_sha256"] == hashlib.sha256(lock).hexdigest()

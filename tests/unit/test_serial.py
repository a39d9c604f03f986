"""Records survive the trip through JSON; anything else is refused with the path of the value."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.records import Cell, CellResult, DeviceState, Interval, RunInfo, Trial
from harness.runner.job import Job, TrialAnswer
from harness.serial import Malformed, dumps, from_json, loads

CELL = Cell("rio", "onnx", "fp32", "local", threads=2)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=20,
)


def test_a_record_comes_back_equal() -> None:
    state = DeviceState("2026-01-01T00:00:00Z", cores=2, frequency_khz=(1_800_000, 2_000_000))
    assert loads(DeviceState, dumps(state)) == state
    assert loads(Cell, dumps(CELL)) == CELL


def test_a_number_that_is_not_finite_becomes_null() -> None:
    assert json.loads(dumps(Interval(1.0, float("nan"), float("inf")))) == {
        "value": 1.0,
        "low": None,
        "high": None,
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threads": "2"}, "Cell.threads: expected int, got '2'"),
        ({"threads": True}, "Cell.threads: expected int, got True"),
        ({"precision": "fp8"}, "Cell.precision: expected one of fp32, fp16, int8, got 'fp8'"),
        ({"model": None}, "Cell.model: expected str, got None"),
    ],
)
def test_a_wrong_value_is_named_with_its_path(change: dict[str, Any], message: str) -> None:
    data = {**json.loads(dumps(CELL)), **change}
    with pytest.raises(Malformed) as raised:
        from_json(Cell, data)
    assert str(raised.value) == message


def test_a_missing_value_is_named() -> None:
    with pytest.raises(Malformed, match=r"^Cell\.format: missing$"):
        from_json(Cell, {"model": "rio"})


def test_an_unknown_key_of_a_newer_file_is_ignored() -> None:
    assert from_json(Cell, {**json.loads(dumps(CELL)), "colour": "red"}) == CELL


@given(json_values)
@pytest.mark.parametrize("kind", [Job, TrialAnswer, CellResult, RunInfo, Trial])
def test_no_json_value_crashes_a_reader(kind: type[Any], data: Any) -> None:
    with pytest.raises(Malformed):
        from_json(kind, data)


@given(st.binary(max_size=200))
def test_no_bytes_crash_a_reader(data: bytes) -> None:
    with pytest.raises(Malformed):
        loads(Job, data)


@given(st.data())
def test_a_damaged_result_is_refused_or_read_never_a_crash(data: st.DataObject) -> None:
    good = dumps(CELL)
    at = data.draw(st.integers(0, len(good) - 1))
    broken = good[:at] + data.draw(st.text(max_size=3)) + good[at + 1 :]
    try:
        assert isinstance(loads(Cell, broken), Cell)
    except Malformed as error:
        assert str(error)


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(Malformed, match="not JSON"):
        loads(Cell, "[" * 100_000)

"""Documents and texts that hypothesis makes up, to readers of documents and texts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .mutate import json_value
from .pieces import scratch
from .table import TARGETS
from .target import Reader
from .trial import attempt

DOCUMENTS: Final = tuple(name for name, one in TARGETS.items() if json_value in one.shapes)
TEXTS: Final = (
    *("host and port", "adb server's address", "adb's environment", "networks", "file name"),
    *("times", "release of macOS", "lease", "held", "/proc", "known_hosts", "ADB exec"),
    "run lengths",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def folder() -> Iterator[None]:
    before = dict(os.environ)
    with scratch() as made:
        reader.cache_clear()
        FOLDER.append(made)
        yield
    os.environ.clear()
    os.environ.update(before)


FOLDER: list[Path] = []


@lru_cache
def reader(name: str) -> Reader:
    place = FOLDER[-1] / str(len(list(FOLDER[-1].iterdir())))
    place.mkdir()
    return TARGETS[name].make(place)


def keys(value: Any) -> set[str]:
    """Every key of a document."""
    if isinstance(value, dict):
        return set(value).union(*map(keys, value.values()))
    return set().union(*map(keys, value)) if isinstance(value, list) else set()


@lru_cache
def documents(name: str) -> st.SearchStrategy[Any]:
    """Of the reader's own keys, with anything behind them."""
    known: set[str] = set()
    for seed in TARGETS[name].seeds():
        try:
            known |= keys(json.loads(seed))
        except ValueError:
            known |= keys([json.loads(line) for line in seed.splitlines()])
    numbers = st.integers() | st.integers(-(2**70), 2**70) | st.floats()
    leaves = st.none() | st.booleans() | numbers | st.text(max_size=8)
    names = st.sampled_from(sorted(known)) | st.text(max_size=3) if known else st.text(max_size=3)
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=8),
        max_leaves=12,
    )


@pytest.mark.parametrize("name", DOCUMENTS)
@settings(max_examples=40)
@given(data=st.data())
def test_no_document_breaks_its_reader(name: str, data: st.DataObject) -> None:
    content = json.dumps(data.draw(documents(name))).encode()
    assert attempt(TARGETS[name], reader(name), content).failure == ""


@pytest.mark.parametrize("name", TEXTS)
@settings(max_examples=60)
@given(text=st.text(max_size=60))
def test_no_text_breaks_its_reader(name: str, text: str) -> None:
    content = text.encode("utf-8", "surrogatepass")
    assert attempt(TARGETS[name], reader(name), content).failure == ""

"""Every reader of what others have made: inputs that once broke it, and some hundred new ones.

The long run is `make fuzz`; what it finds becomes a file of `corpus/`, and is fixed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from harness.errors import StepFailed

from .large import LARGE
from .mutate import Mutator
from .pieces import CORPUS, corpus_of, folder_of, fuzz, scratch
from .table import TARGETS
from .target import Target, pure
from .trial import LONGEST_S, MOST_BYTES, attempt

#: of each reader; the same ones each time
INPUTS = 240


@pytest.fixture(autouse=True)
def same_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Some readers want another home, or no ssh."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def count_of(target: Target) -> int:
    return max(20, min(INPUTS, 24 * target.share))


@pytest.mark.parametrize("name", TARGETS)
def test_whole_inputs_are_taken(name: str) -> None:
    """So that what is made of them gets past the first look."""
    target = TARGETS[name]
    with scratch() as folder:
        read = target.make(folder)
        for data in target.seeds():
            read(data)


@pytest.mark.parametrize("name", TARGETS)
def test_a_reader_takes_or_refuses_what_it_is_given(name: str) -> None:
    counted = fuzz(TARGETS[name], "make test", count_of(TARGETS[name]))
    assert counted.failures == {}


@pytest.mark.parametrize("name", [name for name in TARGETS if corpus_of(name)])
def test_what_once_broke_a_reader_no_longer_does(name: str) -> None:
    target = TARGETS[name]
    with scratch() as folder:
        read = target.make(folder)
        for called, data in corpus_of(name).items():
            assert attempt(target, read, data).failure == "", called


def test_every_file_of_the_corpus_is_some_readers() -> None:
    folders = {path.name for path in CORPUS.iterdir()} | set(LARGE)
    assert folders <= {folder_of(name) for name in TARGETS}


# ---- what finds failures -----------------------------------------------------------------------


def outcome(read: object, data: bytes = b"x") -> str:
    target = Target("t", pure(lambda data: None), lambda: [b""])
    return attempt(target, read, data).failure  # type: ignore[arg-type]


def test_any_other_exception_is_a_failure() -> None:
    def refuses(data: bytes) -> None:
        raise StepFailed("no")

    def breaks(data: bytes) -> None:
        raise KeyError("x")

    assert outcome(refuses) == ""
    assert outcome(breaks).startswith("KeyError: 'x' (fuzz/test_corpus.py:")


def test_a_slow_reader_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(100))
    monkeypatch.setattr("fuzz.trial.time.process_time", lambda: LONGEST_S * 1.5 * next(now))
    assert outcome(len) == "took 1.5 s"


def test_a_reader_that_takes_much_memory_is_a_failure() -> None:
    taken = outcome(lambda data: bytes(b"\1" * (MOST_BYTES + (32 << 20))))
    assert taken.startswith("took ")
    assert taken.endswith(" MB of memory")


def test_the_same_seed_gives_the_same_inputs() -> None:
    made = [Mutator([b'{"a": 1}', b"x"], Random("7")) for _ in range(2)]
    first, second = ([one.next() for _ in range(300)] for one in made)
    assert first == second
    assert len(set(first)) > 200


def test_an_input_that_leads_further_is_kept() -> None:
    target = replace(TARGETS["host and port"], seeds=lambda: [b"h"])
    assert fuzz(target, "1", 800).kept > 2
    assert sys.gettrace() is None or "fuzz" not in str(sys.gettrace())


def test_every_reader_has_a_name_of_its_own() -> None:
    assert len({folder_of(name) for name in TARGETS}) == len(TARGETS)
    assert all(Path(folder_of(name)).name == folder_of(name) for name in TARGETS)

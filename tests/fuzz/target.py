"""One reader of foreign bytes: how it is called, what it may raise, what its inputs look like."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from harness.errors import BenchError

Reader = Callable[[bytes], object]
#: changes one input in its own structure: a member of an archive, a value of a document
Shape = Callable[[Random, bytes, Callable[[bytes], bytes]], bytes]


@dataclass(frozen=True)
class Target:
    """`make` gives the reader a folder of its own; `seeds` are whole inputs, all of them taken."""

    name: str
    make: Callable[[Path], Reader]
    seeds: Callable[[], Sequence[bytes]]
    #: what the format's own words are, for the mutations
    words: tuple[bytes, ...] = ()
    shapes: tuple[Shape, ...] = ()
    #: the exceptions that the reader's docstring names
    refuses: tuple[type[Exception], ...] = (BenchError,)
    #: of the inputs of a long run; slow ones get fewer
    share: int = 10


def pure(read: Callable[[bytes], object]) -> Callable[[Path], Reader]:
    """Of a reader that needs no folder."""
    return lambda folder: read


def of_text(read: Callable[[str], object]) -> Callable[[Path], Reader]:
    """Of a reader of text; bytes that are no UTF-8 are lone surrogates, as in names of files."""
    return lambda folder: lambda data: read(text_of(data))


def of_file(name: str, read: Callable[[Path], object]) -> Callable[[Path], Reader]:
    """Of a reader of files: each input is written to one of this name first."""

    def make(folder: Path) -> Reader:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)

        def write_and_read(data: bytes) -> object:
            path.write_bytes(data)
            return read(path)

        return write_and_read

    return make


def text_of(data: bytes) -> str:
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", "surrogateescape")

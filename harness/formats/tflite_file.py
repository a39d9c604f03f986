"""Scale and zero point of a TFLite file's inputs and outputs, read from its flatbuffer.

For converters that drop them; TFLite's own interpreter reports them itself. Field numbers as in
tensorflow/lite/schema/schema.fbs.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence

from ..records import Quantisation
from .engine import positions

_SUBGRAPHS, _TENSORS, _INPUTS, _OUTPUTS = 2, 0, 1, 2
_NAME, _QUANTIZATION, _SCALE, _ZERO_POINT = 3, 4, 2, 3


class _Table(NamedTuple):
    """A table of a flatbuffer, or a vector, by where it begins."""

    data: bytes
    at: int

    def field(self, number: int) -> Optional["_Table"]:
        """What a field refers to; None if the table has none."""
        vtable = self.at - self._int(self.at)
        size = struct.unpack_from("<H", self.data, vtable)[0]
        slot = 4 + 2 * number
        offset = struct.unpack_from("<H", self.data, vtable + slot)[0] if slot < size else 0
        return self._follow(self.at + offset) if offset else None

    def tables(self) -> List["_Table"]:
        """The elements of a vector of tables."""
        return [self._follow(self.at + 4 + 4 * n) for n in range(self._int(self.at))]

    def numbers(self, code: str) -> Sequence[float]:
        """The elements of a vector of numbers."""
        return struct.unpack_from("<%d%s" % (self._int(self.at), code), self.data, self.at + 4)

    def text(self) -> str:
        """A string."""
        return self.data[self.at + 4 :][: self._int(self.at)].decode()

    def _follow(self, at: int) -> "_Table":
        return _Table(self.data, at + self._int(at))

    def _int(self, at: int) -> int:
        return int(struct.unpack_from("<i", self.data, at)[0])


def quantisations(
    path: Path, inputs: Sequence[str], outputs: Sequence[str]
) -> Dict[str, Quantisation]:
    """By the model's names of inputs and outputs, of those that have a scale."""
    data = path.read_bytes()
    graphs = _Table(data, struct.unpack_from("<I", data)[0]).field(_SUBGRAPHS)
    graph = graphs.tables()[0] if graphs else None
    tensors = graph.field(_TENSORS) if graph else None
    if graph is None or tensors is None:
        raise ValueError(f"{path.name} has no tensors")
    found: Dict[str, Quantisation] = {}
    for names, field, what in ((inputs, _INPUTS, "inputs"), (outputs, _OUTPUTS, "outputs")):
        listed = graph.field(field)
        own = [tensors.tables()[int(n)] for n in (listed.numbers("i") if listed else ())]
        for name, at in zip(names, positions(names, [_name(one) for one in own], what)):
            how = _quantisation(own[at])
            if how:
                found[name] = how
    return found


def _name(tensor: _Table) -> str:
    name = tensor.field(_NAME)
    return name.text() if name else ""


def _quantisation(tensor: _Table) -> Optional[Quantisation]:
    """Of the whole tensor, with one scale."""
    how = tensor.field(_QUANTIZATION)
    scales, points = (how.field(_SCALE), how.field(_ZERO_POINT)) if how else (None, None)
    scale = scales.numbers("f") if scales else ()
    point = points.numbers("q") if points else ()
    if len(scale) != 1 or not scale[0]:
        return None
    return Quantisation(float(scale[0]), int(point[0]) if point else 0)

"""Outputs in which each column is a location: a box, its scores, and what follows. Numpy only.

YOLOv8's heads are such tables, (4+C+more, N) or turned; the other YOLOv8 decoders are made of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Tuple

import numpy as np

from ...records import ModelSpec
from .boxes import check_scores, check_units, passing, to_corners
from .shapes import Found
from .spec import Decoded, DecoderSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray


def table(found: Found) -> NDArray[Any]:
    """The output as (rows, N); its second shape is the turned one."""
    values = found["predictions"][0]
    return np.asarray(values.T if found.form("predictions") == 1 else values)


def check(found: Found, spec: ModelSpec, decoder: DecoderSpec) -> None:
    """Raises ValueError for scores that are not in 0..1, or boxes in the other unit."""
    rows, name = table(found), found.name("predictions")
    check_scores(name, rows[4 : 4 + len(spec.classes)], "export the model with its sigmoid")
    check_units(name, rows[:4].T, spec, decoder)


def decode(
    found: Found, spec: ModelSpec, score_threshold: float, decoder: DecoderSpec
) -> Tuple[Decoded, NDArray[np.float32]]:
    """Boxes and scores, and what follows them in the column of each, (n, more)."""
    rows, classes = table(found), len(spec.classes)
    scores = rows[4 : 4 + classes]
    locations, labels, best = passing(scores, score_threshold, classes_first=True)
    some = rows[:, locations] if len(rows) > 4 + classes else rows[:4, locations]
    boxes = to_corners(some[:4].T, spec, decoder)
    more = np.ascontiguousarray(some[4 + classes :].T, np.float32)
    return Decoded(boxes, best, labels), more

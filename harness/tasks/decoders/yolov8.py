"""YOLOv8, v9, v11: one table of boxes (centre and size) and a score for each class."""

from __future__ import annotations

from ...records import ModelSpec
from . import columns
from .shapes import Found
from .spec import Decoded, DecoderSpec, Output

SPEC = DecoderSpec(
    about="YOLOv8, v9, 11, 12; RT-DETR as Ultralytics exports it (with `box_units: relative`)",
    outputs=(
        Output(
            "predictions",
            ("1, 4+C, N", "1, N, 4+C"),
            hint="four numbers of the box and one score for every class of model.yaml",
        ),
    ),
    box_order="cxcywh",
)


def check(found: Found, spec: ModelSpec) -> None:
    """Raises ValueError for scores that are not in 0..1, or boxes in the other unit."""
    columns.check(found, spec, SPEC)


def decode(found: Found, spec: ModelSpec, score_threshold: float) -> Decoded:
    """Each class of a location is a candidate."""
    return columns.decode(found, spec, score_threshold, SPEC)[0]

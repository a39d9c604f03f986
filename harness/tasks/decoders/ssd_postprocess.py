"""SSD with TFLite's detection post-processing op: boxes, classes, scores, number.

The op names its outputs by order, and TensorFlow 2's converter by the reverse of it.
"""

from __future__ import annotations

from ...records import ModelSpec
from . import nms_inside
from .shapes import Found
from .spec import Decoded, DecoderSpec, Output

SPEC = DecoderSpec(
    about="SSD, EfficientDet-Lite in TFLite with `TFLite_Detection_PostProcess`",
    outputs=(
        Output("boxes", ("1, K, 4",), "box|location|postprocess$|partitionedcall:3$"),
        Output("scores", ("1, K",), "score|postprocess:2$|partitionedcall:1$"),
        Output("classes", ("1, K",), "class|label|categor|postprocess:1$|partitionedcall:2$"),
        Output("num", ("1", "1, 1"), "num|count|postprocess:3$|partitionedcall:0$"),
    ),
    box_order="yxyx",
    box_units="relative",
    nms=False,
    options=("class_offset",),
)

check = nms_inside.check


def decode(found: Found, spec: ModelSpec, score_threshold: float) -> Decoded:
    """Those that count and pass."""
    return nms_inside.passed(found, spec, score_threshold, SPEC)

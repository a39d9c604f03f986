"""Models with NMS inside: boxes, scores, classes, and how many of them count."""

from __future__ import annotations

from typing import Tuple

import numpy as np

from ...records import ModelSpec
from ..options import number
from .boxes import check_labels, check_scores, labels_of, to_corners
from .shapes import Found
from .spec import Decoded, DecoderSpec, Output

SPEC = DecoderSpec(
    about="EfficientNMS, BatchedNMS and the like; torchvision's detectors",
    outputs=(
        Output("boxes", ("1, K, 4", "K, 4"), "box"),
        Output("scores", ("1, K", "K"), "score|conf|prob"),
        Output("classes", ("1, K", "K"), "class|label|categor"),
        Output("num", ("1", "1, 1", ""), "num|count|valid", needed=False),
    ),
    nms=False,
    options=("class_offset",),
)


def check(found: Found, spec: ModelSpec) -> None:
    """Raises ValueError for scores that are not in 0..1, labels of no class, an odd count."""
    scores, room = found["scores"].reshape(-1), found.letters["K"]
    if "num" in found:
        count = float(np.reshape(found["num"], -1)[0])
        if not 0 <= count <= room:
            raise ValueError(
                f"output {found.name('num')} is {count:g}, there is room for {room} boxes"
            )
    counted = scores[: counting(found)]
    check_scores(found.name("scores"), counted, "scores come from a sigmoid or softmax")
    labels = labels_of(found["classes"].reshape(-1), number(spec, "class_offset"))
    check_labels(found.name("classes"), labels[: len(counted)], counted, spec)


def counting(found: Found) -> int:
    """How many of the boxes count: all, where the model has no number of them."""
    room = found.letters["K"]
    if "num" not in found:
        return room
    count = float(np.reshape(found["num"], -1)[0])
    return min(max(int(count), 0), room) if np.isfinite(count) else 0


def decode(found: Found, spec: ModelSpec, score_threshold: float) -> Decoded:
    """Those that count and pass."""
    return passed(found, spec, score_threshold, SPEC)


def passed(found: Found, spec: ModelSpec, threshold: float, decoder: DecoderSpec) -> Decoded:
    """`decode` with the defaults of another decoder."""
    boxes, scores, classes = counted(found)
    rows = np.flatnonzero(scores >= threshold)
    labels = labels_of(classes[rows], number(spec, "class_offset"))
    return Decoded(to_corners(boxes[rows], spec, decoder), scores[rows], labels)


def counted(found: Found) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes (n, 4), scores (n,), classes (n,) of those that count."""
    count = counting(found)
    scores = found["scores"].reshape(-1)[:count].astype(np.float32, copy=False)
    return found["boxes"].reshape(-1, 4)[:count], scores, found["classes"].reshape(-1)[:count]

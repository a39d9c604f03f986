"""Decoders a second time, written from the formulas of the papers, one number after the other."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.records import ModelSpec, TensorSpec
from harness.tasks import decoders
from harness.tasks.decoders import Decoded

#: x0, y0, x1, y1, score, label
Row = tuple[float, ...]
Outputs = dict[str, NDArray[Any]]


def spec_of(decoder: str, outputs: Outputs, classes: int, side: int = 64, **options: Any) -> Any:
    return ModelSpec(
        name="mine",
        task="detection",
        module="network.py",
        function="build",
        weights="weights.pt",
        weights_sha256="",
        inputs=(TensorSpec("images", (1, 3, side, side)),),
        outputs=tuple(outputs),
        classes=tuple(f"class {at}" for at in range(classes)),
        task_options=options,
        decoder=decoder,
    )


def decode(spec: ModelSpec, outputs: Outputs, threshold: float) -> Decoded:
    found = decoders.found_in(outputs, spec)
    return decoders.of(spec).decode(found, spec, threshold)


def check(spec: ModelSpec, outputs: Outputs) -> None:
    decoders.of(spec).check(decoders.found_in(outputs, spec), spec)


def rows_of(found: Decoded) -> list[Row]:
    return [
        (*box, score, label)
        for box, score, label in zip(
            found.boxes.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True
        )
    ]


def same(found: Decoded, wanted: list[Row]) -> None:
    """Equal rows, in any order, to the precision of float32; and of the promised types."""
    assert found.boxes.dtype == found.scores.dtype == np.float32
    assert found.labels.dtype == np.int32
    assert found.boxes.shape == (len(wanted), 4)
    seen, expected = np.array(rows_of(found)).reshape(-1, 6), np.array(wanted).reshape(-1, 6)
    np.testing.assert_array_equal(np.sort(seen[:, 5]), np.sort(expected[:, 5]))
    for label in np.unique(expected[:, 5]):
        ours, theirs = seen[seen[:, 5] == label], expected[expected[:, 5] == label]
        nearest = np.abs(ours[:, None] - theirs[None]).sum(-1).argmin(1)
        assert sorted(nearest.tolist()) == list(range(len(theirs)))
        np.testing.assert_allclose(ours, theirs[nearest], rtol=2e-5, atol=2e-4)


def logistic(x: float) -> float:
    if x < -700:
        return 0.0
    return 1 / (1 + math.exp(-x))


def by_centre(x: float, y: float, w: float, h: float) -> Row:
    return (x - w / 2, y - h / 2, x + w / 2, y + h / 2)


def yolov8(table: NDArray[Any], classes: int, threshold: float) -> list[Row]:
    """`table` is (4+C+more, N)."""
    rows = []
    for column in range(table.shape[1]):
        for label in range(classes):
            score = float(table[4 + label, column])
            if score >= threshold:
                box = by_centre(*(float(table[k, column]) for k in range(4)))
                rows.append((*box, score, label))
    return rows


def yolov5(table: NDArray[Any], threshold: float) -> list[Row]:
    """`table` is (N, 5+C); the objectness must pass, and so must the product."""
    rows = []
    for line in table.tolist():
        x, y, w, h, objectness, *scores = line
        for label, score in enumerate(scores):
            if objectness >= threshold and np.float32(objectness) * np.float32(score) >= threshold:
                rows.append((*by_centre(x, y, w, h), objectness * score, label))
    return rows


def yolov5_heads(
    heads: list[NDArray[Any]], anchors: list[list[float]], strides: list[int], threshold: float
) -> list[Row]:
    """`heads` are (A, H, W, 5+C), in the order of the strides."""
    table = []
    for head, pairs, stride in zip(heads, anchors, strides, strict=True):
        for anchor in range(head.shape[0]):
            for row in range(head.shape[1]):
                for column in range(head.shape[2]):
                    t = [logistic(float(v)) for v in head[anchor, row, column]]
                    x = (2 * t[0] - 0.5 + column) * stride
                    y = (2 * t[1] - 0.5 + row) * stride
                    w = (2 * t[2]) ** 2 * pairs[2 * anchor]
                    h = (2 * t[3]) ** 2 * pairs[2 * anchor + 1]
                    table.append([x, y, w, h, *t[4:]])
    return yolov5(np.array(table).reshape(len(table), -1), threshold)


def ssd(
    deltas: NDArray[Any],
    scores: NDArray[Any],
    priors: list[Row],
    threshold: float,
    variances: tuple[float, float] = (0.1, 0.2),
    scale: float = 1.0,
) -> list[Row]:
    """`priors` are centre and size; `scores` (N, C) without the background."""
    rows = []
    for (tx, ty, tw, th), (px, py, pw, ph), own in zip(
        deltas.tolist(), priors, scores.tolist(), strict=True
    ):
        x, y = px + tx * variances[0] * pw, py + ty * variances[0] * ph
        w, h = pw * math.exp(tw * variances[1]), ph * math.exp(th * variances[1])
        box = tuple(scale * side for side in by_centre(x, y, w, h))
        rows += [(*box, s, label) for label, s in enumerate(own) if np.float32(s) >= threshold]
    return rows


def exponentials(logits: list[float]) -> list[float]:
    """Softmax."""
    powers = [math.exp(one - max(logits)) for one in logits]
    return [one / sum(powers) for one in powers]


def detr(
    logits: NDArray[Any], boxes: NDArray[Any], classes: int, threshold: float, side: float
) -> list[Row]:
    """Softmax where there is a class more than the model has, else sigmoid."""
    rows: list[Row] = []
    for own, box in zip(logits.tolist(), boxes.tolist(), strict=True):
        corners = tuple(side * value for value in by_centre(*box))
        if len(own) > classes:
            chances = exponentials(own)[:classes]
            best = max(range(classes), key=lambda at: chances[at])
            if chances[best] >= threshold:
                rows.append((*corners, chances[best], best))
        else:
            chances = [logistic(value) for value in own]
            rows += [(*corners, s, at) for at, s in enumerate(chances) if s >= threshold]
    return rows

"""Every decoder against a second one, written from the formulas with loops."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import decoders_for_tests as slow
import numpy as np
import pytest
from decoders_for_tests import Outputs, check, decode, same, spec_of
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from harness.tasks import REGISTRY
from harness.tasks.decoders import REGISTRY as DECODERS
from harness.tasks.letterbox import fit

seeds = st.integers(0, 2**32 - 1)
counts = st.sampled_from([0, 1, 7, 200])
class_counts = st.sampled_from([1, 2, 9])
thresholds = st.sampled_from([0.01, 0.3, 0.9])
SIDE = 64


def table_of(seed: int, count: int, numbers: int, first: int = 4) -> NDArray[np.float32]:
    """(count, numbers): boxes by centre and size in pixels, then values in 0..1."""
    rng = np.random.default_rng(seed)
    table = rng.uniform(0, 1, (count, numbers))
    table[:, :first] *= SIDE
    return table.astype(np.float32)


# ---- YOLO ---------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(seeds, counts, class_counts, thresholds, st.booleans())
def test_yolov8_is_what_its_table_says(
    seed: int, count: int, classes: int, threshold: float, turned: bool
) -> None:
    table = table_of(seed, count, 4 + classes)
    if count == 4 + classes:
        return
    outputs: Outputs = {"output0": (table if turned else table.T)[None]}
    spec = spec_of("yolov8", outputs, classes)
    same(decode(spec, outputs, threshold), slow.yolov8(table.T, classes, threshold))


def test_a_square_table_of_yolov8_is_read_as_it_is_exported() -> None:
    outputs = {"output0": table_of(0, 7, 7).T[None]}
    found = decode(spec_of("yolov8", outputs, 3), outputs, 0.3)
    same(found, slow.yolov8(outputs["output0"][0], 3, 0.3))


@settings(deadline=None, max_examples=20)
@given(seeds, counts, class_counts, st.booleans())
def test_yolov8_seg_gives_each_box_its_coefficients(
    seed: int, count: int, classes: int, turned: bool
) -> None:
    table = table_of(seed, count, 4 + classes + 32)
    protos = np.random.default_rng(seed).normal(size=(1, 32, 16, 16)).astype(np.float32)
    outputs: Outputs = {"output1": protos, "output0": (table if turned else table.T)[None]}
    if count == 4 + classes + 32:
        return
    found = decode(spec_of("yolov8-seg", outputs, classes), outputs, 0.5)
    same(found, slow.yolov8(table.T, classes, 0.5))
    assert found.coeffs is not None
    assert found.protos is not None
    assert found.coeffs.shape == (len(found), 32)
    np.testing.assert_array_equal(found.protos, protos[0])
    at = {tuple(slow.by_centre(*row[:4].astype(float))): row for row in table}
    for box, coeffs in zip(found.boxes, found.coeffs, strict=True):
        wanted = min(at, key=lambda corners: float(np.abs(np.array(corners) - box).sum()))
        np.testing.assert_array_equal(coeffs, at[wanted][4 + classes :])


@pytest.mark.parametrize("classes", [1, 3])
def test_yolov8_pose_gives_each_box_its_keypoints(classes: int) -> None:
    table = table_of(1, 30, 4 + classes + 3 * 17)
    outputs: Outputs = {"output0": table.T[None]}
    found = decode(spec_of("yolov8-pose", outputs, classes), outputs, 0.6)
    same(found, slow.yolov8(table.T, classes, 0.6))
    rows = [at for at in range(30) for label in range(classes) if table[at, 4 + label] >= 0.6]
    assert found.keypoints is not None
    assert found.keypoints.shape == (len(rows), 17, 3)
    for points, row in zip(found.keypoints, rows, strict=True):
        for number, (x, y, score) in enumerate(points.tolist()):
            at = 4 + classes + 3 * number
            assert [x, y, score] == table[row, at : at + 3].tolist()


@pytest.mark.parametrize("classes", [1, 2, 3])
@pytest.mark.parametrize("count", [336, 1029, 8400])
def test_a_table_of_keypoints_may_be_turned(classes: int, count: int) -> None:
    """Some number of keypoints makes most tables fit both ways."""
    table = table_of(2, count, 4 + classes + 3 * 17)
    tables = {"as exported": table.T[None], "turned": table[None]}
    found = []
    for values in tables.values():
        outputs: Outputs = {"output0": values}
        spec = spec_of("yolov8-pose", outputs, classes)
        check(spec, outputs)
        found.append(decode(spec, outputs, 0.9))
    same(found[1], slow.yolov8(table.T, classes, 0.9))
    assert found[1].keypoints is not None
    assert found[1].keypoints.shape[1:] == (17, 3)
    np.testing.assert_array_equal(found[0].keypoints, found[1].keypoints)


def test_relative_keypoints_are_scaled_like_their_boxes() -> None:
    table = np.array([[0.5, 0.5, 0.25, 0.5, 0.9, 0.25, 0.75, 0.4]], np.float32)
    outputs: Outputs = {"output0": table.T[None]}
    spec = spec_of("yolov8-pose", outputs, 1, box_units="relative")
    spec = replace(spec, inputs=(replace(spec.input, shape=(1, 3, 100, 200)),))
    found = decode(spec, outputs, 0.5)
    assert found.boxes.tolist() == [[75, 25, 125, 75]]
    assert found.keypoints is not None
    np.testing.assert_allclose(found.keypoints, [[[50, 75, 0.4]]])


@settings(deadline=None, max_examples=40)
@given(seeds, counts, class_counts, thresholds)
def test_yolov5_multiplies_objectness_and_class(
    seed: int, count: int, classes: int, threshold: float
) -> None:
    table = table_of(seed, count, 5 + classes)
    outputs: Outputs = {"output": table[None]}
    spec = spec_of("yolov5", outputs, classes)
    same(decode(spec, outputs, threshold), slow.yolov5(table, threshold))


ANCHORS = ((10, 13, 16, 30, 33, 23), (30, 61, 62, 45, 59, 119), (116, 90, 156, 198, 373, 326))


def heads_of(seed: int, classes: int, levels: int = 3) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    sides = [SIDE // (8 << level) for level in range(levels)]
    return [rng.normal(0, 2, (3, n, n, 5 + classes)).astype(np.float32) for n in sides]


@settings(deadline=None, max_examples=15)
@given(seeds, class_counts, thresholds, st.booleans(), st.permutations([0, 1, 2]))
def test_raw_heads_of_yolov5_get_their_anchors(
    seed: int, classes: int, threshold: float, folded: bool, order: list[int]
) -> None:
    heads = heads_of(seed, classes)
    outputs: Outputs = {}
    for at in order:  # in any order: a head belongs to the stride of its size
        whole = heads[at][None]
        if folded:
            _, count, height, width, sides = whole.shape
            turned = whole.transpose(0, 1, 4, 2, 3)
            outputs[f"head{at}"] = turned.reshape(1, count * sides, height, width)
        else:
            outputs[f"head{at}"] = whole
    options = {"anchors": ANCHORS, "strides": (8.0, 16.0, 32.0)}
    found = decode(spec_of("yolov5-heads", outputs, classes, **options), outputs, threshold)
    wanted = slow.yolov5_heads(heads, [list(a) for a in ANCHORS], [8, 16, 32], threshold)
    same(found, wanted)


def test_a_flat_list_of_anchors_is_shared_out() -> None:
    outputs: Outputs = {f"h{at}": head[None] for at, head in enumerate(heads_of(3, 2))}
    flat = tuple(float(side) for row in ANCHORS for side in row)
    strides = (8.0, 16.0, 32.0)
    one, other = (
        decode(spec_of("yolov5-heads", outputs, 2, anchors=a, strides=strides), outputs, 0.3)
        for a in (flat, ANCHORS)
    )
    np.testing.assert_array_equal(one.boxes, other.boxes)


@settings(deadline=None, max_examples=30)
@given(seeds, st.sampled_from([0, 1, 300]), thresholds, st.sampled_from([0, 1]))
def test_end2end_rows_are_boxes_with_score_and_class(
    seed: int, count: int, threshold: float, offset: int
) -> None:
    rows = table_of(seed, count, 6)
    rows[:, 5] = np.random.default_rng(seed).integers(offset, 5 + offset, count)
    outputs: Outputs = {"output0": rows[None]}
    spec = spec_of("yolo-end2end", outputs, 5, class_offset=offset)
    check(spec, outputs)
    wanted = [(*row[:5], row[5] - offset) for row in rows.tolist() if row[4] >= threshold]
    same(decode(spec, outputs, threshold), wanted)


# ---- SSD ----------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(seeds, counts, class_counts, thresholds, st.sampled_from(["first", "last"]))
def test_ssd_moves_and_stretches_the_priors_that_the_model_gives(
    seed: int, count: int, classes: int, threshold: float, background: str
) -> None:
    rng = np.random.default_rng(seed)
    deltas = rng.normal(0, 2, (count, 4)).astype(np.float32)
    scores = rng.uniform(0, 1, (count, classes + 1)).astype(np.float32)
    priors = rng.uniform(0.1, 0.9, (count, 4)).astype(np.float32)
    outputs: Outputs = {"boxes": deltas[None], "scores": scores[None], "priors": priors[None]}
    spec = spec_of("ssd", outputs, classes, background=background)
    check(spec, outputs)
    own = scores[:, 1:] if background == "first" else scores[:, :-1]
    rows = [tuple(row) for row in priors.tolist()]
    same(decode(spec, outputs, threshold), slow.ssd(deltas, own, rows, threshold, scale=SIDE))


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_ssd_makes_scores_of_logits_where_the_model_says_so(activation: str) -> None:
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 3, (50, 4)).astype(np.float32)
    deltas, priors = rng.normal(size=(50, 4)), rng.uniform(0.1, 0.9, (50, 4))
    outputs: Outputs = {
        "loc": deltas.astype(np.float32)[None],
        "conf": logits[None],
        "prior": priors.astype(np.float32)[None],
    }
    spec = spec_of("ssd", outputs, 3, activation=activation)
    make = slow.exponentials if activation == "softmax" else (lambda v: [*map(slow.logistic, v)])
    scores = np.array([make(row) for row in logits.tolist()])[:, 1:]
    rows = [tuple(row) for row in priors.tolist()]
    same(decode(spec, outputs, 0.2), slow.ssd(deltas, scores, rows, 0.2, scale=SIDE))


def test_ssd_of_tensorflow_has_rows_before_columns() -> None:
    deltas = np.array([(1.0, 2.0, 0.5, -0.5)], np.float32)
    priors = np.array([(0.5, 0.25, 0.2, 0.4)], np.float32)  # centre y, x, height, width
    outputs: Outputs = {
        "raw_boxes": deltas[None], "scores": np.array([[[0.9]]], np.float32),
        "anchors": priors[None],
    }  # fmt: skip
    spec = spec_of("ssd", outputs, 1, box_order="cycxhw", prior_order="cycxhw")
    wanted = slow.ssd(deltas[:, [1, 0, 3, 2]], np.array([[0.9]]), [(0.25, 0.5, 0.4, 0.2)], 0.5)
    same(decode(spec, outputs, 0.5), [(*(SIDE * v for v in row[:4]), *row[4:]) for row in wanted])


def test_caffe_s_priors_are_corners_with_variances_of_their_own() -> None:
    corners = np.array([(0.1, 0.2, 0.5, 0.8), (0.3, 0.3, 0.4, 0.5)], np.float32)
    variances = np.array([(0.1, 0.1, 0.2, 0.2), (0.3, 0.3, 0.1, 0.1)], np.float32)
    deltas = np.array([(1.0, -1.0, 0.5, 1.0), (0.5, 1.0, -1.0, 2.0)], np.float32)
    scores = np.array([(0.1, 0.9), (0.2, 0.8)], np.float32)
    outputs: Outputs = {
        "mbox_loc": deltas.reshape(1, 8),
        "mbox_conf": scores[None],
        "mbox_priorbox": np.stack([corners.ravel(), variances.ravel()])[None],
    }
    spec = spec_of("ssd", outputs, 1)
    wanted = []
    for at, pair in enumerate(((0.1, 0.2), (0.3, 0.1))):
        x0, y0, x1, y1 = corners[at].tolist()
        prior = ((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0)
        one = slice(at, at + 1)
        wanted += slow.ssd(deltas[one], scores[one, 1:], [prior], 0.5, pair, SIDE)
    same(decode(spec, outputs, 0.5), wanted)


def test_ssd_without_priors_gets_them_from_anchors_and_strides() -> None:
    anchors, rng = ((8.0, 8.0, 16.0, 8.0), (32.0, 32.0)), np.random.default_rng(0)
    priors = [
        ((c + 0.5) * 16, (r + 0.5) * 16, w, h)
        for r in range(4) for c in range(4) for w, h in ((8, 8), (16, 8))
    ] + [((c + 0.5) * 32, (r + 0.5) * 32, 32, 32) for r in range(2) for c in range(2)]  # fmt: skip
    deltas = rng.normal(size=(36, 4)).astype(np.float32)
    scores = rng.uniform(0, 1, (36, 2)).astype(np.float32)
    outputs: Outputs = {"boxes": deltas[None], "scores": scores[None]}
    relative = spec_of("ssd", outputs, 2, anchors=anchors, strides=(16.0, 32.0))
    pixels = spec_of(
        "ssd", outputs, 2, anchors=anchors, feature_maps=(4.0, 2.0), box_units="pixels"
    )
    for spec in (relative, pixels):
        check(spec, outputs)
        same(decode(spec, outputs, 0.4), slow.ssd(deltas, scores, priors, 0.4))


def test_anchors_may_be_at_the_corner_of_their_cells() -> None:
    """torchvision's RetinaNet: shifts are multiples of the stride, and there are no variances."""
    rng = np.random.default_rng(4)
    priors = [
        (c * 16, r * 16, w, h) for r in range(4) for c in range(4) for w, h in ((8, 8), (16, 8))
    ]
    deltas = rng.normal(size=(32, 4)).astype(np.float32)
    scores = rng.uniform(0, 1, (32, 2)).astype(np.float32)
    outputs: Outputs = {"boxes": deltas[None], "scores": scores[None]}
    spec = spec_of(
        "ssd", outputs, 2, anchors=(8.0, 8.0, 16.0, 8.0), strides=(16.0,), anchor_offset=0,
        variances=(1.0, 1.0, 1.0, 1.0),
    )  # fmt: skip
    check(spec, outputs)
    same(decode(spec, outputs, 0.4), slow.ssd(deltas, scores, priors, 0.4, (1, 1)))


# ---- DETR and NMS inside -------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(seeds, st.sampled_from([0, 1, 100]), class_counts, thresholds, st.booleans())
def test_detr_has_softmax_with_a_background_and_sigmoid_without(
    seed: int, count: int, classes: int, threshold: float, background: bool
) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (count, classes + background)).astype(np.float32)
    boxes = rng.uniform(0, 1, (count, 4)).astype(np.float32)
    outputs: Outputs = {"pred_logits": logits[None], "pred_boxes": boxes[None]}
    spec = spec_of("detr", outputs, classes)
    check(spec, outputs)
    same(decode(spec, outputs, threshold), slow.detr(logits, boxes, classes, threshold, SIDE))


@pytest.mark.parametrize("num", [0, 3, 5])
@pytest.mark.parametrize("names", ["num_dets det_boxes det_scores det_classes", "d s b c"])
def test_only_as_many_boxes_count_as_the_model_says(num: int, names: str) -> None:
    rng = np.random.default_rng(1)
    boxes, scores = rng.uniform(0, SIDE, (5, 4)), rng.uniform(0.3, 1, 5)
    classes = rng.integers(1, 4, 5)
    values: Outputs = {
        "num": np.array([[num]], np.int32),
        "boxes": boxes.astype(np.float32)[None],
        "scores": scores.astype(np.float32)[None],
        "classes": classes[None],
    }
    own = dict(zip(values, names.split(), strict=True))
    outputs = {own[role]: values[role] for role in ("classes", "boxes", "num", "scores")}
    chosen = {f"{role}_output": name for role, name in own.items()} if names == "d s b c" else {}
    spec = spec_of("nms-inside", outputs, 3, class_offset=1, **chosen)
    check(spec, outputs)
    wanted = [
        (*boxes[at].tolist(), float(scores[at]), int(classes[at]) - 1)
        for at in range(num)
        if scores[at] >= 0.5
    ]
    same(decode(spec, outputs, 0.5), wanted)


def test_torchvision_s_detectors_have_no_number_and_no_batch() -> None:
    outputs: Outputs = {
        "boxes": np.array([(1, 2, 3, 4), (5, 6, 7, 9)], np.float32),
        "labels": np.array([2, 1]),
        "scores": np.array([0.9, 0.4], np.float32),
    }
    spec = spec_of("nms-inside", outputs, 2, class_offset=1)
    check(spec, outputs)
    same(decode(spec, outputs, 0.3), [(1, 2, 3, 4, 0.9, 1), (5, 6, 7, 9, 0.4, 0)])


OP = "TFLite_Detection_PostProcess"


@pytest.mark.parametrize(
    "names",
    [
        (OP, f"{OP}:1", f"{OP}:2", f"{OP}:3"),
        tuple(f"StatefulPartitionedCall:{at}" for at in (3, 2, 1, 0)),
        ("location", "category", "score", "number of detections"),
    ],
)
def test_the_outputs_of_tflite_s_op_are_known_by_their_names(names: tuple[str, ...]) -> None:
    values = (
        np.array([[(0.25, 0.5, 0.75, 1.0), (0, 0, 0, 0)]], np.float32),
        np.array([[1.0, 0.0]], np.float32),
        np.array([[0.8, 0.1]], np.float32),
        np.array([2.0], np.float32),
    )
    outputs: Outputs = dict(zip(names, values, strict=True))
    spec = spec_of("ssd-postprocess", outputs, 2)
    check(spec, outputs)
    same(decode(spec, outputs, 0.5), [(32, 16, 64, 48, 0.8, 1)])


# ---- through the task ----------------------------------------------------------------------------


EXAMPLES: dict[str, tuple[Outputs, int, dict[str, Any]]] = {
    "boxes-scores": (
        {"boxes": table_of(0, 9, 4)[None], "scores": table_of(1, 9, 2, 0)[None]}, 2, {},
    ),
    "yolov5": ({"o": table_of(0, 9, 7)[None]}, 2, {}),
    "yolov5-heads": (
        {f"h{at}": head[None] for at, head in enumerate(heads_of(0, 2))},
        2,
        {"anchors": ANCHORS, "strides": (8.0, 16.0, 32.0)},
    ),
    "yolov8": ({"o": table_of(0, 9, 6).T[None]}, 2, {}),
    "yolov8-seg": (
        {"o": table_of(0, 9, 38).T[None], "p": np.ones((1, 32, 16, 16), np.float32)}, 2, {},
    ),
    "yolov8-pose": ({"o": table_of(0, 9, 4 + 1 + 9).T[None]}, 1, {}),
    "yolo-end2end": ({"o": table_of(0, 9, 6)[None]}, 2, {}),
    "ssd": (
        {
            "boxes": table_of(0, 9, 4, 0)[None], "scores": table_of(1, 9, 2, 0)[None],
            "priors": table_of(2, 9, 4, 0)[None],
        },
        2, {},
    ),
    "ssd-postprocess": (
        {
            "boxes": table_of(0, 9, 4, 0)[None], "scores": table_of(1, 1, 9, 0),
            "classes": np.ones((1, 9), np.float32), "num": np.array([9.0], np.float32),
        },
        2, {},
    ),
    "detr": ({"boxes": table_of(0, 9, 4, 0)[None], "logits": table_of(1, 9, 3, 0)[None]}, 2, {}),
    "nms-inside": (
        {
            "boxes": table_of(0, 9, 4)[None], "scores": table_of(1, 1, 9, 0),
            "classes": np.ones((1, 9), np.float32),
        },
        2, {},
    ),
}  # fmt: skip


def test_every_decoder_has_an_example_here() -> None:
    assert list(EXAMPLES) == list(DECODERS)


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38])
def test_values_that_are_no_numbers_never_become_detections(name: str, bad: float) -> None:
    outputs, classes, options = EXAMPLES[name]
    broken = {}
    for at, (key, value) in enumerate(outputs.items()):
        values = value.astype(np.float32)
        values.ravel()[at::5] = bad
        broken[key] = values
    spec = spec_of(name, outputs, classes, **options)
    geometry = fit(48, 64, (SIDE, SIDE))
    found = REGISTRY["detection"].postprocess(broken, geometry, spec, score_threshold=0.01)
    assert np.isfinite(found.boxes).all()
    assert np.isfinite(found.scores).all()
    assert ((found.labels >= 0) & (found.labels < classes)).all()
    assert ((found.boxes >= 0) & (found.boxes <= (64, 48, 64, 48))).all()


@pytest.mark.parametrize("name", EXAMPLES)
def test_nothing_that_passes_is_no_detection(name: str) -> None:
    outputs, classes, options = EXAMPLES[name]
    spec = spec_of(name, outputs, classes, **options)
    found = REGISTRY["detection"].postprocess(
        outputs, fit(48, 64, (SIDE, SIDE)), spec, score_threshold=2.0
    )
    assert found.boxes.shape == (0, 4)
    assert (found.boxes.dtype, found.scores.dtype) == (np.float32, np.float32)
    assert found.labels.dtype == np.int32


@pytest.mark.parametrize("name", EXAMPLES)
def test_boxes_without_area_are_no_detections(name: str) -> None:
    outputs, classes, options = EXAMPLES[name]
    flat = {key: value.copy() for key, value in outputs.items()}
    if DECODERS[name].SPEC.outputs[-1].role == "predictions":
        table = flat["o"][0] if flat["o"].shape[1] == 9 else flat["o"][0].T
        table[:, 2:4] = table[:, :2] if name == "yolo-end2end" else 0
    elif name == "yolov5-heads":
        for head in flat.values():
            head[..., 2:4] = -200  # a sigmoid of 0
    elif name == "ssd":
        flat["priors"][:] = 0
    else:
        flat["boxes"][:] = 0
    spec = spec_of(name, outputs, classes, **options)
    geometry = fit(48, 64, (SIDE, SIDE))
    assert not len(REGISTRY["detection"].postprocess(flat, geometry, spec, score_threshold=0.01))


@pytest.mark.parametrize("name", [name for name in EXAMPLES if not DECODERS[name].SPEC.nms])
def test_what_has_been_through_nms_or_needs_none_keeps_boxes_that_overlap(name: str) -> None:
    same_box = (0.5, 0.5, 0.4, 0.4) if name == "detr" else (0.1, 0.1, 0.6, 0.6)
    outputs, classes, options = EXAMPLES[name]
    values = {key: value.copy() for key, value in outputs.items()}
    scale = SIDE if DECODERS[name].SPEC.box_units == "pixels" else 1
    boxes = values["boxes"] if "boxes" in values else values["o"][..., :4]
    boxes[:] = np.array(same_box) * scale
    if "o" in values:
        values["o"][..., 5] = 1
    spec = spec_of(name, outputs, classes, max_detections=4, **options)
    found = REGISTRY["detection"].postprocess(
        values, fit(SIDE, SIDE, (SIDE, SIDE)), spec, score_threshold=0.0
    )
    assert len(found) == 4
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)


def test_thousands_of_candidates_agree_with_brute_force() -> None:
    rng = np.random.default_rng(8)
    table = np.concatenate([rng.uniform(0, 640, (8400, 4)), rng.beta(0.3, 4, (8400, 80))], 1)
    outputs: Outputs = {"output0": table.T.astype(np.float32)[None]}
    spec = spec_of("yolov8", outputs, 80, side=640)
    found = decode(spec, outputs, 0.5)
    assert len(found) > 1000
    same(found, slow.yolov8(outputs["output0"][0], 80, 0.5))

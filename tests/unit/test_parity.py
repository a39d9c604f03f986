from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.metrics import topk
from harness.metrics.spec import USUAL, Held, Value
from harness.records import PRECISIONS, ModelSpec, Parity, Precision, TensorSpec
from harness.steps.parity import check_metric, check_metrics, compare
from harness.tasks.letterbox import fit
from harness.tasks.tensor import NOWHERE

SPEC = ModelSpec(
    name="rio",
    task="instance-segmentation",
    module="network.py",
    function="load",
    weights="weights.pt",
    weights_sha256="",
    inputs=(TensorSpec("images", (1, 3, 320, 320)),),
    outputs=("boxes", "scores", "coeffs", "protos"),
    classes=("card",),
)
TOP1 = topk.SPEC.headline
IMAGES, CARDS, COPIES, LOCATIONS = 16, 3, 4, 200
GEOMETRIES = [fit(480, 640, (320, 320))] * IMAGES

Outputs = dict[str, NDArray[Any]]
Change = Callable[[Outputs], None]


def model_outputs(seed: int) -> Outputs:
    """What a detector says of a picture with three cards: a few likely places for each."""
    rng = np.random.default_rng(seed)
    near = rng.uniform(0, 250, (LOCATIONS, 2))
    boxes = np.concatenate([near, near + rng.uniform(5, 60, (LOCATIONS, 2))], 1)
    scores = rng.uniform(0, 0.01, LOCATIONS)
    for card in range(CARDS):
        corners = np.array([20 + 100 * card, 70, 100 + 100 * card, 200])
        places = slice(card * COPIES, (card + 1) * COPIES)
        boxes[places] = corners + rng.normal(0, 2, (COPIES, 4))
        scores[places] = rng.uniform(0.5, 0.95, COPIES)
    return {
        "boxes": boxes[None].astype(np.float32),
        "scores": scores[None, :, None].astype(np.float32),
        "coeffs": rng.normal(size=(1, LOCATIONS, 4)).astype(np.float32),
        "protos": rng.normal(size=(1, 4, 80, 80)).astype(np.float32),
    }


REFERENCE = [model_outputs(seed) for seed in range(IMAGES)]


def parity(precision: Precision, change: Change) -> Parity:
    """Parity of the reference with a changed copy of itself."""
    candidate = [{name: value.copy() for name, value in row.items()} for row in REFERENCE]
    for row in candidate:
        change(row)
    return compare(SPEC, precision, REFERENCE, candidate, GEOMETRIES)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_equal_outputs_pass(precision: Precision) -> None:
    found = parity(precision, lambda row: None)
    assert found.ok
    assert found.reasons == ()
    assert (found.images, found.reference_boxes, found.matched_boxes) == (16, 48, 48)
    assert (found.extra_boxes, found.min_iou, found.max_score_difference) == (0, 1.0, 0.0)
    assert [one.name for one in found.outputs] == list(SPEC.outputs)
    assert all(one.cosine == pytest.approx(1) and one.max_abs == 0 for one in found.outputs)


def noisy(size: float) -> Change:
    rng = np.random.default_rng(1)

    def change(row: Outputs) -> None:
        for value in row.values():
            value *= 1 + rng.normal(0, size, value.shape).astype(np.float32)

    return change


@pytest.mark.parametrize(("precision", "size"), [("fp32", 1e-6), ("fp16", 5e-4), ("int8", 2e-2)])
def test_noise_of_the_precision_itself_passes(precision: Precision, size: float) -> None:
    assert parity(precision, noisy(size)).reasons == ()


@pytest.mark.parametrize(("precision", "size"), [("fp32", 5e-4), ("fp16", 0.1), ("int8", 0.5)])
def test_noise_far_over_the_precision_is_refused(precision: Precision, size: float) -> None:
    assert not parity(precision, noisy(size)).ok


@pytest.mark.parametrize("precision", PRECISIONS)
def test_permuted_channels_are_refused(precision: Precision) -> None:
    def permute(row: Outputs) -> None:
        row["protos"] = row["protos"][:, [1, 2, 3, 0]]

    found = parity(precision, permute)
    assert not found.ok
    assert any(reason.startswith("protos: cosine") for reason in found.reasons)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("factor", [0.8, 0.3])
def test_scaled_scores_are_refused(precision: Precision, factor: float) -> None:
    def scale(row: Outputs) -> None:
        row["scores"] *= np.float32(factor)

    found = parity(precision, scale)
    assert not found.ok
    assert any(reason.startswith("boxes: ") for reason in found.reasons)


@pytest.mark.parametrize(("precision", "pixels"), [("fp32", 0.1), ("fp16", 8), ("int8", 16)])
def test_shifted_boxes_are_refused(precision: Precision, pixels: float) -> None:
    def shift(row: Outputs) -> None:
        row["boxes"] += np.float32(pixels)

    assert not parity(precision, shift).ok


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_counted(value: float) -> None:
    def spoil(row: Outputs) -> None:
        row["coeffs"][0, 0, :2] = value

    found = parity("int8", spoil)
    assert not found.ok
    assert found.reasons == ("coeffs: 32 values are NaN or infinite",)


def test_a_missing_output_is_named_with_those_that_are_there() -> None:
    def drop(row: Outputs) -> None:
        del row["scores"]

    found = parity("fp32", drop)
    assert found.reasons == ("scores: missing output; got boxes, coeffs, protos",)


def test_another_shape_is_shown_beside_the_reference() -> None:
    def turn(row: Outputs) -> None:
        row["scores"] = row["scores"].transpose(0, 2, 1)

    found = parity("fp32", turn)
    assert found.reasons == ("scores: shape (1, 1, 200), expected (1, 200, 1)",)


def test_fewer_pictures_are_refused() -> None:
    found = compare(SPEC, "fp32", REFERENCE, REFERENCE[:3], GEOMETRIES)
    assert found.reasons == ("3 images, expected 16",)


def test_reasons_state_their_figures() -> None:
    def shrink(row: Outputs) -> None:
        row["scores"] *= np.float32(0.1)

    found = parity("int8", shrink)
    assert found.reasons == (
        "scores: scaled by 0.1 against the reference (limits 0.75 to 1.25)",
        "boxes: 0 of 48 reference boxes matched with IoU >= 0.8 (required: 90 %)",
    )
    assert found.min_iou is None
    assert found.max_score_difference is None


def test_boxes_that_only_the_candidate_has_are_extra() -> None:
    def invent(row: Outputs) -> None:
        row["boxes"][0, -1] = (10, 210, 60, 250)
        row["scores"][0, -1] = 0.5

    found = parity("int8", invent)
    assert found.extra_boxes == 16
    assert found.reasons == ("boxes: 16 extra boxes for 48 reference boxes (limit 10 %)",)


@pytest.mark.parametrize(("precision", "margin"), [("fp32", 5e-5), ("fp16", 0.01), ("int8", 0.05)])
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_score_at_the_threshold_may_fall_to_either_side(
    precision: Precision, margin: float, sign: int
) -> None:
    def borderline(away: float) -> list[Outputs]:
        rows = [{name: value.copy() for name, value in row.items()} for row in REFERENCE]
        for row in rows:
            row["boxes"][0, -1] = (10, 210, 60, 250)
            row["scores"][0, -1] = 0.25 + away
        return rows

    found = compare(
        SPEC, precision, borderline(sign * margin / 2), borderline(-sign * margin / 2), GEOMETRIES
    )
    assert found.reasons == ()


@pytest.mark.parametrize(
    ("precision", "value", "ok"),
    [
        ("fp32", 0.7999, True),
        ("fp32", 0.79, False),
        ("fp16", 0.793, True),
        ("fp16", 0.79, False),
        ("int8", 0.785, True),
        ("int8", 0.78, False),
        ("int8", 0.9, True),
    ],
)
def test_accuracy_may_fall_by_so_much(precision: Precision, value: float, ok: bool) -> None:
    assert (check_metric(TOP1, precision, value, 0.8) is None) == ok


def test_a_fall_of_accuracy_is_stated_with_its_figures() -> None:
    assert check_metric(TOP1, "int8", 0.6, 0.8) == (
        "0.6 is 25.00 % below the fp32 reference 0.8 (limit for int8: 2.0 %)"
    )
    assert check_metric(TOP1, "fp32", 0.0, 0.0) is None


def test_an_error_may_rise_by_so_much_also_where_the_reference_makes_none() -> None:
    share = Value("cer", "CER", "lower", held=USUAL)
    assert check_metric(share, "int8", 0.1, 0.2) is None
    assert check_metric(share, "int8", 0.25, 0.2) == (
        "0.25 is 25.00 % above the fp32 reference 0.2 (limit for int8: 2.0 %)"
    )
    assert check_metric(share, "int8", 0.25, 0.0) == (
        "0.25 is 0.25 above the fp32 reference 0 (limit for int8: 2.0 %)"
    )
    absolute = Value("cer", "CER", "lower", held=Held({"int8": 0.05}, relative=False))
    assert check_metric(absolute, "int8", 0.04, 0.0) is None
    assert check_metric(absolute, "fp16", 0.4, 0.0) is None  # nothing is asked of it
    assert check_metric(absolute, "int8", 0.26, 0.2) == (
        "0.26 is 0.06 above the fp32 reference 0.2 (limit for int8: 0.05)"
    )


def test_masks_that_collapse_are_seen_where_the_boxes_are_right() -> None:
    reference = {"map50_95": 0.8, "mask_map50_95": 0.8}
    ratio, reasons = check_metrics("fp16", {"map50_95": 0.8, "mask_map50_95": 0.02}, reference)
    assert ratio == 1.0
    assert len(reasons) == 1
    assert reasons[0].startswith("mask_map50_95 0.02 is 97.50 % below")
    assert check_metrics("fp16", reference, reference) == (1.0, [])
    assert check_metrics("fp16", {"top1": 0.4}, {"top1": 0.5})[0] == 0.8


# ---- outputs of every sort ---------------------------------------------------------------------

LABELS = ModelSpec(
    name="labels",
    task="classification",
    module="network.py",
    function="build",
    weights="weights.pt",
    weights_sha256="",
    inputs=(TensorSpec("images", (1, 3, 32, 32)),),
    outputs=("logits", "extra"),
    classes=("a", "b"),
)
LOGITS = np.array([[9.0, -9.0]], np.float32)


def extra_parity(precision: Precision, reference: list[Any], candidate: list[Any]) -> Parity:
    """Parity of a classifier whose logits are right and whose other output is as given."""
    rows = [
        [{"logits": LOGITS, "extra": np.array(value)[None]} for value in values]
        for values in (reference, candidate)
    ]
    return compare(LABELS, precision, rows[0], rows[1], [fit(32, 32, (32, 32))] * len(reference))


@pytest.mark.parametrize(
    ("precision", "wrong", "reason"),
    [
        ("fp32", 0, None),
        ("fp32", 1, "extra: 19 of 20 integers equal the reference (required: 100 %)"),
        ("fp16", 1, "extra: 19 of 20 integers equal the reference (required: 99 %)"),
        ("int8", 2, None),
        ("int8", 3, "extra: 17 of 20 integers equal the reference (required: 90 %)"),
    ],
)
def test_whole_numbers_are_equal_or_not_however_near_they_are(
    precision: Precision, wrong: int, reason: str | None
) -> None:
    labels = [np.int64(500 + n) for n in range(20)]
    seen = [label + np.int64(n < wrong) for n, label in enumerate(labels)]
    found = extra_parity(precision, labels, seen)
    assert found.reasons == (() if reason is None else (reason,))
    assert found.ok == (reason is None)


def test_labels_of_two_near_classes_need_no_cosine() -> None:
    labels = [np.int64(n % 2) for n in range(20)]
    assert extra_parity("int8", labels, [labels[1], *labels[1:]]).ok


def test_truth_values_are_compared_as_whole_numbers() -> None:
    assert extra_parity("fp32", [True, False], [True, False]).ok
    assert extra_parity("fp32", [True, False], [True, True]).reasons == (
        "extra: 1 of 2 integers equal the reference (required: 100 %)",
    )


def test_labels_that_a_runtime_gives_as_floats_are_the_same_labels() -> None:
    assert extra_parity("fp32", [np.int64(3)], [np.float32(3)]).ok


@pytest.mark.parametrize(
    ("precision", "noise", "ok"),
    [
        ("fp32", 5e-5, True),
        ("fp32", 2e-4, False),
        ("fp16", 5e-4, True),
        ("fp16", 5e-3, False),
        ("int8", 5e-3, True),
        ("int8", 0.1, False),
    ],
)
def test_noise_around_an_output_of_zeros_is_judged_by_its_size(
    precision: Precision, noise: float, ok: bool
) -> None:
    found = extra_parity(precision, [[0.0, 0.0]], [[noise, -noise]])
    reason = f"extra: values up to {noise:.3g}, but the reference is all 0"
    assert found.reasons == (() if ok else (reason,))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_an_output_that_became_all_zeros_is_refused_and_said_to_be(precision: Precision) -> None:
    assert extra_parity(precision, [[0.5, 0.25]], [[0.0, 0.0]]).reasons == (
        "extra: all values are 0, but the reference reaches 0.5",
    )


@pytest.mark.parametrize("precision", PRECISIONS)
def test_two_outputs_of_zeros_are_equal(precision: Precision) -> None:
    assert extra_parity(precision, [[0.0]], [[0.0]]).ok


@pytest.mark.parametrize("precision", PRECISIONS)
def test_an_empty_output_is_equal_to_an_empty_one_only(precision: Precision) -> None:
    assert extra_parity(precision, [[]], [[]]).reasons == ()
    reasons = ("extra: shape (1, 0), expected (1, 1)",)
    assert extra_parity(precision, [[1.0]], [[]]).reasons == reasons


@pytest.mark.parametrize("precision", PRECISIONS)
def test_nothing_but_empty_outputs_is_no_parity(precision: Precision) -> None:
    found = tensor_parity(precision, [[]], [[]])
    assert found.reasons == ("all outputs are empty",)


# ---- outputs whose shape depends on the sample -------------------------------------------------

TENSOR = ModelSpec("m", "tensor", "", "", "m.onnx", "0", (TensorSpec("x", (1, 2)),), ("y",), ())


def tensor_parity(precision: Precision, reference: list[Any], candidate: list[Any]) -> Parity:
    """Of a model that takes no images, with one output."""
    rows = [[{"y": np.array(one, np.float32)} for one in of] for of in (reference, candidate)]
    return compare(TENSOR, precision, rows[0], rows[1], [NOWHERE] * len(reference))


def test_a_single_value_is_compared() -> None:
    assert tensor_parity("fp32", [0.5, 0.25], [0.5, 0.25]).ok
    assert tensor_parity("fp32", [0.5, 0.25], [0.5, 0.75]).reasons == (
        "y: max abs difference 0.5 exceeds 0.0001",
        "y: cosine similarity 0.868243 is below 0.9999",
    )


def test_outputs_of_other_lengths_are_compared_where_they_are_alike() -> None:
    assert tensor_parity("fp32", [[1.0, 2.0], [3.0]], [[1.0, 2.0], [3.0]]).ok
    assert tensor_parity("fp32", [[1.0, 2.0], [3.0]], [[1.0, 2.0], [4.0]]).reasons[0] == (
        "y: max abs difference 1 exceeds 0.0003"
    )


def test_a_tensor_of_another_length_is_missing_from_the_share_that_must_be_equal() -> None:
    rows = [[1.0] * (1 + n % 3) for n in range(10)]
    other = [*rows[:9], [1.0, 2.0]]
    assert tensor_parity("int8", rows, other).ok
    assert tensor_parity("fp32", rows, other).reasons == (
        "y: the shapes of 9 of 10 samples equal the reference (required: 100 %)",
    )


def test_detections_of_another_number_are_judged_by_their_boxes() -> None:
    """NMS inside: the raw table loses a row whose score is at the model's own threshold."""
    spec = replace(
        SPEC, decoder="nms-inside", outputs=("boxes", "scores", "classes"), classes=("card",)
    )

    def row(*scores: float) -> dict[str, NDArray[Any]]:
        boxes = np.array([(10 * n, 10, 10 * n + 8, 30) for n in range(len(scores))], np.float32)
        return {
            "boxes": boxes.reshape(-1, 4),
            "scores": np.array(scores, np.float32),
            "classes": np.zeros(len(scores), np.int64),
        }

    reference = [row(0.9, 0.251), row(0.8), row()]
    same, geometries = [row(0.9), row(0.8), row()], [fit(320, 320, (320, 320))] * 3
    assert compare(spec, "fp16", reference, same, geometries).reasons == ()
    fewer = compare(spec, "fp16", reference, [row(), row(0.8), row()], geometries)
    assert fewer.reasons == (
        "boxes: 1 of 2 reference boxes matched with IoU >= 0.9 (required: 99 %)",
    )


@pytest.mark.parametrize(
    ("precision", "factor", "limits"),
    [("fp16", 1.1, "0.98 to 1.02"), ("int8", 2.0, "0.75 to 1.25"), ("int8", 0.5, "0.75 to 1.25")],
)
def test_outputs_of_another_size_are_refused_though_their_direction_is_right(
    precision: Precision, factor: float, limits: str
) -> None:
    wanted = np.array([1.0, 2.0, 3.0], np.float32)
    assert extra_parity(precision, [wanted], [wanted * factor]).reasons == (
        f"extra: scaled by {factor:.3g} against the reference (limits {limits})",
    )


def test_nan_of_the_reference_is_said_to_be_the_reference_s() -> None:
    assert extra_parity("fp32", [[np.nan]], [[1.0]]).reasons == (
        "extra: 1 values of the reference are NaN or infinite",
    )

"""Which output is which, and what is said of outputs that do not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from decoders_for_tests import Outputs, check, decode, spec_of
from test_tasks_decoders import ANCHORS, EXAMPLES

from harness.tasks.decoders import REGISTRY, Output, fits
from harness.tasks.decoders.shapes import match, shown, solved


def zeros(**shapes: tuple[int, ...]) -> Outputs:
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}


def refusal(decoder: str, outputs: Outputs, classes: int = 80, **options: Any) -> str:
    with pytest.raises(ValueError, match=r".+") as caught:
        check(spec_of(decoder, outputs, classes, side=640, **options), outputs)
    text = str(caught.value)
    assert "\n" not in text
    return text


# ---- what does not fit is said in one line -------------------------------------------------------


@pytest.mark.parametrize(
    ("decoder", "shapes", "said"),
    [
        (
            "boxes-scores",
            {"boxes": (1, 9, 5), "scores": (1, 9, 80)},
            "output boxes has shape (1, 9, 5), expected (1, N, 4)",
        ),
        (
            "boxes-scores",
            {"boxes": (1, 9, 4), "scores": (1, 9, 81)},
            "output scores has shape (1, 9, 81), expected (1, 9, 80): one score per class "
            "of model.yaml, without background",
        ),
        (
            "boxes-scores",
            {"a": (1, 84, 8400)},
            "outputs are a (1, 84, 8400), expected boxes (1, N, 4), scores (1, N, 80); "
            "decoder yolov8 would fit",
        ),
        (
            "yolov8",
            {"output0": (1, 85, 8400)},
            "output output0 has shape (1, 85, 8400), expected (1, 84, N) or (1, N, 84): four "
            "numbers of the box and one score for every class of model.yaml",
        ),
        (
            "yolov5",
            {"output0": (1, 25200, 84)},
            "output output0 has shape (1, 25200, 84), expected (1, N, 85): a box, its objectness, "
            "one score for every class of model.yaml",
        ),
        (
            "yolov8-seg",
            {"output0": (1, 116, 8400), "output1": (1, 31, 160, 160)},
            "outputs are output0 (1, 116, 8400), output1 (1, 31, 160, 160), expected protos "
            "(1, M, h, w), predictions (1, 84+M, N) or (1, N, 84+M)",
        ),
        (
            "yolov8-pose",
            {"output0": (1, 84, 8400)},
            "output output0 has shape (1, 84, 8400), which leaves no number for keypoints",
        ),
        (
            "yolo-end2end",
            {"output0": (1, 300, 7)},
            "output output0 has shape (1, 300, 7), expected (1, K, 6): "
            "x0, y0, x1, y1, score, class of each box",
        ),
        (
            "detr",
            {"logits": (1, 100, 92), "pred_boxes": (1, 100, 4)},
            "output logits has shape (1, 100, 92), expected (1, 100, 80) or (1, 100, 81): one for "
            "every class of model.yaml, and one more for no object with a softmax",
        ),
        (
            "nms-inside",
            {"det_boxes": (1, 100, 4), "det_scores": (1, 99), "det_classes": (1, 100)},
            "output det_scores has shape (1, 99), expected (1, 100) or (100,)",
        ),
        (
            "nms-inside",
            {"a": (1, 100, 4), "b": (1, 100), "c": (1, 100)},
            "which output is scores and which is classes cannot be told by shape (a (1, 100, 4), "
            "b (1, 100), c (1, 100)): set options.scores_output",
        ),
    ],
)  # fmt: skip
def test_outputs_of_another_shape_are_named_with_what_was_expected(
    decoder: str, shapes: dict[str, tuple[int, ...]], said: str
) -> None:
    assert refusal(decoder, zeros(**shapes)) == said


def test_heads_that_fit_no_stride_are_named_with_those_that_would() -> None:
    options: dict[str, Any] = {"anchors": ANCHORS, "strides": (8.0, 16.0, 32.0)}
    good = zeros(a=(1, 3, 80, 80, 7), b=(1, 3, 40, 40, 7), c=(1, 3, 20, 20, 7))
    check(spec_of("yolov5-heads", good, 2, side=640, **options), good)
    odd = good | zeros(c=(1, 3, 10, 10, 7))
    assert refusal("yolov5-heads", odd, 2, **options) == (
        "output c has shape (1, 3, 10, 10, 7), expected one of (1, 3, 80, 80, 7), "
        "(1, 3, 40, 40, 7), (1, 3, 20, 20, 7)"
    )
    folded = zeros(a=(1, 21, 80, 80), b=(1, 24, 40, 40))
    assert refusal("yolov5-heads", folded, 2, **options) == (
        "output b has shape (1, 24, 40, 40), expected one of (1, 21, 80, 80), "
        "(1, 21, 40, 40), (1, 21, 20, 20)"
    )
    del good["c"]
    assert refusal("yolov5-heads", good, 2, **options) == (
        "2 outputs are heads, options.strides has 3"
    )


def test_anchors_that_are_no_pairs_are_refused() -> None:
    outputs = zeros(a=(1, 3, 80, 80, 7))
    said = refusal("yolov5-heads", outputs, 2, anchors=(1.0, 2.0, 3.0), strides=(8.0,))
    assert said == (
        "model mine: options.anchors: expected pairs of width and height for each of the 1 strides"
    )


def test_priors_of_another_number_are_counted() -> None:
    outputs = zeros(boxes=(1, 1917, 4), scores=(1, 1917, 80))
    said = refusal("ssd", outputs, anchors=((10.0, 10.0),), feature_maps=(19.0,))
    assert said == "output boxes has 1917 boxes, options.anchors make 361"


def test_priors_that_are_neither_an_output_nor_made_are_asked_for() -> None:
    outputs = zeros(boxes=(1, 9, 4), scores=(1, 9, 80))
    assert refusal("ssd", outputs) == (
        "no output is priors: set options.priors_output, or anchors and strides"
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"variances": 0.1}, "options.variances: expected 2 or 4 numbers, got 1"),
        ({"variances": (1.0, 1.0, 1.0)}, "options.variances: expected 2 or 4 numbers, got 3"),
        ({"strides": (8.0, 0.5), "anchors": (1.0,) * 4}, "options.strides: 0.5 is less than 1"),
    ],
)
def test_numbers_that_make_no_priors_are_refused(options: dict[str, Any], said: str) -> None:
    outputs = zeros(boxes=(1, 9, 4), scores=(1, 9, 80))
    anchors = {"anchors": (10.0, 10.0), "feature_maps": (3.0,)}
    assert refusal("ssd", outputs, **({} if "strides" in options else anchors), **options) == (
        f"model mine: {said}"
    )


def test_a_stride_of_0_is_refused() -> None:
    outputs = zeros(a=(1, 3, 80, 80, 7))
    said = refusal("yolov5-heads", outputs, 2, anchors=(1.0,) * 6, strides=(0.0,))
    assert said == "model mine: options.strides: 0 is less than 1"


@pytest.mark.parametrize(
    ("decoder", "at", "said"),
    [
        ("yolov8", 5, "output o ranges from 0 to 7, expected 0 to 1: "
         "export the model with its sigmoid"),
        ("yolo-end2end", 4, "output o ranges from 0 to 7, expected 0 to 1: "
         "the fifth number of a row is its score"),
    ],
)  # fmt: skip
def test_scores_that_are_logits_are_refused(decoder: str, at: int, said: str) -> None:
    outputs = zeros(o=(1, 100, 6))
    outputs["o"][0, 3, at] = 7
    assert refusal(decoder, outputs, 2) == said


def test_boxes_in_the_other_unit_are_told_by_their_size() -> None:
    outputs = {"o": np.full((1, 6, 8400), 0.5, np.float32)}
    assert refusal("yolov8", outputs, 2) == (
        "output o has boxes up to 0.5, expected pixels of 640: set options.box_units: relative"
    )
    check(spec_of("yolov8", outputs, 2, side=640, box_units="relative"), outputs)
    pixels = {"boxes": np.full((1, 9, 4), 320, np.float32), "logits": np.zeros((1, 9, 3))}
    assert refusal("detr", pixels, 2) == (
        "output boxes has boxes up to 320, expected 0 to 1: set options.box_units: pixels"
    )


def test_boxes_that_are_still_offsets_of_their_cells_are_told_by_their_size() -> None:
    """YOLOX without `--decode_in_inference`: x and y in cells, logarithms of width and height."""
    rng = np.random.default_rng(0)
    table = np.concatenate([rng.normal(0, 1.5, (8400, 4)), rng.beta(0.05, 60, (8400, 81))], 1)
    table[7, 2] = 5.25
    outputs = {"o": table.clip(-5, 5.25).astype(np.float32)[None]}
    said = "output o has boxes up to 5.25, expected pixels of 640: export the model with its "
    assert refusal("yolov5", outputs) == f"{said}boxes decoded"
    outputs["o"][0, :, :2] += np.linspace(0, 640, 8400)[:, None]
    check(spec_of("yolov5", outputs, 80, side=640), outputs)


def test_a_label_that_no_class_has_tells_of_the_offset() -> None:
    rows = np.array([[(0, 0, 9, 9, 0.9, 80), (0, 0, 0, 0, 0, 90)]], np.float32)
    assert refusal("yolo-end2end", {"o": rows}) == (
        "output o has label 80, model.yaml names 80 classes: "
        "set options.class_offset to the label of the first one"
    )
    check(spec_of("yolo-end2end", {"o": rows}, 80, class_offset=1), {"o": rows})
    found = decode(spec_of("yolo-end2end", {"o": rows}, 80, class_offset=1), {"o": rows}, 0.5)
    assert found.labels.tolist() == [79]


@pytest.mark.parametrize("count", [-1, 101, np.nan])
def test_a_number_of_boxes_that_cannot_be_is_refused(count: float) -> None:
    outputs = zeros(boxes=(1, 100, 4), scores=(1, 100), classes=(1, 100), num=(1,))
    outputs["num"][0] = count
    assert refusal("nms-inside", outputs) == (
        f"output num is {count:g}, there is room for 100 boxes"
    )


def test_an_option_that_is_no_choice_is_named() -> None:
    outputs = zeros(o=(1, 84, 8400))
    said = refusal("yolov8", outputs, box_units="px")
    assert said == "model mine: options.box_units: 'px' is not one of pixels, relative"


def test_one_role_that_is_said_settles_the_others() -> None:
    outputs = zeros(a=(1, 100, 4), b=(1, 100), c=(1, 100))
    outputs["c"][:] = 7  # labels
    check(spec_of("nms-inside", outputs, 80, scores_output="b"), outputs)


def test_a_role_given_to_no_output_is_named() -> None:
    outputs = zeros(boxes=(1, 9, 4), scores=(1, 9, 80))
    said = refusal("boxes-scores", outputs, scores_output="score")
    assert said == "options.scores_output: no output 'score'; there are boxes, scores"


# ---- which output is which -----------------------------------------------------------------------


def test_outputs_without_telling_names_are_told_by_shape_in_any_order() -> None:
    for names in (("1", "2"), ("2", "1")):
        outputs = zeros(**dict(zip(names, ((1, 32, 160, 160), (1, 116, 8400)), strict=True)))
        found = match(
            REGISTRY["yolov8-seg"].SPEC.outputs, tuple((n, v.shape) for n, v in outputs.items()), 80
        )
        assert found.roles == {"protos": (names[0],), "predictions": (names[1],)}
        assert found.letters == {"C": 80, "M": 32, "h": 160, "w": 160, "N": 8400}


def test_outputs_that_the_decoder_does_not_read_may_be_there() -> None:
    outputs = zeros(
        output=(1, 25200, 85), a=(1, 3, 80, 80, 85), b=(1, 3, 40, 40, 85), c=(1, 3, 20, 20, 85)
    )
    check(spec_of("yolov5", outputs, 80), outputs)


def test_only_outputs_that_the_model_file_names_are_looked_at() -> None:
    outputs = zeros(boxes=(1, 9, 4), scores=(1, 9, 80))
    spec = spec_of("boxes-scores", outputs, 80)
    check(spec, outputs | zeros(more_boxes=(1, 7, 4), odd=(3,)))


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_decoder_can_be_proposed_for_outputs_of_its_kind(name: str) -> None:
    outputs, classes, _ = EXAMPLES[name]
    shapes = {key: value.shape for key, value in outputs.items()}
    found = fits(name, shapes, classes)
    assert found is not None
    assert {n for names in found.roles.values() for n in names} <= set(shapes)
    assert fits(name, {"x": (1, 2, 3, 4, 5, 6)}, classes) is None


def test_the_number_of_classes_is_found_where_it_is_not_known() -> None:
    found = fits("yolov8", {"output0": (1, 84, 8400)})
    assert found is not None
    assert found.letters == {"C": 80, "N": 8400}
    turned = fits("yolov8", {"output0": (1, 8400, 84)})
    assert turned is not None
    assert turned.letters == found.letters
    masks = fits("yolov8-seg", {"a": (1, 116, 8400), "b": (1, 32, 160, 160)})
    assert masks is not None
    assert masks.letters["C"] == 80


# ---- the letters ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "letters", "text"),
    [
        ("1, N, 4", {}, "(1, N, 4)"),
        ("1, N, 5+C", {"C": 2}, "(1, N, 7)"),
        ("1, 4+C+3K, N", {"C": 1, "N": 9}, "(1, 5+3K, 9)"),
        ("1", {}, "(1,)"),
        ("", {}, "()"),
        ("1, C", {"C": 0}, "(1, 0)"),
    ],
)
def test_a_shape_is_shown_with_what_is_known(
    shape: str, letters: dict[str, int], text: str
) -> None:
    assert shown(shape, letters) == text


@pytest.mark.parametrize(
    ("pairs", "letters", "wrong"),
    [
        ([("1, 4+C+M, N", (1, 40, 9)), ("1, M, h, w", (1, 32, 5, 6))],
         {"C": 4, "M": 32, "N": 9, "h": 5, "w": 6}, None),
        ([("1, 5+3K", (1, 56))], {"K": 17}, None),
        ([("1, 5+3K", (1, 57))], {}, 0),
        ([("N, N", (3, 4))], {"N": 3}, 0),
        ([("1, 4+C", (1, 3))], {}, 0),
        ([("1, N", (1, 5)), ("N", (6,))], {"N": 5}, 1),
        ([("_, N", (3, 5)), ("_, N", (9, 5))], {"N": 5}, None),
    ],
)  # fmt: skip
def test_letters_are_found_from_all_shapes_together(
    pairs: Any, letters: dict[str, int], wrong: int | None
) -> None:
    found, at = solved(pairs, {})
    assert at == wrong
    if wrong is None:
        assert found == letters


def test_a_side_that_says_nothing_is_a_mistake_of_the_decoder() -> None:
    with pytest.raises(ValueError, match="4\\*C is no side of a shape"):
        match((Output("x", ("1, 4*C",)),), (("a", (1, 2)),), 3)

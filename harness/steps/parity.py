"""Parity check: raw outputs and decoded boxes of a converted model against the fp32 reference.

Rules by precision, with the same real images through both models:

| precision | every raw output | boxes at the task's score threshold that match |
|---|---|---|
| fp32 | max abs <= 1e-4 x max(1, largest in the reference), cosine >= 0.9999 | all, IoU >= 0.99 |
| fp16 | cosine >= 0.999 | 99 %, IoU >= 0.9 |
| int8 | cosine >= 0.95 | 90 %, IoU >= 0.8 |

At every precision, outputs must have the reference's names and shapes, be finite, and have its
scale (least-squares factor): fp16 within 2 %, int8 within 25 %.
Of integers (labels, counts), the same share must be equal as boxes must match.
An output whose shape depends on the sample (NMS inside) is compared where the shapes are the same:
of images, its boxes decide; of tensors, the same share of shapes must be equal.
If the reference is all 0, values may reach 1e-4, 1e-3, 1e-2. Extra boxes are limited to
the number that may be unmatched; the mean score shift of matches is limited to the margin
(0.001, 0.02, 0.1). An unmatched box whose score is within the margin of the threshold counts
neither as missing nor as extra.

Matches have the same label and are found greedily, best overlap first. `check_metrics` is
the rule on accuracy, for after scoring.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..metrics import Value, shown
from ..records import ModelSpec, OutputParity, Parity, Precision
from ..tasks import REGISTRY, Detections, Geometry, number, takes_images
from ..tasks.nms import iou

Outputs = Mapping[str, NDArray[Any]]
#: tasks that find the boxes of `detection`, and something in each of them
MASKED: Final = ("instance-segmentation", "keypoints")


@dataclass(frozen=True)
class ParityRules:
    """The limits of a precision; None: no limit."""

    max_abs: float | None
    cosine: float
    matched: float
    iou: float
    score_margin: float
    #: how far the least-squares scale factor may be from 1
    gain: float | None
    #: the largest value if the reference is all 0
    zero: float


RULES: Final[dict[Precision, ParityRules]] = {
    "fp32": ParityRules(1e-4, 0.9999, 1.0, 0.99, 0.001, None, 1e-4),
    "fp16": ParityRules(None, 0.999, 0.99, 0.9, 0.02, 0.02, 1e-3),
    "int8": ParityRules(None, 0.95, 0.9, 0.8, 0.1, 0.25, 1e-2),
}


@dataclass
class Tally:
    """Boxes counted over all images; `ious` and `shifts` (candidate - reference) of matches."""

    missing: int = 0
    extra: int = 0
    ious: list[float] = field(default_factory=list)
    shifts: list[float] = field(default_factory=list)


def compare(
    spec: ModelSpec,
    precision: Precision,
    reference: Sequence[Outputs],
    candidate: Sequence[Outputs],
    geometries: Sequence[Geometry],
) -> Parity:
    """Compare `candidate` with `reference`, raw outputs of the same samples."""
    rules = RULES[precision]
    reasons = different_structure(spec, reference, candidate)
    if reasons:
        return Parity(False, len(reference), (), 0, 0, 0, None, None, tuple(reasons))
    outputs = tuple(output_parity(name, reference, candidate) for name in spec.outputs)
    tally = Tally()
    for wanted, seen, geometry in zip(reference, candidate, geometries, strict=True):
        count_boxes(spec, rules, wanted, seen, geometry, tally)
    reasons = [
        reason for one in outputs for reason in _reasons(spec, one, reference, candidate, rules)
    ]
    reasons += box_reasons(tally, rules)
    matched = len(tally.ious)
    return Parity(
        ok=not reasons,
        images=len(reference),
        outputs=outputs,
        reference_boxes=matched + tally.missing,
        matched_boxes=matched,
        extra_boxes=tally.extra,
        min_iou=min(tally.ious, default=None),
        max_score_difference=max(map(abs, tally.shifts), default=None),
        reasons=tuple(reasons),
    )


def check_metrics(
    precision: Precision, values: Mapping[str, float], reference: Mapping[str, float]
) -> tuple[float | None, list[str]]:
    """The ratio of the first limited value to the reference's, and the violations; see `Held`."""
    held = [v for v in shown() if v.held and v.name in values and v.name in reference]
    found = ((v, check_metric(v, precision, values[v.name], reference[v.name])) for v in held)
    reasons = [f"{v.name} {reason}" for v, reason in found if reason]
    first = held[0].name if held else ""
    return (values[first] / reference[first] if reference.get(first) else None), reasons


def check_metric(metric: Value, precision: Precision, value: float, reference: float) -> str | None:
    """The violation, if the value is worse than the fp32 reference's by more than the limit."""
    if metric.held is None or precision not in metric.held.allowed:
        return None
    limit, share = metric.held.allowed[precision], metric.held.relative
    worse = metric.worse_by(value, reference)
    if worse <= (limit * abs(reference) if share else limit):
        return None
    change = f"{100 * worse / abs(reference):.2f} %" if share and reference else f"{worse:.4g}"
    side = "below" if metric.better == "higher" else "above"
    return (
        f"{value:.4g} is {change} {side} the fp32 reference {reference:.4g} "
        f"(limit for {precision}: {f'{100 * limit:.1f} %' if share else f'{limit:.4g}'})"
    )


# ---- raw outputs -------------------------------------------------------------------------------


def different_structure(
    spec: ModelSpec, reference: Sequence[Outputs], candidate: Sequence[Outputs]
) -> list[str]:
    """Why the two cannot be compared at all: images, names, shapes, NaN or infinity."""
    if not reference or len(reference) != len(candidate):
        return [f"{len(candidate)} images, expected {len(reference)}"]
    reasons: list[str] = []
    for name in spec.outputs:
        if any(name not in outputs for outputs in (*reference, *candidate)):
            reasons.append(f"{name}: missing output; got {', '.join(candidate[0])}")
            continue
        seen, wanted = candidate[0][name].shape, reference[0][name].shape
        if seen != wanted and not varies(name, reference, candidate):
            reasons.append(f"{name}: shape {seen}, expected {wanted}")
            continue
        for whose, rows in ((" of the reference", reference), ("", candidate)):
            wrong = sum(int(np.sum(~np.isfinite(outputs[name]))) for outputs in rows)
            if wrong:
                reasons.append(f"{name}: {wrong} values{whose} are NaN or infinite")
    if not reasons and not any(row[name].size for row in reference for name in spec.outputs):
        reasons.append("all outputs are empty")
    return reasons


def varies(name: str, reference: Sequence[Outputs], candidate: Sequence[Outputs]) -> bool:
    """Whether the shape of an output depends on the sample."""
    return any(len({row[name].shape for row in rows}) > 1 for rows in (reference, candidate))


def _reasons(
    spec: ModelSpec,
    one: OutputParity,
    reference: Sequence[Outputs],
    candidate: Sequence[Outputs],
    rules: ParityRules,
) -> list[str]:
    """The violated rules on a raw output, also of one whose shape varies."""
    values = _values(one.name, reference, candidate)
    if not varies(one.name, reference, candidate):
        return output_reasons(one, values, rules)
    if takes_images(spec.task):
        return []
    pairs = list(zip(reference, candidate, strict=True))
    equal = sum(wanted[one.name].shape == seen[one.name].shape for wanted, seen in pairs)
    if equal < rules.matched * len(pairs) - 1e-9:
        return [
            f"{one.name}: the shapes of {equal} of {len(pairs)} samples equal the reference "
            f"(required: {100 * rules.matched:.0f} %)"
        ]
    return output_reasons(one, values, rules)


def output_parity(
    name: str, reference: Sequence[Outputs], candidate: Sequence[Outputs]
) -> OutputParity:
    """One output over all images; the denominator of `max_rel` is at least 0.1 % of the scale."""
    wanted, seen = (v.astype(np.float64) for v in _values(name, reference, candidate))
    difference, size = np.abs(seen - wanted), np.abs(wanted)
    scale = float(size.max(initial=0.0))
    relative = difference / np.maximum(size, max(1e-3 * scale, 1e-12))
    # sums, not BLAS: pairwise, so more exact, and no threads
    norms = float(np.sqrt(np.sum(wanted * wanted) * np.sum(seen * seen)))
    return OutputParity(
        name=name,
        max_abs=float(difference.max(initial=0.0)),
        max_rel=float(relative.max(initial=0.0)),
        cosine=float(np.sum(wanted * seen)) / norms if norms else float(not difference.any()),
        scale=scale,
    )


def _values(
    name: str, reference: Sequence[Outputs], candidate: Sequence[Outputs]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """All values of an output over samples of equal shapes: the reference's, the candidate's."""
    pairs = [(a[name], b[name]) for a, b in zip(reference, candidate, strict=True)]
    same = [(np.ravel(a), np.ravel(b)) for a, b in pairs if a.shape == b.shape]
    empty = np.zeros(0, pairs[0][0].dtype)
    wanted = np.concatenate([empty, *(a for a, _ in same)])
    return wanted, np.concatenate([empty.astype(pairs[0][1].dtype), *(b for _, b in same)])


def output_reasons(
    one: OutputParity, values: tuple[NDArray[Any], NDArray[Any]], rules: ParityRules
) -> list[str]:
    """The violated rules on a raw output, with figures."""
    wanted, seen = values
    if wanted.dtype.kind in "biu":
        return _whole_reasons(one.name, wanted, seen, rules)
    if not wanted.any() or not seen.any():
        return _zero_reasons(one, seen, rules)
    reasons = []
    if rules.max_abs is not None and one.max_abs > rules.max_abs * max(1.0, one.scale):
        limit = rules.max_abs * max(1.0, one.scale)
        reasons.append(f"{one.name}: max abs difference {one.max_abs:.3g} exceeds {limit:.3g}")
    if one.cosine < rules.cosine:
        reasons.append(f"{one.name}: cosine similarity {one.cosine:.6f} is below {rules.cosine}")
    gain = _gain(wanted.astype(np.float64), seen.astype(np.float64))
    if rules.gain is not None and not reasons and abs(gain - 1) > rules.gain:
        reasons.append(
            f"{one.name}: scaled by {gain:.3g} against the reference "
            f"(limits {1 - rules.gain:.3g} to {1 + rules.gain:.3g})"
        )
    return reasons


def _whole_reasons(
    name: str, wanted: NDArray[Any], seen: NDArray[Any], rules: ParityRules
) -> list[str]:
    equal = int(np.sum(wanted == seen))
    if equal >= rules.matched * wanted.size - 1e-9:
        return []
    return [
        f"{name}: {equal} of {wanted.size} integers equal the reference "
        f"(required: {100 * rules.matched:.0f} %)"
    ]


def _zero_reasons(one: OutputParity, seen: NDArray[Any], rules: ParityRules) -> list[str]:
    """One side is all 0: there is no cosine similarity, only a magnitude."""
    if one.max_abs <= rules.zero:
        return []
    if seen.any():
        return [f"{one.name}: values up to {one.max_abs:.3g}, but the reference is all 0"]
    return [f"{one.name}: all values are 0, but the reference reaches {one.scale:.3g}"]


def _gain(wanted: NDArray[np.float64], seen: NDArray[np.float64]) -> float:
    """The factor that makes the reference fit best, by least squares."""
    return float(np.sum(wanted * seen) / np.sum(wanted * wanted))


# ---- boxes -------------------------------------------------------------------------------------


def count_boxes(
    spec: ModelSpec,
    rules: ParityRules,
    reference: Outputs,
    candidate: Outputs,
    geometry: Geometry,
    tally: Tally,
) -> None:
    """Add one image to `tally`. Both are decoded a margin below the threshold, to find matches."""
    # masks and keypoints are not compared here, so they need not be made
    task = REGISTRY["detection" if spec.task in MASKED else spec.task]
    threshold = number(spec, "score_threshold")
    low, high = threshold - rules.score_margin, threshold + rules.score_margin
    wanted = task.postprocess(reference, geometry, spec, score_threshold=low)
    seen = task.postprocess(candidate, geometry, spec, score_threshold=low)
    pairs = partners(wanted, seen, rules.iou)
    certain = [(a, b, v) for a, b, v in pairs if wanted.scores[a] >= threshold]
    tally.ious += [overlap for _, _, overlap in certain]
    tally.shifts += [float(seen.scores[b] - wanted.scores[a]) for a, b, _ in certain]
    paired_wanted, paired_seen = {a for a, _, _ in pairs}, {b for _, b, _ in pairs}
    tally.missing += len(set(np.flatnonzero(wanted.scores >= high).tolist()) - paired_wanted)
    tally.extra += len(set(np.flatnonzero(seen.scores >= high).tolist()) - paired_seen)


def partners(a: Detections, b: Detections, least_iou: float) -> list[tuple[int, int, float]]:
    """Pairs (index in a, index in b, IoU) of one label, greedily, best overlap first."""
    overlaps = np.where(a.labels[:, None] == b.labels[None, :], iou(a.boxes, b.boxes), 0)
    pairs = []
    while overlaps.size:
        first, second = np.unravel_index(int(overlaps.argmax()), overlaps.shape)
        best = float(overlaps[first, second])
        if best < least_iou:
            break
        pairs.append((int(first), int(second), best))
        overlaps[first, :] = overlaps[:, second] = -1
    return pairs


def box_reasons(tally: Tally, rules: ParityRules) -> list[str]:
    """The violated rules on boxes, with figures."""
    matched, wanted = len(tally.ious), len(tally.ious) + tally.missing
    reasons = []
    if matched < rules.matched * wanted - 1e-9:
        reasons.append(
            f"boxes: {matched} of {wanted} reference boxes matched with IoU >= {rules.iou} "
            f"(required: {100 * rules.matched:.0f} %)"
        )
    if tally.extra > (1 - rules.matched) * wanted + 1e-9:
        reasons.append(
            f"boxes: {tally.extra} extra boxes for {wanted} reference boxes "
            f"(limit {100 * (1 - rules.matched):.0f} %)"
        )
    shift = float(np.mean(tally.shifts)) if tally.shifts else 0.0
    if abs(shift) > rules.score_margin:
        reasons.append(f"boxes: mean score shift {shift:+.3g} exceeds {rules.score_margin:g}")
    return reasons

"""Checks, before anything runs, whether the annotations suffice for a model's metrics."""

from __future__ import annotations

from .. import tasks
from ..records import ModelSpec
from . import masks, miou, oks
from .class_names import class_map, class_notes
from .truth import Truth, check_boxes


def scoring_notes(truth: Truth, spec: ModelSpec) -> tuple[str, ...]:
    """How unusual annotations were read, and what is not scored.

    A model that finds boxes needs boxes; one that finds masks, outlines; keypoints, marks. Raises
    ConfigError for annotations that lack them.
    """
    notes = [*truth.notes, *class_notes(truth, spec.classes)]
    metric = tasks.REGISTRY[spec.task].METRIC
    if metric in ("coco-map", "oks"):
        labels = class_map(truth, spec.classes).labels
        check_boxes(truth, [one for one in truth.annotations if one.category_id in labels])
    if spec.task == "instance-segmentation":
        notes += masks.scored_notes(truth)
    if metric == "miou":
        notes += miou.scored_notes(truth, spec.classes)
    if metric == "oks":
        notes += oks.keypoint_notes(truth)
    return tuple(notes)

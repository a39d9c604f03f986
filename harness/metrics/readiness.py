"""Checks, before anything runs, whether the annotations suffice for a model's metrics."""

from __future__ import annotations

from ..records import ModelSpec
from . import masks
from .class_names import class_map, class_notes
from .truth import Truth, check_boxes


def scoring_notes(truth: Truth, spec: ModelSpec) -> tuple[str, ...]:
    """How unusual annotations were read, and what is not scored.

    A model with boxes needs boxes; one with mask prototypes needs outlines. Raises
    ConfigError if the annotations lack them.
    """
    notes = [*truth.notes, *class_notes(truth, spec.classes)]
    if "boxes" in spec.outputs:
        labels = class_map(truth, spec.classes).labels
        check_boxes(truth, [one for one in truth.annotations if one.category_id in labels])
    if "protos" in spec.outputs:
        notes += masks.scored_notes(truth)
    return tuple(notes)

"""Whether annotations are all that a model's scores need, known before anything runs."""

from __future__ import annotations

from ..records import ModelSpec
from . import masks
from .class_names import class_map, class_notes
from .truth import Truth, check_boxes


def scoring_notes(truth: Truth, spec: ModelSpec) -> tuple[str, ...]:
    """What was made of the annotations, and what of them, or of the model, is not scored.

    A model that puts out boxes needs boxes; one that puts out prototypes of masks, outlines. Raises
    ConfigError for annotations that lack them.
    """
    notes = [*truth.notes, *class_notes(truth, spec.classes)]
    if "boxes" in spec.outputs:
        labels = class_map(truth, spec.classes).labels
        check_boxes(truth, [one for one in truth.annotations if one.category_id in labels])
    if "protos" in spec.outputs:
        notes += masks.scored_notes(truth)
    return tuple(notes)

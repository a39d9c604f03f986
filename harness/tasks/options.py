"""Task settings that a model's `task_options` may override, with their defaults."""

from __future__ import annotations

from ..records import ModelSpec

DEFAULTS: dict[str, float] = {
    "max_detections": 100,
    "nms_iou": 0.7,
    "score_threshold": 0.25,
    "accuracy_score_threshold": 0.01,
    "top_k": 5,
    "resize": 0,
}


def number(spec: ModelSpec, name: str) -> float:
    """The model's setting `name`, or its default; raises TypeError if it is not a number."""
    value = spec.task_options.get(name, DEFAULTS[name])
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"model {spec.name}: task_options.{name}: {value!r} is not a number")
    return float(value)

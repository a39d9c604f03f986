"""How the raw outputs of a detector become boxes, scores and labels: one file for each convention.

Runs where the model runs: numpy only, Python 3.8. A decoder is a module that satisfies `Decoder`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Final, List, Mapping, Optional, Tuple

from ...records import ModelSpec
from . import (
    boxes_scores,
    detr,
    nms_inside,
    ssd,
    ssd_postprocess,
    yolo_end2end,
    yolov5,
    yolov5_heads,
    yolov8,
    yolov8_pose,
    yolov8_seg,
)
from .shapes import Found, Match, OtherOutputs, Shape, match, shape_of
from .spec import Decoded, Decoder, DecoderSpec, Output

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["REGISTRY", "Decoded", "Decoder", "DecoderSpec", "Found", "Output"]

REGISTRY: Final[Dict[str, Decoder]] = {
    "boxes-scores": boxes_scores,
    "yolov5": yolov5,
    "yolov5-heads": yolov5_heads,
    "yolov8": yolov8,
    "yolov8-seg": yolov8_seg,
    "yolov8-pose": yolov8_pose,
    "yolo-end2end": yolo_end2end,
    "ssd": ssd,
    "ssd-postprocess": ssd_postprocess,
    "detr": detr,
    "nms-inside": nms_inside,
}
USUAL: Final = "boxes-scores"
#: a table that would have more is turned, or no table of keypoints
MOST_KEYPOINTS: Final = 500
#: tasks whose outputs a decoder reads, and what it must find beside boxes
TASKS: Final = {"detection": "", "instance-segmentation": "masks", "keypoints": "keypoints"}


def of(spec: ModelSpec) -> Decoder:
    """The decoder that the model names, or the usual one."""
    return REGISTRY[spec.decoder or USUAL]


def found_in(outputs: Mapping[str, NDArray[Any]], spec: ModelSpec) -> Found:
    """The outputs of one image by their role; raises ValueError where they do not fit."""
    wanted = of(spec).SPEC.outputs
    named = (name for name in spec.outputs if name in outputs)
    shapes = tuple((name, shape_of(outputs[name])) for name in named)
    options = ((one.role, spec.task_options.get(f"{one.role}_output")) for one in wanted)
    chosen = tuple((role, str(name)) for role, name in options if name is not None)
    try:
        return Found(outputs, match(wanted, shapes, len(spec.classes), chosen))
    except OtherOutputs as error:
        free = [name for name, one in REGISTRY.items() if not one.SPEC.needs]
        others = [name for name in free if fits(name, dict(shapes), len(spec.classes))]
        would = f"; decoder {' or '.join(others)} would fit" if others else ""
        raise OtherOutputs(f"{error}{would}") from None


def fits(name: str, outputs: Mapping[str, Shape], classes: Optional[int] = None) -> Optional[Match]:
    """How outputs of these shapes fit a decoder, for proposing one; None where they do not.

    Where the number of classes is not known, it is the match's letter C.
    """
    spec = REGISTRY[name].SPEC
    try:
        found = match(spec.outputs, tuple(outputs.items()), classes)
    except ValueError:
        return None
    if "keypoints" in spec.finds and not 0 < found.letters["K"] <= MOST_KEYPOINTS:
        return None
    return found


def options_of(spec: ModelSpec) -> Tuple[str, ...]:
    """The options that the model's decoder reads."""
    if spec.task not in TASKS:
        return ()
    found = of(spec).SPEC
    roles = (f"{one.role}_output" for one in found.outputs)
    return ("box_order", "box_units", *roles, *found.options)


def mistakes(spec: ModelSpec) -> List[Tuple[str, str]]:
    """Key of model.yaml and what is wrong there, known before the model runs."""
    if spec.task not in TASKS:
        return [("decoder", f"task {spec.task} has no decoders")] if spec.decoder else []
    found, name = of(spec).SPEC, spec.decoder or USUAL
    lacking = [option for option in found.needs if option not in spec.task_options]
    wrong = [("options", f"decoder {name} needs {', '.join(lacking)}")] if lacking else []
    asked = TASKS[spec.task]
    if asked and asked not in found.finds:
        others = [key for key, one in REGISTRY.items() if asked in one.SPEC.finds]
        what = f"decoder {name} finds no {asked}; take {' or '.join(others)}"
        wrong.append(("decoder" if spec.decoder else "task", what))
    return wrong

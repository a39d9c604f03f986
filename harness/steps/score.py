"""Accuracy of a cell's decoded predictions against its dataset."""

from __future__ import annotations

import math
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import tasks
from ..errors import StepFailed
from ..metrics import REGISTRY
from ..records import ModelSpec, Scores
from ..serial import PARSING

COLUMNS = ("image_id", "box", "score", "label", "image_size")

DAMAGE = (
    *(OSError, EOFError, ValueError, KeyError, NotImplementedError, RuntimeError),
    *(MemoryError, OverflowError, SyntaxError, tokenize.TokenError),
    *(zipfile.BadZipFile, zlib.error),
)
"""What numpy and zipfile raise over a damaged archive: fuzzing found every one of them."""


def score(spec: ModelSpec, predictions: Path, annotations: Path, dataset: str) -> Scores:
    """Score `predictions` (see docs/design.md) over the images that it says were looked at.

    `annotations` is the COCO file of the dataset called `dataset`.
    """
    arrays = read_predictions(predictions)
    name = tasks.REGISTRY[spec.task].METRIC
    metric = REGISTRY[name]
    values = metric.score(arrays, annotations, spec.classes)
    known = {v.name: values[v.name] for v in metric.SPEC.values if v.name in values}
    finite = {key: value for key, value in known.items() if math.isfinite(value)}
    return Scores(dataset, len(arrays["image_size"]), finite, name)


def read_predictions(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of `path`; raises StepFailed if it is damaged or its columns do not fit."""
    try:
        with PARSING, path.open("rb") as file, np.load(file) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except DAMAGE as error:
        reason = str(error) or type(error).__name__
        raise StepFailed(f"{path}: cannot be read: {reason}", "run the cell again") from error
    lacking = [name for name in COLUMNS if name not in arrays]
    if lacking:
        raise StepFailed(f"{path}: lacks {', '.join(lacking)}", "run the cell again")
    lengths = {name: len(arrays[name]) for name in (*COLUMNS[:4], "rle_end") if name in arrays}
    if len(set(lengths.values())) > 1:
        raise StepFailed(f"{path}: columns differ in length: {lengths}", "run the cell again")
    return arrays

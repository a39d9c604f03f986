"""A job's samples as a model takes them, and its outputs as a task reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from .. import tasks
from ..formats.engine import Engine
from ..formats.feeds import Feeds, feeds
from ..records import ModelSpec
from ..tasks import Geometry
from ..tasks import pack as packs
from ..tasks.inputs import arranged, check_whole
from .job import Job

#: the values of a sample, an array for each input in its shape of model.yaml
Ready = Tuple[np.ndarray, ...]


def of(job: Job) -> List[Tuple[int, Any]]:
    """Id and sample of the first `job.images` of the pack."""
    return packs.open_pack(Path(job.pack))[: job.images]


def prepared(sample: Any, model: ModelSpec) -> Tuple[Ready, Geometry]:
    """The values of a sample, and the inverse mapping."""
    ready, geometry = tasks.REGISTRY[model.task].preprocess(sample, model)
    return (ready if isinstance(ready, tuple) else (arranged(ready, model),)), geometry


def fed(ready: Ready, model: ModelSpec, engine: Engine) -> Feeds:
    """What the engine takes; raises ValueError for values that its inputs cannot have."""
    if tasks.takes_images(model.task):
        check_whole(model, engine.inputs[0])
    return feeds(ready, model, engine.inputs)


def outputs_of(engine: Engine, model: ModelSpec) -> Dict[str, np.ndarray]:
    """The model's outputs after a run; of a batch of images, those of the first.

    Raises ValueError for a missing output, or one of a batch that is not divided by it.
    """
    found = engine.fetch()
    missing = [name for name in model.outputs if name not in found]
    if missing:
        raise ValueError(
            "missing output %s: the model returns %s" % (", ".join(missing), ", ".join(found))
        )
    if model.batch == 1 or not tasks.takes_images(model.task):
        return {name: found[name] for name in model.outputs}
    return {name: _first(name, found[name], model.batch) for name in model.outputs}


def _first(name: str, value: np.ndarray, batch: int) -> np.ndarray:
    if value.shape[:1] != (batch,):
        raise ValueError(
            f"output {name} has shape {value.shape}: its first dimension must be the batch, {batch}"
        )
    return value[:1]


def stacked(rows: Sequence[Dict[str, np.ndarray]]) -> Dict[str, np.ndarray]:
    """The arrays of `outputs.npz`: each output (n, ...) over the samples.

    One whose shape differs between samples is flat, with its shapes (n, sides) in `NAME:shapes`.
    """
    made: Dict[str, np.ndarray] = {}
    for name in rows[0] if rows else ():
        values = [row[name] for row in rows]
        if len({value.shape for value in values}) == 1:
            made[name] = np.stack(values)
            continue
        sides = {value.ndim for value in values}
        if len(sides) > 1:
            raise ValueError(f"output {name} has {min(sides)} dimensions, then {max(sides)}")
        made[name] = np.concatenate([value.reshape(-1) for value in values])
        made[name + ":shapes"] = np.array([value.shape for value in values], np.int64)
    return made

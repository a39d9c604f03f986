"""Checks of a converted model on its device: parity, placement, accuracy.

Each is a function of its inputs; passes over images are cached.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from .. import tasks
from ..errors import StepFailed
from ..records import Parity, Scores
from ..runner.job import Pass
from ..steps import parity
from ..steps.infer import LoadedArtifact, infer, infer_together, read_outputs
from ..steps.jobs import JobLimits
from ..steps.score import score
from ..tasks.pack import open_pack
from .job import ModelInputs, RunRules


def parity_images(pack: Path, rules: RunRules) -> int:
    """How many images of the pack the parity check uses."""
    return min(rules.parity_images, len(open_pack(pack)))


def run_ahead(
    cache: Path, loaded: LoadedArtifact, inputs: ModelInputs, rules: RunRules, limits: JobLimits
) -> None:
    """Run all passes that the checks below need in one process, if several are not cached."""
    few, full = str(cache / inputs.few_pack), str(cache / inputs.full_pack)
    passes = [Pass("outputs", few, parity_images(cache / inputs.few_pack, rules))]
    if rules.profile_runs:
        passes.append(Pass("profile", few, rules.profile_runs))
    if inputs.reference_scores:
        passes.append(Pass("predict", full, inputs.images))
    infer_together(cache, passes, loaded, limits)


def check_parity(
    cache: Path, loaded: LoadedArtifact, inputs: ModelInputs, rules: RunRules, limits: JobLimits
) -> Parity:
    """Compare outputs with the fp32 reference on real images; raises like running the model."""
    pack = cache / inputs.few_pack
    count = parity_images(pack, rules)
    task = tasks.REGISTRY[inputs.spec.task]
    images = open_pack(pack)[:count]
    geometries = [task.preprocess(image, inputs.spec)[1] for _, image in images]
    seen, _ = infer(cache, "outputs", loaded, pack, count, limits)
    reference, candidate = (
        read_outputs(inputs.spec, count, path) for path in (cache / inputs.reference_outputs, seen)
    )
    return parity.compare(inputs.spec, loaded.precision, reference, candidate, geometries)


def profile_layers(
    cache: Path, loaded: LoadedArtifact, inputs: ModelInputs, rules: RunRules, limits: JobLimits
) -> Path:
    """`layers.json` of a profiling pass on one CPU."""
    alone = replace(limits, cpus=limits.cpus[-1:])
    pack = cache / inputs.few_pack
    return infer(cache, "profile", loaded, pack, rules.profile_runs, alone)[0]


def predict(cache: Path, loaded: LoadedArtifact, inputs: ModelInputs, limits: JobLimits) -> Path:
    """`predictions.npz` over every image of the dataset that is scored."""
    pack = cache / inputs.full_pack
    return infer(cache, "predict", loaded, pack, inputs.images, limits)[0]


def predict_and_score(
    cache: Path, loaded: LoadedArtifact, inputs: ModelInputs, limits: JobLimits
) -> tuple[Path, Scores]:
    """The predictions and their scores."""
    predictions = predict(cache, loaded, inputs, limits)
    annotations = Path(inputs.annotations)
    return predictions, score(inputs.spec, predictions, annotations, inputs.dataset)


def check_accuracy(loaded: LoadedArtifact, scores: Scores, reference: Scores) -> float | None:
    """The ratio of its metric to the reference's; raises StepFailed beyond the limit."""
    ratio, reasons = parity.check_metrics(loaded.precision, scores.values, reference.values)
    if reasons:
        raise StepFailed(
            f"accuracy: {'; '.join(reasons)}",
            "Try a higher precision or calibrated int8.",
        )
    return ratio

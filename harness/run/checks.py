"""What is checked of a converted model where it will run: parity, placement, accuracy.

Each is a function of its inputs; the passes over images come from the cache where they are there.
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
    """How many images of the pack go through both models."""
    return min(rules.parity_images, len(open_pack(pack)))


def run_ahead(
    cache: Path, loaded: LoadedArtifact, inputs: ModelInputs, rules: RunRules, limits: JobLimits
) -> None:
    """All passes that the checks below look for, in one process where the cache lacks several."""
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
    """Outputs against the fp32 reference on real images; raises what running the model raises."""
    pack = cache / inputs.few_pack
    count = parity_images(pack, rules)
    task = tasks.REGISTRY[inputs.spec.task]
    images = open_pack(pack)[:count]
    geometries = [task.preprocess(image, inputs.spec)[1] for _, image in images]
    seen, _ = infer(cache, "outputs", loaded, pack, count, limits)
    reference, candidate = (
        parity.split(read_outputs(inputs.spec, count, path))
        for path in (cache / inputs.reference_outputs, seen)
    )
    return parity.compare(inputs.spec, loaded.precision, reference, candidate, geometries)


def profile_layers(
    cache: Path, loaded: LoadedArtifact, inputs: ModelInputs, rules: RunRules, limits: JobLimits
) -> Path:
    """`layers.json` of a pass that asks the runtime what ran where, on one CPU."""
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
    """The predictions, and what they are worth."""
    predictions = predict(cache, loaded, inputs, limits)
    annotations = Path(inputs.annotations)
    return predictions, score(inputs.spec, predictions, annotations, inputs.dataset)


def check_accuracy(loaded: LoadedArtifact, scores: Scores, reference: Scores) -> float | None:
    """Its metric over the reference's; raises StepFailed when it lost more than it may."""
    ratio, reasons = parity.check_metrics(loaded.precision, scores.values, reference.values)
    if reasons:
        raise StepFailed(
            f"accuracy: {'; '.join(reasons)}",
            "Try a higher precision or calibrated int8; an inaccurate model is not timed.",
        )
    return ratio

"""What a dataset is understood as, and all that is wrong with it: for `bench dataset check`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ..errors import ConfigError, StepFailed
from ..metrics.readiness import scoring_notes
from ..metrics.truth import Truth
from ..records import ModelSpec
from . import dataset_kinds, datasets, image_files, tensor_data
from .dataset_kinds import findings
from .dataset_kinds.findings import OF_FILES, Groups, Wrong
from .dataset_kinds.found import Found, Reading
from .dataset_kinds.source import Source
from .file_facts import FileFacts
from .tensor_data import Generator

#: what one image or label can be wrong in, and the others are understood all the same
FORGIVEN = OF_FILES | {findings.LABELS}


@dataclass(frozen=True)
class Checked:
    """What is there, in counts, and what is wrong, by kinds of mistakes."""

    title: str
    images: int = 0
    boxes: int = 0
    #: of boxes: with an outline, too
    outlines: int = 0
    #: classes of whole images
    labels: int = 0
    classes: tuple[tuple[str, int], ...] = ()
    #: (width, height) -> images
    sizes: dict[tuple[int, int], int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    wrong: Groups = field(default_factory=dict)
    hint: str = ""


def check_tensors(source: Source, spec: ModelSpec, generators: Mapping[str, Generator]) -> Checked:
    """Read every file of a dataset of tensors. It never raises ConfigError."""
    wrong = Wrong()
    try:
        paths = tensor_data.listed(source)
    except ConfigError as error:
        wrong.take(findings.DESCRIBED, error)
        return Checked("not read", wrong=wrong.groups, hint=wrong.hint)
    for path in paths:
        try:
            tensor_data.read_file(path, spec, generators)
        except StepFailed as error:
            wrong.add(findings.SAMPLES, error.message, tensor_data.HINT)
    return Checked(f"tensors, {len(paths):,} samples", wrong=wrong.groups, hint=wrong.hint)


def check(source: Source, spec: ModelSpec | None = None, *, decode: bool = False) -> Checked:
    """Read all of a dataset but its pixels; with `decode`, these too. It never raises ConfigError.

    `spec`: whether it is all that the model's scores need.
    """
    wrong = Wrong(forgiven=FORGIVEN)
    facts = FileFacts(source.path)
    try:
        found = dataset_kinds.read(source, Reading(facts, wrong, whole=True))
    except ConfigError as error:
        known = Wrong()
        known.take(findings.DESCRIBED, error)
        return Checked("not read", wrong=known.groups, hint=error.hint)
    facts.save()
    sizes = _sizes(found, wrong, decode)
    notes = found.notes + (_model_notes(found.truth, spec, wrong) if spec else found.truth.notes)
    counted = _counted(found)
    return replace(counted, sizes=sizes, notes=notes, wrong=wrong.groups, hint=wrong.hint)


def _counted(found: Found) -> Checked:
    labels = found.truth.annotations
    count = Counter(one.category_id for one in labels)
    boxed = [one for one in labels if one.box is not None]
    return Checked(
        title=found.title,
        images=len(found.pictures),
        boxes=len(boxed),
        outlines=sum(bool(one.segmentation) for one in boxed),
        labels=len(labels) - len(boxed),
        classes=tuple((one.name, count[one.id]) for one in found.truth.categories),
    )


def _sizes(found: Found, wrong: Wrong, decode: bool) -> dict[tuple[int, int], int]:
    """Of every image, by its header; a mistake for each that is damaged, or of another size."""
    sizes: Counter[tuple[int, int]] = Counter()
    there = [one for one in found.pictures if one.path.is_file()]
    for one in there:
        try:
            about = f" (image id {one.id})"
            height, width = image_files.size_of(one.path, one.height, one.width, about)
            if decode:
                datasets.decode(one)
        except ConfigError as error:
            wrong.take(findings.DAMAGED, error)
        else:
            sizes[width, height] += 1
    return dict(sizes.most_common())


def _model_notes(truth: Truth, spec: ModelSpec, wrong: Wrong) -> tuple[str, ...]:
    try:
        return scoring_notes(truth, spec)
    except ConfigError as error:
        wrong.take(findings.CLASSES, error)
        return truth.notes

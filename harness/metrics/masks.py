"""The requirements of mask scoring on annotations, beyond those of box scoring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..errors import ConfigError
from . import coco_rle, outlines
from .coco_entries import Annotation
from .outlines import Outline, RunLengths
from .truth import MEND, Truth

#: height and width; (0, 0) where they are not known
Size = tuple[int, int]


def of_annotations(
    truth: Truth, chosen: Sequence[Annotation], sizes: Mapping[int, Size]
) -> list[Outline | None]:
    """Outline of each annotation, or None; `sizes` are the images' sizes by id.

    Raises ConfigError with every invalid outline.
    """
    found: list[Outline | None] = []
    mistakes: dict[int, str] = {}
    for one in chosen:
        try:
            outline = outlines.parse(one.segmentation)
        except ValueError as error:
            outline, mistakes[one.at] = None, str(error)
        found.append(outline)
    mistakes |= run_mistakes(chosen, found, sizes)
    if mistakes:
        where = f"{truth.path}: annotations"
        lines = [f"{where}[{at}].segmentation{what}" for at, what in sorted(mistakes.items())]
        raise ConfigError(lines, MEND)
    return found


def run_mistakes(
    chosen: Sequence[Annotation], found: Sequence[Outline | None], sizes: Mapping[int, Size]
) -> dict[int, str]:
    """Position of an annotation -> the mistake in its run lengths, some of which hang scorers."""
    pairs = zip(chosen, found, strict=True)
    runs = [(one, outline) for one, outline in pairs if isinstance(outline, RunLengths)]
    texts = [one.counts if isinstance(one.counts, str) else "" for _, one in runs]
    covered = coco_rle.pixels(texts).tolist()
    mistakes = {}
    for (one, outline), pixels in zip(runs, covered, strict=True):
        size = outline.height, outline.width
        if not isinstance(outline.counts, str):
            pixels = sum(outline.counts)
        if sizes[one.image_id] not in (size, (0, 0)):
            height, width = sizes[one.image_id]
            mistakes[one.at] = f".size: expected the image's [{height}, {width}], got {list(size)}"
        elif pixels != outline.height * outline.width:
            mistakes[one.at] = (
                f".counts: cover {pixels:,} pixels, the image has "
                f"{outline.height * outline.width:,}"
            )
    return mistakes


def scored_notes(truth: Truth) -> tuple[str, ...]:
    """Whether masks can be scored; raises ConfigError for invalid outlines."""
    sizes = {one.id: (one.height, one.width) for one in truth.images}
    boxed = [one for one in truth.annotations if one.box]
    found = of_annotations(truth, boxed, sizes)
    lacking = [one.at for one, outline in zip(boxed, found, strict=True) if outline is None]
    flat = sum(outline == () for outline in found)
    notes = []
    if lacking:
        count = f"{len(lacking):,} of {len(boxed):,} annotations have no outline"
        notes.append(f"masks are not scored: {count} (first {truth.place(lacking[0])})")
    if flat:
        notes.append(f"outlines with fewer than three corners, which no mask matches: {flat:,}")
    return tuple(notes)

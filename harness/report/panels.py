"""Draws example detections: ground truth, reference, the cell's own, and the cropped card."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from harness.records import Cell
from harness.report.page import file_name
from harness.report.pictures import (
    MOST_DIFFERENT,
    SAME,
    PictureSource,
    Polygon,
    choose,
    read_predictions,
)
from harness.tasks.crop import crop_card, mean_sides, quadrilateral
from harness.tasks.detections import Detections
from harness.tasks.rle import decode

_WIDTH: Final = 480
_CROP_WIDTH: Final = 280
_MOST_BYTES: Final = 60_000
_COLOURS: Final = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (204, 121, 167), (240, 228, 66))
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Panel:
    """One image: its file relative to the report, and its text alternative."""

    title: str
    path: str
    words: str
    width: int
    height: int


@dataclass(frozen=True)
class PanelRow:
    """One image of the dataset."""

    image_id: int
    why: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Drawn:
    """Rows for the page and the bytes of their files, by path relative to the report."""

    rows: tuple[PanelRow, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    #: reason, if there are none
    missing: str = ""


def draw(source: PictureSource, cell: Cell, reference: Cell | None) -> Drawn:
    """Panels for about four images; empty without predictions."""
    mine = read_predictions(source.predictions(cell))
    other = read_predictions(source.predictions(reference)) if reference else {}
    own = reference is not None and reference.id == cell.id
    files: dict[str, bytes] = {}
    rows = []
    chosen = choose(source.image_ids(), mine, {} if own else other)
    for place, (image_id, far) in enumerate(chosen):
        beside = None if own else other.get(image_id)
        why = "" if beside is None else _why(far, place)
        rows.append(_row(source, cell, image_id, mine[image_id], beside, why, files))
    return Drawn(tuple(rows), files)


def _row(
    source: PictureSource,
    cell: Cell,
    image_id: int,
    mine: Detections,
    other: Detections | None,
    why: str,
    files: dict[str, bytes],
) -> PanelRow:
    picture = source.image(image_id)

    def panel(title: str, name: str, words: str, pixels: Picture) -> Panel:
        path = f"cells/{file_name(cell.id)}/{image_id}-{name}.jpg"
        files[path] = jpeg(pixels)
        return Panel(title, path, words, pixels.shape[1], pixels.shape[0])

    outlines = source.truth(image_id)
    panels = [
        panel(
            "Ground truth", "truth", counted(len(outlines), "object"), outlined(picture, outlines)
        )
    ]
    if other is not None:
        panels.append(panel("Reference", "reference", _words(other), detected(picture, other)))
    panels.append(panel("This cell", "cell", _words(mine), detected(picture, mine)))
    panels += _crop(picture, mine, panel)
    return PanelRow(image_id, why, tuple(panels))


def _crop(
    picture: Picture, found: Detections, panel: Callable[[str, str, str, Picture], Panel]
) -> list[Panel]:
    """The most confident detection's card, rectified; empty if it has no corners."""
    height, width = picture.shape[:2]
    if not found.masks or int(found.masks[0].sum()) != height * width:
        return []
    try:
        quad = quadrilateral(decode(found.masks[0], (height, width)))
    except ValueError:
        return []
    short, long = sorted(mean_sides(quad))
    size = (_CROP_WIDTH, max(1, round(_CROP_WIDTH * short / long)))
    words = f"card with score {found.scores[0]:.2f}, rectified"
    return [panel("Crop", "crop", words, crop_card(picture, quad, size))]


def _words(found: Detections) -> str:
    if not len(found):
        return "no detections"
    scores = ", ".join(f"{score:.2f}" for score in found.scores[:5])
    return f"{counted(len(found), 'detection')}, scores {scores}"


def _why(far: float, place: int) -> str:
    """Why the image is shown, and its difference from the reference."""
    if far <= SAME:
        return "same as the reference"
    kind = "differs most" if place < MOST_DIFFERENT else "differs"
    return f"{kind} from the reference ({far:.2f})"


def counted(number: int, noun: str) -> str:
    """`1 object`, `7 objects`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def outlined(picture: Picture, outlines: Sequence[Polygon]) -> Picture:
    """The image at the panel's width, with the ground truth's outlines."""
    image, scale = narrowed(picture)
    pen = ImageDraw.Draw(image)
    for number, outline in enumerate(outlines):
        corners = [(float(x), float(y)) for x, y in outline * scale]
        pen.line([*corners, corners[0]], fill=_COLOURS[number % len(_COLOURS)], width=3)
    return np.asarray(image)


def detected(picture: Picture, found: Detections) -> Picture:
    """The image with tinted masks, boxes and scores, best first."""
    image, scale = narrowed(picture)
    image = _tinted(image, found, picture.shape[:2])
    pen, font = ImageDraw.Draw(image), _font()
    for number in reversed(range(len(found))):
        ink = _COLOURS[number % len(_COLOURS)]
        left, top, right, bottom = (float(v) * scale for v in found.boxes[number])
        pen.rectangle((left, top, max(left, right), max(top, bottom)), outline=ink, width=2)
        text, place = f"{found.scores[number]:.2f}", (left + 3, max(0.0, top - 17))
        pen.rectangle(pen.textbbox(place, text, font=font), fill=ink)
        pen.text(place, text, fill=(0, 0, 0), font=font)
    return np.asarray(image)


@lru_cache(maxsize=1)
def _font() -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size=14)


def _tinted(image: Image.Image, found: Detections, size: tuple[int, int]) -> Image.Image:
    """Masks of an image of `size` (height, width) over its narrowed image."""
    mixed = np.array(image)
    rows = np.arange(image.height) * size[0] // image.height
    columns = np.arange(image.width) * size[1] // image.width
    for number, runs in enumerate(found.masks or ()):
        if int(runs.sum()) != size[0] * size[1]:
            continue
        mask = decode(runs, size)[np.ix_(rows, columns)]
        ink = np.array(_COLOURS[number % len(_COLOURS)])
        mixed[mask] = 0.6 * mixed[mask] + 0.4 * ink
    return Image.fromarray(mixed)


def narrowed(picture: Picture) -> tuple[Image.Image, float]:
    """The image at most a panel wide, and the scale that took it there."""
    image = Image.fromarray(picture)
    scale = min(1.0, _WIDTH / image.width)
    size = (round(image.width * scale), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0), scale


def jpeg(pixels: Picture) -> bytes:
    """At most 60 KB, by quality first and then by size."""
    image = Image.fromarray(pixels)
    for quality in (82, 70, 55, 40):
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality, optimize=False)
        if file.tell() <= _MOST_BYTES:
            return file.getvalue()
    return jpeg(np.asarray(image.resize((image.width * 2 // 3, image.height * 2 // 3))))

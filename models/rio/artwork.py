"""Card faces, drawn flat.  Training and validation share neither layouts nor font families."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, ...]
"""Red, green, and blue in 0..255."""

FONTS = {
    "train": (
        ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf"),
        ("DejaVuSerif.ttf", "DejaVuSerif-Bold.ttf"),
        ("DejaVuSansCondensed.ttf", "DejaVuSansCondensed-Bold.ttf"),
        ("Lato-Regular.ttf", "Lato-Heavy.ttf"),
        ("Lato-Light.ttf", "Lato-Medium.ttf"),
        ("OpenSans-Regular.ttf", "OpenSans-Bold.ttf"),
        ("OpenSans-LightItalic.ttf", "OpenSans-Semibold.ttf"),
    ),
    "val": (
        ("LiberationSans-Regular.ttf", "LiberationSans-Bold.ttf"),
        ("LiberationSerif-Regular.ttf", "LiberationSerif-Bold.ttf"),
        ("LiberationMono-Regular.ttf", "LiberationMono-Bold.ttf"),
        ("Roboto-Regular.ttf", "Roboto-Bold.ttf"),
        ("Roboto-Light.ttf", "Roboto-Medium.ttf"),
    ),
}
"""Pairs of a regular and a bold font file, by split."""

FONT_ROOT = Path("/usr/share/fonts/truetype")
"""Where Debian's font packages install TrueType fonts."""

GIVEN = [
    "Ada",
    "Bela",
    "Carmen",
    "Dmitri",
    "Elif",
    "Farid",
    "Greta",
    "Hugo",
    "Ines",
    "Jun",
    "Kofi",
    "Lena",
    "Mira",
    "Noor",
    "Olaf",
    "Priya",
]
FAMILY = [
    "Aalto",
    "Brandt",
    "Castro",
    "Dale",
    "Eriksen",
    "Fofana",
    "Gupta",
    "Horvat",
    "Ito",
    "Jansen",
    "Kaya",
    "Lund",
    "Moreau",
]
ROLES = [
    "Architect",
    "Head of Sales",
    "Engineer",
    "Attorney",
    "Designer",
    "Florist",
    "Director",
    "Consultant",
]
FIRMS = [
    "Nordlicht",
    "Blue Heron",
    "Atelier Sept",
    "Kestrel & Co",
    "Formwerk",
    "Mirador",
    "Tanaka Optics",
]
STREETS = ["Harbour Road", "Linden Street", "Rue Haute", "Mill Lane", "Via Roma", "Park Avenue"]

SIZES_MM = ((85, 55), (89, 51), (90, 54), (91, 55), (86, 54), (84, 48), (74, 52), (65, 65))
"""Common card sizes, width and height in millimetres."""

TEXTURE_WIDTH = 480
"""Longer side of a card face, in pixels."""


@cache
def font(name: str, size: int) -> ImageFont.FreeTypeFont:
    """The font file `name` at `size` pixels."""
    return ImageFont.truetype(str(font_path(name)), size)


@cache
def font_path(name: str) -> Path:
    """The installed file of the font `name`."""
    return next(FONT_ROOT.rglob(name))


@dataclass
class Face:
    """A card face being drawn; lengths and positions are fractions of its width and height."""

    rng: Generator
    image: Image.Image
    regular: str
    bold: str
    ink: Colour
    accent: Colour

    def __post_init__(self) -> None:
        self.draw = ImageDraw.Draw(self.image)
        self.width, self.height = self.image.size

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        anchor: str,
        bold: bool = False,
        fill: Colour | None = None,
    ) -> None:
        """Write `text` at (x, y); `size` is a fraction of the shorter side."""
        name = self.bold if bold else self.regular
        face = font(name, max(6, int(size * min(self.width, self.height))))
        place = (x * self.width, y * self.height)
        self.draw.text(place, text, fill or self.ink, face, anchor)

    def block(self, left: float, top: float, right: float, bottom: float, fill: Colour) -> None:
        """Fill a rectangle."""
        corners = (left * self.width, top * self.height, right * self.width, bottom * self.height)
        self.draw.rectangle(corners, fill)

    def logo(self, x: float, y: float, radius: float, fill: Colour | None = None) -> None:
        """Draw a random emblem centred at (x, y); `radius` is a fraction of the shorter side."""
        fill = fill or self.accent
        size = radius * min(self.width, self.height)
        centre = (x * self.width, y * self.height)
        box = (centre[0] - size, centre[1] - size, centre[0] + size, centre[1] + size)
        kind = self.rng.integers(5)
        if kind == 0:
            self.draw.ellipse(box, fill)
        elif kind == 1:
            self.draw.ellipse(box, None, fill, max(2, int(size / 4)))
        elif kind == 2:
            turn = int(self.rng.integers(90))
            self.draw.regular_polygon((*centre, size), int(self.rng.integers(3, 8)), turn, fill)
        elif kind == 3:
            self.draw.pieslice(box, 30, int(self.rng.integers(180, 350)), fill)
        else:
            self.draw.rounded_rectangle(box, size / 3, fill)

    def lines(self, x: float, y: float, anchor: str, step: float = 0.095) -> None:
        """Write two to four lines of contact details downwards from (x, y)."""
        details = contact(self.rng)
        for index in range(int(self.rng.integers(2, 5))):
            self.text(x, y + index * step, details[index], step * 0.72, anchor)


def pick(rng: Generator, words: list[str]) -> str:
    """One of `words`."""
    return words[rng.integers(len(words))]


def person(rng: Generator) -> str:
    """A made-up name."""
    return f"{pick(rng, GIVEN)} {pick(rng, FAMILY)}"


def contact(rng: Generator) -> list[str]:
    """Four lines of made-up contact details."""
    details = [
        f"+1 555 01{rng.integers(100):02d}",
        f"{pick(rng, GIVEN).lower()}@example.com",
        f"{rng.integers(1, 200)} {pick(rng, STREETS)}",
        "www.example.com",
    ]
    return [details[index] for index in rng.permutation(4)]


def flush_left(face: Face) -> None:
    """Name and details at the left edge, emblem at the top right."""
    face.text(0.07, 0.16, person(face.rng), 0.13, "lm", bold=True)
    face.text(0.07, 0.30, pick(face.rng, ROLES), 0.08, "lm", fill=face.accent)
    face.lines(0.07, 0.56, "lm")
    face.logo(0.85, 0.2, 0.12)


def centred(face: Face) -> None:
    """Everything on the middle axis, emblem on top."""
    face.logo(0.5, 0.2, 0.11)
    face.text(0.5, 0.45, person(face.rng), 0.12, "mm", bold=True)
    face.text(0.5, 0.57, pick(face.rng, ROLES), 0.07, "mm")
    face.lines(0.5, 0.70, "mm", 0.08)


def sidebar(face: Face) -> None:
    """A coloured strip on the left with the emblem."""
    width = face.rng.uniform(0.15, 0.38)
    face.block(0, 0, width, 1, face.accent)
    face.logo(width / 2, 0.3, 0.09, face.ink)
    face.text(width + 0.05, 0.2, person(face.rng), 0.11, "lm", bold=True)
    face.lines(width + 0.05, 0.5, "lm")


def top_band(face: Face) -> None:
    """A coloured band with the firm's name on top."""
    face.block(0, 0, 1, face.rng.uniform(0.2, 0.4), face.accent)
    face.text(0.06, 0.13, pick(face.rng, FIRMS), 0.13, "lm", bold=True)
    face.text(0.06, 0.52, person(face.rng), 0.1, "lm")
    face.lines(0.06, 0.66, "lm", 0.08)


def bottom_band(face: Face) -> None:
    """A coloured band at the bottom, large firm name."""
    face.block(0, face.rng.uniform(0.7, 0.9), 1, 1, face.accent)
    face.text(0.5, 0.25, pick(face.rng, FIRMS), 0.15, "mm", bold=True)
    face.text(0.5, 0.45, person(face.rng), 0.09, "mm")
    face.text(0.5, 0.57, contact(face.rng)[0], 0.07, "mm")


def slanted(face: Face) -> None:
    """A slanted coloured area on the left, text at the right edge."""
    cut = face.rng.uniform(0.2, 0.6) * face.width
    corners = [(0, 0), (cut, 0), (cut * 0.4, face.height), (0, face.height)]
    face.draw.polygon(corners, face.accent)
    face.text(0.95, 0.2, person(face.rng), 0.11, "rm", bold=True)
    face.lines(0.95, 0.55, "rm")


def emblem(face: Face) -> None:
    """The back of a card: a large emblem over the firm's name."""
    face.logo(0.5, 0.42, face.rng.uniform(0.15, 0.28))
    face.text(0.5, 0.83, pick(face.rng, FIRMS), 0.12, "mm", bold=True)


def portrait_photo(face: Face) -> None:
    """A pretended photograph on the left."""
    face.block(0.06, 0.12, 0.34, 0.75, face.accent)
    face.draw.ellipse([face.width * 0.13, face.height * 0.2, face.width * 0.27, face.height * 0.5])
    face.text(0.4, 0.22, person(face.rng), 0.11, "lm", bold=True)
    face.lines(0.4, 0.45, "lm")


def flush_right(face: Face) -> None:
    """Text at the right edge, emblem at the bottom left."""
    face.logo(0.14, 0.78, 0.13)
    face.text(0.94, 0.2, pick(face.rng, FIRMS), 0.12, "rm", bold=True)
    face.text(0.94, 0.36, person(face.rng), 0.085, "rm", fill=face.accent)
    face.lines(0.94, 0.58, "rm")


def halves(face: Face) -> None:
    """Upper half plain with the name, lower half coloured."""
    face.block(0, 0.5, 1, 1, face.accent)
    face.text(0.5, 0.27, person(face.rng), 0.14, "mm", bold=True)
    face.lines(0.5, 0.62, "mm", 0.09)


def framed(face: Face) -> None:
    """A frame around centred text."""
    edge = face.rng.uniform(0.03, 0.07) * face.width
    box = (edge, edge, face.width - edge, face.height - edge)
    face.draw.rectangle(box, None, face.accent, int(face.rng.integers(2, 9)))
    face.text(0.5, 0.32, person(face.rng), 0.11, "mm", bold=True)
    face.lines(0.5, 0.52, "mm", 0.09)


def ruled(face: Face) -> None:
    """Emblem and text on either side of an upright rule."""
    face.block(0.42, 0.15, 0.43, 0.85, face.accent)
    face.logo(0.21, 0.4, 0.14)
    face.text(0.21, 0.75, pick(face.rng, FIRMS), 0.07, "mm", bold=True)
    face.text(0.48, 0.25, person(face.rng), 0.1, "lm", bold=True)
    face.lines(0.48, 0.48, "lm", 0.1)


def dotted(face: Face) -> None:
    """A pattern of small emblems over the firm's name."""
    for column in range(12):
        for row in range(3):
            face.logo(0.06 + column * 0.08, 0.08 + row * 0.1, 0.02)
    face.text(0.06, 0.5, pick(face.rng, FIRMS), 0.15, "lm", bold=True)
    face.lines(0.06, 0.66, "lm", 0.09)


LAYOUTS: dict[str, tuple[Callable[[Face], None], ...]] = {
    "train": (
        *(flush_left, centred, sidebar, top_band),
        *(bottom_band, slanted, emblem, portrait_photo),
    ),
    "val": (flush_right, halves, framed, ruled, dotted),
}
"""Layouts, by split."""


def palette(rng: Generator) -> tuple[Colour, Colour, Colour]:
    """Paper, ink, and accent colours as RGB: light, dark, or coloured card stock."""
    kind = rng.random()
    accent = rng.integers(20, 235, 3)
    if kind < 0.6:
        paper, ink = rng.integers(205, 256) - rng.integers(0, 28, 3), rng.integers(0, 90, 3)
    elif kind < 0.82:
        paper, ink = rng.integers(5, 70, 3), rng.integers(180, 256, 3)
    else:
        paper = rng.integers(20, 240, 3)
        ink = np.full(3, 20 if paper.mean() > 120 else 240)
    return tuple(map(int, np.clip(paper, 0, 255))), tuple(map(int, ink)), tuple(map(int, accent))


def card_face(rng: Generator, split: str, wanted: tuple[int, int] | None = None) -> np.ndarray:
    """One flat card face of `split` as RGBA (H, W, 4) uint8; some have rounded corners.

    `wanted` is its width and height in pixels; without it they are drawn at random.
    """
    long, short = SIZES_MM[rng.integers(len(SIZES_MM))]
    size = (TEXTURE_WIDTH, int(TEXTURE_WIDTH * short / long))
    if rng.random() < 0.2:
        size = size[::-1]
    size = wanted or size
    paper, ink, accent = palette(rng)
    regular, bold = FONTS[split][rng.integers(len(FONTS[split]))]
    face = Face(rng, Image.new("RGB", size, paper), regular, bold, ink, accent)
    LAYOUTS[split][rng.integers(len(LAYOUTS[split]))](face)
    alpha = Image.new("L", size, 255)
    if rng.random() < 0.25:
        alpha = Image.new("L", size, 0)
        radius = rng.uniform(0.03, 0.08) * min(size)
        ImageDraw.Draw(alpha).rounded_rectangle((0, 0, size[0] - 1, size[1] - 1), radius, 255)
    return np.dstack((np.asarray(face.image), np.asarray(alpha)))

"""Flat things with four corners that are no business card: phones, notes, envelopes, screens."""

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw

Colour = tuple[int, ...]


def colour(rng: Generator, low: int, high: int) -> Colour:
    """A random RGB colour with channels in `low`..`high`."""
    return tuple(int(value) for value in rng.integers(low, high, 3))


def phone(rng: Generator) -> Image.Image:
    """A phone lying face up: rounded dark body, screen with icons."""
    width, height = 200, int(rng.integers(390, 440))
    image = Image.new("RGBA", (width, height))
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((0, 0, width - 1, height - 1), 26, (*colour(rng, 5, 50), 255))
    screen = (9, 9, width - 10, height - 10)
    draw.rounded_rectangle(screen, 20, (*colour(rng, 0, 220), 255))
    if rng.random() < 0.7:
        for row in range(int(rng.integers(2, 7))):
            for column in range(4):
                x, y = 24 + column * 40, 50 + row * 48
                draw.rounded_rectangle((x, y, x + 28, y + 28), 7, (*colour(rng, 20, 255), 255))
    return image


def notebook(rng: Generator) -> Image.Image:
    """A ruled or blank page of a notebook with a spiral binding."""
    width, height = 300, 420
    image = Image.new("RGBA", (width, height), (*colour(rng, 215, 255), 255))
    draw = ImageDraw.Draw(image)
    for y in range(60, height - 10, int(rng.integers(14, 26))):
        draw.line((20, y, width - 15, y), (150, 170, 200, 255), 1)
    for x in range(14, width - 8, 16):
        draw.ellipse((x - 4, 6, x + 4, 16), (40, 40, 40, 255))
    if rng.random() < 0.7:
        scribble(rng, draw, (30, 60, width - 30, height - 60))
    return image


def envelope(rng: Generator) -> Image.Image:
    """The back of an envelope with its flap."""
    width, height = 440, int(rng.integers(210, 310))
    paper = colour(rng, 170, 250)
    image = Image.new("RGBA", (width, height), (*paper, 255))
    draw = ImageDraw.Draw(image)
    seam = tuple(int(value * 0.75) for value in paper)
    middle = (width / 2, height * rng.uniform(0.45, 0.65))
    draw.line((0, 0, *middle, width, 0), (*seam, 255), 3)
    draw.line((0, height, *middle, width, height), (*seam, 255), 2)
    return image


def screen(rng: Generator) -> Image.Image:
    """A monitor or tablet: dark bezel, panels, and lines of interface text."""
    width, height = 440, int(rng.integers(260, 320))
    image = Image.new("RGBA", (width, height), (*colour(rng, 5, 45), 255))
    draw = ImageDraw.Draw(image)
    draw.rectangle((14, 14, width - 15, height - 15), (*colour(rng, 10, 250), 255))
    for _ in range(int(rng.integers(2, 6))):
        left, top = int(rng.integers(14, width - 120)), int(rng.integers(14, height - 90))
        right, bottom = left + int(rng.integers(60, 105)), top + int(rng.integers(30, 75))
        draw.rectangle((left, top, right, bottom), (*colour(rng, 10, 250), 255))
    return image


def sticky_note(rng: Generator) -> Image.Image:
    """A square sticky note in a bright colour, some with handwriting."""
    bright = np.array([(250, 235, 110), (250, 160, 190), (150, 220, 245), (170, 235, 140)])
    shade = bright[rng.integers(4)] - rng.integers(0, 30)
    image = Image.new("RGBA", (260, 260), (*map(int, shade), 255))
    if rng.random() < 0.6:
        scribble(rng, ImageDraw.Draw(image), (25, 40, 235, 220))
    return image


def sheet(rng: Generator) -> Image.Image:
    """A letter: a tall page of dense text."""
    image = Image.new("RGBA", (300, 424), (*colour(rng, 225, 255), 255))
    draw = ImageDraw.Draw(image)
    for y in range(40, 390, int(rng.integers(8, 14))):
        draw.line((30, y, int(rng.integers(180, 272)), y), (70, 70, 75, 255), 3)
    return image


def book(rng: Generator) -> Image.Image:
    """A closed book with a plain cover, a spine, and one title block."""
    cover = colour(rng, 20, 220)
    image = Image.new("RGBA", (290, 420), (*cover, 255))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 26, 420), (*(value // 2 for value in cover), 255))
    draw.rectangle((70, 70, 250, int(rng.integers(110, 200))), (*colour(rng, 20, 250), 255))
    return image


def scribble(rng: Generator, draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int]) -> None:
    """Imitate lines of handwriting inside `box` (xyxy in pixels)."""
    left, top, right, bottom = box
    for y in range(top, bottom, int(rng.integers(24, 40))):
        end = int(rng.integers((left + right) // 2, right))
        x = np.arange(left, end, 4)
        wave = y + rng.normal(0, 5, len(x))
        draw.line(list(zip(x.tolist(), wave.tolist(), strict=True)), (40, 45, 90, 255), 2)


KINDS = (phone, notebook, envelope, screen, sticky_note, sheet, book)
"""Every look-alike, in the order of `LENGTHS`."""

LENGTHS = (1.7, 2.2, 2.0, 3.0, 0.9, 2.8, 2.3)
"""Longer side of each look-alike, in card lengths."""


def lookalike(rng: Generator) -> tuple[np.ndarray, float]:
    """A random look-alike as RGBA (H, W, 4) uint8, and its longer side in card lengths."""
    index = int(rng.integers(len(KINDS)))
    image = np.asarray(KINDS[index](rng))
    if rng.random() < 0.5:
        image = np.ascontiguousarray(np.rot90(image))
    return image, LENGTHS[index]

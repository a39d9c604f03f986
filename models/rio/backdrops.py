"""Backgrounds: crops of free photographs, and procedural textures.

Training and validation share neither photographs nor texture families.  The photographs ship inside
the scikit-image package; each one used here is CC0 or in the public domain (see README.md).
Every texture takes a random generator, a height, and a width in pixels, and returns an RGB image
(H, W, 3) of uint8.
"""

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
import skimage.data
from numpy.random import Generator

PHOTOS = {
    "train": ("astronaut", "brick", "gravel", "camera", "rocket", "hubble_deep_field"),
    "val": ("coffee", "chelsea", "grass", "clock"),
}
"""Names of functions of `skimage.data`, by split."""

Texture = Callable[[Generator, int, int], np.ndarray]


@cache
def photograph(name: str) -> np.ndarray:
    """The photograph `name` of scikit-image as RGB (H, W, 3) uint8."""
    picture = getattr(skimage.data, name)()
    if picture.ndim == 2:
        picture = np.repeat(picture[:, :, None], 3, 2)
    return np.ascontiguousarray(picture[:, :, :3])


def tint(rng: Generator, image: np.ndarray, strength: float) -> np.ndarray:
    """Scale each channel of a uint8 image by up to `strength` either way."""
    gains = rng.uniform(1 - strength, 1 + strength, 3).astype(np.float32)
    return np.clip(image * gains, 0, 255).astype(np.uint8)


def photo(rng: Generator, split: str, height: int, width: int) -> np.ndarray:
    """A random crop, turn, mirror, and tint of one of the photographs of `split`."""
    source = photograph(PHOTOS[split][rng.integers(len(PHOTOS[split]))])
    source = np.rot90(source, rng.integers(4))
    scale = rng.uniform(0.35, 1.0) * min(source.shape[0] / height, source.shape[1] / width)
    crop_height, crop_width = int(height * scale), int(width * scale)
    top = rng.integers(source.shape[0] - crop_height + 1)
    left = rng.integers(source.shape[1] - crop_width + 1)
    crop = source[top : top + crop_height, left : left + crop_width]
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    crop = cv2.resize(np.ascontiguousarray(crop), (width, height), interpolation=cv2.INTER_LINEAR)
    return tint(rng, crop, 0.2)


def noise(rng: Generator, height: int, width: int, rows: int, columns: int) -> np.ndarray:
    """Fractal noise (H, W) in 0..1; its coarsest octave has `rows` x `columns` cells."""
    field = np.zeros((height, width), np.float32)
    weight = 1.0
    for _ in range(4):
        cells = rng.random((max(rows, 2), max(columns, 2)), np.float32)
        field += weight * cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC)
        rows, columns, weight = rows * 2, columns * 2, weight * 0.55
    return cv2.normalize(field, None, 0, 1, cv2.NORM_MINMAX)


def colourise(field: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Blend from colour `low` (field 0) to colour `high` (field 1): (H, W) -> (H, W, 3)."""
    blend = low + field[:, :, None] * (high - low)
    return np.clip(blend, 0, 255).astype(np.uint8)


def colours(rng: Generator, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Two RGB colours (float32), up to `spread` apart in each channel."""
    low = rng.uniform(10, 225, 3) * 0.5 + rng.uniform(10, 225) * 0.5
    step = rng.uniform(-spread, spread) + rng.uniform(-spread, spread, 3) * 0.3
    return low.astype(np.float32), (low + step).astype(np.float32)


def plane(rng: Generator, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixel coordinates (u, v), each (H, W) float32, along two random perpendicular axes."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle = rng.uniform(0, np.pi)
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return x * cosine + y * sine, y * cosine - x * sine


def wood(rng: Generator, height: int, width: int) -> np.ndarray:
    """Wood grain: wavy rings with fine streaks, along the width or the height."""
    upright = rng.random() < 0.5
    if upright:
        height, width = width, height
    grain = noise(rng, height, width, 2, int(rng.integers(2, 5)))
    streaks = noise(rng, height, width, int(rng.integers(40, 120)), 3)
    rings = 0.5 + 0.5 * np.sin(grain * rng.uniform(20, 70))
    low = np.array([rng.uniform(60, 130), rng.uniform(35, 85), rng.uniform(15, 55)], np.float32)
    image = colourise(0.6 * rings + 0.4 * streaks, low, low * rng.uniform(1.3, 1.9))
    return np.rot90(image) if upright else image


def cloth(rng: Generator, height: int, width: int) -> np.ndarray:
    """A woven fabric."""
    u, v = plane(rng, height, width)
    pitch = rng.uniform(0.5, 2.0)
    weave = 0.5 + 0.25 * np.sin(u * pitch) + 0.25 * np.sin(v * pitch)
    field = 0.6 * weave + 0.4 * noise(rng, height, width, 4, 5)
    return colourise(field, *colours(rng, 70))


def gradient(rng: Generator, height: int, width: int) -> np.ndarray:
    """A smooth ramp, as on a painted desk."""
    u, _ = plane(rng, height, width)
    return colourise(cv2.normalize(u, None, 0, 1, cv2.NORM_MINMAX), *colours(rng, 110))


def mottle(rng: Generator, height: int, width: int) -> np.ndarray:
    """Fractal blotches, as of plaster or stone."""
    cells = int(rng.integers(2, 30))
    return colourise(noise(rng, height, width, cells, cells), *colours(rng, 120))


def tiles(rng: Generator, height: int, width: int) -> np.ndarray:
    """Square tiles with joints."""
    u, v = plane(rng, height, width)
    side, joint = rng.uniform(40, 160), rng.uniform(2, 7)
    edge = (np.mod(u, side) < joint) | (np.mod(v, side) < joint)
    field = 0.5 * noise(rng, height, width, 5, 6) + 0.5 * edge
    return colourise(field.astype(np.float32), *colours(rng, 110))


def stripes(rng: Generator, height: int, width: int) -> np.ndarray:
    """Stripes of two colours."""
    u, _ = plane(rng, height, width)
    period = rng.uniform(12, 140)
    return colourise((np.mod(u, period) < period * 0.5).astype(np.float32), *colours(rng, 100))


def pages(rng: Generator, height: int, width: int) -> np.ndarray:
    """A sheet of paper with lines of pretended text, filling the frame."""
    shade = float(rng.uniform(180, 250))
    image = np.full((height, width, 3), shade, np.uint8)
    step, ink = int(rng.integers(9, 24)), int(rng.integers(20, 110))
    for y in range(step, height, step):
        x = int(rng.integers(10, 60))
        while x < width - 40:
            word = int(rng.integers(8, 60))
            cv2.line(image, (x, y), (x + word, y), (ink, ink, ink), max(1, step // 4))
            x += word + step // 2
    return image


def shapes(rng: Generator, height: int, width: int) -> np.ndarray:
    """A clutter of ellipses and polygons in many colours."""
    image = gradient(rng, height, width)
    for _ in range(int(rng.integers(6, 28))):
        colour = tuple(int(value) for value in rng.integers(0, 255, 3))
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        if rng.random() < 0.5:
            axes = (int(rng.integers(6, 110)), int(rng.integers(6, 110)))
            cv2.ellipse(image, centre, axes, rng.uniform(0, 180), 0, 360, colour, -1, cv2.LINE_AA)
        else:
            count = int(rng.integers(3, 7))
            points = np.array(centre) + rng.integers(-90, 90, (count, 2))
            cv2.fillPoly(image, [points.astype(np.int32)], colour, cv2.LINE_AA)
    return image


def marble(rng: Generator, height: int, width: int) -> np.ndarray:
    """Marble: thin veins through fractal noise."""
    u, _ = plane(rng, height, width)
    swirl = noise(rng, height, width, 3, 4)
    veins = np.abs(np.sin(u * rng.uniform(0.005, 0.02) + swirl * rng.uniform(6, 14))) ** 0.3
    low, high = colours(rng, 60)
    return colourise(0.7 * veins + 0.3 * swirl, low, high)


def terrazzo(rng: Generator, height: int, width: int) -> np.ndarray:
    """Stone chips in cement."""
    image = colourise(noise(rng, height, width, 20, 20), *colours(rng, 25))
    for _ in range(int(rng.integers(80, 260))):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        axes = (int(rng.integers(2, 11)), int(rng.integers(2, 8)))
        colour = tuple(int(value) for value in rng.integers(60, 235, 3))
        cv2.ellipse(image, centre, axes, rng.uniform(0, 180), 0, 360, colour, -1, cv2.LINE_AA)
    return image


def leather(rng: Generator, height: int, width: int) -> np.ndarray:
    """Grained leather: the distance to scattered pores."""
    pores = (rng.random((height, width)) > rng.uniform(0.003, 0.02)).astype(np.uint8)
    distance = cv2.distanceTransform(pores, cv2.DIST_L2, 3)
    field = np.minimum(distance / (distance.mean() * 2), 1) * 0.7
    return colourise(field + 0.3 * noise(rng, height, width, 3, 3), *colours(rng, 60))


def carpet(rng: Generator, height: int, width: int) -> np.ndarray:
    """Short fibres over a broad pattern."""
    fibres = cv2.blur(rng.random((height, width), np.float32), (2, int(rng.integers(3, 9))))
    field = 0.6 * cv2.normalize(fibres, None, 0, 1, cv2.NORM_MINMAX)
    return colourise(field + 0.4 * noise(rng, height, width, 6, 2), *colours(rng, 90))


def checks(rng: Generator, height: int, width: int) -> np.ndarray:
    """A chequered tablecloth, with the two directions adding up."""
    u, v = plane(rng, height, width)
    period = rng.uniform(24, 120)
    field = 0.5 * (np.mod(u, period) < period / 2) + 0.5 * (np.mod(v, period) < period / 2)
    return colourise(field.astype(np.float32), *colours(rng, 90))


def planks(rng: Generator, height: int, width: int) -> np.ndarray:
    """Floor boards, each with its own shade."""
    u, v = plane(rng, height, width)
    board = np.floor(u / rng.uniform(40, 130)).astype(np.int64)
    shade = rng.random(4096, np.float32)[board % 4096]
    fine = 0.5 + 0.5 * np.sin(u * 0.9 + 4 * noise(rng, height, width, 3, 4) + v * 0.01)
    low = np.array([rng.uniform(80, 160), rng.uniform(60, 120), rng.uniform(40, 95)], np.float32)
    return colourise(0.6 * shade + 0.4 * fine, low, low * rng.uniform(1.2, 1.6))


TEXTURES: dict[str, tuple[Texture, ...]] = {
    "train": (wood, cloth, gradient, mottle, tiles, stripes, pages, shapes),
    "val": (marble, terrazzo, leather, carpet, checks, planks),
}
"""Procedural textures, by split."""


def backdrop(rng: Generator, split: str, height: int, width: int) -> np.ndarray:
    """A background of `split`: a photograph, a texture, or two of them side by side or blended.

    Only training backgrounds are blended and recoloured, to make up for the few photographs.
    """
    image = single(rng, split, height, width)
    if rng.random() < 0.2:
        u, _ = plane(rng, height, width)
        side = u > rng.uniform(np.quantile(u[::16, ::16], 0.2), np.quantile(u[::16, ::16], 0.8))
        image = np.where(side[:, :, None], image, single(rng, split, height, width))
    elif split == "train" and rng.random() < 0.35:
        share = rng.uniform(0.3, 0.7)
        image = cv2.addWeighted(
            image, share, single(rng, split, height, width), 1 - share, rng.uniform(-30, 30)
        )
    return vary(rng, image) if split == "train" and rng.random() < 0.6 else image


def vary(rng: Generator, image: np.ndarray) -> np.ndarray:
    """Swap the channels of a uint8 image, and change its contrast, brightness, and saturation."""
    mixed = image[:, :, rng.permutation(3)].astype(np.float32)
    grey = mixed.mean(2, keepdims=True)
    mixed = grey + (mixed - grey) * rng.uniform(0, 1.5)
    mean = mixed.mean((0, 1))
    contrast = rng.uniform(0.3, 1.5) * rng.choice([-1, 1], p=[0.25, 0.75])
    mixed = (mixed - mean) * contrast + mean * rng.uniform(0.6, 1.3)
    return np.clip(mixed, 0, 255).astype(np.uint8)


def single(rng: Generator, split: str, height: int, width: int) -> np.ndarray:
    """One photograph or one texture of `split`."""
    if rng.random() < 0.45:
        return photo(rng, split, height, width)
    textures = TEXTURES[split]
    return textures[rng.integers(len(textures))](rng, height, width)

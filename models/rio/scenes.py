"""Whole pictures: cards and other objects on a background, seen by an imperfect camera."""

from dataclasses import dataclass

import cv2
import numpy as np
from artwork import card_face
from backdrops import backdrop
from geometry import area, bounds, clip, project
from lookalikes import lookalike
from numpy.random import Generator

NEGATIVES = 0.1
"""Share of pictures without any card."""

LEAST_VISIBLE = 0.6
"""Smallest share of a card's area that lies inside the frame."""

LEAST_AREA = 4000
"""Smallest area of a card inside the frame, in square pixels."""

COUNTS = {1: 0.45, 2: 0.28, 3: 0.17, 5: 0.1}
"""Chances of each number of cards to try to place, in a picture that has any."""

MOST_OVERLAP = 0.08
"""Largest share of the smaller bounding box that two cards have in common."""


LEAST_CONTRAST = {"train": 0.0, "val": 80.0}
"""Smallest contrast of a card's edges with what it lies on, of 255, by split.

Another face is drawn, up to `MOST_FACES` times, for a card whose contrast is smaller.
"""

LARGEST = {"train": 0.8, "val": 0.55}
"""Length of the largest single card, as a share of the picture's longer side, by split."""

CLUTTER = {"train": (0.55, 0.3, 0.12, 0.03), "val": (0.67, 0.24, 0.07, 0.02)}
"""Chances of 0, 1, 2, and 3 look-alikes, by split; pictures without a card have two draws."""

MOST_FACES = 10
"""Most faces that are tried for a card."""


@dataclass
class Scene:
    """A picture (H, W, 3) uint8 RGB and the corners (N, 4, 2) of its cards in pixels, unclipped."""

    image: np.ndarray
    quads: np.ndarray


def paste(image: np.ndarray, texture: np.ndarray, quad: np.ndarray) -> None:
    """Draw an RGBA texture onto the quadrilateral `quad` (4, 2) of `image`, in place."""
    height, width = image.shape[:2]
    left, top, right, bottom = bounds(quad)
    left, top = max(int(left) - 2, 0), max(int(top) - 2, 0)
    right, bottom = min(int(right) + 3, width), min(int(bottom) + 3, height)
    if right <= left or bottom <= top:
        return
    sides = np.linalg.norm(quad - np.roll(quad, -1, 0), axis=1)
    scale = min(1.0, 1.2 * sides.max() / max(texture.shape[:2]))
    size = (max(4, int(texture.shape[1] * scale)), max(4, int(texture.shape[0] * scale)))
    small = cv2.resize(texture, size, interpolation=cv2.INTER_AREA)
    source = np.array([(0, 0), (size[0], 0), size, (0, size[1])], np.float32) - 0.5
    target = (quad - (left + 0.5, top + 0.5)).astype(np.float32)
    matrix = cv2.getPerspectiveTransform(source, target)
    small = cv2.copyMakeBorder(small, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    small[[0, -1], :, 3] = 0
    small[:, [0, -1], 3] = 0
    matrix = matrix @ np.array([[1, 0, -1], [0, 1, -1], [0, 0, 1]], np.float64)
    region = image[top:bottom, left:right]
    warped = cv2.warpPerspective(small, matrix, region.shape[1::-1], flags=cv2.INTER_LINEAR)
    alpha = warped[:, :, 3:].astype(np.float32) / 255
    region[:] = region + alpha * (warped[:, :, :3].astype(np.float32) - region)


def cast_shadow(rng: Generator, image: np.ndarray, quad: np.ndarray) -> None:
    """Darken the surroundings of `quad` as its soft shadow, in place."""
    height, width = image.shape[:2]
    reach = float(np.linalg.norm(quad[0] - quad[2])) * 0.05
    shifted = quad + rng.uniform(-reach, reach, 2)
    mask = np.zeros((height // 4, width // 4), np.float32)
    cv2.fillConvexPoly(mask, (shifted / 4).astype(np.int32), 1.0, cv2.LINE_AA)
    mask = cv2.GaussianBlur(mask, (0, 0), max(0.6, reach * rng.uniform(0.05, 0.2)))
    mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR)
    image[:] = image * (1 - rng.uniform(0.2, 0.7) * mask[:, :, None])


def contrast(image: np.ndarray, quad: np.ndarray) -> float:
    """Contrast across the weakest edge of `quad` in `image`; infinite if no edge is in the frame.

    It is the median along the edge of the largest difference of a channel, of pixels 5 inside and
    6 outside.
    """
    height, width = image.shape[:2]
    share = np.linspace(0.1, 0.9, 15)[:, None]
    weakest = np.inf
    for start, end in zip(quad, np.roll(quad, -1, 0), strict=True):
        inward = quad.mean(0) - (start + end) / 2
        inward = inward / np.linalg.norm(inward)
        line = start + (end - start) * share
        inner, outer = (np.rint(line + step * inward).astype(int) for step in (5, -6))
        both = np.hstack((inner, outer))
        seen = ((both >= 0) & (both < (width, height, width, height))).all(1)
        if seen.sum() > 3:
            (x, y), (u, v) = inner[seen].T, outer[seen].T
            steps = np.abs(image[y, x].astype(int) - image[v, u]).max(1)
            weakest = min(weakest, float(np.median(steps)))
    return weakest


def place_cards(
    rng: Generator, split: str, width: int, height: int, aspects: list[float]
) -> dict[int, np.ndarray]:
    """Choose corners (4, 2) in pixels, nearly disjoint, for the cards of the given aspect ratios.

    Returns corners by index into `aspects`; a card that finds no room is left out.
    """
    quads: dict[int, np.ndarray] = {}
    frame = (0.0, 0.0, float(width), float(height))
    largest = LARGEST[split] if len(aspects) == 1 else 0.5 if len(aspects) < 4 else 0.36
    steepest = np.radians(40)
    for index, aspect in enumerate(aspects):
        for _ in range(12):
            length = np.exp(rng.uniform(np.log(0.22), np.log(largest))) * max(width, height)
            margin = rng.choice([0.0, 0.2])
            centre = rng.uniform(margin, 1 - margin, 2) * (width, height)
            quad = project(rng, aspect, length, centre, steepest)
            visible = clip(quad, frame)
            if area(visible) < max(LEAST_VISIBLE * area(quad), LEAST_AREA):
                continue
            if all(overlap(visible, clip(other, frame)) < MOST_OVERLAP for other in quads.values()):
                quads[index] = quad
                break
    return quads


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Shared share of the smaller one of two polygons' bounding boxes."""
    a, b = bounds(first), bounds(second)
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    smaller = min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))
    return width * height / smaller


def occlude(rng: Generator, image: np.ndarray, quad: np.ndarray) -> None:
    """Lay one to three fingers, or a pen or cable, over an edge of `quad`, in place."""
    side = int(rng.integers(4))
    edge = quad[(side + 1) % 4] - quad[side]
    inward = quad.mean(0) - (quad[side] + edge / 2)
    short = float(np.linalg.norm(quad - np.roll(quad, -1, 0), axis=1).min())
    fingers = rng.random() < 0.65
    count = int(rng.integers(1, 4)) if fingers else 1
    thickness = short * (rng.uniform(0.14, 0.26) if fingers else rng.uniform(0.03, 0.1))
    skin = np.array([235, 190, 160]) * rng.uniform(0.25, 1.0)
    shade = skin if fingers else rng.uniform(10, 240, 3)
    start = rng.uniform(0.1, 0.6)
    for index in range(count):
        along = quad[side] + edge * (start + index * 1.1 * thickness / np.linalg.norm(edge))
        tip = along + inward * (rng.uniform(0.15, 0.6) if fingers else rng.uniform(1.2, 3.0))
        root = along - inward * rng.uniform(1.5, 3.0) + rng.uniform(-0.3, 0.3) * edge
        capsule(image, tip, root, thickness, shade)


def capsule(
    image: np.ndarray, tip: np.ndarray, root: np.ndarray, thickness: float, shade: np.ndarray
) -> None:
    """Draw a rounded bar between two points, darker towards its edges, in place."""
    mask = np.zeros(image.shape[:2], np.uint8)
    ends = tuple(tuple(int(value) for value in point) for point in (tip, root))
    width = max(2, int(thickness))
    cv2.line(mask, *ends, 255, width, cv2.LINE_AA)
    depth = cv2.blur(mask, (width | 1, width | 1)).astype(np.float32) / 255
    alpha = mask[:, :, None].astype(np.float32) / 255
    bar = shade * (0.45 + 0.6 * depth[:, :, None])
    image[:] = np.clip(image + alpha * (bar - image), 0, 255)


def clutter(rng: Generator, split: str, image: np.ndarray, length: float) -> None:
    """Put look-alikes on the background, in place; `length` is a card's length in pixels."""
    height, width = image.shape[:2]
    for _ in range(int(rng.choice(4, p=CLUTTER[split]))):
        texture, relative = lookalike(rng)
        aspect = texture.shape[1] / texture.shape[0]
        centre = (rng.uniform(0, width), rng.uniform(0, height))
        size = length * relative * rng.uniform(0.7, 1.1)
        quad = project(rng, aspect, size, centre, np.radians(50))
        if rng.random() < 0.7:
            cast_shadow(rng, image, quad)
        paste(image, texture, quad)


def light(rng: Generator, image: np.ndarray) -> np.ndarray:
    """Uneven light, a hard shadow, and glare: uint8 -> float32, both (H, W, 3)."""
    height, width = image.shape[:2]
    lit = image.astype(np.float32)
    coarse = rng.uniform(0.6, 1.25, (2, 2)).astype(np.float32)
    lit *= cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)[:, :, None]
    if rng.random() < 0.2:
        mask = np.ones((height // 4, width // 4), np.float32)
        count = int(rng.integers(3, 6))
        points = rng.uniform(-0.2, 1.2, (count, 2)) * (width // 4, height // 4)
        cv2.fillPoly(mask, [points.astype(np.int32)], float(rng.uniform(0.4, 0.75)))
        mask = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.5, 8))
        lit *= cv2.resize(mask, (width, height))[:, :, None]
    if rng.random() < 0.2:
        y, x = np.mgrid[: height // 4, : width // 4].astype(np.float32) * 4
        centre, spread = rng.uniform(0, 1, 2) * (width, height), rng.uniform(25, 100)
        distance = ((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * spread**2)
        glare = np.exp(-distance) * rng.uniform(80, 260)
        lit += cv2.resize(glare.astype(np.float32), (width, height))[:, :, None]
    return lit


def camera(rng: Generator, lit: np.ndarray) -> np.ndarray:
    """Blur, exposure, colour cast, and sensor noise: float32 -> uint8, both (H, W, 3)."""
    if rng.random() < 0.15:
        length = int(rng.integers(3, 9))
        kernel = np.zeros((length, length), np.float32)
        angle = rng.uniform(0, np.pi)
        arm = np.array([np.cos(angle), np.sin(angle)]) * (length - 1) / 2
        middle = (length - 1) / 2
        ends = [tuple(np.rint(middle + sign * arm).astype(int).tolist()) for sign in (-1, 1)]
        cv2.line(kernel, *ends, 1.0)
        lit = cv2.filter2D(lit, -1, kernel / kernel.sum())
    elif rng.random() < 0.25:
        lit = cv2.GaussianBlur(lit, (0, 0), rng.uniform(0.6, 2.0))
    sigma = rng.uniform(0, 6)
    if rng.random() < 0.08:
        lit = lit * rng.uniform(0.3, 0.6)
        sigma = rng.uniform(3, 8)
    lit = lit * rng.uniform(0.88, 1.12, 3).astype(np.float32)
    grain = rng.standard_normal(lit.shape[:2], np.float32)
    for channel in range(3):
        lit[:, :, channel] += sigma * np.roll(grain, (channel * 37, channel * 91), (0, 1))
    return np.clip(lit, 0, 255).astype(np.uint8)


def compress(image: np.ndarray, quality: int) -> bytes:
    """Encode an RGB image as JPEG."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1].tobytes()


def compose(rng: Generator, split: str, width: int, height: int) -> Scene:
    """Make one picture of `split` with zero to five cards."""
    image = backdrop(rng, split, height, width).copy()
    count = (
        0 if rng.random() < NEGATIVES else int(rng.choice(list(COUNTS), p=list(COUNTS.values())))
    )
    faces = [card_face(rng, split) for _ in range(count)]
    aspects = [face.shape[1] / face.shape[0] for face in faces]
    placed = place_cards(rng, split, width, height, aspects)
    quads = list(placed.values())
    longest = [np.ptp(quad, 0).max() for quad in quads] or [rng.uniform(0.15, 0.6) * width]
    for _ in range(1 if quads else 2):
        clutter(rng, split, image, float(np.mean(longest)))
    for index, quad in placed.items():
        if rng.random() < 0.75:
            cast_shadow(rng, image, quad)
        bare, face = image.copy(), faces[index]
        paste(image, face, quad)
        for _ in range(MOST_FACES):
            if contrast(image, quad) >= LEAST_CONTRAST[split]:
                break
            image[:] = bare
            paste(image, card_face(rng, split, face.shape[1::-1]), quad)
    for quad in quads:
        if rng.random() < 0.15:
            occlude(rng, image, quad)
    image = camera(rng, light(rng, image))
    return Scene(image, np.array(quads, np.float64).reshape(-1, 4, 2))

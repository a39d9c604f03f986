"""Quadrilaterals in the image plane: projection, clipping, and areas."""

import numpy as np
from numpy.random import Generator


def rotation(roll: float, tilt: float, azimuth: float) -> np.ndarray:
    """Rotation matrix (3, 3): roll in the plane, then tilt about the in-plane axis `azimuth`."""
    cosine, sine = np.cos(roll), np.sin(roll)
    turn = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    x, y = np.cos(azimuth), np.sin(azimuth)
    cross = np.array([[0, 0, y], [0, 0, -x], [-y, x, 0]])
    lean = np.eye(3) + np.sin(tilt) * cross + (1 - np.cos(tilt)) * cross @ cross
    return lean @ turn


def project(
    rng: Generator, aspect: float, length: float, centre: tuple[float, float], steepest: float
) -> np.ndarray:
    """Corners (4, 2) in pixels of a rectangle seen in perspective at a random angle.

    `aspect` is width over height; `length` is the longer side in pixels as seen head on; `steepest`
    is the largest tilt in radians.  The order is top left, top right, bottom right, bottom left of
    the rectangle's own face.
    """
    half = np.array([aspect, 1.0]) / max(aspect, 1.0) / 2
    corners = np.array([(-1, -1, 0), (1, -1, 0), (1, 1, 0), (-1, 1, 0)]) * (*half, 0)
    tilt = steepest * rng.random() ** 1.5
    spun = corners @ rotation(rng.uniform(-np.pi, np.pi), tilt, rng.uniform(0, 2 * np.pi)).T
    distance = rng.uniform(1.6, 4.0)
    return np.asarray(centre) + length * spun[:, :2] * (distance / (distance + spun[:, 2:]))


def clip(polygon: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    """Clip a convex polygon (N, 2) to a box (xyxy): (M, 2), where M is 0 if all is outside."""
    for axis, limit, sign in ((0, box[0], 1), (0, box[2], -1), (1, box[1], 1), (1, box[3], -1)):
        if len(polygon) == 0:
            break
        inside = sign * (polygon[:, axis] - limit)
        kept = []
        for index in range(len(polygon)):
            here, before = inside[index], inside[index - 1]
            if (here >= 0) != (before >= 0):
                share = before / (before - here)
                kept.append(polygon[index - 1] + share * (polygon[index] - polygon[index - 1]))
            if here >= 0:
                kept.append(polygon[index])
        polygon = np.array(kept).reshape(-1, 2)
    return polygon


def area(polygon: np.ndarray) -> float:
    """Area of a simple polygon (N, 2)."""
    if len(polygon) < 3:
        return 0.0
    x, y = polygon[:, 0], polygon[:, 1]
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def bounds(polygon: np.ndarray) -> tuple[float, float, float, float]:
    """Bounding box (xyxy) of a polygon (N, 2)."""
    return (*polygon.min(0), *polygon.max(0))

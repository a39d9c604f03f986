"""The four corners of a card from its mask. Numpy only.

The convex hull's edges are removed one by one, the one whose removal adds the least area first,
until four are left; then a line is fitted to each side's border points and neighbours are
intersected, which is more exact than the pixel grid. A hull that cannot become four sides gives the
smallest rectangle around it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Tuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Point = Tuple[float, float]

SLIGHT, MOST_CUT = 0.01, 1.0
"""Share of twice the area, up to which an edge is the pixel grid's, and a corner may be cut off."""


def quadrilateral(shape: NDArray[np.generic]) -> NDArray[np.float64]:
    """Corners (4, 2) xy, clockwise on the screen from the top left one.

    `shape` is a mask (H, W) bool, or a polygon (n, 2) of floats, n >= 3; pixel (x, y) of a mask
    covers x..x+1, y..y+1. Raises ValueError if it has no area.
    """
    if shape.dtype == np.bool_:
        mask = np.asarray(shape, np.bool_)
        points, frame = border(mask), (float(mask.shape[1]), float(mask.shape[0]))
        hull = convex_hull(corners_of_rows(mask))
    else:
        points, frame = np.zeros((0, 2)), None
        hull = convex_hull(np.asarray(shape, np.float64))
    if len(hull) < 3:
        raise ValueError("a shape without area has no corners")
    quad = simplified(hull, frame)
    if quad is None:
        return ordered(smallest_rectangle(hull))
    return ordered(refined(quad, points))


def ordered(quad: NDArray[np.float64]) -> NDArray[np.float64]:
    """Corners (4, 2) clockwise on the screen (y down), from the one with the least x + y."""
    if signed_area(quad) < 0:
        quad = quad[::-1]
    return np.roll(quad, -int(quad.sum(1).argmin()), axis=0)


def signed_area(polygon: NDArray[np.float64]) -> float:
    """Area of a polygon (n, 2) by the shoelace formula; positive if clockwise on the screen."""
    after = np.roll(polygon, -1, axis=0)
    return float(np.sum(polygon[:, 0] * after[:, 1] - after[:, 0] * polygon[:, 1]) / 2)


# ---- border and hull ---------------------------------------------------------------------------


def corners_of_rows(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Outer pixel corners (n, 2) of every row that has pixels: all that a hull can rest on."""
    rows = np.flatnonzero(mask.any(axis=1))
    first = mask[rows].argmax(axis=1)
    last = mask.shape[1] - mask[rows][:, ::-1].argmax(axis=1)
    found = [np.stack([end, row], 1) for end in (first, last) for row in (rows, rows + 1)]
    return np.concatenate(found).astype(np.float64)


def border(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Points (n, 2) xy midway between the outermost pixels of each row and column and the next."""
    points = []
    for turned in (False, True):
        lines = mask.T if turned else mask
        rows = np.flatnonzero(lines.any(axis=1))
        first = lines[rows].argmax(axis=1)
        last = lines.shape[1] - lines[rows][:, ::-1].argmax(axis=1)
        found = np.concatenate([np.stack([end, rows + 0.5], 1) for end in (first, last)])
        points.append(found[:, ::-1] if turned else found)
    return np.concatenate(points)


def convex_hull(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Hull (m, 2), clockwise on the screen, without points on its edges (Andrew, 1979)."""
    order = np.lexsort((points[:, 1], points[:, 0]))
    rows: list[Point] = [(x, y) for x, y in points[order].tolist()]
    chains = []
    for line in (rows, rows[::-1]):
        chain: list[Point] = []
        for x, y in line:
            while len(chain) > 1 and turn(chain[-2], chain[-1], (x, y)) <= 0:
                chain.pop()
            chain.append((x, y))
        chains += chain[:-1]
    return np.array(chains).reshape(-1, 2)


def turn(a: Point, b: Point, c: Point) -> float:
    """Twice the area of the triangle a, b, c; positive if clockwise on the screen."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


# ---- four sides --------------------------------------------------------------------------------


def simplified(
    hull: NDArray[np.float64], frame: tuple[float, float] | None = None
) -> NDArray[np.float64] | None:
    """A quadrilateral (4, 2) around `hull`, or None if its edges do not lead to one.

    Once only edges of weight are left, those on the `frame` (width, height) go first: there the
    card was cut off, and its corner lies outside.
    """
    corners: list[Point] = [(x, y) for x, y in hull.tolist()]
    whole = abs(signed_area(hull))
    while len(corners) > 4:
        choices = removals(corners)
        if not choices:
            return None
        best = min(choices)
        if frame is not None and best[0] > SLIGHT * whole:
            cut = [one for one in choices if on_frame(corners, one[1], frame)]
            best = min([one for one in cut if one[0] < MOST_CUT * whole], default=best)
        _, at, meeting = best
        corners[at] = meeting
        del corners[(at + 1) % len(corners)]
    return np.array(corners) if len(corners) == 4 else None


def removals(corners: list[Point]) -> list[tuple[float, int, Point]]:
    """For every edge that can go: twice the area that adds, its index, its neighbours' meeting."""
    found = []
    for at in range(len(corners)):
        before, first, second, after = (corners[(at + k) % len(corners)] for k in (-1, 0, 1, 2))
        meeting = beyond(before, first, second, after)
        if meeting is not None:
            found.append((turn(first, meeting, second), at, meeting))
    return found


def on_frame(corners: list[Point], at: int, frame: tuple[float, float]) -> bool:
    """Whether edge `at` runs along the border of the image, to a pixel."""
    first, second = corners[at], corners[(at + 1) % len(corners)]
    return any(
        max(abs(first[axis] - side), abs(second[axis] - side)) <= 1
        for axis in (0, 1)
        for side in (0.0, frame[axis])
    )


def beyond(before: Point, first: Point, second: Point, after: Point) -> Point | None:
    """Where before-first and after-second meet beyond the edge first-second; None if they part."""
    ux, uy = first[0] - before[0], first[1] - before[1]
    vx, vy = after[0] - second[0], after[1] - second[1]
    cross = ux * vy - uy * vx
    if cross <= 1e-6 * (abs(ux) + abs(uy)) * (abs(vx) + abs(vy)):
        return None
    along = ((second[0] - first[0]) * vy - (second[1] - first[1]) * vx) / cross
    return (first[0] + along * ux, first[1] + along * uy)


def smallest_rectangle(hull: NDArray[np.float64]) -> NDArray[np.float64]:
    """Corners (4, 2) of the rectangle of least area around `hull`; it shares one of its edges."""
    edges = np.roll(hull, -1, axis=0) - hull
    along = edges / np.hypot(edges[:, 0], edges[:, 1])[:, None]
    across = np.stack([-along[:, 1], along[:, 0]], 1)
    a, b = hull @ along.T, hull @ across.T
    best = int(np.argmin(np.ptp(a, axis=0) * np.ptp(b, axis=0)))
    ends = [(a[:, best].min(), b[:, best].min()), (a[:, best].max(), b[:, best].min())]
    ends += [(a[:, best].max(), b[:, best].max()), (a[:, best].min(), b[:, best].max())]
    return np.asarray(np.array(ends) @ np.stack([along[best], across[best]]))


def refined(
    quad: NDArray[np.float64], points: NDArray[np.float64], reach: float = 2.0
) -> NDArray[np.float64]:
    """`quad` with every side moved to the border points within `reach` pixels of its middle part.

    Stays as it is where a side has too few points, or a corner would move by more than 3 `reach`.
    """
    if not len(points):
        return quad
    lines = [fitted_line(quad[at], quad[(at + 1) % 4], points, reach) for at in range(4)]
    moved = quad.copy()
    for at in range(4):
        (p, u), (q, v) = lines[at - 1], lines[at]
        cross = u[0] * v[1] - u[1] * v[0]
        if abs(cross) < 1e-3:
            continue
        gap = q - p
        corner = p + (gap[0] * v[1] - gap[1] * v[0]) / cross * u
        if np.hypot(*(corner - quad[at])) <= 3 * reach:
            moved[at] = corner
    return moved


def fitted_line(
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    points: NDArray[np.float64],
    reach: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Point and direction of the total-least-squares line of the points along start-end."""
    side = end - start
    length = max(float(np.hypot(*side)), 1e-9)
    along = side / length
    offset = points - start
    part = (offset @ along) / length
    aside = np.abs(offset[:, 0] * along[1] - offset[:, 1] * along[0])
    near = points[(aside <= reach) & (part > 0.05) & (part < 0.95)]
    if len(near) < 5:
        return start, along
    centre = near.mean(axis=0)
    direction = np.linalg.svd(near - centre, full_matrices=False)[2][0]
    return centre, direction if direction @ along > 0 else -direction

"""Training batches: augmented pictures of the cache with boxes and soft masks."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from generate import GREY, INPUT_SIZE
from geometry import area, bounds, clip
from numpy.random import Generator
from torch import Tensor

MASK_STRIDE = 4
"""Pixels of the input per pixel of a prototype mask."""

LEAST_SHARE = 0.25
"""Cards with a smaller visible share of their area than this are no training targets."""

LEAST_SIDE = 5.0
"""Boxes with a side shorter than this, in pixels, are no training targets."""


@dataclass
class Batch:
    """B pictures of side S with up to M cards each.

    `images` (B, 3, S, S) float32 in 0..1; `boxes` (B, M, 4) xyxy in pixels; `valid` (B, M) bool;
    `masks` (B, M, S / 4, S / 4) float32, the share of each cell that the card covers.
    """

    images: Tensor
    boxes: Tensor
    valid: Tensor
    masks: Tensor


def coverage(polygon: np.ndarray, side: int) -> np.ndarray:
    """Approximate share of each cell of a `side` x `side` grid inside a convex polygon (N, 2).

    The polygon is in input pixels; one cell is `MASK_STRIDE` of them wide.
    """
    points = polygon / MASK_STRIDE
    edges = np.roll(points, -1, 0) - points
    lengths = np.maximum(np.linalg.norm(edges, axis=1), 1e-6)
    normals = np.stack((-edges[:, 1], edges[:, 0]), 1) / lengths[:, None]
    if np.sum(normals * (points.mean(0) - points)) < 0:
        normals = -normals
    cells = np.arange(side, dtype=np.float32) + 0.5
    inside = np.full((side, side), np.inf, np.float32)
    for normal, point in zip(normals[lengths > 1e-3], points[lengths > 1e-3], strict=True):
        across = (cells - point[0]) * normal[0]
        inside = np.minimum(inside, across[None] + ((cells - point[1]) * normal[1])[:, None])
    return np.clip(inside + 0.5, 0, 1)


def warp_matrix(rng: Generator, size: int) -> np.ndarray:
    """Random mirror, quarter turn, zoom, and shift (2, 3) from a cached picture to side `size`.

    Pictures smaller than the input are mostly enlarged, so that cards are about as large on them.
    """
    middle = INPUT_SIZE / 2
    chance, least, most = (0.4, 0.75, 1.35) if size == INPUT_SIZE else (0.75, 0.85, 1.7)
    zoom = np.exp(rng.uniform(np.log(least), np.log(most))) if rng.random() < chance else 1.0
    matrix = np.eye(2) * zoom * size / INPUT_SIZE
    if rng.random() < 0.5:
        matrix = matrix @ np.diag([-1, 1])
    if rng.random() < 0.5:
        matrix = matrix @ np.array([[0, -1], [1, 0]])
    shift = rng.uniform(-0.15, 0.15, 2) * size if zoom != 1.0 else np.zeros(2)
    offset = size / 2 + shift - matrix @ (middle, middle)
    return np.column_stack((matrix, offset))


def recolour(rng: Generator, image: np.ndarray) -> np.ndarray:
    """Random gamma, gain per channel, and now and then shades of grey, for a uint8 picture."""
    ramp = np.linspace(0, 1, 256) ** np.exp(rng.uniform(-0.35, 0.35))
    gains = rng.uniform(0.75, 1.25) * rng.uniform(0.9, 1.1, 3)
    table = np.clip(255 * ramp[:, None] * gains, 0, 255).astype(np.uint8)
    image = cv2.LUT(image, table[None])
    if rng.random() < 0.08:
        image = np.repeat(image.mean(2, keepdims=True).astype(np.uint8), 3, 2)
    return image


def transform(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Apply an affine matrix (2, 3) to points (N, 2)."""
    return points @ matrix[:, :2].T + matrix[:, 2]


class Cards:
    """The cache of rendered pictures as an endless source of random batches."""

    def __init__(self, cache: Path) -> None:
        self.images = np.load(cache / "images.npy", mmap_mode="r")
        labels = np.load(cache / "labels.npz")
        self.quads, self.frames = labels["quads"], labels["frames"]

    def sample(self, rng: Generator, index: int, size: int) -> tuple[np.ndarray, list[np.ndarray]]:
        """Picture `index`, augmented, (S, S, 3) uint8; and the visible polygons of its cards."""
        matrix = warp_matrix(rng, size)
        grey = (GREY, GREY, GREY)
        shift = matrix.copy()
        shift[:, 2] += matrix[:, :2].sum(1) * 0.5 - 0.5
        left, top, right, bottom = self.frames[index].astype(int)
        canvas = self.images[index].copy()
        content = canvas[top:bottom, left:right]
        content[:] = recolour(rng, content)
        image = cv2.warpAffine(canvas, shift, (size, size), borderValue=grey)
        corners = transform(np.array([(left, top), (right, bottom)]), matrix)
        low, high = np.maximum(corners.min(0), 0), np.minimum(corners.max(0), size)
        polygons = []
        for quad in self.quads[index]:
            if np.isnan(quad).any():
                break
            moved = transform(quad, matrix)
            visible = clip(moved, (*low, *high))
            if area(visible) < LEAST_SHARE * area(moved):
                continue
            if np.ptp(visible, 0).min() >= LEAST_SIDE:
                polygons.append(visible)
        return image, polygons

    def batch(self, rng: Generator, count: int, size: int) -> Batch:
        """A random batch of `count` pictures of side `size` (a multiple of 32)."""
        indices = rng.integers(len(self.images), size=count)
        samples = [self.sample(rng, int(index), size) for index in indices]
        most = max(1, *(len(polygons) for _, polygons in samples))
        side = size // MASK_STRIDE
        boxes = np.zeros((count, most, 4), np.float32)
        masks = np.zeros((count, most, side, side), np.float32)
        for row, (_, polygons) in enumerate(samples):
            for column, polygon in enumerate(polygons):
                boxes[row, column] = bounds(polygon)
                masks[row, column] = coverage(polygon, side)
        stacked = torch.from_numpy(np.stack([image for image, _ in samples]))
        images = stacked.permute(0, 3, 1, 2).float() / 255
        valid = torch.from_numpy(boxes[:, :, 2] > boxes[:, :, 0])
        return Batch(images, torch.from_numpy(boxes), valid, torch.from_numpy(masks))

"""Datasets as tools write them, small."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harness.errors import ConfigError
from harness.steps import datasets
from harness.steps.dataset_kinds.source import Source


def image(path: Path, width: int = 80, height: int = 60, seed: int = 0) -> Path:
    """An image of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def objects(source: Source | Path) -> list[tuple[str, str, tuple[float, ...] | None]]:
    """File name, class and box (x, y, width, height; rounded) of every annotation."""
    truth, _ = datasets.read_annotations(source)
    files = {one.id: one.file_name for one in truth.images}
    names = {one.id: one.name for one in truth.categories}
    return [
        (
            files[one.image_id],
            names[one.category_id],
            None if one.box is None else tuple(round(part, 3) for part in one.box),
        )
        for one in truth.annotations
    ]


def wrong(source: Source | Path) -> list[str]:
    """Its mistakes."""
    with pytest.raises(ConfigError) as caught:
        datasets.read_annotations(source)
    return caught.value.mistakes


def coco(path: Path, names: Mapping[str, str], **fields: Any) -> Path:
    """A COCO file in which each of `names` (file name -> class) has one box."""
    classes = sorted(set(names.values()))
    images = [
        {"id": at, "file_name": name, "width": 80, "height": 60} for at, name in enumerate(names, 1)
    ]
    annotations = [
        {
            "id": at,
            "image_id": at,
            "category_id": classes.index(name) + 1,
            "bbox": [1, 2, 30, 40],
            "area": 1200,
            "iscrowd": 0,
        }
        for at, name in enumerate(names.values(), 1)
    ]
    categories = [{"id": at, "name": name} for at, name in enumerate(classes, 1)]
    content = {"images": images, "annotations": annotations, "categories": categories, **fields}
    return write(path, json.dumps(content))

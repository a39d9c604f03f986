"""Datasets of any kind (see `dataset_kinds`), checked, hashed, decoded once.

What is read stays where it is: truth that is no COCO file is written as one into the cache. Runs on
the orchestrator only; what it packs is read where the model runs by `tasks/pack.py`, with numpy
alone.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .. import cache
from ..errors import ConfigError
from ..metrics import truth
from ..workspace import cache_root
from . import dataset_kinds, image_files
from .dataset_kinds import files
from .dataset_kinds import source as sources
from .dataset_kinds.coco import HINT
from .dataset_kinds.findings import Wrong
from .dataset_kinds.found import Found, Picture, Reading
from .dataset_kinds.source import Source
from .file_facts import FileFacts

PACK_VERSION: Final = 1
#: decoded bytes of a dataset per byte of its files; small datasets have no limit
MOST_PER_BYTE: Final = 1000
SMALL_BYTES: Final = 4 << 30
#: of the cache: truth that is written as COCO
KIND: Final = "truth"
COCO_NAME: Final = "annotations.json"


@dataclass(frozen=True)
class Dataset:
    """A checked dataset: every file exists and, with a manifest, has its sha256."""

    name: str
    folder: Path
    #: COCO, the user's own or one in the cache
    annotations: Path
    images: tuple[Picture, ...]
    classes: tuple[str, ...]
    #: of all the files: that of manifest.json where there is one
    sha256: str


def read(dataset: Source | Path) -> Dataset:
    """Read, check and hash a dataset; raises ConfigError with all mistakes at once."""
    source = sources.of(dataset)
    facts = FileFacts(source.path)
    found = _find(source, Reading(facts, whole=True))
    annotations = found.annotations or _written(found)
    classes = tuple(one.name for one in found.truth.categories)
    try:
        sha256 = _sha256(found, annotations, facts)
    except OSError as error:
        raise files.unreadable(error, source.path) from error
    facts.save()
    name = found.name or source.name or source.path.stem
    return Dataset(name, found.folder, annotations, found.pictures, classes, sha256)


def read_annotations(dataset: Source | Path) -> tuple[truth.Truth, tuple[str, ...]]:
    """The annotations, and what is to be known of their dataset; checked in a moment.

    As by `read`, but no image file is decoded, or hashed.
    """
    source = sources.of(dataset)
    found = find(source)
    return found.truth, found.notes


def find(dataset: Source | Path, wrong: Wrong | None = None) -> Found:
    """What a source is, by its kind; raises ConfigError with all that `wrong` does not forgive."""
    source = sources.of(dataset)
    return _find(source, Reading(FileFacts(source.path), wrong or Wrong()))


def _find(source: Source, reading: Reading) -> Found:
    found = dataset_kinds.read(source, reading)
    reading.wrong.check()
    reading.facts.save()
    return found


def _sha256(found: Found, annotations: Path, facts: FileFacts) -> str:
    """Of the manifest, which vouches for all files; else of the truth and all images."""
    if found.manifest and found.annotations:
        return facts.sha256(found.manifest)
    paths = (one.path for one in found.pictures)
    seen = {_within(path, found.folder): facts.sha256(path) for path in paths}
    seen |= {
        COCO_NAME
        if found.annotations is None
        else _within(annotations, found.folder): facts.sha256(annotations)
    }
    return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()


def _within(path: Path, folder: Path) -> str:
    """Its name in the folder, which is the same wherever that lies."""
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)


def _written(found: Found) -> Path:
    """The truth as a COCO file in the cache, under the hash of what is in it."""
    text = json.dumps(found.content, ensure_ascii=True)
    key = hashlib.sha256(text.encode()).hexdigest()
    folder, _ = cache.get_or_create(
        cache_root(), KIND, key, lambda part: _write(part / COCO_NAME, text)
    )
    return folder / COCO_NAME


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def evenly(count: int, most: int | None) -> tuple[int, ...]:
    """At most `most` of the indices 0..count-1, evenly spaced; None means all."""
    if most is None or most >= count:
        return tuple(range(count))
    return tuple((2 * at + 1) * count // (2 * most) for at in range(most))


# ---- packs -------------------------------------------------------------------------------------


def pack(dataset: Dataset, out_dir: Path, indices: Sequence[int] | None = None) -> Path:
    """Decode images `indices` (all for None) into a folder for `tasks.pack.open_pack`.

    The folder is named by the hash of the manifest, the indices and the decoder, below `out_dir`;
    an existing one is reused. Raises ConfigError with every damaged image.
    """
    chosen = range(len(dataset.images)) if indices is None else indices
    images = [dataset.images[at] for at in chosen]
    folder = out_dir / pack_key(dataset, chosen)
    if folder.is_dir():
        return folder
    out_dir.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".pack-", dir=out_dir))
    try:
        write_pack(images, partial)
        partial.chmod(0o755)
        partial.replace(folder)
    except OSError:
        if not folder.is_dir():  # else another process was first, with the same content
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def pack_key(dataset: Dataset, indices: Sequence[int]) -> str:
    """16 hex digits of the hash of all inputs of a pack."""
    import PIL
    from PIL import features

    versions = (PACK_VERSION, image_files.VERSION, PIL.__version__, features.version("jpg"))
    decoder = " ".join(map(str, versions))
    text = f"{dataset.sha256}\n{','.join(map(str, indices))}\n{decoder}\n"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_pack(images: Sequence[Picture], folder: Path) -> None:
    """Write `ids.npy`, `shapes.npy` and `pixels.npy`, one decoded image in memory at a time."""
    images, mistakes = measured(images)
    shapes = np.array([(one.height, one.width, 3) for one in images], np.int64).reshape(-1, 3)
    same = len(images) > 0 and bool((shapes == shapes[0]).all())
    total = int(shapes.prod(axis=1).sum())
    large = too_large(images, total)
    shape = (len(images), *shapes[0].tolist()) if same else (total,)
    np.save(folder / "ids.npy", np.array([one.id for one in images], np.int64))
    np.save(folder / "shapes.npy", shapes)
    if large or (mistakes and not total):
        raise ConfigError([*mistakes, *large], HINT)
    if not total:
        np.save(folder / "pixels.npy", np.zeros(shape, np.uint8))
        return
    pixels = np.lib.format.open_memmap(folder / "pixels.npy", "w+", np.uint8, shape)
    flat, start = pixels.reshape(-1), 0
    for one in images:
        try:
            decoded = decode(one)
        except ConfigError as error:
            mistakes += error.mistakes
            continue
        flat[start : start + decoded.size] = decoded.reshape(-1)
        start += decoded.size
    if mistakes:
        raise ConfigError(mistakes, HINT)
    pixels.flush()


def too_large(images: Sequence[Picture], total_bytes: int) -> list[str]:
    """An error if tiny images would fill the disk when decoded."""
    held = sum(one.path.stat().st_size for one in images)
    if total_bytes <= max(SMALL_BYTES, MOST_PER_BYTE * held):
        return []
    folder = images[0].path.parent
    return [f"{folder}: images of {held / 1e6:,.1f} MB would decode to {total_bytes / 1e9:,.0f} GB"]


def measured(images: Sequence[Picture]) -> tuple[list[Picture], list[str]]:
    """The images whose file fits the annotation, with their decoded size; a line for each other.

    Read from the file headers, so that no memory is allocated for a wrong size.
    """
    found: list[Picture] = []
    mistakes: list[str] = []
    for one in images:
        about = f" (image id {one.id})"
        try:
            height, width = image_files.size_of(one.path, one.height, one.width, about)
        except ConfigError as error:
            mistakes += error.mistakes
            continue
        found.append(replace(one, height=height, width=width))
    return found, mistakes


def decode(picture: Picture) -> NDArray[np.uint8]:
    """Pixels (H, W, 3) uint8 RGB; raises ConfigError if damaged or not of the annotated size."""
    about = f" (image id {picture.id})"
    return image_files.decode(picture.path, picture.height, picture.width, about)

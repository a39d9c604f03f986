"""Datasets: folders with COCO annotations, images and an optional manifest.

A dataset's folder has `annotations.json` and `images/`. With a `manifest.json`, `{"name": …,
"images": n, "files": {path: sha256}}` with paths relative to the folder, changes are detected.
Runs on the orchestrator only; on devices, `tasks/pack.py` reads the packs with numpy alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from .. import regular
from ..errors import ConfigError
from ..metrics import truth
from ..metrics.coco_entries import ImageEntry, is_path
from ..metrics.json_values import shown
from . import image_files
from .image_paths import DECLARED, ImageFolder, OwnFiles, is_file

Read = TypeVar("Read")

PACK_VERSION: Final = 1
#: decoded bytes of a dataset per byte of its files; small datasets have no limit
MOST_PER_BYTE: Final = 1000
SMALL_BYTES: Final = 4 << 30
ANNOTATIONS: Final = "annotations.json"
MANIFEST: Final = "manifest.json"
OUTSIDE: Final = f"outside of the dataset's folder and of the folders in {DECLARED}"
OUTSIDE_HINT: Final = f"Copy it into the dataset's folder, or add its folder to {DECLARED}."
HINT = "Copy the dataset again, or regenerate its manifest if you changed it."


@dataclass(frozen=True)
class Picture:
    """One image of a dataset, as annotated; 0 x 0 if the annotations lack its size."""

    id: int
    path: Path
    height: int
    width: int


@dataclass(frozen=True)
class Dataset:
    """A checked dataset: every file exists and, with a manifest, has its sha256."""

    name: str
    folder: Path
    annotations: Path
    images: tuple[Picture, ...]
    classes: tuple[str, ...]
    #: of all the files: that of manifest.json where there is one
    sha256: str


def read(folder: Path) -> Dataset:
    """Read and check the dataset in `folder`; raises ConfigError with all mistakes."""
    manifest, content, images = _checked(folder, whole=True)
    annotations = folder / ANNOTATIONS
    classes = tuple(one.name for one in content.categories)
    if manifest is None:
        paths = [annotations, *(one.path for one in images)]
        seen = {str(path.relative_to(folder)): hash_now(path) for path in paths}
        sha256 = hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()
        return Dataset(folder.name, folder, annotations, images, classes, sha256)
    sha256 = hash_now(folder / MANIFEST)
    return Dataset(manifest["name"], folder, annotations, images, classes, sha256)


def read_annotations(folder: Path) -> tuple[truth.Truth, tuple[str, ...]]:
    """The annotations and notes on the dataset; a quick check.

    As by `read`, but no image file is opened.
    """
    manifest, content, _ = _checked(folder, whole=False)
    notes = () if manifest else (f"no {MANIFEST}: damaged image files cannot be detected",)
    return content, notes


def _checked(
    folder: Path, whole: bool
) -> tuple[dict[str, Any] | None, truth.Truth, tuple[Picture, ...]]:
    """Manifest (None without one), annotations, and images with their files."""
    problems: list[ConfigError] = []
    annotations, manifest_path = folder / ANNOTATIONS, folder / MANIFEST
    own = OwnFiles(folder)
    if foreign := [path for path in (annotations, manifest_path) if not own.has(path)]:
        raise ConfigError([f"{path}: {OUTSIDE}" for path in foreign], OUTSIDE_HINT)
    alone = not os.path.exists(manifest_path)  # noqa: PTH110  # pathlib raises if too long
    manifest = None if alone else _tried(lambda: read_manifest(manifest_path), problems)
    files: dict[str, str] = manifest["files"] if manifest else {}
    mistakes = file_mistakes(folder, files, hashed=files if whole else {ANNOTATIONS})
    if manifest and ANNOTATIONS not in files:
        mistakes.append(f"{manifest_path}: files: does not name {ANNOTATIONS}")
    content = None
    if is_file(annotations) or not manifest:
        content = _tried(lambda: truth.read(annotations), problems)
    images, unclear = pictures(folder, content.images if content else ())
    mistakes += unclear + (absent(images) if alone else unlisted(folder, images, files))
    if mistakes:
        problems.insert(0, ConfigError(mistakes, HINT))
    if problems or content is None:
        raise ConfigError([what for one in problems for what in one.mistakes], problems[0].hint)
    return manifest, content, images


def _tried(read: Callable[[], Read], problems: list[ConfigError]) -> Read | None:
    """The result, or None with the mistakes added to `problems`."""
    try:
        return read()
    except ConfigError as error:
        problems.append(error)
        return None


def pictures(folder: Path, entries: Sequence[ImageEntry]) -> tuple[tuple[Picture, ...], list[str]]:
    """Every annotated image with its file, and a line for each whose file is ambiguous."""
    there, found, mistakes = ImageFolder(folder), [], []
    named: dict[Path, str] = {}
    for one in entries:
        path, others = there.find(one.file_name)
        about = f"image id {one.id}, file_name {shown(one.file_name)}"
        if not there.own.has(path):
            mistakes.append(f"{folder / ANNOTATIONS}: {about}: {OUTSIDE}")
            continue
        if others:
            names = " or ".join(str(each.relative_to(folder)) for each in (path, *others))
            mistakes.append(f"{folder / ANNOTATIONS}: {about}: ambiguous: {names}")
        elif named.setdefault(path, one.file_name) != one.file_name:
            taken = shown(named[path])
            mistakes.append(f"{folder / ANNOTATIONS}: {about}: same file as {taken}")
        found.append(Picture(one.id, path, one.height, one.width))
    return tuple(found), mistakes


def evenly(count: int, most: int | None) -> tuple[int, ...]:
    """At most `most` of the indices 0..count-1, evenly spaced; None means all."""
    if most is None or most >= count:
        return tuple(range(count))
    return tuple((2 * at + 1) * count // (2 * most) for at in range(most))


# ---- checks ------------------------------------------------------------------------------------


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest, validated."""
    try:
        manifest = json.loads(regular.read(path))
        json.dumps(manifest, ensure_ascii=False).encode()  # it may contain invalid text
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror}"]) from None
    except (ValueError, RecursionError) as error:
        raise ConfigError([f"{path}: not JSON: {error}"], HINT) from None
    if not isinstance(manifest, dict):
        raise ConfigError([f"{path}: expected an object, got {shown(manifest)}"], HINT)
    mistakes = []
    if not isinstance(manifest.get("name"), str):
        mistakes.append(f"{path}: name: expected a name, got {shown(manifest.get('name'))}")
    files = manifest.get("files")
    if not isinstance(files, dict) or not all(isinstance(one, str) for one in files.values()):
        mistakes.append(f"{path}: files: expected {{path: sha256}}, got {shown(files)}")
    if mistakes:
        raise ConfigError(mistakes, HINT)
    return manifest


def file_mistakes(folder: Path, files: dict[str, str], hashed: Container[str]) -> list[str]:
    """Files of the manifest that are missing or, if in `hashed`, have another sha256.

    Files outside of the dataset are not even hashed.
    """
    mistakes = []
    own = OwnFiles(folder)
    for name, wanted in files.items():
        if not is_path(name):
            mistakes.append(f"{folder / MANIFEST}: files: expected paths, got {shown(name)}")
            continue
        path = folder / name
        if not own.has(path):
            mistakes.append(f"{folder / MANIFEST}: {shown(name)}: {OUTSIDE}")
            continue
        if not is_file(path):
            mistakes.append(f"{path}: no such file; listed in the manifest")
            continue
        if name not in hashed:
            continue
        seen = hash_now(path)
        if seen != wanted.lower():
            mistakes.append(f"{path}: sha256 is {seen[:12]}…, expected {wanted[:12]}… (manifest)")
    return mistakes


def hash_now(path: Path) -> str:
    """sha256 of a file as it is now."""
    state = path.stat()
    return sha256_of(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=65536)
def sha256_of(path: Path, size_bytes: int, changed_ns: int) -> str:
    """Hash of a file, cached while its size and modification time stay the same."""
    with regular.opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def absent(images: Sequence[Picture]) -> list[str]:
    """Annotated images whose file is missing."""
    return [
        f"{one.path}: no such file; annotated as image id {one.id}"
        for one in images
        if not is_file(one.path)
    ]


def unlisted(folder: Path, images: Sequence[Picture], files: dict[str, str]) -> list[str]:
    """Annotated images that the manifest does not list."""
    paths = {folder / name for name in files}
    return [
        f"{one.path}: not in the manifest; annotated as image id {one.id}"
        for one in images
        if one.path not in paths
    ]


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

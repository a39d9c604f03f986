"""Datasets: a folder with COCO annotations, pictures and a manifest, checked and decoded once.

A dataset's folder has `annotations.json`, `images/`, and `manifest.json`: `{"name": …, "images": n,
"files": {path: sha256}}` with paths relative to the folder. Runs on the orchestrator only; what it
packs is read where the model runs by `tasks/pack.py`, with numpy alone.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from ..metrics import truth
from . import image_files

PACK_VERSION: Final = 1
HINT = "Copy the dataset again, or write its manifest anew if the change is meant."


@dataclass(frozen=True)
class Picture:
    """One image of a dataset, as annotated."""

    id: int
    path: Path
    height: int
    width: int


@dataclass(frozen=True)
class Dataset:
    """A checked dataset: every file is there and has the manifest's sha256."""

    name: str
    folder: Path
    annotations: Path
    images: tuple[Picture, ...]
    classes: tuple[str, ...]
    #: of manifest.json, so of all the files
    sha256: str


def read(folder: Path) -> Dataset:
    """Read and check the dataset in `folder`; raises ConfigError with all mistakes at once."""
    manifest_path, annotations = folder / "manifest.json", folder / "annotations.json"
    manifest = read_manifest(manifest_path)
    mistakes, hint = file_mistakes(folder, manifest["files"]), HINT
    content: truth.Truth | None = None
    if annotations.name not in manifest["files"]:
        mistakes.append(f"{manifest_path}: files: does not name {annotations.name}")
    elif annotations.is_file():
        try:
            content = truth.read(annotations)
        except ConfigError as error:
            hint = hint if mistakes else error.hint
            mistakes += error.mistakes
    images = tuple(
        Picture(one["id"], image_path(folder, one["file_name"]), one["height"], one["width"])
        for one in (content.images if content else ())
    )
    mistakes += unlisted(folder, images, manifest["files"])
    if mistakes or content is None:
        raise ConfigError(mistakes, hint)
    classes = tuple(one["name"] for one in content.categories)
    sha256 = hashlib.sha256(manifest_path.read_bytes()).hexdigest()
    return Dataset(manifest["name"], folder, annotations, images, classes, sha256)


def image_path(folder: Path, file_name: str) -> Path:
    """Below `images/`, also where the annotations say `images/a.jpg`, or a folder that is gone."""
    path = folder / "images" / file_name
    others = (folder / file_name, folder / "images" / PurePosixPath(file_name).name)
    return path if path.is_file() else next((one for one in others if one.is_file()), path)


def evenly(count: int, most: int | None) -> tuple[int, ...]:
    """At most `most` of the indices 0..count-1, evenly spaced; all of them for None."""
    if most is None or most >= count:
        return tuple(range(count))
    return tuple((2 * at + 1) * count // (2 * most) for at in range(most))


# ---- checks ------------------------------------------------------------------------------------


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest, its form checked."""
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError([f"{path}: no such file"], "Give the dataset a manifest.json.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: not JSON: {error}"], HINT) from None
    if not isinstance(manifest, dict):
        raise ConfigError([f"{path}: expected an object, got {truth.shown(manifest)}"], HINT)
    mistakes = []
    if not isinstance(manifest.get("name"), str):
        mistakes.append(f"{path}: name: expected a name, got {truth.shown(manifest.get('name'))}")
    files = manifest.get("files")
    if not isinstance(files, dict) or not all(isinstance(one, str) for one in files.values()):
        mistakes.append(f"{path}: files: expected {{path: sha256}}, got {truth.shown(files)}")
    if mistakes:
        raise ConfigError(mistakes, HINT)
    return manifest


def file_mistakes(folder: Path, files: dict[str, str]) -> list[str]:
    """Files of the manifest that are not there, or are others."""
    mistakes = []
    for name, wanted in files.items():
        path = folder / name
        if not path.is_file():
            mistakes.append(f"{path}: no such file, but the manifest names it")
            continue
        seen = sha256_of(path, path.stat().st_size, path.stat().st_mtime_ns)
        if seen != wanted:
            mistakes.append(f"{path}: sha256 is {seen[:12]}…, the manifest has {wanted[:12]}…")
    return mistakes


@lru_cache(maxsize=65536)
def sha256_of(path: Path, size_bytes: int, changed_ns: int) -> str:
    """Hash of a file, remembered for as long as its size and time of change stay."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def unlisted(folder: Path, images: Sequence[Picture], files: dict[str, str]) -> list[str]:
    """Annotated pictures that the manifest does not name, so that nothing vouches for them."""
    paths = {folder / name for name in files}
    return [
        f"{one.path}: annotated (image id {one.id}), but not in the manifest"
        for one in images
        if one.path not in paths
    ]


# ---- packs -------------------------------------------------------------------------------------


def pack(dataset: Dataset, out_dir: Path, indices: Sequence[int] | None = None) -> Path:
    """Decode pictures `indices` (all for None) into a folder for `tasks.pack.open_pack`.

    The folder is named by the hash of the manifest, the indices and the decoder, below `out_dir`;
    one that is there is returned as it is. Raises ConfigError with every damaged picture.
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
    """16 hex digits of the hash of all that makes a pack."""
    import PIL
    from PIL import features

    versions = (PACK_VERSION, image_files.VERSION, PIL.__version__, features.version("jpg"))
    decoder = " ".join(map(str, versions))
    text = f"{dataset.sha256}\n{','.join(map(str, indices))}\n{decoder}\n"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_pack(images: Sequence[Picture], folder: Path) -> None:
    """Write `ids.npy`, `shapes.npy` and `pixels.npy`, one decoded picture in memory at a time."""
    shapes = np.array([(one.height, one.width, 3) for one in images], np.int64).reshape(-1, 3)
    same = len(images) > 0 and bool((shapes == shapes[0]).all())
    total = int(shapes.prod(axis=1).sum())
    shape = (len(images), *shapes[0].tolist()) if same else (total,)
    np.save(folder / "ids.npy", np.array([one.id for one in images], np.int64))
    np.save(folder / "shapes.npy", shapes)
    if not total:
        np.save(folder / "pixels.npy", np.zeros(shape, np.uint8))
        return
    pixels = np.lib.format.open_memmap(folder / "pixels.npy", "w+", np.uint8, shape)
    flat, start, mistakes = pixels.reshape(-1), 0, []
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


def decode(picture: Picture) -> NDArray[np.uint8]:
    """Pixels (H, W, 3) uint8 RGB; raises ConfigError if damaged or not of the annotated size."""
    about = f" (image id {picture.id})"
    return image_files.decode(picture.path, picture.height, picture.width, about)

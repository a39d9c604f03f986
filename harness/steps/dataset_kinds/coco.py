"""COCO JSON with a folder of images; beside it perhaps bench's own manifest of hashes."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ...errors import ConfigError
from ...metrics import truth
from ...metrics.coco_entries import ImageEntry, is_path
from ...metrics.json_values import shown
from ..image_paths import ImageFolder, OwnFiles, is_file
from . import class_maps, files, findings
from .class_maps import Content
from .findings import Wrong
from .found import Found, Picture, Reading
from .source import Source

TITLE: Final = "COCO"
TAKES_IMAGES: Final = True
ANNOTATIONS: Final = "annotations.json"
MANIFEST: Final = "manifest.json"
#: what the tools of the field call the file in a folder with the images
NAMES: Final = (ANNOTATIONS, "_annotations.coco.json")
HINT: Final = "Copy the dataset again, or regenerate its manifest if you changed it."


@dataclass(frozen=True)
class Layout:
    """Where the files of a COCO dataset are."""

    #: names in messages are relative to it
    folder: Path
    annotations: Path
    #: None: `images/` of the folder, or beside it
    images: Path | None


def evidence(source: Source) -> str:
    """What makes it COCO; empty: nothing does."""
    path = source.path
    if not path.is_dir():
        return path.name if path.suffix.lower() == ".json" else ""
    there = candidates(path, source.split)
    return str(there[0].relative_to(path)) if there else ""


def candidates(folder: Path, split: str) -> list[Path]:
    """Annotation files of a folder; one of its own usual names is the only one."""
    for top in (folder / split, folder) if split else (folder,):
        for name in NAMES:
            vouched = name == ANNOTATIONS and os.path.lexists(top / MANIFEST)
            if os.path.lexists(top / name) or vouched:
                return [top / name]
    found = [path for path in sorted((folder / "annotations").glob("*.json")) if split in path.stem]
    # COCO's download has captions and keypoints of the same images beside them
    return [path for path in found if path.name.startswith("instances_")] or found


def read(source: Source, reading: Reading) -> Found:
    """Truth, images with their files, manifest; no image is decoded."""
    layout, wrong = _layout(source), reading.wrong
    manifest_path = layout.folder / MANIFEST
    own = OwnFiles(layout.folder)
    for path in (layout.annotations, manifest_path):
        if not own.has(path):
            wrong.add(findings.OUTSIDE, f"{path}: {files.OUTSIDE}", files.OUTSIDE_HINT)
    wrong.check()
    manifest = _manifest(manifest_path, wrong)
    listed: dict[str, str] = manifest["files"] if manifest else {}
    _check_listed(layout, listed, reading)
    if manifest and ANNOTATIONS not in listed:
        wrong.add(findings.CHANGED, f"{manifest_path}: files: does not name {ANNOTATIONS}", HINT)
    content, found = _truth(source, layout, manifest is not None, wrong)
    there = ImageFolder(layout.folder, layout.images, source.images)
    pictures = _pictures(layout, there, found.images if found else (), wrong)
    _check_there(layout, pictures, manifest and listed, wrong)
    if found is None:
        wrong.fail()
    wrong.check()
    return Found(
        TITLE,
        layout.folder,
        found,
        pictures,
        annotations=None if source.class_map.changes else layout.annotations,
        content=content,
        name=str(manifest["name"]) if manifest else "",
        manifest=manifest_path if manifest else None,
    )


def _layout(source: Source) -> Layout:
    path = source.path
    if not path.is_dir():
        if source.split:
            what = "split: not used for a single COCO file"
            raise ConfigError([f"{path}: {what}"], "Remove `split`.")
        folder = path.parent.parent if path.parent.name == "annotations" else path.parent
        if source.images:
            return Layout(path.parent, path, source.images)
        return Layout(folder, path, None if (folder / "images").is_dir() else folder)
    there = candidates(path, source.split)
    if len(there) > 1:
        names = " or ".join(str(one.relative_to(path)) for one in there)
        raise ConfigError(
            [f"{path}: several annotation files: {names}"],
            "Name one with its images: `{annotations: FILE, images: FOLDER}`.",
        )
    annotations = there[0] if there else path / ANNOTATIONS
    if source.split and there and annotations.parent == path:
        what = f"no split `{source.split}`: {annotations.name} is all there is"
        raise ConfigError([f"{path}: {what}"], "Remove `split`.")
    if annotations.parent.name == "annotations":
        return Layout(path, annotations, source.images or path)
    beside = annotations.name != ANNOTATIONS
    return Layout(annotations.parent, annotations, source.images or (path if beside else None))


def _truth(
    source: Source, layout: Layout, named: bool, wrong: Wrong
) -> tuple[Content, truth.Truth | None]:
    """The annotations, their classes renamed where that is asked; None where they are wrong."""
    path = layout.annotations
    if named and not path.is_file():
        return {}, None  # the manifest's mistake
    try:
        if path.is_file() and path.stat().st_size > files.COCO_BYTES:
            what = f"{path.stat().st_size:,} bytes exceed the limit of {files.COCO_BYTES:,}"
            raise ConfigError([f"{path}: {what}"])
        if path.exists() and not path.is_file():
            raise ConfigError([f"{path}: not a regular file"])
        if not source.class_map.changes:
            return {}, truth.read(path)
        truth.read(path)
        content = class_maps.renamed(source, truth.load(path), wrong)
        return content, truth.of(path, content)
    except ConfigError as error:
        wrong.take(findings.LABELS, error)
        return {}, None


# ---- images ------------------------------------------------------------------------------------


def _pictures(
    layout: Layout, there: ImageFolder, entries: Sequence[ImageEntry], wrong: Wrong
) -> tuple[Picture, ...]:
    """Every annotated image with its file; a mistake for each whose file cannot be told."""
    found = []
    named: dict[Path, str] = {}
    for one in entries:
        path, others = there.find(one.file_name)
        about = f"{layout.annotations}: image id {one.id}, file_name {shown(one.file_name)}"
        if not there.own.has(path):
            wrong.add(findings.OUTSIDE, f"{about}: {files.OUTSIDE}", HINT)
            continue
        if others:
            names = " or ".join(_within(each, layout) for each in (path, *others))
            wrong.add(findings.AMBIGUOUS, f"{about}: ambiguous: {names}", HINT)
        elif named.setdefault(path, one.file_name) != one.file_name:
            taken = shown(named[path])
            wrong.add(findings.AMBIGUOUS, f"{about}: same file as {taken}", HINT)
        found.append(Picture(one.id, path, one.height, one.width))
    return tuple(found)


def _within(path: Path, layout: Layout) -> str:
    """Relative to the dataset's folder where it lies there."""
    tops = (layout.folder, *([layout.images] if layout.images else []))
    top = next((one for one in tops if path.is_relative_to(one)), None)
    return str(path.relative_to(top) if top else path)


def _check_there(
    layout: Layout, pictures: Sequence[Picture], listed: dict[str, str] | None, wrong: Wrong
) -> None:
    """Annotated images are there; where there is a manifest, it names them."""
    paths = {layout.folder / name for name in listed or ()}
    for one in pictures:
        if listed is not None and one.path not in paths:
            what = f"not in the manifest; annotated as image id {one.id}"
            wrong.add(findings.CHANGED, f"{one.path}: {what}", HINT)
        elif listed is None and not is_file(one.path):
            what = f"no such file; annotated as image id {one.id}"
            wrong.add(findings.ABSENT, f"{one.path}: {what}", HINT)


# ---- the manifest ------------------------------------------------------------------------------


def _manifest(path: Path, wrong: Wrong) -> dict[str, Any] | None:
    """None where there is none, or it is wrong."""
    if not path.exists():
        return None
    try:
        return read_manifest(path)
    except ConfigError as error:
        wrong.take(findings.DESCRIBED, error)
        return None


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest, its form checked."""
    data = files.read_bytes(path, files.TABLE_BYTES)
    try:
        manifest = json.loads(data)
        json.dumps(manifest, ensure_ascii=False).encode()  # no lone surrogates
    except (ValueError, RecursionError) as error:
        raise ConfigError([f"{path}: not JSON: {error}"], HINT) from None
    if not isinstance(manifest, dict):
        raise ConfigError([f"{path}: expected an object, got {shown(manifest)}"], HINT)
    mistakes = []
    if not isinstance(manifest.get("name"), str):
        mistakes.append(f"{path}: name: expected a name, got {shown(manifest.get('name'))}")
    listed = manifest.get("files")
    if not isinstance(listed, dict) or not all(isinstance(one, str) for one in listed.values()):
        mistakes.append(f"{path}: files: expected {{path: sha256}}, got {shown(listed)}")
    if mistakes:
        raise ConfigError(mistakes, HINT)
    return manifest


def _check_listed(layout: Layout, listed: dict[str, str], reading: Reading) -> None:
    """Files of the manifest are there and, of those that are to be hashed, the same.

    What is not the dataset's own is not even hashed.
    """
    own, wrong = OwnFiles(layout.folder), reading.wrong
    for name, wanted in listed.items():
        if not is_path(name):
            what = f"files: expected paths, got {shown(name)}"
            wrong.add(findings.CHANGED, f"{layout.folder / MANIFEST}: {what}", HINT)
            continue
        path = layout.folder / name
        if not own.has(path):
            about = f"{layout.folder / MANIFEST}: {shown(name)}"
            wrong.add(findings.OUTSIDE, f"{about}: {files.OUTSIDE}", HINT)
        elif not is_file(path):
            wrong.add(findings.ABSENT, f"{path}: no such file; listed in the manifest", HINT)
        elif reading.whole or name == ANNOTATIONS:
            seen = reading.facts.sha256(path)
            if seen != wanted.lower():
                what = f"sha256 is {seen[:12]}…, expected {wanted[:12]}… (manifest)"
                wrong.add(findings.CHANGED, f"{path}: {what}", HINT)

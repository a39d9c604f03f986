"""Entries of `datasets:` in model.yaml: a path alone, or what is to be said of the dataset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from ..errors import ConfigError
from ..metrics.coco_entries import is_path
from ..steps import dataset_kinds
from ..steps.dataset_kinds.source import BY_NAME, ClassMap, ClassRule, Source
from .mistakes import neighbours
from .sections import Strict
from .yaml_lines import YamlFile


def _known_kind(value: str) -> str:
    if value and value not in dataset_kinds.REGISTRY:
        names = ", ".join(f"'{name}'" for name in dataset_kinds.REGISTRY)
        raise PydanticCustomError("literal_error", "", {"expected": names})
    return value


def _checked_map(value: Any) -> Any:
    """One of the rules, or classes; anything else is one mistake rather than one for each type."""
    if isinstance(value, dict) or value in get_args(ClassRule):
        entries = value.values() if isinstance(value, dict) else ()
        if all(one is None or type(one) in (str, int) for one in entries):
            return value
        raise PydanticCustomError("class_map", "expected names or labels of the model's classes")
    rules = ", ".join(get_args(ClassRule))
    raise PydanticCustomError("class_map", f"expected {rules} or {{class: class}}")


class DatasetFile(Strict):
    """A dataset; a path alone is short for `path`."""

    path: str = Field("", description="File or folder of the dataset.")
    annotations: str = Field("", description="Its COCO file, instead of `path`.")
    images: str = Field("", description="Folder of its images, where that is another one.")
    split: str = Field("", pattern=r"^([^/\\.][^/\\]*)?$", description="Which part: val, test, …")
    kind: Annotated[str, AfterValidator(_known_kind)] = Field(
        "",
        description="Which it is, where the path may be several.",
        json_schema_extra={"enum": list(dataset_kinds.REGISTRY)},
    )
    class_map: Annotated[ClassRule | dict[str, str | int | None], BeforeValidator(_checked_map)] = (
        Field(
            BY_NAME,
            description="Class of the dataset (name or id): class of the model (name or label).",
        )
    )


def _as_mapping(value: Any) -> Any:
    return {"path": value} if isinstance(value, str) else value


DatasetEntry = Annotated[DatasetFile, BeforeValidator(_as_mapping)]


def sources(
    entries: Mapping[str, DatasetFile], classes: Sequence[str], folder: Path, file: YamlFile
) -> dict[str, Source]:
    """By their names, paths relative to the model's folder; raises ConfigError with mistakes."""
    mistakes = [
        f"{file.where(('datasets', name, *path))}: {'.'.join(('datasets', name, *path))}: {what}"
        for name, one in entries.items()
        for path, what in _mistakes(one, classes)
    ]
    if mistakes:
        raise ConfigError(mistakes)
    return {
        name: Source(
            path=folder / (one.path or one.annotations),
            images=folder / one.images if one.images else None,
            split=one.split,
            kind=one.kind,
            class_map=_class_map(one, classes),
            name=name,
            where=file.where(("datasets", name, "class_map")),
        )
        for name, one in entries.items()
    }


def _mistakes(one: DatasetFile, classes: Sequence[str]) -> Iterator[tuple[tuple[str, ...], str]]:
    """The key within the entry, and what is wrong there."""
    if not all(map(is_path, (one.path, one.annotations, one.images))):
        yield (), "expected a path"
    if not (one.path or one.annotations):
        yield (), "expected `path`, or `annotations` and `images`"
    if one.path and one.annotations:
        yield ("annotations",), "`path` names the dataset already; leave one of them out"
    if isinstance(one.class_map, str):
        return
    for own, name in one.class_map.items():
        if isinstance(name, int) and not 0 <= name < len(classes):
            yield ("class_map", own), f"no label {name}; the model has 0 to {len(classes) - 1}"
        if isinstance(name, str) and name not in classes:
            what = f"no class '{name}' of the model{neighbours(name, list(classes))}"
            yield ("class_map", own), what


def _class_map(one: DatasetFile, classes: Sequence[str]) -> ClassMap:
    names = tuple(name.strip() for name in classes)
    if isinstance(one.class_map, str):
        return ClassMap(one.class_map, classes=names)
    found = ((own, names[to] if isinstance(to, int) else to) for own, to in one.class_map.items())
    return ClassMap(names=tuple(found), classes=names)

"""Classes of the truth under the names of the model's, as `class_map:` says it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, Final

from ...metrics.json_values import whole
from . import files, findings
from .findings import Wrong
from .source import BY_NAME, Source

BY_NAMES: Final = "Map the classes by their names."
#: a COCO file: its three lists
Content = dict[str, list[dict[str, Any]]]


def renamed(source: Source, content: Content, wrong: Wrong) -> Content:
    """`content`, its categories called as the model's classes; some left out with their objects."""
    return kept(source, content, (), wrong)[1]


def kept(
    source: Source,
    content: Content,
    places: Sequence[str],
    wrong: Wrong,
    *,
    has_ids: bool = True,
) -> tuple[Sequence[str], Content]:
    """As `renamed`, and the places of the annotations that are left.

    `has_ids`: whether ids of the categories are the dataset's, and none that only we gave them.
    """
    if not source.class_map.changes:
        return places, content
    found = _names(source, content["categories"], wrong, has_ids)
    categories = [
        {**one, "name": name}
        for one, name in zip(content["categories"], found, strict=True)
        if name is not None
    ]
    pairs = zip(content["categories"], found, strict=True)
    out = {str(one["id"]) for one, name in pairs if name is None}
    if not out:
        return places, {**content, "categories": categories}
    labels = enumerate(content["annotations"])
    left = [at for at, one in labels if str(one.get("category_id")) not in out]
    annotations = [content["annotations"][at] for at in left]
    remaining = [places[at] for at in left] if places else places
    return remaining, {**content, "categories": categories, "annotations": annotations}


def _names(
    source: Source, categories: Sequence[dict[str, Any]], wrong: Wrong, has_ids: bool
) -> list[str | None]:
    """The name of each category; a mistake for each part of the map that fits none."""
    asked = source.class_map
    if asked.rule == BY_NAME:
        return _by_name(source, categories, wrong, has_ids)
    if asked.rule == "by-id" and not has_ids:
        what = "by-id: classes of the dataset have names only"
        wrong.add(findings.CLASSES, f"{source.at}: class_map: {what}", BY_NAMES)
    ranks = _labels(categories, by_order=asked.rule == "by-order")
    if None in ranks:
        wrong.add(findings.CLASSES, f"{source.at}: class_map: ids of the dataset are no numbers")
    count = len({str(one.get("id")) for one in categories})
    if asked.rule == "by-order" and count != len(asked.classes):
        counts = f"{count:,} classes, the model {len(asked.classes):,}"
        wrong.add(
            findings.CLASSES,
            f"{source.at}: class_map: by-order: the dataset has {counts}",
            BY_NAMES,
        )
    inside = [
        rank if rank is not None and 0 <= rank < len(asked.classes) else None for rank in ranks
    ]
    if categories and not any(rank is not None for rank in inside):
        wrong.add(findings.CLASSES, f"{source.at}: class_map: no id is a label of the model")
    # a class that the model does not have keeps its name, which is not one of the model's
    return [
        asked.classes[rank] if rank is not None else _foreign(one, asked.classes)
        for one, rank in zip(categories, inside, strict=True)
    ]


def _labels(categories: Sequence[dict[str, Any]], *, by_order: bool) -> list[int | None]:
    ids = [whole(one.get("id")) for one in categories]
    if not by_order or None in ids:
        return ids
    ranks = {own: rank for rank, own in enumerate(sorted({own for own in ids if own is not None}))}
    return [None if own is None else ranks[own] for own in ids]


def _foreign(category: dict[str, Any], classes: Sequence[str]) -> str | None:
    """Its own name; None where that is a class of the model, which it is not."""
    name = str(category.get("name")).strip()
    return None if name in {one.strip() for one in classes} else name


def _by_name(
    source: Source, categories: Sequence[dict[str, Any]], wrong: Wrong, has_ids: bool
) -> list[str | None]:
    """By a key that is a name, else by one that is an id and no name of any category."""
    asked = dict(source.class_map.names)
    used: set[str] = set()
    found: list[str | None] = []
    names = [str(one.get("name")).strip() for one in categories]
    ids = set(asked).difference(names) if has_ids else set()
    for name, one in zip(names, categories, strict=True):
        own = str(one.get("id"))
        key = name if name in asked else own if own in ids else None
        found.append(name if key is None else asked[key])
        used |= {key} if key is not None else set()
    for key in asked:
        if key not in used:
            close = difflib.get_close_matches(key, names, n=1)
            rest = f"did you mean '{close[0]}'?" if close else f"it has {files.listed(names)}"
            wrong.add(
                findings.CLASSES,
                f"{source.at}: class_map: '{key}' is no class of the dataset; {rest}",
                "Name classes of the dataset on the left, those of the model on the right.",
            )
    return found

"""`data.yaml` of Ultralytics: names of classes, where the images of each split are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from ...errors import ConfigError
from ...metrics.coco_entries import is_path
from ...metrics.json_values import shown, whole
from . import files

#: as Ultralytics calls them, too
ALIASES: Final = {"validation": "val", "valid": "val"}
SPLITS: Final = ("train", "val", "test", "minival")
MOST_CLASSES: Final = 100_000
#: lists and mappings within others
DEEPEST: Final = 16
HINT: Final = "See Ultralytics' page on dataset files, or export the dataset again."


@dataclass(frozen=True)
class Description:
    """The file, its form checked."""

    path: Path
    #: as it stands there; empty: the file's folder
    root: str
    #: of each split, folders or lists of images as they stand there
    splits: Mapping[str, tuple[str, ...]]
    names: tuple[str, ...]
    #: points, and numbers for each (2 or 3)
    keypoints: tuple[int, int] | None
    lines: Mapping[str, int]

    def line(self, key: str) -> int:
        """On which it stands."""
        return self.lines.get(key, 1)


def read(path: Path) -> Description:
    """Raises ConfigError with all mistakes, each with its line."""
    data, lines = _data(path)
    mistakes = list(_mistakes(data))
    if mistakes:
        texts = [f"{path}:{lines.get(key, 1)}: {what}" for key, what in mistakes]
        raise ConfigError(texts, HINT)
    splits = {
        ALIASES.get(key, key): tuple([value] if isinstance(value, str) else value)
        for key, value in sorted(data.items(), key=_own_name_last)
        if ALIASES.get(str(key), key) in SPLITS and value
    }
    shape = data.get("kpt_shape")
    return Description(
        path,
        str(data.get("path") or ""),
        splits,
        _names(data),
        (shape[0], shape[1]) if shape else None,
        {ALIASES.get(key, key): line for key, line in sorted(lines.items(), key=_own_name_last)},
    )


def _own_name_last(entry: tuple[Any, Any]) -> bool:
    """`val` counts where there is `valid`, too."""
    return entry[0] not in ALIASES


def _data(path: Path) -> tuple[dict[Any, Any], dict[str, int]]:
    """The mapping, and the line of each of its keys."""
    text = files.read_text(path, files.ABOUT_BYTES)
    try:
        for line, what in _refused(text):
            raise ConfigError([f"{path}:{line}: {what}"], HINT)
        data, node = yaml.safe_load(text), yaml.compose(text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark or error.context_mark
        line = at.line + 1 if at else 1
        raise ConfigError([f"{path}:{line}: not YAML: {error.problem}"], HINT) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError([f"{path}:1: not YAML: {what}"], HINT) from None
    if not isinstance(data, dict) or not isinstance(node, yaml.MappingNode):
        raise ConfigError([f"{path}:1: expected keys and values, got {_seen(data)}"], HINT)
    twice = [f"{path}:{line}: {what}" for line, what in _repeated(node)]
    if twice:
        raise ConfigError(twice, HINT)
    lines = {str(key.value): key.start_mark.line + 1 for key, _ in node.value}
    return data, lines


def _repeated(node: yaml.MappingNode) -> Iterator[tuple[int, str]]:
    """Line and description of keys that would silently replace others; also of those below."""
    seen: set[str] = set()
    for key, value in node.value:
        if str(key.value) in seen:
            yield key.start_mark.line + 1, f"{key.value}: a second time"
        seen.add(str(key.value))
        if isinstance(value, yaml.MappingNode):
            yield from _repeated(value)


def _refused(text: str) -> Iterator[tuple[int, str]]:
    """Line and description of what may expand or create objects; no dataset needs it."""
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        line = event.start_mark.line + 1 if event.start_mark else 1
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            yield line, f"more than {DEEPEST} values within another"
        if isinstance(event, yaml.AliasEvent):
            yield line, f"aliases (*{event.anchor}) are not read"
        if tag := getattr(event, "tag", None):
            yield line, f"tags ({tag}) are not read"


def _mistakes(data: dict[Any, Any]) -> Iterator[tuple[str, str]]:
    """Key and what is wrong with it."""
    if not _is_place(data.get("path") or ""):
        yield "path", f"path: expected a folder, got {_seen(data['path'])}"
    for key, value in data.items():
        if ALIASES.get(str(key), key) in SPLITS and value and not _places(value):
            yield str(key), f"{key}: expected a path or a list of paths, got {_seen(value)}"
    yield from _name_mistakes(data)
    shape = data.get("kpt_shape")
    right = isinstance(shape, list) and [type(one) for one in shape] == [int, int]
    if shape and not (right and shape[0] > 0 and shape[1] in (2, 3)):
        what = f"kpt_shape: expected [points, 2] or [points, 3], got {_seen(shape)}"
        yield "kpt_shape", what


def _name_mistakes(data: dict[Any, Any]) -> Iterator[tuple[str, str]]:
    names, count = data.get("names"), whole(data.get("nc"))
    if "nc" in data and (count is None or not 0 < count <= MOST_CLASSES):
        yield "nc", f"nc: expected a number of classes, got {_seen(data['nc'])}"
        return
    if names is None and count is None:
        yield "names", "names: missing"
    elif isinstance(names, dict):
        missing = [at for at in range(len(names)) if at not in names]
        if missing:
            what = f"expected 0 to {len(names) - 1}, {missing[0]} is missing"
            yield "names", f"names: {what}"
    elif names is not None and not isinstance(names, list):
        yield "names", f"names: expected a list, or numbers with names, got {_seen(names)}"
    values = list(names.values() if isinstance(names, dict) else names or ())
    names_of = (str, int, float)
    wrong = [one for one in values if isinstance(one, bool) or not isinstance(one, names_of)]
    if wrong and isinstance(names, (dict, list)):
        quotes = "; put it in quotes" if isinstance(wrong[0], bool) else ""
        yield "names", f"names: expected names, got {_seen(wrong[0])}{quotes}"
    if isinstance(names, (dict, list)) and count is not None and len(values) != count:
        yield "names", f"names: {len(values)} names, but nc is {count}"
    if not values and count is None and isinstance(names, (dict, list)):
        yield "names", "names: none"


def _names(data: dict[Any, Any]) -> tuple[str, ...]:
    """By their numbers; Ultralytics' own where only their count is said."""
    names = data.get("names")
    if names is None:
        return tuple(f"class_{at}" for at in range(whole(data["nc"]) or 0))
    values = [names[at] for at in range(len(names))]
    return tuple(str(one) for one in values)


def _places(value: Any) -> bool:
    several = isinstance(value, list) and bool(value) and all(_is_place(one) for one in value)
    return _is_place(value) or several


def _is_place(value: Any) -> bool:
    return isinstance(value, str) and is_path(value)


def _seen(value: Any) -> str:
    """As `shown`, of what YAML has types for and JSON does not, too."""
    simple = value is None or isinstance(value, (str, int, float, list, dict))
    try:
        return shown(value) if simple else repr(value)
    except (TypeError, ValueError, RecursionError):
        return type(value).__name__

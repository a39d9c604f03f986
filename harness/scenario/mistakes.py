"""Checks a file against its type: each mistake is a line with its location and a suggestion."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from ..errors import ConfigError
from .yaml_lines import KeyPath, YamlFile

File = TypeVar("File", bound=BaseModel)

#: maximum per file; each is compared with similar names
MOST_MISTAKES: Final = 200


def neighbours(word: str, known: Sequence[str]) -> str:
    """`; did you mean 'x'?`, or the list of known names."""
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; known: {', '.join(known) or 'none'}"


def checked(kind: type[File], source: YamlFile) -> File:
    """The file's data as `kind`; raises ConfigError with every mistake."""
    if not isinstance(source.data, dict):
        raise ConfigError([f"{source.where(())}: expected a mapping, got {_seen(source.data)}"])
    try:
        return kind.model_validate(source.data)
    except ValidationError as error:
        found = error.errors(include_url=False)
        mistakes = [_line(kind, source, item) for item in found[:MOST_MISTAKES]]
        if more := len(found) - len(mistakes):
            mistakes.append(f"{source.where(())}: {more:,} more mistakes")
        raise ConfigError(mistakes) from None


def _line(kind: type[BaseModel], source: YamlFile, error: Any) -> str:
    path: KeyPath = tuple(error["loc"])
    if error["type"] == "missing":
        return f"{source.where(path[:-1])}: {_dotted(path)}: missing"
    if error["type"] == "extra_forbidden":
        known = _keys(kind, path[:-1])
        return (
            f"{source.where(path)}: {_dotted(path)}: unknown key{neighbours(str(path[-1]), known)}"
        )
    return f"{source.where(path)}: {_dotted(path)}: {_complaint(error)}"


def _complaint(error: Any) -> str:
    seen = _seen(error["input"])
    if error["type"] == "literal_error":
        choices = re.sub(
            "'| or ", lambda m: ", " if "or" in m.group() else "", error["ctx"]["expected"]
        )
        return f"{seen} is not one of {choices}"
    if error["type"] == "string_pattern_mismatch":
        return (
            f"{seen} is not a name (letters, digits, '.', '_' and '-')"
            if "A-Z" in str(error["ctx"])
            else f"{seen} does not match {error['ctx']['pattern']}"
        )
    return f"{error['msg'][0].lower()}{error['msg'][1:]}, got {seen}"


def _keys(kind: type[BaseModel], path: KeyPath) -> list[str]:
    for step in path:
        field = kind.model_fields.get(str(step))
        for candidate in _models(field.annotation) if field else []:
            kind = candidate
    return list(kind.model_fields)


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [one for inner in getattr(annotation, "__args__", ()) for one in _models(inner)]


def _dotted(path: KeyPath) -> str:
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).lstrip(".")


def _seen(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."

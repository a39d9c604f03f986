"""YAML with line numbers: plain data, and the line of each value.

Only safe tags; duplicate keys, multiple documents, alias bombs and deep nesting are mistakes.
PyYAML reads some 20,000 values or 500 KB a second.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from .. import regular
from ..errors import ConfigError

MAX_BYTES = 256 << 10
MAX_NODES = 10_000
MAX_DEPTH = 30

KeyPath = tuple[str | int, ...]


@dataclass
class YamlFile:
    """`data` as SafeLoader would build it; `lines` maps a key path to its 1-based line."""

    path: Path
    data: Any
    lines: dict[KeyPath, int] = field(default_factory=dict)

    def where(self, path: KeyPath) -> str:
        """`file:line` of the value at `path`, or of its nearest parent."""
        while path and path not in self.lines:
            path = path[:-1]
        return f"{shown(self.path)}:{self.lines.get(path, 1)}"


def shown(path: Path) -> str:
    """The path relative to the current folder."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def read(path: Path) -> YamlFile:
    """Raises ConfigError with file and line for a file that is unreadable or not safe YAML."""
    try:
        with regular.opened(path) as file:
            size, raw = os.fstat(file.fileno()).st_size, file.read(MAX_BYTES)
    except OSError as error:
        raise ConfigError([f"{shown(path)}: {error.strerror or error}"]) from None
    if size > MAX_BYTES:
        raise ConfigError([f"{shown(path)}: {size} bytes exceed the limit of {MAX_BYTES}"])
    try:
        return _Reader(path).read(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ConfigError([f"{shown(path)}:{line}: not UTF-8 text"]) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise ConfigError([f"{shown(path)}:{line}: {error.problem or 'not YAML'}"]) from None
    except (yaml.YAMLError, ValueError, RecursionError, AttributeError, KeyError) as error:
        # the last two: PyYAML for a tag with a wrong type of value
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError([f"{shown(path)}:1: not YAML: {what}"]) from None


class _Loader(yaml.SafeLoader):
    _depth = _nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self._depth == MAX_DEPTH or self._nodes == MAX_NODES:
            deep = f"{MAX_DEPTH} levels of nesting"
            what = f"more than {deep if self._depth == MAX_DEPTH else f'{MAX_NODES:,} values'}"
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(None, None, what, event.start_mark)
        self._depth, self._nodes = self._depth + 1, self._nodes + 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Reader:
    def __init__(self, path: Path) -> None:
        self._file = YamlFile(path, None)
        self._nodes = 0

    def read(self, text: str) -> YamlFile:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            self._loader = loader
            self._file.data = None if node is None else self._value(node, ())
        finally:
            loader.dispose()
        return self._file

    def _value(self, node: yaml.Node, path: KeyPath) -> Any:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise yaml.YAMLError(f"more than {MAX_NODES:,} values (nested aliases?)")
        self._file.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*path, i)) for i, item in enumerate(node.value)]
        value = self._loader.construct_object(node)
        if isinstance(value, str):
            value.encode()  # raises ValueError for a lone surrogate, which no file name has
        if isinstance(value, int) and abs(value) >= 1 << 63:
            raise ValueError("a number exceeds 64 bits")
        return value

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node)
            if key in result:
                raise yaml.MarkedYAMLError(None, None, f"{key}: duplicate key", key_node.start_mark)
            self._file.lines[(*path, key)] = key_node.start_mark.line + 1
            result[key] = self._value(value_node, (*path, key))
        return result

    def _key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise yaml.MarkedYAMLError(None, None, "a key must be a string", node.start_mark)
        node.value.encode()
        return str(node.value)

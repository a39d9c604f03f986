"""What travels to devices is Python 3.8, by its grammar and by what it evaluates at run time."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.payload import PARTS

PACKAGE = Path(harness.__file__).parent
EVALUATED = [
    "harness.records",
    "harness.runner.job",
    *(f"harness.runner.patterns.{name}" for name in ("camera", "server", "sustained")),
]
FILES = sorted(
    path
    for part in PARTS
    for path in ([PACKAGE / part] if (PACKAGE / part).is_file() else (PACKAGE / part).rglob("*.py"))
)

#: `list[int]` is an error before 3.9 wherever it is evaluated
GENERIC_SINCE_39 = {"dict", "list", "tuple", "set", "frozenset", "type"}
#: methods and functions that 3.8 lacks
NEWER_ATTRIBUTES = {
    "removeprefix", "removesuffix", "is_relative_to", "with_stem", "readlink", "hardlink_to",
    "unparse", "cache", "pairwise", "batched", "bit_count", "to_thread", "nextafter", "lcm",
    "randbytes", "UTC", "walk_up",
}  # fmt: skip
NEWER_MODULES = {"zoneinfo", "graphlib", "tomllib"}
NEWER_TYPING = {
    "Annotated", "ParamSpec", "Concatenate", "TypeAlias", "TypeGuard", "Self", "Never",
    "assert_never", "LiteralString", "Required", "NotRequired", "Unpack", "override", "StrEnum",
}  # fmt: skip
NEWER_KEYWORDS = {"zip": {"strict"}, "dataclass": {"slots", "kw_only"}, "glob": {"root_dir"}}


def evaluated(node: ast.AST) -> Iterator[ast.AST]:
    """Every node that runs, leaving out annotations, which `from __future__` keeps as text."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield child
                yield from evaluated(child)


def newer(tree: ast.Module) -> Iterator[str]:
    """Everything that 3.8 would not know, with its line."""
    generic = GENERIC_SINCE_39 | {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("collections")
        for alias in node.names
    }
    for node in evaluated(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
            if node.value.id in generic and not isinstance(node.slice, ast.Constant):
                yield f"{line}: {ast.unparse(node)}"
        elif isinstance(node, ast.Attribute) and node.attr in NEWER_ATTRIBUTES:
            yield f"{line}: .{node.attr}"
        elif isinstance(node, ast.ImportFrom):
            names = {alias.name for alias in node.names}
            if node.module in ("typing", "enum"):
                yield from (f"{line}: {n}" for n in names & NEWER_TYPING)
            if node.module == "functools" and "cache" in names:
                yield f"{line}: functools.cache"
        elif isinstance(node, ast.Import):
            yield from (f"{line}: {a.name}" for a in node.names if a.name in NEWER_MODULES)
        elif isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else None
            called = node.func.id if isinstance(node.func, ast.Name) else called
            known = NEWER_KEYWORDS.get(str(called), set())
            yield from (f"{line}: {called}({k.arg}=)" for k in node.keywords if k.arg in known)
        elif (
            isinstance(node, ast.BinOp)
            and isinstance(node.op, ast.BitOr)
            and isinstance(node.right, ast.Constant)
            and node.right.value is None
        ):
            yield f"{line}: {ast.unparse(node)}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_what_travels_is_python_3_8(path: Path) -> None:
    tree = ast.parse(path.read_text(), str(path), feature_version=(3, 8))
    assert list(newer(tree)) == []
    annotated = any(
        isinstance(n, (ast.AnnAssign, ast.arg)) and n.annotation for n in ast.walk(tree)
    )
    future = any(isinstance(n, ast.ImportFrom) and n.module == "__future__" for n in tree.body)
    assert future or not annotated, "annotations without `from __future__ import annotations`"


@pytest.mark.parametrize(
    "code",
    [
        "x = list[int]", "a.removeprefix('b')", "zip(a, b, strict=True)", "import tomllib",
        "from functools import cache", "Alias = int | None", "from typing import Self",
        "@dataclass(slots=True)\nclass A: pass",
        "from collections.abc import Callable as C\nA = C[[int], str]",
    ],
)  # fmt: skip
def test_the_check_sees_what_is_newer(code: str) -> None:
    assert list(newer(ast.parse(code)))


def test_typing_s_own_names_are_fine() -> None:
    code = "from typing import Callable, Dict\nA = Callable[[int], str]\nB = Dict[str, int]"
    assert list(newer(ast.parse(code))) == []


@pytest.mark.parametrize("module", EVALUATED)
def test_what_serial_evaluates_exists_in_3_8(module: str) -> None:
    """`get_type_hints` evaluates every field's annotation: typing's names only, no `X | None`."""
    for kind in vars(importlib.import_module(module)).values():
        if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
            continue
        for field in dataclasses.fields(kind):
            text: Any = field.type
            assert list(newer(ast.parse(text))) == [], f"{kind.__name__}.{field.name}: {text}"
        assert typing.get_type_hints(kind)


@pytest.mark.parametrize("code", ["match x:\n  case 1: pass", "with (a as b, c as d): pass"])
def test_the_grammar_is_that_of_3_8(code: str) -> None:
    with pytest.raises(SyntaxError):
        ast.parse(code, feature_version=(3, 8))

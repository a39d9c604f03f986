"""Which package of harness/ imports which, and on which floor it stands.

A module of harness/ itself belongs to `(shared)`; one that imports a package stands apart.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

import harness

PACKAGE = Path(harness.__file__).parent
SHARED = "(shared)"

Graph = Mapping[str, frozenset[str]]


def files() -> list[Path]:
    """All of our modules; not the data that a wheel has beside them."""
    return [p for p in sorted(PACKAGE.rglob("*.py")) if "data" not in p.relative_to(PACKAGE).parts]


def imports(path: Path) -> set[str]:
    """Absolute names of all that a file imports, also inside functions."""
    here = ["harness", *path.relative_to(PACKAGE).parts[:-1]]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return found


def graph() -> Graph:
    """Package -> the packages that it imports."""
    packages = {p.name for p in PACKAGE.iterdir() if (p / "__init__.py").is_file()}
    own = {p.stem: _packages(p, packages) for p in PACKAGE.glob("*.py")}
    apart = {name for name, used in own.items() if used}

    def node(parts: tuple[str, ...]) -> str:
        return parts[0] if parts and parts[0] in packages | apart else SHARED

    found: dict[str, set[str]] = {}
    for path in files():
        user = node(path.relative_to(PACKAGE).with_suffix("").parts)
        names = [name.split(".") for name in imports(path)]
        used = {node(tuple(name[1:])) for name in names if name[0] == "harness"}
        found.setdefault(user, set()).update(used - {user})
    return {user: frozenset(used) for user, used in sorted(found.items())}


def floors(graph: Graph) -> list[list[str]]:
    """From the ground up: what a floor imports stands below it. Raises ValueError at a circle."""
    left, built = dict(graph), list[list[str]]()
    done: set[str] = set()
    while left:
        floor = sorted(name for name, used in left.items() if used <= done)
        if not floor:
            raise ValueError(f"circle among {', '.join(sorted(left))}")
        built.append(floor)
        done |= set(floor)
        left = {name: used for name, used in left.items() if name not in done}
    return built


def direct(graph: Graph) -> Graph:
    """Without the arrows that follow from others: a → c where a → b → c."""

    def below(name: str) -> frozenset[str]:
        return graph[name].union(*(below(used) for used in graph[name]))

    return {
        name: used - frozenset().union(*(below(other) for other in used))
        for name, used in graph.items()
    }


def _packages(path: Path, packages: set[str]) -> set[str]:
    return {name.split(".")[1] for name in imports(path) if name.startswith("harness.")} & packages

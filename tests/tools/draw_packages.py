"""Writes docs/packages.svg: the packages of harness/ and their imports, as the code has them.

`PYTHONPATH=tests python -m tools.draw_packages`
"""

from __future__ import annotations

from pathlib import Path

from tools.package_graph import PACKAGE, Graph, direct, floors, graph

OUT = PACKAGE.parent / "docs" / "packages.svg"
_BOX = (104, 30)
_STEP = (124, 84)
_STYLE = (
    "text{font:13px sans-serif;text-anchor:middle;fill:#1a2233}"
    "rect{fill:#eef3fb;stroke:#4a6fa5}path{fill:none;stroke:#8595ad}"
)


def svg(packages: Graph) -> str:
    """One row a floor, the ground at the bottom; arrows that follow from others are left out."""
    rows = floors(packages)[::-1]
    width = max(map(len, rows)) * _STEP[0] + 20
    height = (len(rows) - 1) * _STEP[1] + _BOX[1] + 20
    places = {
        name: ((width - len(row) * _STEP[0]) // 2 + n * _STEP[0] + 10, 10 + floor * _STEP[1])
        for floor, row in enumerate(rows)
        for n, name in enumerate(row)
    }
    arrows = [
        _arrow(places[user], places[used])
        for user, all_used in sorted(direct(packages).items())
        for used in sorted(all_used)
    ]
    boxes = [_box(name, place) for name, place in sorted(places.items())]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">',
            "<title>Packages of harness/: each imports only what stands below it</title>",
            f"<style>{_STYLE}</style>",
            f'<rect width="{width}" height="{height}" style="fill:#fff;stroke:none"/>',
            *arrows,
            *boxes,
            "</svg>\n",
        ]
    )


def _arrow(user: tuple[int, int], used: tuple[int, int]) -> str:
    x1, y1 = user[0] + _BOX[0] // 2, user[1] + _BOX[1]
    x2, y2 = used[0] + _BOX[0] // 2, used[1]
    bend = (y2 - y1) // 2
    return f'<path d="M{x1} {y1}C{x1} {y1 + bend} {x2} {y2 - bend} {x2} {y2}"/>'


def _box(name: str, place: tuple[int, int]) -> str:
    x, y = place
    middle, line = x + _BOX[0] // 2, y + 20
    return (
        f'<rect x="{x}" y="{y}" width="{_BOX[0]}" height="{_BOX[1]}" rx="5"/>'
        f'<text x="{middle}" y="{line}">{name}</text>'
    )


def main() -> None:
    """Write the drawing."""
    Path(OUT).write_text(svg(graph()), encoding="utf-8")


if __name__ == "__main__":
    main()

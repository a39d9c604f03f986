"""Which output of a model is which of those that a decoder reads: by name, else by shape.

A shape is written as `1, 4+C+3K, N`: numbers and letters, each letter with the same value in all
outputs. C is the number of classes; where it is not known, it is found like the others. A side `_`
may be anything.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from .spec import Output

if TYPE_CHECKING:
    from numpy.typing import NDArray

Shape = Tuple[int, ...]
#: outputs by role
Roles = Dict[str, Tuple[str, ...]]
ANY = {"_": 1}
TERM = re.compile(r"(\d*)([A-Za-z_]?)")


class OtherOutputs(ValueError):
    """Neither names nor shapes are those that a decoder reads."""


@dataclass(frozen=True)
class Match:
    """How a model's outputs fit a decoder."""

    roles: Roles
    #: which of its role's shapes each output has
    forms: Dict[str, int]
    #: the value of every letter
    letters: Dict[str, int]


class Found:
    """The outputs of one image by their role."""

    def __init__(self, outputs: Mapping[str, NDArray[Any]], match: Match) -> None:
        self._outputs, self.match = outputs, match
        self.letters = match.letters

    def __contains__(self, role: str) -> bool:
        return role in self.match.roles

    def __getitem__(self, role: str) -> NDArray[Any]:
        return self._outputs[self.name(role)]

    def name(self, role: str) -> str:
        """The output's name in the model."""
        return self.match.roles[role][0]

    def form(self, role: str) -> int:
        """Which of the role's shapes it has."""
        return self.match.forms[self.name(role)]

    def by_name(self, name: str) -> NDArray[Any]:
        """An output by its name in the model."""
        return self._outputs[name]


# ---- one shape ---------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def parsed(shape: str) -> Tuple[Tuple[int, Dict[str, int]], ...]:
    """`1, 4+C+3K` -> ((1, {}), (4, {C: 1, K: 3})); an empty text is a single value."""
    return tuple(_side(side) for side in shape.replace(" ", "").split(",") if side)


def _side(text: str) -> Tuple[int, Dict[str, int]]:
    constant, letters = 0, {}  # type: int, Dict[str, int]
    for term in text.split("+"):
        found = TERM.fullmatch(term)
        if not term or found is None:
            raise ValueError(f"{text} is no side of a shape")
        count, letter = found.groups()
        if letter:
            letters[letter] = letters.get(letter, 0) + int(count or 1)
        else:
            constant += int(count)
    return constant, letters


def shown(shape: str, letters: Mapping[str, int]) -> str:
    """The shape with what is known filled in: `(1, N, 85)`."""
    sides = []
    for constant, used in parsed(shape):
        known = constant + sum(letters[one] * n for one, n in used.items() if one in letters)
        rest = [f"{n if n > 1 else ''}{one}" for one, n in used.items() if one not in letters]
        sides.append("+".join([str(known)] * (known > 0 or not rest) + rest))
    return f"({', '.join(sides)}{',' if len(sides) == 1 else ''})"


def solved(
    pairs: Sequence[Tuple[str, Shape]], letters: Mapping[str, int]
) -> Tuple[Dict[str, int], Optional[int]]:
    """The letters with those that the shapes give, and which pair contradicts, if one does.

    Each shape has as many sides as what was seen.
    """
    known = dict(letters)
    waiting = [
        (at, side, value)
        for at, (shape, seen) in enumerate(pairs)
        for side, value in zip(parsed(shape), seen)
    ]
    progress = True
    while waiting and progress:
        progress, later = False, []
        for at, (constant, used), value in waiting:
            rest = value - constant - sum(known[one] * n for one, n in used.items() if one in known)
            unknown = [(one, n) for one, n in used.items() if one not in known]
            if used == ANY:
                continue
            if len(unknown) > 1:
                later.append((at, (constant, used), value))
                continue
            progress = True
            if unknown and rest >= 0 and rest % unknown[0][1] == 0:
                known[unknown[0][0]] = rest // unknown[0][1]
            elif unknown or rest:
                return known, at
        waiting = later
    return known, None


# ---- which output is which ---------------------------------------------------------------------


@lru_cache(maxsize=256)
def match(
    wanted: Tuple[Output, ...],
    outputs: Tuple[Tuple[str, Shape], ...],
    classes: Optional[int],
    chosen: Tuple[Tuple[str, str], ...] = (),
) -> Match:
    """How `outputs`, name and shape, fit; `chosen`: role and name where the model says so.

    Raises ValueError with the output that does not fit, or those that cannot be told apart.
    """
    shapes, letters = dict(outputs), ({} if classes is None else {"C": classes})
    named = by_name(wanted, list(shapes), dict(chosen))
    if named is not None:
        found, problem = fitted(wanted, named, shapes, letters)
        if found is None:
            raise ValueError(problem)
        return found
    fits = {}
    for roles in assignments(wanted, list(shapes)):
        if any(roles.get(role) != (name,) for role, name in chosen):
            continue
        found, _ = fitted(wanted, roles, shapes, letters)
        if found is not None:
            fits[tuple(sorted(roles.items()))] = found
    best = _fullest(list(fits.values()))
    if len(best) == 1:
        return best[0]
    seen = ", ".join(f"{name} {shape}" for name, shape in outputs) or "none"
    if best:
        roles_of = [one.role for one in wanted if len({m.roles.get(one.role) for m in best}) > 1]
        raise ValueError(
            f"which output is {' and which is '.join(roles_of)} cannot be told by shape ({seen}): "
            f"set options.{roles_of[0]}_output"
        )
    expected = ", ".join(
        f"{one.role} {' or '.join(shown(shape, letters) for shape in one.shapes)}"
        for one in wanted
        if one.needed
    )
    raise OtherOutputs(f"outputs are {seen}, expected {expected}")


def by_name(
    wanted: Sequence[Output], names: Sequence[str], chosen: Mapping[str, str]
) -> Optional[Roles]:
    """Roles by names alone; None where names leave a needed one open, or two for one."""
    roles: Roles = {}
    for role, name in chosen.items():
        if name not in names:
            raise ValueError(
                f"options.{role}_output: no output {name!r}; there are {', '.join(names)}"
            )
    for one in wanted:
        if one.role in chosen:
            roles[one.role] = (chosen[one.role],)
            continue
        exact = [name for name in names if name == one.role]
        like = [name for name in names if one.named and re.search(one.named, name, re.I)]
        found = exact or like
        if len(found) == 1 and not one.many:
            roles[one.role] = (found[0],)
        elif one.needed and len(wanted) == len(names) == 1:
            roles[one.role] = (names[0],)
        elif one.needed or found:
            return None
    taken = [name for found in roles.values() for name in found]
    return roles if len(set(taken)) == len(taken) else None


def assignments(wanted: Sequence[Output], names: Sequence[str]) -> Iterator[Roles]:
    """Every way to give the roles to outputs; a role that several have takes any number of them."""
    if len(names) > 12:
        names = names[:12]
    if any(one.many for one in wanted):
        (one,) = wanted
        for count in range(len(names), 0, -1):
            for some in itertools.combinations(names, count):
                yield {one.role: some}
        return
    needed = [one for one in wanted if one.needed]
    optional = [one for one in wanted if not one.needed]
    for count in range(len(optional), -1, -1):
        for more in itertools.combinations(optional, count):
            roles = [*needed, *more]
            for some in itertools.permutations(names, len(roles)):
                yield {one.role: (name,) for one, name in zip(roles, some)}


def _fullest(found: Sequence[Match]) -> List[Match]:
    """Those that use the most outputs."""
    sizes = [sum(map(len, one.roles.values())) for one in found]
    return [one for one, size in zip(found, sizes) if size == max(sizes)]


def fitted(
    wanted: Sequence[Output], roles: Roles, shapes: Mapping[str, Shape], letters: Dict[str, int]
) -> Tuple[Optional[Match], str]:
    """The match of shapes that fit; else None and what is wrong, as one sentence.

    Of several that fit, as a table and the turned one may, it is the one with the most locations
    (N), and else the first.
    """
    used = [(one, name) for one in wanted for name in roles.get(one.role, ())]
    possible = []
    for one, name in used:
        sides = len(shapes[name])
        possible.append([n for n, shape in enumerate(one.shapes) if len(parsed(shape)) == sides])
        if not possible[-1]:
            return None, _mismatch((one, name), shapes, letters)
    worst, problem = -1, ""
    found: List[Match] = []
    names = [name for _, name in used]
    for forms in itertools.product(*possible):
        pairs = [(one.shapes[form], shapes[name]) for (one, name), form in zip(used, forms)]
        values, wrong = solved(pairs, letters)
        if wrong is None:
            found.append(Match(roles, dict(zip(names, forms)), values))
        elif wrong > worst:
            before, _ = solved(pairs[:wrong], letters)
            worst, problem = wrong, _mismatch(used[wrong], shapes, before)
    return max(found, key=lambda one: one.letters.get("N", 0), default=None), problem


def _mismatch(
    used: Tuple[Output, str], shapes: Mapping[str, Shape], letters: Mapping[str, int]
) -> str:
    one, name = used
    expected = " or ".join(shown(shape, letters) for shape in one.shapes)
    hint = f": {one.hint}" if one.hint else ""
    return f"output {name} has shape {shapes[name]}, expected {expected}{hint}"


def shape_of(value: NDArray[Any]) -> Shape:
    """The shape as plain numbers."""
    return tuple(int(side) for side in np.shape(value))

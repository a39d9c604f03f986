"""The interface of page modules: page dataclasses for a template, and their data."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Generic, TypeVar

from harness.analysis.noise_floor import Noise
from harness.bugs import bug_report
from harness.records import CellResult, RunDevice
from harness.report.data import (
    Axes,
    Entry,
    RunData,
    TrialSamples,
    axes,
    entries,
    load_trial,
)
from harness.report.pictures import PictureSource
from harness.report.readings import States, read_states

#: a plotly figure: `data` and `layout`; a colour may be `var(--name)` of the style sheet
Figure = dict[str, object]


@dataclass(frozen=True)
class Chart:
    """A figure with its text alternative; `notes` say what the figure omits."""

    id: str
    label: str
    figure: Figure
    notes: tuple[str, ...] = ()
    shape: str = "wide"
    title: str = ""


@dataclass(frozen=True)
class Page:
    """One file of the report; `files` are written as well, by path relative to the report."""

    path: str
    title: str
    template: str
    content: object
    charts: tuple[Chart, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    #: text of a bug report, if making it failed
    bug: str = ""

    @property
    def root(self) -> str:
        """From this page's folder to the report's."""
        return "../" * self.path.count("/")


def made(path: str, title: str, doing: str, make: Callable[[], Page]) -> Page:
    """`make`'s page, or one that reports an exception, so that no other page is affected."""
    try:
        return make()
    except Exception as error:  # any bug of a page; nothing is written here
        found = bug_report(error, doing)
        return Page(path, title, "bug.html", found.line, bug=found.text)


T = TypeVar("T")


class PerCell(Mapping[str, T], Generic[T]):
    """Contents of each cell's files, read on demand; an error in one affects no other cell."""

    def __init__(self, entries: Iterable[Entry], read: Callable[[CellResult], T]) -> None:
        self._results = {e.cell.id: e.result for e in entries if e.result}
        self._read = cache(lambda cell: read(self._results[cell]))

    def __getitem__(self, cell: str) -> T:
        return self._read(cell)

    def __iter__(self) -> Iterator[str]:
        return iter(self._results)

    def __len__(self) -> int:
        return len(self._results)


@dataclass(frozen=True)
class Report:
    """Everything that a page may use."""

    run: RunData
    pictures: PictureSource | None = None
    #: what the run wrote of its devices, and the noise known of them, by name; old runs have none
    devices: Mapping[str, RunDevice] = field(default_factory=dict)
    noise: Mapping[str, Noise] = field(default_factory=dict)

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """Every cell, in the scenario's order."""
        return entries(self.run)

    @cached_property
    def axes(self) -> Axes:
        """What varies among the run's cells."""
        return axes([e.cell for e in self.entries])

    def of_model(self, model: str) -> tuple[Entry, ...]:
        """The entries of one model."""
        return tuple(e for e in self.entries if e.cell.model == model)

    @cached_property
    def groups(self) -> dict[tuple[str, str], list[Entry]]:
        """Entries by device and model: only these may be ranked against each other."""
        groups: dict[tuple[str, str], list[Entry]] = {}
        for entry in self.entries:
            groups.setdefault((entry.cell.device, entry.cell.model), []).append(entry)
        return groups

    @cached_property
    def samples(self) -> PerCell[tuple[TrialSamples, ...]]:
        """Raw samples of every trial by cell id."""
        folder = self.run.folder
        return PerCell(
            self.entries, lambda result: tuple(load_trial(folder, t) for t in result.trials)
        )

    @cached_property
    def states(self) -> PerCell[tuple[States | None, ...]]:
        """Readings of every trial by cell id, in the order of `samples`."""
        folder = self.run.folder
        return PerCell(
            self.entries,
            lambda result: tuple(
                read_states(folder / t.folder, t.affinity, folder) for t in result.trials
            ),
        )

    def of_device(self, device: str) -> tuple[Entry, ...]:
        """The entries of one device."""
        return tuple(e for e in self.entries if e.cell.device == device)


@dataclass(frozen=True)
class Maker:
    """A page's registration; `path` is its link in the navigation, empty for none."""

    title: str
    path: str
    make: Callable[[Report], Iterable[Page]]
    #: whether a run has what the page shows; one that has not gets no link
    there: Callable[[Report], bool] = lambda report: True


def file_name(cell_id: str) -> str:
    """A cell's id as a safe file name."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", cell_id).lstrip(".")
    if plain == cell_id:
        return plain
    return f"{plain[:120]}-{hashlib.sha256(cell_id.encode()).hexdigest()[:8]}"


def device_href(device: str) -> str:
    """Link to a device's page from the report's folder."""
    return f"devices/{file_name(device)}.html"


def cell_href(cell_id: str) -> str:
    """Link to a cell's page from the report's folder."""
    return f"cells/{file_name(cell_id)}.html"

"""A page per device: hardware, noise, state over the run, and problems."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from harness.records import DeviceState, RunDevice
from harness.report import devicestate, noisechart
from harness.report.celltables import Pairs, Table
from harness.report.data import Entry
from harness.report.marks import BADGES, Badge
from harness.report.noisechart import NoiseShown
from harness.report.numbers import figures, megabytes, timing
from harness.report.page import Chart, Maker, Page, Report, cell_href, device_href, made


@dataclass(frozen=True)
class DeviceRow:
    """One cell of the device."""

    label: str
    href: str
    badge: Badge
    timing: str
    why: str


@dataclass(frozen=True)
class Trouble:
    """A discarded trial, or an invalid or failed cell."""

    label: str
    href: str
    what: str


@dataclass(frozen=True)
class Summed:
    """A device's line in the list of all."""

    name: str
    href: str
    emulated: bool
    what: str
    counts: tuple[tuple[Badge, int], ...]
    hottest: str
    floor: str
    voided: str


@dataclass(frozen=True)
class DeviceList:
    """What devices.html shows."""

    devices: tuple[Summed, ...]


@dataclass(frozen=True)
class DevicePage:
    """What device.html shows; empty parts are left out."""

    name: str
    emulated: bool
    description: str
    labels: tuple[str, ...]
    counts: tuple[tuple[Badge, int], ...]
    set_aside: str
    facts: Pairs
    runtimes: Table
    held: tuple[str, ...]
    steady: str
    noise: NoiseShown | None
    state: Chart | None
    troubles: tuple[Trouble, ...]
    lines: tuple[DeviceRow, ...]


def pages(report: Report) -> Iterable[Page]:
    """The list, and a page for each."""
    listed = tuple(_summed(report, name) for name in report.axes.devices)
    yield Page("devices.html", "Devices", "devices.html", DeviceList(listed))
    for name in report.axes.devices:
        make = partial(_made, report, name)
        yield made(device_href(name), name, f"the page of device {name}", make)


def _made(report: Report, name: str) -> Page:
    content = _page(report, name)
    drawn = (content.state, content.noise.chart if content.noise else None)
    charts = tuple(chart for chart in drawn if chart)
    return Page(device_href(name), name, "device.html", content, charts)


def _summed(report: Report, name: str) -> Summed:
    entries, about = report.of_device(name), report.devices.get(name)
    trials = [t for e in entries if e.result for t in e.result.trials]
    hottest = [s.hottest_c for t in trials for s in (t.before, t.after) if s.hottest_c is not None]
    noise = report.noise.get(name)
    floors = noise.floor_percent if noise else {}
    return Summed(
        name=name,
        href=device_href(name),
        emulated=_emulated(entries, about),
        what=_what(about, _last(entries)),
        counts=_counts(entries),
        hottest=f"{max(hottest):.1f} °C" if hottest else "",
        floor=", ".join(f"{figures(v)} % {profile}" for profile, v in floors.items()),
        voided=str(sum(len(t.voided) for t in trials) or ""),
    )


def _page(report: Report, name: str) -> DevicePage:
    entries, about = report.of_device(name), report.devices.get(name)
    noise = report.noise.get(name)
    emulated = _emulated(entries, about)
    return DevicePage(
        name=name,
        emulated=emulated,
        description=about.description if about else "",
        labels=about.labels if about else (),
        counts=_counts(entries),
        set_aside=about.set_aside if about else "",
        facts=_facts(about, _last(entries)),
        runtimes=_runtimes(entries),
        held=about.held if about else (),
        steady=_steady(about),
        noise=noisechart.shown(noise, emulated) if noise else None,
        state=devicestate.chart(report, entries),
        troubles=tuple(_troubles(report, entries)),
        lines=tuple(_line(report, entry) for entry in entries),
    )


def _emulated(entries: Sequence[Entry], about: RunDevice | None) -> bool:
    return any(e.emulated for e in entries) or bool(about and about.emulated)


def _counts(entries: Sequence[Entry]) -> tuple[tuple[Badge, int], ...]:
    totals = {state: sum(e.state == state for e in entries) for state in BADGES}
    return tuple((BADGES[state], total) for state, total in totals.items() if total)


def _last(entries: Sequence[Entry]) -> DeviceState:
    """The device state of the last trial, for runs without facts."""
    trials = [t for e in entries if e.result for t in e.result.trials]
    return trials[-1].after if trials else DeviceState("")


def _what(about: RunDevice | None, seen: DeviceState) -> str:
    facts = about.facts if about else None
    words = [facts.model, facts.soc] if facts else [seen.cpu_model]
    return ", ".join(word for word in words if word) or (about.description if about else "")


def _facts(about: RunDevice | None, seen: DeviceState) -> Pairs:
    facts = about.facts if about else None
    reach = f"{about.kind} over {about.transport}" if about else ""
    memory = (facts.memory_total_bytes if facts else None) or seen.memory_total_bytes
    rows = (
        ("kind", reach),
        ("model", (facts.model if facts else "") or ""),
        ("SoC", (facts.soc if facts else "") or ""),
        ("processor", seen.cpu_model or ""),
        ("architecture", facts.arch if facts else ""),
        ("cores", _cores(about, seen)),
        ("memory", megabytes(memory) if memory else ""),
        ("system", (facts.os if facts else "") or seen.os or ""),
        ("build", (facts.build if facts else "") or ""),
        ("driver", (facts.driver if facts else "") or ""),
        ("C library", (facts.libc if facts else "") or ""),
        ("Docker", (facts.docker if facts else "") or ""),
        ("power mode", seen.power_mode or ""),
        ("governor", seen.governor or ""),
        ("clock limits", _limits(seen)),
    )
    return tuple((name, text) for name, text in rows if text)


def _cores(about: RunDevice | None, seen: DeviceState) -> str:
    if not about or not about.facts or not about.facts.cpus:
        return str(seen.cores or "")
    cpus, big = about.facts.cpus, about.facts.big_cpus
    fast = f", fast: {', '.join(map(str, big))}" if 0 < len(big) < len(cpus) else ""
    return f"{len(cpus)}{fast}"


def _limits(seen: DeviceState) -> str:
    named = [
        f"{p.name} {(p.min_khz or 0) / 1000:,.0f} to {p.max_khz / 1000:,.0f} MHz"
        for p in seen.policies
        if p.max_khz
    ]
    return ", ".join(named)


def _runtimes(entries: Sequence[Entry]) -> Table:
    """One row per format: engine and versions."""
    rows: dict[str, tuple[str, ...]] = {}
    for entry in entries:
        if entry.result and entry.result.trials and entry.cell.format not in rows:
            trial, image = entry.result.trials[0], entry.result.image
            ran = image.engine if image else ""
            rows[entry.cell.format] = (
                entry.cell.format, trial.runtime_version, trial.python_version, ran,
                image.confinement if image else "", image.digest[:19] if image else "",
            )  # fmt: skip
    heads = ("Format", "Runtime", "Python", "Engine", "Confinement", "Digest")
    return Table("Runtimes", heads, tuple(rows.values()))


def _steady(about: RunDevice | None) -> str:
    """The text if no measures were applied."""
    if about is None:
        return "Not recorded by this run."
    if about.held:
        return ""
    if about.allowed:
        return f"Allowed by the device file but not applied: {', '.join(about.allowed)}."
    return "None: the device file allows no measures; clocks and governor were not changed."


def _troubles(report: Report, entries: Sequence[Entry]) -> Iterable[Trouble]:
    """Discarded trials, warnings from the device's state, and failures on the device."""
    for entry in entries:
        label, href = report.axes.label(entry.cell), cell_href(entry.cell.id)
        result = entry.result
        for trial in result.trials if result else ():
            for why in trial.voided:
                yield Trouble(
                    f"{label}, trial {trial.index}", href, f"discarded and repeated: {why}"
                )
            if trial.void:
                yield Trouble(f"{label}, trial {trial.index}", href, f"disturbed: {trial.void}")
            for flag in trial.state_flags:
                yield Trouble(f"{label}, trial {trial.index}", href, flag)
        if entry.state == "invalid" or (
            result and result.failure and result.failure.step in ("deploy", "measure")
        ):
            yield Trouble(label, href, f"{BADGES[entry.state].word}: {'; '.join(entry.reasons)}")


def _line(report: Report, entry: Entry) -> DeviceRow:
    summary = entry.summary
    return DeviceRow(
        label=report.axes.label(entry.cell),
        href=cell_href(entry.cell.id),
        badge=BADGES[entry.state],
        timing=timing(summary.p50, summary.n) if summary else "",
        why="" if summary else "; ".join(entry.reasons[:1]),
    )


MAKER = Maker("Devices", "devices.html", pages)

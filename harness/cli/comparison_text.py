"""Formats comparisons and noise for the terminal. Pure; `console` prints them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..analysis.compare_runs import Compared, Pair, Side
from ..analysis.differences import Difference
from ..analysis.noise_floor import Noise
from ..export import figure
from ..records import Interval

#: ratios that differ by less are shown as one
APART = 0.02
#: up to this many pairs, notes are shown per pair
FEW = 3
_QUICK = {
    True: "quick agrees with full",
    False: "quick disagrees with full",
    None: "inconclusive: quick and full differ within the noise floor of this device",
}
COLUMNS = ("cell", "old ms", "new ms", "ratio", "95 % interval", "verdict", "trials")


def comparison_rows(compared: Compared) -> list[tuple[str, ...]]:
    """One row of COLUMNS for each pair that was compared."""
    return [_row(pair) for pair in compared.pairs if pair.comparison]


def comparison_notes(compared: Compared) -> list[str]:
    """What was not compared, what is suspect, and what else differs.

    Many pairs are summarised with counts; `--cells` and `--json` list everything.
    """
    lines = [] if compared.told else ["no cells could be compared"]
    pairs = [pair for pair in compared.pairs if pair.comparison]
    of = _notes_each if len(pairs) <= FEW else _notes_together
    left: dict[str, list[str]] = {}
    for pair in compared.pairs:
        if pair.comparison is None:
            left.setdefault(pair.left_out, []).append(_name(pair))
    left_out = [f"not compared: {_some(names)}: {why}" for why, names in left.items()]
    return lines + of(pairs) + left_out + _differences(compared)


def _notes_each(pairs: Sequence[Pair]) -> list[str]:
    lines = []
    for pair in pairs:
        assert pair.comparison
        found = [pair.comparison.reason, *_two_ratios(pair), *pair.notes]
        found += [
            f"suspect in {side.run_id}: {'; '.join(side.reasons)}" for side in _suspects(pair)
        ]
        lines += [f"{_name(pair)}: {text}" for text in found if text]
    return lines


def _notes_together(pairs: Sequence[Pair]) -> list[str]:
    few = {pair.comparison.reason for pair in pairs if pair.comparison}
    found = {
        **{why: [p for p in pairs if p.comparison and p.comparison.reason == why] for why in few},
        "suspect in one or both runs; use `--cells A B` for the reasons": [
            p for p in pairs if _suspects(p)
        ],
        "difference within the noise floor of the device (see `bench check-noise`)": [
            p for p in pairs if p.notes
        ],
        "trials disagree: the ratio is of trial medians, not of the medians shown": [
            p for p in pairs if _two_ratios(p)
        ],
    }
    return [
        f"{len(those)} of {len(pairs)} cells: {what}"
        for what, those in found.items()
        if what and those
    ]


def _suspects(pair: Pair) -> list[Side]:
    return [side for side in (pair.old, pair.new) if side and side.verdict == "suspect"]


def _some(names: Sequence[str]) -> str:
    return f"{names[0]} and {len(names) - 1} more" if len(names) > 1 else names[0]


def _two_ratios(pair: Pair) -> list[str]:
    """If trials disagree, the ratio of trial medians differs from that of the medians shown."""
    if not (pair.comparison and pair.old and pair.new and pair.old.p50 and pair.new.p50):
        return []
    shown, ratio = pair.new.p50.value / pair.old.p50.value, pair.comparison.ratio.value
    if abs(shown / ratio - 1) <= APART:
        return []
    return [f"trials disagree: the ratio is of trial medians; the medians shown give {shown:.3f}"]


def noise_lines(noise: Noise) -> list[str]:
    """The answer first, then warnings, then how to reduce the noise."""
    ratio = noise.sides.ratio
    lines = [
        f"{noise.device}: the same cell twice, {noise.trials} trials each: {noise.sides.outcome}, "
        f"ratio {_ratio(ratio.value)} {_interval(ratio)}",
        f"median {_ms(noise.p50_ms)} · coefficient of variation {noise.between_percent:.2f} % "
        f"between trials, {noise.within_percent:.2f} % between samples · effective sample size "
        f"{100 * noise.independent_share:.0f} % of n",
        "noise floor (95 % of repetitions differ by less): " + _by_profile(noise.floor_percent),
        "smallest detectable change (power 95 %): " + _by_profile(noise.detectable_percent),
    ]
    if noise.quick_ratio is not None:
        lines.append(f"{_QUICK[noise.quick_agrees]}: ratio {_ratio(noise.quick_ratio)}")
    lines += [f"warning: {flag}" for flag in noise.flags]
    lines += [f"advice: {line}" for line in noise.advice]
    return lines if noise.flags or noise.advice else [*lines, "no disturbance found"]


def _by_profile(percents: Mapping[str, float]) -> str:
    return ", ".join(f"{percent:.1f} % with {name}" for name, percent in percents.items())


def _row(pair: Pair) -> tuple[str, ...]:
    assert pair.comparison
    ratio, counts = pair.comparison.ratio, pair.comparison.trials
    verdict = pair.comparison.outcome
    return (
        _name(pair),
        _side(pair.old),
        _side(pair.new),
        _ratio(ratio.value),
        _interval(ratio),
        f"{verdict} (suspect)" if _suspects(pair) else verdict,
        f"{counts[0]}+{counts[1]}" + (", paired" if pair.comparison.paired else ""),
    )


def _name(pair: Pair) -> str:
    ids = dict.fromkeys(side.cell_id for side in (pair.old, pair.new) if side)
    return " → ".join(ids)


def _side(side: Side | None) -> str:
    return f"{figure(side.p50.value)} n={side.n}" if side and side.p50 else ""


def _ms(p50: Interval) -> str:
    return f"{figure(p50.value)} ms [{figure(p50.low)}, {figure(p50.high)}]"


def _ratio(value: float) -> str:
    return f"{value:.3f}"


def _interval(ratio: Interval) -> str:
    return f"[{_ratio(ratio.low)}, {_ratio(ratio.high)}]"


def _differences(compared: Compared) -> list[str]:
    """What differs for all cells, then what differs for some."""
    lines = [f"differs: {_change(d)}" for d in compared.differences]
    cells: dict[Difference, list[str]] = {}
    usable = [pair for pair in compared.pairs if pair.comparison]
    for pair in usable:
        for difference in pair.differences:
            cells.setdefault(difference, []).append(_name(pair))
    for difference, names in cells.items():
        where = "" if len(names) == len(usable) else f" ({', '.join(names[:3])}"
        where += ", …)" if where and len(names) > 3 else ")" if where else ""
        lines.append(f"differs: {_change(difference)}{where}")
    return lines or ["no recorded setting differs"]


def _change(difference: Difference) -> str:
    old, new = (_short(value) for value in (difference.old, difference.new))
    return f"{difference.what}: {old} → {new}"


def _short(value: str) -> str:
    """Hashes are truncated; an empty value was not recorded."""
    name, _, rest = value.rpartition(":")
    if len(rest) == 64:
        return f"{name}:{rest[:12]}…" if name else f"{rest[:12]}…"
    return value or "not recorded"

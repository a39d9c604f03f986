"""What the simulation tests measured, as the tables of docs/statistics.md.

    python benchmarks/claims.py [--write] [--from FILE]

Runs tests/simulation (1.5 minutes of CPU time), which fails where a claim does not hold, and puts
the figures that the tests print into the tables between the `claims` marks of the page, or prints
them. Seeds are fixed: the figures are the same on every machine. `--from`: the output of a run of
`pytest tests/simulation -q -rP` that there is already.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "statistics.md"
#: `___ test_name[parameters] ___`, then what it printed
PRINTED = re.compile(r"^_+ (?:\S+::)?(test_\w+(?:\[\S+\])?) _+$|^(?:[\w ]+): ([\d.e+-]+)$", re.M)

COVERS = "test_the_headline_covers_at_95_percent"
ONE = "test_the_interval_of_one_trial_covers"
WITHOUT = "test_without_the_effective_sample_size_it_would_not"
QUIET = "test_unchanged_pairs_are_not_called_changed"
RESTLESS = "test_nor_are_pairs_on_a_restless_or_a_silent_machine"
BOOTSTRAP = "test_a_hierarchical_bootstrap_would_not_cover_with_three_trials"
FLOOR = "test_equal_cells_stay_under_the_noise_floor_19_times_in_20"
STOPPED = "test_the_headline_covers_when_each_trial_ends_as_soon_as_it_looks_narrow"
APART = "test_nor_are_two_cells_of_which_one_is_restless"
TWO = "test_a_5_percent_difference_of_two_cells_is_found"
ONCE = "test_one_cell_that_was_restless_in_one_run_is_called_changed_more_often"
POWER = "test_a_5_percent_shift_is_found_with_what_full_gives"
SHAPES = ("log-normal", "bimodal", "drifting", "autocorrelated")
RHOS = ("0.3", "0.5", "0.8", "0.9")

Figures = Mapping[str, float]


def main() -> int:
    """Print or write the tables; the exit code is that of the tests."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--from", dest="output", type=Path)
    options = parser.parse_args()
    output = options.output.read_text(encoding="utf-8") if options.output else tested()
    made = tables(figures(output))
    if options.write:
        PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), made), encoding="utf-8")
    else:
        print("\n\n".join(f"{name}\n\n{table}" for name, table in made.items()))
    return 0


def tested() -> str:
    """What the tests print; ends the program when one fails."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/simulation", "-q", "-rP", "-p", "no:cacheprovider"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        print(done.stdout[-4000:])
        sys.exit(done.returncode)
    return done.stdout


def figures(output: str) -> dict[str, float]:
    """What each test printed, by its name with its parameters."""
    found: dict[str, float] = {}
    test = ""
    for match in PRINTED.finditer(output):
        if match[1]:
            test = match[1]
        elif test:
            found[test] = float(match[2])
    return found


def filled(page: str, made: Mapping[str, str]) -> str:
    """The page with each table between its marks; raises ValueError where a mark is missing."""
    for name, table in made.items():
        mark = re.compile(rf"(<!-- claims: {name} -->\n).*?(<!-- end -->)", re.S)
        parts = mark.split(page)
        if len(parts) != 4:
            raise ValueError(f"{PAGE}: {len(parts) // 3} marks 'claims: {name}'")
        before, begin, end, after = parts
        page = f"{before}{begin}{table}\n{end}{after}"
    return page


def tables(seen: Figures) -> dict[str, str]:
    """Markdown by the name of its mark."""
    return {
        "one trial": _one_trial(seen),
        "headline": _headline(seen),
        "noise floor": _floor(seen),
        "alarms": _alarms(seen),
        "power": _power(seen),
    }


def _one_trial(seen: Figures) -> str:
    at_95, dependent = f"{ONE}_at_95_percent", f"{ONE}_when_samples_depend_on_each_other"
    worth = [seen[f"{at_95}[662]"], *(seen[f"{dependent}[{rho}]"] for rho in RHOS)]
    counted = [seen[f"{WITHOUT}[{rho}]"] for rho in ("0.0", *RHOS)]
    return _table(
        ("coverage of the stated 95 %, n=662", "independent", *(f"AR(1) ρ={rho}" for rho in RHOS)),
        [
            ("with effective sample size", *(f"{x:.3f}" for x in worth)),
            ("without (n for m)", *(f"{x:.3f}" for x in counted)),
        ],
    )


def _headline(seen: Figures) -> str:
    def row(profile: str) -> list[str]:
        return [
            " / ".join(f"{seen[f'{COVERS}[{b}-{profile}-{shape}]']:.3f}" for b in ("0.005", "0.02"))
            for shape in SHAPES
        ]

    titles = ("log-normal", "bimodal (30 % at +15 %)", "drifting (+4 % a trial)",
              "autocorrelated (ρ=0.8)")  # fmt: skip
    return _table(
        ("", *titles),
        [
            ("3 trials of 64", *row("3-64")),
            ("5 trials of 662", *row("5-662")),
            ("3 trials, each ended by the loop's rule", _stopped(seen), "", "", ""),
            ("3 trials of 64, hierarchical bootstrap", f"– / {seen[BOOTSTRAP]:.3f}", "", "", ""),
        ],
    )


def _stopped(seen: Figures) -> str:
    values = [f"{seen[f'{STOPPED}[{within}]']:.3f}" for within in ("0.03", "0.06")]
    return f"{values[0]} (0.5 %; {values[1]} with samples that vary by 6 %)"


def _alarms(seen: Figures) -> str:
    rows = [
        (f"{shape}, trials vary by 1 %", f"{QUIET}[{shape}]") for shape in SHAPES
    ] + [
        ("noisy: trials vary by 5 %", f"{RESTLESS}[0.05-0.0]"),
        ("noisy: rounds move both cells by 5 %", f"{RESTLESS}[0.01-0.05]"),
        ("noise-free: trials do not vary", f"{RESTLESS}[0.0-0.0]"),
        ("3 trials of 64", "test_nor_are_pairs_of_three_trials"),
        ("one cell, in one run it varies 3 times as much", f"{ONCE}[3.0-100]"),
        ("one cell, in one run it varies 10 times as much", f"{ONCE}[10.0-180]"),
        ("two cells, both vary by 1 %", f"{APART}[1.0]"),
        ("two cells, one varies 3 times as much", f"{APART}[3.0]"),
        ("two cells, one varies 10 times as much", f"{APART}[10.0]"),
    ]  # fmt: skip
    return _table(
        ("unchanged pairs called changed, of 20,000", ""),
        [(what, f"{seen[test]:.0f}") for what, test in rows],
    )


def _floor(seen: Figures) -> str:
    return _table(
        ("two measurements of one cell below the noise floor", "3 trials each", "5 trials each"),
        [("of 4,000", *(f"{seen[f'{FLOOR}[{n}]']:.3f}" for n in (3, 5)))],
    )


def _power(seen: Figures) -> str:
    rows = [
        (
            f"one cell, old and new; trials vary by {100 * float(between):g} %",
            *(f"{seen[f'{POWER}[{between}-{within}]']:.3f}" for within in ("0.02", "0.05")),
        )
        for between in ("0.005", "0.01")
    ]
    rows += [
        (f"two cells; trials vary by {100 * float(pair[:5]):g} % in all", f"{seen[two]:.3f}", "")
        for pair in ("0.005-0.99", "0.008-0.95")
        for two in [f"{TWO}[{pair}]"]
    ]
    return _table(
        ("a shift of 5 % is found (5 trials of 662 samples)", "samples vary by 2 %", "5 %"), rows
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())

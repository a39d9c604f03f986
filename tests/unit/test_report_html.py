"""What the pages hold: holes with reasons, text that stays text, numbers only where they count."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from example_run.run import ExampleRun, example

from harness.errors import BenchError
from harness.records import Cell, CellResult, Failure, Plan
from harness.report.build import build
from harness.report.cellcharts import MOST_POINTS, charts, thin
from harness.report.data import TrialSamples, entries
from harness.report.page import Report, cell_href, file_name
from harness.report.pages import REGISTRY
from harness.report.pages.cell import command, tail

EVIL = "<script>alert('x')</script>\"&'"


class Text(HTMLParser):
    """Text of a page by element, and every address it asks for."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ExampleRun:
    devices = ("local", "jetson", "phone-arm64")
    return example(tmp_path_factory.mktemp("run"), devices, samples=80)


@pytest.fixture(scope="module")
def report(run: ExampleRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(run, tmp_path_factory.mktemp("report")).parent


def html(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_every_cell_and_every_page_is_written(run: ExampleRun, report: Path) -> None:
    for maker in REGISTRY.values():
        assert not maker.path or (report / maker.path).is_file()
    for entry in entries(run):
        assert (report / cell_href(entry.cell.id)).is_file()


def test_links_lead_somewhere_and_nothing_comes_from_a_network(report: Path) -> None:
    for page in report.rglob("*.html"):
        for tag, attrs in Text(html(page)).tags:
            target = attrs.get("href") or attrs.get("src") or ""
            assert not re.match(r"[a-z]+:(?!,)", target.replace("data:,", "")), (tag, target)
            if target and not target.startswith(("#", "data:")):
                assert (page.parent / target).resolve().is_file(), (page.name, target)


def test_nothing_needs_inline_script_or_style(report: Path) -> None:
    for page in report.rglob("*.html"):
        for tag, attrs in Text(html(page)).tags:
            assert tag != "style"
            assert not [a for a in attrs if a == "style" or a.startswith("on")]
            assert tag != "script" or "src" in attrs or attrs.get("type") == "application/json"


def test_every_hole_has_its_reason_in_the_table(report: Path) -> None:
    text = Text(html(report / "index.html")).text
    for words in (
        "– skipped pytorch does not support int8: its quantiser needs calibration data",
        "✕ failed convert: RuntimeError",
        "✕ invalid accuracy: map50_95 0.087",
        "… no result the run stopped before this cell",
        "not in the plan",
        "△ suspect trials disagree",
    ):
        assert words in text


def test_an_invalid_number_is_never_shown(run: ExampleRun, report: Path) -> None:
    invalid = next(r for r in run.results if r.verdict == "invalid")
    assert invalid.summary is not None
    page = html(report / cell_href(invalid.cell.id))
    assert f"{invalid.summary.p50.value:.1f}" not in page
    assert not re.search(r'id="(histogram|timeline|pattern)"', page)
    assert "Why there is no result" in page


def test_an_emulated_time_is_never_a_plain_number(report: Path) -> None:
    page = html(report / "index.html")
    assert "(emulated: 1,270 ms)" in page
    for tag, attrs in Text(page).tags:
        if tag == "td" and attrs.get("data-device") == "phone-arm64":
            assert "heat-" not in (attrs["class"] or "")
    charted = html(report / "pareto.html").count("data-chart")
    assert charted == 2, "local and jetson, not the emulated phone"


def test_percentiles_say_what_they_need(report: Path) -> None:
    text = Text(html(report / "cells" / "rio-onnx-fp32-local-t1-b1.html")).text
    assert "p90 18.7 ms" in text
    assert "p99 needs 662 samples (n=240)" in text


def test_text_from_outside_stays_text(tmp_path: Path) -> None:
    run = example(tmp_path / "run", devices=("local",), formats=("onnx", "pytorch"), samples=70)
    cell = Cell(EVIL, EVIL, "fp32", EVIL)
    first = run.results[0]
    assert first.summary is not None
    flagged = replace(first, cell=cell, verdict="suspect", reasons=(EVIL,), compute=EVIL)
    failed = CellResult("r", replace(cell, batch=2), "failed", None, (EVIL,), "", "",
                        failure=Failure("convert", EVIL, EVIL))  # fmt: skip
    (tmp_path / "run" / "cells" / first.cell.id / "log.txt").write_text(EVIL)
    info = replace(run.info, scenario=EVIL, git=EVIL, notes=(EVIL,), broken_gates=(EVIL,))
    evil = replace(
        run, info=info, plan=Plan((cell, first.cell), ()), results=(first, flagged, failed)
    )
    out = build(evil, tmp_path / "report").parent
    for page in out.rglob("*.html"):
        assert "<script>alert" not in html(page)
        assert all("src" in a or "type" in a for t, a in Text(html(page)).tags if t == "script")
    assert EVIL in Text(html(out / "index.html")).text
    assert EVIL in Text(html(out / cell_href(first.cell.id))).text
    assert [p.parent.name for p in out.rglob("*alert*")] == ["cells", "cells", "devices"]


def test_a_cell_id_cannot_leave_the_report() -> None:
    assert file_name("rio-onnx-fp32-local-t1-b1") == "rio-onnx-fp32-local-t1-b1"
    for name in ("../../x", "..", "a/b", "a\\b", ".hidden"):
        assert re.fullmatch(
            r"[A-Za-z0-9_][A-Za-z0-9._-]*-[0-9a-f]{8}|-[0-9a-f]{8}", file_name(name)
        )


def a_plain_array(_: bytes) -> bytes:
    file = io.BytesIO()
    np.save(file, np.arange(70))
    return file.getvalue()


@pytest.mark.parametrize("damage", [lambda good: good[:100], a_plain_array])
def test_missing_samples_are_said(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    run = example(tmp_path / "run", devices=("local",), formats=("onnx",), samples=70)
    broken = tmp_path / "run" / run.results[0].trials[0].folder / "samples.npz"
    broken.write_bytes(damage(broken.read_bytes()))
    out = build(run, tmp_path / "report").parent
    text = Text(html(out / cell_href(run.results[0].cell.id))).text
    assert "trial-0/samples.npz is missing or damaged" in text


def test_a_run_that_is_not_finished_has_a_report(tmp_path: Path) -> None:
    run = example(tmp_path / "run", devices=("local",), formats=("onnx",), samples=70)
    early = replace(run, info=replace(run.info, finished_at=None), results=())
    text = Text(html(build(early, tmp_path / "report"))).text
    assert "not measured yet" in text
    empty = replace(early, plan=Plan((), ()))
    assert "The plan has no cells." in html(build(empty, tmp_path / "empty"))


def test_a_folder_that_cannot_be_written_is_named(run: ExampleRun, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchError, match="cannot write the report"):
        build(run, tmp_path / "file" / "report")


def test_the_command_repeats_the_cell(run: ExampleRun) -> None:
    cell = Cell("rio", "onnx", "fp32", "my phone")
    told = command(run.info, cell)
    assert told == "bench run scenarios/rio.yaml --only 'rio-onnx-fp32-my phone-t1-b1'"
    assert command(replace(run.info, scenario="x/y.yaml"), cell).startswith("bench run x/y.yaml ")


def test_a_log_is_cut_to_its_end_without_control_codes() -> None:
    log = tail("log.txt", b"\x1b[31mred\x1b[0m\r\n\xff\x00" + b"line\n" * 300, 2000)
    assert log.cut
    assert log.text == "\n".join(["line"] * 200)
    assert tail("log.txt", b"\x1b[31mred\x1b[0m\r\n", 14).text == "red"


def test_many_samples_are_thinned_and_the_page_says_so() -> None:
    latency = np.random.default_rng(1).lognormal(2, 0.1, 12_000)
    latency[7] = 99.0
    trial = TrialSamples(0, latency, np.arange(12_000) / 100)
    _, line = charts([trial])
    data = line.figure["data"]
    assert isinstance(data, list)
    assert len(data[0]["x"]) <= MOST_POINTS
    assert 99.0 in data[0]["y"], "extremes stay"
    assert line.notes[0].startswith(f"{len(data[0]['x']):,} of 12,000 samples shown")
    assert thin(latency[:10], 20).tolist() == list(range(10))


def test_the_histogram_counts_what_it_cuts_off() -> None:
    latency = np.r_[np.full(500, 10.0) + np.arange(500) / 1000, 200.0]
    bars, _ = charts([TrialSamples(0, latency, np.arange(501.0))])
    data = bars.figure["data"]
    assert isinstance(data, list)
    assert sum(data[0]["y"]) == 500
    assert bars.notes == (
        "1 of 501 samples are beyond the right edge, up to 200 ms; "
        "they are included in all statistics.",
    )


def test_chart_data_is_json_that_cannot_close_its_script(run: ExampleRun, report: Path) -> None:
    blocks = re.findall(
        r'<script type="application/json"[^>]*>(.*?)</script>', html(report / "pareto.html"), re.S
    )
    assert len(blocks) == 2
    for block in blocks:
        assert "<" not in block
        assert json.loads(block)["data"]


def test_text_on_the_colour_scale_has_contrast() -> None:
    css = (Path(__file__).parents[2] / "harness/report/static/report.css").read_text()
    light, dark = css.split("@media (prefers-color-scheme: dark)", 1)
    for part in (light, dark.split("* { box-sizing")[0]):
        colours = dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6});", part))
        steps = [_luminance(colours[f"heat-{n}"]) for n in range(7)]
        assert steps == sorted(steps, reverse=True), "told apart by lightness alone"
        for ink in ("on-heat", "on-heat-muted"):
            assert min(_contrast(_luminance(colours[ink]), step) for step in steps) >= 4.5
        for ink in ("text", "muted", "accent", "good", "doubt", "bad"):
            surface = _luminance(colours["surface"])
            assert _contrast(_luminance(colours[ink]), surface) >= 4.5, ink


def _luminance(colour: str) -> float:
    """Relative luminance of WCAG 2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def _contrast(a: float, b: float) -> float:
    return (max(a, b) + 0.05) / (min(a, b) + 0.05)


def test_a_result_outside_the_plan_is_shown(run: ExampleRun) -> None:
    lone = replace(run, plan=Plan((), ()))
    shown = Report(lone).entries
    assert {e.cell.id for e in shown} == {r.cell.id for r in run.results}


def test_every_log_that_says_something_is_on_the_page(tmp_path: Path) -> None:
    run = example(tmp_path / "run", devices=("local",), formats=("onnx",), samples=70)
    cell = run.results[0].cell
    place = tmp_path / "run" / "cells" / cell.id
    (place / "convert.log").write_text("exported <ok>")
    (place / "trial-1" / "log.txt").write_text("a warning of the runtime")
    (place / "trial-0" / "log.txt").write_text("\n")
    page = html(build(run, tmp_path / "report").parent / cell_href(cell.id))
    assert "exported &lt;ok&gt;" in page
    assert "<summary>trial-1/log.txt</summary>" in page
    assert "trial-0/log.txt" not in page


def test_a_reason_is_said_once(tmp_path: Path) -> None:
    run = example(tmp_path / "run", devices=("local",), formats=("onnx",), samples=70)
    failure = Failure("parity", "cosine 0.2", "see parity.json")
    twice = replace(run.results[0], status="failed", verdict=None, failure=failure,
                    reasons=("cosine 0.2", "boxes lost"))  # fmt: skip
    entry = next(e for e in entries(replace(run, results=(twice,))) if e.result)
    assert entry.state == "failed"
    assert entry.reasons == ("parity: cosine 0.2", "boxes lost")

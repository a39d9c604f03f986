"""Writes a report: every registered page, the style sheet, the scripts. Reads only from disk."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from harness.analysis.noise_floor import Noise
from harness.bugs import bug_report
from harness.errors import BenchError, StepFailed
from harness.printable import printable
from harness.report.data import RunData
from harness.report.page import Maker, Page, Report, made
from harness.report.pages import REGISTRY
from harness.report.pictures import PictureSource
from harness.store import read_devices, read_run
from harness.untrusted import files

_HERE: Final = Path(__file__).parent
_OWN: Final = ("report.css", "report.js")
#: beside the pages, where making one of them met a bug
BUGS: Final = "bugs.txt"
#: maximum size of a script or a style sheet
LARGEST: Final = 64 << 20
#: Plotly adds an empty <style> and fills it by script; this is the hash of nothing.
_EMPTY_STYLE: Final = "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
#: `file:` is for browsers in which a page from disk has no 'self'
POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' file:",
        f"style-src 'self' file: {_EMPTY_STYLE}",
        "img-src 'self' file: data:",
        "base-uri 'none'",
        "form-action 'none'",
    )
)


def build(
    run: RunData,
    out: Path,
    pictures: PictureSource | None = None,
    noise: Mapping[str, Noise] | None = None,
    live: bool = False,
) -> Path:
    """Write the report of `run` into `out` and return its index.html.

    Without `pictures` the cells' pages show no images; `noise` is each device's noise floor, by
    name. Files of an older report are overwritten. Raises BenchError when the folder cannot be
    written, or what the run wrote of a device cannot be read.
    """
    report = Report(run, pictures, read_devices(run.folder), noise or {})
    try:
        out.mkdir(parents=True, exist_ok=True)
        styles = _static(out)
        (out / BUGS).unlink(missing_ok=True)
        _pages(report, out, {"plotly_styles": styles, "live": live and not run.info.finished_at})
    except OSError as error:
        raise BenchError(f"{out}: cannot write the report: {error.strerror}") from None
    except StepFailed as error:
        raise BenchError(f"cannot write the report: {error.message}", "Remove that file.") from None
    return out / "index.html"


def build_run(
    folder: Path,
    out: Path,
    pictures: PictureSource | None = None,
    noise_of: Callable[[str], Noise | None] = lambda device: None,
    live: bool = False,
) -> Path:
    """`build` for the run in `folder`; raises BenchError if it is unreadable.

    `noise_of` gives what is known of a device's noise, see `noise_floor.load`. `live` pages, of a
    run that goes on, load themselves again.
    """
    run = read_run(folder)
    run = replace(run, results=(*run.results, *run.provisional))
    found = {name: noise_of(name) for name in {cell.device for cell in run.plan.cells}}
    known = {name: noise for name, noise in found.items() if noise}
    return build(run, out, pictures, known, live)


def _pages(report: Report, out: Path, more: dict[str, object]) -> None:
    templates, bugs = environment(), list[str]()
    there = {name: maker for name, maker in REGISTRY.items() if _is_there(maker, report)}
    nav = tuple((name, m.title, m.path) for name, m in there.items() if m.path)
    shared = {"info": report.run.info, "nav": nav, "policy": POLICY, **more}
    for name, maker in there.items():

        def html(page: Page, name: str = name) -> str:
            return templates.get_template(page.template).render(
                page=page, here=page.content, current=name, **shared
            )

        for page in _made(name, maker, report):
            doing = f"page {page.path} of {report.run.info.run_id}"
            _write(out, *_drawn(page, html, doing), bugs)


def _is_there(maker: Maker, report: Report) -> bool:
    """A page that fails to tell is made, and reports the error."""
    try:
        return maker.there(report)
    except Exception:  # its maker meets the same error, and reports it
        return True


def _made(name: str, maker: Maker, report: Report) -> Iterator[Page]:
    """The maker's pages; an unexpected exception ends only the remaining ones."""

    def every() -> Iterator[Page]:
        yield from maker.make(report)

    pages, over = every(), Page("", "", "", None)
    path, doing = maker.path or f"{name}.html", f"page {name} of {report.run.info.run_id}"
    while (page := made(path, maker.title, doing, lambda: next(pages, over))) is not over:
        yield page


def _drawn(page: Page, html: Callable[[Page], str], doing: str) -> tuple[Page, str]:
    """The page and its HTML; an error in a template affects only its page."""
    try:
        return page, html(page)
    except Exception as error:
        found = bug_report(error, doing)
        page = Page(page.path, page.title, "bug.html", found.line, bug=found.text)
        return page, html(page)


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Templates that escape everything, fail on undefined names, and emit plain text only."""
    return Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_plain,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _plain(value: object) -> object:
    """Text without control characters; markup is unchanged."""
    return printable(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _write(out: Path, page: Page, html: str, bugs: list[str]) -> None:
    files.put(out, page.path, html.encode(errors="replace"))
    if page.bug:
        bugs.append(page.bug)
        files.put(out, BUGS, "".join(bugs).encode(errors="replace"))
    for name, content in page.files.items():
        files.put(out, name, content)


def _static(out: Path) -> str:
    """Copy styles and scripts; returns the id of a style element that Plotly must not add.

    Plotly brings a map library which adds its own <style> unless an element of that id is there;
    the policy would refuse it with an error in the console.
    """
    for name in _OWN:
        files.put(out, f"static/{name}", files.read(_HERE / "static" / name, LARGEST))
    source = plotly_script()
    target = out / "static" / source.name
    if not files.is_inside(target, out) or target.stat().st_size != source.stat().st_size:
        files.put(out, f"static/{source.name}", files.read(source, LARGEST))
    return _style_id(source)


def plotly_script() -> Path:
    """Plotly's script from the installed package."""
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        raise BenchError(
            "the plotly package is not installed", "Install it with `pip install plotly`."
        )
    return Path(spec.origin).parent / "package_data" / "plotly.min.js"


@lru_cache(maxsize=2)
def _style_id(script: Path) -> str:
    found = re.search(rb'getElementById\("([0-9a-f]{64})"\)', script.read_bytes())
    return found[1].decode() if found else ""

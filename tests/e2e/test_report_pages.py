"""Every page in headless Chromium, from disk: drawn, silent, offline, narrow and dark.

Chromium is spoken to over its debugging pipe, so that no port is opened and nothing is downloaded.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from example_run import devices as example_devices
from example_run.run import example

from harness.report.build import build

pytestmark = pytest.mark.chromium

#: page -> how many charts it draws
CHARTS = {
    "index": 0,
    "pareto": 3,
    "stages": 3,
    "sizes": 0,
    "devices": 0,
    "devices/jetson": 2,
    "devices/phone-arm64": 1,
    "sustained": 1,
    "time": 0,
    "cells/rio-onnx-fp32-local-t1-b1": 2,
    "cells/rio-openvino-fp32-local-t1-b1": 3,
    "cells/rio-pytorch-fp32-jetson-t1-b1": 1,
}
PAGES = tuple(CHARTS)
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--remote-debugging-pipe",
)  # fmt: skip
#: starts a program with two files as its files 3 and 4, where Chromium expects its pipe
AS_3_AND_4 = """
import os, sys
read, write = (os.dup(int(text)) for text in sys.argv[1:3])
while min(read, write) < 5:
    read, write = os.dup(read), os.dup(write)
os.dup2(read, 3)
os.dup2(write, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Chromium:
    """One browser with one tab; `events` holds what it told since the last page."""

    def __init__(self, program: str, profile: Path) -> None:
        (read, their_write), (their_read, write) = os.pipe(), os.pipe()
        self._in, self._out = os.fdopen(write, "wb", 0), os.fdopen(read, "rb", 0)
        start = (sys.executable, "-c", AS_3_AND_4, str(their_read), str(their_write))
        self._process = subprocess.Popen(
            [*start, program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(their_read, their_write),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(their_read)
        os.close(their_write)
        self._number, self._rest, self._session = 0, b"", ""
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: object) -> dict[str, Any]:
        """Send one command and wait for its answer; raises AssertionError for a refused one."""
        self._number += 1
        message: dict[str, object] = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._in.write(json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self._number:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = self._out.read(1 << 16)
            assert part, "Chromium ended"
            self._rest += part
        line, self._rest = self._rest.split(b"\0", 1)
        return json.loads(line)

    def load(self, page: Path) -> None:
        """Load a page from disk, its deferred scripts too."""
        self.events.clear()
        self.call("Page.navigate", url=page.as_uri())
        while not any(e.get("method") == "Page.loadEventFired" for e in self.events):
            self.events.append(self._receive())

    def open(self, page: Path) -> None:
        """Load a page and wait until it has been painted."""
        self.load(page)
        self.value("new Promise(done => requestAnimationFrame(() => setTimeout(done, 50)))")

    def value(self, expression: str) -> Any:
        """The value of a script's expression in the page."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def complaints(self) -> list[str]:
        """Everything but silence: console messages, uncaught errors, refused resources."""
        loud = {"Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"}
        return [json.dumps(e["params"]) for e in self.events if e.get("method") in loud]

    def addresses(self) -> set[str]:
        """Schemes of all that was asked for."""
        asked = (e for e in self.events if e.get("method") == "Network.requestWillBeSent")
        return {e["params"]["request"]["url"].split(":", 1)[0] for e in asked}

    def look(self, width: int, scheme: str = "light") -> None:
        """Set the window's width and the preferred colours."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900,
                  deviceScaleFactor=1, mobile=False)  # fmt: skip
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", media="", features=[feature])

    def close(self) -> None:
        """End the browser and wait for it."""
        self._in.close()
        self._out.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report with a space")
    run = example(folder / "run", samples=120)
    return build(run, folder / "report", noise=example_devices.noise()).parent


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    assert program, "chromium is not installed (apt-get install chromium)"
    browser = Chromium(program, tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_drawn_in_silence_and_from_disk_alone(
    chromium: Chromium, report: Path, page: str
) -> None:
    chromium.look(1400)
    chromium.open(report / f"{page}.html")
    assert chromium.complaints() == []
    assert chromium.addresses() <= {"file", "data"}
    charts = "[...document.querySelectorAll('[data-chart]')]"
    drawn = chromium.value(f"{charts}.filter(c => c.querySelector('svg.main-svg')).length")
    assert drawn == CHARTS[page]
    if CHARTS[page]:
        marks = "document.querySelectorAll('.points path, .point path').length"
        assert chromium.value(marks) > 5


@pytest.mark.parametrize("page", PAGES)
def test_a_narrow_page_never_scrolls_sideways(chromium: Chromium, report: Path, page: str) -> None:
    chromium.look(360)
    chromium.open(report / f"{page}.html")
    page_width = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert chromium.value(page_width) == 0
    assert chromium.complaints() == []


def test_dark_colours_reach_page_and_charts(chromium: Chromium, report: Path) -> None:
    tick = "getComputedStyle(document.querySelector('.xtick text')).fill"
    seen = {}
    for scheme in ("light", "dark"):
        chromium.look(1400, scheme)
        chromium.open(report / "pareto.html")
        seen[scheme] = (
            chromium.value("getComputedStyle(document.body).backgroundColor"),
            chromium.value(tick),
        )
    assert seen["light"] == ("rgb(255, 255, 255)", "rgb(27, 31, 36)")
    assert seen["dark"] == ("rgb(20, 23, 27)", "rgb(230, 233, 237)")
    chromium.look(1400, "light")
    chromium.value("new Promise(done => setTimeout(done, 300))")
    assert chromium.value(tick) == "rgb(27, 31, 36)", "redrawn when the preference changes"


def test_rows_are_sorted_by_a_click_and_holes_go_last(chromium: Chromium, report: Path) -> None:
    chromium.look(1400)
    chromium.open(report / "index.html")
    click = "document.querySelector('th[data-device=local] .sort').click()"
    column = (
        "[...document.querySelectorAll('tbody td[data-device=local]')].map(c => c.dataset.value)"
    )
    for sign in (1, -1):
        chromium.value(click)
        values = chromium.value(column)
        numbers = [float(v) * sign for v in values if v is not None]
        assert numbers == sorted(numbers)
        assert values[len(numbers) :] == [None] * (len(values) - len(numbers))
        assert len(numbers) == 10
    order = chromium.value(
        "document.querySelector('th[data-device=local]').getAttribute('aria-sort')"
    )
    assert order == "descending"


def test_filters_hide_rows_and_columns(chromium: Chromium, report: Path) -> None:
    chromium.open(report / "index.html")
    toggle = "document.querySelector('[data-filter={}] input[value=\"{}\"]').click()"
    shown = "[...document.querySelectorAll('{}')].filter(e => e.offsetParent !== null).length"
    rows = chromium.value(shown.format("tbody tr"))
    chromium.value(toggle.format("format", "onnx"))
    assert chromium.value(shown.format("tbody tr")) == rows - 3
    chromium.value(toggle.format("device", "pi5"))
    assert chromium.value(shown.format("[data-device=pi5]")) == 0
    chromium.value(toggle.format("format", "onnx"))
    assert chromium.value(shown.format("tbody tr")) == rows


def test_layers_are_sorted_by_a_key_press(chromium: Chromium, report: Path) -> None:
    chromium.look(1400)
    chromium.open(report / "cells/rio-onnx-fp32-local-t1-b1.html")
    column = "[...document.querySelectorAll('.layers tbody tr')].map(r => r.cells[1].innerText)"
    before = chromium.value(column)
    chromium.value("document.querySelectorAll('.layers th .sort')[1].focus()")
    for kind in ("keyDown", "keyUp"):
        chromium.call("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter",
                      windowsVirtualKeyCode=13, text="\r" if kind == "keyDown" else "")  # fmt: skip
    assert chromium.value(column) == sorted(before) != before


def test_a_chart_of_several_rows_shares_its_seconds(chromium: Chromium, report: Path) -> None:
    chromium.look(1400)
    chromium.open(report / "cells/rio-onnx-fp32-local-t1-b1.html")
    shown = "document.getElementById('timeline')._fullLayout"
    assert chromium.value(f"[{shown}.yaxis2.anchor, {shown}.yaxis3.anchor]") == ["x", "x"]
    grid = "getComputedStyle(document.querySelector('#timeline .y3grid, #timeline .ygrid')).stroke"
    assert chromium.value(grid) == "rgb(228, 232, 236)", "the page's own colour"


def test_everything_is_readable_without_scripts(chromium: Chromium, report: Path) -> None:
    chromium.call("Emulation.setScriptExecutionDisabled", value=True)
    chromium.load(report / "index.html")
    chromium.call("Emulation.setScriptExecutionDisabled", value=False)
    assert chromium.value("document.querySelector('.filters').offsetParent === null")
    assert chromium.value("document.querySelectorAll('th .sort').length") == 0
    assert "17.6" in chromium.value("document.querySelector('#matrix').innerText")


def test_a_printed_page_is_light_and_whole(chromium: Chromium, report: Path) -> None:
    chromium.look(1400, "dark")
    chromium.open(report / "index.html")
    chromium.call("Emulation.setEmulatedMedia", media="print")
    assert chromium.value("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert chromium.value("document.querySelector('nav').offsetParent === null")
    pdf = chromium.call("Page.printToPDF", printBackground=True)["data"]
    assert len(pdf) > 20_000
    chromium.look(1400)

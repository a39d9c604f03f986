"""What ends a run in order, and what does not break that off."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUN = """
import sys, time
from harness.cli.shared import interruptible
interruptible()
try:
    print("begun", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("restoring", flush=True)
    time.sleep(0.5)
    print("restored", flush=True)
    sys.exit(130)
"""


#: the tests themselves may run under nohup
NOT_IGNORED = ("env", "--default-signal=HUP")


def start(*before: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [*before, sys.executable, "-c", RUN],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_each_of_the_signals_ends_a_run_in_order(name: str) -> None:
    with start(*NOT_IGNORED) as process:
        process.send_signal(signal.Signals[name])
        out, _ = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "restoring\nrestored\n")


@pytest.mark.parametrize(("first", "second"), [("SIGHUP", "SIGTERM"), ("SIGTERM", "SIGHUP")])
def test_a_session_that_ends_sends_two_and_the_second_breaks_nothing_off(
    first: str, second: str
) -> None:
    with start(*NOT_IGNORED) as process:
        process.send_signal(signal.Signals[first])
        assert process.stdout is not None
        assert process.stdout.readline() == "restoring\n"
        process.send_signal(signal.Signals[second])
        out, _ = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "restored\n")


def test_a_run_under_nohup_outlives_its_terminal() -> None:
    with start("nohup") as process:
        process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        assert process.poll() is None
        process.terminate()
        out, _ = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "restoring\nrestored\n")


def test_a_terminal_that_is_gone_makes_no_traceback(tmp_path: Path) -> None:
    """What is told of the end goes to a terminal that answers with an input/output error."""
    code = (
        "import sys; import harness.cli as cli; from harness.cli.shared import Interrupted\n"
        "def app(**values): raise Interrupted('interrupted; continue with: …')\n"
        "class Gone:\n"
        "    def write(self, text): raise OSError(5, 'Input/output error')\n"
        "    def flush(self): pass\n"
        "cli.app, sys.stderr = app, Gone()\n"
        "cli.main()\n"
    )
    env = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, check=False)
    assert done.returncode == 130

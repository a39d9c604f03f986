"""What a device says of itself: any of it is read in a moment, or refused in one line."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import kinds
from harness.errors import BenchError, StepFailed
from harness.kinds import answers, cpus, hold
from harness.monitor import energy, preconditions, state_file
from harness.monitor.judge import judge_state
from harness.monitor.parse import MOST_NOTES, MOST_SENSORS, Parser
from harness.monitor.sampler import Watch
from harness.records import DeviceFacts, DeviceState, Reading, Watched
from harness.runtimes import venv
from harness.serial import dumps, loads
from harness.transports import Completed, OnLine

#: more digits than Python reads as a number, and more than a double has
LONG, WIDE = "9" * 5000, "9" * 400
CONTROLS = {*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)), "\u202e"}
STATE = DeviceState("2026-01-01T00:00:00Z")
KEYS = (
    "alert", "allowed", "android", "arch", "batt", "battery", "compatible", "core", "cores",
    "cpu_model", "distribution", "docker", "free_kib", "freq", "governor", "hardware", "jetpack",
    "kernel", "libc", "load", "MemAvailable", "MemTotal", "memory_bytes", "model", "nvidia",
    "nvpmodel", "online", "os", "performance_cores", "policy", "pressure", "processor", "python",
    "quota", "ro.build.version.release", "ro.soc.model", "runtimes", "speed", "supply", "system",
    "tegra", "tegrastats", "therm", "thermal", "version", "vm_stat", "zone",
)  # fmt: skip
#: each of these has broken some reader somewhere
WORDS = (
    "",
    "-",
    "0",
    "-1",
    "²",
    "٣",
    "nan",
    "inf",
    "-inf",
    "1e400",
    "1e308",
    "1.2.3",
    "0x10",
    "1_000",
    WIDE,
    LONG,
    "-" + LONG,
    str(1 << 63),
    str(1 << 64),
    "0-99999999999999",
    "99999999999999-0",
    "0-8191",
    "0,1,2",
    "a" * 100_000,
    "Linux",
    "Darwin",
    "glibc",
    "3.11.2",
    "3." + "1" * 5000,
    "max 100000",
    "1 0.0000000000000000001",
    "9223372036854775807 1",
    "\x1b]52;c;ZXZpbA==\x07",
    "\x1b]8;;http://evil\x07",
    "\u202eevil",
    "BAT0 Full 1e300 1e300 1e-300",
    "CPU@1.2.3C",
    f"VDD_IN {WIDE}mW/1mW",
    "VDD_IN 1mW/1mW",
    f"Thermal Status: {LONG}",
    "Current temperatures from HAL:",
    "Temperature{mValue=1e400, mType=0, mName=x, mStatus=0}",
    "Temperature{mValue=4.4.4, mType=9999999999, mName=, mStatus=0}",
    "policy0",
    "policy0 schedutil",
    "policy0 schedutil 1e400 nan -",
    f"Mach Virtual Memory Statistics: (page size of {LONG} bytes)",
    f"Pages free: {WIDE}.",
    "CPU_Speed_Limit = " + LONG,
    "thermal warning level " + LONG,
    "-InternalBattery-0 " + WIDE + "%; charging; ",
    "0 max 1e400",
    "0 capacity nan",
    "# R35 (release), REVISION: 4.1",
    "level: 1e300",
    "scale: 1e-300",
    "status: 2",
    "temperature: 1e308",
    "45000 thermal_zone0 cpu-thermal",
    f"{WIDE} thermal_zone0 cpu",
    "avg10=1e400",
)


class Liar:
    """A device that answers anything that it is asked with the same."""

    name = "dut"

    def __init__(self, out: bytes, err: bytes = b"", code: int = 0) -> None:
        self.done = Completed(code, out, err, 0.0)

    def run(
        self, argv: Sequence[str], *, timeout_s: float, on_line: OnLine | None = None
    ) -> Completed:
        if on_line:
            for line in self.done.text.splitlines():
                on_line(line)
        return self.done


def answered(pairs: Sequence[tuple[str, str]]) -> bytes:
    always = [("workdir", "/home/me/bench"), ("system", "Linux")]
    text = "".join(f"{key}={value}\n" for key, value in [*always, *pairs])
    return text.encode("utf-8", "surrogateescape")


def one_line(error: BenchError) -> str:
    assert "\n" not in error.message
    assert len(error.message) < 600
    assert not CONTROLS & set(error.message)
    return error.message


def check(kind: str, out: bytes) -> None:
    """It is read as what can be stored and read again, or refused."""
    device: object = Liar(out)
    for read, record in (
        (kinds.find(kind).read_facts, DeviceFacts),
        (kinds.find(kind).read_state, DeviceState),
    ):
        try:
            found = read(device)  # type: ignore[arg-type]
        except BenchError as error:
            one_line(error)
            continue
        assert loads(record, dumps(found).encode()) == found
        assert "\x1b" not in dumps(found)
        assert "\u202e" not in dumps(found)


KINDS = ("linux", "jetson", "android", "macos")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("key", KEYS)
def test_no_answer_to_one_question_breaks_a_reader(kind: str, key: str) -> None:
    began = time.monotonic()
    for word in WORDS:
        check(kind, answered([("system", "Darwin" if kind == "macos" else "Linux"), (key, word)]))
    check(kind, answered([(key, word) for word in WORDS]))
    assert time.monotonic() - began < 20


@settings(max_examples=200)
@given(
    kind=st.sampled_from(KINDS),
    pairs=st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(WORDS) | st.text(max_size=40))),
)
def test_no_answers_break_a_reader(kind: str, pairs: list[tuple[str, str]]) -> None:
    check(kind, answered([("tegra", "# R35"), ("ro.build.version.release", "14"), *pairs]))


@settings(max_examples=200)
@given(kind=st.sampled_from(KINDS), out=st.binary(max_size=400))
def test_bytes_break_no_reader(kind: str, out: bytes) -> None:
    check(kind, out)


def test_a_list_of_cpus_without_end_is_none() -> None:
    began = time.monotonic()
    assert cpus.listed("0-99999999999999") == ()
    assert cpus.listed(",".join(["0-8191"] * 10_000)) == ()
    assert cpus.listed("0-3,5") == (0, 1, 2, 3, 5)
    assert time.monotonic() - began < 1


def test_an_answer_of_megabytes_is_refused() -> None:
    with pytest.raises(StepFailed) as caught:
        kinds.find("linux").read_facts(Liar(b"x=1\n" * (2 << 20)))  # type: ignore[arg-type]
    assert one_line(caught.value) == "dut: printed 8,389 KB, expected a few"


@pytest.mark.parametrize("workdir", ["", "relative", "/a\x1b[2Jb", "/" + "a" * 2000, "-rf", "~"])
def test_a_folder_that_is_none_is_refused(workdir: str) -> None:
    """Scripts of bench's run there, and messages name it for a shell."""
    path = answers.is_path(workdir.replace("\x1b[2J", "\n"))
    assert not path


def test_a_release_of_macos_is_no_loop_without_end() -> None:
    facts = DeviceFacts("macos", "arm64", "macOS 99999999999999", python="3.11.2")
    began = time.monotonic()
    assert venv._release(facts) == (99, 0)
    assert len(venv._platform(facts).tags) < 1000
    assert time.monotonic() - began < 1


def test_a_mac_of_another_processor_has_no_wheels() -> None:
    facts = DeviceFacts("macos", "../../evil", "macOS 14", python="3.11.2")
    assert venv.lacks(facts) == "wheels are for arm64 and x86_64, not ../../evil"


def test_what_a_device_holds_or_cannot_hold_is_one_line() -> None:
    said = b"cannot=governor \x1b]52;c;ZXZpbA==\x07no\n" + b"restored=x y z\n" * 3
    with pytest.raises(StepFailed) as caught:
        hold._take(Liar(said), kinds.find("linux").SPEC, "/x", ["governor"], 60.0)  # type: ignore[arg-type]
    assert one_line(caught.value).startswith("dut: cannot apply governor: no")
    assert hold.restore(Liar(b"restored=\nrestored= \nholder=\n=\n"), "/x") == (": ",)  # type: ignore[arg-type]


def test_a_heartbeat_outlives_whatever_the_device_answers() -> None:
    asked: list[float] = []

    class Refuses(Liar):
        def run(
            self, argv: Sequence[str], *, timeout_s: float, on_line: OnLine | None = None
        ) -> Completed:
            asked.append(time.monotonic())
            raise StepFailed("dut: stopped after more than 128 MB of output")

    beat = hold._Beat(Refuses(b""), "/x", 0.02)  # type: ignore[arg-type]
    with beat:
        while len(asked) < 3:
            time.sleep(0.01)


# ---- the sampler's lines -----------------------------------------------------------------------

TICKS = (
    "T 1.0 - - - |",
    "T 2.0 total=1 total=1 5 | 0,1,2,3,4,5,6,7,8",
    "T 1e400 - - - |",
    "T nan - - - |",
    f"T {LONG} - - - |",
    "T -1 - - - |",
    f"T 3.0 {LONG} - {LONG} | {LONG},1",
    "T 3.5 total=99999999999999999999 total=-1 9223372036854775807 | 0,9,9,9,9,9,9,9,9",
    "T 4.0 - - - 9 |",
    "T 4.5 - - - ² |",
    "T 5.0 - - - 1e9 |",
    f"T 5.5 - - - {WIDE} |",
    "T 1e10 - - - |",
    "T 0 - - - | ²,1,2,3,4,5,6,7,8 " + "0,1,2,3,4,5,6,7,8," * 50,
)
OTHERS = (
    "H",
    "H temperature",
    "H temperature x",
    "H temperature /",
    "H temperature a/b",
    "H rapl_uj a/b/c",
    "H rapl_uj a/b " + LONG + " package-0",
    "H frequency a/b " + "0 " * 9000,
    "H limit a/b 0 1 2",
    "H cooling a/b \x1b]8;;http://evil\x07",
    "H battery_status a/b",
    "H battery_capacity a/b BAT0",
    "H battery_current_now a/b BAT0",
    "H battery_voltage_now a/b BAT0",
    "H rail_mw a/b VDD_IN",
    "H count a/b " + "x" * 70_000,
    "H root \x1b[2J",
    "U",
    "U rapl_uj",
    "B",
    "B " + LONG,
    "D",
    "D Thermal Status: " + LONG,
    "D |Current temperatures from HAL:|Temperature{mValue=1e400, mTy",
    "X",
    "X \x1b]52;c;ZXZpbA==\x07",
    "Q",
    "Q 1e400",
    "Q " + LONG,
    LONG + "m1.2.3s",
    "0m0.01s 0m0.02s",
    "99999999999m99999999999s",
    "",
    " ",
    "\x00",
    "T",
    "H\tx",
)


def judged(lines: Sequence[str]) -> Watched:
    """All that is made of a sampler's lines, stored and read again."""
    parser = Parser()
    readings = tuple(reading for line in lines if (reading := parser.feed(line)) is not None)
    watched = Watched(
        readings=readings,
        notes=tuple(parser.notes),
        sampler_cpu_percent=parser.cpu_percent,
        counter_range_uj=dict(parser.counter_range_uj),
        unreadable=tuple(parser.unreadable),
    )
    window = (readings[0].at_s, readings[-1].at_s) if readings else (0.0, 1.0)
    for one in (window, (0.0, 1e12), (5.0, 4.0), None):
        found = judge_state(readings, STATE, STATE, cpus=(0,), window=one)
        energy.energy_of(watched, one, 10, window)
        assert dumps(found)
    for reading in readings:
        assert loads(Reading, dumps(reading).encode()) == reading
    preconditions.foreign_load(readings)
    return watched


@settings(max_examples=300)
@given(st.lists(st.sampled_from(TICKS + OTHERS) | st.text(max_size=60), max_size=40))
def test_no_lines_of_a_sampler_break_anything(lines: list[str]) -> None:
    watched = judged(lines)
    assert len(watched.notes) <= MOST_NOTES
    assert "\x1b" not in "".join(watched.notes)


@pytest.mark.parametrize("header", OTHERS)
def test_no_header_breaks_the_ticks_behind_it(header: str) -> None:
    judged([header, *(f"T {n / 2} - - - |" for n in range(20)), *TICKS])
    judged([header, *(f"T {n / 2} - - - 5 | 0,{n},0,0,{n},0,0,0,0" for n in range(20))])


def test_damaged_lines_are_counted() -> None:
    parser = Parser()
    for line in ("H temperature no-slash", "T 1.0", "T x - - - |", "Segmentation fault"):
        assert parser.feed(line) is None
    assert parser.damaged == 4


def test_a_flood_of_readings_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.monitor.parse.MOST_VALUES", 10_000)
    parser = Parser()
    kept = sum(parser.feed(f"T {n} - - - |") is not None for n in range(10_000))
    assert kept == 2500
    assert parser.damaged == 7500


def test_a_flood_of_sensors_and_notes_is_not_kept() -> None:
    parser = Parser()
    for number in range(5000):
        parser.feed(f"H temperature a/b{number}/c t{number}")
        parser.feed(f"X {number}")
        parser.feed(f"U k{number}")
    assert parser.damaged == 5000 - MOST_SENSORS
    assert (len(parser.notes), len(parser.unreadable)) == (MOST_NOTES, MOST_NOTES)


def test_one_clock_of_very_many_cpus_is_not_kept_for_each_reading() -> None:
    began = time.monotonic()
    parser = Parser()
    for _ in range(MOST_SENSORS):
        parser.feed("H frequency a/b/c " + " ".join(map(str, range(8000))))
    values = " 1" * MOST_SENSORS
    assert parser.feed(f"T 1.0 - - -{values} |") is None
    assert time.monotonic() - began < 10


def watched_by(transport: object) -> Watched:
    with Watch(transport, "linux", "/x", 5.0) as watch:  # type: ignore[arg-type]
        pass
    return watch.watched


def test_a_parser_that_breaks_costs_the_state_and_not_the_trial(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(self: Parser, line: str) -> None:
        raise ZeroDivisionError("a bug of ours")

    monkeypatch.setattr(Parser, "feed", broken)
    notes = watched_by(Liar(b"T 1.0 - - - |\n")).notes
    assert notes == (
        "lost the sampler: bug: ZeroDivisionError: a bug of ours; state unknown from then on",
    )


def test_a_sampler_that_prints_anything_is_a_note(tmp_path: Path) -> None:
    liar = Liar(b"\xff\x00\x1b]52;c;ZXZpbA==\x07\nT 1.0 - - - |\n", b"", 77)
    found = watched_by(liar)
    assert [reading.at_s for reading in found.readings] == [1.0]
    assert found.notes == (
        "1 damaged lines from the sampler",
        "the sampler failed with exit code 77: T 1.0 - - - |",
    )
    state_file.write(tmp_path / "state.jsonl", found)
    assert state_file.read(tmp_path / "state.jsonl") == found


@pytest.mark.parametrize("text", WORDS)
def test_a_number_of_a_device_fits_into_64_bits(text: str) -> None:
    for read in (answers.number, answers.whole):
        reads: Callable[[str], float | None] = read
        found = reads(text)
        assert found is None or abs(found) < 1 << 63

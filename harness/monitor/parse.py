"""Parses the sampler's lines (see `script`). Pure; damaged lines are counted, never raised.

A device may print anything: numbers, sensors and readings are bounded.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..kinds import thermal_service
from ..printable import one_line, printable
from ..records import Reading
from ..runner import sensors as meaning

_TIME = re.compile(r"\b([0-9]{1,9})m([0-9]{1,9}(?:\.[0-9]{1,9})?)s")
#: kinds of value that one reading has by name, as they come, in the record's field
_PLAIN = {"cooling": "cooling", "count": "throttle_counts", "rapl_uj": "energy_uj"}
_OF_CPUS = {"frequency": "frequency_khz", "limit": "limit_khz"}
#: words of a tick before the sensors' values: uptime, two stalls, available memory
FIXED = 4
#: limits: sensors; CPUs of a clock; values in all readings, enough for 256 CPUs and 100 sensors for
#: an hour
MOST_SENSORS, MOST_CPUS, MOST_VALUES = 1000, 8192, 4_000_000
#: limit of the sampler's own messages
MOST_NOTES = 20
#: no kernel counter exceeds 64 bits, and no uptime this many seconds
_WHOLE = re.compile(r"-?[0-9]{1,18}")
LONGEST_S, MOST_KIB = 1e10, 1 << 53
#: a battery's voltage below this is in another unit than µV
LEAST_UV = 100_000
#: what the thermal service said counts for so many ticks: it is asked three times in them (see
#: `script.SLOW_TICKS`), and may hang
SAID_TICKS = 30


@dataclass(frozen=True)
class Sensor:
    """One file that the sampler reads at each tick."""

    kind: str
    #: unique among its kind: `cpu-thermal`, `cpu-thermal#2`; of a clock, its CPUs: `0 1 2 3`
    name: str


@dataclass(frozen=True)
class Ticks:
    """Counters of one tick, as the kernel has them; -1: unknown."""

    at_s: float
    #: tasks waited for a CPU, for memory: µs since boot
    stalls_us: tuple[int, int]
    #: CPU -> user nice system idle iowait irq softirq steal
    cpus: Mapping[str, tuple[int, ...]]


@dataclass
class Parser:
    """Parses the lines in order, and keeps what they contain besides readings."""

    pid: int | None = None
    notes: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    counter_range_uj: dict[str, int] = field(default_factory=dict)
    damaged: int = 0
    #: whether it said that it ends, and what it took in all
    ended: bool = False
    cpu_percent: float | None = None
    _sensors: list[Sensor] = field(default_factory=list)
    _names: Counter[tuple[str, str]] = field(default_factory=Counter)
    _first_s: float | None = None
    _last: Ticks | None = None
    _status: int | None = None
    _hal_c: dict[str, float] = field(default_factory=dict)
    #: ticks since it answered
    _silent: int = 0
    _ended_s: float = 0.0
    _cpu_s: float = 0.0
    #: CPUs of all clocks, and values of all readings so far
    _clocks: int = 0
    _values: int = 0

    def feed(self, line: str) -> Reading | None:
        """The line's reading, if it is one."""
        line = printable(line)
        word, _, rest = line.partition(" ")
        if word == "T":
            return self._tick(rest)
        self._other(word, rest, line)
        return None

    def _other(self, word: str, rest: str, line: str) -> None:
        if word == "H":
            self._header(rest)
        elif word == "U":
            self._deny(rest.partition(" ")[0])
        elif word == "B":
            self.pid = _whole(rest.partition(" ")[0])
        elif word == "D":
            self._service(rest.split("|"))
        elif word == "X":
            self._note(f"the sampler ended: {rest}" if rest else "the sampler ended")
        elif word == "Q":
            self.ended, self._ended_s = True, _number(rest) or 0.0
        elif self.ended and _TIME.search(line):
            self._took(line)
        elif line.strip():
            self.damaged += 1

    def _header(self, rest: str) -> None:
        kind, _, more = rest.partition(" ")
        path, _, label = more.partition(" ")
        if kind == "root":
            self._note(f"state is read from {more}, not from the system's files")
        elif "/" not in path or len(self._sensors) >= MOST_SENSORS:
            self.damaged += 1
        else:
            self._sensors.append(self._sensor(kind, path, label.strip()))

    def _sensor(self, kind: str, path: str, label: str) -> Sensor:
        if kind in _OF_CPUS:
            cpus = label.split()[:MOST_CPUS]
            self._clocks += len(cpus)
            return Sensor(kind, " ".join(cpus))
        label = one_line(label)
        most, _, named = label.partition(" ")
        name = {
            "rapl_uj": f"RAPL {named}",
            "rail_mv": f"INA3221 {label}",
            "rail_ma": f"INA3221 {label}",
            "rail_mw": f"INA3221 {label}",
            "rail_uw": f"INA238 {label}",
        }.get(kind, label or path.split("/")[-2])
        self._names[kind, name] += 1
        count = self._names[kind, name]
        name = name if count == 1 else f"{name}#{count}"
        if kind == "rapl_uj":
            self.counter_range_uj[name] = _whole(most) or 0
        return Sensor(kind, name)

    def _deny(self, kind: str) -> None:
        if kind not in self.unreadable and len(self.unreadable) < MOST_NOTES:
            self.unreadable.append(one_line(kind))

    def _note(self, text: str) -> None:
        if text not in self.notes and len(self.notes) < MOST_NOTES:
            self.notes.append(one_line(text))

    def _service(self, lines: Sequence[str]) -> None:
        said = thermal_service.read(lines)
        self._status = said.status
        if said.note:
            self._note(said.note)
        self._hal_c = {f"hal {name}": value for name, value in said.temperatures_c.items()}
        self._silent = 0

    def _forget(self) -> None:
        """Forget the last status of a service that no longer answers."""
        self._silent += 1
        if self._silent > SAID_TICKS:
            self._status, self._hal_c = None, {}

    def _took(self, line: str) -> None:
        self._cpu_s += sum(60 * int(m) + float(s) for m, s in _TIME.findall(line))
        spent_s = self._ended_s - (self._first_s or 0.0)
        if self._first_s is not None and spent_s > 0:
            self.cpu_percent = 100 * self._cpu_s / spent_s

    def _tick(self, rest: str) -> Reading | None:
        fixed, bar, cpus = rest.partition(" |")
        words = fixed.split()
        at_s = _number(words[0]) if words else None
        self._values += len(words) + self._clocks + len(self._hal_c) + cpus.count(",")
        is_whole = bar and at_s is not None and len(words) == FIXED + len(self._sensors)
        if at_s is None or not is_whole or self._values > MOST_VALUES:
            self.damaged += 1
            return None
        now = Ticks(at_s, (_stall(words[1]), _stall(words[2])), _cpu_ticks(cpus))
        before, self._last = self._last, now
        if self._first_s is None:
            self._first_s = at_s
        self._forget()
        reading = _values(Reading(at_s), self._sensors, words[FIXED:])
        kib = _whole(words[3])
        return replace(
            reading,
            temperatures_c={**reading.temperatures_c, **self._hal_c},
            thermal_status=self._status,
            memory_available_bytes=kib * 1024 if kib and 0 < kib < MOST_KIB else None,
            **(_between(before, now) if before else {}),  # type: ignore[arg-type]
        )


def _values(empty: Reading, sensors: Sequence[Sensor], values: Sequence[str]) -> Reading:
    """The values of the files, each in its field."""
    fields: dict[str, dict[str, int]] = {
        name: {} for name in (*_PLAIN.values(), *_OF_CPUS.values())
    }
    temperatures: dict[str, float] = {}
    electric: dict[str, dict[str, int]] = {}
    statuses: list[str] = []
    for sensor, text in zip(sensors, values, strict=True):
        value = _whole(text)
        if sensor.kind == "battery_status":
            statuses.append(text)
        elif value is None:
            continue
        elif sensor.kind in _OF_CPUS:
            fields[_OF_CPUS[sensor.kind]].update(dict.fromkeys(sensor.name.split(), value))
        elif sensor.kind in _PLAIN:
            fields[_PLAIN[sensor.kind]][sensor.name] = value
        elif sensor.kind == "temperature":
            celsius = meaning.degrees(value, sensor.name.partition("#")[0])
            if celsius is not None:
                temperatures[sensor.name] = celsius
        else:
            electric.setdefault(sensor.name, {})[sensor.kind] = value
    return replace(
        empty,
        **fields,  # type: ignore[arg-type]
        temperatures_c=temperatures,
        power_w=_power_w(electric),
        battery_percent=_battery_percent(electric),
        charging=_charging(statuses),
    )


def _battery_percent(electric: Mapping[str, Mapping[str, int]]) -> float | None:
    """The mean of several batteries."""
    known = (meaning.charge_percent(v.get("battery_capacity")) for v in electric.values())
    percents = [percent for percent in known if percent is not None]
    return sum(percents) / len(percents) if percents else None


def _charging(statuses: Sequence[str]) -> bool | None:
    """From the first word of each status. `Not charging` is on a charger: unknown."""
    if "Charging" in statuses or "Full" in statuses:
        return "Discharging" not in statuses or "Charging" in statuses
    return False if "Discharging" in statuses and "Not" not in statuses else None


def _power_w(electric: Mapping[str, Mapping[str, int]]) -> dict[str, float]:
    """mV · mA, mW, µW, and of a battery µA · µV, whose sign says nothing across makers."""
    found: dict[str, float] = {}
    for name, seen in electric.items():
        if "rail_mw" in seen:
            found[name] = seen["rail_mw"] / 1e3
        elif "rail_uw" in seen:
            found[name] = seen["rail_uw"] / 1e6
        elif "rail_mv" in seen and "rail_ma" in seen:
            found[name] = seen["rail_mv"] * seen["rail_ma"] / 1e6
        elif "battery_current_now" in seen and "battery_voltage_now" in seen:
            microvolts = seen["battery_voltage_now"]
            if microvolts < LEAST_UV:  # no battery has 0.1 V: it counts in mV
                microvolts *= 1000
            amount = abs(seen["battery_current_now"]) * microvolts / 1e12
            found["battery"] = found.get("battery", 0.0) + amount
    return found


def _between(before: Ticks, now: Ticks) -> dict[str, object]:
    """Shares of the time between two ticks; absent where a counter is, or goes backwards."""
    passed = {
        cpu: each
        for cpu, ticks in now.cpus.items()
        if cpu in before.cpus and (each := _passed(before.cpus[cpu], ticks))
    }
    total = sum(sum(each) for each in passed.values())
    stolen = sum(each[7] for each in passed.values())
    span_us = (now.at_s - before.at_s) * 1e6
    stalls = [
        _percent(n - b, span_us) if min(n, b) >= 0 else None
        for n, b in zip(now.stalls_us, before.stalls_us, strict=True)
    ]
    return {
        "busy_percent": {
            cpu: busy
            for cpu, each in passed.items()
            if (busy := _percent(sum(each) - each[3] - each[4] - each[7], sum(each))) is not None
        },
        "steal_percent": _percent(stolen, total),
        "cpu_pressure_percent": stalls[0],
        "memory_pressure_percent": stalls[1],
    }


def _passed(before: Sequence[int], now: Sequence[int]) -> list[int]:
    """Ticks by kind; nothing for counters that began again, as those of a CPU that was off.

    The kernel lets idle and iowait, the fourth and fifth, go back by a few.
    """
    each = [n - b for n, b in zip(now, before, strict=True)]
    each[3:5] = [max(0, ticks) for ticks in each[3:5]]
    return each if min(each) >= 0 else []


def _percent(part: float, whole: float) -> float | None:
    """To a hundredth, 0 to 100; None if no time passed, or negative."""
    if whole <= 0 or part < 0:
        return None
    return round(min(100.0, 100 * part / whole), 2)


def _cpu_ticks(text: str) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for word in text.split():
        cpu, *ticks = word.split(",", 9)
        counted = [_whole(tick) for tick in ticks]
        known = _whole(cpu) is not None and len(ticks) == 8
        if known and all(count is not None and count >= 0 for count in counted):
            found[cpu] = tuple(count or 0 for count in counted)
    return found


def _stall(text: str) -> int:
    value = _whole(text.removeprefix("total="))
    return -1 if value is None else value


def _whole(text: str) -> int | None:
    return int(text) if _WHOLE.fullmatch(text) else None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value <= LONGEST_S else None

"""Formats devices for the terminal. Pure; `console` prints them."""

from __future__ import annotations

from ..records import DeviceState
from ..targets.check import Check, CheckedDevice, Cleaned
from ..targets.discover import Offer

COLUMNS = ("device", "kind", "state", "hardware", "now", "labels")
MARKS = {"ok": "ok", "failed": "!!", "skipped": "--"}


def device_row(device: CheckedDevice) -> tuple[str, ...]:
    """One row of COLUMNS."""
    kind = f"{device.kind} over {device.transport}"
    return (
        device.name,
        kind + (", emulated" if device.emulated else ""),
        device.state,
        _what(device),
        _now(device.now) if device.now else "",
        ", ".join(device.labels),
    )


def why_not(device: CheckedDevice) -> str:
    """`pixel: battery at 12 % … → Charge it.`; empty for a usable device."""
    if device.state == "ready":
        return ""
    reason = device.reason.removeprefix(f"{device.name}: ")
    said = reason if reason.startswith(device.name) else f"{device.name}: {reason}"
    return f"{said} → {device.hint}" if device.hint else said


def check_lines(check: Check) -> list[str]:
    """The step and its result, and what to do if it failed."""
    line = f"{MARKS[check.outcome]} {check.step:<10} {check.seen}"
    return [line, f"   → {check.hint}"] if check.hint else [line]


def offer_lines(offer: Offer) -> list[str]:
    """The phone found, and a device file for it."""
    if offer.known_as:
        return [f"# {offer.serial}: already in devices/{offer.known_as}.yaml"]
    if not offer.yaml:
        return [f"# {offer.serial}: not usable yet: {offer.reason} → {offer.hint}"]
    return [f"# devices/{offer.name}.yaml", *offer.yaml.splitlines()]


def cleaned_lines(cleaned: Cleaned) -> list[str]:
    """What was restored and removed."""
    lines = [f"{cleaned.name}: restored {what}" for what in cleaned.restored]
    lines += [f"{cleaned.name}: removed {path}" for path in cleaned.removed]
    size = f"{cleaned.bytes / 1e6:.1f} MB"
    return [
        *lines,
        f"{cleaned.name}: " + (size if cleaned.removed else "nothing to remove"),
    ]


def _what(device: CheckedDevice) -> str:
    if device.facts is None:
        return device.address
    facts = device.facts
    cores = f"{len(facts.cpus)} CPUs" if facts.cpus else ""
    ram = facts.memory_total_bytes
    memory = "" if ram is None else f"{ram / 1e9:.1f} GB"
    parts = (facts.model, facts.soc, facts.arch, cores, memory, facts.os, facts.driver)
    return ", ".join(dict.fromkeys(part for part in parts if part))


def _now(state: DeviceState) -> str:
    parts = []
    if state.hottest_c is not None:
        parts.append(f"{state.hottest_c:.0f} °C")
    if state.throttled:
        parts.append("throttled")
    if state.governor:
        parts.append(state.governor)
    if state.power_mode:
        parts.append(state.power_mode)
    if state.battery_percent is not None:
        parts.append(f"battery {state.battery_percent:.0f} %")
    if state.load_1m is not None:
        parts.append(f"load {state.load_1m:.1f}")
    if state.storage_free_bytes is not None:
        parts.append(f"{state.storage_free_bytes / 1e9:.1f} GB free")
    return ", ".join(parts)

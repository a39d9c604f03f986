"""Finds phones on a running adb server, and writes a device file for each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .. import kinds, transports
from ..bugs import bug_report
from ..errors import BenchError, UsageError
from ..printable import one_line, printable
from ..records import DeviceSpec


@dataclass(frozen=True)
class Offer:
    """A device that was found; `yaml` is empty if there is nothing to write."""

    serial: str
    address: str
    name: str
    yaml: str = ""
    #: the device file that has it already
    known_as: str = ""
    #: why it cannot be used yet
    reason: str = ""
    hint: str = ""


def discover(known: Mapping[str, DeviceSpec]) -> list[Offer]:
    """Every device of the adb server. Raises DeviceLost if no server answers."""
    from ..transports.adb_list import listed
    from ..transports.adb_states import advice

    taken = set(known)
    offers = []
    for seen in listed():
        address = f"server:{seen.address}"
        if already := _known(seen.address, known.values()):
            offers.append(Offer(seen.serial, address, already, known_as=already))
            continue
        name = _free(slug(seen.model or seen.serial), taken)
        if "/" in seen.address:
            reason = "its serial has a '/', which separates another server in an address"
            offers.append(Offer(seen.serial, address, name, reason=reason))
            continue
        if seen.state != "device" or not seen.address:
            reason = f"adb state: {seen.state}" if seen.state != "device" else "no serial number"
            hint = advice(seen.state) or "Unplug the device and plug it in again."
            offers.append(Offer(seen.serial, address, name, reason=reason, hint=hint))
            continue
        offers.append(_offer(seen.serial, address, name))
        taken.add(name)
    return offers


def _known(serial: str, specs: Iterable[DeviceSpec]) -> str:
    """The device file with this serial: through a server, by USB, or by TCP."""
    if not serial:
        return ""
    for spec in specs:
        ways = {serial, f"usb:{serial}", f"tcp:{serial}", f"server:{serial}"}
        through_a_server = spec.address.startswith("server:") and spec.address.endswith(
            f"/{serial}"
        )
        if spec.transport == "adb" and (spec.address in ways or through_a_server):
            return spec.name
    return ""


def _offer(serial: str, address: str, name: str) -> Offer:
    spec = DeviceSpec(name, "android", "adb", address)
    try:
        transport = transports.connect(spec)
        try:
            facts = kinds.find("android").read_facts(transport)
        finally:
            transport.close()
    except BenchError as error:
        return Offer(serial, address, name, reason=error.message, hint=error.hint)
    except Exception as error:  # whatever it is, the other devices are listed
        return Offer(serial, address, name, reason=bug_report(error, f"looking at {name}").line)
    about = ", ".join(part for part in (facts.model, facts.soc, facts.os) if part)
    emulated = serial.startswith("emulator-")
    return Offer(serial, address, name, text(address, about, emulated))


def text(address: str, about: str, emulated: bool = False) -> str:
    """A device file for a phone."""
    plain = re.sub(r"[^\w .,()+-]", "", about)
    return (
        f"# {plain}\nkind: android\ntransport: adb\naddress: {_quoted(address)}\nlabels: [phone]\n"
        f"description: {_quoted(plain)}\n"
        + ("emulated: true\n" if emulated else "")
        + "# trials wait until the hottest sensor is below this, °C\ncool_below_c: 38\n"
        "# measures to reduce noise; see docs/devices.md\n"
        "steady: [stay_awake]\n"
    )


def _quoted(text: str) -> str:
    """A single-line string of YAML for any text."""
    return "'" + one_line(printable(text)).replace("'", "''") + "'"


def write(offer: Offer, folder: Path) -> Path:
    """`folder`/NAME.yaml. Raises UsageError rather than replace a file."""
    path = folder / f"{offer.name}.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(offer.yaml)
    except FileExistsError:
        raise UsageError(f"{path}: already exists", "Rename or delete the existing file.") from None
    return path


def slug(text: str) -> str:
    """A device name from a model name: `Pixel 7 Pro` -> `pixel-7-pro`."""
    found = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return found[:40].strip("-") or "phone"


def _free(name: str, taken: set[str]) -> str:
    number = 2
    free = name
    while free in taken:
        free, number = f"{name}-{number}", number + 1
    return free

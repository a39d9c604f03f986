"""What the state sampler costs the device that it runs on.

    python benchmarks/watch.py [seconds]

Watches this machine as it is, and a made-up phone of 8 CPUs, 60 thermal zones and 40 cooling
devices, and prints the CPU time of each sampler, its `sleep`s included, as percent of one CPU.
The shell counts CPU time in steps of 10 ms: over 60 s that is 0.02 % a count. Limit: 2 %.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from harness.monitor.sampler import Watch
from harness.records import DeviceSpec, Watched
from harness.transports import connect

LIMIT_PERCENT = 2.0


def phone(root: Path) -> None:
    """Files of a large phone; plain files cost less to read than the kernel's."""
    for cpu in range(8):
        folder = root / f"sys/devices/system/cpu/cpu{cpu}/cpufreq"
        folder.mkdir(parents=True)
        cluster = "0 1 2 3" if cpu < 4 else "4 5 6 7"
        for name, value in (
            ("affected_cpus", cluster),
            ("scaling_cur_freq", "1800000"),
            ("scaling_max_freq", "2841600"),
        ):
            (folder / name).write_text(f"{value}\n")
    for count, kind, value in ((60, "thermal_zone", "temp"), (40, "cooling_device", "cur_state")):
        for number in range(count):
            folder = root / f"sys/class/thermal/{kind}{number}"
            folder.mkdir(parents=True)
            (folder / "type").write_text(f"{kind}-{number}\n")
            (folder / value).write_text("45000\n")


def watched(seconds: float, folder: Path, root: str) -> Watched:
    """So many seconds of this machine's sampler."""
    transport = connect(DeviceSpec("here", "linux", "local"))
    with Watch(transport, "linux", str(folder), seconds + 60, root=root) as watch:
        time.sleep(seconds)
    return watch.watched


def main() -> int:
    """Print, and exit 1 over the limit."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    worst = 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        phone(folder / "phone")
        for title, root in (("this machine", ""), ("a made-up phone", str(folder / "phone"))):
            seen = watched(seconds, folder, root)
            percent = seen.sampler_cpu_percent
            span_s = seen.readings[-1].at_s - seen.readings[0].at_s
            rate = (len(seen.readings) - 1) / span_s
            said = "unknown" if percent is None else f"{percent:.2f} % of one CPU"
            sys.stdout.write(f"{title}: {said}, {rate:.2f} readings/s over {span_s:.0f} s; ")
            sys.stdout.write(f"limit {LIMIT_PERCENT:g} %\n")
            worst = max(worst, 100.0 if percent is None else percent)
    return int(worst > LIMIT_PERCENT)


if __name__ == "__main__":
    sys.exit(main())

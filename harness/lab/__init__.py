"""Devices without the hardware: a phone, a Jetson and a host on the loopback address.

`upkeep` starts and ends them for `bench lab`; it starts a `daemon` for each, which owns a `board`,
which boots a `guest`. `roots` makes their files, `sysfs` their sensors, `faults` what goes wrong.
The phone side of ADB is in `adbd`.
"""

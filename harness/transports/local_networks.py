"""The addresses of this machine's interfaces, where the kernel's files tell them."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Final

IPv4: Final = Path("/proc/net/fib_trie")
IPv6: Final = Path("/proc/net/if_inet6")
_LOCAL = re.compile(r"\|-- ([\d.]+)\n\s+/32 host LOCAL")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def addresses() -> frozenset[Address] | None:
    """None where there are no such files (macOS)."""
    try:
        v4 = _LOCAL.findall(IPv4.read_text())
    except OSError:
        return None
    v6 = IPv6.read_text().split("\n") if IPv6.exists() else []
    numbers = [int(line.split()[0], 16) for line in v6 if line]
    return frozenset({*map(ipaddress.IPv4Address, v4), *map(ipaddress.IPv6Address, numbers)})


def is_in(networks: str, own: frozenset[Address]) -> bool:
    """Whether one of the addresses is in one of `10.0.0.0/8,fd00::/8`. Raises ValueError."""
    wanted = [ipaddress.ip_network(part) for part in networks.split(",")]
    return any(address in network for network in wanted for address in own)

"""A filter of system calls for jobs that bubblewrap confines: it blocks what namespaces do not.

Keyrings and sockets of virtual machines have no namespace, and a user namespace would expose kernel
interfaces to a job that are reserved for root. The list follows Docker's own filter.
"""

from __future__ import annotations

import errno
import os
import platform
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

#: offsets in `seccomp_data`: number of the call, its processor, its first argument
_NUMBER, _PROCESSOR, _FIRST = 0, 4, 16
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW: Final = 0x7FFF0000
_ERROR: Final = 0x00050000
#: x86-64 has a second set of calls, for 32-bit pointers
_SECOND_CALLS: Final = 0x40000000
_NEW_USER_NAMESPACE: Final = 0x10000000
#: local, IPv4, IPv6, netlink: those that have a namespace
FAMILIES: Final = (1, 2, 10, 16)


class _Calls(NamedTuple):
    """Numbers of calls on a processor that `platform.machine` names."""

    processor: int
    clone: int
    socket: int
    refused: tuple[int, ...]


#: io_uring_*, open_tree, move_mount, fs*, pidfd_getfd, mount_setattr, quotactl_fd: same everywhere
_NEW: Final = (*range(425, 434), 438, 442, 443)
_CLONE3: Final = 435
#: add_key, request_key, keyctl, unshare, setns, mount, umount2, pivot_root, chroot, bpf,
#: perf_event_open, userfaultfd, syslog, acct, quotactl, swapon, swapoff, reboot, modules, kexec,
#: open_by_handle_at, fanotify_init, kcmp, process_vm_*, lookup_dcookie
_OF_X86: Final = (
    *(248, 249, 250, 272, 308, 165, 166, 155, 161, 321, 298, 323, 103, 163, 179, 167, 168, 169),
    *(175, 176, 313, 246, 320, 304, 300, 312, 310, 311, 212, 172, 173),
)
_OF_OTHERS: Final = (
    *(217, 218, 219, 97, 268, 40, 39, 41, 51, 280, 241, 282, 116, 89, 60, 224, 225, 142),
    *(105, 106, 273, 104, 294, 265, 262, 272, 270, 271, 18),
)
_KNOWN: Final = {
    "x86_64": _Calls(0xC000003E, 56, 41, _OF_X86),
    "aarch64": _Calls(0xC00000B7, 220, 198, _OF_OTHERS),
    "riscv64": _Calls(0xC00000F3, 220, 198, _OF_OTHERS),
}


def why_not(machine: str = "") -> str | None:
    """Why there is no filter for a processor (default: this machine's); None if there is one."""
    name = machine or platform.machine()
    return None if name in _KNOWN else f"no system call filter for {name}"


def program(machine: str = "") -> bytes:
    """The filter in the kernel's format."""
    calls = _KNOWN[machine or platform.machine()]
    refused = [(_EQUAL, 0, 1, number) for number in (*calls.refused, *_NEW)]
    lines = [
        (_LOAD, 0, 0, _PROCESSOR),
        (_EQUAL, 1, 0, calls.processor),
        _refuse(errno.EPERM),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _SECOND_CALLS),
        _refuse(errno.EPERM),
        *(line for test in refused for line in (test, _refuse(errno.EPERM))),
        (_EQUAL, 0, 1, _CLONE3),
        _refuse(errno.ENOSYS),  # C libraries then use the older call, whose flags can be checked
        (_EQUAL, 0, 4, calls.clone),
        (_LOAD, 0, 0, _FIRST),
        (_ANY_BIT, 0, 1, _NEW_USER_NAMESPACE),
        _refuse(errno.EPERM),
        (_RETURN, 0, 0, _ALLOW),
        (_EQUAL, 0, 2 + len(FAMILIES), calls.socket),
        (_LOAD, 0, 0, _FIRST),
        *((_EQUAL, len(FAMILIES) - at, 0, one) for at, one in enumerate(FAMILIES)),
        _refuse(errno.EAFNOSUPPORT),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *line) for line in lines)


@contextmanager
def opened() -> Iterator[int]:
    """The filter for this machine as an open file, to be read by one process."""
    file = os.memfd_create("calls", os.MFD_CLOEXEC)
    try:
        os.write(file, program())
        os.lseek(file, 0, os.SEEK_SET)
        yield file
    finally:
        os.close(file)


def _refuse(code: int) -> tuple[int, int, int, int]:
    return (_RETURN, 0, 0, _ERROR | code)

"""The filter of system calls, as the kernel would run it, also for processors that are not here."""

from __future__ import annotations

import errno
import struct

import pytest

from harness.containers import seccomp

X86, ARM, RISCV = 0xC000003E, 0xC00000B7, 0xC00000F3
ALLOWED = 0


def answer(machine: str, processor: int, number: int, first: int = 0) -> int:
    """The error that a call gets; 0 for one that is allowed."""
    data = struct.pack("<IIQQ", number, processor, 0, first)
    lines = list(struct.iter_unpack("=HBBI", seccomp.program(machine)))
    seen = at = 0
    while True:
        code, yes, no, value = lines[at]
        at += 1
        if code == 0x06:
            return int(value & 0xFFFF) if value >> 16 == 5 else ALLOWED
        if code == 0x20:
            (seen,) = struct.unpack_from("<I", data, value)
        else:
            is_so = {0x15: seen == value, 0x35: seen >= value, 0x45: bool(seen & value)}[code]
            at += yes if is_so else no


@pytest.mark.parametrize(
    ("machine", "processor", "numbers"),
    [
        # keyctl, unshare, bpf, mount, perf_event_open, process_vm_readv
        ("x86_64", X86, (250, 272, 321, 165, 298, 310)),
        ("aarch64", ARM, (219, 97, 280, 40, 241, 270)),
        ("riscv64", RISCV, (219, 97, 280, 40, 241, 270)),
    ],
)
def test_what_has_no_namespace_is_refused_on_each_processor(
    machine: str, processor: int, numbers: tuple[int, ...]
) -> None:
    assert {answer(machine, processor, number) for number in numbers} == {errno.EPERM}
    assert answer(machine, processor, 425) == errno.EPERM  # io_uring_setup
    assert answer(machine, processor, 435) == errno.ENOSYS  # clone3


@pytest.mark.parametrize(
    ("machine", "processor", "clone", "socket", "read"),
    [("x86_64", X86, 56, 41, 0), ("aarch64", ARM, 220, 198, 63)],
)
def test_what_programs_need_is_allowed(
    machine: str, processor: int, clone: int, socket: int, read: int
) -> None:
    assert answer(machine, processor, read) == ALLOWED
    assert answer(machine, processor, clone, 0x11) == ALLOWED
    assert answer(machine, processor, clone, 0x10000011) == errno.EPERM
    families = {family for family in range(64) if answer(machine, processor, socket, family) == 0}
    assert families == {1, 2, 10, 16}


def test_calls_of_another_processor_and_those_for_short_pointers_are_refused() -> None:
    assert answer("x86_64", 0x40000003, 3) == errno.EPERM  # read, in 32 bits
    assert answer("x86_64", X86, 0x40000000) == errno.EPERM


def test_a_processor_without_a_filter_is_named() -> None:
    assert seccomp.why_not("s390x") == "no system call filter for s390x"
    assert seccomp.why_not("x86_64") is None

"""Which CPUs a measured job gets: fast ones, one of each core, of those that it may use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from harness.kinds import cpus, readings
from harness.kinds.answers import Readings
from harness.records import DeviceFacts
from harness.targets.target import chosen, in_order


def machine(
    arch: str = "x86_64",
    *,
    online: str,
    allowed: str = "",
    khz: Mapping[range, int] | None = None,
    capacity: Mapping[range, int] | None = None,
    cores: Sequence[Sequence[int]] = (),
    performance: str = "",
    quotas: Sequence[str] = (),
) -> DeviceFacts:
    """As the scripts describe one."""
    lines = [f"arch={arch}", f"online={online}"]
    lines += [f"allowed={allowed}"] if allowed else []
    lines += [f"performance_cores={performance}"] if performance else []
    lines += [f"quota={quota}" for quota in quotas]
    for unit, speeds in (("max", khz or {}), ("capacity", capacity or {})):
        lines += [f"speed={cpu} {unit} {value}" for part, value in speeds.items() for cpu in part]
    lines += [f"core={cpu} {n}/-/0/0" for n, core in enumerate(cores) for cpu in core]
    seen = Readings("\n".join(lines))
    return readings.facts("linux", seen, os="Linux", build=None, libc=None)


def job(facts: DeviceFacts, threads: int) -> tuple[int, ...]:
    return chosen(in_order(facts.cpus, facts), threads)


PAIRS = [(n, n + 1) for n in range(0, 12, 2)]
I9 = machine(
    online="0-19",
    khz={range(12): 5_200_000, range(12, 20): 4_100_000},
    cores=[*PAIRS, *((n,) for n in range(12, 20))],
    performance="0-11",
)


@pytest.mark.parametrize(
    ("threads", "wanted"),
    [
        (1, (11,)),
        (4, (5, 7, 9, 11)),  # four cores, not the two threads of two
        (6, (1, 3, 5, 7, 9, 11)),
        (8, (18, 19, 1, 3, 5, 7, 9, 11)),  # a small core before half of a fast one
        (20, (0, 2, 4, 6, 8, 10, 12, 13, 14, 15, 16, 17, 18, 19, 1, 3, 5, 7, 9, 11)),
    ],
)
def test_a_hybrid_intel_gives_one_thread_of_each_fast_core_first(
    threads: int, wanted: tuple[int, ...]
) -> None:
    assert set(I9.big_cpus) == set(range(12))
    assert job(I9, threads) == wanted


def test_fast_cores_are_found_by_their_clocks_where_the_kernel_does_not_name_them() -> None:
    """An i9-13900H, and a Ryzen with Zen 5c; favoured cores, some percent faster, are no class."""
    khz = {range(4): 5_200_000, range(4, 6): 5_400_000, range(6, 12): 5_200_000,
           range(12, 20): 4_100_000}  # fmt: skip
    facts = machine(online="0-19", khz=khz)
    assert set(facts.big_cpus) == set(range(12))
    assert job(facts, 2) == (4, 5)
    zen = machine(online="0-11", khz={range(4): 5_100_000, range(4, 12): 3_300_000})
    assert set(zen.big_cpus) == set(range(4))


def test_a_kernel_that_gives_small_x86_cores_much_capacity_does_not_make_them_fast() -> None:
    facts = machine(
        online="0-15",
        khz={range(8): 5_000_000, range(8, 16): 3_900_000},
        capacity={range(8): 1024, range(8, 16): 690},
    )
    assert set(facts.big_cpus) == set(range(8))


@pytest.mark.parametrize(
    ("speeds", "unit", "big", "two"),
    [
        ({range(4): 325, range(4, 7): 838, range(7, 8): 1024}, "capacity", (4, 5, 6, 7), (6, 7)),
        ({range(6): 250, range(6, 8): 1024}, "capacity", (6, 7), (6, 7)),
        ({range(4): 1_785_600, range(4, 7): 2_419_200, range(7, 8): 3_187_200}, "max",
         (4, 5, 6, 7), (6, 7)),
        # the fast ones have the lowest numbers
        ({range(2): 1024, range(2, 8): 430}, "capacity", (0, 1), (0, 1)),
        ({range(4): 2_400_000}, "max", (0, 1, 2, 3), (2, 3)),
    ],
)  # fmt: skip
def test_the_clusters_of_an_arm_chip(
    speeds: dict[range, int], unit: str, big: tuple[int, ...], two: tuple[int, ...]
) -> None:
    online = f"0-{max(max(part) for part in speeds)}"
    given = {"capacity": speeds} if unit == "capacity" else {"khz": speeds}
    facts = machine("aarch64", online=online, **given)  # type: ignore[arg-type]
    assert facts.big_cpus == big
    assert job(facts, 2) == two


def test_a_cloud_machine_with_siblings_beside_each_other_gives_whole_cores() -> None:
    facts = machine(online="0-7", cores=[(0, 1), (2, 3), (4, 5), (6, 7)])
    assert facts.big_cpus == facts.cpu_order == (0, 2, 4, 6, 1, 3, 5, 7)
    assert job(facts, 4) == (1, 3, 5, 7)
    assert job(facts, 5) == (6, 1, 3, 5, 7)


def test_a_desktop_with_siblings_in_its_second_half_gives_whole_cores() -> None:
    facts = machine(online="0-7", cores=[(n, n + 4) for n in range(4)])
    assert job(facts, 4) == (4, 5, 6, 7)


def test_cpus_that_are_off_or_not_allowed_are_not_given() -> None:
    """Of a P-core whose second thread is forbidden, the first one stands for it."""
    facts = machine(
        online="0-9,12-19",
        allowed="0-8,12-15",
        khz={range(12): 5_200_000, range(12, 20): 4_100_000},
        cores=[*PAIRS[:5], *((n,) for n in range(12, 20))],
        performance="0-11",
    )
    assert facts.cpus == (*range(9), 12, 13, 14, 15)
    assert job(facts, 5) == (1, 3, 5, 7, 8)
    assert job(facts, 6) == (15, 1, 3, 5, 7, 8)


def test_a_process_that_may_use_small_cores_only_gets_those() -> None:
    facts = machine(
        online="0-19", allowed="12-19", khz={range(12): 5_200_000, range(12, 20): 4_100_000},
        performance="0-11",
    )  # fmt: skip
    assert facts.big_cpus == tuple(range(12, 20))
    assert job(facts, 2) == (18, 19)


def test_this_process_may_have_fewer_cpus_than_the_machine_has() -> None:
    assert chosen(in_order((0, 1, 12, 13), I9), 1) == (1,)
    assert chosen(in_order((12, 13, 40), I9), 2) == (12, 13)


@pytest.mark.parametrize(
    ("quotas", "cpus"),
    [
        ((), range(4)),
        (("max 100000",), range(4)),
        (("-1 100000",), range(4)),  # cgroup v1 without one
        (("250000 100000",), (2, 3)),
        (("max 100000", "300000 100000", "150000 100000"), (3,)),  # the tightest one counts
        (("50000 100000",), (3,)),
        (("800000 100000",), range(4)),
        (("x", "1 0", ""), range(4)),
    ],
)
def test_a_quota_leaves_as_many_cpus_as_it_has_time_for(
    quotas: tuple[str, ...], cpus: Sequence[int]
) -> None:
    facts = machine(online="0-3", quotas=quotas)
    assert facts.cpus == tuple(cpus)
    assert job(facts, 4) == tuple(cpus)


def test_a_quota_leaves_the_fast_cpus() -> None:
    facts = machine(
        online="0-19", khz={range(12): 5_200_000, range(12, 20): 4_100_000},
        cores=[*PAIRS, *((n,) for n in range(12, 20))], performance="0-11",
        quotas=("400000 100000",),
    )  # fmt: skip
    assert facts.cpus == facts.big_cpus == (5, 7, 9, 11)


@pytest.mark.parametrize("speeds", [{range(3): 5_000_000}, {}])
def test_where_a_speed_is_unknown_all_are_alike(speeds: dict[range, int]) -> None:
    facts = machine(online="0-3", khz=speeds)
    assert facts.big_cpus == (0, 1, 2, 3)
    assert job(facts, 1) == (3,)


def test_a_list_of_cpus_that_is_none_is_no_list() -> None:
    assert cpus.listed("0-3,x") == ()

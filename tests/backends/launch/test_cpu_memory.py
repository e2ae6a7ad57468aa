"""What an engine on a CPU may take, by the machine's and its control groups' books."""

from __future__ import annotations

from pathlib import Path

import pytest

from trivet.backends.launch.cpu_memory import ENGINE_BYTES, LEAST_BYTES, available_memory, kv_cache_bytes

GIB = 1 << 30


@pytest.fixture
def system(tmp_path: Path) -> Path:
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "meminfo").write_text(f"MemTotal: {64 << 20} kB\nMemAvailable: {40 << 20} kB\n")
    (tmp_path / "proc" / "self" / "cgroup").write_text("0::/\n")
    (tmp_path / "groups").mkdir()
    return tmp_path


def left(system: Path) -> int:
    return available_memory(system / "groups", system / "proc")


def test_without_limits_it_is_what_the_machine_has_left(system: Path) -> None:
    assert left(system) == 40 * GIB


def test_a_group_without_a_limit_says_max(system: Path) -> None:
    (system / "groups" / "memory.max").write_text("max\n")
    (system / "groups" / "memory.current").write_text("5\n")
    assert left(system) == 40 * GIB


def test_a_container_s_limit_counts_less_what_it_uses_but_for_what_it_would_give_back(system: Path) -> None:
    (system / "groups" / "memory.max").write_text(f"{8 * GIB}\n")
    (system / "groups" / "memory.current").write_text(f"{3 * GIB}\n")
    assert left(system) == 5 * GIB
    (system / "groups" / "memory.stat").write_text(f"anon 1\ninactive_file {GIB}\n")
    assert left(system) == 6 * GIB


def test_the_tightest_of_nested_groups_counts(system: Path) -> None:
    (system / "proc" / "self" / "cgroup").write_text("0::/slice/service\n")
    inner = system / "groups" / "slice" / "service"
    inner.mkdir(parents=True)
    for folder, most in ((inner, 9), (inner.parent, 4)):
        (folder / "memory.max").write_text(f"{most * GIB}")
        (folder / "memory.current").write_text(f"{GIB}")
    assert left(system) == 3 * GIB


def test_version_1(system: Path) -> None:
    (system / "proc" / "self" / "cgroup").write_text("3:cpu:/x\n7:memory:/x\n")
    group = system / "groups" / "memory" / "x"
    group.mkdir(parents=True)
    (group / "memory.limit_in_bytes").write_text(f"{2 * GIB}")
    (group / "memory.usage_in_bytes").write_text(f"{GIB}")
    assert left(system) == GIB


def test_a_group_that_is_over_its_limit_leaves_nothing(system: Path) -> None:
    (system / "groups" / "memory.max").write_text("10")
    (system / "groups" / "memory.current").write_text("11")
    assert left(system) == 0


def test_this_machine() -> None:
    assert 0 < available_memory() < 1 << 50


@pytest.mark.parametrize(
    ("free", "needed", "most", "expected"),
    [
        (20 * GIB, 4 * GIB, 100 * GIB, 8 * GIB),  # half of what is left
        (20 * GIB, 4 * GIB, GIB, GIB),  # never more than requests can fill
        (ENGINE_BYTES, 4 * GIB, 100 * GIB, LEAST_BYTES),  # vLLM says that this is too little, if it is
    ],
)
def test_the_share(free: int, needed: int, most: int, expected: int) -> None:
    assert kv_cache_bytes(free=free, needed=needed, most=most) == expected

"""Cores and memory of a container or a job, in both versions of Linux' control groups."""

import os

import psutil
import pytest

from reading import machine

GB = 10**9
NONE = 9223372036854771712  # how version 1 says that there is no limit


class Machine:
    available = 50 * GB


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """A function that writes the files of control groups, {path: content}, and in which this process is."""
    monkeypatch.setattr(machine, "CGROUPS", tmp_path / "fs")
    monkeypatch.setattr(machine, "OWN", tmp_path / "own")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: Machine)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(16)), raising=False)

    def write(own, files):
        (tmp_path / "own").write_text(own)
        for name, content in files.items():
            (tmp_path / "fs" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "fs" / name).write_text(f"{content}\n")

    return write


def stat(prefix, active, inactive):
    return f"file {active + inactive + 7}\n{prefix}inactive_file {inactive}\n{prefix}active_file {active}\nslab 5"


def test_files_kept_at_hand_are_free(groups):
    groups("0::/\n", {
        "memory.max": 8 * GB, "memory.current": 7 * GB, "memory.stat": stat("", 2 * GB, 3 * GB),
        "cpu.max": "150000 100000",
    })  # fmt: skip
    assert machine.memory_free() == 6 * GB and machine.cores() == 2


def test_version_1(groups):
    groups("4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n", {
        "memory/memory.limit_in_bytes": 4 * GB, "memory/memory.usage_in_bytes": 3 * GB,
        "memory/memory.stat": "inactive_file 1\nactive_file 1\n" + stat("total_", GB, GB),
        "cpu/cpu.cfs_quota_us": 400000, "cpu/cpu.cfs_period_us": 100000,
    })  # fmt: skip
    assert machine.memory_free() == 3 * GB and machine.cores() == 4


def test_the_groups_around_limit_too(groups):
    groups("0::/job/step\n", {
        "job/memory.max": 5 * GB, "job/memory.current": GB, "job/memory.stat": stat("", 0, 0),
        "job/cpu.max": "max 100000",
        "job/step/memory.max": "max", "job/step/memory.current": GB, "job/step/memory.stat": stat("", 0, 0),
        "job/step/cpu.max": "50000 100000",
    })  # fmt: skip
    assert machine.memory_free() == 4 * GB and machine.cores() == 1


@pytest.mark.parametrize("own", ["", "0::/\n", "4:memory:/\n2:cpu:/\n", None])
def test_without_limits_it_is_the_machine(groups, own, tmp_path):
    groups(own or "", {
        "memory/memory.limit_in_bytes": NONE, "memory/memory.usage_in_bytes": GB,
        "memory/memory.stat": stat("total_", 0, 0), "cpu/cpu.cfs_quota_us": -1, "cpu/cpu.cfs_period_us": 100000,
    })  # fmt: skip
    if own is None:
        (tmp_path / "own").unlink()
    assert machine.memory_free() == 50 * GB and machine.cores() == 16

"""What this process may use: cores and memory of the machine, or of its container where that has less."""

import math
import os
from contextlib import suppress
from pathlib import Path

import psutil

# Where Linux keeps the limits of containers and jobs (control groups), and in which of them this process is.
CGROUPS, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def memory_free():
    """Bytes that this process may still take. What only keeps files at hand is free: the system gives it back."""
    free = psutil.virtual_memory().available
    for folder in _groups("memory"):
        with suppress(OSError, ValueError):  # this one has no limit ("max")
            left = _number(folder / "memory.max") - _number(folder / "memory.current")
            free = min(free, left + _kept_files(folder, ""))
        with suppress(OSError, ValueError):  # the same in version 1 of control groups
            left = _number(folder / "memory.limit_in_bytes") - _number(folder / "memory.usage_in_bytes")
            free = min(free, left + _kept_files(folder, "total_"))
    return max(0, free)


def cores():
    """The number of cores that this process may use, 1 or more; of a share of one core, 1."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for folder in _groups("cpu"):
        with suppress(OSError, ValueError):
            quota, period = (folder / "cpu.max").read_text().split()
            count = min(count, math.ceil(int(quota) / int(period)))
        with suppress(OSError, ValueError):
            quota = _number(folder / "cpu.cfs_quota_us")
            if quota > 0:  # -1: no limit
                count = min(count, math.ceil(quota / _number(folder / "cpu.cfs_period_us")))
    return max(1, count)


def _groups(controller):
    """The folders of the control groups that this process is in: its own, and those around it, which limit it too.

    In a container the outer ones are not seen, and its own stands at the top.
    """
    found = []
    with suppress(OSError):
        for line in OWN.read_text().splitlines():
            _, kinds, path = line.split(":", 2)
            if not kinds or controller in kinds.split(","):
                root = CGROUPS / (controller if kinds else "")
                own = root / path.lstrip("/")
                found += [folder for folder in (own, *own.parents) if folder.is_relative_to(root)]
    return found


def _kept_files(folder, prefix):
    facts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    return sum(int(facts[f"{prefix}{kind}_file"]) for kind in ("active", "inactive"))


def _number(path):
    return int(path.read_text())

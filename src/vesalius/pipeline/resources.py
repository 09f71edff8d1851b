"""Memory and processors of this machine, and what a run used of them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def available_memory_bytes() -> int | None:
    """Return the memory that new work may use, limits of a container included; None when the system does not tell."""
    known = [value for value in (_system_available(), _container_available()) if value is not None]
    return min(known) if known else None


def cores() -> int:
    """Return the processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def peak_memory_bytes() -> int | None:
    """Return the largest resident memory of this process so far.

    On Linux VmHWM: getrusage also counts what the parent used before it started this process.
    """
    status = _fields(Path("/proc/self/status"))
    if "VmHWM" in status:
        return status["VmHWM"] * 1024
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _system_available() -> int | None:
    kilobytes = _fields(Path("/proc/meminfo")).get("MemAvailable")
    return kilobytes * 1024 if kilobytes is not None else None


def _container_available() -> int | None:
    pairs = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))
    for limit_name, used_name in pairs:
        limit, used = _number(_CGROUP / limit_name), _number(_CGROUP / used_name)
        if limit is not None and used is not None and limit < 1 << 60:
            return max(limit - used + _reclaimable(), 0)
    return None


def _reclaimable() -> int:
    """Return the file cache of the container, which gives way to programs."""
    try:
        lines = (_CGROUP / "memory.stat").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.split()[0] == "inactive_file")


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _fields(path: Path) -> dict[str, int]:
    """Return "Name:  123 kB" lines as numbers."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return {}
    parts = [line.split() for line in lines if ":" in line]
    return {p[0].rstrip(":"): int(p[1]) for p in parts if len(p) > 1 and p[1].isdigit()}

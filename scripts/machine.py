"""What a machine must have before the environment is made on it. Each refusal names its remedy."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

GIB = 1024**3
CGROUP = Path("/sys/fs/cgroup")


class UnfitError(Exception):
    """The machine lacks something; the message is one line that says what to do."""


@dataclass(frozen=True)
class Needs:
    """What installing and running one flavour takes, in bytes."""

    memory: int
    disk: int


NEEDS = {
    "cpu": Needs(memory=4 * GIB, disk=5 * GIB),
    "gpu": Needs(memory=8 * GIB, disk=20 * GIB),
}


def check_platform(system: str, machine: str) -> None:
    """vLLM is built for Linux on two kinds of processors only."""
    if system != "Linux" or machine not in {"x86_64", "aarch64"}:
        raise UnfitError(
            f"{system} on {machine} is not supported: use Linux on x86_64 or aarch64"
            " (on macOS and Windows a Linux container or WSL 2 will do)."
        )


def check_venv() -> None:
    """Debian and its children ship Python without the modules that make environments."""
    missing = [name for name in ("venv", "ensurepip") if not importlib.util.find_spec(name)]
    if missing:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise UnfitError(
            f"This Python lacks the module {' and '.join(missing)}: install it with"
            f" `apt install python{version}-venv` (or your system's package of that kind)."
        )


def check_memory(available: int | None, needed: int) -> None:
    """The engine dies late and unclearly without memory, so say it early."""
    if available is not None and available < needed:
        raise UnfitError(
            f"Only {available / GIB:.1f} GiB of memory is available and {needed / GIB:.0f} GiB is"
            " needed: close other programs, or raise the limit of this container."
        )


def check_disk(free: int, needed: int, folder: Path) -> None:
    """Running out of disk half-way leaves the user with nothing but a full disk."""
    if free < needed:
        raise UnfitError(
            f"Only {free / GIB:.1f} GiB is free in {folder} and {needed / GIB:.0f} GiB is needed:"
            " free some space, or move the project to a larger disk."
        )


def available_memory(meminfo: Path = Path("/proc/meminfo"), cgroup: Path = CGROUP) -> int | None:
    """Bytes that a new program could use, within the container's limit; None if unknown."""
    known = [b for b in (_system_memory(meminfo), _container_memory(cgroup)) if b is not None]
    return min(known, default=None)


def _system_memory(meminfo: Path) -> int | None:
    try:
        lines = meminfo.read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvail"))
    except (OSError, StopIteration, ValueError):
        return None


def _container_memory(cgroup: Path) -> int | None:
    try:
        limit = int((cgroup / "memory.max").read_text())
        used = int((cgroup / "memory.current").read_text())
        statistics = dict(s.split() for s in (cgroup / "memory.stat").read_text().splitlines())
        # Cached files count as used but give way.
        return limit - used + int(statistics.get("inactive_file", 0))
    except (OSError, ValueError):
        return None


def check(extra: str, folder: Path) -> None:
    """Raise UnfitError unless the flavour can be installed in the folder and run here."""
    check_platform(platform.system(), platform.machine())
    check_venv()
    check_memory(available_memory(), NEEDS[extra].memory)
    check_disk(shutil.disk_usage(folder).free, NEEDS[extra].disk, folder)

"""Processes that outlive who started them: adopted while this one runs, ended when it ends.

Ray's workers end with their raylet, HAProxy and vLLM's processes do not. Orphans become children
of this process instead of the machine's first one: whatever happens to Ray, nothing is left behind.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_LOOK_EVERY_S = 0.05


def adopt_orphans() -> None:
    """From now on, descendants that lose their parent become children of this process."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_descendants(grace_s: float) -> list[str]:
    """Wait until every descendant has ended, and kill those that have not after ``grace_s``.

    Returns the names of those that had to be killed.
    """
    deadline = time.monotonic() + grace_s
    alive = _alive()
    while alive and time.monotonic() < deadline:
        alive = _alive()
    killed = alive
    while alive:  # again: who was about to start another may have done so
        for pid in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        alive = _alive()
        killed |= alive
    return list(killed.values())


def _alive() -> dict[int, str]:
    """Our descendants. Looked at twice: one whose parent is just ending may be missed once."""
    found = _descendants(os.getpid())
    time.sleep(_LOOK_EVERY_S)
    return found | _descendants(os.getpid())


def _descendants(of: int) -> dict[int, str]:
    """Process id and name of each that runs; children of ours that have ended are reaped."""
    parents: dict[int, tuple[int, str]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        # A process may end while it is looked at. Its name may hold anything but the last `)`.
        with contextlib.suppress(OSError):
            head, _, rest = stat.read_text(errors="replace").rpartition(")")
            state, parent = rest.split()[:2]
            pid = int(stat.parent.name)
            if state == "Z":
                _reap(pid)
            else:
                parents[pid] = (int(parent), head.partition("(")[2])
    found: dict[int, str] = {}
    while more := {
        pid: name
        for pid, (parent, name) in parents.items()
        if pid not in found and (parent == of or parent in found)
    }:
        found |= more
    return found


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):  # somebody else's
        os.waitpid(pid, os.WNOHANG)

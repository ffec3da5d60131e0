"""The garbage collector of a process that serves."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import gc
from serving.heap import settle_heap
kept = [[] for _ in range(50_000)]
settle_heap()
before = gc.get_stats()[0]["collections"]
requests = [[] for _ in range(5_000)]
assert gc.get_freeze_count() > 50_000, "what was there is walked through"
assert gc.get_stats()[0]["collections"] == before, "a burst of requests starts a collection"
assert gc.isenabled()
cycles = []
for _ in range(200_000):
    cycle = []
    cycle.append(cycle)
assert gc.get_stats()[0]["collected"] > 100_000, "cycles stay"
"""


def test_what_was_imported_is_left_alone_and_cycles_are_not() -> None:
    """Frozen: what exists at the start. Still collected: cycles that requests leave behind."""
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=60)

"""Nothing outlives the command that started it, whoever else has died in between."""

from __future__ import annotations

import subprocess
import sys
import time

SCENE = """
import subprocess, sys, time
from serving.bringup.leftovers import adopt_orphans, end_descendants

adopt_orphans()
# A child that starts two sleepers in sessions of their own, one of which ignores SIGTERM, and dies.
child = '''
import subprocess
for command in ("exec sleep 60", "trap : TERM; sleep 60 & while kill -0 $!; do wait; done"):
    found = subprocess.Popen(
        ["sh", "-c", command], start_new_session=True, stdout=subprocess.DEVNULL
    )
    print(found.pid, flush=True)
'''
found = subprocess.run([sys.executable, "-c", child], stdout=subprocess.PIPE, text=True, check=True)
print(found.stdout, end="")
print("killed", sorted(end_descendants({grace})))
"""


def ended(pid: int) -> bool:
    """Whether no process of that number runs."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:  # noqa: PTH123 - one read
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_orphans_are_found_and_killed_after_the_grace() -> None:
    """Reparented, in sessions of their own, deaf to SIGTERM: none is left, and it is told."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", SCENE.format(grace=0.2)],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    first, second, killed = done.stdout.splitlines()
    assert ended(int(first))
    assert ended(int(second))
    assert killed == "killed ['sh', 'sleep', 'sleep']"
    assert time.monotonic() - began < 20


def test_who_ends_by_itself_is_waited_for_and_not_killed() -> None:
    """The grace is for those who are on their way out."""
    scene = """
import subprocess, time
from serving.bringup.leftovers import end_descendants
subprocess.Popen(["sleep", "0.2"])
began = time.monotonic()
print(end_descendants(20), time.monotonic() - began < 10)
"""
    done = subprocess.run(
        [sys.executable, "-c", scene], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == "[] True\n"

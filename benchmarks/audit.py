"""`python -m benchmarks.audit`: how long it takes to verify a log of millions of records.

A log as a router writes it: a begin and an end for each request, the end with a decision record as
its payload. Then all of it is verified, as many records as a day brings are added, and only what is
new is verified.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import orjson

from adapters.records.config import RecordsConfig
from adapters.records.line import Entry, Kind
from adapters.records.verified import Verified
from adapters.records.verify import Reference, verify_more
from adapters.records.writer import RecordLog

Found = TypeVar("Found")
_AHEAD = 20_000
"""Records that may wait for the disk."""
_PAYLOAD = orjson.dumps(
    {
        "model": "auto",
        "candidates": [{"target": f"adapter:skill-{n}@{'0' * 12}"} for n in range(8)],
        "stages": {f"stage-{n}": 0.000123 for n in range(22)},
        "usage": {"input_tokens": 412, "output_tokens": 96, "cached_input_tokens": 0},
    }
)


def _write(root: Path, writer: str, first: int, requests: int) -> None:
    """Raises ``SystemExit`` when the disk does not take it."""
    config = RecordsConfig(kept_bytes=2**40, max_queued=2 * _AHEAD)
    log = RecordLog(root, writer, config)
    log.start()
    for number in range(first, first + requests):
        about = {"tenant": f"tenant-{number % 40}", "endpoint": "/v1/chat/completions"}
        named = (f"req_{number:024x}", f"dec_{number:024x}", f"key-{number % 200}")
        log.add(Entry(Kind.BEGIN, time.time(), *named, about))
        ends = {**about, "outcome": "answered", "status": 200, "target": "base"}
        log.add(Entry(Kind.END, time.time(), *named, ends, _PAYLOAD))
        while log.queued > _AHEAD:
            time.sleep(0.01)
            if (why := log.refusal()) is not None and log.queued >= 2 * _AHEAD:
                raise SystemExit(why)
    log.close()
    if log.lost:
        raise SystemExit(f"the disk did not take {log.lost} records")


def _cpu_s() -> float:
    """Of this process and those that it started and that ended."""
    mine = resource.getrusage(resource.RUSAGE_SELF)
    theirs = resource.getrusage(resource.RUSAGE_CHILDREN)
    return mine.ru_utime + mine.ru_stime + theirs.ru_utime + theirs.ru_stime


def _timed(name: str, what: Callable[[], Found]) -> Found:
    began, cpu = time.perf_counter(), _cpu_s()
    found = what()
    took, cpu_s = time.perf_counter() - began, _cpu_s() - cpu
    most = max(
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    print(f"{name:40} {took:8.1f} s  {cpu_s:8.1f} CPU s  {most / 1024:6.0f} MiB", flush=True)
    return found


def _verified(root: Path, processes: int, since: Verified | None = None) -> Verified:
    verdict, seen = verify_more(root, Reference(processes=processes, since=since))
    if not verdict.ok:
        raise SystemExit(f"a log that nobody touched has problems: {verdict.problems[:3]}")
    print(f"  {verdict.records} records read, no problem", flush=True)
    return seen


def main() -> None:
    """Write, verify, write more, verify that; raises ``SystemExit`` when a log is not whole."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000, help="of the whole log")
    parser.add_argument("--day", type=int, default=100_000, help="records that come after that")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--scratch", type=Path, help="a directory with room: 1.6 kB a record")
    given = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(dir=given.scratch))
    try:
        root, half = scratch / "audit", given.records // 2
        _timed(f"{given.records:,} records written", lambda: _write(root, "router", 0, half))
        seen = _timed("all verified", lambda: _verified(root, given.processes))
        day = given.day // 2
        _timed(f"{given.day:,} records written", lambda: _write(root, "next", half, day))
        _timed("what is new verified", lambda: _verified(root, given.processes, seen))
        size = sum(each.stat().st_size for each in root.rglob("*") if each.is_file())
        print(f"{size / 2**30:.2f} GiB on disk", flush=True)
    finally:
        shutil.rmtree(scratch)


if __name__ == "__main__":
    main()

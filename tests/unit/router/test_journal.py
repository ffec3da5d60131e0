"""The journal: what was acknowledged is read back, whatever happened to the process or the disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.records.config import RecordsConfig
from router.audit.archive import Archive
from router.audit.frame import decode, encode, to_json
from router.audit.logs import FeedbackLog, open_logs
from router.audit.query import RecordQuery, parse_query
from router.audit.segments import prune, segments
from router.audit.writer import Journal
from router.errors import InvalidRequest, Overloaded

ROOT = Path(__file__).resolve().parents[3]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
CRASHING = """
import asyncio, itertools, sys
from pathlib import Path
from router.audit.frame import to_json
from router.audit.writer import Journal
from adapters.records.config import RecordsConfig

async def main():
    journal = Journal(Path(sys.argv[1]), "crashing", RecordsConfig(sync_ms=1, segment_bytes=65536))
    journal.start()
    for n in itertools.count():
        journal.add(to_json({"id": f"dec_{n}", "at": float(n), "padding": "x" * 500}))
        if n % 50 == 0:
            await journal.flushed()
            print(journal.durable, flush=True)

asyncio.run(main())
"""


def record(number: int, **more: Any) -> dict[str, Any]:
    """A decision record, as far as the journal looks into it."""
    return {"id": f"dec_{number}", "at": float(number), "tenant": "shop", "target": "base", **more}


def journal(directory: Path, writer: str = "one", **config: Any) -> Journal:
    """A running journal."""
    found = Journal(directory, writer, RecordsConfig(**config))
    found.start()
    return found


def ids(records: list[dict[str, Any]]) -> list[str]:
    """Which records these are."""
    return [each["id"] for each in records]


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_a_line_holds_any_record(found: dict[str, Any]) -> None:
    """Encoded and decoded, a record is the same; no record spans two lines."""
    line = encode(to_json(found))
    assert line.endswith(b"\n")
    assert b"\n" not in line[:-1]
    assert decode(line[:-1]) == found


@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=1))
def test_a_damaged_line_is_no_record(place: int, other: bytes) -> None:
    """Whichever byte changes, and wherever a line is torn, nothing wrong is read."""
    line = encode(to_json(record(1)))[:-1]
    place %= len(line)
    damaged = line[:place] + other + line[place + 1 :]
    assert decode(line[:place]) is None
    assert damaged == line or decode(damaged) in (None, record(1))


def test_what_json_cannot_hold_is_still_a_record() -> None:
    """An odd value must not stop the journal."""
    found = decode(encode(to_json({"id": "dec_1", "at": 1.0, "count": 2**80}))[:-1])
    assert found is not None
    assert found["id"] == "dec_1"
    assert "unencodable" in found


async def test_records_survive_a_restart(tmp_path: Path) -> None:
    """A new process reads what its predecessors and its neighbours wrote, newest first."""
    for writer, numbers in (("one", range(5)), ("two", range(5, 10))):
        running = journal(tmp_path, writer)
        for number in numbers:
            running.add(to_json(record(number)))
        assert await running.flushed()
        running.close()
    archive = Archive(tmp_path)
    assert ids(archive.newest(3)) == ["dec_9", "dec_8", "dec_7"]
    assert len(archive.newest(100)) == 10
    assert archive.find("id", "dec_2") == record(2)
    assert archive.find("id", "dec_99") is None


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """A process is killed amid its load; a torn tail is ignored, all the rest is there."""
    process = subprocess.Popen(
        [sys.executable, "-c", CRASHING, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    acknowledged = 0
    try:
        while acknowledged < 500:
            acknowledged = int(process.stdout.readline())
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    acknowledged = int([str(acknowledged), *process.stdout.read().split()][-1])
    process.stdout.close()
    found = Archive(tmp_path).newest(10**6)
    assert {f"dec_{n}" for n in range(acknowledged)} <= set(ids(found))
    assert len(segments(tmp_path)) > 1
    # A tear in the middle of a line, as a power cut would leave it.
    last = segments(tmp_path)[-1]
    with last.open("ab") as file:
        file.write(encode(to_json(record(10**7)))[:-20])
    again = journal(tmp_path, "next")
    again.add(to_json(record(10**8)))
    again.close()
    assert len(Archive(tmp_path).newest(10**6)) == len(found) + 1


async def test_filters(tmp_path: Path) -> None:
    """By time, target (of any version) and tenant, from disk."""
    decisions, _ = open_logs(tmp_path, "one", RecordsConfig(), kept_in_memory=2)
    decisions.journal.start()
    targets = ["base", "adapter:returns@0123456789ab", "frontier:cloud/big"]
    for number in range(30):
        tenant = "shop" if number % 2 else "bank"
        decisions.add(to_json(record(number, target=targets[number % 3], tenant=tenant)))
    newest = decisions.newest
    assert ids(await newest(RecordQuery(limit=2))) == ["dec_29", "dec_28"]
    assert len(await newest(RecordQuery(since_s=20.0))) == 10
    assert len(await newest(RecordQuery(target="adapter:returns"))) == 10
    assert len(await newest(RecordQuery(target=targets[1], tenant="shop"))) == 5
    assert await newest(RecordQuery(tenant="nobody")) == []
    assert await decisions.find("dec_3") == record(3, target="base", tenant="shop")
    decisions.journal.close()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", RecordQuery()),
        ("limit=5&tenant=a%26b", RecordQuery(5, tenant="a&b")),
        ("since=12.5&target=base", RecordQuery(since_s=12.5, target="base")),
        ("since=1970-01-02", RecordQuery(since_s=86_400.0)),
    ],
)
def test_queries_are_read_and_written(query: str, found: RecordQuery) -> None:
    """A query reaches a peer as it came."""
    assert parse_query(query) == found
    assert parse_query(found.encoded()) == found


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "since=soon", "taget=base"])
def test_odd_queries_are_explained(query: str) -> None:
    """400, not an empty list."""
    with pytest.raises(InvalidRequest):
        parse_query(query)


async def test_a_full_queue_says_so_and_then_counts_what_is_lost(tmp_path: Path) -> None:
    """Requests are turned away long before a record finds no room."""
    waiting = Journal(tmp_path, "one", RecordsConfig(max_queued=10))
    for number in range(10):
        assert waiting.choked() is None
        waiting.add(to_json(record(number)))
    assert "10 decision records wait" in (waiting.choked() or "")
    for number in range(10, 25):
        waiting.add(to_json(record(number)))
    assert (waiting.queued, waiting.lost) == (20, 5)
    waiting.start()
    assert await waiting.flushed()
    assert waiting.choked() is None
    waiting.close()
    assert len(Archive(tmp_path).newest(100)) == 20


async def test_a_disk_that_fails_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records wait; when the disk is back they are written, each once."""
    really = os.write
    failures = [2]

    def write(handle: int, data: Any) -> int:
        if failures[0]:
            failures[0] -= 1
            really(handle, bytes(data)[:7])
            raise OSError(28, "No space left on device")
        return really(handle, data)

    running = journal(tmp_path)
    monkeypatch.setattr(os, "write", write)
    for number in range(3):
        running.add(to_json(record(number)))
    assert await running.flushed(timeout_s=60)
    running.close()
    assert sorted(ids(Archive(tmp_path).newest(10))) == ["dec_0", "dec_1", "dec_2"]
    assert running.lost == 0


async def test_feedback_is_acknowledged_only_when_it_is_durable(tmp_path: Path) -> None:
    """Durable when it returns; refused while the disk takes nothing."""
    log = FeedbackLog(journal(tmp_path))
    await log.add({"id": "fb_1", "at": 1.0, "decision_id": "dec_1", "value": True})
    assert [each["id"] for each in await log.about("dec_1")] == ["fb_1"]
    assert await log.about("dec_2") == []
    log.journal.close()
    with pytest.raises(Overloaded):
        await FeedbackLog(log.journal).add({"id": "fb_2", "at": 2.0, "decision_id": "dec_1"})


def test_old_segments_go(tmp_path: Path) -> None:
    """By size and by age, the oldest first; what a writer may have open stays."""
    day = 86_400.0
    for number in range(10):
        path = tmp_path / f"{number:013d}-{'one' if number else 'slow-two'}-000000.journal"
        path.write_bytes(b"x" * 100)
        os.utime(path, (number * day, number * day))
    first, newest = segments(tmp_path)[0], segments(tmp_path)[-1]
    os.utime(first, (9.9 * day, 9.9 * day))
    prune(tmp_path, 10**6, 5.0, 10 * day, 1.5 * day)
    assert len(segments(tmp_path)) == 6
    prune(tmp_path, 350, 5.0, 10 * day, 1.5 * day)
    assert len(segments(tmp_path)) == 3
    prune(tmp_path, 1, 5.0, 10 * day, 1.5 * day)
    assert segments(tmp_path) == [first, newest]
    prune(tmp_path, 1, 5.0, 10 * day, 0.0)
    assert segments(tmp_path) == []

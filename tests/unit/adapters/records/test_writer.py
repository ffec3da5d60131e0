"""The writer: what it acknowledged is read back, whatever happened to the process or the disk."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from adapters.atomic import write_all
from adapters.records import writer as writing
from adapters.records.config import RecordsConfig
from adapters.records.line import GENESIS, Entry, Kind
from adapters.records.reader import RecordReader
from adapters.records.recovery import adopt
from adapters.records.verify import verify
from adapters.records.writer import RecordLog, Unavailable
from tests.fakes.records import (
    begin,
    end,
    files,
    fill,
    lines,
    reader,
    records,
    running_log,
    whole_records,
)

ROOT = Path(__file__).resolve().parents[4]
CRASHING = """
import asyncio, itertools, sys
from pathlib import Path
from adapters.records.config import RecordsConfig
from adapters.records.writer import RecordLog
from tests.fakes.records import begin, end

async def main():
    log = RecordLog(Path(sys.argv[1]), "crashing", RecordsConfig(sync_ms=1, segment_bytes=65536))
    log.start()
    for n in itertools.count():
        log.add(begin(n))
        if n % 3:
            log.add(end(n, padding=300))
        if n % 50 == 0:
            await log.flushed()
            print(n, flush=True)

asyncio.run(main())
"""


def decisions(found: RecordReader, **more: Any) -> list[str]:
    """Which requests ended, newest first."""
    return [str(each.record["decision_id"]) for each in found.newest(Kind.END, **more)]


async def test_records_survive_a_restart_and_are_one_chain(tmp_path: Path) -> None:
    """A new process finds what its predecessors wrote, newest first, and each chain is whole."""
    for writer, numbers in (("one", range(5)), ("two", range(5, 10))):
        with running_log(tmp_path, writer) as log:
            for number in numbers:
                log.add(begin(number))
                log.add(end(number))
            await log.flushed()
    with running_log(tmp_path, "three") as log:
        assert decisions(reader(log)) == [f"dec_{n}" for n in reversed(range(10))]
        [found] = reader(log).newest(Kind.END, "decision_id", "dec_2")
        assert found.payload == end(2).payload
        assert list(reader(log).newest(Kind.END, "decision_id", "dec_99")) == []
    told = [record for record in records(tmp_path) if record["writer"] == "one"]
    assert [record["sequence"] for record in told] == list(range(12))
    assert told[0]["prev"] == GENESIS
    assert [each["prev"] for each in told[1:]] == [each["hash"] for each in told[:-1]]
    assert verify(tmp_path).as_dict()["problems"] == []


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """All of it is there, what was left open is closed by the next one, and the log verifies."""
    process = subprocess.Popen(
        [sys.executable, "-c", CRASHING, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    acknowledged = -1
    try:
        while acknowledged < 500:
            acknowledged = int(process.stdout.readline())
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    acknowledged = int([str(acknowledged), *process.stdout.read().split()][-1])
    process.stdout.close()
    assert len(files(tmp_path)) > 1
    # A tear in the middle of a line, as a power cut would leave it.
    last = files(tmp_path)[-1]
    with last.open("ab") as file:
        # The kill may have come when a file was just made.
        file.write((lines(last) or [b'{"actor":"app","commitment":null'])[-1][:-20])
    assert [problem.kind for problem in verify(tmp_path).problems][-1] == "truncated"
    with running_log(tmp_path, "next"):
        pass
    found = whole_records(tmp_path)
    begun = {each["decision_id"] for each in found if each["kind"] == "request.begin"}
    ends = [each for each in found if each["kind"] == "request.end"]
    assert {f"dec_{n}" for n in range(acknowledged + 1)} <= begun
    assert begun == {each["decision_id"] for each in ends}
    assert len(ends) == len(begun)
    lost = {each["decision_id"] for each in ends if each["outcome"] == "lost"}
    assert lost >= {f"dec_{n}" for n in range(0, acknowledged + 1, 3)}
    assert verify(tmp_path).problems == []
    [repaired] = [each for each in found if each.get("about") == "repaired"]
    assert repaired["file"] == last.name


async def test_a_living_writer_is_left_alone(tmp_path: Path) -> None:
    """Two processes of one machine: the second does not close what the first has under way."""
    with running_log(tmp_path, "one") as one:
        one.add(begin(1))
        await one.flushed()
        with running_log(tmp_path, "two") as two:
            two.add(begin(2))
            await two.flushed()
            one.add(end(1))
            await one.flushed()
            assert decisions(reader(two)) == ["dec_1"]
        assert verify(tmp_path).problems == []
    assert verify(tmp_path).problems == []


async def test_a_request_under_way_over_many_segments_is_still_closed(
    tmp_path: Path,
) -> None:
    """Each segment names what is under way: the restart reads the newest only."""
    log = RecordLog(tmp_path, "gone", RecordsConfig(sync_ms=0, segment_bytes=4096))
    log.start()
    log.add(begin(10**6))
    await fill(log, 60)
    assert len(files(tmp_path)) > 3
    # As a crash leaves it: no closing record, and the lock is gone with the process.
    log._finish = lambda: None  # type: ignore[method-assign]
    log.close()
    assert log._file is not None
    log._file.close()
    with running_log(tmp_path, "next") as following:
        await following.flushed()
    [lost] = [each for each in records(tmp_path) if each.get("outcome") == "lost"]
    assert (lost["decision_id"], lost["writer"], lost["actor"]) == ("dec_1000000", "gone", "app")
    assert verify(tmp_path).problems == []


async def test_a_disk_that_fails_is_tried_again_and_refuses_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was half written is taken back; each record is there once, in one chain."""
    really = os.write
    failures = [3]

    def write(handle: int, data: Any) -> int:
        if failures[0]:
            failures[0] -= 1
            really(handle, bytes(data)[:7])
            raise OSError(28, "No space left on device")
        return really(handle, data)

    monkeypatch.setattr(writing, "RETRY_S", 0.01)
    monkeypatch.setattr(writing, "ROOM_S", 0.01)
    with running_log(tmp_path) as log:
        monkeypatch.setattr(os, "write", write)
        position = log.add(begin(1))
        log.add(end(1))
        refused = log.refusal()
        while refused is None and log.durable < position:
            refused = log.refusal()
        assert "No space left" in (refused or "")
        await log.reached(position, timeout_s=60)
        await log.flushed()
        async with asyncio.timeout(60):
            while log.refusal() is not None:  # noqa: ASYNC110 - a thread's look has no event
                await asyncio.sleep(0.01)
    told = records(tmp_path)
    assert [each["kind"] for each in told] == [
        "checkpoint", "request.begin", "request.end", "checkpoint",
    ]  # fmt: skip
    assert log.lost == 0
    assert verify(tmp_path).problems == []


async def test_a_disk_that_hangs_is_told_and_nothing_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits hears so in time; whoever asks first is refused; all is written in the end."""
    disk, really = threading.Event(), os.write

    def write(handle: int, data: Any) -> int:
        disk.wait()
        return really(handle, data)

    monkeypatch.setattr(os, "write", write)
    monkeypatch.setattr(writing, "STALLED_S", 0.05)
    with running_log(tmp_path) as log:
        try:
            position = log.add(begin(1))
            with pytest.raises(Unavailable):
                await log.reached(position, timeout_s=0.1)
            async with asyncio.timeout(30):  # a busy machine tries the disk later
                while log.refusal() is None:  # noqa: ASYNC110 - the log has no event for it
                    await asyncio.sleep(0.01)
            assert "takes no records" in (log.refusal() or "")
            for number in range(50):
                log.add(end(number))
        finally:
            disk.set()
        await log.flushed()
        assert log.refusal() is None
    assert len([each for each in records(tmp_path) if each["kind"] == "request.end"]) == 50


async def test_a_full_queue_refuses_before_anything_is_begun(tmp_path: Path) -> None:
    """Room for those that are under way stays: nothing that was added is dropped."""
    log = RecordLog(tmp_path, "one", RecordsConfig(max_queued=10))
    for number in range(10):
        assert log.refusal() is None
        log.add(begin(number))
    assert "10 records wait" in (log.refusal() or "")
    for number in range(10):
        log.add(end(number))
    log.start()
    await log.flushed()
    assert log.refusal() is None
    log.close()
    assert len(records(tmp_path)) == 22


async def test_what_has_no_canonical_form_takes_nobody_along(tmp_path: Path) -> None:
    """An odd field is told as text; its neighbours are recorded as they are."""
    with running_log(tmp_path) as log:
        log.add(begin(1))
        log.add(Entry(Kind.ADMIN, 1.0, actor="boss", fields={"share": 0.5}))
        await log.flushed()
    assert [each["decision_id"] for each in records(tmp_path)][1:3] == ["dec_1", None]
    [odd] = [each for each in records(tmp_path) if "unencodable" in each and "0.5" in str(each)]
    assert odd["kind"] == "admin"
    assert verify(tmp_path).problems == []


async def test_a_living_writer_is_never_without_its_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two segments, with a disk that has no room for the second: nobody closes its log."""
    with running_log(tmp_path, "one", segment_bytes=4096) as one:
        await fill(one, 10)
        really, failed = os.open, threading.Event()

        def opened(path: Any, flags: int, *args: Any, **more: Any) -> int:
            if "segments/one-" in str(path) and flags & os.O_CREAT and not room.is_set():
                failed.set()
                raise OSError(28, "No space left on device")
            return really(path, flags, *args, **more)

        room = threading.Event()
        monkeypatch.setattr(os, "open", opened)
        one.add(begin(10))
        while not failed.is_set():
            one.add(begin(11))
            await asyncio.sleep(0.01)
        assert adopt(one.layout, "two", 1.0) == {}
        room.set()
        await one.flushed()
    assert verify(tmp_path).problems == []


async def test_whoever_lives_closes_the_log_of_a_process_that_died(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only the next start: the other router of a machine does, within a minute."""
    monkeypatch.setattr(writing, "TEND_S", 0.02)
    with running_log(tmp_path, "two") as two:
        gone = RecordLog(tmp_path, "gone", RecordsConfig(sync_ms=0))
        gone.start()
        gone.add(begin(1))
        await gone.flushed()
        gone._finish = lambda: None  # type: ignore[method-assign]
        gone.close()
        assert gone._file is not None
        gone._file.close()
        two.add(begin(2))
        async with asyncio.timeout(60):
            lost: list[dict[str, Any]] = []
            while not lost:
                await asyncio.to_thread(time.sleep, 0.02)
                lost = [each for each in whole_records(tmp_path) if each.get("outcome") == "lost"]
    assert verify(tmp_path).problems == []


async def test_a_chore_that_breaks_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever closing the logs of others finds there, ours is written on; the log says what."""

    def breaks(*_: object) -> None:
        raise LookupError("a record that nobody could foresee")

    monkeypatch.setattr(writing, "adopt", breaks)
    with running_log(tmp_path) as log:
        await fill(log, 3)
        log.check()
        assert log.refusal() is None
    told = [record for record in caplog.records if record.message == "records_chore_failed"]
    assert told[0].exc_info is not None
    assert vars(told[0])["chore"] == "recover"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_thread_that_ended_refuses_and_fails_the_health_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is begun whose record will not be written, and the process is replaced."""

    def breaks(*_: object) -> None:
        raise LookupError("a bug")

    with running_log(tmp_path) as log:
        log.check()
        monkeypatch.setattr(log, "_write", breaks)
        log.add(begin(1))
        async with asyncio.timeout(60):
            while log.refusal() is None:  # noqa: ASYNC110 - a thread's end has no event
                await asyncio.sleep(0.01)
        assert "any more" in (log.refusal() or "")
        with pytest.raises(Unavailable):
            log.check()


async def test_payloads_outlive_a_power_cut_soon_though_nobody_writes_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many groups share one sync of their payloads, and the last group gets its own."""
    really, synced = os.fdatasync, list[float]()

    def sync(handle: int) -> None:
        synced.append(time.monotonic())
        really(handle)

    monkeypatch.setattr(os, "fdatasync", sync)
    monkeypatch.setattr(writing, "PAYLOADS_S", 1.0)
    with running_log(tmp_path) as log:
        for number in range(5):
            log.add(end(number))
            await log.flushed()
        assert len(synced) < 5
        file = log._file
        assert file is not None
        async with asyncio.timeout(60):
            while file.has_unsynced:  # noqa: ASYNC110 - the thread has no event for it
                await asyncio.sleep(0.01)
        assert synced


async def test_each_who_waits_hears_in_the_time_that_it_gave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One timer serves all: the later deadline came first, and somebody gave up in between."""
    disk, really = threading.Event(), os.write

    def write(handle: int, data: Any) -> int:
        disk.wait()
        return really(handle, data)

    monkeypatch.setattr(os, "write", write)
    with running_log(tmp_path) as log:
        try:
            position = log.add(begin(1))
            patient = asyncio.create_task(log.reached(position, timeout_s=60))
            gone = asyncio.create_task(log.reached(position, timeout_s=0.2))
            await asyncio.sleep(0)
            gone.cancel()
            for _ in range(2):
                began = time.monotonic()
                with pytest.raises(Unavailable):
                    await log.reached(position, timeout_s=0.1)
                assert time.monotonic() - began < 30
            assert not patient.done()
        finally:
            disk.set()
        await patient
    assert gone.cancelled()


async def test_a_statement_that_the_disk_took_half_of_leaves_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What retention wants to say is not tried again: the file is left as if it never had been."""

    def half(handle: int, data: bytes) -> None:
        if b'"about":"removed"' in data:
            write_all(handle, data[: len(data) // 2])
            raise OSError(28, "No space left on device")
        write_all(handle, data)

    with running_log(tmp_path, "old") as log:
        await fill(log, 5)
    with (
        running_log(tmp_path, segment_bytes=4096, kept_bytes=4096) as log,
        monkeypatch.context() as patched,
    ):
        patched.setattr("adapters.records.appending.write_all", half)
        for number in range(10):
            log.add(end(number, padding=5000))
            await log.flushed()
        assert len(files(tmp_path)) > 5
        assert verify(tmp_path).problems == []

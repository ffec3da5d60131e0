"""Blanks what records of a person commit to; the records stay, and one of them says so first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass

from adapters.records import payloads
from adapters.records.files import Segment
from adapters.records.holds import Holds
from adapters.records.line import Entry, Kind, Record
from adapters.records.reader import RecordFilter, RecordReader
from adapters.records.subjects import Subjects
from adapters.records.writer import RecordLog

_KINDS = (Kind.BEGIN, Kind.END)


@dataclass(frozen=True, slots=True)
class _Payload:
    segment: Segment
    sequence: int


class RecordPayloads:
    """The payloads of one log's requests, as a room that can be erased from."""

    counted_as = "records"

    def __init__(self, log: RecordLog) -> None:
        self._log = log
        self._reader = RecordReader(log.layout, lambda: log.current)
        self._holds = Holds(log.layout)

    async def found(self, subject: str) -> int:
        """How many there are."""
        return len(await asyncio.to_thread(self._find, subject))

    async def erase(self, subject: str) -> int:
        """Blank them; how many there were. Raises ``OSError``, ``Unavailable``."""
        found = await asyncio.to_thread(self._find, subject)
        return await blank(self._log, found)

    def decisions(self, subject: str) -> set[str]:
        """What was decided for this person's requests, holds aside. Blocks."""
        return {
            str(each.record["decision_id"])
            for _, each in self._reader.oldest(self._wanted(subject))
            if each.record.get("decision_id") and not self._is_held(each.record)
        }

    def held(self, subject: str) -> int:
        """How many records a legal hold keeps. Blocks."""
        found = (each.record for _, each in self._reader.oldest(self._wanted(subject)))
        return sum(1 for record in found if record["kind"] == Kind.END and self._is_held(record))

    def _find(self, subject: str) -> list[_Payload]:
        return [
            _Payload(Segment(where.writer, where.segment), each.record["sequence"])
            for where, each in self._reader.oldest(self._wanted(subject))
            if each.payload is not None and not self._is_held(each.record)
        ]

    def _wanted(self, subject: str) -> RecordFilter:
        return RecordFilter(_KINDS, Subjects(self._log.layout.root).hash(subject))

    def _is_held(self, record: Record) -> bool:
        return any(hold.covers(record) for hold in self._holds.all())


class FeedbackPayloads:
    """What was said of a person's requests, in the log of feedback."""

    counted_as = "feedback"

    def __init__(self, log: RecordLog, requests: RecordPayloads) -> None:
        self._log = log
        self._requests = requests
        self._reader = RecordReader(log.layout, lambda: log.current)

    async def found(self, subject: str) -> int:
        """How many there are."""
        return len(await asyncio.to_thread(self._find, subject))

    async def erase(self, subject: str) -> int:
        """Blank them; how many there were. Raises ``OSError``, ``Unavailable``."""
        found = await asyncio.to_thread(self._find, subject)
        return await blank(self._log, found)

    def _find(self, subject: str) -> list[_Payload]:
        about = self._requests.decisions(subject)
        if not about:
            return []
        return [
            _Payload(Segment(where.writer, where.segment), each.record["sequence"])
            for where, each in self._reader.oldest(RecordFilter((Kind.FEEDBACK,)))
            if each.payload is not None and each.record.get("decision_id") in about
        ]


async def blank(log: RecordLog, found: Iterable[_Payload]) -> int:
    """Erase payloads, named by a record that is on disk first. Raises ``Unavailable``."""
    by_segment: dict[Segment, list[int]] = {}
    for each in found:
        by_segment.setdefault(each.segment, []).append(each.sequence)
    if not by_segment:
        return 0
    named: dict[str, list[int]] = {}
    for segment, sequences in sorted(by_segment.items()):
        named.setdefault(segment.writer, []).extend(sequences)
    fields = {"about": "erased", "payloads": named}
    entry = Entry(Kind.CHECKPOINT, time.time(), actor=log.writer, fields=fields)
    await log.reached(log.add(entry))

    def erase() -> int:
        return sum(
            payloads.erase(log.layout, segment, sequences)
            for segment, sequences in by_segment.items()
        )

    return await asyncio.to_thread(erase)

"""Decision records and feedback of this machine: found again through the logs' indexes."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from adapters.records.config import AuditConfig, RecordsConfig
from adapters.records.line import Entry, Kind
from adapters.records.reader import FoundRecord, RecordReader
from adapters.records.sealing import AUDIT, open_sealer
from adapters.records.writer import RecordLog, Unavailable
from router.audit.decision import Record, to_json
from router.audit.query import RecordQuery, place
from router.errors import AuditUnavailable

FEEDBACK = "feedback"
"""The directory of the log of feedback, beside the other one."""
_PATIENCE = 1.25
"""Routers sign checkpoints where no registry does, which is asked to first."""
_LONGEST_S = 86_400.0
"""No request lasts longer: what ended later came later."""
_FEEDBACK_FACTOR = 8
"""Feedback is what the next adapters learn from: it is kept so much longer than records."""


class DecisionLog:
    """Finds the decisions of this machine's routers, from before a restart too."""

    def __init__(self, log: RecordLog) -> None:
        self._log = log
        self._reader = RecordReader(log.layout, lambda: log.current)

    async def newest(self, query: RecordQuery) -> list[Record]:
        """The newest fitting records, by when their requests came."""
        await _settled(self._log)
        return await asyncio.to_thread(self._newest, query)

    def _newest(self, query: RecordQuery) -> list[Record]:
        name, value = ("tenant", query.tenant) if query.tenant is not None else (None, "")
        if name is None and query.target is not None:
            name, value = "target", query.target
        found: list[Record] = []
        until_s = math.inf if query.before is None else query.before[0] + _LONGEST_S
        times = {"since_s": query.since_s, "until_s": until_s}
        for each in self._reader.newest(Kind.END, name, value or "", **times):
            # Records are in the order of their ends, and a request ends after it came: when all
            # that are left ended before the oldest that is wanted came, none of them is newer.
            if len(found) >= query.limit and each.at < found[-1]["at"]:
                break
            record = _decision(each)
            if query.fits(record):
                found.append(record)
                found.sort(key=place, reverse=True)
                del found[query.limit :]
        return found

    async def find(self, decision_id: str) -> Record | None:
        """One record of this machine; a request's id names its decision as well."""
        await _settled(self._log)
        return await asyncio.to_thread(self._find, decision_id)

    def _find(self, decision_id: str) -> Record | None:
        newest = self._reader.newest
        found = next(newest(Kind.END, "decision_id", decision_id), None)
        found = found or next(newest(Kind.END, "request_id", decision_id), None)
        return None if found is None else _decision(found)


class FeedbackLog:
    """Where feedback goes, and comes from."""

    def __init__(self, log: RecordLog) -> None:
        self._log = log
        self._reader = RecordReader(log.layout, lambda: log.current)

    async def add(self, feedback: dict[str, Any]) -> None:
        """Take one judgement; durable when this returns. Raises ``AuditUnavailable``."""
        reason = self._log.refusal()
        if reason is not None:
            raise AuditUnavailable(reason, retry_after_s=5.0)
        entry = Entry(
            Kind.FEEDBACK,
            float(feedback["at"]),
            decision_id=feedback["decision_id"],
            actor=feedback.get("caller"),
            payload=to_json(feedback),
        )
        try:
            await self._log.reached(self._log.add(entry))
        except Unavailable as error:
            raise AuditUnavailable(
                f"The disk does not take feedback at the moment: {error}.", retry_after_s=5.0
            ) from error

    async def newest(self, limit: int, since_s: float) -> list[dict[str, Any]]:
        """The newest judgements of this machine, from before a restart too; newest first."""
        await _settled(self._log)
        return await asyncio.to_thread(self._take, limit, None, "", since_s)

    async def about(self, decision_id: str) -> list[dict[str, Any]]:
        """What was said of a decision on this machine, in order."""
        found = await asyncio.to_thread(self._take, None, "decision_id", decision_id, 0.0)
        return found[::-1]

    def _take(
        self, limit: int | None, name: str | None, value: str, since_s: float
    ) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for each in _payloads(self._reader.newest(Kind.FEEDBACK, name, value, since_s=since_s)):
            found.append(each)
            if limit is not None and len(found) >= limit:
                break
        return found


def open_logs(
    state_dir: Path, writer: str, config: RecordsConfig, audit: AuditConfig
) -> tuple[RecordLog, RecordLog]:
    """The logs of requests and of feedback below a state directory; nothing is written yet."""
    longer = config.model_copy(
        update={
            "kept_bytes": config.kept_bytes * _FEEDBACK_FACTOR,
            "kept_days": config.kept_days * _FEEDBACK_FACTOR,
            "sync_ms": 0.0,
        }
    )
    logs = []
    for name, limits in ((AUDIT, config), (FEEDBACK, longer)):
        sealer = open_sealer(state_dir, name, audit, _PATIENCE)
        logs.append(RecordLog(state_dir / name, writer, limits, sealer))
    return logs[0], logs[1]


async def _settled(log: RecordLog) -> None:
    """What was added so far can be found; while the disk takes nothing, what it took before."""
    with suppress(Unavailable):
        await log.flushed()


def _decision(found: FoundRecord) -> Record:
    """The decision of an end; of one without, or whose was erased, what the record itself says."""
    if found.payload is not None:
        return dict(orjson.loads(found.payload))
    record = found.record
    return {
        "id": record["decision_id"],
        "request_id": record["request_id"],
        "at": found.at,
        "caller": record["actor"],
        "tenant": record.get("tenant"),
        "target": record.get("target"),
        "status": record.get("status"),
        "error": record.get("outcome"),
    }


def _payloads(found: Iterator[FoundRecord]) -> Iterator[dict[str, Any]]:
    for each in found:
        if each.payload is not None:
            yield orjson.loads(each.payload)

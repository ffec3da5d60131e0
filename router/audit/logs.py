"""Decision records and feedback of this machine: journals to write to, archives to look into."""

from __future__ import annotations

import asyncio
from collections import deque
from pathlib import Path
from typing import Any

import orjson

from adapters.records.config import RecordsConfig
from router.audit.archive import Archive
from router.audit.frame import Record, to_json
from router.audit.query import RecordQuery
from router.audit.writer import Journal
from router.errors import Overloaded

_FEEDBACK_FACTOR = 8
"""Feedback is what the next adapters learn from: it is kept so much longer than records."""


class DecisionLog:
    """Where decision records go, and come from."""

    def __init__(self, journal: Journal, kept_in_memory: int) -> None:
        self.journal = journal
        self._archive = Archive(journal.directory)
        self._newest: deque[bytes] = deque(maxlen=kept_in_memory)

    def add(self, record: bytes) -> None:
        """Take one record, as ``frame.to_json`` makes it; never waits."""
        self._newest.append(record)
        self.journal.add(record)

    async def newest(self, query: RecordQuery) -> list[Record]:
        """The newest fitting records of this machine, from before a restart too."""
        await self.journal.flushed()
        return await asyncio.to_thread(
            self._archive.newest,
            query.limit,
            since_s=query.since_s,
            containing=query.signs,
            wanted=query.fits,
        )

    async def find(self, decision_id: str) -> Record | None:
        """One record of this machine."""
        sign = orjson.dumps({"id": decision_id})[1:-1]
        for body in reversed(self._newest):
            if sign in body and (found := orjson.loads(body))["id"] == decision_id:
                return dict(found)
        await self.journal.flushed()
        return await asyncio.to_thread(self._archive.find, "id", decision_id)


class FeedbackLog:
    """Where feedback goes, and comes from."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._archive = Archive(journal.directory)

    async def add(self, feedback: dict[str, Any]) -> None:
        """Take one judgement; durable when this returns. Raises ``Overloaded``."""
        self.journal.add(to_json(feedback))
        if not await self.journal.flushed():
            raise Overloaded(
                "The disk does not take feedback at the moment; send it again later.",
                retry_after_s=5.0,
            )

    async def newest(self, limit: int, since_s: float) -> list[dict[str, Any]]:
        """The newest judgements of this machine, from before a restart too; newest first."""
        await self.journal.flushed()
        return await asyncio.to_thread(self._archive.newest, limit, since_s=since_s)

    async def about(self, decision_id: str) -> list[dict[str, Any]]:
        """What was said of a decision on this machine, in order."""
        found = await asyncio.to_thread(
            lambda: list(self._archive.every("decision_id", decision_id))
        )
        return sorted(found, key=lambda each: float(each["at"]))


def open_logs(
    state_dir: Path, writer: str, config: RecordsConfig, kept_in_memory: int
) -> tuple[DecisionLog, FeedbackLog]:
    """Both logs below a state directory; nothing is written before their journals start."""
    longer = config.model_copy(
        update={
            "kept_bytes": config.kept_bytes * _FEEDBACK_FACTOR,
            "kept_days": config.kept_days * _FEEDBACK_FACTOR,
            "sync_ms": 0.0,
        }
    )
    decisions = Journal(state_dir / "decisions", writer, config)
    feedback = Journal(state_dir / "feedback", writer, longer)
    return DecisionLog(decisions, kept_in_memory), FeedbackLog(feedback)

"""Decision records and feedback over all router replicas."""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from router.audit.feedback import Feedback
from router.audit.logs import DecisionLog, FeedbackLog
from router.audit.query import RecordQuery, parse_query, place
from router.config.auth import KeyScope
from router.errors import NotFound
from router.request import Caller

_JUDGEMENTS = 1000
"""So many of each machine are learned from at once."""

Hears = Callable[[Feedback, Mapping[str, Any], Caller], None]
"""Told of a judgement, the decision that it is about, and who judges."""


class RecordPeers(Protocol):
    """The other router replicas, as far as they answer."""

    async def newest(self, query: RecordQuery) -> list[dict[str, Any]]:
        """Their newest fitting records, in any order."""
        ...

    async def find(self, decision_id: str) -> dict[str, Any] | None:
        """One record of theirs."""
        ...

    async def feedback(self, decision_id: str) -> list[dict[str, Any]]:
        """What was said to them of a decision."""
        ...

    async def judgements(self, limit: int, since_s: float) -> list[dict[str, Any]]:
        """The newest feedback that was given to them."""
        ...


class Records:
    """Looks here first, then at the other replicas; who shares a disk tells the same twice."""

    def __init__(
        self,
        decisions: DecisionLog,
        feedback: FeedbackLog,
        elsewhere: RecordPeers,
        on_judged: Callable[[Mapping[str, Any]], None] = lambda _: None,
        kept: Callable[[Any], Awaitable[Any]] | None = None,
        hears: Hears = lambda _given, _record, _caller: None,
    ) -> None:
        """``kept``: what a client says, as it may be kept. ``hears``: told it as it was said."""
        self._hears = hears
        self._kept = kept
        self._on_judged = on_judged
        self._decisions = decisions
        self._feedback = feedback
        self._elsewhere = elsewhere

    async def newest(self, query: str) -> list[dict[str, Any]]:
        """Newest first; ``?limit=&since=&target=&tenant=&before=``. Raises ``InvalidRequest``."""
        wanted = parse_query(query)
        found = await self._decisions.newest(wanted) + await self._elsewhere.newest(wanted)
        distinct = {each["id"]: each for each in found}.values()
        return sorted(distinct, key=place, reverse=True)[: wanted.limit]

    async def find(self, decision_id: str) -> dict[str, Any]:
        """One record with its feedback. Raises ``NotFound``."""
        record = await self._find(decision_id)
        said = await self._feedback.about(decision_id)
        said += await self._elsewhere.feedback(decision_id)
        return {**record, "feedback": _once(said, lambda each: float(each["at"]))}

    async def _find(self, decision_id: str) -> dict[str, Any]:
        record = await self._decisions.find(decision_id)
        record = record or await self._elsewhere.find(decision_id)
        if record is None:
            raise _nothing(decision_id)
        return record

    async def add_feedback(self, feedback: Feedback, caller: Caller) -> None:
        """Keep a judgement; durable when this returns.

        Raises ``NotFound`` when there is no such decision of the caller's tenant: what others ask
        is not his to judge, and models learn from judgements. Raises ``GuardUnavailable`` when
        nobody can tell what of its words must not be kept.
        """
        record = await self._find(feedback.decision_id)
        if record.get("tenant") != caller.tenant and KeyScope.ADMIN not in caller.scopes:
            raise _nothing(feedback.decision_id)
        value = feedback.value
        if self._kept is not None and isinstance(value, str | dict | list):
            value = await self._kept(value)
        said = {
            "id": f"fb_{secrets.token_hex(12)}",
            "at": time.time(),
            **feedback.model_dump(),
            "value": value,
            "caller": caller.name,
            "judged": _judged(record),
        }
        await self._feedback.add(said)
        self._on_judged(said)
        self._hears(feedback, record, caller)

    async def judgements(self, since_s: float) -> list[dict[str, Any]]:
        """The newest feedback of all routers, oldest first: what quality is estimated from."""
        found = await self._feedback.newest(_JUDGEMENTS, since_s)
        found += await self._elsewhere.judgements(_JUDGEMENTS, since_s)
        return _once(found, lambda each: float(each["at"]))


def _nothing(decision_id: str) -> NotFound:
    return NotFound(
        f"There is no decision {decision_id!r}, or it is no longer kept;"
        " GET /admin/v1/decisions lists those that are."
    )


def _judged(record: Mapping[str, Any]) -> dict[str, Any]:
    """What was judged, so that a judgement can be learned from without its record."""
    return {
        "intent": (record.get("intent") or {}).get("name"),
        "target": record.get("target"),
        "assurance": (record.get("assurance") or [None])[-1],
    }


def _once(
    found: list[dict[str, Any]], order: Callable[[dict[str, Any]], float]
) -> list[dict[str, Any]]:
    """Each id once, in order."""
    return sorted({each["id"]: each for each in found}.values(), key=order)

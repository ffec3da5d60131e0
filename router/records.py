"""Decision records and feedback over all router replicas."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from urllib.parse import parse_qs

from router.errors import InvalidRequest, NotFound
from router.feedback import Feedback
from router.stages.settle import Ledger

_DEFAULT_LIMIT = 100
_MAX_LIMIT = 1000


class Elsewhere(Protocol):
    """The other router replicas."""

    async def newest(self, limit: int) -> list[dict[str, Any]]:
        """Their newest records, in any order."""
        ...

    async def find(self, decision_id: str) -> dict[str, Any] | None:
        """One record of theirs."""
        ...


class Records:
    """Looks here first, then at the other replicas."""

    def __init__(
        self,
        ledger: Ledger,
        elsewhere: Elsewhere,
        feedback_kept: int,
        on_judged: Callable[[Mapping[str, Any], str, Any], None] = lambda *_: None,
    ) -> None:
        self._on_judged = on_judged
        self._ledger = ledger
        self._elsewhere = elsewhere
        self._feedback: deque[dict[str, Any]] = deque(maxlen=feedback_kept)

    async def newest(self, query: str) -> list[dict[str, Any]]:
        """Newest first; ``?limit=`` up to 1000. Raises ``InvalidRequest``."""
        text = parse_qs(query).get("limit", [str(_DEFAULT_LIMIT)])[0]
        if not text.isdigit() or not 0 < int(text) <= _MAX_LIMIT:
            raise InvalidRequest(f"'limit' must be 1 to {_MAX_LIMIT}.", param="limit")
        limit = int(text)
        found = self._ledger.newest(limit) + await self._elsewhere.newest(limit)
        return sorted(found, key=lambda record: -float(record["at"]))[:limit]

    async def find(self, decision_id: str) -> dict[str, Any]:
        """One record with its feedback. Raises ``NotFound``."""
        record = self._ledger.find(decision_id) or await self._elsewhere.find(decision_id)
        if record is None:
            raise NotFound(f"There is no decision {decision_id!r}, or it is no longer kept.")
        said = [f for f in self._feedback if f["decision_id"] == decision_id]
        return {**record, "feedback": said}

    async def add_feedback(self, feedback: Feedback, caller: str) -> None:
        """Keep a judgement. Raises ``NotFound`` for an unknown decision."""
        record = await self.find(feedback.decision_id)
        self._feedback.append({**feedback.model_dump(), "caller": caller})
        self._on_judged(record, feedback.kind, feedback.value)

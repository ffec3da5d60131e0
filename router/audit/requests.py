"""Each admitted request has a begin and an end on record; who was not admitted is counted."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from adapters.records.config import Durability
from adapters.records.line import Entry, Kind, iso
from adapters.records.subjects import Subjects
from adapters.records.writer import RecordLog, Unavailable
from router.audit.decision import record_of, to_json, with_names
from router.errors import AuditUnavailable, ReviewPending
from router.exchange import Account, Exchange
from router.newest import Newest
from router.request import Request

REFUSALS_EVERY_S: Final = 60.0
_CLIENT_LEFT = 499
_RETRY_AFTER_S = 2.0
_FORBIDDEN = 200
"""Pairs of a key and what it may not that one summary names; of more, only the number is told."""
_TOLD = 32
"""Decisions that the registry is told of when it asks; of more in that time, the newest."""


class RequestRecords:
    """Writes the log of one router's requests.

    Args:
        log: where to.
        durability: what an answer waits for.
        subjects: what stands for the person whose data a request carries.
        kept: a name that a client typed, as it may be kept.
    """

    def __init__(
        self,
        log: RecordLog,
        durability: Durability,
        subjects: Subjects,
        kept: Callable[[str], str],
    ) -> None:
        self._log = log
        self._kept = kept
        self._subjects = subjects
        self.durability = durability
        self.seen = 0
        """Requests since the start, refused ones too."""
        self.decided = Newest(_TOLD)
        self._refused: Counter[str] = Counter()
        self._forbidden: Counter[tuple[str, str]] = Counter()
        self._refused_since_s = time.time()

    def begin(self, exchange: Exchange) -> None:
        """Put an admitted request on record. Raises ``AuditUnavailable`` when there is no room."""
        reason = self._log.refusal()
        if reason is not None:
            raise AuditUnavailable(reason, retry_after_s=_RETRY_AFTER_S)
        request = exchange.request
        fields = {
            "tenant": request.tenant,
            "endpoint": request.endpoint.value,
            "durability": self.durability.value,
            **self._subjects_of(request),
        }
        entry = Entry(
            Kind.BEGIN, request.at, request.id, request.decision_id, _actor(request), fields
        )
        exchange.account.begun(self._log.add(entry))

    def end(self, exchange: Exchange) -> None:
        """Put its end on record, with the decision as payload; count it when it has no begin."""
        self.seen += 1
        request, account = exchange.request, exchange.account
        if not account.begin_position:
            self.refused(account.status)
            return
        outcome = _outcome(account)
        fields = {
            "tenant": request.tenant,
            "outcome": outcome,
            "status": account.status,
            "target": exchange.chosen.target if exchange.chosen else None,
            **self._subjects_of(request),
        }
        payload = to_json(with_names(record_of(exchange), self._kept))
        entry = Entry(
            Kind.END,
            time.time(),
            request.id,
            request.decision_id,
            _actor(request),
            fields,
            payload,
        )
        account.ended(self._log.add(entry))
        self.decided.add({"id": request.decision_id, "state": outcome})

    def refused(self, status: int) -> None:
        """Count one that was not admitted, of any route."""
        self._refused[str(status)] += 1

    def forbidden(self, actor: str, action: str) -> None:
        """A known key asked for what it may not: also said whose, and for what."""
        if (actor, action) in self._forbidden or len(self._forbidden) < _FORBIDDEN:
            self._forbidden[actor, action] += 1

    async def first_byte(self, account: Account) -> None:
        """Wait until the begin is on disk, if an answer is to. Raises ``AuditUnavailable``."""
        await self._reached(account.begin_position)

    async def last_byte(self, account: Account) -> None:
        """Wait until the end is on disk, if an answer is to. Raises ``AuditUnavailable``."""
        if account.error == AuditUnavailable.code:
            return  # it was waited for, and the answer says that it is not
        await self._reached(account.end_position)

    async def _reached(self, position: int) -> None:
        if self.durability is Durability.ASYNC or self._log.durable >= position:
            return
        try:
            await self._log.reached(position)
        except Unavailable as error:
            raise AuditUnavailable(
                f"The request cannot be put on record: {error}.", retry_after_s=_RETRY_AFTER_S
            ) from error

    async def sum_up(self) -> None:
        """Put on record how many were refused before admission since the last time, if any were."""
        self.sum_up_now()

    def sum_up_now(self) -> None:
        """The same; what is left at the end."""
        counts, since_s = dict(self._refused), self._refused_since_s
        forbidden = [[*who, count] for who, count in sorted(self._forbidden.items())]
        self._refused.clear()
        self._forbidden.clear()
        self._refused_since_s = now = time.time()
        if counts:
            fields: dict[str, object] = {
                "about": "refused",
                "since": iso(since_s),
                "counts": counts,
            }
            if forbidden:
                fields["forbidden"] = forbidden
            self._log.add(Entry(Kind.CHECKPOINT, now, actor=self._log.writer, fields=fields))

    def _subjects_of(self, request: Request) -> dict[str, list[str]]:
        found = [self._subjects.hash(name) for name in sorted(request.subjects)]
        return {"subjects": found} if found else {}


def _actor(request: Request) -> str | None:
    return request.caller.name if request.caller else None


def _outcome(account: Account) -> str:
    if account.status == _CLIENT_LEFT:
        return "client_left"
    if account.error is None:
        return "answered"
    if account.error == ReviewPending.code:
        return "in_review"
    return "broken" if account.status < 400 else "refused" if account.status < 500 else "failed"

"""Which decision records somebody wants to see."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, urlencode

from adapters.resources import moment
from router.audit.decision import Record
from router.errors import InvalidRequest
from router.request import NO_INTENT

_DEFAULT_LIMIT = 100
_MAX_LIMIT = 1001
"""A page of the admin plane, and one more that says whether another page follows."""
_STATUS = re.compile(r"[1-5][0-9]{2}", re.ASCII)
_KNOWN = frozenset({"limit", "since", "target", "tenant", "intent", "status", "before"})


@dataclass(frozen=True)
class RecordQuery:
    """The newest ``limit`` records that fit everything that is given, newest first."""

    limit: int = _DEFAULT_LIMIT
    since_s: float = 0.0
    target: str | None = None
    """``base``, ``adapter:<alias>`` or ``adapter:<alias>@<digest12>``, ``frontier:…``."""
    tenant: str | None = None
    intent: str | None = None
    """The recognised one; ``none`` where there was none."""
    status: str | None = None
    """Of the answer, as text."""
    before: tuple[float, str] | None = None
    """Time and id of a record: only what comes after it in the list."""

    def fits(self, record: Record) -> bool:
        """Whether a record is meant."""
        if record.get("at", 0.0) < self.since_s:
            return False
        if self.before is not None and place(record) >= self.before:
            return False
        if self.tenant is not None and record.get("tenant") != self.tenant:
            return False
        if self.status is not None and str(record.get("status")) != self.status:
            return False
        if self.intent is not None and _intent(record) != self.intent:
            return False
        target = str(record.get("target"))
        return self.target in (None, target, target.partition("@")[0])

    def encoded(self) -> str:
        """As a query string, for a peer."""
        given: dict[str, object] = {"since": self.since_s, "target": self.target}
        given |= {"tenant": self.tenant, "intent": self.intent, "status": self.status}
        if self.before is not None:
            given["before"] = marked(self.before)
        return urlencode({"limit": self.limit} | {n: v for n, v in given.items() if v})


def _intent(record: Record) -> str:
    return str((record.get("intent") or {}).get("name") or NO_INTENT)


def place(record: Record) -> tuple[float, str]:
    """Where a record stands: lists go from the largest to the smallest."""
    return float(record["at"]), str(record["id"])


def marked(where: tuple[float, str]) -> str:
    """A place as text."""
    return f"{where[0]!r},{where[1]}"


def place_of(text: str) -> tuple[float, str]:
    """The other way round. Raises ``InvalidRequest``."""
    at, _, identity = text.partition(",")
    try:
        return float(at), identity
    except ValueError as error:
        raise InvalidRequest(
            "'cursor' must be the 'next' of an earlier answer.", param="cursor"
        ) from error


def parse_query(query: str) -> RecordQuery:
    """Read a query string. Raises ``InvalidRequest``, ``BadField``: they say what may be asked."""
    given = {name: values[-1] for name, values in parse_qs(query).items()}
    if unknown := sorted(given.keys() - _KNOWN):
        raise InvalidRequest(
            f"Unknown parameters {unknown}; known: {sorted(_KNOWN)}.", param=unknown[0]
        )
    text = given.get("limit", str(_DEFAULT_LIMIT))
    if not text.isdigit() or not 0 < int(text) <= _MAX_LIMIT:
        raise InvalidRequest(f"'limit' must be 1 to {_MAX_LIMIT - 1}.", param="limit")
    status = given.get("status")
    if status is not None and not _STATUS.fullmatch(status):
        raise InvalidRequest("'status' must be that of an answer, such as 200.", param="status")
    since_s = moment(given["since"]) if "since" in given else 0.0
    before = place_of(given["before"]) if "before" in given else None
    return RecordQuery(
        int(text),
        since_s,
        given.get("target"),
        given.get("tenant"),
        given.get("intent"),
        status,
        before,
    )

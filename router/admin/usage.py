"""The resource ``usage``: who used what, and what the budgets stand at. The registry answers it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson
from starlette.requests import Request
from starlette.responses import Response

from adapters.records.line import iso
from adapters.resources import BadField, Resource, describes, listed, moment, page_of

COLUMNS = ("key", "tenant", "route", "target", "intent")
"""What rows are told apart by, and may be asked for."""
DIMENSIONS = (*COLUMNS, "version", "heading", "hour")
"""What they may be added up by: also a target's version, where the router's time went, and when."""
_DAY_S = 86_400.0
_PAGING = ("limit", "cursor")


@dataclass(frozen=True)
class UsageQuestion:
    """Which usage: the hours that touch ``since`` to ``until``, seconds since the epoch."""

    since: float
    until: float
    by: Sequence[str] = COLUMNS
    only: dict[str, str] = field(default_factory=dict)


class Books(Protocol):
    """Where usage and budgets are kept. Methods block."""

    def used(self, question: UsageQuestion) -> list[dict[str, Any]]:
        """Sums, the dearest first."""
        ...

    def budgets(self) -> list[dict[str, Any]]:
        """Every running budget: its limit, what is spent and what is leased."""
        ...


@describes(
    query={
        "since": "ISO 8601, or seconds since the epoch; default: a day ago",
        "until": "the same; default: now",
        "by": f"what to add up by, of {','.join(DIMENSIONS)}",
        **{name: f"only this {name}" for name in COLUMNS},
    }
)
async def usage(books: Books, request: Request) -> Response:
    """Requests, tokens and money, the dearest first; and the running budgets."""
    page, question = page_of(request.query_params), question_of(request.query_params)
    rows = await asyncio.to_thread(books.used, question)
    answer = listed(
        page,
        enumerate(rows),
        # The order is by money, which no cursor can hold on to: pages count rows.
        lambda each: f"{each[0]:08d}",
        lambda each: each[1],
        since=iso(question.since),
        until=iso(question.until),
        budgets=await asyncio.to_thread(books.budgets),
    )
    return Response(orjson.dumps(answer), media_type="application/json")


def question_of(query: Mapping[str, str]) -> UsageQuestion:
    """Read what is asked. Raises ``BadField`` that says what may be."""
    now = time.time()
    known = {"since", "until", "by", *COLUMNS, *_PAGING}
    if unknown := sorted(query.keys() - known):
        raise BadField(f"Unknown parameters {unknown}; known: {sorted(known)}.", unknown[0])
    by = [name for name in query.get("by", ",".join(COLUMNS)).split(",") if name]
    if odd := sorted(set(by) - set(DIMENSIONS)):
        raise BadField(f"'by' names {odd}; known: {list(DIMENSIONS)}.", "by")
    return UsageQuestion(
        since=moment(query["since"]) if "since" in query else now - _DAY_S,
        until=moment(query["until"], "until") if "until" in query else now + 1,
        by=by,
        only={name: query[name] for name in COLUMNS if name in query},
    )


RESOURCES: tuple[Resource[Books], ...] = (Resource("auditor", "GET", "/admin/v1/usage", usage),)

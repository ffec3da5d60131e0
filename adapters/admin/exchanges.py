"""The resource ``exchanges``: what was captured of requests and answers, redacted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from adapters.corpus.exchange import Exchange, ExchangeState
from adapters.corpus.exchanges import Exchanges
from adapters.records.line import iso
from adapters.resources import BadField, Resource, cursor_of, describes, page_of

_PATH = "/admin/v1/exchanges"


@dataclass(frozen=True)
class Corpus:
    """What the resource needs. ``hash_of``: what stands for a person."""

    exchanges: Exchanges
    hash_of: Callable[[str], str]


def row(exchange: Exchange) -> dict[str, Any]:
    """One exchange as clients get it."""
    return {
        "id": exchange.id,
        "time": iso(exchange.at),
        "state": exchange.state.value,
        "intent": exchange.intent,
        "tenant": exchange.tenant,
        "target": exchange.target,
        "request": {"messages": [dict(each) for each in exchange.messages]},
        "response": exchange.response,
        "count": exchange.count,
        "session": exchange.session or None,
        "decision_id": exchange.decision_id or None,
        "confidence": exchange.confidence,
        "cost_usd": exchange.cost_usd,
        "signals": list(exchange.signals),
        "details": dict(exchange.details),
        "trains": exchange.trains,
    }


@describes(
    query={
        "intent": "recognised so; `none`: not recognised",
        "state": "`captured`, `in_review`, `gold` or `rejected`",
        "subject": "carries this person's data: `user`, `safety_identifier` or "
        "`x-graftwork-subject` of the request",
    }
)
async def exchanges(corpus: Corpus, request: Request) -> Response:
    """Captured exchanges, the newest first."""
    query = request.query_params
    page = page_of(query)
    subject = query.get("subject")
    found = await asyncio.to_thread(
        corpus.exchanges.page,
        intent=query.get("intent"),
        state=_state(query.get("state")),
        subject=None if subject is None else corpus.hash_of(subject),
        limit=page.limit,
        after=_place(page.after),
    )
    answer = {
        "object": "list",
        "data": [row(each) for each in found.exchanges],
        "next": None if found.after is None else cursor_of(str(found.after)),
    }
    return JSONResponse(answer)


async def exchange(corpus: Corpus, request: Request) -> Response:
    """One captured exchange."""
    found = await asyncio.to_thread(corpus.exchanges.find, request.path_params["id"])
    if found is None:
        raise BadField("There is no such exchange.", None, code="not_found", status=404)
    return JSONResponse(row(found))


def _state(text: str | None) -> ExchangeState | None:
    if text is None:
        return None
    try:
        return ExchangeState(text)
    except ValueError as error:
        known = ", ".join(f"'{each.value}'" for each in ExchangeState)
        raise BadField(f"'state' must be one of {known}.", "state") from error


def _place(after: str) -> int | None:
    if not after:
        return None
    if not after.isascii() or not after.isdigit() or len(after) > 18:
        raise BadField("'cursor' must be the 'next' of an earlier answer.", "cursor")
    return int(after)


RESOURCES: tuple[Resource[Corpus], ...] = (
    Resource("admin", "GET", _PATH, exchanges),
    Resource("admin", "GET", f"{_PATH}/{{id}}", exchange),
)

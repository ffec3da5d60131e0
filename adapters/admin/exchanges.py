"""The resource ``exchanges``: what was captured of requests and answers, redacted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from adapters.admin.lines import LINES, pieces
from adapters.admin.parts import choice
from adapters.corpus.exchange import Exchange, ExchangeState
from adapters.corpus.exchanges import Exchanges
from adapters.corpus.importing import FORMS, Bringing, Importer
from adapters.records.line import iso
from adapters.resources import BadField, Resource, cursor_of, describes, page_of, refuse_unknown

_PATH: Final = "/admin/v1/exchanges"
_TENANT: Final = "x-graftwork-tenant"
_NO_TENANT: Final = "default"
_IN_PARTS: Final = "Send it in parts; the lines before are kept."
_MAX_NAME: Final = 256


@dataclass(frozen=True)
class Corpus:
    """What the resource needs.

    Attributes:
        hash_of: what stands for a person.
        refuses: whether a tenant said that nothing of it may be kept.
        import_max_mb: of one file, MiB.
    """

    exchanges: Exchanges
    hash_of: Callable[[str], str]
    importer: Importer
    refuses: Callable[[str], bool]
    import_max_mb: int


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
        raise BadField(
            "There is no such exchange. List them: `graftwork exchanges list`.",
            None,
            code="not_found",
            status=404,
        )
    return JSONResponse(row(found))


@describes(
    query={
        "format": "`openai_logs`, `messages` or `prompt_completion`",
        "intent": "what all of them are about; default: each line's `intent`, or `none`",
        "tenant": "whose they are; default: the key's",
    },
    content={LINES: {"schema": {"type": "string"}}},
    answers={
        403: "The tenant has refused its consent.",
        413: "Larger than `flywheel.corpus.import_max_mb`; what came before is kept.",
        415: "Not JSON lines.",
    },
)
async def bring(corpus: Corpus, request: Request) -> Response:
    """Take exchanges from elsewhere, redacted: one JSON object a line."""
    query = request.query_params
    refuse_unknown(query, bring)
    form = choice(query, "format", FORMS)
    if form is None:
        raise BadField(f"'format' must be one of {', '.join(FORMS)}.", "format")
    tenant = _name(query, "tenant") or request.headers.get(_TENANT, _NO_TENANT)
    if corpus.refuses(tenant):
        raise BadField(
            f"capture.tenants says that the tenant {tenant!r} has not consented.",
            "tenant",
            code="no_consent",
            status=403,
        )
    sent = pieces(request, corpus.import_max_mb, "flywheel.corpus.import_max_mb", remedy=_IN_PARTS)
    told = await corpus.importer.take(sent, Bringing(form, tenant, _name(query, "intent")))
    answer = {
        "imported": told.imported,
        "duplicates": told.duplicates,
        "rejected": told.rejected,
        "rejected_total": told.refused,
    }
    return JSONResponse(answer)


def _name(query: Mapping[str, str], name: str) -> str | None:
    value = query.get(name)
    if value is not None and not 0 < len(value.strip()) <= _MAX_NAME:
        raise BadField(f"{name!r} must be a text of at most {_MAX_NAME} characters.", name)
    return value


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
    Resource("admin", "POST", f"{_PATH}/import", bring),
    Resource("admin", "GET", f"{_PATH}/{{id}}", exchange),
)

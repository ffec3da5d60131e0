"""What routers deliver to the corpus: taken durably before it is acknowledged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import orjson
from starlette.requests import Request
from starlette.responses import Response

from adapters.corpus.delivery import Afterwards, Entry, from_line
from adapters.corpus.exchange import Exchange
from adapters.corpus.exchanges import Exchanges
from adapters.corpus.importing import Importer
from adapters.resources import Resource
from router.account.gauges import Reading
from router.capture.brought import brought
from router.capture.consent import Consent
from router.wire.table import Bound, bound
from serving.config.settings import Settings
from serving.internal.paths import CAPTURES, SUBJECTS
from serving.registry.redacting import Redaction

_log = logging.getLogger("graftwork.registry")


def routes(exchanges: Exchanges, redaction: Redaction) -> list[Bound]:
    """What routers ask of the registry's internal surface."""
    return [
        *bound((Resource("internal", "POST", CAPTURES, _captured),), exchanges),
        *bound((Resource("internal", "GET", SUBJECTS, _subjects),), redaction),
    ]


async def _subjects(redaction: Redaction, _: Request) -> Response:
    """The key under which persons are hashed in the corpus."""
    return Response(redaction.key, media_type="application/octet-stream")


async def _captured(exchanges: Exchanges, request: Request) -> Response:
    """Lines of entries; those that are none are left out, so that they do not hold up others."""
    raw = await request.body()
    told = await asyncio.to_thread(take, exchanges, raw.split(b"\n"))
    return Response(orjson.dumps(told), media_type="application/json")


def readings(exchanges: Exchanges) -> dict[str, Reading]:
    """What is worth a gauge."""
    return {
        "graftwork_exchanges": (
            "Exchanges in the corpus; flywheel.corpus.max_exchanges is the limit.",
            lambda: exchanges.kept,
        ),
        "graftwork_exchange_bytes": (
            "Bytes of their texts; flywheel.corpus.max_mb.",
            lambda: exchanges.size,
        ),
        "graftwork_exchanges_dropped": (
            "Exchanges that found no room or made room for others, since the start.",
            lambda: exchanges.dropped,
        ),
    }


def importer(exchanges: Exchanges, redaction: Redaction) -> Importer:
    """Takes exchanges from elsewhere, redacted as captured ones are."""
    return Importer(exchanges, brought, redaction.brought, redaction.hashed)


def refuses(settings: Settings) -> Callable[[str], bool]:
    """Whether a tenant said that nothing of it may be kept; who imports its data otherwise
    answers for its consent.
    """
    return Consent(settings.router.capture).said_no


def take(exchanges: Exchanges, lines: list[bytes]) -> dict[str, int]:
    """Take these; how many of them, how many had no room, and how many were nothing."""
    entries: list[Entry] = []
    broken = 0
    for line in lines:
        if not line:
            continue
        try:
            entries.append(from_line(line))
        except ValueError as error:
            broken += 1
            _log.error("a line of captured exchanges was left out: %s", error)
    new = [each for each in entries if isinstance(each, Exchange)]
    taken = exchanges.take_all(new) if new else []
    later = [each for each in entries if isinstance(each, Afterwards)]
    if later:
        exchanges.signal_all(later)
    refused = sum(each.id is None for each in taken)
    return {"taken": len(entries) - refused, "refused": refused, "broken": broken}

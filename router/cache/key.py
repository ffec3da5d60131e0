"""When two requests are the same: everything that the answer may depend on is in the key."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import BaseModel

from router.exchange import Exchange
from router.wire.formats import FORMATS

_HEADERS = ("anthropic-version", "anthropic-beta")


@dataclass(frozen=True, slots=True)
class CacheKey:
    """Names an answer. Two keys are equal only when tenant, caller and all the rest are."""

    tenant: str
    caller: str
    target: str
    """Who should answer; another's answer is not kept under this name."""
    digest: bytes


def cache_key(exchange: Exchange, configuration_version: str) -> CacheKey:
    """The key of a decided request: the target that should answer is part of it.

    A new epoch of the routing table, a new version behind an alias or another policy gives other
    keys, so what was kept before is never found again and falls out.
    """
    assert exchange.request.caller is not None
    first = exchange.decision.first
    assert first is not None
    hints = exchange.request.hints
    facts: list[Any] = [
        configuration_version,
        exchange.decision.table.epoch,
        exchange.decision.table.base_id,
        exchange.decision.ruling.version,
        exchange.decision.ruling.rules,
        first.target,
        first.engine_name,
        exchange.request.endpoint.value,
        exchange.request.model,
        exchange.request.stream,
        hints.session,
        hints.max_cost_usd,
        [exchange.request.headers.get(name) for name in _HEADERS],
        exchange.request.body,
    ]
    text = orjson.dumps(facts, option=orjson.OPT_SORT_KEYS)
    digest = hashlib.blake2b(text, digest_size=32).digest()
    return CacheKey(
        exchange.request.caller.tenant, exchange.request.caller.name, first.target, digest
    )


def deterministic(exchange: Exchange) -> bool:
    """Whether the client asked for the same answer each time."""
    if not FORMATS[exchange.request.endpoint].generates:
        return True
    body = exchange.request.body
    temperature = body.get("temperature")
    return body.get("seed") is not None or (
        isinstance(temperature, int | float) and temperature == 0
    )


def configuration_version(config: BaseModel) -> str:
    """A digest of everything that is configured about the request path."""
    return hashlib.blake2b(config.model_dump_json().encode(), digest_size=16).hexdigest()

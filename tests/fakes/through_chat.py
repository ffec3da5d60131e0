"""Responses asked of dialects, with only chat behind them."""

from __future__ import annotations

from typing import Any

from router.targets.base import Call
from router.wire.dialects import dialect_of
from router.wire.dialects.base import Asked, Traits
from router.wire.endpoint import Endpoint

Json = dict[str, Any]
CHAT_ONLY = Traits(native=frozenset({Endpoint.CHAT}))
SCHEMA: Json = {"type": "object", "properties": {"sku": {"type": "string"}}}
FUNCTION: Json = {"type": "function", "name": "look_up", "parameters": SCHEMA, "strict": False}
PATCH: Json = {
    "type": "custom",
    "name": "apply_patch",
    "description": "Changes files.",
    "format": {"type": "grammar", "syntax": "lark", "definition": "start: TEXT"},
}
HI: Json = {"role": "user", "content": "hi"}


def ask(dialect: str, body: Json, *, prefill: str = "", traits: Traits = CHAT_ONLY) -> Asked:
    """What a target of the dialect is sent for a Responses request."""
    body = {"model": "m", "input": "hi", **body}
    call = Call(Endpoint.RESPONSES, body, bool(body.get("stream")), "r", 5.0, prefill=prefill)
    return dialect_of(dialect).ask(call, traits)

"""Why a candidate is where it is, for programs. ``docs/routing.md`` explains each."""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """Reasons to be asked (the first group) and reasons not to be (the others)."""

    NAMED = "named"
    INTENT = "intent"
    CANARY = "canary"
    VERSION_BEFORE = "version_before"
    BASE = "base"
    FRONTIER = "frontier"
    FALLBACK = "fallback"
    SESSION = "session"
    EXPLORED = "explored"
    SHADOW = "shadow"
    RISK_EXCEEDED = "risk_exceeded"

    POLICY_DENIED = "policy_denied"
    TENANT = "tenant_not_allowed"

    NOT_OFFERED = "not_offered"
    ENDPOINT = "endpoint"
    TOOLS = "tools"
    JSON_SCHEMA = "json_schema"
    VISION = "vision"
    LOGPROBS = "logprobs"
    STORED = "stored"
    CONTEXT = "context_window"
    MAX_COST = "max_cost"

    BUDGET = "budget"

    NOT_RESIDENT = "not_resident"
    UNHEALTHY = "unhealthy"
    TOO_SLOW = "too_slow"


FORBIDDEN = frozenset({Code.POLICY_DENIED, Code.TENANT})
"""Refusals that are never routed around."""
FOR_NOW = frozenset({Code.NOT_RESIDENT, Code.UNHEALTHY, Code.TOO_SLOW})
"""Refusals that may be over in a moment."""

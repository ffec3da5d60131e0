"""Why a target is not asked: a code for programs, and the error when nobody may answer.

``docs/routing.md`` explains each code. The error says first what is forbidden, then what the client
can change.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from router.errors import Forbidden, InvalidRequest, NotKept, RouterError, TargetUnavailable
from router.request import WITHHELD as _WITHHELD
from router.request import Option


class Code(StrEnum):
    """Reasons to be asked (the first group) and reasons not to be (the others)."""

    NAMED = "named"
    VIRTUAL = "virtual"
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
    WITHHELD = _WITHHELD

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


FORBIDDEN = frozenset({Code.POLICY_DENIED, Code.TENANT, Code.WITHHELD})
"""Refusals that are never routed around."""
FOR_NOW = frozenset({Code.NOT_RESIDENT, Code.UNHEALTHY, Code.TOO_SLOW})
"""Refusals that may be over in a moment."""


_RETRY_S = 1.0


def nobody(options: Sequence[Option]) -> RouterError:
    """Why a request is refused, from the reasons of its candidates.

    403 ``policy_denied`` when policy forbids all that could have answered; 503 when some may answer
    in a moment; 400 when the request asks for too much. A budget that is used up refuses later,
    when it is asked for the money.
    """
    told = [option for option in options if option.code != Code.NOT_OFFERED] or list(options)
    reasons = "; ".join(f"{option.target}: {option.reason}" for option in told)
    left = [option for option in told if option.code not in FORBIDDEN]
    if not left:
        return Forbidden(
            f"Policy permits no target for this request ({reasons}).", code="policy_denied"
        )
    codes = {option.code for option in left}
    if codes & FOR_NOW:
        return TargetUnavailable(
            f"Nothing that may answer can do so now ({reasons}).",
            status=503,
            retry_after_s=_RETRY_S,
        )
    if Code.MAX_COST in codes:
        return InvalidRequest(
            f"No permitted target is expected to cost so little ({reasons}). "
            "Raise the limit or shorten the request.",
            code="max_cost_exceeded",
            param="graftwork.max_cost_usd",
        )
    if Code.CONTEXT in codes:
        return InvalidRequest(
            f"The request is too long for every target ({reasons}).",
            code="context_length_exceeded",
            param="messages",
        )
    if codes == {Code.STORED}:
        return NotKept(reasons)
    return InvalidRequest(
        f"No permitted target can do what is asked ({reasons}).",
        code="unsupported_endpoint" if codes == {Code.ENDPOINT} else "unsupported_capability",
        param="model",
    )

"""The decision record: what was considered, chosen, tried, and what it cost. No content."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson

from router.delivery import Assurance, Attempt
from router.exchange import Exchange
from router.request import NO_INTENT, Decision, Option, digest

Record = dict[str, Any]


def record_of(exchange: Exchange) -> dict[str, Any]:
    """One exchange as it is kept, listed and replayed."""
    request, decision = exchange.request, exchange.decision
    delivery, account = exchange.delivery, exchange.account
    intent, caller, chosen = decision.intent, request.caller, exchange.chosen
    stages, headings = account.stages.read()
    return {
        "id": request.decision_id,
        "request_id": request.id,
        "at": request.at,
        "endpoint": request.endpoint.value,
        "caller": caller.name if caller else None,
        "tenant": caller.tenant if caller else None,
        "model": request.model,
        "stream": request.stream,
        "priority": request.priority.value,
        "cache": account.cache,
        "intent": {
            "name": intent.name,
            "confidence": intent.confidence,
            "source": intent.source,
            "out_of_scope": intent.out_of_scope,
            "posterior": dict(intent.posterior),
            "model": intent.model,
            "language": intent.language,
        },
        "candidates": [_option(option) for option in decision.options],
        "decided": _decided(decision),
        "features": _features(exchange),
        "assurance": [_assurance(each) for each in delivery.judged],
        "unjudged": delivery.unjudged or decision.unjudged,
        "review": delivery.review,
        "safety": delivery.findings,
        "target": chosen.target if chosen else None,
        "attempts": [_attempt(attempt) for attempt in delivery.attempts],
        "delivery": delivery.notes,
        "warnings": exchange.warnings,
        "context": {
            "collections": list(decision.collections),
            "documents": exchange.context.documents,
        },
        "redacted": _redacted(exchange),
        "table_epoch": decision.table.epoch,
        "usage": {
            "input_tokens": account.usage.input_tokens,
            "output_tokens": account.usage.output_tokens,
            "cached_input_tokens": account.usage.cached_input_tokens,
        },
        "cost_usd": account.cost_usd,
        "status": account.status,
        "error": account.error,
        "stages": {stage: _micro(seconds) for stage, seconds in stages.items()},
        "headings": {str(heading): _micro(seconds) for heading, seconds in headings.items()},
        "first_byte_s": account.first_byte_s,
        "seconds": _micro(account.seconds),
    }


def with_names(record: Record, kept: Callable[[str], str]) -> Record:
    """The record with each name that a client typed as ``kept`` has it."""
    context, features = record["context"], record["features"]
    return {
        **record,
        "model": kept(record["model"]),
        "context": {**context, "collections": [*map(kept, context["collections"])]},
        "features": {**features, "fallbacks": [*map(kept, features["fallbacks"])]},
    }


def shown(record: Record) -> Record:
    """As clients get it: its time in ISO 8601, where records count seconds."""
    at = datetime.fromtimestamp(float(record["at"]), UTC)
    return {**record, "at": at.isoformat(timespec="microseconds")}


def to_json(record: Record) -> bytes:
    """The record as one JSON object. What JSON cannot hold is told as text."""
    try:
        return orjson.dumps(record, default=str)
    except (TypeError, ValueError) as error:
        known = {name: record.get(name) for name in ("id", "at") if name in record}
        return orjson.dumps({**known, "unencodable": f"{error}: {record!r}"[:4096]}, default=str)


def _micro(seconds: float) -> float:
    """To the microsecond; ``round`` to a number of digits goes by way of a text, 30 times each."""
    return round(seconds * 1e6) / 1e6


def _option(option: Option) -> dict[str, Any]:
    return {
        "target": option.target,
        "allowed": option.allowed,
        "code": option.code,
        "reason": option.reason,
        "rank": option.rank,
        "cost_usd": option.cost_usd,
        "quality": option.quality,
        "prior": option.prior,
        "difficulty": option.difficulty,
    }


def _decided(decision: Decision) -> dict[str, Any]:
    return {
        "how": decision.how,
        "route": decision.route,
        "risk": decision.risk,
        "worth_usd": decision.worth_usd,
        "judging": decision.judging,
        "policy_version": decision.policy_version,
        "policy": _ruling(decision),
        "claims": decision.claims,
        "gates": {
            name: gate.model_dump(exclude_none=True) for name, gate in decision.gates.items()
        },
    }


def _ruling(decision: Decision) -> dict[str, Any]:
    """What the rules file said; no content but its own words."""
    ruling = decision.ruling
    return {
        "version": ruling.version,
        "effect": ruling.effect,
        "rules": list(decision.applied or ruling.rules),
        "denied_by": ruling.denied_by,
        "failed": ruling.failed,
        "review": ruling.review,
        "reviewed_for": list(ruling.reviewed_for),
        "obligations": [each.shown() for each in ruling.obligations],
    }


def _features(exchange: Exchange) -> dict[str, Any]:
    """All that the decision was made from, without content: enough to make it again."""
    request, decision = exchange.request, exchange.decision
    session, intent = request.hints.session, decision.intent
    intents = [*intent.posterior, intent.name or NO_INTENT, NO_INTENT]
    return {
        "input_tokens": request.needs.input_tokens,
        "max_output_tokens": request.needs.max_output_tokens,
        "needs": sorted(request.needs.features),
        "posterior": dict(decision.intent.posterior),
        "out_of_scope": decision.intent.out_of_scope,
        "difficulty": decision.difficulty.record([o.target for o in decision.options], intents),
        "max_cost_usd": request.hints.max_cost_usd,
        "fallback": request.hints.fallback,
        "fallbacks": list(request.hints.fallbacks),
        "no_capture": request.hints.no_capture,
        "session": None if session is None else digest(session),
        "local_price": decision.tariff.record(),
        "base": decision.table.base_id,
        "context_window": decision.table.max_model_len,
    }


def _redacted(exchange: Exchange) -> dict[str, dict[str, dict[str, int]]]:
    """How many values each target was not shown, by kind of data and what became of them."""
    found: dict[str, dict[str, dict[str, int]]] = {}
    for option in {each.target: each.option for each in exchange.delivery.attempts}.values():
        for (entity, action), count in sorted(exchange.delivery.redactions(option).items()):
            found.setdefault(option.target, {}).setdefault(entity, {})[action] = count
    return found


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "target": attempt.target,
        "replica": attempt.replica,
        "outcome": attempt.outcome,
        "seconds": _micro(attempt.seconds),
        "input_tokens": attempt.billed.input_tokens,
        "output_tokens": attempt.billed.output_tokens,
        "cost_usd": attempt.cost_usd,
        "estimated": attempt.estimated,
    }


def _assurance(found: Assurance) -> dict[str, Any]:
    return {
        "target": found.target,
        "tokens": found.tokens,
        "mean_logprob": found.mean_logprob,
        "min_logprob": found.min_logprob,
        "entropy": found.entropy,
        "probability": found.probability,
        "calibrated": found.calibrated,
        "expected": found.expected,
        "bar": found.bar,
    }

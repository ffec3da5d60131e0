"""What another configuration would have done with recorded decisions. Calls nobody.

Each record has what its decision was made from, without content. The table is built from the
adapters that were considered then, so an adapter that was not cannot be chosen now. Expected
lengths are the records' own means, throughput is what was measured then, quality is the new
configuration's priors and the feedback in the records, sessions are followed in order. Where the
new choice was judged then, by its tokens, the recorded P(correct) decides whether another target is
asked after it. Latency limits are not replayed: they depend on the moment. What a changed choice
would have cost is the new target's price for the recorded tokens: that the other model would have
said as much is an assumption.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from adapters.aliases import Alias, Replica, RoutingTable, engine_name
from adapters.evaluation import GateResult
from router.choose.cards import Card, CardSet
from router.choose.choose import Chooser
from router.choose.learning import Learning
from router.choose.refusals import Code, nobody
from router.config.root import RouterConfig
from router.config.routing import RouteConfig
from router.delivery import ESCALATED
from router.errors import RouterError
from router.exchange import Exchange
from router.hardness import of_record
from router.judge.standard import judging
from router.prices import Work
from router.request import BASE, Caller, Decision, Hints, Intent, Needs, Option, Request
from router.wire.endpoint import Endpoint, Usage

Record = Mapping[str, Any]
_ADAPTER = "adapter:"
_REPLICA = "replayed"


@dataclass(frozen=True, slots=True)
class Replayed:
    """One decision, as it was and as it would be."""

    id: str
    intent: str | None
    before: str | None
    """The target that answered; None: it was refused."""
    after: str | None
    before_usd: float
    after_usd: float
    error: str | None = None
    """Why it would be refused."""

    @property
    def changed(self) -> bool:
        """Whether another target, or nobody, would answer."""
        return self.before != self.after


def replay(records: Iterable[Record], config: RouterConfig) -> list[Replayed]:
    """Decide again, oldest first. Records without the features that are needed are left out."""
    usable = sorted((r for r in records if _is_usable(r)), key=_when)
    learning = Learning(config.routing)
    for record in usable:
        _learn(learning, record)
    chooser = Chooser(config, learning)
    return [_again(record, chooser, config.routing.routes) for record in usable]


def _when(record: Record) -> float:
    """Seconds since the epoch; the admin plane says it in ISO 8601."""
    at = record["at"]
    return datetime.fromisoformat(at).timestamp() if isinstance(at, str) else float(at)


def _is_usable(record: Record) -> bool:
    return bool(record.get("features")) and bool(record.get("candidates"))


def _learn(learning: Learning, record: Record) -> None:
    for attempt in record.get("attempts") or ():
        if attempt["outcome"] == "ok":
            learning.measured.add(attempt["target"], attempt["output_tokens"], 0.0, 0.0)
    for said in record.get("feedback") or ():
        learning.judged(said)


def _again(record: Record, chooser: Chooser, routes: Mapping[str, RouteConfig]) -> Replayed:
    exchange = _exchange(record)
    chooser.pricing.recall(_work(record))
    try:
        permission = chooser.policies.permission(
            exchange.request.caller, exchange.decision.intent.name
        )
        exchange.decision = chooser.choose(exchange, permission)
        error = nobody(exchange.decision.options).code if exchange.chosen is None else None
    except RouterError as refused:
        error = refused.code
    asked = [] if exchange.chosen is None else _asked(record, exchange, exchange.chosen, routes)
    if asked:
        exchange.delivery.choose(asked[-1])
    before = record["target"] if record["status"] == 200 else None
    exchange.account.begins(200, 0.0)
    chooser.learning.sessions.observe(exchange)
    card_set = chooser.card_sets.of(exchange.decision.table)
    targets = [option.target for option in asked]
    return Replayed(
        str(record["id"]),
        exchange.decision.intent.name,
        before,
        targets[-1] if targets else None,
        float(record["cost_usd"] or 0.0),
        _cost_usd(record, before, targets, card_set),
        error,
    )


def _asked(
    record: Record, exchange: Exchange, first: Option, routes: Mapping[str, RouteConfig]
) -> list[Option]:
    """Who would be asked, in order: the last one answers, the others' answers are not enough."""
    by = judging(routes, exchange.decision.route)
    judged = {each["target"]: each["probability"] for each in record.get("assurance") or ()}
    limit, asked = exchange.request.hints.max_cost_usd, [first]
    while by is not None and asked[-1].is_local and asked[-1].target in judged:
        spent = sum(each.cost_usd or 0.0 for each in asked)
        left = [
            option
            for option in exchange.decision.options
            if option.allowed
            and option not in asked
            and (limit is None or spent + (option.cost_usd or 0.0) <= limit)
        ]
        found = by.standard.remedies(asked[-1], judged[asked[-1].target], left)
        if not found:
            break
        asked.append(found[0])
    return asked


def _cost_usd(record: Record, before: str | None, asked: Sequence[str], card_set: CardSet) -> float:
    """At the new prices: all recorded calls when the same targets are asked, otherwise one each."""
    if not asked:
        return 0.0
    calls = record.get("attempts") or ()
    escalated = [each["target"] for each in calls if each["outcome"] == ESCALATED]
    if [*escalated, before] == list(asked):
        return sum(_card(card_set, each["target"]).price.paid(_usage(each)) for each in calls)
    usages = {each["target"]: _usage(each) for each in calls}
    last = _card(card_set, asked[-1]).price.paid(_usage(record["usage"]))
    earlier = (_card(card_set, name).price.paid(usages[name]) for name in asked[:-1])
    return last + sum(earlier)


def _card(card_set: CardSet, target: str) -> Card:
    frontier = card_set.frontiers.get(target.partition(":")[2])
    # All local targets have the base's price; a frontier that is no longer configured has none.
    return frontier or (Card(target) if target.startswith("frontier:") else card_set.base)


def _work(record: Record) -> Work | None:
    """What was measured then; a price that the new configuration gives goes before it."""
    price = record["features"].get("local_price") or {}
    return None if price.get("work") is None else Work.model_validate(price["work"])


def _usage(usage: Record) -> Usage:
    return Usage(
        usage.get("input_tokens"), usage.get("output_tokens"), usage.get("cached_input_tokens")
    )


def _exchange(record: Record) -> Exchange:
    features, intent = record["features"], record["intent"]
    request = Request(
        id=str(record["request_id"]),
        decision_id=str(record["id"]),
        endpoint=Endpoint(record["endpoint"]),
        headers={},
        model=str(record["model"]),
        caller=Caller(str(record["caller"]), str(record["tenant"]), frozenset()),
        hints=Hints(
            max_cost_usd=features["max_cost_usd"],
            session=features["session"],
            fallback=bool(features.get("fallback")),
            fallbacks=tuple(features.get("fallbacks") or ()),
        ),
        needs=Needs(
            features["input_tokens"], features["max_output_tokens"], frozenset(features["needs"])
        ),
    )
    recognised = Intent(
        intent["name"],
        intent["confidence"],
        out_of_scope=bool(features.get("out_of_scope")),
        posterior=features["posterior"],
    )
    decision = Decision(
        _table(record), recognised, difficulty=of_record(features.get("difficulty"))
    )
    exchange = Exchange(request, decision)
    exchange.account.answers(_usage(record["usage"]))
    return exchange


def _table(record: Record) -> RoutingTable:
    """The adapters that were considered, on one engine that holds what was held."""
    features, decided = record["features"], record["decided"]
    claims, gates = decided.get("claims") or {}, decided.get("gates") or {}
    digests: dict[str, list[str]] = {}
    held, ready = set(), False
    for candidate in record["candidates"]:
        target, cold = candidate["target"], candidate["code"] == Code.NOT_RESIDENT
        if target.startswith(_ADAPTER):
            alias, _, digest = target.removeprefix(_ADAPTER).partition("@")
            digests.setdefault(alias, []).append(digest)
            if not cold:
                held.add(f"{alias}@{digest}")
        elif target == BASE:
            ready = not cold
    replica = Replica(id=_REPLICA, url="", secret="", ready=ready or bool(held), resident=held)
    return RoutingTable(
        revision=1,
        base_id=features["base"],
        max_model_len=features["context_window"],
        aliases={name: _alias(name, found, claims, gates) for name, found in digests.items()},
        replicas=(replica,),
    )


def _alias(
    name: str, digests: list[str], claims: Mapping[str, Any], gates: Mapping[str, Any]
) -> Alias:
    found = {digest: gates.get(f"{_ADAPTER}{engine_name(name, digest)}") for digest in digests}
    return Alias(
        name=name,
        live=digests[0],
        previous=digests[1] if len(digests) > 1 else None,
        versions=tuple(digests),
        intents=tuple(claims.get(name, ())),
        gates={d: GateResult.model_validate(told) for d, told in found.items() if told},
    )


REFUSED = "(refused)"
NO_INTENT = "none"


def summary(replayed: Sequence[Replayed]) -> dict[str, Any]:
    """All of it as JSON."""
    intents = sorted({each.intent or NO_INTENT for each in replayed})
    moves = Counter(
        (each.before or REFUSED, each.after or REFUSED) for each in replayed if each.changed
    )
    return {
        "object": "replay",
        **_totals(replayed),
        "targets": _mix(replayed),
        "moves": [
            {"before": before, "after": after, "decisions": count}
            for (before, after), count in moves.most_common()
        ],
        "refused": dict(Counter(each.error for each in replayed if each.error is not None)),
        "intents": {
            intent: _totals([each for each in replayed if (each.intent or NO_INTENT) == intent])
            for intent in intents
        },
    }


def _totals(replayed: Sequence[Replayed]) -> dict[str, Any]:
    return {
        "decisions": len(replayed),
        "changed": sum(each.changed for each in replayed),
        "before_usd": sum(each.before_usd for each in replayed),
        "after_usd": sum(each.after_usd for each in replayed),
    }


def _mix(replayed: Sequence[Replayed]) -> dict[str, dict[str, int]]:
    before = Counter(each.before or REFUSED for each in replayed)
    after = Counter(each.after or REFUSED for each in replayed)
    return {
        target: {"before": before[target], "after": after[target]}
        for target in sorted({*before, *after})
    }

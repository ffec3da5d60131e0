"""Who might answer: the named model and what answers in its place, or for `auto` all that apply.

An alias is resolved to exact versions here, once (law 1).
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence

from adapters.aliases import Alias, engine_name
from router.choose.cards import Card, CardSet
from router.choose.codes import Code
from router.choose.ranking import Candidate
from router.errors import Gone, InvalidRequest, NotFound
from router.exchange import Exchange
from router.replicas.rendezvous import weight
from router.request import AUTO, BASE
from router.wire.endpoint import Endpoint
from router.wire.formats import FORMATS

_PIN = "@"
_BUCKETS = 10_000
_INTENT, _BEFORE, _BASE, _OTHER_INTENT, _FRONTIER = range(5)


class Frontiers:
    """Which frontier models `auto` may choose, and which one answers for named local models."""

    def __init__(
        self, cards: Mapping[str, Card], offered: Sequence[str], default: str | None
    ) -> None:
        self.cards = cards
        self.default = None if default is None else cards[default]
        self.offered = [
            card
            for name, card in cards.items()
            if name == default or any(fnmatch.fnmatchcase(name, glob) for glob in offered)
        ]
        self.others = [card for card in cards.values() if card not in self.offered]
        self.embedders = [c for c in cards.values() if Endpoint.EMBEDDINGS in c.endpoints]


def consider(exchange: Exchange, card_set: CardSet, frontiers: Frontiers) -> list[Candidate]:
    """Candidates in the contract's order. Raises ``NotFound`` (``model_not_found``)."""
    model, table = exchange.request.model, exchange.decision.table
    generates = FORMATS[exchange.request.endpoint].generates
    if not generates and model not in frontiers.cards:
        _require_known(exchange)
        return _embedders(exchange, frontiers)
    if model == AUTO:
        return _auto(exchange, card_set, frontiers)
    if model in (table.base_id, BASE):
        return [Candidate(card_set.base, Code.NAMED, "named by the client", named=True)]
    if model in table.aliases:
        return _alias(exchange, card_set, frontiers, table.aliases[model], "named by the client")
    alias, _, digest = model.partition(_PIN)
    if digest and alias in table.aliases:
        return _pinned(exchange, card_set, frontiers, table.aliases[alias], digest)
    if model in frontiers.cards:
        card = frontiers.cards[model]
        return [Candidate(card, Code.NAMED, "named by the client", named=True)]
    raise _not_found(model)


def _require_known(exchange: Exchange) -> None:
    """A name that nothing has is unknown, whatever the endpoint."""
    table, alias = exchange.decision.table, exchange.request.model.partition(_PIN)[0]
    if exchange.request.model not in (AUTO, BASE, table.base_id) and alias not in table.aliases:
        raise _not_found(exchange.request.model)


def _embedders(exchange: Exchange, frontiers: Frontiers) -> list[Candidate]:
    # Who names a local model means it: the text must not leave for a provider instead.
    if exchange.request.model != AUTO or not frontiers.embedders:
        raise InvalidRequest(
            f"{exchange.request.model!r} cannot embed: a base that generates does not. Name a "
            "provider's model that has the capability 'embeddings', or use 'auto' where one is "
            "configured.",
            code="unsupported_endpoint",
            param="model",
        )
    return [_frontier(card, "a model that embeds") for card in frontiers.embedders]


def _not_found(model: str) -> NotFound:
    return NotFound(
        f"The model {model!r} does not exist. GET /v1/models lists what does.",
        code="model_not_found",
        param="model",
    )


def posterior(exchange: Exchange) -> Mapping[str, float]:
    """Probabilities of intents; what is missing to 1 belongs to none of them."""
    intent = exchange.decision.intent
    if intent.out_of_scope:
        return {}
    if intent.posterior:
        return intent.posterior
    if intent.name is None:
        return {}
    return {intent.name: 1.0 if intent.confidence is None else intent.confidence}


def _auto(exchange: Exchange, card_set: CardSet, frontiers: Frontiers) -> list[Candidate]:
    table, intent = exchange.decision.table, exchange.decision.intent
    found: list[Candidate] = []
    if intent.name is not None and intent.alias is not None:
        card_set.claim(intent.name, intent.alias)
    own = _answering(card_set, intent.name, intent.alias)
    for name in own:
        reason = f"answers the intent {intent.name!r}"
        found += _versions(exchange, card_set, table.aliases[name], Code.INTENT, reason)
    base = "the base answers what no adapter claims"
    found.append(Candidate(card_set.base, Code.BASE, base, tier=_BASE))
    for other in posterior(exchange):
        for name in _answering(card_set, other, None):
            live = table.aliases[name].live
            if other == intent.name or name in own or live is None:
                continue
            card = card_set.adapter(table.aliases[name], live)
            why = f"answers the intent {other!r}, which it may be as well"
            found.append(Candidate(card, Code.INTENT, why, tier=_OTHER_INTENT))
            own = (*own, name)
    found += [_frontier(card, "a frontier model") for card in frontiers.offered]
    for card in frontiers.others:
        candidate = _frontier(card, "")
        candidate.refuse(Code.NOT_OFFERED, "routing.frontiers does not offer it to `auto`")
        found.append(candidate)
    return found


def _answering(card_set: CardSet, intent: str | None, alias: str | None) -> tuple[str, ...]:
    """Aliases for an intent: the one that was recognised with it, or those that claim it."""
    if alias is not None:
        return (alias,) if alias in card_set.table.aliases else ()
    return () if intent is None else card_set.by_intent.get(intent, ())


def _alias(
    exchange: Exchange, card_set: CardSet, frontiers: Frontiers, alias: Alias, reason: str
) -> list[Candidate]:
    versions = _versions(exchange, card_set, alias, Code.NAMED, reason)
    for version in versions:
        version.named = True
    return [*versions, *_in_place_of(alias.name, card_set, frontiers)]


def _pinned(
    exchange: Exchange, card_set: CardSet, frontiers: Frontiers, alias: Alias, digest: str
) -> list[Candidate]:
    """That version and nobody else: a pin is a promise, unless the client says otherwise."""
    model, may_fall_back = exchange.request.model, exchange.request.hints.fallback
    full = _full_digest(alias.versions, digest)
    if full is not None:
        card = card_set.adapter(alias, full)
        pinned = Candidate(card, Code.NAMED, "pinned by the client", named=True)
        others = _in_place_of(model, card_set, frontiers) if may_fall_back else ()
        return [pinned, *others]
    if _full_digest(alias.retired, digest) is not None:
        if may_fall_back:
            why = f"in place of {model!r}, which is retired"
            return _alias(exchange, card_set, frontiers, alias, why)
        raise Gone(
            f"{model!r} was retired. Name {alias.name!r} for the version that is live, or allow "
            f"another answer with x-graftwork-fallback: true.",
            code="version_retired",
            param="model",
        )
    raise NotFound(
        f"{alias.name!r} has no version {digest!r}.", code="model_not_found", param="model"
    )


def _in_place_of(name: str, card_set: CardSet, frontiers: Frontiers) -> list[Candidate]:
    """The base, then the configured frontier (law 3)."""
    why = f"in place of {name!r}, which cannot answer"
    found = [Candidate(card_set.base, Code.FALLBACK, why)]
    if frontiers.default is not None:
        last = "the configured frontier, when nothing local can"
        found.append(Candidate(frontiers.default, Code.FALLBACK, last))
    return found


def _versions(
    exchange: Exchange, card_set: CardSet, alias: Alias, code: Code, reason: str
) -> list[Candidate]:
    """The version for this request, then the one before it."""
    found: list[Candidate] = []
    canary = _canary(exchange, alias)
    digest = canary or alias.live
    if digest is not None:
        first = Code.CANARY if canary is not None else code
        found.append(Candidate(card_set.adapter(alias, digest), first, reason, tier=_INTENT))
    for other in (alias.live, alias.previous):
        if other is None:
            continue
        card = card_set.adapter(alias, other)
        if all(c.card is not card for c in found):
            why = "the version before, in its place"
            found.append(Candidate(card, Code.VERSION_BEFORE, why, tier=_BEFORE))
    return found


def _canary(exchange: Exchange, alias: Alias) -> str | None:
    """The canary's digest when this request falls into its share; sticky per session."""
    return sampled(alias, "canary", exchange.request.hints.session or exchange.request.id)


def sampled(alias: Alias, stage: str, key: str) -> str | None:
    """The alias's candidate of that stage when ``key`` falls into its share."""
    if not alias.candidates:
        return None
    candidate = next((c for c in alias.candidates if c.stage == stage and c.percent > 0), None)
    if candidate is None:
        return None
    bucket = weight(f"{alias.name}/{candidate.digest}/", key) % _BUCKETS
    return candidate.digest if bucket < candidate.percent * _BUCKETS / 100 else None


def _full_digest(digests: Iterable[str], wanted: str) -> str | None:
    if len(wanted) not in (12, 64):
        return None
    return next((full for full in digests if full.startswith(wanted)), None)


def _frontier(card: Card, reason: str) -> Candidate:
    return Candidate(card, Code.FRONTIER, reason, tier=_FRONTIER)


def version_name(alias: Alias, digest: str) -> str:
    """``adapter:<alias>@<digest12>``."""
    return f"adapter:{engine_name(alias.name, digest)}"

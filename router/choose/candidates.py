"""Who might answer, and who of them may not.

Candidates are the named model and what answers in its place, or for `auto` all that apply. An alias
is resolved to exact versions here, once (law 1). Before anything is ranked, each candidate that may
not be asked gets one reason. Their order matters for the reason only: what the operator forbids is
said before what does not fit.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from adapters.aliases import Alias, RoutingTable
from router.choose.cards import Card, CardSet
from router.choose.ranking import Candidate
from router.choose.refusals import Code
from router.choose.virtual import Virtuals
from router.config.virtual import VirtualModel
from router.errors import (
    Failure,
    Gone,
    InvalidRequest,
    NotFound,
    RouterError,
    TargetUnavailable,
)
from router.exchange import Exchange
from router.replicas.rendezvous import weight
from router.request import AUTO, BASE, Needs, Request
from router.wire.endpoint import Endpoint
from router.wire.formats import FORMATS

CONTEXT_MARGIN = 1.1
"""The token count is an estimate: a prompt must fit with so much to spare."""
MIN_ANSWER_TOKENS = 16
"""Room for an answer when the client sets no bound."""
_FEATURES = {
    "tools": (Code.TOOLS, "has no tools"),
    "json_schema": (Code.JSON_SCHEMA, "does not answer by a schema"),
    "vision": (Code.VISION, "does not read pictures"),
    "logprobs": (Code.LOGPROBS, "gives no logprobs"),
    "stored": (Code.STORED, "keeps no responses"),
}

Refusal = tuple[Code, str]


class HealthView(Protocol):
    """Who is down, as the part that calls targets has seen it."""

    def why_not(self, target: str) -> str | None:
        """Why a target should not be asked now; None when it may."""
        ...


class AllWell:
    """Nobody is known to be down."""

    def why_not(self, _target: str) -> str | None:
        """Nothing speaks against anybody."""
        return None


class Funds(Protocol):
    """What the caller may still spend, as far as is known without asking anybody."""

    def left_usd(self, request: Request) -> float | None:
        """US dollars; None: no budget limits them."""
        ...


class Unlimited:
    """Nobody has a budget."""

    def left_usd(self, _request: Request) -> float | None:
        """No limit."""
        return None


@dataclass(frozen=True, slots=True)
class Bounds:
    """Hard limits of one request: the client's own and the route's."""

    max_cost_usd: float | None = None
    max_first_byte_s: float | None = None
    max_total_s: float | None = None
    left_usd: float | None = None
    """Of the caller's budgets. Only a forecast: the reservation before each attempt decides."""


def unfit(card: Card, endpoint: Endpoint, needs: Needs) -> Refusal | None:
    """Why the target cannot answer this kind of request."""
    if endpoint not in card.endpoints:
        return Code.ENDPOINT, f"does not answer {endpoint.value}"
    if not needs.features <= card.features:
        missing = next(name for name in _FEATURES if name in needs.features - card.features)
        return _FEATURES[missing]
    return _too_long(card, needs)


def _too_long(card: Card, needs: Needs) -> Refusal | None:
    window = card.context_window
    if window is None:
        return None
    answer = min(needs.max_output_tokens or MIN_ANSWER_TOKENS, window)
    least = needs.input_tokens if needs.least_input_tokens is None else needs.least_input_tokens
    wanted = int(least * CONTEXT_MARGIN) + answer
    if wanted <= window:
        return None
    return Code.CONTEXT, f"about {wanted} tokens do not fit into its window of {window}"


def cold(card: Card, card_set: CardSet) -> Refusal | None:
    """Why no engine could answer for it now."""
    if card_set.is_held(card):
        return None
    return Code.NOT_RESIDENT, "no ready engine holds it"


def too_dear(cost_usd: float, bounds: Bounds) -> Refusal | None:
    """Why its expected cost is too high."""
    for bound, code, what in (
        (bounds.max_cost_usd, Code.MAX_COST, "the limit of"),
        (bounds.left_usd, Code.BUDGET, "what the budget has left,"),
    ):
        if bound is not None and cost_usd > bound:
            return code, f"expected cost {cost_usd:.6f} USD is above {what} {bound:.6f} USD"
    return None


def too_slow(first_byte_s: float | None, total_s: float | None, bounds: Bounds) -> Refusal | None:
    """Why its measured latency is too high; nothing speaks against what was not measured."""
    for seconds, bound, what in (
        (first_byte_s, bounds.max_first_byte_s, "to the first byte"),
        (total_s, bounds.max_total_s, "for an answer"),
    ):
        if seconds is not None and bound is not None and seconds > bound:
            return Code.TOO_SLOW, f"needs {seconds:.3f} s {what}, the limit is {bound:.3f} s"
    return None


_PIN = "@"
_BUCKETS = 10_000
_LOADING_S = 2.0
"""After which a version that is on its way may answer, seconds."""
_INTENT, _BEFORE, _BASE, _OTHER_INTENT, _FRONTIER = range(5)


class Frontiers:
    """Which frontier models `auto` may choose, and who answers in place of named models."""

    def __init__(
        self,
        cards: Mapping[str, Card],
        offered: Sequence[str],
        default: str | None,
        fallbacks: Mapping[str, Sequence[str]],
    ) -> None:
        self.cards = cards
        self.fallbacks = fallbacks
        self.default = None if default is None else cards[default]
        self.offered = [
            card
            for name, card in cards.items()
            if name == default or any(fnmatch.fnmatchcase(name, glob) for glob in offered)
        ]
        self.others = [card for card in cards.values() if card not in self.offered]
        self.embedders = [c for c in cards.values() if Endpoint.EMBEDDINGS in c.endpoints]


def consider(
    exchange: Exchange, card_set: CardSet, frontiers: Frontiers, virtuals: Virtuals
) -> list[Candidate]:
    """Candidates in the contract's order. Raises ``NotFound`` (``model_not_found``)."""
    virtual = virtuals.of(exchange.request.model, exchange.decision.table)
    if virtual is not None:
        return _virtual(exchange, card_set, frontiers, *virtual)
    found = _meant(exchange, card_set, frontiers, exchange.request.model)
    meant = [each for each in found if each.code is not Code.FALLBACK]
    chain = _fallbacks(exchange, card_set, frontiers, meant)
    listed = {each.card.target for each in chain}
    others = [each for each in found if each.code is Code.FALLBACK]
    return [*meant, *chain, *(each for each in others if each.card.target not in listed)]


def _virtual(
    exchange: Exchange, card_set: CardSet, frontiers: Frontiers, name: str, virtual: VirtualModel
) -> list[Candidate]:
    """What its targets stand for now.

    Raises ``NotFound`` when none of them is there, ``InvalidRequest`` when they cannot do this.
    """
    found: list[Candidate] = []
    for place, target in enumerate(virtual.targets):
        for candidate in _listed(exchange, card_set, frontiers, target):
            candidate.place = place
            if target != AUTO:
                candidate.code, candidate.why = Code.VIRTUAL, f"{target}, of the model {name!r}"
            found.append(candidate)
    if not found:
        raise _none_of(exchange, card_set, frontiers, name, virtual)
    return found


def _none_of(
    exchange: Exchange, card_set: CardSet, frontiers: Frontiers, name: str, virtual: VirtualModel
) -> RouterError:
    """Why no target of a virtual model is there: what exists cannot do this, or nothing exists."""
    for target in virtual.targets:
        try:
            _meant(exchange, card_set, frontiers, target)
        except (InvalidRequest, TargetUnavailable) as error:
            return error
        except (NotFound, Gone):
            continue
    return NotFound(
        f"None of the targets of the model {name!r} exists now: {', '.join(virtual.targets)}.",
        code="model_not_found",
        param="model",
    )


def _fallbacks(
    exchange: Exchange, card_set: CardSet, frontiers: Frontiers, found: list[Candidate]
) -> list[Candidate]:
    """Who answers when what was named cannot: as the client says, else as is configured.

    Raises ``NotFound`` and ``Gone`` for what the client says, as for what it names.
    """
    request = exchange.request
    is_pinned = exchange.decision.table.without_pin(request.model) != request.model
    if is_pinned and not request.hints.fallback:
        return []  # a pin is a promise
    for target in request.hints.fallbacks:
        if not exchange.decision.table.is_loading(target):
            _meant(exchange, card_set, frontiers, target)
    chain = request.hints.fallbacks or frontiers.fallbacks.get(request.model, ())
    present, more = {each.card.target for each in found}, []
    for target in chain:
        for candidate in _listed(exchange, card_set, frontiers, target):
            if candidate.card.target not in present:
                present.add(candidate.card.target)
                candidate.code = Code.FALLBACK
                candidate.why = f"in place of {request.model!r}, when it cannot answer"
                more.append(candidate)
    return more


def _listed(
    exchange: Exchange, card_set: CardSet, frontiers: Frontiers, target: str
) -> list[Candidate]:
    """What one entry of a list of targets stands for; nothing where it does not exist now.

    Nobody named it: what it cannot do is looked at, and nobody answers in its place.
    """
    try:
        meant = _meant(exchange, card_set, frontiers, target)
    except (NotFound, Gone, InvalidRequest, TargetUnavailable):
        return []
    found = [each for each in meant if target == AUTO or each.named]
    for candidate in found:
        candidate.named = False
    return found


def _meant(
    exchange: Exchange, card_set: CardSet, frontiers: Frontiers, model: str
) -> list[Candidate]:
    """What a name of a target stands for.

    Raises ``NotFound``, ``Gone``, ``InvalidRequest``, and ``TargetUnavailable`` for a version that
    is on its way.
    """
    table = exchange.decision.table
    generates = FORMATS[exchange.request.endpoint].generates
    if not generates and model not in frontiers.cards:
        _require_known(exchange, model)
        return _embedders(model, frontiers)
    if model == AUTO:
        return _auto(exchange, card_set, frontiers)
    if model in (table.base_id, BASE):
        return [Candidate(card_set.base, Code.NAMED, "named by the client", named=True)]
    if model in table.aliases:
        return _alias(exchange, card_set, frontiers, table.aliases[model], "named by the client")
    alias, _, digest = model.partition(_PIN)
    if digest and alias in table.aliases:
        return _pinned(exchange, card_set, frontiers, table.aliases[alias], model)
    if table.is_loading(model):
        if exchange.request.hints.fallback:
            return _in_place_of(model, card_set, frontiers)
        raise _loading(model)
    if model in frontiers.cards:
        card = frontiers.cards[model]
        return [Candidate(card, Code.NAMED, "named by the client", named=True)]
    raise _not_found(model)


def _require_known(exchange: Exchange, model: str) -> None:
    """A name that nothing has is unknown, whatever the endpoint."""
    table, alias = exchange.decision.table, model.partition(_PIN)[0]
    if model in (AUTO, BASE, table.base_id):
        return
    if table.is_loading(model):
        return
    if alias not in table.aliases or model.endswith(_PIN):
        raise _not_found(model)
    if alias != model:
        _version(table, table.aliases[alias], model)


def _embedders(model: str, frontiers: Frontiers) -> list[Candidate]:
    # Who names a local model means it: the text must not leave for a provider instead.
    if model != AUTO or not frontiers.embedders:
        raise InvalidRequest(
            f"{model!r} cannot embed: a base that generates does not. Name a "
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
    """Aliases for an intent: the one that was recognised with it, then those that claim it."""
    claiming = () if intent is None else card_set.by_intent.get(intent, ())
    if alias is None or alias not in card_set.table.aliases:
        return claiming
    return tuple(dict.fromkeys((alias, *claiming)))


def _alias(
    exchange: Exchange, card_set: CardSet, frontiers: Frontiers, alias: Alias, reason: str
) -> list[Candidate]:
    versions = _versions(exchange, card_set, alias, Code.NAMED, reason)
    for version in versions:
        version.named = True
    return [*versions, *_in_place_of(alias.name, card_set, frontiers)]


def _pinned(
    exchange: Exchange, card_set: CardSet, frontiers: Frontiers, alias: Alias, model: str
) -> list[Candidate]:
    """That version and nobody else: a pin is a promise, unless the client says otherwise."""
    table, may_fall_back = exchange.decision.table, exchange.request.hints.fallback
    try:
        full = _version(table, alias, model)
    except (Gone, TargetUnavailable) as error:
        if not may_fall_back:
            raise
        state = "retired" if isinstance(error, Gone) else "being loaded"
        why = f"in place of {model!r}, which is {state}"
        return _alias(exchange, card_set, frontiers, alias, why)
    card = card_set.adapter(alias, full)
    pinned = Candidate(card, Code.NAMED, "pinned by the client", named=True)
    others = _in_place_of(model, card_set, frontiers) if may_fall_back else ()
    return [pinned, *others]


def _loading(model: str) -> TargetUnavailable:
    return TargetUnavailable(
        f"{model!r} is on its way and cannot answer yet. Come back in a moment, or allow another "
        "answer with x-graftwork-fallback: true.",
        status=503,
        retry_after_s=_LOADING_S,
        failure=Failure.BUSY,
    )


def _version(table: RoutingTable, alias: Alias, model: str) -> str:
    """The whole digest of a pin. Raises ``NotFound``, ``Gone`` and ``TargetUnavailable``."""
    digest = model.partition(_PIN)[2]
    full = _full_digest(alias.versions, digest)
    if full is not None:
        return full
    if table.is_loading(model):
        raise _loading(model)
    if _full_digest(alias.retired, digest) is not None:
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

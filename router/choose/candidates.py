"""Who might answer, and who of them may not.

Candidates are the named model and what answers in its place, or for `auto` all that apply
(``automatic``). An alias is resolved to exact versions (``versions``) here, once (law 1). Before
anything is ranked, each candidate that may not be asked gets one reason. Their order matters for
the reason only: what the operator forbids is said before what does not fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from adapters.aliases import Alias
from router.choose.automatic import automatic, frontier
from router.choose.cards import Card, CardSet, Frontiers
from router.choose.ranking import Candidate
from router.choose.refusals import Code
from router.choose.versions import loading, pinned, versions
from router.choose.virtual import Virtuals
from router.config.virtual import VirtualModel
from router.errors import (
    Gone,
    InvalidRequest,
    NotFound,
    RouterError,
    TargetUnavailable,
)
from router.exchange import Exchange
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


def consider(
    exchange: Exchange, card_set: CardSet, frontiers: Frontiers, virtuals: Virtuals
) -> list[Candidate]:
    """Candidates in the contract's order. Raises ``NotFound`` (``model_not_found``)."""
    virtual = virtuals.of(exchange.request.model, exchange.decision.table)
    if virtual is not None:
        return _virtual(exchange, card_set, frontiers, *virtual)
    found = _meant(exchange, card_set, frontiers, exchange.request.model)
    meant = [each for each in found if each.code is not Code.FALLBACK]
    # What `auto` is not offered may answer for it where it is asked for by name.
    present = [each for each in meant if each.code is not Code.NOT_OFFERED]
    chain = _fallbacks(exchange, card_set, frontiers, present)
    listed = {each.card.target for each in chain}
    meant = [each for each in meant if each in present or each.card.target not in listed]
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
        return automatic(exchange, card_set, frontiers)
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
        raise loading(model)
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
        pinned(table.aliases[alias], model, table)


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
    return [frontier(card, "a model that embeds") for card in frontiers.embedders]


def _not_found(model: str) -> NotFound:
    return NotFound(
        f"The model {model!r} does not exist. GET /v1/models lists what does.",
        code="model_not_found",
        param="model",
    )


def _alias(
    exchange: Exchange, card_set: CardSet, frontiers: Frontiers, alias: Alias, reason: str
) -> list[Candidate]:
    found = versions(exchange, card_set, alias, Code.NAMED, reason)
    for version in found:
        version.named = True
    return [*found, *_in_place_of(alias.name, card_set, frontiers)]


def _pinned(
    exchange: Exchange, card_set: CardSet, frontiers: Frontiers, alias: Alias, model: str
) -> list[Candidate]:
    """That version and nobody else: a pin is a promise, unless the client says otherwise."""
    table, may_fall_back = exchange.decision.table, exchange.request.hints.fallback
    try:
        full = pinned(alias, model, table)
    except (Gone, TargetUnavailable) as error:
        if not may_fall_back:
            raise
        state = "retired" if isinstance(error, Gone) else "being loaded"
        why = f"in place of {model!r}, which is {state}"
        return _alias(exchange, card_set, frontiers, alias, why)
    card = card_set.adapter(alias, full)
    version = Candidate(card, Code.NAMED, "pinned by the client", named=True)
    others = _in_place_of(model, card_set, frontiers) if may_fall_back else ()
    return [version, *others]


def _in_place_of(name: str, card_set: CardSet, frontiers: Frontiers) -> list[Candidate]:
    """The base, then the configured frontier (law 3)."""
    why = f"in place of {name!r}, which cannot answer"
    found = [Candidate(card_set.base, Code.FALLBACK, why)]
    if frontiers.default is not None:
        last = "the configured frontier, when nothing local can"
        found.append(Candidate(frontiers.default, Code.FALLBACK, last))
    return found

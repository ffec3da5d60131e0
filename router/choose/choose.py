"""Which targets may answer, best first, each with its reason: candidates, filter, ranking."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.aliases import Alias, RoutingTable, engine_name
from adapters.evaluation import GateResult
from router.choose.candidates import (
    AllWell,
    Bounds,
    Funds,
    HealthView,
    Refusal,
    Unlimited,
    cold,
    consider,
    too_dear,
    too_slow,
    unfit,
)
from router.choose.cards import Card, CardSet, CardSets, Frontiers, frontier_cards
from router.choose.learning import Learning
from router.choose.ranking import Candidate, ranked
from router.choose.refusals import Code
from router.choose.sessions import SessionTarget
from router.choose.steering import explored, keep_session
from router.choose.versions import sampled
from router.choose.virtual import Virtuals, ordered
from router.config.root import RouterConfig
from router.config.routing import DEFAULT_ROUTE, RouteConfig
from router.exchange import Exchange
from router.policy.permission import Permits, PolicyBook
from router.prices import FREE, LocalPricing
from router.request import AUTO, NO_INTENT, Decision, Intent, Option, Request, digest

_PIN = "@"
_LIFTED = frozenset({Code.NOT_RESIDENT, Code.UNHEALTHY, Code.BUDGET})
_NO_ROUTE = RouteConfig()
_LIFTED_WHERE_FREE = _LIFTED | {Code.MAX_COST}
_OWN_LIST = "graftwork.fallbacks (a virtual model is answered by its own targets only)"
_PINNED = "graftwork.fallbacks (a pinned version has none without graftwork.fallback)"


class Chooser:
    """Decides; remembers nothing itself. Calls nobody and never waits."""

    def __init__(
        self,
        config: RouterConfig,
        learning: Learning,
        health: HealthView | None = None,
        funds: Funds | None = None,
        pricing: LocalPricing | None = None,
    ) -> None:
        routing = config.routing
        cards = frontier_cards(config.providers)
        aliases = {i.name: i.alias for i in config.auto.intents if i.alias is not None}
        self.policies = PolicyBook(config.policy)
        self.pricing = pricing or LocalPricing(routing.local.price)
        self.card_sets = CardSets(cards, routing.local, self.pricing, aliases)
        self._frontiers = Frontiers(
            cards, routing.frontiers, config.auto.frontier, config.fallbacks
        )
        self.virtuals = Virtuals(config.models, frozenset(cards))
        self._routing = routing
        self.learning = learning
        self._quality = learning.quality
        self._measured = learning.measured
        self._sessions = learning.sessions
        self._health = health or AllWell()
        self._funds = funds or Unlimited()

    def choose(self, exchange: Exchange, permit: Permits, *, is_free: bool = False) -> Decision:
        """All candidates, those that may be asked first, in order, and how they came there.

        Of the decision so far it reads the table and the intent.

        Args:
            exchange: the request.
            permit: what rules say.
            is_free: nothing is generated for it: where the cost of an answer speaks against all,
                it speaks against nobody.

        Raises:
            NotFound: the model does not exist (``model_not_found``).
            InvalidRequest: a local model was named for an endpoint that it does not have.
        """
        card_set = self.card_sets.of(exchange.decision.table)
        considered = consider(exchange, card_set, self._frontiers, self.virtuals)
        last = self._sessions.of(exchange)
        known = exchange.decision
        name, route = self._route(exchange.request, known.intent, known.table)
        gates = self._weigh(exchange, considered, last, card_set)
        self._strike(exchange, considered, permit, route, card_set)
        how, asked = self._order(exchange, considered, last, route)
        chooses = self.chooses(exchange.request, known.table)
        _lift(asked, _LIFTED_WHERE_FREE if is_free else _LIFTED)
        options, wanted = _options(exchange.request, asked)
        shadow = self._shadow(exchange, options[0], permit, card_set)
        return Decision(
            table=exchange.decision.table,
            collections=exchange.decision.collections,
            difficulty=exchange.decision.difficulty,
            intent=exchange.decision.intent,
            policy_version=permit.version,
            ruling=exchange.decision.ruling,
            applied=permit.applied,
            options=options,
            how=how,
            route=name,
            risk=route.risk if chooses else None,
            worth_usd=route.worth_usd if chooses else None,
            wanted=wanted,
            tariff=card_set.tariff,
            claims={
                c.card.alias: sorted(c.card.intents) for c in considered if c.card.alias is not None
            },
            gates=gates,
            shadow=shadow,
            unheard=self._unheard(exchange.request, known.table),
        )

    def _unheard(self, request: Request, table: RoutingTable) -> tuple[str, ...]:
        """The client's wishes that are not followed, so that it learns of it."""
        if not request.hints.fallbacks:
            return ()
        if self.virtuals.of(request.model, table) is not None:
            return (_OWN_LIST,)
        is_pinned = table.without_pin(request.model) != request.model
        return (_PINNED,) if is_pinned and not request.hints.fallback else ()

    def _shadow(
        self, exchange: Exchange, first: Option, permit: Permits, card_set: CardSet
    ) -> Option | None:
        """Who should answer in secret, when this request falls into its share.

        What keeps a target from being asked keeps it from being asked in secret (law 5).
        """
        request = exchange.request
        is_pinned = exchange.decision.table.without_pin(request.model) != request.model
        if not first.allowed or is_pinned:
            return None  # nobody compares with what a client pinned
        alias = _tried_beside(exchange, first, card_set)
        tried = None if alias is None else sampled(alias, "shadow", request.id)
        if alias is None or tried is None or engine_name(alias.name, tried) == first.engine_name:
            return None
        candidate = Candidate(card_set.adapter(alias, tried), Code.SHADOW, "answers in secret")
        _forbid(candidate, permit)
        if request.model == AUTO:  # else trusted as the named version is
            _apply(candidate, unfit(candidate.card, request.endpoint, request.needs))
        _apply(candidate, cold(candidate.card, card_set))
        if candidate.refusal is not None:
            return None
        card = candidate.card
        return Option(
            card.target,
            card.engine_name,
            reason=candidate.why,
            code=candidate.code,
            price=card.price,
        )

    def chooses(self, request: Request, table: RoutingTable) -> bool:
        """Whether `auto` decides who answers, by itself or in the list of a virtual model."""
        return self.virtuals.chooses(request.model, table)

    def weighs(self, request: Request, intent: Intent, table: RoutingTable) -> bool:
        """Whether it makes a difference how hard this request is for a target.

        By order of preference it makes none; it does to a session, which stays with who is about as
        good.
        """
        _, route = self._route(request, intent, table)
        by_quality = route.risk is not None or route.worth_usd is not None
        return by_quality or route.confidence is not None or request.hints.session is not None

    def _route(
        self, request: Request, intent: Intent, table: RoutingTable
    ) -> tuple[str, RouteConfig]:
        """The route's name, empty for the default one, and its settings."""
        model = request.model
        virtual = self.virtuals.of(model, table)
        if virtual is not None:
            name: str | None = virtual[1].route or virtual[0]
        elif model == AUTO:
            name = intent.name
        else:
            name = table.without_pin(model)
        routes = self._routing.routes
        if name is not None and name in routes:
            return name, routes[name]
        return "", routes.get(DEFAULT_ROUTE, _NO_ROUTE)

    def _weigh(
        self,
        exchange: Exchange,
        considered: list[Candidate],
        last: SessionTarget | None,
        card_set: CardSet,
    ) -> dict[str, GateResult]:
        """Expected cost and quality of every candidate; returns what gates found about them."""
        gates: dict[str, GateResult] = {}
        needs, posterior = exchange.request.needs, exchange.decision.intent.probabilities
        hardness = exchange.decision.difficulty
        likeliest = max(posterior, key=posterior.__getitem__, default=NO_INTENT)
        for candidate in considered:
            card = candidate.card
            target = card.target
            if card.price is not FREE:
                output = needs.output_tokens(self._measured.output_tokens(target))
                cached = last.input_tokens if last is not None and last.target == target else 0
                candidate.cost_usd = card.price.expected(needs.input_tokens, output, cached)
            of = (card_set.claimed, hardness)
            candidate.quality = self._quality.expected(card, posterior, *of)
            candidate.prior = self._quality.prior(card, likeliest, *of).record()
            if self._routing.quality.per_request:
                candidate.difficulty = hardness.told(target)
            if card.gate is not None:
                gates[target] = card.gate.about({NO_INTENT, *posterior})
        return gates

    def _strike(
        self,
        exchange: Exchange,
        considered: list[Candidate],
        permit: Permits,
        route: RouteConfig,
        card_set: CardSet,
    ) -> None:
        """Refuse what may not be asked; a named model that policy forbids ends the request."""
        for candidate in considered:
            if candidate.refusal is None:
                _forbid(candidate, permit)
        named = [candidate for candidate in considered if candidate.named]
        if named and all(candidate.refusal is not None for candidate in named):
            for candidate in considered:
                candidate.refuse(
                    Code.POLICY_DENIED, "nothing answers in place of what is forbidden"
                )
            return
        bounds = _bounds(exchange, route, self._funds)
        timed = bounds.max_first_byte_s is not None or bounds.max_total_s is not None
        for candidate in considered:
            if candidate.refusal is None:
                _apply(candidate, self._misfit(exchange, candidate, bounds, card_set))
            if timed and candidate.refusal is None and not candidate.named:
                latency = self._measured.latency(candidate.card.target)
                _apply(candidate, too_slow(*latency, bounds))

    def _misfit(
        self, exchange: Exchange, candidate: Candidate, bounds: Bounds, card_set: CardSet
    ) -> Refusal | None:
        card = candidate.card
        # Who names a model is trusted to know it: what it cannot do, it says itself.
        refusal = (
            None
            if candidate.named
            else unfit(card, exchange.request.endpoint, exchange.request.needs)
        )
        refusal = refusal or too_dear(candidate.cost_usd, bounds) or cold(card, card_set)
        if refusal is None and (why := self._health.why_not(card.target)) is not None:
            return Code.UNHEALTHY, why
        return refusal

    def _order(
        self,
        exchange: Exchange,
        considered: list[Candidate],
        last: SessionTarget | None,
        route: RouteConfig,
    ) -> tuple[str, list[Candidate]]:
        request = exchange.request
        virtual = self.virtuals.of(request.model, exchange.decision.table)
        if virtual is not None:
            name, means = virtual
            key = digest(request.hints.session) if request.hints.session else request.id
            asked = _ranked_where_auto(considered, means.targets, route)
            latency = lambda target: self._measured.latency(target)[1]  # noqa: E731
            return means.strategy.value, ordered(asked, means, name, key, latency)
        if request.model != AUTO:
            return "named", considered
        how = "ranked"
        chain = [each for each in considered if each.code is Code.FALLBACK]
        chosen = [each for each in considered if each.code is not Code.FALLBACK]
        best = ranked(chosen, route.risk, route.worth_usd)
        session = request.hints.session
        if session is not None:
            slack = self._routing.sessions.slack
            if keep_session(best, last, digest(session), risk=route.risk, slack=slack):
                how = "session"
        elif explored(best, request.id, self._routing.explore):
            how = "explored"
        return how, best + chain


def _ranked_where_auto(
    considered: list[Candidate], targets: Sequence[str], route: RouteConfig
) -> list[Candidate]:
    """Those that `auto` stands for, in a virtual model's list, as `auto` would have them."""
    if AUTO not in targets:
        return considered
    place = targets.index(AUTO)
    own = [each for each in considered if each.place == place]
    chosen = ranked(own, route.risk, route.worth_usd)
    return [each for each in considered if each.place != place] + chosen


def _tried_beside(exchange: Exchange, first: Option, card_set: CardSet) -> Alias | None:
    """The alias whose candidate may be compared with the first option.

    Its own; or, where no adapter answers the intent yet, the one that is about to learn it.
    """
    table = card_set.table
    own = table.aliases.get((first.engine_name or "").partition(_PIN)[0])
    if own is not None or exchange.request.model != AUTO or exchange.decision.intent.name is None:
        return own
    learning = card_set.by_intent.get(exchange.decision.intent.name, ())
    return next((table.aliases[name] for name in learning if table.aliases[name].candidates), None)


def _forbid(candidate: Candidate, permit: Permits) -> None:
    why = permit.why_not(candidate.card, candidate.cost_usd)
    if why is not None:
        candidate.refuse(Code.POLICY_DENIED, why)
    elif not candidate.card.serves(permit.tenant):
        candidate.refuse(Code.TENANT, f"does not serve the tenant {permit.tenant!r}")


def _apply(candidate: Candidate, refusal: Refusal | None) -> None:
    if refusal is not None:
        candidate.refuse(*refusal)


def _bounds(exchange: Exchange, route: RouteConfig, funds: Funds) -> Bounds:
    costs = [c for c in (exchange.request.hints.max_cost_usd, route.max_cost_usd) if c is not None]
    return Bounds(
        min(costs, default=None),
        route.max_first_byte_s,
        route.max_total_s,
        funds.left_usd(exchange.request),
    )


def _lift(ordered: list[Candidate], lifted: frozenset[Code]) -> None:
    """When only the moment speaks against all, delivery may try: it knows the newest state."""
    if any(candidate.refusal is None for candidate in ordered):
        return
    for candidate in ordered:
        if candidate.refusal in lifted:
            candidate.refusal = None
            candidate.why += "; nobody else may answer"


def _options(request: Request, ordered: list[Candidate]) -> tuple[tuple[Option, ...], str | None]:
    """The options, and the target that would have been the first of them, had an engine held it."""
    session = request.hints.session
    affinity = None if session is None else f"{request.tenant}/{session}"
    wanted: str | None = None
    asked: list[Option] = []
    refused: list[Option] = []
    for candidate in ordered:
        if candidate.refusal is Code.NOT_RESIDENT and not asked and wanted is None:
            wanted = candidate.card.target
        if candidate.refusal is None:
            asked.append(_option(candidate, len(asked) + 1, affinity))
        else:
            refused.append(_option(candidate, None, None))
    return (*asked, *refused), wanted


def _option(candidate: Candidate, rank: int | None, affinity: str | None) -> Option:
    card: Card = candidate.card
    return Option(
        card.target,
        card.engine_name,
        rank is not None,
        candidate.why,
        candidate.code,
        rank,
        candidate.cost_usd,
        candidate.quality,
        candidate.prior,
        candidate.difficulty,
        card.price,
        affinity,
    )

"""What is known about every target: what it can, what it costs, where it is, whom it serves.

Cards of frontiers are made once; those of the base and of adapters once per routing table and local
price.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from adapters.aliases import Alias, RoutingTable, engine_name
from adapters.evaluation import GateResult
from router.config.providers import Capability, ModelCard, ProviderConfig
from router.config.routing import LocalConfig
from router.config.vendors import LongPrompt
from router.prices import FREE, LocalPricing, Price, Tariff
from router.request import BASE
from router.wire.endpoint import Endpoint
from router.wire.formats import FORMATS

LOGPROBS = "logprobs"
STORED = "stored"
"""Keeps responses, so that a later request can go on from one: providers do, engines do not."""
_LOCAL_ENDPOINTS = frozenset(each for each, wire in FORMATS.items() if wire.generates)
_FEATURES = {
    Capability.TOOLS: "tools",
    Capability.JSON_SCHEMA: "json_schema",
    Capability.VISION: "vision",
}


@dataclass(frozen=True, slots=True)
class Card:
    """One target as a candidate."""

    target: str
    engine_name: str | None = None
    alias: str | None = None
    intents: frozenset[str] = frozenset()
    """Intents that it was made for, or is meant for."""
    endpoints: frozenset[Endpoint] = _LOCAL_ENDPOINTS
    features: frozenset[str] = frozenset()
    context_window: int | None = None
    """Prompt and answer, tokens; None: not known."""
    max_output_tokens: int | None = None
    price: Price = FREE
    gate: GateResult | None = field(default=None, hash=False)
    """What was found about this version before it was published."""
    regions: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ("*",)

    @property
    def is_local(self) -> bool:
        """Whether the engines answer."""
        return self.engine_name is not None

    def serves(self, tenant: str) -> bool:
        """Whether the tenant may use it, as far as the card says."""
        return self.tenants == ("*",) or any(
            fnmatch.fnmatchcase(tenant, pattern) for pattern in self.tenants
        )


def frontier_card(provider: ProviderConfig, model: ModelCard) -> Card:
    """The card of a provider's model."""
    return Card(
        target=f"frontier:{provider.name}/{model.id}",
        endpoints=provider.endpoints(model),
        # A provider that has no logprobs says so itself: cards do not tell.
        features=_features(model.capabilities)
        | {LOGPROBS}
        | ({STORED} if provider.keeps_responses(model) else set()),
        context_window=model.context_window,
        max_output_tokens=model.max_output_tokens,
        price=_price(model),
        intents=frozenset(model.intents),
        regions=model.regions,
        tenants=model.tenants,
    )


def _price(model: ModelCard) -> Price:
    price, long = _per_token(model), model.long_prompt
    if long is None:
        return price
    return replace(price, long_above=long.above_tokens, long=_per_token(long))


def _per_token(prices: ModelCard | LongPrompt) -> Price:
    cached = prices.cached_input_usd_per_mtok
    return Price(
        prices.input_usd_per_mtok / 1e6,
        prices.output_usd_per_mtok / 1e6,
        (prices.input_usd_per_mtok if cached is None else cached) / 1e6,
    )


def frontier_cards(providers: Iterable[ProviderConfig]) -> dict[str, Card]:
    """Cards by public name ``<provider>/<model>``."""
    return {
        f"{provider.name}/{model.id}": frontier_card(provider, model)
        for provider in providers
        for model in provider.models
    }


def _features(capabilities: frozenset[Capability]) -> frozenset[str]:
    return frozenset(name for capability, name in _FEATURES.items() if capability in capabilities)


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


class CardSet:
    """The local cards of one routing table, and the frontiers'. Adapters' are made when asked for.

    Attributes:
        tariff: what local tokens cost.
        resident: engine names that some ready replica holds.
        engines_ready: whether any replica is ready.
        claimed: intents that some live adapter was made for.
    """

    def __init__(
        self,
        table: RoutingTable,
        frontiers: Mapping[str, Card],
        local: LocalConfig,
        tariff: Tariff,
        intent_aliases: Mapping[str, str],
    ) -> None:
        self.table = table
        self.tariff = tariff
        self.frontiers = frontiers
        self._features = _features(local.capabilities) | {LOGPROBS}
        self._regions = local.regions
        ready = [replica for replica in table.replicas if replica.ready]
        self.engines_ready = bool(ready)
        self.resident = frozenset[str]().union(*(replica.resident for replica in ready))
        self.by_intent = _by_intent(table, intent_aliases)
        self.claimed = frozenset(
            i for i, names in self.by_intent.items() if any(table.aliases[n].live for n in names)
        )
        self._made: dict[str, Card] = {}
        self.base = self._local(BASE, table.base_id, None, frozenset())

    def adapter(self, alias: Alias, digest: str) -> Card:
        """The card of one version."""
        name = engine_name(alias.name, digest)
        card = self._made.get(name)
        if card is None:
            claimed = {i for i, names in self.by_intent.items() if alias.name in names}
            card = self._local(f"adapter:{name}", name, alias.name, frozenset(claimed))
            if digest in alias.gates:
                card = replace(card, gate=alias.gates[digest])
            self._made[name] = card
        return card

    def claim(self, intent: str, name: str) -> None:
        """An alias turned out to be made for an intent: intents may change without a new table."""
        names = self.by_intent.get(intent, ())
        if name not in names and name in self.table.aliases:
            self.by_intent[intent] = (*names, name)
            self.claimed |= {intent}
            self._made.clear()

    def is_held(self, card: Card) -> bool:
        """Whether some ready engine has it."""
        if card.engine_name is None:
            return True
        return card.engine_name in self.resident or (
            self.engines_ready and card.engine_name == self.table.base_id
        )

    def _local(self, target: str, name: str, alias: str | None, intents: frozenset[str]) -> Card:
        return Card(
            target=target,
            engine_name=name,
            alias=alias,
            intents=intents,
            features=self._features,
            context_window=self.table.max_model_len,
            price=self.tariff.price,
            regions=self._regions,
        )


def _by_intent(table: RoutingTable, configured: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Aliases by the intent that they answer, or are tried for: the configured one first."""
    found: dict[str, list[str]] = {}
    for intent, name in configured.items():
        if name in table.aliases:
            found.setdefault(intent, []).append(name)
    for alias in table.aliases.values():
        if alias.live is None and not alias.candidates:
            continue
        for intent in alias.intents:
            names = found.setdefault(intent, [])
            if alias.name not in names:
                names.append(alias.name)
    return {intent: tuple(names) for intent, names in found.items()}


class CardSets:
    """The card set of the newest table and local price; both live longer than a request."""

    def __init__(
        self,
        frontiers: Mapping[str, Card],
        local: LocalConfig,
        pricing: LocalPricing,
        intent_aliases: Mapping[str, str],
    ) -> None:
        self.frontiers = frontiers
        self._local = local
        self._pricing = pricing
        self._intent_aliases = intent_aliases
        self._newest: CardSet | None = None

    def of(self, table: RoutingTable) -> CardSet:
        """The cards that hold for a table, at the price of this moment."""
        card_set, tariff = self._newest, self._pricing.current
        if card_set is None or card_set.table is not table or card_set.tariff is not tariff:
            card_set = CardSet(table, self.frontiers, self._local, tariff, self._intent_aliases)
            self._newest = card_set
        return card_set

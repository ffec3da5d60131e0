"""Who might answer `auto`: adapters by what is asked, the base, the frontiers on offer."""

from __future__ import annotations

from router.choose.cards import Card, CardSet, Frontiers
from router.choose.ranking import Candidate, Tier
from router.choose.refusals import Code
from router.choose.versions import versions
from router.exchange import Exchange


def automatic(exchange: Exchange, card_set: CardSet, frontiers: Frontiers) -> list[Candidate]:
    """All that apply, by what the request is about."""
    table, intent = exchange.decision.table, exchange.decision.intent
    found: list[Candidate] = []
    if intent.name is not None and intent.alias is not None:
        card_set.claim(intent.name, intent.alias)
    own = _answering(card_set, intent.name, intent.alias)
    for name in own:
        reason = f"answers the intent {intent.name!r}"
        found += versions(exchange, card_set, table.aliases[name], Code.INTENT, reason)
    base = "the base answers what no adapter claims"
    found.append(Candidate(card_set.base, Code.BASE, base, tier=Tier.BASE))
    for other in intent.probabilities:
        for name in _answering(card_set, other, None):
            live = table.aliases[name].live
            if other == intent.name or name in own or live is None:
                continue
            card = card_set.adapter(table.aliases[name], live)
            why = f"answers the intent {other!r}, which it may be as well"
            found.append(Candidate(card, Code.INTENT, why, tier=Tier.OTHER_INTENT))
            own = (*own, name)
    found += [frontier(card, "a frontier model") for card in frontiers.offered]
    for card in frontiers.others:
        candidate = frontier(card, "")
        candidate.refuse(Code.NOT_OFFERED, "routing.frontiers does not offer it to `auto`")
        found.append(candidate)
    return found


def _answering(card_set: CardSet, intent: str | None, alias: str | None) -> tuple[str, ...]:
    """Aliases for an intent: the one that was recognised with it, then those that claim it."""
    claiming = () if intent is None else card_set.by_intent.get(intent, ())
    if alias is None or alias not in card_set.table.aliases:
        return claiming
    return tuple(dict.fromkeys((alias, *claiming)))


def frontier(card: Card, reason: str) -> Candidate:
    """A provider's model that nobody named."""
    return Candidate(card, Code.FRONTIER, reason, tier=Tier.FRONTIER)

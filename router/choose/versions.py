"""Which version of an alias a request means: live, canary, the one before, or pinned (law 1)."""

from __future__ import annotations

from collections.abc import Iterable

from adapters.aliases import Alias, RoutingTable
from router.choose.cards import CardSet
from router.choose.ranking import Candidate, Tier
from router.choose.refusals import Code
from router.errors import Failure, Gone, NotFound, TargetUnavailable
from router.exchange import Exchange
from router.replicas.rendezvous import weight

_PIN = "@"
_BUCKETS = 10_000
_LOADING_S = 2.0
"""After which a version that is on its way may answer, seconds."""


def versions(
    exchange: Exchange, card_set: CardSet, alias: Alias, code: Code, reason: str
) -> list[Candidate]:
    """The version for this request, then the one before it."""
    found: list[Candidate] = []
    canary = _canary(exchange, alias)
    digest = canary or alias.live
    if digest is not None:
        first = Code.CANARY if canary is not None else code
        found.append(Candidate(card_set.adapter(alias, digest), first, reason, tier=Tier.INTENT))
    for other in (alias.live, alias.previous):
        if other is None:
            continue
        card = card_set.adapter(alias, other)
        if all(c.card is not card for c in found):
            why = "the version before, in its place"
            found.append(Candidate(card, Code.VERSION_BEFORE, why, tier=Tier.BEFORE))
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


def pinned(alias: Alias, model: str, table: RoutingTable) -> str:
    """The whole digest of a pin. Raises ``NotFound``, ``Gone`` and ``TargetUnavailable``."""
    digest = model.partition(_PIN)[2]
    full = _full_digest(alias.versions, digest)
    if full is not None:
        return full
    if table.is_loading(model):
        raise loading(model)
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


def _full_digest(digests: Iterable[str], wanted: str) -> str | None:
    if len(wanted) not in (12, 64):
        return None
    return next((full for full in digests if full.startswith(wanted)), None)


def loading(model: str) -> TargetUnavailable:
    """The error for a version that is on its way."""
    return TargetUnavailable(
        f"{model!r} is on its way and cannot answer yet. Come back in a moment, or allow another "
        "answer with x-graftwork-fallback: true.",
        status=503,
        retry_after_s=_LOADING_S,
        failure=Failure.BUSY,
    )

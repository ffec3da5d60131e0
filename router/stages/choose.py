"""Which targets may answer, best first, each with the reason. An alias is resolved here, once."""

from __future__ import annotations

import hashlib

from adapters.aliases import Alias, RoutingTable, engine_name
from router.catalog import Catalog
from router.errors import InvalidRequest, NotFound
from router.request import AUTO, BASE, Exchange, Option
from router.targets.base import Endpoint

_PIN = "@"
_BUCKETS = 10_000


def consider(exchange: Exchange, catalog: Catalog) -> list[Option]:
    """Candidates for the named model, best first. Raises ``NotFound`` (``model_not_found``)."""
    model, table = exchange.model, exchange.table
    if exchange.endpoint is Endpoint.EMBEDDINGS and model not in catalog.frontiers:
        _require_known(exchange)
        return _embedders(exchange, catalog)
    if model == AUTO:
        return _auto(exchange, catalog)
    if model in (table.base_id, BASE):
        return [_base(table, "named by the client")]
    if model in table.aliases:
        return _alias(exchange, table.aliases[model], catalog, "named by the client")
    alias, _, digest = model.partition(_PIN)
    if digest and alias in table.aliases:
        return _pinned(exchange, table.aliases[alias], digest, catalog)
    if model in catalog.frontiers:
        return [_frontier(model, "named by the client")]
    raise _not_found(model)


def _require_known(exchange: Exchange) -> None:
    """A name that nothing has is unknown, whatever the endpoint."""
    table, alias = exchange.table, exchange.model.partition(_PIN)[0]
    if exchange.model not in (AUTO, BASE, table.base_id) and alias not in table.aliases:
        raise _not_found(exchange.model)


def _embedders(exchange: Exchange, catalog: Catalog) -> list[Option]:
    # Who names a local model means it: the text must not leave for a provider instead.
    if exchange.model != AUTO or not catalog.embedders:
        raise InvalidRequest(
            f"{exchange.model!r} cannot embed: a base that generates does not. Name a provider's "
            "model that has the capability 'embeddings', or use 'auto' where one is configured.",
            code="unsupported_endpoint",
            param="model",
        )
    return [_frontier(model, "a model that embeds") for model in catalog.embedders]


def _not_found(model: str) -> NotFound:
    return NotFound(
        f"The model {model!r} does not exist. GET /v1/models lists what does.",
        code="model_not_found",
        param="model",
    )


def _auto(exchange: Exchange, catalog: Catalog) -> list[Option]:
    table, intent = exchange.table, exchange.intent
    found = intent.alias or _alias_for(table, intent.name)
    options: list[Option] = []
    if found is not None and found in table.aliases:
        reason = f"answers the intent {intent.name!r}"
        options += _versions(exchange, table.aliases[found], reason)
    options.append(_base(table, "the base answers what no adapter claims"))
    return options + _configured_frontier(catalog)


def _alias_for(table: RoutingTable, intent: str | None) -> str | None:
    """The alias whose live version declares the intent in its manifest."""
    if intent is None:
        return None
    return next((a.name for a in table.aliases.values() if intent in a.intents and a.live), None)


def _alias(exchange: Exchange, alias: Alias, catalog: Catalog, reason: str) -> list[Option]:
    fallback = f"in place of {alias.name!r}, which cannot answer"
    return [
        *_versions(exchange, alias, reason),
        _base(exchange.table, fallback),
        *_configured_frontier(catalog),
    ]


def _versions(exchange: Exchange, alias: Alias, reason: str) -> list[Option]:
    """The version for this request, then the one before it."""
    options = []
    digest = _canary(exchange, alias) or alias.live
    if digest is not None:
        options.append(_adapter(alias, digest, reason))
    for other in (alias.live, alias.previous):
        if other is not None and all(
            o.engine_name != engine_name(alias.name, other) for o in options
        ):
            options.append(_adapter(alias, other, "the version before, in its place"))
    return options


def _canary(exchange: Exchange, alias: Alias) -> str | None:
    """The canary's digest when this request falls into its share; sticky per session."""
    return _sampled(alias, "canary", exchange.hints.session or exchange.request_id)


def shadowed(exchange: Exchange) -> Option | None:
    """The candidate that should answer in secret, when this request falls into its share."""
    chosen = exchange.chosen
    if chosen is None or chosen.engine_name is None:
        return None
    alias = exchange.table.aliases.get(chosen.engine_name.partition(_PIN)[0])
    if alias is None or _PIN in exchange.model:  # pinned: nobody else's business
        return None
    digest = _sampled(alias, "shadow", exchange.request_id)
    if digest is None or engine_name(alias.name, digest) == chosen.engine_name:
        return None
    return _adapter(alias, digest, "answers in secret")


def _sampled(alias: Alias, stage: str, key: str) -> str | None:
    """The alias's candidate of that stage when ``key`` falls into its share."""
    candidate = next((c for c in alias.candidates if c.stage == stage and c.percent > 0), None)
    if candidate is None:
        return None
    seed = f"{alias.name}/{candidate.digest}/{key}".encode()
    bucket = int.from_bytes(hashlib.blake2b(seed, digest_size=8).digest(), "big") % _BUCKETS
    return candidate.digest if bucket < candidate.percent * _BUCKETS / 100 else None


def _pinned(exchange: Exchange, alias: Alias, digest: str, catalog: Catalog) -> list[Option]:
    full = _full_digest(alias.versions, digest)
    if full is not None:
        return [
            _adapter(alias, full, "pinned by the client"),
            _base(exchange.table, f"in place of {exchange.model!r}, which cannot answer"),
            *_configured_frontier(catalog),
        ]
    if _full_digest(alias.retired, digest) is not None:
        return _alias(exchange, alias, catalog, f"in place of {exchange.model!r}, which is retired")
    raise NotFound(
        f"{alias.name!r} has no version {digest!r}.", code="model_not_found", param="model"
    )


def _full_digest(digests: tuple[str, ...], wanted: str) -> str | None:
    if len(wanted) not in (12, 64):
        return None
    return next((full for full in digests if full.startswith(wanted)), None)


def _adapter(alias: Alias, digest: str, reason: str) -> Option:
    name = engine_name(alias.name, digest)
    return Option(target=f"adapter:{name}", engine_name=name, reason=reason)


def _base(table: RoutingTable, reason: str) -> Option:
    return Option(target=BASE, engine_name=table.base_id, reason=reason)


def _frontier(model: str, reason: str) -> Option:
    return Option(target=f"frontier:{model}", reason=reason)


def _configured_frontier(catalog: Catalog) -> list[Option]:
    if catalog.default_frontier is None:
        return []
    return [_frontier(catalog.default_frontier, "the configured frontier, when nothing local can")]

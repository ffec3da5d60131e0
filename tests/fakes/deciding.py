"""Choosers over small worlds: some frontier models, one engine, the alias ``returns``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adapters.aliases import Alias, RoutingTable, engine_name
from router.choose.choose import Chooser
from router.choose.learning import Learning
from router.config.root import RouterConfig
from router.errors import RouterError
from router.exchange import Exchange
from router.request import Caller, Option
from tests.fakes.exchanges import BEFORE, LIVE, TRIED, put, replica, table

ANYBODY = Caller("anybody", "default", frozenset())
BIG, SMALL = "cloud/big", "cloud/small"


def model(name: str, usd_per_mtok: float = 1.0, **fields: Any) -> dict[str, Any]:
    """A frontier model whose tokens all cost the same."""
    return {
        "id": name,
        "input_usd_per_mtok": usd_per_mtok,
        "output_usd_per_mtok": usd_per_mtok,
        **fields,
    }


def config(models: Sequence[dict[str, Any]] = (), **fields: Any) -> RouterConfig:
    """One provider, ``cloud``, with these models (default: ``big`` and the cheaper ``small``)."""
    found = list(models) or [model("big", 10.0), model("small", 1.0)]
    provider = {"name": "cloud", "base_url": "http://127.0.0.1:9/v1", "models": found}
    return RouterConfig.model_validate({"providers": [provider], **fields})


def chooser(models: Sequence[dict[str, Any]] = (), **fields: Any) -> Chooser:
    """A chooser that has learned nothing yet."""
    made = config(models, **fields)
    return Chooser(made, Learning(made.routing))


def returns(**fields: Any) -> Alias:
    """The alias ``returns``, made for the intent of the same name."""
    defaults = {
        "name": "returns",
        "live": LIVE,
        "previous": BEFORE,
        "versions": (LIVE, BEFORE, TRIED),
        "intents": ("returns",),
    }
    return Alias.model_validate({**defaults, **fields})


def world(*aliases: Alias, cold: Sequence[str] = (), **fields: Any) -> RoutingTable:
    """A table whose one engine holds every version except those of ``cold``."""
    held = [
        engine_name(alias.name, digest)
        for alias in aliases
        for digest in alias.versions
        if engine_name(alias.name, digest) not in cold
    ]
    return table(*aliases, replicas=(replica("r1", *held),), **fields)


def decide(found: Exchange, by: Chooser) -> tuple[Option, ...]:
    """All options, as the pipeline gets them; they are put into the exchange too."""
    put(found, caller=found.request.caller or ANYBODY)
    permission = by.policies.permission(found.request.caller, found.decision.intent.name)
    found.decision = by.choose(found, permission)
    return found.decision.options


def allowed(found: Exchange, by: Chooser) -> list[str]:
    """What may be asked, best first."""
    return [option.target for option in decide(found, by) if option.allowed]


def refused(found: Exchange, by: Chooser) -> dict[str, str]:
    """The code of everything that may not be asked."""
    return {option.target: option.code for option in decide(found, by) if not option.allowed}


def error(found: Exchange, by: Chooser) -> RouterError:
    """What the client is told when nobody may answer."""
    from router.choose.refusals import nobody

    options = decide(found, by)
    assert not any(option.allowed for option in options)
    return nobody(options)

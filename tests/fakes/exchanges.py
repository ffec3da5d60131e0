"""Requests on their way, and the tables that they see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from adapters.aliases import Alias, Replica, RoutingTable, engine_name
from router.exchange import Exchange
from router.request import AUTO, Caller, Decision, Hints, Option, Request
from router.wire.endpoint import Endpoint

LIVE, BEFORE, TRIED, GONE = ("1" * 64, "2" * 64, "3" * 64, "4" * 64)
BASE_ID = "tiny"


def exchange(
    model: str = AUTO,
    *,
    table: RoutingTable | None = None,
    request_id: str = "req_1",
    session: str | None = None,
    headers: Mapping[str, str] | None = None,
    endpoint: Endpoint = Endpoint.CHAT,
    caller: Caller | None = None,
    text: str = "",
) -> Exchange:
    """A request as the stages find it."""
    request = Request(
        id=request_id,
        decision_id="dec_1",
        endpoint=endpoint,
        headers=dict(headers or {}),
        model=model,
        route=model.partition("@")[0],
        hints=Hints(session=session),
        caller=caller,
        text=text,
    )
    return Exchange(request, Decision(table or RoutingTable(base_id=BASE_ID)))


def put(found: Exchange, **facts: Any) -> Exchange:
    """Put facts into whichever record has them, as the stages before would have done."""
    for name, value in facts.items():
        if name in Request.__dataclass_fields__:
            found.request = replace(found.request, **{name: value})
        elif name in Decision.__dataclass_fields__:
            found.decision = replace(found.decision, **{name: value})
        else:
            record = found.delivery if hasattr(found.delivery, name) else found.account
            setattr(record, name, value)
    return found


def table(*aliases: Alias, **fields: Any) -> RoutingTable:
    """A table with these aliases."""
    fields = {"revision": 1, "base_id": BASE_ID, **fields}
    return RoutingTable(aliases={alias.name: alias for alias in aliases}, **fields)


def replica(name: str, *resident: str, ready: bool = True) -> Replica:
    """An engine that holds these engine names."""
    return Replica(id=name, url=f"http://{name}", secret="s", ready=ready, resident=resident)


def local(alias: str, digest: str = LIVE) -> Option:
    """The option of an adapter's version."""
    name = engine_name(alias, digest)
    return Option(target=f"adapter:{name}", engine_name=name)

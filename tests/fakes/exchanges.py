"""Requests on their way, and the tables that they see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.aliases import Alias, Replica, RoutingTable, engine_name
from router.request import AUTO, Caller, Exchange, Hints, Option
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
    return Exchange(
        request_id=request_id,
        decision_id="dec_1",
        endpoint=endpoint,
        headers=dict(headers or {}),
        table=table or RoutingTable(base_id=BASE_ID),
        model=model,
        hints=Hints(session=session),
        caller=caller,
        text=text,
    )


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

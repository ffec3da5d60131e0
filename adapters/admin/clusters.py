"""The resource ``clusters``: what is asked again and again and answered poorly. Thin."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from pydantic import BaseModel, ConfigDict, Field, field_validator
from starlette.requests import Request
from starlette.responses import Response

from adapters.admin.parts import actor, choice
from adapters.corpus.cluster import Cluster, ClusterState, Move
from adapters.corpus.clusters import Clusters
from adapters.errors import BadName
from adapters.format.names import validate_alias
from adapters.records.line import iso
from adapters.resources import BadField, Resource, body_of, cursor_of, describes, page_of

_PATH: Final = "/admin/v1/clusters"
_ONE: Final = f"{_PATH}/{{id}}"
_INTENT: Final = f"{_ONE}/intent"
_DISMISS: Final = f"{_ONE}/dismiss"
_ALL: Final = "all"
_STATES: Final = (
    ClusterState.OPEN.value,
    ClusterState.INTENT.value,
    ClusterState.DISMISSED.value,
    _ALL,
)
_SHOWN: Final = (ClusterState.OPEN, ClusterState.INTENT)
_TAKEN: Final = frozenset({"none", "auto", "base"})
"""Names that mean something else wherever an intent may be named."""


@dataclass(frozen=True)
class ClustersAdmin:
    """What the resource needs.

    Attributes:
        clusters: all of them.
        changed: told of each that somebody decided on.
        aliases: which adapter learns an intent, where the configuration says.
        means_otherwise: why a name cannot be an alias, though it looks like one; None: it can.
    """

    clusters: Clusters
    changed: Callable[[Cluster], None]
    aliases: Mapping[str, str]
    means_otherwise: Callable[[str], str | None]


class IntentRequest(BaseModel):
    """What a cluster is about."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(
        min_length=1,
        max_length=128,
        description="a new intent, or one that there is, which gets these examples as well",
    )
    alias: str | None = Field(
        default=None,
        description="the adapter that answers it, when there is one; default: as"
        " `flywheel.routes` says, else the intent's name, where that can be an alias",
    )

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        if name != name.strip() or not name.isprintable() or name.casefold() in _TAKEN:
            raise ValueError("must be a line of text without spaces around it, and no keyword")
        return name


@describes(query={"state": "`open`, `intent`, `dismissed` or `all`; default: open and intent"})
async def clusters(admin: ClustersAdmin, request: Request) -> Response:
    """What is asked alike and answered poorly, the most frequent first."""
    page = page_of(request.query_params)
    wanted = choice(request.query_params, "state", _STATES)
    states: tuple[ClusterState, ...] = _SHOWN
    if wanted == _ALL:
        states = (*_SHOWN, ClusterState.DISMISSED)
    elif wanted is not None:
        states = (ClusterState(wanted),)
    found, after = await asyncio.to_thread(admin.clusters.page, states, page.limit, page.after)
    more = None if after is None else cursor_of(after)
    return _json({"object": "list", "data": [*map(_shown, found)], "next": more})


async def cluster(admin: ClustersAdmin, request: Request) -> Response:
    """One, with its newest exchanges and what became of it."""
    identity = request.path_params["id"]
    found = await asyncio.to_thread(admin.clusters.find, identity)
    exchanges = await asyncio.to_thread(admin.clusters.exchanges, identity)
    history = await asyncio.to_thread(admin.clusters.history, identity)
    return _json({**_shown(found), "exchanges": exchanges, "history": [*map(_move, history)]})


@describes(body=IntentRequest)
async def make(admin: ClustersAdmin, request: Request) -> Response:
    """Make it an intent: routers learn its examples, its exchanges get it and are reviewed."""
    body = await body_of(request, IntentRequest)
    alias = _alias(admin, body)
    identity = request.path_params["id"]
    made = await asyncio.to_thread(
        admin.clusters.intents.make, identity, body.name, alias, actor(request)
    )
    found = await asyncio.to_thread(admin.clusters.find, made.cluster)
    admin.changed(found)
    return _json({**_shown(found), "exchanges": made.exchanges}, 201)


async def unmake(admin: ClustersAdmin, request: Request) -> Response:
    """Undo that: routers forget the examples, exchanges get their old intents back."""
    identity = request.path_params["id"]
    made = await asyncio.to_thread(admin.clusters.intents.unmake, identity, actor(request))
    found = await asyncio.to_thread(admin.clusters.find, made.cluster)
    admin.changed(found)
    return _json({**_shown(found), "exchanges": made.exchanges})


async def dismiss(admin: ClustersAdmin, request: Request) -> Response:
    """Show it no more, nor what comes like it."""
    found = await asyncio.to_thread(
        admin.clusters.dismiss, request.path_params["id"], actor(request)
    )
    admin.changed(found)
    return _json(_shown(found))


async def restore(admin: ClustersAdmin, request: Request) -> Response:
    """Show it again."""
    found = await asyncio.to_thread(
        admin.clusters.restore, request.path_params["id"], actor(request)
    )
    admin.changed(found)
    return _json(_shown(found))


def _alias(admin: ClustersAdmin, body: IntentRequest) -> str | None:
    """The adapter. Raises ``BadName`` for what can be no alias, ``BadField`` for what none may."""
    wanted = body.alias or admin.aliases.get(body.name)
    if wanted is not None:
        if wanted in _TAKEN:
            raise BadField(f"'alias' may not be {wanted!r}.", "alias")
        if other := admin.means_otherwise(validate_alias(wanted)):
            raise BadField(f"alias: {other}. Name another one.", "alias")
        return wanted
    try:
        named = validate_alias(body.name)
    except BadName:
        return None
    return None if admin.means_otherwise(named) else named


def _shown(found: Cluster) -> dict[str, Any]:
    return {
        "id": found.id,
        "name": found.name,
        "examples": found.examples,
        "volume": found.volume,
        "cost_usd": found.cost_usd,
        "trend": found.trend,
        "days": [{"day": day, "volume": count} for day, count in found.days.items()],
        "state": found.state.value,
        "intent": found.intent,
        "alias": found.alias,
        "created_at": iso(found.created_at),
    }


def _move(move: Move) -> dict[str, Any]:
    return {
        "time": iso(move.at),
        "actor": move.actor,
        "action": move.action,
        "detail": move.detail,
    }


def _json(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")


RESOURCES: tuple[Resource[ClustersAdmin], ...] = (
    Resource("admin", "GET", _PATH, clusters),
    Resource("admin", "GET", _ONE, cluster),
    Resource("admin", "POST", _INTENT, make),
    Resource("admin", "DELETE", _INTENT, unmake),
    Resource("admin", "POST", _DISMISS, dismiss),
    Resource("admin", "DELETE", _DISMISS, restore),
)

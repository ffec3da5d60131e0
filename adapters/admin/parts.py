"""What the handlers of this room work with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from adapters.admin.upload import Uploads
from adapters.config import AdaptersConfig
from adapters.fleet import Fleet
from adapters.publish.rollout import Rollout
from adapters.registry import Registry
from adapters.resources import BadField
from adapters.store.store import VersionStore

_ACTOR = "x-graftwork-actor"
_MAX_ACTOR = 200


@dataclass(frozen=True)
class Parts:
    """One registry process's own, for as long as it lives."""

    rollout: Rollout
    registry: Registry
    store: VersionStore
    fleet: Fleet
    config: AdaptersConfig
    uploads: Uploads
    replicas: Callable[[], list[dict[str, Any]]]
    """Each live engine, without secrets."""
    reports: Callable[[str, str], Mapping[str, bytes]] = lambda _alias, _digest: {}
    """What is known of a version beside its files, by file name. Blocks."""


def actor(request: Request) -> str:
    """Who asks, as the router established it."""
    return request.headers.get(_ACTOR, "admin")[:_MAX_ACTOR]


def choice(query: Mapping[str, str], name: str, known: tuple[str, ...]) -> str | None:
    """One of the known words; None when it is not given. Raises ``BadField``."""
    value = query.get(name)
    if value is not None and value not in known:
        raise BadField(f"{name}: must be one of {', '.join(known)}", name)
    return value


def number(query: Mapping[str, str], name: str, low: float, high: float) -> float | None:
    """A number between two bounds; None when it is not given. Raises ``BadField``."""
    text = query.get(name)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise BadField(f"{name}: must be a number from {low:g} to {high:g}", name)
    return value

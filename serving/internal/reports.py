"""What engine and router replicas tell the registry, and what they get back."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from adapters.aliases import Peer, RoutingTable
from adapters.format.base_model import BaseFacts
from adapters.traffic import VersionTraffic
from router.prices import Work


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Staging(_Frozen):
    """Copies of versions on a node whose content store lies elsewhere."""

    versions: int = 0
    size_bytes: int = 0


class EngineReport(_Frozen):
    """One engine replica's own account of itself."""

    peer: Peer
    node_id: str = ""
    base: BaseFacts
    max_model_len: int
    ready: bool = False
    """Holds every committed adapter and takes traffic."""
    draining: bool = False
    resident: frozenset[str] = frozenset()
    """Engine names, as the engine itself lists them."""
    answer: int = 0
    """Which of the engine's words ``resident`` is: reports and answers overtake each other."""
    slots: frozenset[str] = frozenset()
    """Of those, the ones in a slot of the batch, as far as can be told from outside vLLM."""
    pinned: frozenset[str] = frozenset()
    """Of those, the ones that keep their slot."""
    staged: frozenset[str] = frozenset()
    """Engine names whose files this node has on its disk."""
    staging: Staging = Staging()
    """All copies on its node, those of other replicas there included."""
    in_flight: int = 0
    waiting: int = 0
    """Of those, the ones that wait for a slot because others are pinned."""
    work: Work | None = None
    """What it did since it started; None: its engine does not count tokens."""
    card: str = ""
    """The name of its GPUs; empty: it has none."""


class RouterReport(_Frozen):
    """One router replica's own account of itself."""

    peer: Peer
    revision: int = -1
    """Of the routing table that it applies; -1 before the first."""
    knows: frozenset[str] = frozenset()
    """The ready engine replicas in that table."""


class RouterState(_Frozen):
    """What a router answers when the registry asks it directly."""

    revision: int
    epoch: int
    in_flight: dict[str, int] = Field(default_factory=dict)
    """Requests under way by engine name."""
    traffic: dict[str, VersionTraffic] = Field(default_factory=dict)
    """Counts since the router began, by engine name."""
    policy: str = ""
    """Version of the rules that it uses; empty without any."""
    policy_differences: dict[str, Any] = Field(default_factory=dict)
    """What the rules in the shadow would have decided otherwise."""
    reviews: dict[str, Any] = Field(default_factory=dict)
    """The newest reviews that rules wanted."""
    decisions: dict[str, Any] = Field(default_factory=dict)
    """The newest decisions, each with how it ended."""


class RouterReply(_Frozen):
    """What a router has to know from now on."""

    table: RoutingTable | None = None
    """The newest one, when the router's is older."""
    work: Work | None = None
    """What the engines did lately; None: too little to go by."""

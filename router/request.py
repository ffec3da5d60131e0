"""The records that the stages of one request write and read."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from adapters.aliases import RoutingTable
from router.config.auth import KeyScope
from router.config.priority import Priority
from router.decided import Assurance, Decided, Needs
from router.prices import FREE, Price
from router.wire.endpoint import Endpoint, Usage

_DIGEST = re.compile(r"#[0-9a-f]{16}")
AUTO = "auto"
BASE = "base"
NO_INTENT = "none"
"""What records and beliefs call a request whose intent was not recognised."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    name: str
    tenant: str
    scopes: frozenset[KeyScope]
    priority: Priority = Priority.STANDARD
    """The most urgent class that its requests may have."""


@dataclass(frozen=True, slots=True)
class Intent:
    """What is asked, as far as it was recognised."""

    name: str | None = None
    confidence: float | None = None
    """0 to 1; None when nothing was classified."""
    alias: str | None = None
    source: str | None = None
    """``pinned`` by the client, a ``keyword`` rule, or the ``model``."""
    out_of_scope: bool = False
    """The model read the text and found none of the declared intents."""
    posterior: Mapping[str, float] = field(default_factory=dict)
    """The model's most probable intents, best first."""
    model: str = ""
    """Version of the intent model that decided."""


@dataclass(frozen=True, slots=True)
class Option:
    """One way to answer: a target that was considered."""

    target: str
    """``base``, ``adapter:<alias>@<digest12>`` or ``frontier:<provider>/<model>``."""
    engine_name: str | None = None
    """What the local engine calls it; None for a frontier."""
    allowed: bool = True
    reason: str = ""
    code: str = ""
    """Why it is where it is, for programs; ``docs/routing.md`` lists the codes."""
    rank: int | None = None
    """1 is asked first; None for what may not be asked."""
    cost_usd: float | None = None
    """Expected cost of the answer; None where no price is known."""
    quality: float | None = None
    """Expected probability that the answer is good, 0 to 1."""
    prior: str = ""
    """What was believed about the quality before answers were judged, and where that comes from."""
    price: Price = FREE
    """Of a local target's tokens when this was decided; it holds until the request is settled."""
    affinity: str | None = None
    """Who likes to come back to the same replica: the session, whose prefix is cached there."""

    @property
    def is_local(self) -> bool:
        """Whether the engine's replicas answer."""
        return self.engine_name is not None

    def record(self) -> dict[str, Any]:
        """As the decision record has it."""
        return {
            "target": self.target,
            "allowed": self.allowed,
            "code": self.code,
            "reason": self.reason,
            "rank": self.rank,
            "cost_usd": self.cost_usd,
            "quality": self.quality,
            "prior": self.prior,
        }


@dataclass(slots=True)
class Attempt:
    """One call of one target. Each is paid, also one whose answer is thrown away."""

    option: Option
    replica: str | None = None
    outcome: str = "pending"
    seconds: float = 0.0
    usage: Usage = field(default_factory=Usage)
    cost_usd: float = 0.0
    billed: Usage = field(default_factory=Usage)
    """What is paid for: ``usage``, or an estimate where the target did not tell."""
    estimated: bool = False
    streamed: int = 0
    """Server-sent events that arrived, about one per token."""

    @property
    def target(self) -> str:
        """What was called."""
        return self.option.target


@dataclass(frozen=True, slots=True)
class Hints:
    """The client's own wishes, from headers or the body's ``graftwork`` extension."""

    max_cost_usd: float | None = None
    session: str | None = None
    timeout_s: float | None = None
    intent: str | None = None


class Hold(Protocol):
    """What is set aside of the budgets for one request (law 7)."""

    async def cover(self, option: Option) -> None:
        """Set the worst case of one more attempt aside. Raises ``BudgetExceeded``."""
        ...

    def settle(self, tokens: int, cost_usd: float) -> None:
        """Book what was used in place of what was set aside; idempotent."""
        ...


class _Timed:
    """Times a block. A class, because a generator would cost as much as many stages do."""

    __slots__ = ("_name", "_started", "_timings")

    def __init__(self, name: str, timings: list[tuple[str, float]]) -> None:
        self._name = name
        self._timings = timings

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._timings.append((self._name, time.perf_counter() - self._started))


@dataclass(slots=True)
class Exchange:
    """One request on its way. Each stage fills in its own part; none undoes another's."""

    request_id: str
    decision_id: str
    endpoint: Endpoint
    headers: Mapping[str, str]
    table: RoutingTable
    """The routing table as it was when the request was read: kept to the last byte (law 1)."""
    started: float = field(default_factory=time.perf_counter)
    at: float = field(default_factory=time.time)

    caller: Caller | None = None
    model: str = AUTO
    body: dict[str, Any] = field(default_factory=dict)
    stream: bool = False
    body_bytes: int = 0
    """Size of the body as it came; the prompt has no more tokens than that."""
    priority: Priority = Priority.STANDARD
    hints: Hints = field(default_factory=Hints)
    text: str = ""
    """The newest user text, for the intent."""
    turns: tuple[str, ...] = ()
    """The newest user texts, a turn each, oldest first."""
    intent: Intent = field(default_factory=Intent)
    needs: Needs = field(default_factory=Needs)
    decided: Decided = field(default_factory=Decided)
    options: tuple[Option, ...] = ()
    chosen: Option | None = None
    given_up: set[str] = field(default_factory=set)
    """Targets that are not asked (again): they failed for good, or their answer was not enough."""
    attempts: list[Attempt] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    cost_usd: float = 0.0
    """Of all attempts."""
    probe: Mapping[str, Any] | None = None
    """Fields that a local target's call gets so that its answer can be judged."""
    unjudged: str | None = None
    """Why a local answer is not judged although its route wants it; None: it is, or need not be."""
    assured: list[Assurance] = field(default_factory=list)
    """One for each answer that was judged, in order; the last one went out."""
    review: str | None = None
    """Why a person should look at this exchange."""
    delivery: list[dict[str, Any]] = field(default_factory=list)
    """What happened on the way to the answer: who was passed over, hedged or rescued, and why."""
    shadow: Option | None = None
    """The candidate that will answer in secret, when this request was sampled."""
    captured: bytearray | None = None
    """The answer's bytes, kept only for a sampled request."""
    status: int = 0
    error: str | None = None
    timings: list[tuple[str, float]] = field(default_factory=list)
    """(stage, seconds), in order."""
    rate: tuple[int, int, float] = (0, 0, 0.0)
    """Rate limit: requests allowed, remaining, seconds to reset."""
    hold: Hold | None = None
    cache_key: object = None
    cache: str | None = None
    """``hit`` or ``miss``; None when the response cache was not asked."""
    extra_headers: dict[str, str] = field(default_factory=dict)
    """Response headers that stages add."""
    first_byte_s: float | None = None
    seconds: float = 0.0

    async def cover(self, option: Option) -> None:
        """To be called before every attempt, whoever makes it. Raises ``BudgetExceeded``."""
        if self.hold is not None:
            await self.hold.cover(option)

    @property
    def confidence(self) -> float | None:
        """P(correct) of the answer where it was judged, otherwise how sure the intent is."""
        judged = self.assured[-1] if self.assured else None
        if judged is not None and self.chosen is not None and judged.target == self.chosen.target:
            return judged.probability
        return self.intent.confidence

    def stage(self, name: str) -> _Timed:
        """Book the time inside to a stage, also when it raises."""
        return _Timed(name, self.timings)

    def record(self) -> dict[str, Any]:
        """The decision record: what was considered, chosen, tried, and what it cost. No content."""
        return {
            "id": self.decision_id,
            "request_id": self.request_id,
            "at": self.at,
            "endpoint": self.endpoint.value,
            "caller": self.caller.name if self.caller else None,
            "tenant": self.caller.tenant if self.caller else None,
            "model": self.model,
            "stream": self.stream,
            "priority": self.priority.value,
            "cache": self.cache,
            "intent": {
                "name": self.intent.name,
                "confidence": self.intent.confidence,
                "source": self.intent.source,
                "out_of_scope": self.intent.out_of_scope,
                "posterior": dict(self.intent.posterior),
                "model": self.intent.model,
            },
            "candidates": [option.record() for option in self.options],
            "decided": self.decided.record(),
            "features": self._features(),
            "assurance": [each.record() for each in self.assured],
            "unjudged": self.unjudged,
            "review": self.review,
            "target": self.chosen.target if self.chosen else None,
            "attempts": [
                {
                    "target": attempt.target,
                    "replica": attempt.replica,
                    "outcome": attempt.outcome,
                    "seconds": round(attempt.seconds, 6),
                    "input_tokens": attempt.billed.input_tokens,
                    "output_tokens": attempt.billed.output_tokens,
                    "cost_usd": attempt.cost_usd,
                    "estimated": attempt.estimated,
                }
                for attempt in self.attempts
            ],
            "delivery": self.delivery,
            "table_epoch": self.table.epoch,
            "usage": {
                "input_tokens": self.usage.input_tokens,
                "output_tokens": self.usage.output_tokens,
                "cached_input_tokens": self.usage.cached_input_tokens,
            },
            "cost_usd": self.cost_usd,
            "status": self.status,
            "error": self.error,
            "stages": {name: round(seconds, 6) for name, seconds in self.timings},
            "first_byte_s": self.first_byte_s,
            "seconds": round(self.seconds, 6),
        }

    def _features(self) -> dict[str, Any]:
        """All that the decision was made from, without content: enough to make it again."""
        return {
            "input_tokens": self.needs.input_tokens,
            "max_output_tokens": self.needs.max_output_tokens,
            "needs": sorted(self.needs.features),
            "posterior": dict(self.intent.posterior),
            "out_of_scope": self.intent.out_of_scope,
            "max_cost_usd": self.hints.max_cost_usd,
            "session": None if self.hints.session is None else digest(self.hints.session),
            "local_price": self.decided.tariff.record(),
            "base": self.table.base_id,
            "context_window": self.table.max_model_len,
        }


def digest(text: str) -> str:
    """What stands for a client's text in records: equal texts can be recognised, not read.

    A digest is its own digest, so that a replay decides as the router did.
    """
    if _DIGEST.fullmatch(text):
        return text
    return "#" + hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest()


Assemble = Callable[[Exchange, Option], dict[str, Any]]
"""The context stage: the body for one target."""

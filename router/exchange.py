"""One request on its way: its records, and what it took.

What was asked and decided is replaced as a whole; delivery (``router.delivery``) and account are
written through their methods only. The stages share nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from adapters.aliases import RoutingTable
from router.delivery import NOTHING_STITCHED, Delivery, Stitched
from router.request import Decision, Option, Request
from router.stages import Heading, Stopwatch
from router.wire.endpoint import Usage


class Hold(Protocol):
    """What is set aside of the budgets for one request (law 7)."""

    async def cover(self, exchange: Exchange, option: Option) -> None:
        """Set the worst case of one more attempt aside. Raises ``BudgetExceeded``."""
        ...

    def settle(self, tokens: int, cost_usd: float) -> None:
        """Book what was used in place of what was set aside; idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class Rate:
    """A limit on requests, as the client is told it."""

    limit: int = 0
    remaining: int = 0
    resets_s: float = 0.0


CLIENT_CLOSED: Final = 499
HIT: Final = "hit"
MISS: Final = "miss"


@dataclass(slots=True)
class Account:
    """What one request took, and how it ended. Written through its methods only."""

    stages: Stopwatch = field(default_factory=Stopwatch)
    usage: Usage = field(default_factory=Usage)
    """Of the answer that goes out; complete with its last byte."""
    cost_usd: float = 0.0
    """Of all attempts."""
    hold: Hold | None = None
    rate: Rate = field(default_factory=Rate)
    cache: str | None = None
    """``hit`` or ``miss``; None when the response cache was not asked."""
    cache_key: object = None
    headers: dict[str, str] = field(default_factory=dict)
    """Response headers that stages add."""
    status: int = 0
    """0 until an answer or an error begins."""
    error: str | None = None
    first_byte_s: float | None = None
    seconds: float = 0.0
    begin_position: int = 0
    """Of the begin record in the log's queue; 0: the request was not admitted."""
    end_position: int = 0

    def begun(self, position: int) -> None:
        """It was admitted, and its begin is on its way to the disk."""
        self.begin_position = position

    def ended(self, position: int) -> None:
        """Its end is on its way to the disk."""
        self.end_position = position

    def limited(self, rate: Rate) -> None:
        """The limit that the client is nearest to."""
        self.rate = rate

    def tells(self, headers: Mapping[str, str]) -> None:
        """More response headers."""
        self.headers |= headers

    def holds(self, hold: Hold) -> None:
        """Budgets draw on this."""
        self.hold = hold

    def looked_up(self, key: object, found: str, header: str) -> None:
        """The response cache was asked under this key; a header tells the client."""
        self.cache_key, self.cache = key, found
        self.headers[header] = found

    def answers(self, usage: Usage) -> None:
        """Whose tokens the client sees; filled in while the answer is read."""
        self.usage = usage

    def begins(self, status: int, seconds: float) -> None:
        """The first byte leaves, so many seconds after the request came."""
        self.status, self.first_byte_s = status, seconds

    def leaves(self) -> None:
        """The client is gone."""
        self.status, self.error = CLIENT_CLOSED, "client_left"

    def fails(self, status: int, error: str) -> None:
        """It ends with an error; a status that left already stands in the way of no error."""
        self.status, self.error = status, error

    def breaks(self, error: str) -> None:
        """An answer that had begun ends with an error."""
        self.error = error

    def costs(self, cost_usd: float) -> None:
        """The attempts so far."""
        self.cost_usd = cost_usd

    def closes(self, seconds: float) -> None:
        """The last byte left, so many seconds after the request came."""
        self.seconds = seconds

    def lets_go(self) -> None:
        """It is settled and counted: neither the budgets nor who timed it are needed any more."""
        self.hold = None
        self.stages.forget()


@dataclass(slots=True)
class Exchange:
    """One request on its way; the stages share nothing else."""

    request: Request
    decision: Decision
    delivery: Delivery = field(default_factory=Delivery)
    account: Account = field(default_factory=Account)

    @classmethod
    def of(cls, request: Request, table: RoutingTable) -> Exchange:
        """A request that just came, and its time from the moment when it did."""
        return cls(request, Decision(table), account=Account(Stopwatch(request.started)))

    def let_go(self) -> None:
        """It is over, and was measured: what it is remembered for needs no more who carried it out.

        Thousands are remembered; bodies and guard know the exchange, a circle.
        """
        self.delivery.lets_go()
        self.account.lets_go()

    @property
    def chosen(self) -> Option | None:
        """Who answers: as delivery had it, before that as it was decided."""
        return self.delivery.chosen or self.decision.first

    def redacted(self) -> dict[str, int]:
        """How many values whoever answers was not shown, by kind of data."""
        found: dict[str, int] = {}
        for (entity, _), count in sorted(self.delivery.redactions(self.chosen).items()):
            found[entity] = found.get(entity, 0) + count
        return found

    @property
    def warnings(self) -> list[str]:
        """What whoever answers did not get as it was said, data-prep's removals first."""
        chosen = self.chosen
        told = {} if chosen is None else self.delivery.warnings.get(chosen.target, {})
        return [*self.request.removed, *self.decision.unheard, *told]

    @property
    def context(self) -> Stitched:
        """What whoever answers got beyond the client's own words."""
        chosen = self.chosen
        return NOTHING_STITCHED if chosen is None else self.stitched(chosen)

    def stitched(self, option: Option) -> Stitched:
        """What a target got beyond the client's own words."""
        return self.delivery.contexts.get(option.target, NOTHING_STITCHED)

    @property
    def confidence(self) -> float | None:
        """P(correct) of the answer where it was judged, otherwise how sure the intent is."""
        judged = self.delivery.judged[-1] if self.delivery.judged else None
        chosen = self.delivery.chosen
        if judged is not None and chosen is not None and judged.target == chosen.target:
            return judged.probability
        return self.decision.intent.confidence

    async def cover(self, option: Option) -> None:
        """To be called before every attempt, whoever makes it. Raises ``BudgetExceeded``."""
        if self.account.hold is not None:
            with self.account.stages.within(Heading.POLICY, "budget"):
                await self.account.hold.cover(self, option)

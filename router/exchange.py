"""One request on its way: its records, and what was delivered and what it took.

What was asked and decided is replaced as a whole; delivery and account are written through their
methods only. The stages share nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from adapters.aliases import RoutingTable
from router.answering import Answering, Bodies, Guarding, Opened
from router.errors import Failure
from router.request import Decision, Option, Request
from router.stages import TARGET, Heading, Stage, Stopwatch
from router.wire.endpoint import Usage

# What was delivered

OK: Final = "ok"
CANCELLED: Final = "cancelled"
"""Given up by us: the client left, or another answer was faster."""
ESCALATED: Final = "escalated"
"""Its answer was good, but not good enough."""
VIOLATED: Final = "violated"
"""Its answer broke what a rule obliges it to, or a check of what answers may say."""
REJECTED: Final = "rejected"
"""Followed by the status."""
NOT_BILLED: Final = (
    REJECTED,
    *(
        failure.value
        for failure in (
            Failure.UNREACHABLE,
            Failure.RESET,
            Failure.SERVER,
            Failure.LIMITED,
            Failure.CREDENTIALS,
            Failure.MISSING,
            Failure.BUSY,
        )
    ),
)
"""Beginnings of the outcomes for which nobody is billed, unless something was streamed before."""


@dataclass(slots=True)
class Attempt:
    """One call of one target. Each is paid, also one whose answer is thrown away."""

    option: Option
    replica: str | None = None
    outcome: str = "pending"
    """One of the above, or a ``Failure``: bounded, because metrics have it as a label."""
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
class Assurance:
    """What the token probabilities of an answer say about it."""

    target: str
    tokens: int
    mean_logprob: float
    min_logprob: float
    entropy: float | None
    """Mean over positions, nats, of the alternatives that the engine told; None without any."""
    probability: float
    """P(correct), 0 to 1."""
    calibrated: bool
    """Whether feedback stands behind the probability, or only the default map."""
    expected: float | None = None
    """P(correct) as it was expected before anything was said."""
    bar: float | None = None
    """P(correct) below which somebody else was to be asked; None: nobody could be."""


@dataclass(frozen=True, slots=True)
class Stitched:
    """What was stitched into one target's body."""

    citations: tuple[dict[str, Any], ...] = ()
    """One for each passage: ``marker``, ``document``, ``chunk``, ``title``, ``score``."""
    size: int = 0
    """Bytes of UTF-8, in all prompts together."""

    @property
    def documents(self) -> list[str]:
        """Ids, each once, in order."""
        return list(dict.fromkeys(each["document"] for each in self.citations))


NOTHING_STITCHED: Final = Stitched()


@dataclass(slots=True)
class Delivery:
    """What happened on the way to the answer. Written through its methods only."""

    chosen: Option | None = None
    """Who answers, or was asked last; None: nobody was asked."""
    attempts: list[Attempt] = field(default_factory=list)
    """Every call, in order; the last one is of who answers."""
    given_up: set[str] = field(default_factory=set)
    """Targets that are not asked (again): they failed for good, or their answer was not enough."""
    notes: list[dict[str, Any]] = field(default_factory=list)
    """Who was passed over, hedged or rescued, and why."""
    judged: list[Assurance] = field(default_factory=list)
    """One for each answer that was judged, in order; the last one went out."""
    unjudged: str | None = None
    """Why an answer that was to be judged could not be."""
    review: str | None = None
    """Why a person should look at this exchange."""
    findings: list[dict[str, Any]] = field(default_factory=list)
    """What safety checks found in it, without the words."""
    warnings: dict[str, dict[str, None]] = field(default_factory=dict)
    """By target, what of the request it does not get, or not as it was said."""
    contexts: dict[str, Stitched] = field(default_factory=dict)
    """By target, what it got beyond the client's own words."""
    drawn_bytes: int = 0
    """The most that a target may get beyond the client's own words."""
    captured: bytes | None = None
    """The answer's bytes, kept where it is compared with another one, or learned from."""
    cut: bool = False
    """``captured`` is only a beginning of it."""

    bodies: Bodies | None = None
    guard: Guarding | None = None
    opened: list[Opened] = field(default_factory=list)
    """Everything that has to be closed at the end, if nobody closed it before."""

    def sends(self, bodies: Bodies) -> None:
        """What each target will be sent."""
        self.bodies = bodies

    def guarded(self, guard: Guarding) -> None:
        """What stands between the request and its targets."""
        self.guard = guard

    def opens(self, opened: Opened) -> None:
        """Close this at the end, whatever happens to who opened it."""
        self.opened.append(opened)

    async def close(self) -> None:
        """Close all that is open, newest first; whoever cancels this waits for the rest."""
        cancelled: asyncio.CancelledError | None = None
        while self.opened:
            try:
                await self.opened.pop().aclose()
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled

    async def body(self, option: Option) -> dict[str, Any]:
        """What a target is sent. Raises ``GuardUnavailable`` when nobody can tell."""
        return await self.outgoing(option, await self.made(option))

    async def made(self, option: Option) -> dict[str, Any]:
        """What context and data-prep make for a target, which may not see all of it."""
        assert self.bodies is not None
        return await self.bodies(option)

    async def outgoing(self, option: Option, body: dict[str, Any]) -> dict[str, Any]:
        """The same, as the target may see it. Raises ``GuardUnavailable``, ``InvalidRequest``."""
        return body if self.guard is None else await self.guard.outgoing(option, body)

    async def begun(self, option: Option, said: str) -> str:
        """What was said so far, as who goes on from it may see it. Raises as ``body`` does."""
        return said if self.guard is None else await self.guard.begun(option, said)

    def incoming(self, option: Option, answer: Answering) -> Answering:
        """A target's answer as everybody on its way to the client sees it."""
        return answer if self.guard is None else self.guard.incoming(option, answer)

    def restored(self, option: Option, text: str) -> str:
        """What a target says in an error, as the client sees it."""
        return text if self.guard is None else self.guard.restored(option, text)

    def redactions(self, option: Option | None) -> Mapping[tuple[str, str], int]:
        """How many values a target was not shown, by kind of data and what became of them."""
        if self.guard is None or option is None:
            return {}
        return self.guard.redactions(option)

    @property
    def rescued(self) -> list[dict[str, Any]]:
        """Notes of the streams that somebody else went on with."""
        return [note for note in self.notes if "rescued" in note]

    def call(self, option: Option, replica: str | None) -> Attempt:
        """A call goes out."""
        attempt = Attempt(option, replica)
        self.attempts.append(attempt)
        return attempt

    def not_called(self, attempt: Attempt, why: str) -> None:
        """The request cannot be said to this target: nothing was sent, so nothing is to be paid."""
        self.attempts[:] = [each for each in self.attempts if each is not attempt]
        self.note(unable=attempt.option.target, why=why)

    def choose(self, option: Option) -> None:
        """Who answers now, as far as is known."""
        self.chosen = option

    def answered_by(self, attempt: Attempt) -> None:
        """This call's answer goes out, whoever was called after it."""
        self.chosen = attempt.option
        self.attempts[:] = [*(each for each in self.attempts if each is not attempt), attempt]

    def give_up(self, targets: Iterable[str]) -> None:
        """Do not ask them again."""
        self.given_up.update(targets)

    def violated(self, *, give_up: bool) -> None:
        """The answer that there is may not go out; with ``give_up``, nor another of its target."""
        if self.attempts:
            self.attempts[-1].outcome = VIOLATED
        if give_up and self.chosen is not None:
            self.given_up.add(self.chosen.target)

    def reconsider(self, targets: Iterable[str]) -> None:
        """They may be asked again."""
        self.given_up.difference_update(targets)

    def note(self, **facts: Any) -> None:
        """For the decision record; the first fact's name is the event's, for metrics."""
        self.notes.append(facts)

    def warn(self, target: str, warning: str) -> None:
        """A target does not get something of the request as it was said."""
        self.warnings.setdefault(target, {})[warning] = None

    def draws_on(self, size: int) -> None:
        """Targets may get up to so many bytes beside the client's own words."""
        self.drawn_bytes = size

    def stitches(self, target: str, context: Stitched) -> None:
        """A target gets this beside the client's own words."""
        self.contexts[target] = context

    def judge(self, assurance: Assurance) -> None:
        """What was thought of an answer."""
        self.judged.append(assurance)

    def not_judged(self, why: str) -> None:
        """An answer told nothing that it could be judged by."""
        self.unjudged = why

    def finds(self, finding: dict[str, Any]) -> None:
        """A safety check found something; for the decision record."""
        self.findings.append(finding)

    def ask_for_review(self, why: str) -> None:
        """Have a person look at this."""
        self.review = why

    def capture(self, body: bytes, *, cut: bool) -> None:
        """Keep what went out, or a beginning of it."""
        self.captured, self.cut = body, cut


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
        self.delivery.bodies = self.delivery.guard = self.account.hold = None
        self.account.stages.forget()

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
        return [*self.request.removed, *told]

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

    def within(self, heading: Heading, name: str) -> Stage:
        """Book the time inside to a stage inside the present one."""
        return self.account.stages.within(heading, name)

    def waiting(self) -> Stage:
        """Book the time inside to waiting for targets."""
        return self.account.stages.within(None, TARGET)

    async def cover(self, option: Option) -> None:
        """To be called before every attempt, whoever makes it. Raises ``BudgetExceeded``."""
        if self.account.hold is not None:
            with self.within(Heading.POLICY, "budget"):
                await self.account.hold.cover(self, option)

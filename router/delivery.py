"""An answer on its way: who was asked for it, what came of that, and what stands in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from router.errors import Failure, TargetBroken
from router.request import Option
from router.wire.endpoint import Usage
from router.wire.events import Piece

MAX_WARNINGS: Final = 64
"""So many of one target are kept."""
Bodies = Callable[[Option], Awaitable[dict[str, Any]]]
"""What a target is sent; made by the context stage, each time that a target is asked."""


class Outgoing(Protocol):
    """An answer that has begun, on its way to the client."""

    status: int
    content_type: str

    @property
    def usage(self) -> Usage:
        """Token counts as the target reported them."""
        ...

    def chunks(self) -> AsyncIterator[Piece]:
        """The body, or runs of a stream's events. Raises ``TargetBroken``."""
        ...

    async def aclose(self) -> None:
        """Give the connection back, or cut it; idempotent."""
        ...


class Tap(Protocol):
    """Hears an answer on its way to the client, after everything that changes or stops it."""

    def hears(self, piece: Piece) -> None:
        """A piece leaves."""
        ...

    def ends(self) -> None:
        """All of it was read; of an answer that breaks nobody is told so."""
        ...


class Answering(Outgoing, Protocol):
    """An answer that may still be interrupted by who reads it."""

    def interrupt(self, error: TargetBroken) -> None:
        """Let the read of ``chunks`` that is waiting fail with ``error``."""
        ...


class Guarding(Protocol):
    """Between one request and its targets: what each of them may see, and what comes back."""

    async def outgoing(self, option: Option, body: dict[str, Any]) -> dict[str, Any]:
        """A body as this target may see it. Raises ``GuardUnavailable``, ``InvalidRequest``."""
        ...

    async def begun(self, option: Option, said: str) -> str:
        """The beginning of an answer, for who goes on from it. Raises as ``outgoing`` does."""
        ...

    def incoming(self, option: Option, answer: Answering) -> Answering:
        """The answer of a target as the client may see it."""
        ...

    def restored(self, option: Option, text: str) -> str:
        """What a target said in an error, as the client may see it."""
        ...

    def redactions(self, option: Option) -> Mapping[tuple[str, str], int]:
        """How many values were replaced in what a target was sent, by kind and action."""
        ...


class Opened(Protocol):
    """Holds a connection, a place or a task until it is closed."""

    async def aclose(self) -> None:
        """Give it back; idempotent."""
        ...


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

    def lets_go(self) -> None:
        """Nothing more is sent: what made it is not needed any more."""
        self.bodies = self.guard = None

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
        """A target does not get something of the request as it was said, or the client of the
        answer. The first of them only: an answer may name what it likes, as often as it likes.
        """
        told = self.warnings.setdefault(target, {})
        if len(told) < MAX_WARNINGS:
            told[warning] = None

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

"""Who hands out leases: parts of each limit that a router may spend without asking again.

The law is one line of ``grant``: what all holders were granted never exceeds the limit. A router
spends only what it was granted, so no number of routers, crashes or lost messages overspends.

Amounts are absolute and asks are numbered. An ask that arrives twice or late changes nothing, and
an answer that is lost leaves the authority knowing of more than the router does, never of less.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field

from router.config.budgets import Window

_FORGETS_EVERY_S = 60.0
_KEPT_S = 3600.0


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LeaseWish(_Message):
    """What a router wants to hold of one account."""

    account: str
    budget: str = ""
    metric: str = ""
    window: Window = Window.TOTAL
    limit: int = Field(ge=0)
    ends: int | None = None
    spent: int = Field(ge=0)
    """Of what it was granted, used up for good."""
    want: int = Field(ge=0)
    """What it wants to own altogether, the used up part included; less gives back."""


class LeaseAsk(_Message):
    """One numbered message of one holder."""

    holder: str
    number: int
    wishes: tuple[LeaseWish, ...]


class Lease(_Message):
    """What a router may spend of one account, what it has spent included."""

    account: str
    granted: int
    free: int
    """What nobody holds; below 0 when more was used than a target had promised."""
    used: int = 0
    """What is used up for good over all holders, as far as they told; the rest may come back."""


class LeaseAnswer(_Message):
    """The answer to an ask; ``stale``: a later one was heard before, nothing was changed."""

    leases: tuple[Lease, ...]
    stale: bool = False


class AuthorityUnreachable(Exception):
    """Nobody answered; whether the ask was heard is not known."""


class Authority(Protocol):
    """The one place that knows every holder."""

    async def lease(self, ask: LeaseAsk) -> LeaseAnswer:
        """Grant and take back. Raises ``AuthorityUnreachable``."""
        ...


def grant(limit: int, others: int, granted: int, spent: int, want: int) -> int:
    """What a holder owns after its wish.

    Args:
        limit: of the account.
        others: what all other holders own together.
        granted: what this holder owns now.
        spent: what it has used up, which it can never give back.
        want: what it wants to own.
    """
    granted = max(granted, spent)
    want = max(want, spent)
    if want <= granted:
        return want
    return max(granted, min(want, limit - others))


@dataclass
class _Held:
    granted: int = 0
    spent: int = 0


@dataclass
class _Book:
    ends: int | None
    holders: dict[str, _Held] = field(default_factory=dict)


class LocalAuthority:
    """Leases of one process without a registry; forgotten when it ends, or their window long has.

    Args:
        clock: seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._forgets = 0.0
        self._books: dict[str, _Book] = {}
        self._numbers: dict[str, int] = {}

    async def lease(self, ask: LeaseAsk) -> LeaseAnswer:
        """Grant and take back; answers at once."""
        return self.decide(ask)

    def decide(self, ask: LeaseAsk) -> LeaseAnswer:
        """The same, for callers without an event loop."""
        if ask.number <= self._numbers.get(ask.holder, -1):
            return LeaseAnswer(leases=(), stale=True)
        self._numbers[ask.holder] = ask.number
        self._forget_over()
        return LeaseAnswer(leases=tuple(self._one(ask.holder, wish) for wish in ask.wishes))

    def _one(self, holder: str, wish: LeaseWish) -> Lease:
        book = self._books.setdefault(wish.account, _Book(wish.ends))
        others = sum(held.granted for name, held in book.holders.items() if name != holder)
        held = book.holders.setdefault(holder, _Held())
        held.granted = grant(wish.limit, others, held.granted, wish.spent, wish.want)
        held.spent = max(held.spent, wish.spent)
        return Lease(
            account=wish.account,
            granted=held.granted,
            free=wish.limit - others - held.granted,
            used=sum(each.spent for each in book.holders.values()),
        )

    def committed(self, account: str) -> int:
        """What all holders own of an account."""
        book = self._books.get(account)
        return sum(held.granted for held in book.holders.values()) if book else 0

    def __len__(self) -> int:
        return len(self._books)

    def _forget_over(self) -> None:
        """Now and then, windows that ended long enough ago for the last request in them."""
        now = self._clock()
        if now < self._forgets:
            return
        self._forgets = now + _FORGETS_EVERY_S
        before = now - _KEPT_S
        for name in [n for n, b in self._books.items() if b.ends is not None and b.ends < before]:
            del self._books[name]

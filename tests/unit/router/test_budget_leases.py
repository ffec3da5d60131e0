"""Budgets over several routers: whatever happens, never more is used than the limit (law 7).

A state machine drives several routers through holds, settlements, renewals, crashes and restarts,
while asks are lost, answers are lost, and asks arrive late. What it counts is what targets may have
charged in the worst case, not what the routers believe.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from adapters.registry import Registry
from router.budgets.accounts import BudgetAccount, Metric
from router.budgets.authority import (
    AuthorityUnreachable,
    LeaseAnswer,
    LeaseAsk,
    LeaseWish,
    LocalAuthority,
    grant,
)
from router.budgets.holds import Bounds, Budgets
from router.budgets.leased import LeasedLimit, LeasedLimits
from router.budgets.lessee import Lessee
from router.budgets.reclaim import Reclaim
from router.budgets.tally import Tally
from router.config.budgets import BudgetConfig, BudgetsConfig, Window
from router.errors import BudgetExceeded, Overloaded
from serving.registry.accounts.book import LeaseBook
from serving.registry.accounts.database import open_database
from tests.fakes.postgres import NewDatabase

LIMIT = 100
CONFIG = BudgetsConfig(
    limits=(BudgetConfig(name="all", window=Window.TOTAL, usd=1.0),), lease_share=0.2
)
ACCOUNT = BudgetAccount("all", "all", Metric.MONEY, Window.TOTAL, LIMIT, None)
SLOW = [HealthCheck.too_slow]
"""A disk that is slow is no fault of these tests."""
ROUTERS = st.integers(0, 2)
FAULTS = st.sampled_from(["none", "none", "none", "ask lost", "answer lost", "ask late"])


class Wires:
    """Between routers and authority: messages get lost, in either direction, or come late."""

    def __init__(self, decide: Callable[[LeaseAsk], LeaseAnswer]) -> None:
        self.decide = decide
        self.fault = "none"
        self.late: list[LeaseAsk] = []

    async def lease(self, ask: LeaseAsk) -> LeaseAnswer:
        """Deliver an ask, or not."""
        await asyncio.sleep(0)
        if self.fault == "ask lost":
            raise AuthorityUnreachable("lost")
        if self.fault == "ask late":
            self.late.append(ask)
            raise AuthorityUnreachable("late")
        answer = self.decide(ask)
        await asyncio.sleep(0)
        if self.fault == "answer lost":
            raise AuthorityUnreachable("answer lost")
        return answer


@dataclass
class Router:
    """One router process."""

    budgets: Budgets
    lessee: Lessee
    leased: LeasedLimit
    tally: Tally
    under_way: list[int] = field(default_factory=list)
    """What each request has set aside."""

    def die(self) -> None:
        """Killed: the kernel closes its files, and nothing else happens."""
        self.tally.close(settled=False)


class NeverOver(RuleBasedStateMachine):
    """Random interleavings of everything."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.tallies = tempfile.TemporaryDirectory()
        self.wires = Wires(self.authority())
        self.born = 0
        self.charged = 0
        """What targets charged, and may have charged for requests that a crash cut off."""
        self.routers = [self.start() for _ in range(3)]

    def authority(self) -> Callable[[LeaseAsk], LeaseAnswer]:
        """Who decides."""
        return LocalAuthority().decide

    def start(self) -> Router:
        """A fresh process: it knows nothing of its predecessor."""
        self.born += 1
        tally = Tally(Path(self.tallies.name), f"router-{self.born}", 4)
        leased_limits = LeasedLimits(CONFIG, tally=tally)
        leased = leased_limits._leased(ACCOUNT)
        lessee = Lessee(leased_limits, self.wires, f"router-{self.born}", CONFIG, tally)
        bounds: Bounds = None  # type: ignore[assignment]
        return Router(Budgets(CONFIG, bounds, leased_limits, lessee), lessee, leased, tally)

    def run(self, work: Any) -> Any:
        """Run on the machine's own event loop."""

        async def without_pause() -> Any:
            for router in self.routers:
                router.lessee._quiet_until = 0.0
            return await work

        return self.runner.run(without_pause())

    async def request(self, router: Router, amount: int) -> None:
        """Set aside, or be refused."""
        try:
            await router.budgets.take([(router.leased, amount)])
        except (BudgetExceeded, Overloaded):
            return
        router.under_way.append(amount)

    @rule(
        amounts=st.lists(st.tuples(ROUTERS, st.integers(1, 40)), min_size=1, max_size=8),
        fault=FAULTS,
    )
    def requests_come(self, amounts: list[tuple[int, int]], fault: str) -> None:
        """Several requests at once at several routers."""
        self.wires.fault = fault

        async def work() -> None:
            await asyncio.gather(*(self.request(self.routers[i], n) for i, n in amounts))

        self.run(work())

    @rule(which=ROUTERS, share=st.floats(0, 1))
    def a_request_ends(self, which: int, share: float) -> None:
        """It used part of what was set aside for it."""
        router = self.routers[which]
        if router.under_way:
            held = router.under_way.pop(0)
            used = int(held * share)
            router.leased.settle(held, used)
            self.charged += used

    @rule(which=ROUTERS, faults=st.lists(FAULTS, min_size=1, max_size=3))
    def a_router_looks_ahead(self, which: int, faults: list[str]) -> None:
        """The background renewal; when nothing happened meanwhile, it gives back."""
        for self.wires.fault in faults:
            self.run(self.routers[which].lessee.look_ahead())

    @rule(which=ROUTERS)
    def everything_ends(self, which: int) -> None:
        """All requests of a router turn out cheap."""
        while self.routers[which].under_way:
            self.a_request_ends(which, 0.1)

    @precondition(lambda self: self.wires.late)
    @rule(data=st.data())
    def a_late_ask_arrives(self, data: st.DataObject) -> None:
        """Whoever sent it has long stopped waiting, or is dead."""
        place = data.draw(st.integers(0, len(self.wires.late) - 1))
        self.wires.decide(self.wires.late.pop(place))

    @rule(which=ROUTERS)
    def a_router_crashes(self, which: int) -> None:
        """Its requests may have cost all that was set aside for them; nobody will ever know."""
        router = self.routers[which]
        self.charged += sum(router.under_way)
        router.die()
        self.routers[which] = self.start()

    @rule(fault=FAULTS)
    def what_crashed_routers_held_is_given_back(self, fault: str) -> None:
        """Those of the living stay; the ask may be lost, and may arrive late."""
        self.wires.fault = fault
        self.run(Reclaim(Path(self.tallies.name), self.wires, 1.0).once())

    @rule(which=ROUTERS, fault=FAULTS)
    def a_router_is_replaced(self, which: int, fault: str) -> None:
        """It drains and gives back what it did not use."""
        self.wires.fault = fault
        while self.routers[which].under_way:
            self.a_request_ends(which, 0.5)
        self.run(self.routers[which].lessee.aclose())
        self.routers[which] = self.start()

    @invariant()
    def nobody_overspends(self) -> None:
        """What was charged, and what may yet be, is within the limit."""
        under_way = sum(sum(router.under_way) for router in self.routers)
        assert self.charged + under_way <= LIMIT

    @invariant()
    def routers_spend_only_what_they_own(self) -> None:
        """A leased limit is never overdrawn."""
        assert all(router.leased.left >= 0 for router in self.routers)

    def teardown(self) -> None:
        """End the loop."""
        for router in self.routers:
            router.die()
        self.runner.close()
        self.tallies.cleanup()


class NeverOverInTheDatabase(NeverOver):
    """The same, with the registry's durable books, which are reopened now and then."""

    def authority(self) -> Callable[[LeaseAsk], LeaseAnswer]:
        """The registry's."""
        self.folder = tempfile.TemporaryDirectory()
        self.open()
        return self.book.lease

    def url(self) -> str:
        """Where the books are."""
        return f"sqlite:///{Path(self.folder.name) / 'books.db'}"

    def open(self) -> None:
        """A registry process: the last one to open them may write."""
        self.registry = Registry.open(self.url())
        self.engine = open_database(self.url())
        self.book = LeaseBook(self.engine, self.registry.claim())

    def close(self) -> None:
        """The process ends."""
        self.engine.dispose()
        self.registry.close()

    @rule()
    def the_registry_restarts(self) -> None:
        """It knows what its predecessor granted."""
        self.close()
        self.open()
        self.wires.decide = self.book.lease

    def teardown(self) -> None:
        """End the loop, close the books."""
        super().teardown()
        self.close()
        self.folder.cleanup()


TestNeverOver = NeverOver.TestCase
TestNeverOver.settings = settings(
    max_examples=50, stateful_step_count=40, suppress_health_check=SLOW
)
TestNeverOverInTheDatabase = NeverOverInTheDatabase.TestCase
TestNeverOverInTheDatabase.settings = settings(
    max_examples=4, stateful_step_count=30, suppress_health_check=SLOW
)


def test_never_over_on_postgresql(postgres: NewDatabase) -> None:
    """The same again in the other database."""

    class OnPostgres(NeverOverInTheDatabase):
        def authority(self) -> Callable[[LeaseAsk], LeaseAnswer]:
            self.address = postgres()
            return super().authority()

        def url(self) -> str:
            return self.address

    run_state_machine_as_test(
        OnPostgres,
        settings=settings(max_examples=4, stateful_step_count=30, suppress_health_check=SLOW),
    )


async def test_what_is_offered_back_is_not_spent_meanwhile() -> None:
    """An ask that gives back may arrive at any time after it was sent: late, here."""
    machine = NeverOver()
    wires, (first, second, _) = machine.wires, machine.routers
    try:
        await machine.request(first, 20)
        machine.a_request_ends(0, 0.0)
        assert first.leased.left >= 20
        wires.fault = "ask late"
        await first.lessee.look_ahead()
        assert wires.late
        await machine.request(first, 20)
        wires.decide(wires.late.pop())
        wires.fault, first.lessee._quiet_until = "none", 0.0
        await machine.request(second, LIMIT)
        machine.nobody_overspends()
        assert second.under_way == [LIMIT]
    finally:
        machine.teardown()


async def test_a_router_lives_for_a_while_without_the_authority() -> None:
    """After steady use it holds enough to go on at that pace, and offers nothing back meanwhile."""
    machine = NeverOver()
    wires, first = machine.wires, machine.routers[0]
    try:
        for _ in range(3):
            await machine.request(first, 1)
            machine.a_request_ends(0, 1.0)
            await first.lessee.look_ahead()
        held = first.leased.left
        assert held > 5
        wires.fault = "ask lost"
        for spent in range(5):
            await machine.request(first, 1)
            machine.a_request_ends(0, 1.0)
            assert first.leased.left == held - spent - 1
            await first.lessee.look_ahead()
        machine.nobody_overspends()
    finally:
        machine.teardown()


async def test_an_ask_that_was_overtaken_changes_nothing() -> None:
    """A router gave back, asked anew and spent that; then the first message arrives."""
    machine = NeverOver()
    wires, (first, second, _) = machine.wires, machine.routers
    try:
        await machine.request(first, 20)
        machine.a_request_ends(0, 0.0)
        wires.fault = "ask late"
        await first.lessee.look_ahead()
        wires.fault, first.lessee._quiet_until = "none", 0.0
        await machine.request(first, 60)
        assert first.under_way == [60]
        wires.decide(wires.late.pop())
        await machine.request(second, LIMIT)
        machine.nobody_overspends()
        assert second.under_way == []
    finally:
        machine.teardown()


async def test_a_crash_loop_strands_nothing() -> None:
    """Twenty routers die one after the other with a part of the limit; the next finds it free."""
    machine = NeverOver()
    wires, folder = machine.wires, Path(machine.tallies.name)
    try:
        for _ in range(20):
            first = machine.routers[0]
            await machine.request(first, 4)
            machine.a_request_ends(0, 0.25)
            await first.lessee.look_ahead()
            assert first.leased.left > 0
            machine.a_router_crashes(0)
            await Reclaim(folder, wires, 1.0).once()
        assert machine.charged == 20
        await machine.request(machine.routers[0], LIMIT - 20)
        assert machine.routers[0].under_way == [LIMIT - 20]
    finally:
        machine.teardown()


@given(
    limit=st.integers(0, 50),
    others=st.integers(0, 60),
    granted=st.integers(0, 50),
    spent=st.integers(0, 60),
    want=st.integers(0, 100),
)
def test_a_grant_stays_within_the_limit(
    limit: int, others: int, granted: int, spent: int, want: int
) -> None:
    """Nothing is added beyond the limit, and what is used up stays counted."""
    found = grant(limit, others, granted, spent, want)
    assert found >= spent
    assert found <= max(granted, spent) or others + found <= limit
    assert found <= max(want, granted, spent)


def test_windows_that_are_over_are_forgotten() -> None:
    """A router that is its own authority runs for months, and each minute has accounts of its own
    (law 9); what never starts anew is kept.
    """
    now = 0.0
    authority = LocalAuthority(lambda: now)
    for minute in range(3000):
        now = minute * 60.0
        ends = int(now) + 60
        wishes = [
            LeaseWish(account=f"m{minute}", limit=10, ends=ends, spent=0, want=5),
            LeaseWish(account="total", limit=10, spent=0, want=5),
        ]
        answer = authority.decide(LeaseAsk(holder="h", number=minute, wishes=tuple(wishes)))
        assert [lease.granted for lease in answer.leases] == [5, 5]
    assert len(authority) < 100
    assert authority.committed("total") == authority.committed("m2999") == 5
    assert authority.committed("m0") == 0

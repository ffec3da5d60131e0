"""Who is alive, by last report; on a clock that the test turns."""

from __future__ import annotations

import pytest

from adapters.aliases import Peer
from serving.internal.reports import EngineReport, RouterReport
from serving.registry.membership import GRACE_S, TICK_S, TTL_S, Membership
from tests.fakes.tiny_adapter import BASE


class Clock:
    """Time that passes when told to."""

    def pass_by(self, members: Membership, seconds: float) -> None:
        """Time passes, and the registry looks every tick, as it does when it is well."""
        for _ in range(int(seconds / TICK_S)):
            self.now += TICK_S
            members.expire()

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The test's own clock."""
    return Clock()


@pytest.fixture
def members(clock: Clock) -> Membership:
    """Nobody yet."""
    return Membership(clock)


def engine(
    name: str = "one", *resident: str, ready: bool = False, draining: bool = False
) -> EngineReport:
    """What an engine says of itself."""
    return EngineReport(
        peer=Peer(id=name, url=f"http://{name}", secret="s"),
        base=BASE,
        max_model_len=64,
        ready=ready,
        draining=draining,
        resident=frozenset(resident),
    )


def router(name: str = "door", knows: frozenset[str] = frozenset()) -> RouterReport:
    """What a router says of itself."""
    return RouterReport(peer=Peer(id=name, url=f"http://{name}", secret="s"), knows=knows)


def test_an_engine_is_not_advertised_until_it_has_converged(members: Membership) -> None:
    """A new engine is known at once and takes traffic only when somebody says so."""
    assert members.engine_reported(engine())
    assert [replica.ready for replica in members.replicas()] == [False]
    assert members.set_ready("one", True)
    assert [replica.ready for replica in members.replicas()] == [True]


def test_only_changes_are_told(members: Membership) -> None:
    """Routers need a new table when an engine is new or holds something else, not each second."""
    assert members.engine_reported(engine("one", "returns@0"))
    assert not members.engine_reported(engine("one", "returns@0"))
    assert members.engine_reported(engine("one", "returns@1"))
    assert members.router_reported(router())
    assert not members.router_reported(router())


def test_silence_is_an_end(members: Membership, clock: Clock) -> None:
    """Who has not reported for the time to live is forgotten, its readiness too."""
    members.engine_reported(engine("one"))
    members.engine_reported(engine("two"))
    members.router_reported(router())
    members.set_ready("one", True)
    clock.pass_by(members, TTL_S)
    members.engine_reported(engine("two"))
    assert not members.expire()
    clock.now += 0.001
    assert members.expire()
    assert [report.peer.id for report in members.engines()] == ["two"]
    assert members.routers() == ()
    assert not members.is_ready("one")
    members.engine_reported(engine("one"))
    assert not members.is_ready("one")
    assert not members.expire()


def test_a_draining_engine_leaves_at_once(members: Membership) -> None:
    """An engine that drains gets no further request; that is told once."""
    members.engine_reported(engine("one", ready=True))
    assert members.engine_reported(engine("one", draining=True))
    assert members.replicas() == ()
    assert not members.is_ready("one")
    assert not members.engine_reported(engine("one", draining=True))


def test_a_restarted_registry_believes_the_engines(members: Membership) -> None:
    """An engine that had converged under the last registry goes on serving under this one."""
    members.engine_reported(engine("one", ready=True))
    assert members.is_ready("one")


def test_readiness_changes_are_told_once(members: Membership) -> None:
    """Setting what is set already, or for nobody, is no change."""
    members.engine_reported(engine("one"))
    assert not members.set_ready("one", False)
    assert members.set_ready("one", True)
    assert not members.set_ready("one", True)
    assert not members.set_ready("nobody", True)
    assert not members.is_ready("nobody")


def test_residency_is_the_engines_own_word(members: Membership) -> None:
    """What an engine just said replaces what it reported; unknown engines are ignored."""
    members.engine_reported(engine("one", "returns@0"))
    members.set_resident("one", frozenset({"returns@1"}), 1)
    members.set_resident("nobody", frozenset({"returns@1"}), 1)
    assert [replica.resident for replica in members.replicas()] == [frozenset({"returns@1"})]
    found = members.engine("one")
    assert found is not None
    assert found.resident == {"returns@1"}
    assert members.engine("nobody") is None


def test_order_is_stable(members: Membership) -> None:
    """The order does not depend on who reported last, so tables do not change for nothing."""
    for name in ("two", "one", "three"):
        members.engine_reported(engine(name))
        members.router_reported(router(name))
    assert [replica.id for replica in members.replicas()] == ["one", "three", "two"]
    assert [peer.id for peer in members.routers()] == ["one", "three", "two"]


def test_who_was_kept_from_hearing_takes_nobody_for_dead(members: Membership, clock: Clock) -> None:
    """A registry that stood still for a minute gives everybody the time to report again."""
    members.engine_reported(engine("one", ready=True))
    clock.now += 60
    assert not members.expire()
    assert members.is_ready("one")
    clock.pass_by(members, TTL_S + TICK_S)
    assert not members.is_ready("one")


def test_a_restarted_registry_waits_for_the_engines_that_routers_use(
    members: Membership,
) -> None:
    """Before it has heard all of them, its table would take live replicas from the routers."""
    assert members.settled
    members.router_reported(router(knows=frozenset({"one", "two"})))
    assert not members.settled
    members.engine_reported(engine("one", ready=True))
    assert not members.settled
    members.engine_reported(engine("two", draining=True))
    assert members.settled


def test_an_engine_that_died_with_the_registry_is_not_waited_for_for_ever(
    members: Membership, clock: Clock
) -> None:
    """After the grace the table goes out without it; a router that comes later changes nothing."""
    members.router_reported(router(knows=frozenset({"gone"})))
    clock.now += GRACE_S
    assert members.settled
    members.router_reported(router("second", frozenset({"gone", "other"})))
    assert members.settled


def test_a_report_that_was_overtaken_does_not_undo_what_was_learnt(members: Membership) -> None:
    """An engine's report may leave before a load and arrive after the load's own answer."""
    members.engine_reported(engine("one"))
    members.set_resident("one", frozenset({"returns@1"}), 2)
    late = engine("one").model_copy(update={"answer": 1})
    assert not members.engine_reported(late)
    members.set_resident("one", frozenset(), 1)
    assert [replica.resident for replica in members.replicas()] == [frozenset({"returns@1"})]

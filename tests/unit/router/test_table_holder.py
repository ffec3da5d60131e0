"""The table in use: swapped whole, pinned by requests, and honest about who can answer."""

from __future__ import annotations

import dataclasses

import pytest

from adapters.aliases import Alias, RoutingTable
from router.replicas.fair import FairLimits, FairQueues
from router.replicas.table import TableHolder
from router.request import Option
from tests.fakes.exchanges import BASE_ID, BEFORE, LIVE, local, replica, table

BASE = Option(target="base", engine_name=BASE_ID)
RETURNS = local("returns")
NAME = f"returns@{LIVE[:12]}"


@pytest.fixture
def holder() -> TableHolder:
    """A router that has heard nothing yet."""
    return TableHolder(FairQueues(FairLimits()))


def test_only_newer_tables_are_taken(holder: TableHolder) -> None:
    """A table that was overtaken on its way is ignored."""
    assert holder.apply(RoutingTable(revision=5))
    assert not holder.apply(RoutingTable(revision=5, base_id="late"))
    assert not holder.apply(RoutingTable(revision=4, base_id="late"))
    assert holder.apply(RoutingTable(revision=6, base_id="new"))
    assert holder.current.base_id == "new"


def test_pins_count_requests(holder: TableHolder) -> None:
    """A version is in flight while any request may still use it; frontiers are not counted."""
    options = [RETURNS, local("returns", BEFORE), Option(target="frontier:a/b")]
    with holder.pinned(options), holder.pinned([RETURNS]):
        assert holder.in_flight() == {NAME: 2, f"returns@{BEFORE[:12]}": 1}
    assert holder.in_flight() == {}


def test_pins_end_with_errors_and_with_other_tables(holder: TableHolder) -> None:
    """A request that fails, or outlives its table, gives its pin back (law 1)."""

    def fail() -> None:
        with holder.pinned([RETURNS]):
            holder.apply(RoutingTable(revision=7))
            assert holder.in_flight() == {NAME: 1}
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert holder.in_flight() == {}


def test_versions_that_went_are_told() -> None:
    """Who keeps something per version hears once that a table no longer has it (law 9)."""
    gone: list[str] = []
    holder = TableHolder(FairQueues(FairLimits()), gone.append)
    both = Alias(name="returns", versions=(LIVE, BEFORE))
    holder.apply(table(both, revision=1))
    holder.apply(table(both.model_copy(update={"versions": (LIVE,)}), revision=2))
    assert gone == [f"returns@{BEFORE[:12]}"]
    holder.apply(table(revision=3))
    assert gone == [f"returns@{BEFORE[:12]}", NAME]


def test_only_replicas_that_hold_the_version_are_places(holder: TableHolder) -> None:
    """A request goes where its version truly is, and only to who is ready."""
    lost = replica("converging", NAME, ready=False)
    holder.apply(table(replicas=(replica("holds", NAME), replica("lacks"), lost)))
    assert [place.id for place in holder.places(RETURNS)] == ["holds"]
    assert [place.id for place in holder.places(BASE)] == ["holds", "lacks"]
    assert holder.places(local("returns", BEFORE)) == []


async def test_the_least_loaded_comes_first(holder: TableHolder) -> None:
    """Requests on a replica decide the order, and end with the request."""
    holder.apply(table(replicas=(replica("one"), replica("two"))))
    one, two = (holder.queues.of(name, BASE_ID) for name in ("one", "two"))
    await one.acquire(BASE_ID)
    assert [place.id for place in holder.places(BASE)] == ["two", "one"]
    await two.acquire(BASE_ID)
    await two.acquire(BASE_ID)
    assert [place.id for place in holder.places(BASE)] == ["one", "two"]
    two.release(BASE_ID)
    two.release(BASE_ID)
    assert [place.id for place in holder.places(BASE)] == ["two", "one"]


async def test_suspects_come_last_but_come(holder: TableHolder) -> None:
    """A replica that just failed is the last resort, not out of the question (law 3)."""
    holder.apply(table(replicas=(replica("one"), replica("two"))))
    await holder.queues.of("two", BASE_ID).acquire(BASE_ID)
    holder.suspect(replica("one"))
    assert [place.id for place in holder.places(BASE)] == ["two", "one"]
    holder._suspects["one"] = 0.0
    assert [place.id for place in holder.places(BASE)] == ["one", "two"]


async def test_replicas_that_left_are_forgotten(holder: TableHolder) -> None:
    """A queue outlives its replica only while a request is on it (law 9)."""
    holder.apply(table(revision=1, replicas=(replica("one"), replica("two"))))
    one, two = (holder.queues.of(name, BASE_ID) for name in ("one", "two"))
    await one.acquire(BASE_ID)
    await two.acquire(BASE_ID)
    two.release(BASE_ID)
    holder.apply(table(revision=2))
    assert holder.queues.of("one", BASE_ID) is one
    assert holder.queues.of("two", BASE_ID) is not two


def test_suspects_who_left_are_forgotten(holder: TableHolder) -> None:
    """What is remembered about replicas is bounded by the replicas that exist (law 9)."""
    one = replica("one")
    holder.apply(table(revision=1, replicas=(one,)))
    holder.suspect(one)
    holder.apply(table(revision=2))
    assert holder._suspects == {}


def test_missing(holder: TableHolder) -> None:
    """Ready means: a base somewhere, and every committed version somewhere."""
    assert holder.missing() == ["base"]
    returns, empty = Alias(name="returns", live=LIVE), Alias(name="empty")
    holder.apply(table(returns, empty, revision=1, replicas=(replica("one", ready=False),)))
    assert holder.missing() == ["base"]
    holder.apply(table(returns, empty, revision=2, replicas=(replica("one"),)))
    assert holder.missing() == [NAME]
    holder.apply(table(returns, revision=3, replicas=(replica("one"), replica("two", NAME))))
    assert holder.missing() == []


def test_what_no_replica_has_room_for_is_not_missing(holder: TableHolder) -> None:
    """A cold version is lawful: the base answers for it, and the system is ready."""
    cold = f"cold@{BEFORE[:12]}"
    aliases = {"cold": Alias(name="cold", live=BEFORE, versions=(BEFORE,))}
    without_room = RoutingTable(revision=1, aliases=aliases, replicas=(replica("one"),))
    holder.apply(without_room)
    assert holder.missing() == [cold]
    holder.apply(without_room.model_copy(update={"revision": 2, "cold": (cold,)}))
    assert holder.missing() == []


def test_secrets_are_not_printed() -> None:
    """A table in a log or a traceback does not tell the engines' secrets."""
    assert "secret=" not in repr(table(replicas=(replica("one"),)))


async def test_a_session_prefers_its_replica(holder: TableHolder) -> None:
    """Sessions spread over replicas and come back to theirs, until it is much busier."""
    names = ("r1", "r2", "r3")
    holder.apply(table(replicas=tuple(replica(each) for each in names)))

    def first(session: str) -> str:
        return holder.places(dataclasses.replace(BASE, affinity=session))[0].id

    homes = {f"s{n}": first(f"s{n}") for n in range(60)}
    assert set(homes.values()) == set(names)
    assert all(first(session) == home for session, home in homes.items())
    home = homes["s0"]
    queue = holder.queues.of(home, BASE_ID)
    while first("s0") == home:
        await queue.acquire(BASE_ID)
        assert queue.depth < 20, "a session stays on a replica however busy it is"
    assert queue.depth > 4
    queue.release(BASE_ID)
    assert first("s0") == home


def test_a_suspect_is_nobodys_home(holder: TableHolder) -> None:
    """A replica that just failed is asked last, whose ever home it is."""
    replicas = (replica("r1"), replica("r2"))
    holder.apply(table(replicas=replicas))
    own = dataclasses.replace(BASE, affinity="s")
    home = holder.places(own)[0]
    holder.suspect(home)
    assert holder.places(own)[-1].id == home.id
    assert len(holder.places(own)) == 2


def test_a_session_moves_only_when_its_replica_leaves(holder: TableHolder) -> None:
    """When a replica goes, the others' sessions stay where they are."""
    replicas = tuple(replica(f"r{n}") for n in range(4))
    holder.apply(table(replicas=replicas, revision=1))
    own = {f"s{n}": dataclasses.replace(BASE, affinity=f"s{n}") for n in range(80)}
    before = {session: holder.places(option)[0].id for session, option in own.items()}
    holder.apply(table(replicas=replicas[1:], revision=2))
    after = {session: holder.places(option)[0].id for session, option in own.items()}
    assert {s for s in own if before[s] != after[s]} == {s for s in own if before[s] == "r0"}

"""The table in use: swapped whole, pinned by requests, and honest about who can answer."""

from __future__ import annotations

import pytest

from adapters.aliases import Alias, RoutingTable
from router.request import Option
from router.table import TableHolder
from tests.fakes.exchanges import BASE_ID, BEFORE, LIVE, local, replica, table

BASE = Option(target="base", engine_name=BASE_ID)
RETURNS = local("returns")
NAME = f"returns@{LIVE[:12]}"


@pytest.fixture
def holder() -> TableHolder:
    """A router that has heard nothing yet."""
    return TableHolder()


def test_only_newer_tables_are_taken(holder: TableHolder) -> None:
    """A table that was overtaken on its way is ignored."""
    assert holder.apply(RoutingTable(revision=5))
    assert not holder.apply(RoutingTable(revision=5, base_id="late"))
    assert not holder.apply(RoutingTable(revision=4, base_id="late"))
    assert holder.apply(RoutingTable(revision=6, base_id="new"))
    assert holder.current.base_id == "new"


def test_a_replaced_registry_may_count_anew(holder: TableHolder) -> None:
    """After a reset any table is taken, and until then the old one serves."""
    holder.apply(RoutingTable(revision=900, base_id="old"))
    holder.reset()
    assert holder.current.base_id == "old"
    assert holder.apply(RoutingTable(revision=1, base_id="new"))


def test_pins_count_requests(holder: TableHolder) -> None:
    """A version is in flight while any request may still use it; frontiers are not counted."""
    options = [RETURNS, local("returns", BEFORE), Option(target="frontier:a/b")]
    with holder.pinned(options), holder.pinned([RETURNS]):
        assert holder.in_flight() == {NAME: 2, f"returns@{BEFORE[:12]}": 1}
    assert holder.in_flight() == {}


def test_pins_end_with_errors_and_with_other_tables(holder: TableHolder) -> None:
    """A request that fails, or outlives its table, gives its pin back (law 1)."""
    with pytest.raises(RuntimeError), holder.pinned([RETURNS]):
        holder.apply(RoutingTable(revision=7))
        assert holder.in_flight() == {NAME: 1}
        raise RuntimeError
    assert holder.in_flight() == {}


def test_only_replicas_that_hold_the_version_are_places(holder: TableHolder) -> None:
    """A request goes where its version truly is, and only to who is ready."""
    seen = table(
        replicas=(
            replica("holds", NAME),
            replica("lacks"),
            replica("converging", NAME, ready=False),
        )
    )
    assert [place.id for place in holder.places(seen, RETURNS)] == ["holds"]
    assert [place.id for place in holder.places(seen, BASE)] == ["holds", "lacks"]
    assert holder.places(seen, local("returns", BEFORE)) == []


def test_the_least_loaded_comes_first(holder: TableHolder) -> None:
    """Calls under way decide the order, and end with the call."""
    one, two = replica("one"), replica("two")
    seen = table(replicas=(one, two))
    holder.started(one)
    assert [place.id for place in holder.places(seen, BASE)] == ["two", "one"]
    holder.started(two)
    holder.started(two)
    assert holder.load() == {"one": 1, "two": 2}
    assert [place.id for place in holder.places(seen, BASE)] == ["one", "two"]
    for _ in range(2):
        holder.ended(two)
    holder.ended(one)
    assert holder.load() == {}


def test_suspects_come_last_but_come(holder: TableHolder) -> None:
    """A replica that just failed is the last resort, not out of the question (law 3)."""
    one, two = replica("one"), replica("two")
    seen = table(replicas=(one, two))
    holder.apply(seen)
    for _ in range(3):
        holder.started(two)
    holder.suspect(one)
    assert [place.id for place in holder.places(seen, BASE)] == ["two", "one"]
    holder._suspects["one"] = 0.0
    assert [place.id for place in holder.places(seen, BASE)] == ["one", "two"]


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


def test_secrets_are_not_printed() -> None:
    """A table in a log or a traceback does not tell the engines' secrets."""
    assert "secret=" not in repr(table(replicas=(replica("one"),)))

"""Replicas converge to what the registry says; tables and placement that follow from it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.aliases import Replica, engine_name
from adapters.errors import FleetError, LoadFailed
from adapters.events import Event
from adapters.publish.placement import place
from adapters.publish.reconcile import desired_for
from adapters.publish.table import build_table
from adapters.registry.lifecycle import State
from tests.fakes.adapter_path import FAST, AdapterPath
from tests.fakes.fleet import FakeFleet
from tests.fakes.tiny_adapter import tiny_adapter


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[AdapterPath]:
    """Two replicas with one alias in its second version."""
    path = AdapterPath(tmp_path, FakeFleet("r0", "r1"))
    for seed in (1, 2):
        await path.push("returns", seed)
    yield path
    await path.aclose()


async def _until(path: AdapterPath, kind: str, count: int) -> AsyncIterator[Event]:
    """The next ``count`` events of a kind."""
    async for event in path.events.follow():
        if event.kind == kind:
            yield event
            count -= 1
        if count == 0:
            return


def names(path: AdapterPath, *seeds: int, alias: str = "returns") -> set[str]:
    """Engine names of versions by seed."""
    return {engine_name(alias, path.digest(seed)) for seed in seeds}


async def test_a_restarted_replica_gets_everything_back(path: AdapterPath) -> None:
    """It forgot all it held; one pass repairs that and says what it did."""
    path.fleet.die("r1")
    path.fleet.join("r1")
    reports = await path.reconciler.converge()
    assert path.fleet.holding("r1") == names(path, 1, 2)
    assert (set(reports["r1"].loaded), reports["r1"].converged) == (names(path, 1, 2), True)
    assert reports["r0"].loaded == []


async def test_live_versions_are_loaded_first(path: AdapterPath) -> None:
    """A new replica can serve before the versions kept for rollback are there."""
    await path.push("returns", 3, stage="canary", percent=5.0)
    path.fleet.join("r2")
    path.fleet.calls.clear()
    await path.reconciler.converge()
    order = [name for what, replica, name in path.fleet.calls if (what, replica) == ("load", "r2")]
    assert order == [engine_name("returns", path.digest(seed)) for seed in (2, 3, 1)]


async def test_a_new_replica_is_told_what_to_load(path: AdapterPath) -> None:
    """The committed set in order of urgency, with files that exist."""
    files = await path.reconciler.committed("r9")
    assert [each.digest for each in files] == [path.digest(2), path.digest(1)]
    assert all(each.path.is_dir() for each in files)


async def test_what_nobody_accounts_for_is_removed(path: AdapterPath) -> None:
    """Residue of an undone publish, and names that the registry never heard of."""
    path.fleet.holding("r0").update({"returns@ffffffffffff", "stranger", "other@000000000000"})
    reports = await path.reconciler.converge()
    assert path.fleet.holding("r0") == names(path, 1, 2)
    assert len(reports["r0"].removed) == 3


async def test_residue_in_use_is_left_until_it_is_not(path: AdapterPath) -> None:
    """Law 1 also for what should not be there."""
    path.fleet.holding("r0").add("returns@ffffffffffff")
    path.fleet.requests["returns@ffffffffffff"] = 1
    await path.reconciler.converge()
    assert "returns@ffffffffffff" in path.fleet.holding("r0")
    path.fleet.requests.clear()
    await path.reconciler.converge()
    assert path.fleet.holding("r0") == names(path, 1, 2)


async def test_a_publish_under_way_is_not_disturbed(path: AdapterPath) -> None:
    """What is being prepared is in an engine by right."""
    path.fleet.load_s = 0.05
    await path.rollout.push("returns", path.adapter(3))
    while path.registry.version("returns", path.digest(3)).state is not State.LIVE:
        await path.reconciler.converge()
    await path.idle()
    assert path.fleet.holding("r0") == path.fleet.holding("r1") == names(path, 2, 3)


async def test_a_replica_that_cannot_load_is_reported(path: AdapterPath) -> None:
    """It must not be advertised for what it lacks; the others are not held up."""
    path.fleet.join("r2")

    def refuses(what: str, replica: str | None, _: str) -> None:
        if (what, replica) == ("load", "r2"):
            raise LoadFailed("out of memory")

    path.fleet.rules.append(refuses)
    path.fleet.holding("r1").clear()
    reports = await path.reconciler.converge()
    assert not reports["r2"].converged
    assert set(reports["r2"].missing) == names(path, 1, 2)
    assert reports["r1"].converged


async def test_a_replica_that_does_not_answer_is_left_alone(path: AdapterPath) -> None:
    """Nothing is concluded from silence."""

    def silent(what: str, replica: str | None, _: str) -> None:
        if (what, replica) == ("residency", "r1"):
            raise FleetError("timeout")

    path.fleet.rules.append(silent)
    loads = path.fleet.count("load")
    reports = await path.reconciler.converge()
    assert (reports["r1"].error, reports["r1"].converged) == ("timeout", False)
    assert path.fleet.count("load") == loads


async def test_a_pass_that_finds_nothing_does_nothing(path: AdapterPath) -> None:
    """No load, no new table, no history."""
    await path.idle()
    before = (path.fleet.count("load"), len(path.tables), path.registry.history())
    await path.reconciler.converge()
    await path.idle()
    assert (path.fleet.count("load"), len(path.tables), path.registry.history()) == before


async def test_copies_move_when_their_home_changes(tmp_path: Path) -> None:
    """With k of n, a replica that joins takes over its share; old copies go last."""
    path = AdapterPath(
        tmp_path, FakeFleet("r0", "r1"), FAST.model_copy(update={"copies": 1, "keep_previous": 0})
    )
    for number in range(6):
        await path.push(f"alias-{number}", number)
    path.fleet.join("r2")
    await path.reconciler.converge()
    for number in range(6):
        alias = f"alias-{number}"
        homes = path.rollout.loader.homes(alias)
        name = engine_name(alias, path.digest(number))
        holding = [r for r in path.fleet.replica_ids() if name in path.fleet.holding(r)]
        assert holding == list(homes)
    assert path.fleet.holding("r2"), "the newcomer got something"
    await path.aclose()


async def test_what_does_not_fit_is_left_out_by_urgency(path: AdapterPath) -> None:
    """A small replica holds what serves; versions kept for rollback come last."""
    path.reconciler._settings = FAST.model_copy(update={"capacity": 1})
    files = await path.reconciler.committed("r9")
    assert [each.digest for each in files] == [path.digest(2)]


# Pure parts


async def test_versions_of_another_base_are_nobodys(path: AdapterPath) -> None:
    """After a change of the base they are neither desired nor advertised."""
    snapshot = path.registry.snapshot()
    assert desired_for(snapshot, "r0", ["r0"], base_digest="c" * 64) == []
    table = build_table(snapshot, revision=1, base_id="other", base_digest="c" * 64)
    assert (table.aliases["returns"].live, table.aliases["returns"].versions) == (None, ())


async def test_a_table_holds_all_that_routers_need(path: AdapterPath) -> None:
    """Aliases, what may be pinned, candidates with shares, and the facts that were handed in."""
    await path.push("returns", 3, stage="shadow", percent=20.0)
    await path.rollout.push("never", path.adapter(4), stage="live")
    replica = Replica(id="r0", url="http://x", secret="s", resident=frozenset({"a"}))
    table = build_table(
        path.registry.snapshot(), revision=7, base_id="tiny", max_model_len=64, replicas=[replica]
    )
    alias = table.aliases["returns"]
    assert (table.revision, table.base_id, table.max_model_len) == (7, "tiny", 64)
    assert (alias.live, alias.previous) == (path.digest(2), path.digest(1))
    assert set(alias.versions) == {path.digest(seed) for seed in (1, 2, 3)}
    assert [(c.stage, c.percent) for c in alias.candidates] == [("shadow", 20.0)]
    assert table.replicas == (replica,)


async def test_an_alias_that_never_served_is_not_a_name(path: AdapterPath) -> None:
    """A rejected first push does not make clients' 404 into something else."""
    path.fleet.delta = 0
    await path.push("broken", 3)
    assert "broken" not in path.table.aliases


async def test_intents_follow_the_live_version(tmp_path: Path) -> None:
    """What the manifest declares reaches the table at the flip and leaves with it."""
    path = AdapterPath(tmp_path, FakeFleet("r0"))
    directory = tiny_adapter(tmp_path / "with", 1, manifest={"intents": ["return_item"]})
    await path.rollout.push("returns", directory, wait=True)
    before = path.table.aliases["returns"].intents
    await path.push("returns", 2)
    after = path.table.aliases["returns"].intents
    assert (before, after) == (("return_item",), ())
    await path.aclose()


replica_sets = st.sets(st.text("abcdef0123456789-", min_size=1, max_size=8), min_size=1, max_size=8)


@given(replica_sets, st.integers(1, 8))
def test_placement_is_stable(replicas: set[str], copies: int) -> None:
    """Order of asking does not matter, and the share is what was asked for."""
    chosen = place("returns", replicas, copies)
    assert chosen == place("returns", sorted(replicas, reverse=True), copies)
    assert len(chosen) == min(copies, len(replicas))
    assert set(place("returns", replicas)) == replicas


@given(replica_sets, st.integers(1, 8))
def test_a_replica_that_leaves_moves_only_its_own_share(replicas: set[str], copies: int) -> None:
    """Everybody else who held the alias still does."""
    before = place("returns", replicas, copies)
    gone = before[0]
    after = place("returns", replicas - {gone}, copies)
    assert set(before) - {gone} <= set(after)


def test_placement_spreads_aliases() -> None:
    """No replica is everybody's first choice."""
    first = [place(f"alias-{n}", ["r0", "r1", "r2", "r3"], 1)[0] for n in range(400)]
    assert all(60 < first.count(replica) < 140 for replica in ("r0", "r1", "r2", "r3"))

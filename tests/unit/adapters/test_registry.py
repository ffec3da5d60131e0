"""The durable record: transactions, epoch, history, fencing, threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from adapters.errors import (
    Conflict,
    IllegalMove,
    RegistryError,
    UnknownAlias,
    UnknownVersion,
)
from adapters.registry import Plan, Registry, Sighting, database
from adapters.registry.lifecycle import State
from adapters.registry.models import HistoryRow

A, B, C = "a" * 64, "b" * 64, "c" * 64


@pytest.fixture
def registry(database_url: str) -> Iterator[Registry]:
    """A fresh registry."""
    opened = Registry.open(database_url)
    opened.claim()
    yield opened
    opened.close()


def bring(registry: Registry, digest: str, *states: State, alias: str = "returns") -> None:
    """Receive a version and move it through states."""
    registry.receive(alias, digest, plan=Plan(), by="test")
    for state in states:
        registry.move(alias, digest, state, by="test")


TO_PREPARED = (State.CHECKED, State.STORED, State.PREPARING, State.PREPARED)


def test_what_is_received_is_found_again(registry: Registry) -> None:
    """By full digest, by its first twelve digits and by the engine name."""
    bring(registry, A)
    for reference in (A, A[:12], A[:20], f"returns@{A[:12]}"):
        assert registry.version("returns", reference).digest == A


def test_unknown_names_are_told_apart(registry: Registry) -> None:
    """An alias that is not there and a version that is not there are different mistakes."""
    bring(registry, A)
    with pytest.raises(UnknownAlias):
        registry.version("nobody", A)
    for reference in (B, A[:12] + "f", "%" * 12):
        with pytest.raises(UnknownVersion):
            registry.version("returns", reference)


def test_receiving_known_bytes_starts_nothing(registry: Registry) -> None:
    """A second push of a version under way leaves it where it is."""
    bring(registry, A, State.CHECKED, State.STORED)
    version, starts = registry.receive("returns", A, plan=Plan("canary", 5), by="other")
    assert (version.state, starts, version.plan.stage) == (State.STORED, False, "live")


@pytest.mark.parametrize("end", [State.FAILED, State.REJECTED])
def test_receiving_failed_bytes_starts_again(registry: Registry, end: State) -> None:
    """What failed for a passing reason gets a new chance, with the new plan."""
    bring(registry, A, end)
    version, starts = registry.receive("returns", A, plan=Plan("canary", 5), by="other")
    assert (version.state, starts, version.plan) == (State.RECEIVED, True, Plan("canary", 5))


def test_a_retired_version_comes_back_only_when_asked(registry: Registry) -> None:
    """The watched store must not bring back what an operator retired."""
    bring(registry, A, *TO_PREPARED)
    registry.commit("returns", A, by="test")
    registry.begin_drain("returns", [A], by="test", forget=True)
    registry.move("returns", A, State.RETIRED, by="test")
    assert not registry.receive("returns", A, plan=Plan(), by="watch", revive=False)[1]
    assert registry.receive("returns", A, plan=Plan(), by="admin")[1]


def test_two_contents_never_share_an_engine_name(registry: Registry) -> None:
    """Engines know versions by alias and twelve digits: a collision is refused, not served."""
    bring(registry, A)
    with pytest.raises(RegistryError) as caught:
        registry.receive("returns", A[:12] + "0" * 52, plan=Plan(), by="test")
    assert caught.value.code == "name-collision"


def test_a_commit_flips_everything_at_once(registry: Registry) -> None:
    """Live, previous, intents, both versions' states and the epoch change together."""
    bring(registry, A, *TO_PREPARED)
    bring(registry, B, *TO_PREPARED)
    registry.learn("returns", B, manifest={"intents": ["return_item"]})
    assert registry.commit("returns", A, by="test") == 1
    assert registry.commit("returns", B, by="test") == 2
    alias = registry.alias("returns")
    assert (alias.live, alias.previous, alias.epoch) == (B, A, 2)
    assert alias.intents == ("return_item",)
    assert registry.version("returns", A).state is State.SUPERSEDED
    assert registry.commit("returns", B, by="test") == 2, "a commit that changes nothing"


def test_an_illegal_commit_changes_nothing(registry: Registry) -> None:
    """The transaction is all or nothing, epoch and history included."""
    bring(registry, A, *TO_PREPARED)
    registry.commit("returns", A, by="test")
    bring(registry, B)
    lines = len(registry.history())
    with pytest.raises(IllegalMove):
        registry.commit("returns", B, by="test")
    assert registry.epoch() == 1
    assert registry.alias("returns").live == A
    assert len(registry.history()) == lines


def test_a_commit_refuses_what_changed_meanwhile(registry: Registry) -> None:
    """A rollback decided on an old view of the alias does not undo somebody's newer publish."""
    for digest in (A, B, C):
        bring(registry, digest, *TO_PREPARED)
        registry.commit("returns", digest, by="test")
    with pytest.raises(Conflict):
        registry.commit("returns", A, by="test", expect=(B, A))
    assert registry.alias("returns").live == C


def test_draining_takes_only_versions_in_the_named_states(registry: Registry) -> None:
    """A version that went live again since somebody looked is not drained under its users."""
    for digest in (A, B):
        bring(registry, digest, *TO_PREPARED)
        registry.commit("returns", digest, by="test")
    _, left = registry.begin_drain("returns", [A, B], {State.SUPERSEDED}, by="test", forget=False)
    assert left == [A]
    assert registry.alias("returns").live == B
    assert registry.alias("returns").previous == A, "a rollback may load it again"


def test_candidates_come_and_go_with_their_version(registry: Registry) -> None:
    """A canary has a share while it is one; a commit or a drain takes it away."""
    bring(registry, A, *TO_PREPARED)
    registry.set_candidate("returns", A, "canary", 5, by="test")
    registry.set_candidate("returns", A, "canary", 25, by="test")
    assert [(c.digest, c.percent) for c in registry.candidates("returns")] == [(A, 25)]
    registry.set_candidate("returns", A, "shadow", 50, by="test")
    assert registry.version("returns", A).state is State.SHADOW
    registry.commit("returns", A, by="test")
    assert registry.candidates("returns") == []


def test_everything_survives_a_restart(database_url: str) -> None:
    """Epoch, states, candidates, history and sightings are on the disk."""
    first = Registry.open(database_url)
    first.claim()
    bring(first, A, *TO_PREPARED)
    first.commit("returns", A, by="someone")
    first.remember(Sighting("returns/v1", "print", A, "taken"))
    before = (first.snapshot(), first.history(), first.sightings())
    first.close()
    second = Registry.open(database_url)
    assert (second.snapshot(), second.history(), second.sightings()) == before
    assert second.epoch() == 1
    second.close()


def test_history_says_who_did_what(registry: Registry) -> None:
    """Each step has a line with its actor; the flip itself has one of its own."""
    bring(registry, A, *TO_PREPARED)
    registry.commit("returns", A, by="alice", detail="looks good")
    flip = registry.history("returns")[-1]
    assert (flip.actor, flip.action, flip.before, flip.after) == ("alice", "commit", None, A)
    assert (flip.epoch, flip.detail) == (1, "looks good")


def test_history_cannot_be_changed(registry: Registry, database_url: str) -> None:
    """Not even by somebody with the database open."""
    bring(registry, A)
    engine = database.connect(database_url)
    for statement in ("DELETE FROM history", "UPDATE history SET actor = 'nobody'"):
        with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
            connection.exec_driver_sql(statement)
    engine.dispose()


def test_only_the_oldest_lines_of_history_go(registry: Registry, database_url: str) -> None:
    """As many as are asked for stay, and a thousand in any case; the writer alone may do it."""
    bring(registry, A)
    engine = database.connect(database_url)
    with Session(engine) as session, session.begin():
        session.add_all(
            HistoryRow(
                at=datetime.now(UTC),
                actor="test",
                action="move",
                alias="returns",
                epoch=0,
                detail=str(number),
            )
            for number in range(1500)
        )
    assert registry.trim_history(1200) == 301
    assert registry.trim_history(1200) == 0
    assert registry.trim_history(1) == 200
    assert registry.sizes()["history"] == 1000
    assert registry.history(limit=2000)[0].detail == "500"
    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM history")
    engine.dispose()


def test_an_older_process_may_no_longer_write(database_url: str) -> None:
    """While one registry replaces another, only the newer one decides."""
    old, new = Registry.open(database_url), Registry.open(database_url)
    old.claim()
    bring(old, A)
    new.claim()
    with pytest.raises(RegistryError) as caught:
        bring(old, B)
    assert caught.value.code == "superseded"
    assert [version.digest for version in old.versions()] == [A], "reading goes on"
    bring(new, B)
    old.close()
    new.close()


def test_many_threads_may_write(registry: Registry) -> None:
    """No write is lost and no epoch given twice, whoever asks at the same time."""
    for number in range(8):
        bring(registry, f"{number}" * 64, *TO_PREPARED, alias=f"alias-{number}")
    epochs: list[int] = []

    def commit(number: int) -> Callable[[], None]:
        return lambda: epochs.append(
            registry.commit(f"alias-{number}", f"{number}" * 64, by="test")
        )

    threads = [threading.Thread(target=commit(number)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(epochs) == list(range(1, 9))


def test_readers_see_a_whole_commit_or_nothing(registry: Registry) -> None:
    """A snapshot never shows an alias that points at a version which is not live."""
    for digest in (A, B):
        bring(registry, digest, *TO_PREPARED)
    registry.commit("returns", A, by="test")
    stop = threading.Event()
    wrong: list[str] = []

    def read() -> None:
        while not stop.is_set():
            snapshot = registry.snapshot()
            live = snapshot.aliases[0].live or ""
            version = snapshot.version("returns", live)
            if version is None or version.state is not State.LIVE:
                wrong.append(live)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(4):
        registry.commit("returns", B, by="test")
        registry.commit("returns", A, by="test")
    stop.set()
    reader.join()
    assert not wrong


def test_versions_that_left_are_still_known_by_name(registry: Registry) -> None:
    """Routers can tell a retired version from one that never was; only the newest few."""
    digests = [f"{number:02d}" * 32 for number in range(20)]
    for digest in digests:
        bring(registry, digest, *TO_PREPARED)
        registry.commit("returns", digest, by="test")
    registry.begin_drain("returns", digests[:-1], by="test", forget=False)
    retired = registry.snapshot().retired["returns"]
    assert len(retired) == 16
    assert set(retired) <= set(digests[:-1])


@pytest.mark.parametrize("bad", ["sqlite://", "mysql://x/y", "not a url", "sqlite:///:memory:"])
def test_a_database_that_cannot_be_used_is_named(bad: str) -> None:
    """The setting's name is in the message, with what to write instead."""
    with pytest.raises(RegistryError, match="database_url") as caught:
        Registry.open(bad)
    assert caught.value.remedy


def test_a_postgresql_that_falls_silent_is_given_up(tmp_path: Path) -> None:
    """Within seconds, and not after the kernel's quarter of an hour; a URL may say otherwise."""
    query = database.connect("postgresql+psycopg://u@h/n?connect_timeout=3").url.query
    assert query["connect_timeout"] == "3"
    assert int(str(query["tcp_user_timeout"])) <= 30_000
    idle, between, count = (
        int(str(query[f"keepalives_{what}"])) for what in ("idle", "interval", "count")
    )
    assert idle + between * count <= 30


def test_sqlite_is_set_up_for_crashes(tmp_path: Path) -> None:
    """Write-ahead log, full sync and foreign keys, on every connection."""
    engine = database.connect(f"sqlite:///{tmp_path / 'registry.db'}")
    with engine.connect() as connection:
        values = [
            connection.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        ]
    engine.dispose()
    assert values == ["wal", 2, 1, 10_000]


def test_an_unknown_fact_is_a_programming_error(registry: Registry) -> None:
    """Facts have names; a typo does not vanish."""
    bring(registry, A)
    with pytest.raises(TypeError, match="colour"):
        registry.learn("returns", A, colour="blue")


def test_a_snapshot_is_of_one_moment(database_url: str) -> None:
    """A commit between two of its reads is in none of them, on either database."""
    registry, writer = Registry.open(database_url), Registry.open(database_url)
    writer.claim()
    bring(writer, A, *TO_PREPARED)
    epoch = writer.commit("returns", A, by="test")
    bring(writer, B, *TO_PREPARED)
    waiting = [B]

    def meanwhile(_: object, __: object, statement: str, *___: object) -> None:
        if statement.startswith("SELECT") and waiting:
            writer.commit("returns", waiting.pop(), by="test")

    event.listen(registry._engine, "after_cursor_execute", meanwhile)
    seen = registry.snapshot()
    assert (seen.epoch, seen.aliases[0].epoch, seen.aliases[0].live) == (epoch, epoch, A)
    assert writer.snapshot().aliases[0].live == B
    registry.close()
    writer.close()


def test_names_that_never_served_are_bounded(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many pushes are refused: the oldest go, and their aliases with them (law 9)."""
    monkeypatch.setattr("adapters.registry.repository.MOST_REFUSED", 2)
    bring(registry, A, *TO_PREPARED, alias="serves")
    registry.commit("serves", A, by="test")
    bring(registry, B, State.REJECTED, alias="serves")
    bring(registry, C, State.REJECTED, alias="forbidden")
    registry.forget("forbidden", C, by="test", detail="somebody was erased")
    ends = (State.REJECTED, State.FAILED, State.RETIRED)
    for number in range(9):
        bring(registry, f"{number}" * 64, ends[number % 3], alias=f"refused-{number}")
    bring(registry, A, alias="arrives")
    aliases = {each.name for each in registry.aliases()}
    assert aliases == {"serves", "forbidden", "refused-7", "refused-8", "arrives"}
    assert [version.digest for version in registry.versions("serves")] == [A]
    with pytest.raises(Conflict, match="somebody was erased"):
        registry.receive("forbidden", C, plan=Plan(), by="test")
    lines = len(registry.history(limit=100_000))
    assert registry.sizes() == {"aliases": 5, "versions": 5, "sightings": 0, "history": lines}


def test_a_version_that_failed_with_its_files_in_the_store_is_not_forgotten(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files are somebody's to collect or to promote."""
    monkeypatch.setattr("adapters.registry.repository.MOST_REFUSED", 0)
    bring(registry, A, State.CHECKED)
    registry.move("returns", A, State.STORED, by="test", manifest={"alias": "returns"})
    registry.move("returns", A, State.FAILED, by="test")
    bring(registry, B)
    assert [version.digest for version in registry.versions("returns")] == [A, B]


def test_entries_that_left_the_watched_store_can_be_forgotten(registry: Registry) -> None:
    """The others are still known, the oldest first."""
    for name in ("v1", "v2", "v3"):
        registry.remember(Sighting(f"returns/{name}", "print", A, "taken"))
    registry.forget_sightings(["returns/v1", "returns/none"])
    assert list(registry.sightings()) == ["returns/v2", "returns/v3"]


def test_what_was_forgotten_moves_no_more(registry: Registry) -> None:
    """Whoever had begun to bring it back before it was written down (law 12)."""
    bring(registry, A, *TO_PREPARED)
    with pytest.raises(Conflict, match="prepared"):
        registry.forget("returns", A, by="test", detail="somebody was erased")
    registry.move("returns", A, State.RETIRED, by="test")
    registry.forget("returns", A, by="test", detail="somebody was erased")
    registry.learn("returns", A, error="")
    with pytest.raises(Conflict, match="somebody was erased"):
        registry.move("returns", A, State.PREPARING, by="test", error="")
    with pytest.raises(Conflict, match="somebody was erased"):
        registry.receive("returns", A, plan=Plan(), by="test")
    assert registry.version("returns", A).state is State.RETIRED

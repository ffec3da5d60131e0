"""The corpus: duplicates are one, deliveries count once, room is bounded, erasures are whole."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import event, func, select
from sqlalchemy.orm import Session

from adapters.corpus.delivery import Afterwards
from adapters.corpus.exchange import Exchange, ExchangeState
from adapters.corpus.exchanges import CorpusFull, Exchanges, Limits
from adapters.corpus.models import ExchangeRow
from adapters.errors import RegistryError
from adapters.flywheel.database import FlywheelStore
from adapters.registry import database
from tests.fakes.corpus import corpus, exchange
from tests.fakes.postgres import NewDatabase


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'flywheel.db'}"
    new: NewDatabase = request.getfixturevalue("postgres")
    return new()


@pytest.fixture
def exchanges(url: str) -> Iterator[Exchanges]:
    """An empty corpus."""
    with corpus(url) as (opened, _):
        yield opened


def test_what_is_taken_is_found_as_it_was(exchanges: Exchanges) -> None:
    """Nothing is lost on the way through the database."""
    given = exchange(
        "How do I return these shoes?",
        session="s-1",
        decision_id="dec_1",
        subjects=("b" * 64, "a" * 64),
        confidence=0.25,
        cost_usd=0.002,
        signals=("escalated",),
        details={"documents": ["doc_1"], "logprobs": [{"token": "a"}]},
    )
    identity, is_new = exchanges.take(given)
    found = exchanges.find(identity)
    assert is_new
    assert found is not None
    assert found == Exchange(
        **{
            **{name: getattr(given, name) for name in Exchange.__slots__},
            "id": identity,
            "subjects": ("a" * 64, "b" * 64),
        }
    )


def test_one_delivered_twice_counts_once(exchanges: Exchanges) -> None:
    """A router that heard no acknowledgement sends again."""
    one = exchange("Where is it?", decision_id="dec_1")
    first = exchanges.take(one)
    assert exchanges.take(one) == (first[0], False)
    found = exchanges.find(first[0])
    assert found is not None
    assert found.count == 1


@pytest.mark.parametrize(
    "again",
    [
        "how do i return these shoes",
        "How  do I\nreturn these shoes?!",
        "\uff28ow do I return \u201cthese\u201d shoes?",
        "HOW DO I RETURN THESE SHOES",
    ],
)
def test_spelling_makes_no_difference(exchanges: Exchanges, again: str) -> None:
    """Case, spaces, punctuation and compatible forms are not what is asked."""
    first, _ = exchanges.take(exchange("How do I return these shoes?", decision_id="d1"))
    assert exchanges.take(exchange(again, decision_id="d2")) == (first, False)
    found = exchanges.find(first)
    assert found is not None
    assert found.count == 2
    assert found.messages[0]["content"] == "How do I return these shoes?"


@pytest.mark.parametrize(
    "other",
    [
        exchange("How do I return these boots?"),
        exchange("How do I return 2 of these shoes?"),
        exchange("How do I return these shoes?", tenant="other"),
        exchange("How do I return these shoes?", trains=False),
        exchange(
            "",
            messages=(
                {"role": "system", "content": "Be short."},
                {"role": "user", "content": "How do I return these shoes?"},
            ),
        ),
    ],
)
def test_another_matter_is_another_exchange(exchanges: Exchanges, other: Exchange) -> None:
    """Also what another tenant asked in the same words, and what nobody may learn from."""
    first, _ = exchanges.take(exchange("How do I return these shoes?"))
    second, is_new = exchanges.take(other)
    assert is_new
    assert second != first


def test_another_answer_to_the_same_is_kept_beside(exchanges: Exchanges) -> None:
    """A reviewer sees both; the first stays where it is."""
    first, _ = exchanges.take(exchange("Refund?", response="30 days.", cost_usd=0.5))
    exchanges.take(exchange("refund", response="30 DAYS", cost_usd=0.25))
    exchanges.take(exchange("refund", response="14 days.", target="base", confidence=0.2))
    found = exchanges.find(first)
    assert found is not None
    assert found.response == "30 days."
    assert found.details["answers"] == [{"target": "base", "response": "14 days."}]
    assert (found.cost_usd, found.confidence, found.count) == (0.75, 0.2, 3)


def test_signals_that_come_first_wait(exchanges: Exchanges) -> None:
    """Feedback overtakes the exchange that it is about."""
    heard: list[tuple[str, tuple[str, ...]]] = []
    exchanges.hear(lambda each, names: heard.append((each.id, names)))
    assert exchanges.signal("dec_1", ["negative_feedback"], {"comment": "wrong"}) is None
    identity, _ = exchanges.take(exchange("Why?", decision_id="dec_1", signals=("escalated",)))
    assert exchanges.signal("dec_1", ["demonstration"], {"demonstrations": ["So."]}) == identity
    found = exchanges.find(identity)
    assert found is not None
    assert found.signals == ("escalated", "negative_feedback", "demonstration")
    assert found.details == {"comment": "wrong", "demonstrations": ["So."]}
    assert heard == [
        (identity, ("escalated", "negative_feedback")),
        (identity, ("demonstration",)),
    ]


def test_a_duplicates_decision_leads_to_the_exchange(exchanges: Exchanges) -> None:
    """Feedback on the second answer is about the exchange that stands for both."""
    identity, _ = exchanges.take(exchange("Why?", decision_id="dec_1"))
    exchanges.take(exchange("why", decision_id="dec_2"))
    assert exchanges.signal("dec_2", ["negative_feedback"]) == identity


def test_pages_have_each_once_the_newest_first(exchanges: Exchanges) -> None:
    """While new ones arrive."""
    made = [exchanges.take(exchange(f"Question {number}?"))[0] for number in range(7)]
    page = exchanges.page(limit=3)
    exchanges.take(exchange("One more?"))
    seen = [each.id for each in page.exchanges]
    while page.after is not None:
        page = exchanges.page(limit=3, after=page.after)
        seen += [each.id for each in page.exchanges]
    assert seen == made[::-1]


def test_pages_are_narrowed(exchanges: Exchanges) -> None:
    """By intent, state and person, together."""
    one, _ = exchanges.take(exchange("A?", subjects=("a" * 64,)))
    two, _ = exchanges.take(exchange("B?", intent="billing", subjects=("a" * 64,)))
    three, _ = exchanges.take(exchange("C?", intent="billing"))
    exchanges.move([two], ExchangeState.IN_REVIEW)

    def ids(**wanted: object) -> list[str]:
        return [each.id for each in exchanges.page(**wanted).exchanges]  # type: ignore[arg-type]

    assert ids(intent="billing") == [three, two]
    assert ids(subject="a" * 64) == [two, one]
    assert ids(state=ExchangeState.IN_REVIEW) == [two]
    assert ids(state=ExchangeState.CAPTURED, subject="a" * 64) == [one]
    assert ids(intent="nothing") == []


def test_no_list_reads_more_than_it_shows(tmp_path: Path) -> None:
    """Each is found through an index that has its order, however many rows there are."""
    with corpus(f"sqlite:///{tmp_path / 'flywheel.db'}") as (exchanges, store):
        asked: list[tuple[str, Any]] = []

        def hear(_: object, __: object, statement: str, given: Any, *___: object) -> None:
            if "FROM exchanges" in statement:
                asked.append((statement, given))

        with store.read() as session:
            event.listen(session.get_bind().engine, "before_cursor_execute", hear)
        wanted: list[dict[str, Any]] = [
            {},
            {"intent": "a"},
            {"state": ExchangeState.GOLD},
            {"intent": "a", "state": ExchangeState.GOLD},
            {"intent": "a", "state": ExchangeState.GOLD, "after": 9},
        ]
        for each in wanted:
            exchanges.page(**each)
        exchanges.since(7)
        assert len(asked) == len(wanted) + 1
        with store.read() as session:
            raw = session.connection().connection
            for statement, given in asked:
                cursor = raw.cursor()
                cursor.execute(f"EXPLAIN QUERY PLAN {statement}", given)
                plan = " ".join(str(row[3]) for row in cursor.fetchall())
                assert "TEMP B-TREE" not in plan, statement
                assert "SEARCH" in plan or statement.count("WHERE") == 0, plan


def test_who_follows_hears_of_every_change_once(exchanges: Exchanges) -> None:
    """Clusters go on where they were."""
    one, _ = exchanges.take(exchange("A?", decision_id="d1"))
    two, _ = exchanges.take(exchange("B?"))
    found = exchanges.since()
    assert [each.id for each in found.exchanges] == [one, two]
    assert found.after is not None
    assert exchanges.since(found.after).after is None
    exchanges.signal("d1", ["x"])
    assert exchanges.assign([two, "exc_gone"], "billing") == 1
    again = exchanges.since(found.after)
    assert [(each.id, each.intent) for each in again.exchanges] == [
        (one, "returns"),
        (two, "billing"),
    ]


def test_what_is_worth_least_makes_room(url: str) -> None:
    """Nothing that people work on goes, and then what is new does not fit."""
    with corpus(url, Limits(exchanges=3)) as (exchanges, _):
        gold, _ = exchanges.take(exchange("Gold?"))
        exchanges.move([gold], ExchangeState.GOLD)
        plain, _ = exchanges.take(exchange("Plain?"))
        told, _ = exchanges.take(exchange("Told?", signals=("escalated",)))
        newer, _ = exchanges.take(exchange("Newer?"))
        assert {each.id for each in exchanges.page().exchanges} == {gold, told, newer}
        assert exchanges.dropped == 1
        assert exchanges.find(plain) is None
        exchanges.move([told, newer], ExchangeState.IN_REVIEW)
        with pytest.raises(CorpusFull):
            exchanges.take(exchange("No room?"))
        assert exchanges.tally()[0] == 3


def test_bytes_are_bounded_too(url: str) -> None:
    """A few long ones push out many short ones."""
    with corpus(url, Limits(size=10_000)) as (exchanges, _):
        for number in range(20):
            exchanges.take(exchange(f"Question {number}?", response="a" * 1000))
        count, size = exchanges.tally()
        assert 5 <= count <= 9
        assert size <= 10_000
        assert sum(exchanges.by_state().values()) == count


def test_erasure_leaves_nothing_in_the_files(tmp_path: Path) -> None:
    """Neither in pages that are free again nor in the log of SQLite."""
    with corpus(f"sqlite:///{tmp_path / 'flywheel.db'}") as (exchanges, store):
        for number in range(50):
            exchanges.take(exchange(f"Canary-7321 number {number}?", subjects=("a" * 64,)))
        other, _ = exchanges.take(exchange("Somebody else's?", subjects=("b" * 64,)))
        assert exchanges.counted("a" * 64) == 50
        assert exchanges.erase("a" * 64) == 50
        store.compact()
        assert [each.id for each in exchanges.page().exchanges] == [other]
        assert exchanges.tally()[0] == 1
        held = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        assert b"Canary-7321" not in held


def test_what_was_on_its_way_at_an_erasure_is_not_taken(exchanges: Exchanges) -> None:
    """A router delivers late; what the person asks afterwards is new."""
    exchanges.signal_all([Afterwards("d0", ("x",), {"comment": "c"}, ("a" * 64,), time.time())])
    exchanges.signal("d2", ["x"], {"comments": ["somebody's"]})
    exchanges.erase("a" * 64)
    other, _ = exchanges.take(exchange("Whose?", decision_id="d2"))
    kept = exchanges.find(other)
    assert kept is not None
    assert kept.signals == ()
    late = exchange("Before?", subjects=("a" * 64,), at=time.time() - 1, decision_id="d1")
    assert exchanges.take_all([late])[0].id is None
    assert exchanges.signal_all([Afterwards("d1", ("x",), {}, ("a" * 64,), 1.0)]) == [None]
    again, is_new = exchanges.take(replace(late, at=time.time() + 1, decision_id="d0"))
    assert is_new
    found = exchanges.find(again)
    assert found is not None
    assert found.signals == ()


def test_moves_inside_another_transaction_are_told_when_it_is_durable(url: str) -> None:
    """A verdict and its exchange's state are one."""
    told: list[tuple[str, str]] = []
    with corpus(url) as (_, store):
        exchanges = Exchanges(store, on_change=lambda one, state: told.append((one, state.value)))
        identity, _ = exchanges.take(exchange("A?"))
        told.clear()

        def fails(session: Session) -> None:
            exchanges.place(session, [identity], ExchangeState.GOLD)
            raise KeyError

        with pytest.raises(KeyError):
            store.write(fails)
        assert told == []
        store.write(lambda session: exchanges.place(session, [identity], ExchangeState.GOLD))
        assert told == [(identity, "gold")]
        assert exchanges.found([identity, "exc_0"])[identity].state is ExchangeState.GOLD


def test_a_superseded_writer_changes_nothing(tmp_path: Path) -> None:
    """Law 13: the database says who writes."""

    class Gone(Exception):
        pass

    def refuse(_: object) -> None:
        raise Gone

    url = f"sqlite:///{tmp_path / 'flywheel.db'}"
    with corpus(url) as (exchanges, _):
        store = FlywheelStore.open(url, refuse)
        with pytest.raises(Gone):
            Exchanges(store).take(exchange("Late?"))
        store.close()
        assert exchanges.page().exchanges == []


def test_the_migration_makes_what_the_models_say(url: str) -> None:
    """Of this room's tables."""
    with corpus(url) as (_, store), store.read() as session:
        ours = lambda _, name, kind, *__: kind != "table" or name.startswith("exchange")  # noqa: E731
        options = {"compare_type": True, "include_object": ours}
        context = MigrationContext.configure(session.connection(), opts=options)
        assert compare_metadata(context, ExchangeRow.metadata) == []


def test_an_erasure_waits_for_who_still_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite's log keeps what a reader may still see: until he is gone nothing is certified."""
    monkeypatch.setattr(database, "_BUSY_TIMEOUT_MS", 50)
    with corpus(f"sqlite:///{tmp_path / 'flywheel.db'}") as (exchanges, store):
        exchanges.take(exchange("Canary-7321?", subjects=("a" * 64,)))
        with store.read() as session:
            session.scalar(select(func.count()).select_from(ExchangeRow))
            exchanges.erase("a" * 64)
            with pytest.raises(RegistryError, match="tried again"):
                store.compact()
        store.compact()
        held = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        assert b"Canary-7321" not in held


def test_erasure_leaves_nothing_in_the_tables_of_a_server(postgres: NewDatabase) -> None:
    """Rows that were deleted stay in PostgreSQL's files until the tables are written anew."""
    with corpus(postgres()) as (exchanges, store):
        exchanges.take(exchange("Canary-7321?", subjects=("a" * 64,)))
        exchanges.erase("a" * 64)
        store.compact()
        with store.read() as session:
            place = (
                select(func.current_setting("data_directory")),
                select(func.pg_relation_filepath("exchanges")),
            )
            directory, table = (session.scalar(each) for each in place)
        with store.write(lambda session: session.connection().engine).connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("CHECKPOINT")
        assert b"Canary-7321" not in (Path(str(directory)) / str(table)).read_bytes()

"""The index of documents, on SQLite and on PostgreSQL with and without pgvector: one suite."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from router.context.documents.model import Index, IndexUnavailable, TenantCollection
from router.context.documents.postgres import PostgresIndex
from router.context.documents.sqlite import SqliteIndex
from tests.fakes.documents import WIDTH, WordEncoder, document, files_of
from tests.fakes.postgres import NewDatabase

MANUALS = TenantCollection("acme", "manuals")
Open = Callable[[bool], Index]


@pytest.fixture(params=["sqlite", "postgresql", "pgvector"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens the one index as a process of its own would: to write, or to read."""
    made: list[Index] = []
    if request.param == "sqlite":
        path = tmp_path / "documents.db"

        def make(writes: bool) -> Index:
            return SqliteIndex(path, WIDTH, writes=writes)
    else:
        new: NewDatabase = request.getfixturevalue(
            "postgres" if request.param == "postgresql" else "pgvector"
        )
        url = new()

        def make(writes: bool) -> Index:
            return PostgresIndex(url, WIDTH, writes=writes)

    def open_(writes: bool) -> Index:
        made.append(make(writes))
        return made[-1]

    yield open_
    for index in made:
        index.close()


@pytest.fixture
def encoder() -> WordEncoder:
    """Counts words."""
    return WordEncoder()


def texts_of(
    index: Index, encoder: WordEncoder, words: str, *scopes: TenantCollection
) -> list[str]:
    """What is found by either measure, the best by words first."""
    hits = index.find(scopes or [MANUALS], words, encoder.encode([words])[0], 10)
    found = index.passages([number for number, _ in [*hits.lexical, *hits.vectors]])
    return [each.text for each in found.values()]


def test_what_was_put_is_found_by_words_and_by_meaning(opened: Open, encoder: WordEncoder) -> None:
    """By a reader that was there before the first document; then it can be read."""
    reader = opened(False)
    assert reader.get("d1") is None
    assert reader.find([MANUALS], "kettle", encoder.encode(["kettle"])[0], 5) == ([], [])
    writer = opened(True)
    own, chunks = document("d1", ["The kettle boils water.", "A lid is included."], encoder)
    writer.put(own, chunks)
    hits = reader.find([MANUALS], "boiling kettles", encoder.encode(["boils kettle"])[0], 5)
    best = [index.passages([ranked[0][0]]) for index, ranked in ((reader, h) for h in hits)]
    assert [[each.text for each in found.values()] for found in best] == [
        ["The kettle boils water."],
        ["The kettle boils water."],
    ]
    found = reader.get("d1")
    assert found is not None
    assert found[0] == own
    assert found[1] == ["The kettle boils water.", "A lid is included."]
    assert reader.scopes(["acme", "*"]) == {MANUALS}
    assert reader.chunks() == 2


def test_a_change_is_seen_by_every_reader_at_once(opened: Open, encoder: WordEncoder) -> None:
    """Also by one that holds vectors of the time before; what was replaced or deleted is gone."""
    writer, reader, other = opened(True), opened(False), opened(False)
    writer.put(*document("d1", ["red kettle"], encoder))
    writer.put(*document("d2", ["blue kettle"], encoder))
    for each in (reader, other):
        assert sorted(texts_of(each, encoder, "kettle")) == ["blue kettle", "red kettle"]
    writer.put(*document("d1", ["green kettle", "green lid"], encoder))
    for each in (reader, other):
        assert set(texts_of(each, encoder, "kettle lid")) == {
            "blue kettle",
            "green kettle",
            "green lid",
        }
    assert writer.delete("d2")
    assert not writer.delete("d2")
    for each in (reader, other):
        assert "blue kettle" not in texts_of(each, encoder, "kettle")


def test_only_the_scopes_that_are_asked_for_are_searched(
    opened: Open, encoder: WordEncoder
) -> None:
    """However alike the texts of others are, and however their names are made."""
    index = opened(True)
    index.put(*document("d1", ["the secret kettle"], encoder))
    index.put(*document("d2", ["the secret kettle of others"], encoder, tenant="other"))
    index.put(*document("d3", ["the secret kettle in boards"], encoder, collection="boards"))
    tricky = TenantCollection("acme manuals", "")
    index.put(*document("d4", ["the kettle of a trickster"], encoder, tenant=tricky.tenant))
    assert set(texts_of(index, encoder, "secret kettle")) == {"the secret kettle"}
    both = texts_of(index, encoder, "secret kettle", MANUALS, TenantCollection("acme", "boards"))
    assert len(set(both)) == 2
    assert texts_of(index, encoder, "secret kettle", TenantCollection("nobody", "manuals")) == []


def test_what_did_not_change_keeps_its_vector(opened: Open, encoder: WordEncoder) -> None:
    """Known texts of the tenant, and of nobody else."""
    index = opened(True)
    own, chunks = document("d1", ["one kettle", "two kettles"], encoder)
    index.put(own, chunks)
    known = index.vectors_of("acme", [each.digest for each in chunks])
    assert known.keys() == {each.digest for each in chunks}
    assert abs(float(known[chunks[0].digest] @ chunks[0].vector) - 1) < 1e-3
    assert index.vectors_of("other", [each.digest for each in chunks]) == {}


@pytest.mark.parametrize(
    "words", ['"', "a AND (", "NEAR(", "*", "-x ^y", "'; DROP TABLE chunks", ""]
)
def test_a_question_is_words_and_no_query(opened: Open, encoder: WordEncoder, words: str) -> None:
    """What a query language would make of it does not matter."""
    index = opened(True)
    index.put(*document("d1", ["one kettle"], encoder))
    index.find([MANUALS], words, encoder.encode([words])[0], 5)
    assert index.chunks() == 1


def test_documents_are_listed_by_id_and_tenant(opened: Open, encoder: WordEncoder) -> None:
    """In pages."""
    index = opened(True)
    for number in range(5):
        tenant = "acme" if number % 2 else "other"
        index.put(*document(f"d{number}", ["kettle"], encoder, tenant=tenant))
    assert [each.id for each in index.page(None, "", 3)] == ["d0", "d1", "d2"]
    assert [each.id for each in index.page(None, "d2", 9)] == ["d3", "d4"]
    assert [each.id for each in index.page("acme", "", 9)] == ["d1", "d3"]


def test_who_only_reads_changes_nothing(opened: Open, encoder: WordEncoder) -> None:
    """A router that tried would be refused."""
    opened(True).put(*document("d1", ["kettle"], encoder))
    with pytest.raises(IndexUnavailable):
        opened(False).delete("d1")


def test_an_erasure_takes_a_persons_documents_and_no_others(
    opened: Open, encoder: WordEncoder
) -> None:
    """They can be asked for before; afterwards there are none."""
    index = opened(True)
    index.put(*document("d1", ["a letter to alice"], encoder, subject="alice"))
    index.put(*document("d2", ["a letter to bob"], encoder, subject="bob"))
    assert index.documents_of("alice") == ["d1"]
    assert index.erase("alice") == ["d1"]
    assert index.erase("alice") == []
    assert index.documents_of("alice") == []
    assert set(texts_of(index, encoder, "letter")) == {"a letter to bob"}


@pytest.mark.parametrize("server", ["postgres", "pgvector"])
def test_the_database_compares_vectors_where_it_can(
    request: pytest.FixtureRequest, encoder: WordEncoder, server: str
) -> None:
    """Also those of the time before it could; the results are the same."""
    new: NewDatabase = request.getfixturevalue(server)
    index = PostgresIndex(new(), WIDTH, writes=True)
    index.put(*document("d1", ["red kettle", "blue pump"], encoder))
    assert index.has_pgvector == (server == "pgvector")
    [(number, near), *_] = index.find([MANUALS], "", encoder.encode(["blue pump"])[0], 5).vectors
    assert index.passages([number])[number].text == "blue pump"
    assert near == pytest.approx(1, abs=1e-3)
    index.close()


def test_no_word_of_an_erased_person_is_left_in_any_file(
    tmp_path: Path, encoder: WordEncoder
) -> None:
    """Freed pages, the index of words and the log included; also of what was deleted before."""
    path = tmp_path / "documents.db"
    index, reader = (
        SqliteIndex(path, WIDTH, writes=True),
        SqliteIndex(path, WIDTH, writes=False),
    )
    try:
        for number in range(40):
            index.put(*document(f"n{number}", [f"a letter number {number}"] * 9, encoder))
        alice = {"subject": "alice-zwiebelfisch", "title": "Quarzuhr"}
        index.put(*document("a1", ["Xylophonspieler wohnt hier"] * 50, encoder, **alice))
        index.put(*document("a2", ["Walnussbaum steht dort"] * 50, encoder, **alice))
        index.delete("a2")
        assert len(texts_of(reader, encoder, "Xylophonspieler letter")) > 1
        assert b"Xylophonspieler" in files_of(tmp_path)
        assert index.erase("alice-zwiebelfisch") == ["a1"]
        left = files_of(tmp_path).lower()
        for word in (b"xylophon", b"walnuss", b"zwiebelfisch", b"quarzuhr"):
            assert word not in left
        assert b"letter number 7" in left
        assert len(texts_of(reader, encoder, "letter")) > 1
    finally:
        index.close()
        reader.close()


def test_an_erasure_that_was_interrupted_is_finished_by_the_next(
    tmp_path: Path, encoder: WordEncoder
) -> None:
    """Rows went, and then a reader was in the way of the rest: the next attempt does that."""
    path = tmp_path / "documents.db"
    index = SqliteIndex(path, WIDTH, writes=True)
    index.put(*document("a1", ["Xylophonspieler wohnt hier"] * 50, encoder, subject="alice"))
    in_the_way = sqlite3.connect(path)
    in_the_way.execute("BEGIN")
    in_the_way.execute("SELECT count(*) FROM documents").fetchone()
    try:
        with pytest.raises(IndexUnavailable):
            index.erase("alice")
    finally:
        in_the_way.close()
    index.erase("alice")
    assert b"xylophon" not in files_of(tmp_path).lower()
    index.close()


def test_readers_and_the_writer_do_not_stand_in_each_others_way(
    tmp_path: Path, encoder: WordEncoder
) -> None:
    """Under constant change every search sees a whole state: all chunks of a document, or none."""
    path = tmp_path / "documents.db"
    index = SqliteIndex(path, WIDTH, writes=True)
    index.put(*document("d", ["kettle 0"] * 6, encoder))
    stop = threading.Event()
    problems: list[object] = []

    def read() -> None:
        reader = SqliteIndex(path, WIDTH, writes=False)
        try:
            while not stop.is_set():
                found = reader.get("d")
                if found is None or len(set(found[1])) != 1 or len(found[1]) != 6:
                    problems.append(found)
                vector = WordEncoder().encode(["kettle"])[0]
                if len(reader.find([MANUALS], "kettle", vector, 9).vectors) != 6:
                    problems.append("vectors")
        except IndexUnavailable as error:
            problems.append(error)
        finally:
            reader.close()

    readers = [threading.Thread(target=read) for _ in range(2)]
    for each in readers:
        each.start()
    for number in range(60):
        index.put(*document("d", [f"kettle {number}"] * 6, encoder))
    stop.set()
    for each in readers:
        each.join(60)
    index.close()
    assert problems == []


def test_what_could_not_be_committed_is_nowhere(tmp_path: Path, encoder: WordEncoder) -> None:
    """A full disk at the last moment: nobody reads it, and what comes next is written."""
    index = SqliteIndex(tmp_path / "documents.db", WIDTH, writes=True)
    index.put(*document("before", ["red kettle"], encoder))

    def refused(action: int, what: str | None, *_: object) -> int:
        is_commit = action == sqlite3.SQLITE_TRANSACTION and what == "COMMIT"
        return sqlite3.SQLITE_DENY if is_commit else sqlite3.SQLITE_OK

    assert index._connection is not None
    index._connection.set_authorizer(refused)
    with pytest.raises(IndexUnavailable):
        index.put(*document("lost", ["blue kettle"], encoder))
    index._connection.set_authorizer(None)
    assert index.get("lost") is None
    index.put(*document("after", ["green kettle"], encoder))
    assert [each.id for each in index.page(None, "", 9)] == ["after", "before"]
    index.close()


def test_a_broken_file_is_unavailable_and_named(tmp_path: Path, encoder: WordEncoder) -> None:
    """Not an error of some library."""
    path = tmp_path / "documents.db"
    path.write_bytes(b"no database " * 1000)
    index = SqliteIndex(path, WIDTH, writes=False)
    with pytest.raises(IndexUnavailable, match="not a database"):
        index.find([MANUALS], "kettle", encoder.encode(["kettle"])[0], 5)
    index.close()

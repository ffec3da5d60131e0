"""Retrieval: whose documents, in which order, each thing once, and in time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from router.context.documents.model import Hits
from router.context.documents.sqlite import SqliteIndex
from router.context.retrieve import Question, Retriever, fused
from router.embed.cross import Reranker
from router.embed.threads import Threads
from tests.fakes.documents import WIDTH, NoReranker, WordEncoder, document


class Likes:
    """A reranker that likes texts with a word, and has time for so many."""

    def __init__(self, word: str, most: int = 99) -> None:
        self._word = word
        self._most = most
        self.deadlines: list[float] = []

    def scores(self, _question: str, texts: Sequence[str], deadline: float) -> list[float]:
        """1 for those."""
        self.deadlines.append(deadline)
        return [1.0 if self._word in text else 0.1 for text in texts[: self._most]]

    def load(self) -> None:
        """There is nothing to load."""


@pytest.fixture
def index(tmp_path: Path) -> Iterator[SqliteIndex]:
    """Four tenants' documents, the public's among them."""
    made, encoder = SqliteIndex(tmp_path / "documents.db", WIDTH, writes=True), WordEncoder()
    for name, text, scope in (
        ("d1", "red kettle boils water", {}),
        ("d2", "blue kettle boils milk", {}),
        ("d3", "blue kettle boils milk.", {"collection": "copies"}),
        ("d4", "secret kettle of others", {"tenant": "other"}),
        ("d5", "public kettle for all", {"tenant": "*", "collection": "public"}),
        ("d6", "board kettle", {"collection": "boards"}),
    ):
        made.put(*document(name, [text], encoder, **scope))
    yield made
    made.close()


def found(
    index: SqliteIndex,
    question: Question,
    reranker: Reranker | None = None,
    grants: dict[str, tuple[str, ...]] | None = None,
) -> tuple[list[str], frozenset[str]]:
    """Documents in their order, and what was unknown."""
    retriever = Retriever(index, WordEncoder(), reranker or NoReranker(), Threads("t"), grants)
    answer = retriever.find(question)
    retriever.close()
    return [each.document for each in answer.passages], answer.unknown


def test_a_tenant_reads_its_own_and_everybodys_documents(index: SqliteIndex) -> None:
    """And only the collections that it names; one that it does not have is told."""
    assert found(index, Question("acme", None, "kettle", 9))[0] != []
    own, unknown = found(index, Question("acme", ("manuals", "public", "nope"), "kettle", 9))
    assert sorted(own) == ["d1", "d2", "d5"]
    assert unknown == {"nope"}
    assert found(index, Question("other", ("boards",), "kettle", 9)) == ([], frozenset({"boards"}))
    assert found(index, Question("stranger", None, "secret kettle", 9))[0] == ["d5"]


def test_a_granted_collection_is_only_there_for_some(index: SqliteIndex) -> None:
    """For others it is as if it were not."""
    question = Question("acme", ("boards",), "kettle", 9)
    assert found(index, question, grants={"boards": ("ac*",)})[0] == ["d6"]
    assert found(index, question, grants={"boards": ("board-*",)}) == (
        [],
        frozenset({"boards"}),
    )
    every = found(index, Question("acme", None, "kettle", 9), grants={"boards": ()})[0]
    assert "d6" not in every


def test_what_says_the_same_comes_once(index: SqliteIndex) -> None:
    """From whichever collection."""
    own, _ = found(index, Question("acme", ("manuals", "copies"), "blue kettle boils milk", 9))
    assert len({"d2", "d3"} & set(own)) == 1


def test_the_model_that_reads_both_decides_the_order(index: SqliteIndex) -> None:
    """Of what it had time for; the rest stays behind, with no better score."""
    question = Question("acme", ("manuals", "boards"), "blue kettle boils milk", 9)
    assert found(index, question)[0][0] == "d2"
    assert found(index, question, Likes("red"))[0][0] == "d1"
    assert found(index, question, Likes("red", most=1))[0][0] == "d2"
    retriever = Retriever(index, WordEncoder(), Likes("red", most=1), Threads("t"))
    scores = [each.score for each in retriever.find(question).passages]
    assert scores == sorted(scores, reverse=True)
    retriever.close()


def test_what_does_not_bear_on_the_question_is_left_out(index: SqliteIndex) -> None:
    """By the model that reads both, else by how near it is; what is near enough always stays."""

    def kept(reranker: Reranker | None, **least: float) -> list[str]:
        question = Question("acme", ("manuals", "boards"), "blue kettle boils milk", 9, **least)
        return found(index, question, reranker)[0]

    everything = kept(None)
    assert sorted(everything) == ["d1", "d2", "d6"]
    assert kept(None, least_similarity=0.9) == ["d2"]
    assert kept(Likes("red"), least_score=0.5, least_similarity=1.1) == ["d1"]
    assert sorted(kept(Likes("red"), least_score=0.5, least_similarity=0.9)) == ["d1", "d2"]
    assert kept(Likes("green"), least_score=0.5, least_similarity=1.1) == []
    # Of three there was time for one, which is not relevant: the others are judged by nearness.
    assert kept(Likes("red", most=1), least_score=0.5, least_similarity=0.3) != []


def test_its_time_is_what_the_question_says(index: SqliteIndex) -> None:
    """Counted from the moment when candidates are there."""
    likes, began = Likes("red"), time.perf_counter()
    found(index, Question("acme", None, "kettle", 9, rerank_s=0.5), likes)
    assert began <= likes.deadlines[0] - 0.5 <= time.perf_counter()


def test_an_empty_question_finds_nothing(index: SqliteIndex) -> None:
    """Nobody asked anything."""
    assert found(index, Question("acme", None, "  ", 9))[0] == []


def test_both_measures_count() -> None:
    """What both find comes before what one of them finds first; scores are 0 to 1."""
    ranked = fused(Hits([(1, 9.0), (2, 8.0)], [(3, 0.9), (2, 0.8)]))
    assert ranked[0][0] == 2
    assert all(0 < score <= 1 for _, score in ranked)
    assert fused(Hits([], [])) == []

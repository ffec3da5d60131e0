"""The room of imported outcomes: the newest judgement counts, and there is room for so many."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from adapters.corpus.bringing import BadLine
from adapters.flywheel.database import FlywheelStore
from adapters.outcomes.importing import Importer, target_of
from adapters.outcomes.outcomes import ANY, Learned, Outcome, Outcomes
from tests.fakes.corpus import at_once


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FlywheelStore]:
    """A database of its own."""
    found = FlywheelStore.open(f"sqlite:///{tmp_path / 'loop.db'}", at_once)
    yield found
    found.close()


def outcome(text: str, good: float = 1.0, target: str = "base", **more: str) -> Outcome:
    """One of them."""
    return Outcome(text, target, good, ANY, (1.0, 2.0), more.get("subject"))


def test_the_newest_judgement_counts(store: FlywheelStore) -> None:
    """Of the same text, target and intent."""
    outcomes = Outcomes(store, 10)
    assert outcomes.put([outcome("a", 1.0), outcome("a", 0.0), outcome("b")]) == 1
    assert outcomes.put([outcome("b", 0.5)]) == 1
    assert [(each.text, each.good) for each in outcomes.all()] == [("a", 0.0), ("b", 0.5)]
    assert [(each.target, each.judged, each.good) for each in outcomes.counted()] == [
        ("base", 2, 0.5)
    ]


def test_the_oldest_make_room(store: FlywheelStore) -> None:
    """Of a bounded table (law 9); the gauge knows it."""
    outcomes = Outcomes(store, 1500)
    outcomes.put([outcome(f"text {n}") for n in range(1200)])
    outcomes.put([outcome(f"more {n}") for n in range(600)])
    assert outcomes.kept == 1500
    assert next(outcomes.all()).text == "text 300"
    assert sum(1 for _ in outcomes.all()) == 1500
    assert Outcomes(store, 1500).kept == 1500


def test_each_text_is_read_once_by_an_encoder(store: FlywheelStore) -> None:
    """Another encoder reads it again; one in a language that it does not know counts as read."""
    outcomes = Outcomes(store, 10)
    outcomes.put([outcome("a"), outcome("b"), outcome("c")])
    first = outcomes.unread("one", 2)
    assert [text for _, text in first] == ["a", "b"]
    outcomes.read_by("one", [(first[0][0], b"12"), (first[1][0], None)])
    assert [text for _, text in outcomes.unread("one", 9)] == ["c"]
    assert len(outcomes.unread("another", 9)) == 3
    assert [each.vector for each in outcomes.all()] == [b"12", None, None]
    assert [each.text for each in outcomes.all("one")] == ["a", "b"]
    assert [*outcomes.all("another")] == []


def test_removed_by_target_and_by_person(store: FlywheelStore) -> None:
    """A name in a text counts as well, whatever signs it has."""
    outcomes = Outcomes(store, 10)
    outcomes.put(
        [
            outcome("a", target="frontier:x/y"),
            outcome("b", subject="hash of eve"),
            outcome("the order of Eve_1%"),
            outcome("the order of eveX1Y"),
        ]
    )
    assert outcomes.of_person("eve_1%", "hash of eve") == 2
    assert outcomes.forget("eve_1%", "hash of eve") == 2
    assert outcomes.clear("frontier:x/y") == 1
    assert [each.text for each in outcomes.all()] == ["the order of eveX1Y"]
    assert outcomes.clear() == 1
    assert outcomes.kept == 0


def test_what_was_learned_is_kept(store: FlywheelStore) -> None:
    """One model, the newest, until there is none."""
    outcomes = Outcomes(store, 10)
    assert outcomes.learned() is None
    for digest in ("one", "two"):
        outcomes.learn(Learned(digest, b"{}", [{"target": "base"}], 7.0))
    assert Outcomes(store, 10).learned() == Learned("two", b"{}", [{"target": "base"}], 7.0)
    outcomes.learn(None)
    assert outcomes.learned() is None


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("base", "base"),
        (" adapter:returns ", "adapter:returns"),
        ("adapter:returns@0123456789ab", "adapter:returns@0123456789ab"),
        ("frontier:openai/gpt-5", "frontier:openai/gpt-5"),
        ("router/meta/llama:free", "frontier:router/meta/llama:free"),
        ("adapter:returns@0123", None),
        ("adapter:", None),
        ("gpt-5", None),
        ("frontier:openai", None),
        ("/x", None),
        (7, None),
        ("a/" + "b" * 300, None),
    ],
)
def test_targets_as_people_write_them(said: object, meant: str | None) -> None:
    """In their own spelling, or a provider's model."""
    if meant is None:
        with pytest.raises(BadLine):
            target_of(said)
    else:
        assert target_of(said) == meant


async def pieces(raw: bytes, size: int) -> AsyncIterator[bytes]:
    """A file as it arrives."""
    for start in range(0, len(raw), size):
        yield raw[start : start + size]


@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_a_file_arrives_in_any_pieces(store: FlywheelStore, size: int) -> None:
    """Lines are put together again; long texts keep head and tail, and what is known of all."""
    long = "x" * 3000 + "y" * 3000
    raw = f'text,target,good\n"a ""quoted""\nline",base,1\n{long},base,0\n'.encode()
    outcomes = Outcomes(store, 10)

    async def redact(text: str, _persons: frozenset[str]) -> str:
        return text.replace("quoted", "masked")

    importer = Importer(outcomes, redact, str.upper, lambda text: (float(len(text)),))
    told = await importer.take(pieces(raw, size), "csv", dry=False)
    assert (told.imported, told.refused) == (2, 0)
    first, second = outcomes.all()
    assert first.text == 'a "masked"\nline'
    assert len(second.text) == 1001
    assert second.traits == (6000.0,)

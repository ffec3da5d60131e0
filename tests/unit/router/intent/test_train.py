"""A head from many examples: accurate, calibrated, and it turns away what it does not know."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.config.auto import AutoConfig, IntentConfig
from router.intent.ensemble import Texts
from router.intent.examples import Example
from router.intent.few import Examples, FewHead
from router.intent.model import IntentModel
from router.intent.train import ENOUGH, MANY, few_head, has_many, held_out, train
from router.intent.trained import TrainedHead
from router.intent.vectors import encode_all, glance_all
from tests.fakes.encoder import FakeEncoder

TOPICS = {
    "card": "card pin plastic contactless lost blocked",
    "loan": "loan interest mortgage instalment borrow repay",
    "travel": "flight hotel luggage ticket booking airport",
}
CHATTER = "please could you tell me about my the a now today"
ELSEWHERE = "volcano guitar recipe galaxy penguin chess violin"


def sentences(words: str, count: int, seed: int) -> list[str]:
    """Two words of the topic among chatter."""
    rng = np.random.default_rng(seed)
    topic, filler = words.split(), CHATTER.split()
    picks = ([*rng.choice(topic, 2), *rng.choice(filler, 3)] for _ in range(count))
    return [" ".join(rng.permutation(words)) for words in picks]


def examples(count: int, *, outside: int = 0, seed: int = 0) -> list[Example]:
    """So many per topic, and some that have none."""
    named = [
        Example(text, topic)
        for number, (topic, words) in enumerate(TOPICS.items())
        for text in sentences(words, count, 10 * seed + number)
    ]
    return named + [Example(text, None) for text in sentences(ELSEWHERE, outside, 99 + seed)]


@cache
def head(outside: int = 30) -> TrainedHead:
    """Trained on 60 per topic."""
    made = train(FakeEncoder(), examples(60, outside=outside), AutoConfig())
    assert made is not None
    assert isinstance(made.head, TrainedHead)
    return made.head


def test_new_sentences_are_recognised() -> None:
    """Sentences that were not among the examples have their topic's intent, with confidence."""
    asked = examples(30, seed=5)
    verdicts = [head().judge(FakeEncoder(), example.text) for example in asked]
    right = [v.intent == e.intent for v, e in zip(verdicts, asked, strict=True)]
    assert np.mean(right) > 0.9
    assert np.mean([v.confidence for v in verdicts]) == pytest.approx(np.mean(right), abs=0.15)


def test_what_has_no_intent_is_turned_away() -> None:
    """Out-of-scope examples teach what else there is."""
    texts = sentences(ELSEWHERE, 40, 7)
    rejected = [head().judge(FakeEncoder(), text).out_of_scope for text in texts]
    assert np.mean(rejected) > 0.8


def test_without_such_examples_the_score_still_tells() -> None:
    """What has no intent mostly scores below what has one, though none was seen in training."""
    encoder, known = FakeEncoder(), [example.text for example in examples(20, seed=8)]

    def scores(texts: list[str]) -> np.ndarray:
        seen = Texts(encode_all(encoder, texts), glance_all(encoder, texts), np.zeros(0, np.intp))
        return head(0).assess(seen)[1]

    inside, outside = scores(known), scores(sentences(ELSEWHERE, 40, 7))
    assert (inside[:, np.newaxis] > outside).mean() > 0.85


def test_clear_words_need_no_sentence() -> None:
    """When the words alone are clear, the encoder is not run, and the verdict is right."""
    encoder = FakeEncoder()
    asked = examples(30, seed=6)
    verdicts = [head().judge(encoder, example.text) for example in asked]
    assert encoder.encoded < len(asked)
    assert np.mean([v.intent == e.intent for v, e in zip(verdicts, asked, strict=True)]) > 0.9


@given(st.text(max_size=80))
def test_any_text_has_a_verdict(text: str) -> None:
    """Probabilities are probabilities; the intent is the likeliest one, or none."""
    verdict = head().judge(FakeEncoder(), text)
    assert 0 <= verdict.confidence <= 1
    assert sum(verdict.posterior.values()) == pytest.approx(1, abs=0.01)
    assert verdict.out_of_scope == (verdict.intent is None)
    assert verdict.intent in {None, next(iter(verdict.posterior))}


def test_the_same_examples_make_the_same_version() -> None:
    """In any order; another example, or another setting, makes another."""
    some = examples(3)
    versions = [
        made.version
        for made in (
            train(FakeEncoder(), some, AutoConfig()),
            train(FakeEncoder(), some[::-1], AutoConfig()),
            train(FakeEncoder(), some[1:], AutoConfig()),
            train(FakeEncoder(), some, AutoConfig(threshold=0.5)),
            train(FakeEncoder(32), some, AutoConfig()),
        )
        if made is not None
    ]
    assert versions[0] == versions[1]
    assert len(set(versions)) == 4


def test_a_handful_of_examples_is_enough() -> None:
    """What was declared to have no intent has none, though an example's words are in it."""
    few = [*examples(ENOUGH - 1), Example("chess guitar", None)]
    made = train(FakeEncoder(), few, AutoConfig())
    assert made is not None
    assert isinstance(made.head, FewHead)
    assert made.head.judge(FakeEncoder(), few[0].text).intent == few[0].intent
    assert made.head.judge(FakeEncoder(), "guitar chess").out_of_scope


@pytest.mark.parametrize(("count", "least"), [(1, 0.3), (2, 0.5), (3, 0.55), (10, 0.75)])
def test_few_examples_make_a_head_that_recognises(count: int, least: float) -> None:
    """From one example an intent up: the likeliest intent is mostly right, and all is bounded."""
    made = train(FakeEncoder(), examples(count), AutoConfig())
    assert made is not None
    asked = examples(20, seed=4)
    verdicts = [made.head.judge(FakeEncoder(), example.text) for example in asked]
    likeliest = [next(iter(verdict.posterior)) for verdict in verdicts]
    right = [name == e.intent for name, e in zip(likeliest, asked, strict=True)]
    assert np.mean(right) > least
    for verdict in verdicts:
        assert 0 <= verdict.confidence <= 1
        assert sum(verdict.posterior.values()) <= 1.001


def test_the_line_is_learned_from_the_examples() -> None:
    """Texts about anything else are mostly turned away, though none was declared to be outside."""
    made = train(FakeEncoder(), examples(12), AutoConfig())
    assert made is not None
    judge = made.head.judge
    inside = [judge(FakeEncoder(), e.text).out_of_scope for e in examples(20, seed=3)]
    outside = [judge(FakeEncoder(), text).out_of_scope for text in sentences(ELSEWHERE, 40, 7)]
    assert np.mean(outside) > np.mean(inside) + 0.3


def test_one_intent_alone_has_a_head() -> None:
    """With one example, and with several."""
    for count in (1, 6):
        only = [Example(text, "card") for text in sentences(TOPICS["card"], count, 1)]
        made = train(FakeEncoder(), only, AutoConfig())
        assert made is not None
        assert made.head.judge(FakeEncoder(), only[0].text).intent == "card"


def test_a_threshold_takes_the_place_of_the_line() -> None:
    """A cosine that nothing but an example itself reaches."""
    made = train(FakeEncoder(), examples(5), AutoConfig(threshold=0.999))
    assert made is not None
    assert made.head.judge(FakeEncoder(), examples(5)[0].text).intent == "card"
    assert made.head.judge(FakeEncoder(), "card loan flight").out_of_scope


def test_which_head_it_is() -> None:
    """Many examples of each, or the head for few."""
    assert has_many({"a": MANY, "b": MANY})
    assert not has_many({"a": 10 * MANY})
    assert not has_many({"a": 10 * MANY, "b": ENOUGH - 1})
    assert not has_many({"a": MANY, "b": MANY - 1})


def test_without_examples_there_is_no_head() -> None:
    """Out-of-scope examples alone name nothing."""
    assert train(FakeEncoder(), [Example("a", None)], AutoConfig()) is None


def test_a_fifth_of_each_intent_is_held_out() -> None:
    """Whatever the order of the examples."""
    some = examples(20, outside=10)
    held = held_out(some)
    counts = {e.intent: 0 for e in some}
    for example, is_held in zip(some, held, strict=True):
        counts[example.intent] += bool(is_held)
    assert counts == {"card": 4, "loan": 4, "travel": 4, None: 2}
    assert (held_out(some[::-1])[::-1] == held).all()


SPANISH = "¿cómo puedo pedir prestado para pagar la hipoteca loan mortgage?"


def test_text_in_a_language_of_no_example_is_turned_away() -> None:
    """Whatever its words look like; the record says which language it was."""
    trained = train(FakeEncoder(), english(30), AutoConfig())
    model = IntentModel([IntentConfig(name=name) for name in TOPICS], trained)
    for text, language in ((SPANISH, "es"), ("loan взять в долг под процент", "und-Cyrl")):
        found = model.classify(text, text)
        assert (found.name, found.out_of_scope, found.language) == (None, True, language)
    assert model.classify("please borrow me a loan", "please borrow me a loan").language == "en"


@pytest.mark.parametrize("taught", [SPANISH, "hipoteca", "préstamo dinero"])
def test_text_in_a_language_of_some_example_is_read(taught: str) -> None:
    """Also when the examples are too short to tell which language they are in."""
    here = [*english(30), *(Example(taught, "préstamo") for _ in range(5))]
    trained = train(FakeEncoder(), here, AutoConfig())
    model = IntentModel([], trained)
    assert model.classify(SPANISH, SPANISH).posterior


def english(count: int) -> list[Example]:
    """So many per topic, told apart from other languages by their chatter."""
    return [Example(f"how do i {each.text}", each.intent) for each in examples(count)]


@pytest.mark.parametrize("outside", [1, 2, 5])
def test_a_single_example_of_none_is_enough_and_too_few_break_nothing(outside: int) -> None:
    """Whether it is learned from or judged by, the head reads every text."""
    made = train(FakeEncoder(), examples(60, outside=outside), AutoConfig())
    assert made is not None
    assert isinstance(made.head, TrainedHead)
    asked = examples(10, outside=10, seed=3)
    for each in asked:
        assert 0 <= made.head.judge(FakeEncoder(), each.text).confidence <= 1


def test_the_nearest_example_of_many_is_found_in_parts() -> None:
    """More texts at once than are compared at once, in whichever order intents come."""
    chance = np.random.default_rng(5)
    vectors = chance.normal(size=(90, 8)).astype(np.float32)
    owner = chance.permutation(np.repeat(np.arange(9), 10))
    few = Examples(vectors, owner, 9).fitted()
    asked = chance.normal(size=(700, 8)).astype(np.float32)
    wanted = np.stack([(asked @ vectors[owner == n].T).max(axis=1) for n in range(9)], axis=1)
    assert np.allclose(few.read(asked).cosines, wanted, atol=1e-5)


def test_a_threshold_of_one_takes_what_is_an_example() -> None:
    """The cosine of a text with itself is 1 but for rounding."""
    texts = [f"{word} {other}" for word in TOPICS["loan"].split() for other in ("again", "now")]
    head = few_head(FakeEncoder(), [Example(text, "loan") for text in texts], 1.0)
    assert {head.judge(FakeEncoder(), text).intent for text in texts} == {"loan"}
    assert head.judge(FakeEncoder(), f"{texts[0]} please").intent is None

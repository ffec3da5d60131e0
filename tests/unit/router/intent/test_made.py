"""Intents that were made of clusters: fetched by digest, beside those of the configuration."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from adapters.aliases import RoutingTable
from router.config.auto import AutoConfig, IntentConfig
from router.embed.layers import Vector
from router.intent.encoder import Encoder, EncoderMissing
from router.intent.examples import Example
from router.intent.few import FewBeside
from router.intent.source import IntentSource
from router.intent.train import _head
from router.intent.vectors import VectorCache
from tests.fakes.encoder import FakeEncoder
from tests.unit.router.intent.test_train import examples, sentences

HOURS = IntentConfig(name="hours", alias="desk", examples=("when do you open",))
VISA = IntentConfig(name="visas", alias="visas", examples=("do I need a visa for Peru",))


class Registry:
    """Has one document at a time."""

    def __init__(self) -> None:
        self.raw = b""
        self.asked: list[str] = []
        self.is_down = False

    def make(self, *intents: IntentConfig) -> RoutingTable:
        """What is made from now on, as the routing table says it."""
        told = [
            each.model_dump(mode="json", include={"name", "alias", "examples"}) for each in intents
        ]
        self.raw = json.dumps({"intents": told}).encode()
        return RoutingTable(revision=1, intents=hashlib.sha256(self.raw).hexdigest())

    async def fetch(self, digest: str) -> bytes:
        """The document, whatever is asked for."""
        self.asked.append(digest)
        if self.is_down:
            raise OSError("nobody answers")
        return self.raw


@pytest.fixture
def registry() -> Registry:
    """With nothing made."""
    return Registry()


@pytest.fixture
def source(registry: Registry, tmp_path: Path) -> IntentSource:
    """One intent of its own."""
    config = AutoConfig(intents=(HOURS,))
    return IntentSource(config, lambda _: FakeEncoder(), tmp_path / "cache", registry.fetch)


def named(of: IntentSource, text: str) -> str | None:
    """The intent that the current model recognises."""
    return of.current.classify(text, text).name


async def test_made_intents_come_and_go(source: IntentSource, registry: Registry) -> None:
    """With their alias; the configured ones stay."""
    woken: list[bool] = []
    source.wake = lambda: woken.append(True)
    source.heard(registry.make(VISA))
    assert woken
    assert named(source, VISA.examples[0]) is None
    assert await source.refresh()
    assert named(source, VISA.examples[0]) == "visas"
    assert source.current.alias("visas") == "visas"
    assert named(source, HOURS.examples[0]) == "hours"
    assert not await source.refresh()
    assert len(registry.asked) == 1
    source.heard(RoutingTable(revision=2))
    assert await source.refresh()
    assert named(source, VISA.examples[0]) is None
    assert named(source, HOURS.examples[0]) == "hours"


async def test_more_examples_of_a_configured_intent_keep_its_alias(
    source: IntentSource, registry: Registry
) -> None:
    """What an operator wrote down is what holds."""
    more = IntentConfig(name="hours", alias="other", examples=("are you closed on Sunday",))
    source.heard(registry.make(more))
    await source.refresh()
    assert named(source, "are you closed on Sunday") == "hours"
    assert source.current.alias("hours") == "desk"


async def test_what_was_learned_is_not_read_again_and_what_is_gone_is_forgotten(
    registry: Registry,
) -> None:
    """A change costs the encoding of what is new."""
    encoder = FakeEncoder()
    source = IntentSource(AutoConfig(intents=(HOURS,)), lambda _: encoder, None, registry.fetch)
    source.heard(registry.make(VISA))
    await source.refresh()
    before = encoder.encoded
    more = IntentConfig(name="bikes", examples=("can I take a bicycle on the train",))
    source.heard(registry.make(VISA, more))
    await source.refresh()
    assert encoder.encoded == before + 1
    source.heard(registry.make(more))
    await source.refresh()
    source.heard(registry.make(VISA, more))
    await source.refresh()
    assert encoder.encoded == before + 2
    assert named(source, more.examples[0]) == "bikes"
    assert encoder.encoded == before + 3


async def test_a_registry_that_does_not_answer_or_lies_changes_nothing(
    source: IntentSource, registry: Registry
) -> None:
    """It is asked again."""
    source.heard(registry.make(VISA))
    registry.is_down = True
    with pytest.raises(OSError, match="nobody"):
        await source.refresh()
    registry.is_down = False
    good, registry.raw = registry.raw, b'{"intents": []}'
    with pytest.raises(ValueError, match="not the intents"):
        await source.refresh()
    assert named(source, HOURS.examples[0]) == "hours"
    registry.raw = good
    assert await source.refresh()
    assert named(source, VISA.examples[0]) == "visas"


async def test_without_an_encoder_the_configured_ones_stay(registry: Registry) -> None:
    """Keywords need none; the refusal is counted, and it is tried again."""
    there: list[Encoder] = []

    def load(_: int) -> Encoder:
        if not there:
            raise EncoderMissing("no encoder")
        return there[0]

    config = AutoConfig(intents=(IntentConfig(name="hours", keywords=("open",)),))
    source = IntentSource(config, load, None, registry.fetch)
    source.heard(registry.make(VISA))
    with pytest.raises(EncoderMissing):
        await source.refresh()
    assert source.refused == 1
    assert named(source, "when do you open") == "hours"
    there.append(FakeEncoder())
    assert await source.refresh()
    assert named(source, VISA.examples[0]) == "visas"


def _new(count: int) -> list[Example]:
    """Of an intent that nobody declared."""
    texts = sentences("visa passport embassy consulate stamp", count, 77)
    return [Example(text, "visas") for text in texts]


def test_a_few_made_examples_do_not_take_the_trained_head_from_the_others() -> None:
    """They are recognised beside it; everything else as before."""
    known = examples(60)
    encoder, config = FakeEncoder(), AutoConfig()
    before = _head(encoder, known, [], config, None)
    made = _new(3)
    head = _head(encoder, known, made, config, None)
    assert isinstance(head, FewBeside)
    for each in made:
        assert head.judge(encoder, each.text).intent == "visas"
    for each in known:
        assert head.judge(encoder, each.text).intent == before.judge(encoder, each.text).intent


def test_vectors_of_made_examples_leave_nothing_on_the_disk(tmp_path: Path) -> None:
    """Only the configuration's are cached: what was made of traffic can be erased."""
    known = examples(300)
    cache = VectorCache(tmp_path)
    encoder, config = FakeEncoder(), AutoConfig()
    _head(encoder, known, [], config, cache)
    before = sorted(tmp_path.iterdir())
    made = _new(20)
    _head(encoder, known, made, config, cache)
    assert sorted(tmp_path.iterdir()) == before


class _Failing(FakeEncoder):
    """Fails, or stops, as long as it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.fails = False
        self.began, self.goes_on = threading.Event(), threading.Event()
        self.goes_on.set()

    def encode(self, pieces: Sequence[int]) -> Vector:
        """The same, if it may."""
        self.began.set()
        self.goes_on.wait(60)
        if self.fails:
            raise MemoryError
        return super().encode(pieces)


@pytest.mark.parametrize("how", ["fails", "takes too long"])
async def test_a_training_that_came_to_nothing_is_done_again(registry: Registry, how: str) -> None:
    """Also where no file is watched, which could change meanwhile."""
    encoder = _Failing()
    source = IntentSource(AutoConfig(intents=(HOURS,)), lambda _: encoder, None, registry.fetch)
    source.heard(registry.make(VISA))
    encoder.began.clear()
    if how == "fails":
        encoder.fails = True
        with pytest.raises(MemoryError):
            await source.refresh()
        encoder.fails = False
    else:
        encoder.goes_on.clear()
        under_way = asyncio.create_task(source.refresh())
        await asyncio.to_thread(encoder.began.wait, 60)
        under_way.cancel()  # as its job does when the time is over
        with pytest.raises(asyncio.CancelledError):
            await under_way
        encoder.goes_on.set()
    assert named(source, VISA.examples[0]) is None
    assert await source.refresh()
    assert named(source, VISA.examples[0]) == "visas"
    assert not await source.refresh()

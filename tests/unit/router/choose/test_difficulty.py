"""How hard single requests are: learned from outcomes, applied to quality, recorded, replayed."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.aliases import RoutingTable
from router.audit.decision import record_of
from router.choose import difficulty
from router.choose.choose import Chooser
from router.choose.difficulty import MOST, Difficulty, traits
from router.choose.difficulty_source import DifficultySource
from router.choose.heads import EACH, FEWEST, Fitted, Outcome, fitted
from router.choose.learning import Learning
from router.choose.replay import replay
from router.config.root import RouterConfig
from router.embed.threads import Threads
from router.exchange import Exchange
from router.hardness import NOT_JUDGED, Hardness, family, of_record, tally
from router.request import Intent, Needs
from tests.fakes.deciding import chooser, config, decide, returns, world
from tests.fakes.encoder import FakeEncoder
from tests.fakes.exchanges import exchange, put

WIDTH = 16
SMALL, BIG = "frontier:cloud/small", "frontier:cloud/big"
WORTH = {
    "frontiers": ["*"],
    "routes": {"*": {"worth_usd": 0.05}},
    "quality": {"priors": [{"targets": "base", "mean": 0.1}]},
}
NOBODY_NEEDS: frozenset[str] = frozenset()


def plain(text: str = "a question") -> np.ndarray:
    """Traits of a short text."""
    return traits(text, turns=1, input_tokens=3, needs=NOBODY_NEEDS, foreign=False)


def outcomes(count: int = 400, seed: int = 1, slope: float = 3.0) -> list[Outcome]:
    """The first direction says whether the small model fails; the big one fails by chance."""
    chance, found = np.random.default_rng(seed), []
    for n in range(count):
        vector = (chance.normal(size=WIDTH) / 4).astype(np.float32)
        p = 1 / (1 + np.exp(-slope * 4 * float(vector[0])))
        for target, good in ((SMALL, chance.random() < p), (BIG, chance.random() < 0.9)):
            found.append(Outcome(f"text {n}", vector, plain(), target, float(good)))
    return found


@cache
def learned() -> tuple[Difficulty, list[Fitted]]:
    """A model of them."""
    return fitted(outcomes(), "an encoder", WIDTH)


def towards(first: float) -> np.ndarray:
    """A vector that is hard (negative) or easy for the small model."""
    return np.array([first, *[0.0] * (WIDTH - 1)], np.float32)


# What is learned


def test_what_is_hard_for_one_target_is_learned() -> None:
    """Of the target that it is hard for, and only of it."""
    model, told = learned()
    assert {each.target: each.used for each in told} == {SMALL: True, BIG: False}
    hard, easy = model.judge(towards(-0.5), plain()), model.judge(towards(0.5), plain())
    assert (hard.of(SMALL) or 0.0) < -0.5 < 0.5 < (easy.of(SMALL) or 0.0)
    assert hard.of(BIG) is None
    assert hard.told(SMALL).startswith("harder than its usual request")
    assert hard.told(BIG) == ""


def test_where_nothing_can_be_told_there_is_no_head() -> None:
    """Outcomes by chance alone: no model is better than a bad one. Twelve worlds, no head."""
    heads = [fitted(outcomes(200, seed, slope=0.0), "e", WIDTH)[0].heads for seed in range(12)]
    # One standard error is exceeded by chance now and then, hardly ever by several.
    assert sum(len(each) for each in heads) <= 4


@pytest.mark.parametrize(
    ("good", "bad"), [(FEWEST, EACH - 1), (EACH - 1, FEWEST), (25, 25), (0, 0)]
)
def test_few_outcomes_make_no_head(good: int, bad: int) -> None:
    """The honest prior: nothing is said of single requests."""
    found = [
        Outcome(f"t{n}", towards(1.0 if n < good else -1.0), plain(), SMALL, float(n < good))
        for n in range(good + bad)
    ]
    model, told = fitted(found, "e", WIDTH)
    assert not model.heads
    assert [each.used for each in told] == ([False] if found else [])
    assert model.judge(towards(1.0), plain()).of(SMALL) is None


def test_picked_outcomes_hardly_move_the_level() -> None:
    """Reviews of what went wrong: four of five bad ones, which by itself would be -1.4 log-odds."""
    chance = np.random.default_rng(5)
    found = [
        replace(each, origin="review", levels=False)
        for each in outcomes(1500, slope=2.0)
        if each.target == SMALL and (each.good < 0.5 or chance.random() < 0.25)
    ]
    assert np.mean([each.good for each in found]) < 0.25
    model, _ = fitted(found, "e", WIDTH)
    assert model.levels == {}
    usual = [model.judge(each.vector, each.traits).of(SMALL) for each in outcomes(400, seed=9)]
    assert abs(float(np.mean([shift or 0.0 for shift in usual]))) < 0.5


def test_levels_are_of_imported_outcomes() -> None:
    """By intent, and of those that name none; versions of an adapter are one family."""
    version = "adapter:returns@" + "1" * 12
    found = [
        Outcome("a", None, plain(), version, 1.0, "returns"),
        Outcome("b", None, plain(), version, 0.0, "hours"),
        Outcome("c", None, plain(), version, 0.0, "hours", origin="review", levels=False),
        Outcome("d", None, plain(), version, 1.0),
        Outcome("e", None, plain(), version, 0.0),
    ]
    model, _ = fitted(found, "e", WIDTH)
    known = model.judge(None, plain()).known("adapter:returns@" + "2" * 12, "returns")
    assert [str(each) for each in known] == ["1 of 2 good", "1 of 1 good"]


def test_the_same_outcomes_make_the_same_model() -> None:
    """So its digest says what was learned; and a document is read as it was written."""
    model, _ = learned()
    again, _ = fitted(outcomes(), "an encoder", WIDTH)
    assert again.digest == model.digest
    read = difficulty.read(model.document())
    assert read.digest == model.digest
    assert read.judge(towards(0.3), plain()) == model.judge(towards(0.3), plain())


@pytest.mark.parametrize(
    "raw",
    [b"", b"[]", b"{}", b"null", b'{"format": 2}', b'{"format": 1, "encoder": "e"}'],
)
def test_what_is_no_model_is_refused(raw: bytes) -> None:
    """Whatever it is instead."""
    with pytest.raises(ValueError, match="no model of difficulty"):
        difficulty.read(raw)


@pytest.mark.parametrize("change", ["short", "nan", "level"])
def test_a_broken_document_is_refused(change: str) -> None:
    """Heads that do not fit, numbers that are none, more good answers than there were."""
    told = json.loads(learned()[0].document())
    if change == "short":
        told["heads"][0]["weights"] = told["heads"][0]["weights"][:8]
    elif change == "nan":
        told["centre"] = "AADAfw" + told["centre"][6:]
    else:
        told["levels"][0][2] = 10**9
    with pytest.raises(ValueError, match="no model of difficulty"):
        difficulty.read(json.dumps(told).encode())


@given(st.floats(0, 1), st.floats(-MOST, MOST))
def test_quality_stays_a_probability(quality: float, shift: float) -> None:
    """Harder is never better; the ends stay where they are."""
    moved = Hardness("m", {SMALL: shift}).applied(SMALL, quality)
    assert 0.0 <= moved <= 1.0
    assert (moved - quality) * shift >= -1e-12
    assert Hardness("m", {SMALL: shift}).applied(BIG, quality) == quality


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=WIDTH, max_size=WIDTH), st.text())
def test_shifts_are_bounded(vector: list[float], text: str) -> None:
    """Whatever comes."""
    shift = learned()[0].judge(np.array(vector, np.float32), plain(text)).of(SMALL)
    assert shift is not None
    assert abs(shift) <= MOST


def test_a_family_is_a_target_without_its_version() -> None:
    """Of adapters only: a provider may have @ in a model's name."""
    assert family("adapter:returns@abc") == "adapter:returns"
    assert family("frontier:cloud/m@1") == "frontier:cloud/m@1"


# What is decided


def asked(first: float | None = None) -> Exchange:
    """A request of this direction; None: of which nothing is known."""
    found = exchange(table=world(), text="a question")
    put(found, needs=Needs(input_tokens=1000, max_output_tokens=100))
    if first is not None:
        put(found, difficulty=learned()[0].judge(towards(first), plain()))
    return found


def frontiers(found: Exchange, **routing: object) -> list[str]:
    """The frontier targets in the order in which they are asked."""
    by = chooser(routing=WORTH | routing)
    return [each.target for each in decide(found, by) if each.target.startswith("frontier:")]


def test_hard_requests_go_to_the_strong_model() -> None:
    """Easy ones to the cheap one; and the decision says why."""
    assert frontiers(asked(-0.6)) == [BIG, SMALL]
    assert frontiers(asked(0.6)) == [SMALL, BIG]
    found = asked(-0.6)
    frontiers(found)
    small = next(each for each in found.decision.options if each.target == SMALL)
    big = next(each for each in found.decision.options if each.target == BIG)
    assert small.difficulty.startswith("harder than its usual request (-")
    assert big.difficulty == ""
    assert "outcomes, " in small.prior
    assert "USD after its cost" in small.reason
    assert found.decision.worth_usd == 0.05


def test_told_to_take_intents_alone_it_does() -> None:
    """``per_request: false``; imported shares count all the same, unless they are ignored too."""
    off = {"per_request": False}
    assert frontiers(asked(-0.6), quality=off) == frontiers(asked(0.6), quality=off)
    found = asked(-0.6)
    frontiers(found, quality={**off, "outcome_strength": 0})
    assert {each.prior for each in found.decision.options if each.target == SMALL} == {
        "0.900 (convention)"
    }


def test_without_a_model_nothing_changes() -> None:
    """The honest prior: conventions, no word of difficulty."""
    found = asked()
    frontiers(found)
    assert {each.difficulty for each in found.decision.options} == {""}
    assert {each.prior for each in found.decision.options} == {
        "0.100 (configured)",
        "0.900 (convention)",
    }


@pytest.mark.parametrize("first", [-0.6, 0.6])
def test_a_replay_decides_by_what_is_recorded(first: float) -> None:
    """It has neither the text nor the model."""
    found = asked(first)
    decide(found, chooser(routing=WORTH))
    found.account.status = 200
    record = json.loads(json.dumps(record_of(found)))
    told = record["features"]["difficulty"]
    assert told["model"] == learned()[0].digest
    assert of_record(told).shifts == {SMALL: found.decision.difficulty.of(SMALL)}
    chosen = found.chosen
    assert chosen is not None
    record |= {"target": chosen.target, "attempts": []}
    assert [each.changed for each in replay([record], config(routing=WORTH))] == [False]
    record["features"]["difficulty"] = None
    assert [each.changed for each in replay([record], config(routing=WORTH))] == [first < 0]


def test_records_hold_what_is_about_the_request() -> None:
    """Of targets and intents that were not considered, nothing."""
    levels = {(SMALL, "*"): tally(5, 9), (SMALL, "other"): tally(1, 2), ("base", "*"): tally(1, 1)}
    told = Hardness("m", {SMALL: 0.5, "base": 1.0}, levels).record([SMALL], ["none"])
    assert told == {"model": "m", "shifts": {SMALL: 0.5}, "levels": [[SMALL, "*", 5.0, 9.0]]}
    assert NOT_JUDGED.record([SMALL], ["none"]) is None
    assert of_record(None) is NOT_JUDGED


def test_it_costs_microseconds() -> None:
    """30 µs a candidate at the most: one product for all of them."""
    model = replace(learned()[0], heads=learned()[0].heads * 10)
    vector, known = towards(0.1), plain()
    took = []
    for _ in range(200):
        began = time.perf_counter()
        model.judge(vector, known)
        took.append(time.perf_counter() - began)
    assert min(took) < 10 * 30e-6


# Where the model comes from


READING = Threads("reading")


class _Registry:
    """Has one document."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw

    async def fetch(self, _digest: str) -> bytes:
        return self.raw


def real(encoder: FakeEncoder) -> Difficulty:
    """A model for the fake encoder's vectors."""
    found = []
    for n in range(300):
        text = f"easy question {n}" if n % 2 else f"terrible riddle {n}"
        vector = encoder.encode(encoder.read(text))
        found.append(Outcome(text, vector, plain(text), SMALL, float(n % 2)))
    return fitted(found, encoder.name, encoder.width)[0]


async def test_a_router_takes_the_model_that_the_table_names() -> None:
    """And none any more when the table names none."""
    encoder = FakeEncoder()
    model = real(encoder)
    source = DifficultySource(32, _Registry(model.document()).fetch, READING, lambda _: encoder)
    source.heard(RoutingTable(revision=1, difficulty=model.digest))
    assert await source.refresh()
    easy, hard = [
        (await source.judge(exchange(text=text).request, Intent())).of(SMALL)
        for text in ("easy question 1", "terrible riddle 2")
    ]
    assert easy is not None
    assert hard is not None
    assert hard < easy
    assert source.remembered == 2
    named = exchange("base", text="easy").request
    assert await source.judge(named, Intent(), chooses=False) is NOT_JUDGED
    source.heard(RoutingTable(revision=2))
    assert await source.refresh()
    assert await source.judge(exchange(text="easy question 1").request, Intent()) is NOT_JUDGED


async def test_a_text_is_read_once() -> None:
    """What the intent's head had encoded is not encoded again."""
    encoder = FakeEncoder()
    model = real(encoder)
    source = DifficultySource(32, _Registry(model.document()).fetch, READING, lambda _: encoder)
    source.heard(RoutingTable(revision=1, difficulty=model.digest))
    await source.refresh()
    vector = encoder.encode(encoder.read("easy question 1"))
    await source.judge(exchange(text="easy question 1").request, Intent(vector=vector))
    assert source.remembered == 0


async def test_where_auto_is_in_a_list_it_counts_as_for_auto() -> None:
    """It ranks there: the route's worth and how hard the request is decide, and are told."""
    made = RouterConfig.model_validate(
        {
            "routing": {"routes": {"smart": {"worth_usd": 0.05}}},
            "models": {"smart": {"targets": ["auto"]}, "plain": {"targets": ["base"]}},
        }
    )
    by = Chooser(made, Learning(made.routing))
    empty = RoutingTable(revision=1)
    for model, chooses in (("auto", True), ("smart", True), ("plain", False), ("base", False)):
        assert by.chooses(exchange(model).request, empty) is chooses
    found = put(exchange("smart"), difficulty=Hardness("m", {"base": -2.0}))
    (base,) = decide(found, by)
    assert base.difficulty.startswith("harder")
    assert found.decision.worth_usd == 0.05


async def test_nobody_is_read_for_nothing() -> None:
    """Where difficulty changes no order the encoder does not run; what is known is told."""
    encoder = FakeEncoder()
    model = real(encoder)
    source = DifficultySource(32, _Registry(model.document()).fetch, READING, lambda _: encoder)
    source.heard(RoutingTable(revision=1, difficulty=model.digest))
    await source.refresh()
    request = exchange(text="easy question 1").request
    before = await source.judge(request, Intent(), weighs=False)
    assert (before.model, before.shifts) == (model.digest, {})
    assert source.remembered == 0
    vector = encoder.encode(encoder.read("easy question 1"))
    known = await source.judge(request, Intent(vector=vector), weighs=False)
    assert known.of(SMALL) is not None
    told = await source.judge(request, Intent())
    assert await source.judge(request, Intent(), weighs=False) == told


@pytest.mark.parametrize(
    ("route", "matters"),
    [
        ({}, False),
        ({"max_cost_usd": 1.0}, False),
        ({"worth_usd": 0.1}, True),
        ({"risk": 0.1}, True),
        ({"confidence": {}}, True),
    ],
)
def test_where_difficulty_matters(route: dict[str, Any], matters: bool) -> None:
    """Where quality orders, judges, or may move a session."""
    by, empty = chooser(routing={"routes": {"*": route}}), RoutingTable(revision=1)
    request = exchange().request
    assert by.weighs(request, Intent(), empty) is matters
    kept = replace(request, hints=replace(request.hints, session="s"))
    assert by.weighs(kept, Intent(), empty)


@pytest.mark.parametrize("what", ["another", "encoder", "nothing"])
async def test_a_model_that_cannot_be_used_changes_nothing(what: str) -> None:
    """Not the one that was named, for another encoder, or no model."""
    encoder = FakeEncoder()
    good = real(encoder)
    registry = _Registry(good.document())
    source = DifficultySource(32, registry.fetch, READING, lambda _: encoder)
    source.heard(RoutingTable(revision=1, difficulty=good.digest))
    await source.refresh()
    other = replace(good, encoder="another") if what == "encoder" else good
    registry.raw = b"{}" if what == "nothing" else other.document()
    digest = "0" * 64 if what == "another" else difficulty.digest_of(registry.raw)
    source.heard(RoutingTable(revision=2, difficulty=digest))
    with pytest.raises(ValueError, match=r"model|heads"):
        await source.refresh()
    assert source.current is not None
    assert source.current.digest == good.digest


async def test_of_other_languages_only_the_rest_counts() -> None:
    """The encoder knows English: what it makes of another language says nothing."""
    encoder = FakeEncoder()
    model = real(encoder)
    source = DifficultySource(32, _Registry(model.document()).fetch, READING, lambda _: encoder)
    source.heard(RoutingTable(revision=1, difficulty=model.digest))
    await source.refresh()
    foreign = exchange(text="Wie kann ich die Lampe zurückgeben, wenn sie nicht geht?").request
    assert (await source.judge(foreign, Intent())).of(SMALL) is not None
    assert source.remembered == 0


def test_an_adapter_keeps_what_was_learned_over_its_versions() -> None:
    """Shifts are of the alias."""
    alias = returns(previous=None)
    found = exchange(table=world(alias))
    put(found, intent=Intent("returns", 1.0, "returns"))
    put(found, difficulty=Hardness("m", {"adapter:returns": -2.0}))
    usual = put(exchange(table=world(alias)), intent=Intent("returns", 1.0, "returns"))
    before = decide(usual, chooser())[0].quality
    after = decide(found, chooser())[0].quality
    assert before == pytest.approx(0.9)
    assert after == pytest.approx(0.549, abs=1e-3)


def test_an_adapters_share_is_of_what_it_is_for() -> None:
    """A table that names no intents says nothing of how it answers others; a base's does."""
    alias = returns(previous=None)
    levels = {("adapter:returns", "*"): tally(99, 100), ("base", "*"): tally(1, 100)}
    priors = {}
    for intent in ("returns", "hours"):
        found = exchange("returns", table=world(alias))
        put(found, intent=Intent(intent, 1.0), difficulty=Hardness("m", {}, levels))
        options = decide(found, chooser())
        priors[intent] = {option.target.partition("@")[0]: option.prior for option in options}
    assert priors["returns"]["adapter:returns"] == "0.990 (outcomes, 99 of 100 good)"
    assert priors["hours"]["adapter:returns"] == "0.500 (convention)"
    assert priors["hours"]["base"] == "0.010 (outcomes, 1 of 100 good)"

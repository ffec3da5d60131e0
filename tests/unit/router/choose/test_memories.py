"""What decisions remember: quality, lengths and latencies, sessions. All of it bounded."""

from __future__ import annotations

import dataclasses
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.choose.cards import Card
from router.choose.choose import Chooser
from router.choose.learning import Learning, success_of
from router.choose.measured import EXPECTED_OUTPUT_TOKENS, MIN_SAMPLES, WINDOW_S, Measured
from router.choose.quality import Quality
from router.choose.sessions import Sessions
from router.config.root import RouterConfig
from router.config.routing import QualityConfig, SessionConfig
from router.delivery import Attempt
from router.exchange import Exchange
from router.prices import Price
from router.replicas.rendezvous import share, weight
from router.request import Hints, Intent, Needs, Option
from router.wire.endpoint import Usage
from tests.fakes.deciding import ANYBODY, BIG, SMALL, allowed, chooser, config, returns, world
from tests.fakes.exchanges import BASE_ID, BEFORE, LIVE, exchange, put

ADAPTER = Card(f"adapter:returns@{LIVE[:12]}", "e", "returns", frozenset({"returns"}))
BASE = Card("base", "tiny")
FRONTIER = Card("frontier:cloud/big")
CLAIMED = frozenset({"returns"})
HERE = world(returns())


class Clock:
    """Time that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


# Quality


def test_priors_keep_the_natural_order() -> None:
    """Before anybody judged: the adapter for its own intent, then the base; elsewhere the base."""
    quality = Quality(QualityConfig())
    told = {"returns": 1.0}
    assert quality.expected(ADAPTER, told, CLAIMED) > quality.expected(BASE, told, CLAIMED)
    assert quality.expected(BASE, {}, CLAIMED) > quality.expected(ADAPTER, {}, CLAIMED)
    assert quality.expected(BASE, {}, CLAIMED) > quality.expected(BASE, told, CLAIMED)


def test_a_frontier_that_is_meant_for_an_intent() -> None:
    """Its card says so, and it is believed a little more there."""
    quality, meant = Quality(QualityConfig()), dataclasses.replace(FRONTIER, intents=CLAIMED)
    told = {"returns": 1.0}
    assert quality.expected(meant, told, CLAIMED) > quality.expected(FRONTIER, told, CLAIMED)
    assert quality.expected(meant, {}, CLAIMED) == quality.expected(FRONTIER, {}, CLAIMED)


def test_a_configured_prior() -> None:
    """The first prior that matches target and intent holds."""
    priors = [
        {"targets": "frontier:*", "intents": "legal", "mean": 0.3, "strength": 10},
        {"targets": "frontier:*", "mean": 0.6},
    ]
    quality = Quality(QualityConfig.model_validate({"priors": priors}))
    assert quality.expected(FRONTIER, {"legal": 1.0}, CLAIMED) == pytest.approx(0.3)
    assert quality.expected(FRONTIER, {"other": 1.0}, CLAIMED) == pytest.approx(0.6)


def test_the_mean_over_an_uncertain_intent() -> None:
    """What the posterior leaves out is no intent."""
    quality = Quality(QualityConfig())
    assert quality.expected(ADAPTER, {"returns": 0.75}, CLAIMED) == pytest.approx(
        0.75 * 0.9 + 0.25 * 0.5
    )


def test_judgements_by_hand() -> None:
    """Beta(18, 2) and three good answers of four: (18 + 3) / (20 + 4), but for forgetting."""
    quality = Quality(QualityConfig(memory=10**9))
    for n, success in enumerate((1.0, 1.0, 0.0, 1.0)):
        assert quality.judge(f"d{n}", "returns", ADAPTER.target, success)
    assert quality.expected(ADAPTER, {"returns": 1.0}, CLAIMED) == pytest.approx(21 / 24)


def test_a_later_judgement_replaces_the_former() -> None:
    """Changing one's mind counts once."""
    quality = Quality(QualityConfig(memory=10**9))
    quality.judge("d", "returns", ADAPTER.target, 1.0)
    assert not quality.judge("d", "returns", ADAPTER.target, 0.0)
    assert quality.expected(ADAPTER, {"returns": 1.0}, CLAIMED) == pytest.approx(18 / 21)


def test_old_judgements_fade() -> None:
    """A target that became good is believed in again."""
    quality = Quality(QualityConfig(memory=50))
    for n in range(400):
        quality.judge(f"bad{n}", None, "base", 0.0)
    for n in range(200):
        quality.judge(f"good{n}", None, "base", 1.0)
    assert quality.expected(BASE, {}, frozenset()) > 0.9


def test_caution() -> None:
    """Standard deviations of the belief are taken off: what is unknown looks worse."""
    bold, shy = Quality(QualityConfig()), Quality(QualityConfig(caution=2))
    assert shy.expected(BASE, {}, CLAIMED) < bold.expected(BASE, {}, CLAIMED)
    for n in range(3000):
        shy.judge(f"d{n}", None, "base", 1.0)
    assert shy.expected(BASE, {}, CLAIMED) > 0.98


def test_forgetting() -> None:
    """A target that is gone leaves nothing."""
    quality, told = Quality(QualityConfig()), {"returns": 1.0}
    before = quality.expected(ADAPTER, told, CLAIMED)
    quality.judge("d", "returns", ADAPTER.target, 0.0)
    assert quality.expected(ADAPTER, told, CLAIMED) < before
    quality.forget(ADAPTER.target)
    assert len(quality) == 0
    assert quality.expected(ADAPTER, told, CLAIMED) == pytest.approx(before)


def test_quality_is_bounded() -> None:
    """However many names are judged, only so many cells are kept."""
    quality = Quality(QualityConfig(cells_kept=10))
    for n in range(100):
        quality.judge(f"d{n}", f"i{n}", "base", 1.0)
        quality.expected(BASE, {f"i{n}": 1.0}, frozenset())
    assert len(quality) == 10


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 1)), max_size=60))
def test_always_a_share(judgements: list[tuple[str, float]]) -> None:
    """Whatever is judged and judged again, expected quality is between 0 and 1."""
    quality = Quality(QualityConfig(memory=10))
    for identity, success in judgements:
        quality.judge(identity, None, "base", success)
        assert 0.0 <= quality.expected(BASE, {}, frozenset()) <= 1.0


@pytest.mark.parametrize(
    ("kind", "value", "success"),
    [
        ("boolean", True, 1.0),
        ("boolean", False, 0.0),
        ("float", 0.25, 0.25),
        ("float", 7, None),
        ("float", -1.0, None),
        ("comment", "good", None),
        ("demonstration", "better", None),
    ],
)
def test_what_feedback_means(kind: str, value: object, success: float | None) -> None:
    """Only what is a share of success counts as one."""
    assert success_of(kind, value) == success


# Cost


def test_expected_cost() -> None:
    """Fresh, cached and generated tokens at their prices; no more is cached than there is."""
    price = Price(2.0, 10.0, 0.5)
    assert price.expected(10, 3, 4) == 6 * 2 + 4 * 0.5 + 3 * 10
    assert price.expected(10, 0, 40) == 10 * 0.5


# Lengths and latencies


def test_expected_output() -> None:
    """From the prior to what was seen, bounded by what the client allows."""
    measured = Measured()
    assert measured.output_tokens("t") == EXPECTED_OUTPUT_TOKENS
    for _ in range(300):
        measured.add("t", 10, 0.1, 0.2)
    assert measured.output_tokens("t") == pytest.approx(10, abs=1)
    assert Needs(max_output_tokens=4).output_tokens(measured.output_tokens("t")) == 4


def test_latency_needs_samples_and_forgets() -> None:
    """Few samples say nothing; old ones are forgotten, so that who was slow is tried again."""
    clock = Clock()
    measured = Measured(clock)
    for n in range(MIN_SAMPLES):
        assert measured.latency("t") == (None, None)
        measured.add("t", 1, n / 10, n)
    assert measured.latency("t") == (0.7, 7)
    clock.now += WINDOW_S + 1
    assert measured.latency("t") == (None, None)


def test_learning_from_an_exchange() -> None:
    """What others took before is not this target's time; failures teach no latency."""
    learning = Learning(config().routing)
    found = exchange(caller=ANYBODY)
    found.delivery.attempts = [
        Attempt(Option("frontier:a/b"), seconds=3.0),
        Attempt(Option("base", BASE_ID), seconds=1.5, usage=Usage(5, 20)),
    ]
    put(found, chosen=Option("base", BASE_ID), seconds=4.5, first_byte_s=3.5, status=200)
    for _ in range(MIN_SAMPLES):
        learning.observe(found)
    assert learning.measured.latency("base") == (0.5, 1.5)
    assert learning.measured.output_tokens("base") < EXPECTED_OUTPUT_TOKENS
    assert learning.measured.latency("frontier:a/b") == (None, None)


# Sessions


def answered(sessions: Sessions, target: str, session: str = "s", tokens: int = 9) -> None:
    """A request of the session was answered."""
    found = exchange(session=session, caller=ANYBODY)
    put(found, chosen=Option(target), status=200, usage=Usage(tokens, 1))
    sessions.observe(found)


def test_sessions_end_and_are_bounded() -> None:
    """After their time, or when there are too many, the oldest are forgotten."""
    clock = Clock()
    sessions = Sessions(SessionConfig(kept=3, ttl_s=10), clock)
    for n in range(5):
        answered(sessions, "base", f"s{n}")
    assert len(sessions) == 3
    asked = exchange(session="s4", caller=ANYBODY)
    last = sessions.of(asked)
    assert last is not None
    assert (last.target, last.input_tokens) == ("base", 9)
    stranger = dataclasses.replace(ANYBODY, tenant="other")
    assert sessions.of(exchange(session="s4", caller=stranger)) is None
    clock.now += 11
    assert sessions.of(asked) is None


def steered(
    last: str | None, intent: str | None = None, made: RouterConfig | None = None, **fields: object
) -> Exchange:
    """A request of a session that was answered by ``last`` before."""
    made = made or config(routing={"frontiers": ["*"]})
    learning = Learning(made.routing)
    if last is not None:
        answered(learning.sessions, last)
    found = exchange(table=HERE, session="s", caller=ANYBODY, **fields)  # type: ignore[arg-type]
    if intent is not None:
        put(found, intent=Intent(intent, 1.0))
    allowed(found, Chooser(made, learning))
    return found


def test_a_session_keeps_its_target() -> None:
    """No needless switch: what answered before answers again, and the reason says so."""
    found = steered(f"frontier:{SMALL}")
    assert found.decision.options[0].target == f"frontier:{SMALL}"
    assert found.decision.options[0].code == "session"
    assert found.decision.how == "session"


def test_a_session_leaves_what_is_clearly_worse() -> None:
    """The base answered while the adapter was away; for its intent the adapter is needed."""
    assert steered("base", "returns").decision.options[0].target == f"adapter:returns@{LIVE[:12]}"
    assert steered("base").decision.options[0].target == "base"


def test_a_session_follows_a_promotion() -> None:
    """The adapter's new version takes over: an operator's flip is no needless switch."""
    found = steered(f"adapter:returns@{BEFORE[:12]}", "returns")
    assert found.decision.options[0].target == f"adapter:returns@{LIVE[:12]}"
    assert found.decision.options[0].code == "session"


def test_a_session_does_not_keep_what_policy_forbids() -> None:
    """Permission is asked each time."""
    rules = {"rules": [{"name": "r", "effect": "deny", "targets": [f"frontier:{SMALL}"]}]}
    made = config(routing={"frontiers": ["*"]}, policy=rules)
    assert steered(f"frontier:{SMALL}", made=made).decision.options[0].target == "base"


def test_a_sessions_cached_prompt_is_cheaper() -> None:
    """What switching would throw away is part of the price."""
    models = [
        {"id": name, "input_usd_per_mtok": 10.0, "output_usd_per_mtok": 10.0,
         "cached_input_usd_per_mtok": 1.0}
        for name in ("big", "small")
    ]  # fmt: skip
    made = config(models, routing={"frontiers": ["*"]})
    learning = Learning(made.routing)
    answered(learning.sessions, f"frontier:{BIG}", tokens=1000)
    found = exchange(table=HERE, session="s", caller=ANYBODY)
    put(found, needs=Needs(1000, 1))
    allowed(found, Chooser(made, learning))
    costs = {option.target: option.cost_usd for option in found.decision.options}
    assert costs[f"frontier:{BIG}"] == pytest.approx(1e-3 + 1e-5)
    assert costs[f"frontier:{SMALL}"] == pytest.approx(1e-2 + 1e-5)


def test_named_models_have_no_sessions() -> None:
    """Who names a model gets it, whoever answered before."""
    assert steered(f"frontier:{SMALL}", model="base").decision.options[0].target == "base"


def equal_frontiers() -> Chooser:
    """Two models that nothing tells apart, and no base that is good enough."""
    models = [
        {"id": name, "input_usd_per_mtok": 1.0, "output_usd_per_mtok": 1.0} for name in ("a", "b")
    ]
    routing = {"frontiers": ["*"], "routes": {"*": {"risk": 0.15}}}
    return chooser(models, routing=routing)


def test_routers_agree_on_sessions_that_they_do_not_know() -> None:
    """Among equals a new session goes where every router would send it, and all get some."""
    one, other = equal_frontiers(), equal_frontiers()
    firsts = []
    for n in range(60):
        found = [allowed(exchange(table=HERE, session=f"s{n}"), by)[0] for by in (one, other)]
        assert found[0] == found[1]
        firsts.append(found[0])
    assert set(firsts) == {"frontier:cloud/a", "frontier:cloud/b"}


def test_weights_are_uniform() -> None:
    """Each of three names wins about a third; a name that leaves moves only its own keys."""
    names = ["a", "b", "c"]
    won = [max(names, key=lambda n: weight(f"k{k}", n)) for k in range(3000)]
    for each in names:
        assert 900 < won.count(each) < 1100
    left = [max(names[:2], key=lambda n: weight(f"k{k}", n)) for k in range(3000)]
    assert all(now == before for now, before in zip(left, won, strict=True) if before != "c")
    assert 0.0 <= share("k", "n") < 1.0


# Exploration


def test_exploration_takes_its_share() -> None:
    """A share of requests goes to other permitted targets, and the reason says so."""
    by = chooser(routing={"frontiers": ["*"], "explore": 0.2})
    codes = []
    for n in range(2000):
        found = exchange(table=HERE, request_id=f"r{n}")
        assert sorted(allowed(found, by)) == sorted(
            ["base", f"frontier:{BIG}", f"frontier:{SMALL}"]
        )
        codes.append(found.decision.options[0].code)
    assert 330 < codes.count("explored") < 470


@pytest.mark.parametrize("fields", [{"session": "s"}, {"model": "base"}, {"model": "returns"}])
def test_exploration_leaves_sessions_and_names_alone(fields: dict[str, str]) -> None:
    """Nobody who relies on a target is experimented with."""
    by = chooser(routing={"frontiers": ["*"], "explore": 0.5})
    for n in range(200):
        found = exchange(table=HERE, request_id=f"r{n}", **fields)  # type: ignore[arg-type]
        allowed(found, by)
        assert all(option.code != "explored" for option in found.decision.options)


def test_exploration_stays_within_what_is_permitted() -> None:
    """What the filter excludes is never tried."""
    rng = random.Random(5)
    rules = {"rules": [{"name": "r", "effect": "deny", "targets": [f"frontier:{BIG}"]}]}
    by = chooser(routing={"frontiers": ["*"], "explore": 0.5}, policy=rules)
    for _ in range(300):
        found = exchange(table=HERE, request_id=str(rng.random()))
        assert f"frontier:{BIG}" not in allowed(found, by)


def test_hints_keep_their_limits() -> None:
    """Exploration never spends more than the client allows."""
    by = chooser(routing={"frontiers": ["*"], "explore": 0.5})
    for n in range(100):
        found = exchange(table=HERE, request_id=f"r{n}")
        put(found, hints=Hints(max_cost_usd=1e-3), needs=Needs(300, 100))
        assert f"frontier:{BIG}" not in allowed(found, by)

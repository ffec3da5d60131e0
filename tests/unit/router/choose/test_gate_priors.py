"""What a gate found about a version is what is believed of it, until answers are judged."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.aliases import Alias, CandidateVersion
from adapters.evaluation import GateResult
from router.audit.decision import record_of
from router.choose.cards import Card
from router.choose.quality import ADAPTER_FOR_ITS_INTENT, DEFAULT_STRENGTH, Quality
from router.choose.replay import replay
from router.config.routing import QualityConfig
from router.exchange import Exchange
from router.request import Intent
from tests.fakes.deciding import chooser, config, decide, returns, world
from tests.fakes.exchanges import BEFORE, LIVE, TRIED, exchange, put

CLAIMED = frozenset({"returns"})


def gate(**fields: Any) -> GateResult:
    """A result of a gate that was passed."""
    return GateResult.model_validate({"passed": True, **fields})


def card(found: GateResult | None) -> Card:
    """An adapter that was made for returns."""
    return Card("adapter:returns@1", "returns@1", "returns", CLAIMED, gate=found)


def prior(found: GateResult | None, intent: str = "returns", **settings: Any) -> tuple[Any, ...]:
    """Mean, strength and basis."""
    quality = Quality(QualityConfig.model_validate(settings))
    told = quality.prior(card(found), intent, CLAIMED)
    return told.mean, told.strength, told.basis


def test_a_gates_share_is_the_prior() -> None:
    """182 of 200: 0.91, worth no more answers than configured."""
    found = gate(intents={"returns": {"good": 182, "judged": 200}})
    assert prior(found) == (pytest.approx(0.91), 50, "gate, 182 of 200 good")
    assert prior(found, gate_strength=500) == (pytest.approx(0.91), 200, "gate, 182 of 200 good")


def test_a_gate_that_comes_later_counts_at_once() -> None:
    """What was estimated before the version was tested is not remembered beyond that."""
    quality = Quality(QualityConfig(caution=0.0))
    before = quality.estimate(card(None), "returns", CLAIMED)
    found = gate(intents={"returns": {"good": 50, "judged": 100}})
    assert before == pytest.approx(ADAPTER_FOR_ITS_INTENT)
    assert quality.estimate(card(found), "returns", CLAIMED) == pytest.approx(0.5)


def test_the_intents_own_result_goes_before_the_whole() -> None:
    """The whole counts for what the adapter was made for, and says nothing about other intents."""
    tallies = {"refunds": {"good": 10, "judged": 100}}
    found = gate(good=90, judged=100, intents=tallies)
    assert prior(found)[0] == pytest.approx(0.9)
    assert prior(found, "refunds")[0] == pytest.approx(0.1)
    assert prior(found, "weather") == prior(None, "weather")


@pytest.mark.parametrize("found", [None, gate(), gate(intents={"x": {"good": 1, "judged": 1}})])
def test_without_a_result_the_convention_holds(found: GateResult | None) -> None:
    """Versions that nobody tested are believed in as before."""
    assert prior(found) == (ADAPTER_FOR_ITS_INTENT, DEFAULT_STRENGTH, "convention")


def test_a_configured_prior_wins() -> None:
    """An operator's word goes before a manifest's; and a strength of 0 ignores manifests."""
    found = gate(good=10, judged=100)
    priors = [{"targets": "adapter:*", "mean": 0.6, "strength": 7}]
    assert prior(found, priors=priors) == (0.6, 7, "configured")
    assert prior(found, gate_strength=0) == prior(None)


@given(st.integers(1, 1000), st.floats(0, 1), st.floats(0, 1000))
def test_a_prior_from_a_gate_is_a_belief(judged: int, share: float, most: float) -> None:
    """Between the convention and what was found; its strength is bounded on both sides."""
    found = gate(good=share * judged, judged=judged)
    quality = Quality(QualityConfig(gate_strength=most, caution=1))
    told = quality.prior(card(found), "returns", CLAIMED)
    low, high = sorted((share, ADAPTER_FOR_ITS_INTENT))
    assert low - 1e-9 <= told.mean <= min(1.0, high + 1e-9)
    assert told.strength + 1e-9 >= DEFAULT_STRENGTH
    assert told.strength <= max(DEFAULT_STRENGTH, most) + 1e-9
    assert 0 <= quality.estimate(card(found), "returns", CLAIMED) <= 1
    if judged >= DEFAULT_STRENGTH <= most:
        assert told.mean == pytest.approx(share)


def test_judgements_move_it() -> None:
    """100 good answers after a bad gate."""
    quality = Quality(QualityConfig(memory=10**9))
    bad = card(gate(good=5, judged=50))
    assert quality.expected(bad, {"returns": 1.0}, CLAIMED) == pytest.approx(0.1)
    for n in range(100):
        quality.judge(f"d{n}", "returns", bad.target, 1.0)
    assert quality.expected(bad, {"returns": 1.0}, CLAIMED) == pytest.approx(105 / 150, abs=1e-3)


def proven(**fields: Any) -> Alias:
    """A live version that is good, the one before worse, and one on trial that is bad."""
    shares = ((LIVE, 90), (BEFORE, 80), (TRIED, 10))
    gates = {digest: gate(good=good, judged=100) for digest, good in shares}
    return returns(gates=gates, **fields)


def priors_of(model: str, alias: Alias, request_id: str = "req_1") -> dict[str, str]:
    """The priors of a decision, by target."""
    found = exchange(model, table=world(alias), request_id=request_id)
    put(found, intent=Intent("returns", 1.0, "returns"))
    return {option.target: option.prior for option in decide(found, chooser())}


@pytest.mark.parametrize("model", ["auto", "returns"])
def test_each_version_has_its_own_result(model: str) -> None:
    """Live, the one before it, and the canary; the base has none."""
    trial = CandidateVersion(digest=TRIED, stage="canary", percent=100)
    priors = priors_of(model, proven(candidates=(trial,)))
    assert priors[f"adapter:returns@{TRIED[:12]}"] == "0.100 (gate, 10 of 100 good)"
    assert priors[f"adapter:returns@{LIVE[:12]}"] == "0.900 (gate, 90 of 100 good)"
    assert priors[f"adapter:returns@{BEFORE[:12]}"] == "0.800 (gate, 80 of 100 good)"
    assert priors["base"] == "0.700 (convention)"


def test_a_shadow_has_its_own_result() -> None:
    """It can be called by its pinned name."""
    trial = CandidateVersion(digest=TRIED, stage="shadow", percent=100)
    priors = priors_of(f"returns@{TRIED[:12]}", proven(candidates=(trial,)))
    assert priors[f"adapter:returns@{TRIED[:12]}"] == "0.100 (gate, 10 of 100 good)"


def test_a_bad_gate_sends_requests_elsewhere() -> None:
    """Under a bound on the error, the base goes before an adapter that failed its test."""
    by = chooser(routing={"routes": {"*": {"risk": 0.3}}})
    for good, first in ((90, f"adapter:returns@{LIVE[:12]}"), (10, "base")):
        alias = returns(previous=None, gates={LIVE: gate(good=good, judged=100)})
        found = auto(alias)
        assert decide(found, by)[0].target == first
        by.learning.forget(f"adapter:returns@{LIVE[:12]}")


def auto(alias: Alias) -> Exchange:
    """A request whose intent was recognised."""
    found = exchange(table=world(alias))
    put(found, intent=Intent("returns", 1.0, "returns"))
    return found


def test_a_replay_knows_what_the_gates_said() -> None:
    """From the record: the results for the request's intents, and the same decision again."""
    routing = {"routes": {"*": {"risk": 0.3}}}
    alias = returns(
        previous=None,
        gates={LIVE: gate(good=10, judged=100, intents={"other": {"good": 1, "judged": 1}})},
    )
    found = auto(alias)
    decide(found, chooser(routing=routing))
    found.account.status = 200
    record = record_of(found)
    assert record["decided"]["gates"] == {
        f"adapter:returns@{LIVE[:12]}": {
            "passed": True,
            "good": 10.0,
            "judged": 100.0,
            "intents": {},
        }
    }
    again = replay([record], config(routing=routing))[0]
    assert (again.before, again.changed) == ("base", False)
    ignored = config(routing={**routing, "quality": {"gate_strength": 0}})
    assert replay([record], ignored)[0].after == f"adapter:returns@{LIVE[:12]}"

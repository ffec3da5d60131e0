"""A doubtful answer is replaced where a better one is worth its price; from outside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from router.admit.keys import hash_key
from tests.contract.client import ADMIN, chat, client
from tests.fakes.engine_speech import Says
from tests.fakes.frontier import FakeFrontier
from tests.fakes.talking_engine import TalkingEngine
from tests.fakes.tiny_adapter import BASE
from tests.fakes.whole_system import System, whole_system

BIG = "frontier:cloud/big"
DEAR, CHEAP = "a dear matter", "a cheap matter"
SURE, DOUBTFUL = -0.05, -2.0
BETTER = "This is certain"
SAID = "one two three four five six"
BEFORE, AFTER = 0.6, 0.95
"""What is expected of the base, and of the frontier."""


@pytest.fixture(scope="module")
def own_frontier() -> Iterator[FakeFrontier]:
    """It says what no base says."""
    with FakeFrontier(text=BETTER) as found:
        yield found


@pytest.fixture(scope="module")
def system(
    tmp_path_factory: pytest.TempPathFactory, own_frontier: FakeFrontier
) -> Iterator[System]:
    """A base that is asked first everywhere, a dearer frontier, and three worths of an answer."""
    price = {"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 2.0}
    keys = [
        {"name": name, "sha256": hash_key(f"key-{name}"), "tenant": tenant, "scopes": scopes}
        for name, tenant, scopes in (
            ("app", "acme", ["inference"]),
            ("kept", "kept", ["inference"]),
            ("ops", "acme", ["inference", "admin"]),
        )
    ]
    confidence = {"first_tokens": 3, "deadline_s": 60.0}
    router = {
        "providers": [
            {
                "name": "cloud",
                "base_url": own_frontier.openai_url,
                "models": [{"id": "big", **price}],
            }
        ],
        "auth": {"keys": keys},
        "auto": {
            "intents": [
                {"name": name, "keywords": [name]} for name in ("dear", "cheap", "strict", "plain")
            ]
        },
        "policy": {
            "rules": [
                {"name": "stays", "effect": "deny", "tenants": ["kept"], "targets": ["frontier:*"]}
            ]
        },
        "routing": {
            "frontiers": ["*"],
            "routes": {
                "dear": {"worth_usd": 0.001, "confidence": confidence},
                "cheap": {"worth_usd": 0.0005, "confidence": confidence},
                "strict": {"worth_usd": 0.0005, "confidence": {**confidence, "threshold": 0.9}},
                "plain": {"worth_usd": 0.001},
            },
            "quality": {
                "priors": [
                    {"targets": "base", "mean": BEFORE},
                    {"targets": "frontier:*", "mean": AFTER},
                ]
            },
        },
    }
    with whole_system(tmp_path_factory.mktemp("worth"), router, replicas=1) as running:
        yield running


@pytest.fixture
def engine(system: System) -> Iterator[TalkingEngine]:
    """What the base says, as a test wants it."""
    yield system.engines["engine-1"]
    system.forget()


@pytest.fixture
def app(system: System) -> Iterator[httpx.Client]:
    """An application."""
    with client(system, "app") as found:
        yield found


def says(engine: TalkingEngine, logprob: float) -> None:
    """The base's answers from now on."""
    engine.says[BASE.base_id] = Says(SAID, logprob)


def ask(http: httpx.Client, text: str, **more: Any) -> httpx.Response:
    """A request whose answer may have 200 tokens: so much the frontier is expected to cost."""
    found = chat(http, "auto", text, max_tokens=200, **more)
    assert found.status_code == 200, found.text
    return found


def record(system: System, answer: httpx.Response) -> dict[str, Any]:
    """What was decided about it."""
    with client(system, "ops") as boss:
        found = boss.get(f"{ADMIN}/decisions/{answer.headers['x-graftwork-decision-id']}")
    told: dict[str, Any] = found.json()
    return told


@pytest.mark.parametrize("stream", [False, True])
def test_a_doubtful_answer_is_replaced(
    system: System, engine: TalkingEngine, app: httpx.Client, stream: bool
) -> None:
    """Nothing of it was seen; both calls are paid; the record says what was weighed."""
    says(engine, DOUBTFUL)
    answer = ask(app, DEAR, stream=stream)
    assert answer.headers["x-graftwork-target"] == BIG
    assert answer.headers["x-graftwork-attempts"] == "2"
    assert "three" not in answer.text
    found = record(system, answer)
    assert [each["outcome"] for each in found["attempts"]] == ["escalated", "ok"]
    (told,) = found["assurance"]
    assert (found["decided"]["judging"]["by"], told["calibrated"]) == ("worth", False)
    assert told["expected"] == pytest.approx(BEFORE)
    assert told["probability"] < told["bar"] < BEFORE
    assert BIG in found["review"]
    assert found["cost_usd"] == pytest.approx(sum(a["cost_usd"] for a in found["attempts"]))


@pytest.mark.parametrize("stream", [False, True])
def test_a_sure_one_goes_out(
    system: System, engine: TalkingEngine, app: httpx.Client, stream: bool
) -> None:
    """The header is P of it, after what it said."""
    says(engine, SURE)
    answer = ask(app, DEAR, stream=stream)
    assert answer.headers["x-graftwork-target"] == "base"
    (told,) = record(system, answer)["assurance"]
    assert told["probability"] > BEFORE
    assert float(answer.headers["x-graftwork-confidence"]) == pytest.approx(
        told["probability"], abs=1e-4
    )


def test_what_is_worth_little_stays(
    system: System, engine: TalkingEngine, app: httpx.Client
) -> None:
    """The same doubt, half the worth: the better answer costs more than it gains."""
    says(engine, DOUBTFUL)
    answer = ask(app, CHEAP)
    assert answer.headers["x-graftwork-target"] == "base"
    found = record(system, answer)
    (told,) = found["assurance"]
    assert told["probability"] > told["bar"] > 0
    assert found["review"] is None
    assert float(answer.headers["x-graftwork-confidence"]) == pytest.approx(
        told["probability"], abs=1e-4
    )


def test_a_threshold_goes_before_worth(
    system: System, engine: TalkingEngine, app: httpx.Client
) -> None:
    """What an operator wrote holds, whatever it costs."""
    says(engine, DOUBTFUL)
    answer = ask(app, "a strict matter")
    assert answer.headers["x-graftwork-target"] == BIG
    found = record(system, answer)
    assert (found["decided"]["judging"]["by"], found["assurance"][0]["bar"]) == ("threshold", 0.9)


def test_without_confidence_nothing_is_judged(
    system: System, engine: TalkingEngine, app: httpx.Client
) -> None:
    """Worth alone decides before generation."""
    says(engine, DOUBTFUL)
    answer = ask(app, "a plain matter")
    assert answer.headers["x-graftwork-target"] == "base"
    found = record(system, answer)
    assert (found["assurance"], found["decided"]["judging"]) == ([], None)
    assert found["decided"]["worth_usd"] == 0.001


def test_the_decision_says_by_what(
    engine: TalkingEngine, app: httpx.Client, own_frontier: FakeFrontier
) -> None:
    """Before anybody is called: the worth, and P below which somebody else is asked."""
    engine.requests.clear()
    own_frontier.forget()
    body = {"model": "auto", "max_tokens": 200, "messages": [{"role": "user", "content": DEAR}]}
    told = app.post("/v1/decision", json=body).json()
    judging = told["decided"]["judging"]
    assert (judging["by"], judging["threshold"], judging["worth_usd"]) == ("worth", None, 0.001)
    assert (judging["stream"], judging["first_tokens"]) == ("first_tokens", 3)
    big = next(each for each in told["candidates"] if each["target"] == BIG)
    bar = big["quality"] - big["cost_usd"] / 0.001
    assert judging["below"] == {"base": pytest.approx(bar, abs=1e-5)}
    assert not [path for path, _ in engine.requests if path.startswith("/v1/")]
    assert own_frontier.requests == []


def test_policy_and_limits_hold(
    system: System, engine: TalkingEngine, app: httpx.Client, own_frontier: FakeFrontier
) -> None:
    """Who may not be asked, or is too dear for the client, is no remedy (laws 5 and 7)."""
    says(engine, DOUBTFUL)
    own_frontier.forget()
    with client(system, "kept") as kept:
        answer = ask(kept, DEAR)
    assert answer.headers["x-graftwork-target"] == "base"
    found = record(system, answer)
    assert (found["assurance"][0]["bar"], found["review"]) == (None, None)
    assert found["decided"]["judging"]["below"] == {}
    limited = ask(app, DEAR, headers={"x-graftwork-max-cost-usd": "0.0001"})
    assert limited.headers["x-graftwork-target"] == "base"
    assert own_frontier.requests == []

"""Virtual models: a name over a list of targets; and what answers when a named model cannot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.contract.client import (
    BODIES,
    Pushed,
    archive,
    chat,
    client,
    error_of,
    post_version,
    push,
    said,
)
from tests.fakes.engine_speech import Says
from tests.fakes.faults import Fault, Kind
from tests.fakes.frontier import FakeFrontier
from tests.fakes.whole_system import System, whole_system

_BROKEN = [Fault(Kind.STATUS, status=500)] * 4
_EVERYTHING = ["chat", "completions", "responses", "embeddings", "tools"]


def _provider(name: str, frontier: FakeFrontier, usd: float, **more: int) -> dict[str, Any]:
    price = {"input_usd_per_mtok": usd, "output_usd_per_mtok": usd}
    models = [{"id": "big", "capabilities": _EVERYTHING, **price, **more}]
    return {"name": name, "base_url": frontier.openai_url, "models": models}


@pytest.fixture(scope="module")
def dear() -> Iterator[FakeFrontier]:
    """A provider."""
    with FakeFrontier(text="I am dear") as running:
        yield running


@pytest.fixture(scope="module")
def cheap() -> Iterator[FakeFrontier]:
    """Another one."""
    with FakeFrontier(text="I am cheap") as running:
        yield running


@pytest.fixture(scope="module")
def system(
    tmp_path_factory: pytest.TempPathFactory, dear: FakeFrontier, cheap: FakeFrontier
) -> Iterator[System]:
    """Every strategy over the two providers, adapters and the base."""
    both = ["dear/big", "cheap/big"]
    models: dict[str, Any] = {
        "smart": {"targets": both},
        "split": {"targets": both, "strategy": "weighted", "weights": [3, 1]},
        "split-by-name": {
            "targets": both,
            "strategy": "weighted",
            "weights": {"cheap/big": 1, "dear/big": 0},
        },
        "frugal": {"targets": both, "strategy": "cheapest"},
        "quick": {"targets": both, "strategy": "fastest"},
        "mine": {"targets": ["returns", "base"]},
        "limited": {"targets": ["few/big", "brief/big", "cheap/big"]},
        "absent": {"targets": ["nobody"]},
        "own": {"targets": ["auto"]},
        "gpt-4o*": {"targets": ["returns", "cheap/big"]},
        "polite": {
            "targets": ["cheap/big"],
            "system": "Always be polite.",
            "parameters": {"temperature": 0.25, "max_tokens": 7},
        },
    }
    router = {
        "providers": [
            _provider("dear", dear, 10.0),
            _provider("cheap", cheap, 1.0),
            _provider("few", dear, 10.0, requests_per_minute=2),
            _provider("brief", dear, 10.0, tokens_per_minute=1),
        ],
        "models": models,
        "auto": {
            "intents": [{"name": "returns", "alias": "returns", "keywords": ["refund", "money"]}]
        },
        "routing": {"routes": {"*": {"worth_usd": 0.04, "risk": 0.5}}},
        "fallbacks": {"dear/big": ["cheap/big"]},
        "delivery": {
            "retry": {"same_target": 0, "backoff_s": 0.01, "backoff_max_s": 0.02, "wait_s": 0.01},
            "breaker": {"consecutive": 1000, "min_calls": 1000},
        },
    }
    with whole_system(tmp_path_factory.mktemp("virtual"), router) as running:
        yield running


@pytest.fixture(scope="module")
def http(system: System) -> Iterator[httpx.Client]:
    """An application's client."""
    with client(system) as found:
        yield found


@pytest.fixture(scope="module")
def returns(http: httpx.Client) -> Pushed:
    """A live adapter."""
    return push(http, "returns", 1)


@pytest.fixture(autouse=True)
def _nothing_is_left(system: System, dear: FakeFrontier, cheap: FakeFrontier) -> Iterator[None]:
    yield
    system.forget()
    dear.forget()
    cheap.forget()


def _target(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return answer.headers["x-graftwork-target"]


@pytest.mark.parametrize("path", BODIES)
def test_an_ordered_model_is_answered_by_its_first_target(http: httpx.Client, path: str) -> None:
    """In every API."""
    answer = http.post(path, json={"model": "smart", **BODIES[path]})
    assert _target(answer) == "frontier:dear/big"


def test_the_next_target_answers_when_the_first_cannot(
    http: httpx.Client, dear: FakeFrontier
) -> None:
    """And the decision says why each was where it was."""
    dear.misbehave(*_BROKEN)
    answer = chat(http, "smart")
    assert _target(answer) == "frontier:cheap/big"
    record = http.get(f"/admin/v1/decisions/{answer.headers['x-graftwork-decision-id']}").json()
    assert record["decided"]["how"] == "ordered"
    assert [each["target"] for each in record["attempts"]][-1] == "frontier:cheap/big"
    assert {each["code"] for each in record["candidates"]} == {"virtual"}


def test_nobody_but_its_targets_answers(
    http: httpx.Client, dear: FakeFrontier, cheap: FakeFrontier, system: System
) -> None:
    """Neither the base nor another frontier."""
    for each in (dear, cheap):
        each.misbehave(*_BROKEN)
    answer = chat(http, "smart")
    assert answer.status_code in {502, 503}
    assert system.asked() == []


def test_weights_share_requests_out_and_a_session_keeps_its_target(http: httpx.Client) -> None:
    """Three to one within what chance does to 200 draws; the results are told apart by variant."""
    drawn = Counter(_target(chat(http, "split")) for _ in range(200))
    assert 120 <= drawn["frontier:dear/big"] <= 178
    assert drawn.total() == 200
    for session in ("a", "b", "c", "d"):
        headers = {"x-graftwork-session": session}
        assert len({_target(chat(http, "split", headers=headers)) for _ in range(5)}) == 1
    named = {_target(chat(http, "split-by-name")) for _ in range(20)}
    assert named == {"frontier:cheap/big"}


def test_what_has_no_share_answers_only_in_need(http: httpx.Client, cheap: FakeFrontier) -> None:
    """A weight of nothing is a spare."""
    cheap.misbehave(*_BROKEN)
    assert _target(chat(http, "split-by-name")) == "frontier:dear/big"


def test_the_cheapest_answers_first(http: httpx.Client) -> None:
    """By what this request is expected to cost."""
    assert _target(chat(http, "frugal")) == "frontier:cheap/big"


def test_the_fastest_answers_first(http: httpx.Client, dear: FakeFrontier) -> None:
    """As measured; whoever was not measured yet is asked, to be measured."""
    for model in ("dear/big", "cheap/big"):
        for _ in range(12):
            dear.delay_s = 0.05 if model == "dear/big" else 0.0
            _target(chat(http, model))
    dear.delay_s = 0.0
    assert _target(chat(http, "quick")) == "frontier:cheap/big"


def test_each_target_has_its_own_limits(http: httpx.Client, dear: FakeFrontier) -> None:
    """What may not be asked now is not asked: the next answers, or 429 says when to come again."""
    answered = [_target(chat(http, "limited")) for _ in range(6)]
    assert (
        answered == ["frontier:few/big"] * 2 + ["frontier:brief/big"] + ["frontier:cheap/big"] * 3
    )
    assert len(dear.requests) == 3
    for alone in ("few/big", "brief/big"):
        refused = chat(http, alone, headers={"x-graftwork-timeout-ms": "2000"})
        assert refused.status_code in {429, 503}, refused.text
        assert 2 < float(refused.headers["retry-after"]) <= 300
    assert len(dear.requests) == 3


def test_adapters_and_the_base_may_be_targets(http: httpx.Client, returns: Pushed) -> None:
    """An alias is its live version."""
    assert _target(chat(http, "mine")) == returns.target
    assert _target(chat(http, "own")) == "base"


def test_auto_in_a_list_is_what_the_router_would_choose(
    http: httpx.Client, returns: Pushed
) -> None:
    """The intent's adapter, by the worth of the route, and the decision says by what; of models
    that do not leave it to the router nothing is read or ranked.
    """
    answer = chat(http, "own", "I want my money back")
    assert _target(answer) == returns.target
    assert answer.headers["x-graftwork-intent"] == "returns"
    record = http.get(f"/admin/v1/decisions/{answer.headers['x-graftwork-decision-id']}").json()
    assert record["intent"]["source"] == "keyword"
    assert (record["decided"]["worth_usd"], record["decided"]["risk"]) == (0.04, 0.5)
    assert "worth" in record["candidates"][0]["reason"]
    answer = chat(http, "smart", "I want my money back")
    assert answer.headers["x-graftwork-intent"] == "none"
    record = http.get(f"/admin/v1/decisions/{answer.headers['x-graftwork-decision-id']}").json()
    assert (record["decided"]["worth_usd"], record["decided"]["risk"]) == (None, None)


def test_an_intent_that_is_pinned_is_known_where_auto_chooses(
    http: httpx.Client, returns: Pushed
) -> None:
    """As for `auto` itself."""
    headers = {"x-graftwork-intent": "returns"}
    assert _target(chat(http, "own", "hello", headers=headers)) == returns.target
    refused = chat(http, "own", "hello", headers={"x-graftwork-intent": "nobody's"})
    assert refused.status_code == 400
    assert error_of(refused)["code"] == "unknown_intent"


def test_a_glob_takes_what_clients_have_hard_coded(http: httpx.Client, returns: Pushed) -> None:
    """But nothing that is really called so."""
    answer = chat(http, "gpt-4o-mini-2024-07-18")
    assert _target(answer) == returns.target
    assert said(answer) == f"I am {returns.name}"
    assert chat(http, "gpt-5").status_code == 404


def test_a_model_without_a_target_is_not_found(http: httpx.Client) -> None:
    """Until its adapter is pushed."""
    answer = chat(http, "absent")
    assert answer.status_code == 404
    assert error_of(answer)["code"] == "model_not_found"


def test_targets_that_exist_and_cannot_embed_are_not_missing(
    http: httpx.Client, returns: Pushed
) -> None:
    """The client is told what to change, not that nothing is there."""
    answer = http.post("/v1/embeddings", json={"model": "mine", "input": "Hello"})
    assert answer.status_code == 400, answer.text
    assert error_of(answer)["code"] == "unsupported_endpoint"
    assert "cannot embed" in error_of(answer)["message"]
    assert http.post("/v1/embeddings", json={"model": "absent", "input": "x"}).status_code == 404


def test_virtual_models_are_listed_and_globs_are_not(http: httpx.Client) -> None:
    """Each also alone."""
    listed = {each["id"]: each for each in http.get("/v1/models").json()["data"]}
    assert listed["smart"]["kind"] == "virtual"
    assert "gpt-4o*" not in listed
    assert http.get("/v1/models/smart").json()["id"] == "smart"


def test_no_alias_has_a_virtual_models_name(http: httpx.Client) -> None:
    """Refused at the push."""
    answer = post_version(http, "smart", archive(1))
    assert answer.status_code == 422
    assert "virtual model" in answer.text


def test_defaults_hold_where_the_request_says_nothing(
    http: httpx.Client, cheap: FakeFrontier
) -> None:
    """System text and parameters; a bound by whichever name counts as said."""
    chat(http, "polite")
    chat(http, "polite", temperature=1.0, max_completion_tokens=3)
    first, second = (each.body for each in cheap.requests)
    assert first["messages"][0] == {"role": "system", "content": "Always be polite."}
    assert (first["temperature"], first["max_tokens"]) == (0.25, 7)
    assert second["temperature"] == 1.0
    assert "max_tokens" not in second
    http.post("/v1/responses", json={"model": "polite", "input": "Hello"})
    assert cheap.requests[-1].body["max_output_tokens"] == 7
    assert cheap.requests[-1].body["instructions"] == "Always be polite."


def test_a_named_model_falls_back_as_configured(http: httpx.Client, dear: FakeFrontier) -> None:
    """And to nobody where nothing is configured."""
    dear.misbehave(*_BROKEN)
    assert _target(chat(http, "dear/big")) == "frontier:cheap/big"


def test_a_request_names_its_own_fallbacks(
    http: httpx.Client, cheap: FakeFrontier, returns: Pushed
) -> None:
    """In the body or in a header; a name that nothing has is the client's mistake."""
    cheap.misbehave(*_BROKEN)
    assert chat(http, "cheap/big").status_code >= 500
    cheap.misbehave(*_BROKEN)
    answer = chat(http, "cheap/big", graftwork={"fallbacks": ["returns", "base"]})
    assert _target(answer) == returns.target
    cheap.misbehave(*_BROKEN)
    answer = chat(http, "cheap/big", headers={"x-graftwork-fallbacks": "base"})
    assert _target(answer) == "base"
    answer = chat(http, "cheap/big", graftwork={"fallbacks": ["nobody"]})
    assert answer.status_code == 404
    for odd in ("", [""], [1], {"a": 1}, ["base"] * 17):
        answer = chat(http, "cheap/big", graftwork={"fallbacks": odd})
        assert answer.status_code == 400, odd


def test_a_requests_own_fallbacks_come_before_those_that_everybody_has(
    http: httpx.Client, system: System, returns: Pushed
) -> None:
    """An alias's are the base and the configured frontier; whoever is not asked for comes last."""
    for engine in system.engines.values():
        engine.says[returns.name] = Says(status=500)
    assert _target(chat(http, "returns")) == "base"
    own = {"fallbacks": ["cheap/big"]}
    assert _target(chat(http, "returns", graftwork=own)) == "frontier:cheap/big"
    pinned = chat(http, returns.name, graftwork={**own, "fallback": True})
    assert _target(pinned) == "frontier:cheap/big"


def test_fallbacks_that_do_not_count_are_named(http: httpx.Client, returns: Pushed) -> None:
    """A virtual model has its own list, a pin has none: the client hears that its own is not used.

    What does count has no warning.
    """
    own = {"fallbacks": ["base"]}
    for model in ("smart", "gpt-4o-mini", returns.name):
        answer = chat(http, model, graftwork=own)
        assert answer.status_code == 200, answer.text
        assert "graftwork.fallbacks (" in answer.headers["x-graftwork-warning"], model
        assert "x-graftwork-warning" not in chat(http, model).headers
    assert "x-graftwork-warning" not in chat(http, "returns", graftwork=own).headers
    pinned = chat(http, returns.name, graftwork={**own, "fallback": True})
    assert "x-graftwork-warning" not in pinned.headers


def test_a_virtual_models_list_is_not_extended(
    http: httpx.Client, dear: FakeFrontier, cheap: FakeFrontier
) -> None:
    """Where none of its targets can answer, nobody else does."""
    dear.misbehave(*_BROKEN)
    cheap.misbehave(*_BROKEN)
    assert chat(http, "smart", graftwork={"fallbacks": ["base"]}).status_code >= 500


@pytest.mark.parametrize(("status", "seconds"), [(429, "5"), (503, "1")])
def test_who_has_too_much_to_do_is_asked_again_later(
    http: httpx.Client, cheap: FakeFrontier, status: int, seconds: str
) -> None:
    """``Retry-After`` is there, also where the provider sends none."""
    cheap.misbehave(*[Fault(Kind.STATUS, status=status)] * 4)
    refused = chat(http, "cheap/big")
    assert (refused.status_code, refused.headers.get("retry-after")) == (status, seconds)


def test_a_pin_is_still_a_promise(http: httpx.Client, system: System, returns: Pushed) -> None:
    """Fallbacks do not answer for a version unless the client lets somebody do so."""
    absent = "returns@000000000000"
    assert chat(http, absent, graftwork={"fallbacks": ["base"]}).status_code == 404

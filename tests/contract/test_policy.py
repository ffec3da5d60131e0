"""Business rules from outside: put, evaluated, enforced, tried in the shadow, taken back."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from router.admit.keys import hash_key
from tests.contract.client import ADMIN, BODIES, chat, client, put_rules, until
from tests.contract.conftest import router_args
from tests.fakes.engine_speech import Says
from tests.fakes.frontier import FakeFrontier
from tests.fakes.identity_provider import AUDIENCE, ISSUER, IdentityProvider
from tests.fakes.whole_system import System, whole_system

CAP = """
facts: {loyalty: string}
rules:
  - id: discount-cap
    when: facts.loyalty != "gold"
    oblige: {kind: max_discount, percent: 20}
    examples:
      - given: {facts: {loyalty: silver}}
        answer: I can give you a quarter off.
        violates: true
  - id: no-legal
    when: tenant == "other"
    deny: Legal questions go to the legal team.
"""
LOCAL = """
rules:
  - id: stays-here
    when: tenant == "app"
    require: {local: true}
"""
_SOON_S = 2.0


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> IdentityProvider:
    """Where the company's people log in."""
    return IdentityProvider(tmp_path_factory.mktemp("people") / "jwks.json")


@pytest.fixture(scope="module")
def ruled(
    tmp_path_factory: pytest.TempPathFactory, frontier: FakeFrontier, people: IdentityProvider
) -> Iterator[System]:
    """A system whose rules nobody else changes."""
    scopes = {"app": ["inference"], "other": ["inference"], "ops": ["inference", "admin"]}
    keys = [
        {"name": name, "sha256": hash_key(f"key-{name}"), "tenant": name, "scopes": found}
        for name, found in scopes.items()
    ]
    tokens = {
        "name": "acme",
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "jwks_file": str(people.jwks_file),
        "subject_claim": "sub",
        "claims": ["department"],
    }
    args = {**router_args(frontier), "auth": {"keys": keys, "tokens": [tokens]}}
    args["auto"]["intents"].append({"name": "weather", "keywords": ["weather"]})
    args["trust"] = {"facts": ["app"], "headers": {"x-tier": "tier"}, "intents": ["ops"]}
    with whole_system(tmp_path_factory.mktemp("ruled"), args) as running:
        yield running


@pytest.fixture
def boss(ruled: System) -> Iterator[httpx.Client]:
    """Who makes the rules; none are left behind."""
    with client(ruled, "ops") as found:
        yield found
        put_rules(found, "rules: []")
        ruled.forget()


@pytest.fixture
def asker(ruled: System) -> Iterator[httpx.Client]:
    """Whom they are about."""
    with client(ruled, "app") as found:
        yield found


def put(boss: httpx.Client, rules: str, **query: str) -> httpx.Response:
    """Put a rules file."""
    headers = {"content-type": "application/yaml"}
    return boss.put(f"{ADMIN}/policy", content=rules.encode(), params=query, headers=headers)


def test_rules_hold_within_two_seconds_of_their_acceptance(
    boss: httpx.Client, ruled: System
) -> None:
    """A denied request is told the rule's reason, in the shape of the API that was called."""
    accepted = put(boss, CAP)
    assert accepted.status_code == 200, accepted.text
    version, deadline = accepted.json()["version"], time.monotonic() + _SOON_S
    with client(ruled, "other") as other:
        # A request that began before it may be answered long after it.
        while (began := time.monotonic()) and (answer := chat(other, "base")).status_code != 403:
            assert began < deadline, answer.text
            time.sleep(0.02)
            ruled.forget()
        error = answer.json()["error"]
        assert error["code"] == "policy_denied"
        assert "Legal questions go to the legal team." in error["message"]
        assert answer.headers["x-graftwork-policy"] == "discount-cap,no-legal"
        body = {"model": "base", "max_tokens": 8, "messages": [{"role": "user", "content": "x"}]}
        refused = other.post("/v1/messages", json=body)
        assert refused.status_code == 403
        assert refused.json()["error"]["type"] == "permission_error"
    assert len(version) == 64
    shown = boss.get(f"{ADMIN}/policy").json()
    assert shown["active"]["version"] == version
    assert shown["active"]["source"] == CAP
    assert shown["shadow"] is None
    assert not ruled.asked()


@pytest.mark.parametrize(
    ("header", "more"),
    [
        ("ann", {}),
        (None, {"graftwork": {"subject": "ann"}}),
        (None, {"user": "ann"}),
        (None, {"safety_identifier": "ann"}),
        (None, {"metadata": {"user_id": "ann"}}),
    ],
)
def test_a_rule_about_a_person_holds_wherever_he_is_named(
    boss: httpx.Client, asker: httpx.Client, header: str | None, more: dict[str, Any]
) -> None:
    """In the header, its twin in the body, or a field of one of the APIs."""
    put_rules(boss, 'rules: [{id: not-ann, when: subject == "ann", deny: Ann does not want it.}]')
    headers = {} if header is None else {"x-graftwork-subject": header}
    assert chat(asker, "base", user="ann").status_code == 403
    answer = chat(asker, "base", headers=headers, **more)
    assert answer.status_code == 403, answer.text
    assert answer.headers["x-graftwork-policy"] == "not-ann"
    assert chat(asker, "base", user="bob").status_code == 200


def test_evaluate_says_what_rules_say(boss: httpx.Client) -> None:
    """Effect, rules, obligations, and what an answer violates."""
    put_rules(boss, CAP)
    question = {"tenant": "app", "intent": "returns", "facts": {"loyalty": "silver"}}
    answer = boss.post(
        f"{ADMIN}/policy/evaluate", json={**question, "answer": "Take 25 % off your next order."}
    )
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["effect"] == "allow"
    assert found["rules"] == ["discount-cap"]
    assert found["obligations"] == [{"rule": "discount-cap", "kind": "max_discount", "percent": 20}]
    assert [each["rule"] for each in found["violations"]] == ["discount-cap"]
    denied = boss.post(f"{ADMIN}/policy/evaluate", json={"tenant": "other"}).json()
    assert denied["effect"] == "deny"
    assert denied["violations"] == []


@pytest.mark.parametrize(
    ("source", "status", "line", "rule"),
    [
        ("rules:\n  - id: a\n    deny: x\n    when: tenant < 3\n", 422, 4, "a"),
        ("rules:\n  - id: a\n    deny: x\n    deny: y\n", 422, 4, None),
        ("rules:\n  - id: a\n    forbid: x\n", 422, 3, "a"),
        ("a: &x 1\nrules: []\n", 422, 1, None),
        ("rules: []\n---\nrules: []\n", 422, 2, None),
        ("rules:\n  - id: a\n    deny: x\n    when: 'false'\n    examples: [{}]\n", 422, 5, "a"),
        ("[" * 40_000, 422, 1, None),
        ("{" * 51, 422, 1, None),
        ("rules: [}", 422, 1, None),
        ("# " + "x" * (1024 * 1024), 413, None, None),
    ],
    ids=[
        "type",
        "twice",
        "field",
        "alias",
        "documents",
        "example",
        "deep",
        "deeper",
        "yaml",
        "large",
    ],
)
def test_bad_rules_are_refused_with_rule_and_line(
    boss: httpx.Client, source: str, status: int, line: int | None, rule: str | None
) -> None:
    """At once, whatever they are; what held before holds."""
    before = put_rules(boss, CAP)["version"]
    began = time.monotonic()
    answer = put(boss, source)
    assert time.monotonic() - began < 20
    assert answer.status_code == status, answer.text
    assert boss.get(f"{ADMIN}/policy").json()["active"]["version"] == before
    if line is not None:
        errors = answer.json()["errors"]
        assert {"rule", "line", "message"} == set(errors[0])
        assert (rule, line) in {(each["rule"], each["line"]) for each in errors}


def test_an_unreachable_rule_and_a_conflict_are_named(boss: httpx.Client) -> None:
    """Not refused: somebody may be about to write the rest."""
    told = put_rules(
        boss,
        "rules:\n"
        '  - {id: never, when: tenant == "a" && tenant == "b", deny: x}\n'
        '  - {id: here, when: tenant == "c", require: {local: true}}\n'
        '  - {id: there, when: tenant == "c", require: {local: false}}\n',
    )["warnings"]
    assert {each["rule"] for each in told} == {"never", "there"}


def test_a_requirement_narrows_who_may_answer(
    boss: httpx.Client, asker: httpx.Client, ruled: System, frontier: FakeFrontier
) -> None:
    """Nobody else is asked, also when who is left fails (law 5)."""
    put_rules(boss, LOCAL)
    denied = chat(asker, "cloud/big")
    assert denied.status_code == 403
    assert denied.json()["error"]["code"] == "policy_denied"
    for engine in ruled.engines.values():
        engine.says["tiny-llama"] = Says(status=500)
    failed = chat(asker, "auto")
    assert failed.status_code in {200, 502, 503}
    assert not frontier.requests


def test_a_shadow_changes_nothing_and_is_counted(boss: httpx.Client, asker: httpx.Client) -> None:
    """What it would have done is counted and listed; promoted it holds, rolled back it does not."""
    first = put_rules(boss, "rules: []")["version"]
    second = put_rules(boss, LOCAL, stage="shadow")["version"]
    shown = boss.get(f"{ADMIN}/policy").json()
    assert (shown["active"]["version"], shown["shadow"]["version"]) == (first, second)

    def differing() -> dict[str, Any]:
        answer = chat(asker, "cloud/big")
        assert answer.status_code == 200
        assert "x-graftwork-policy" not in answer.headers
        found: dict[str, Any] = boss.get(f"{ADMIN}/policy/shadow").json()
        return found if found["differing"] else {}

    told = until(differing)
    assert set(told["differing"]) == {"allow -> require"}
    assert told["newest"][0]["shadow"] == ["stays-here"]
    assert boss.post(f"{ADMIN}/policy/promote").json()["active"] == second
    until(lambda: chat(asker, "cloud/big").status_code == 403)
    assert boss.post(f"{ADMIN}/policy/rollback").json()["active"] == first
    until(lambda: chat(asker, "cloud/big").status_code == 200)
    moves = boss.get(f"{ADMIN}/policy/history").json()["data"]
    assert [each["action"] for each in moves[:3]] == ["rollback", "promote", "shadow"]
    assert {each["actor"] for each in moves} == {"ops"}


def test_differences_between_versions_are_shown(boss: httpx.Client) -> None:
    """Line by line."""
    first, second = (put_rules(boss, rules)["version"] for rules in (CAP, LOCAL))
    answer = boss.get(f"{ADMIN}/policy/diff", params={"from": first, "to": second}).json()
    assert "-  - id: no-legal\n" in answer["diff"]
    assert "+  - id: stays-here\n" in answer["diff"]


def test_facts_count_only_from_trusted_keys(
    boss: httpx.Client, asker: httpx.Client, ruled: System
) -> None:
    """Another key's are as if nobody had said anything."""
    put_rules(boss, 'rules: [{id: gold-only, when: facts.tier != "gold", deny: Gold only.}]')
    body: dict[str, Any] = {"graftwork": {"facts": {"tier": "gold"}}}
    assert chat(asker, "base", **body).status_code == 200
    with client(ruled, "ops") as other:
        assert chat(other, "base", **body).status_code == 403


def test_headers_of_a_trusted_keys_gateway_are_facts(
    boss: httpx.Client, asker: httpx.Client, ruled: System
) -> None:
    """They go before what the body says; another key's are nothing."""
    put_rules(boss, 'rules: [{id: gold-only, when: facts.tier != "gold", deny: Gold only.}]')
    gold, silver = {"x-tier": "gold"}, {"x-tier": "silver"}
    assert chat(asker, "base", headers=gold).status_code == 200
    body: dict[str, Any] = {"graftwork": {"facts": {"tier": "gold"}}}
    assert chat(asker, "base", headers=silver, **body).status_code == 403
    with client(ruled, "ops") as other:
        assert chat(other, "base", headers=gold).status_code == 403


def test_claims_of_tokens_are_what_rules_may_know(
    boss: httpx.Client, ruled: System, people: IdentityProvider
) -> None:
    """Of the holder of a signed token, who is in no log by name."""
    put_rules(boss, 'rules: [{id: s, when: claims.department == "sales", deny: Not for sales.}]')
    for department, status in (("sales", 403), ("returns", 200)):
        token = people.token(sub="ann@acme.example", department=department)
        answer = chat(boss, "base", headers={"authorization": f"Bearer {token}"})
        assert answer.status_code == status, answer.text
        decision = answer.headers["x-graftwork-decision-id"]
        record = boss.get(f"{ADMIN}/decisions/{decision}")
        assert record.json()["caller"] == "acme"
        assert "ann@" not in record.text
    late = people.token(exp=time.time() - 3600)
    answer = chat(boss, "base", headers={"authorization": f"Bearer {late}"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "token_expired")


def test_an_intent_counts_only_from_trusted_keys(boss: httpx.Client, asker: httpx.Client) -> None:
    """Another key's is ignored: what the text says is what is recognised."""
    stated = {"x-graftwork-intent": "weather"}
    ignored = chat(asker, "auto", "I want a refund", headers=stated)
    assert ignored.headers["x-graftwork-intent"] == "returns"
    taken = chat(boss, "auto", "I want a refund", headers=stated)
    assert taken.headers["x-graftwork-intent"] == "weather"


def test_a_stated_intent_never_widens_what_the_recognised_one_permits(
    boss: httpx.Client,
) -> None:
    """A trusted key's neither."""
    put_rules(boss, 'rules: [{id: none-back, when: intent == "returns", deny: No refunds.}]')
    stated = {"x-graftwork-intent": "weather"}
    assert chat(boss, "auto", "I want a refund", headers=stated).status_code == 403
    assert chat(boss, "auto", "What will it be like?", headers=stated).status_code == 200
    assert chat(boss, "base", "I want a refund", headers=stated).status_code == 403


def test_rules_know_what_personal_data_is_in_a_request(
    boss: httpx.Client, asker: httpx.Client, frontier: FakeFrontier
) -> None:
    """And keep it from whom they say."""
    put_rules(
        boss,
        "rules:\n  - {id: bank-data-stays, when: '\"IBAN\" in entities', require: {local: true}}\n",
    )
    text = "Please pay to DE89 3704 0044 0532 0130 00."
    denied = chat(asker, "cloud/big", text)
    assert denied.status_code == 403, denied.text
    assert denied.headers["x-graftwork-policy"] == "bank-data-stays"
    assert not frontier.requests
    assert chat(asker, "base", text).status_code == 200
    assert chat(asker, "cloud/big", "Hello").status_code == 200


def test_a_dry_run_says_what_rules_say(boss: httpx.Client, asker: httpx.Client) -> None:
    """Each candidate with the rule that strikes it out."""
    put_rules(boss, LOCAL)
    body = {"model": "auto", "messages": [{"role": "user", "content": "Hello"}]}
    told = asker.post("/v1/decision", json=body).json()
    assert told["decided"]["policy"]["rules"] == ["stays-here"]
    struck = {each["target"]: each for each in told["candidates"] if not each["allowed"]}
    assert struck["frontier:cloud/big"]["code"] == "policy_denied"
    assert "stays-here" in struck["frontier:cloud/big"]["reason"]


def test_an_instruction_reaches_the_model_on_every_endpoint(
    boss: httpx.Client, asker: httpx.Client, ruled: System
) -> None:
    """As a system text, or before the prompt."""
    put_rules(boss, "rules: [{id: polite, instruct: Always be polite.}]")
    calls: dict[str, dict[str, Any]] = {
        "/v1/chat/completions": {"messages": [{"role": "user", "content": "x"}]},
        "/v1/completions": {"prompt": "x"},
        "/v1/responses": {"input": "x"},
        "/v1/messages": {"messages": [{"role": "user", "content": "x"}], "max_tokens": 8},
    }
    for path, body in calls.items():
        assert asker.post(path, json={"model": "base", **body}).status_code == 200
    seen = [str(body) for engine in ruled.engines.values() for _, body in engine.requests]
    assert len([each for each in seen if "Always be polite." in each]) == len(calls)


def test_a_review_before_answers_202_and_asks_nobody(
    boss: httpx.Client, asker: httpx.Client, ruled: System
) -> None:
    """With the review's id; the decision names the rule."""
    put_rules(boss, "rules: [{id: look-first, review: before}]")
    answer = chat(asker, "base")
    assert answer.status_code == 202, answer.text
    assert answer.json()["id"].startswith("rev")
    assert answer.headers["x-graftwork-policy"] == "look-first"
    assert not ruled.asked()
    found = boss.get(f"{ADMIN}/decisions/{answer.headers['x-graftwork-decision-id']}").json()
    assert found["decided"]["policy"]["review"] == "before"
    assert found["decided"]["policy"]["reviewed_for"] == ["look-first"]


def test_a_review_after_delivers_the_answer_and_is_announced(
    boss: httpx.Client, asker: httpx.Client
) -> None:
    """Within seconds, as an event that names the decision and the rule; a dry run wants none."""
    put_rules(boss, "rules: [{id: have-a-look, review: true}]")
    asked = "Have you got it in blue?"
    with boss.stream("GET", f"{ADMIN}/events") as stream:
        lines = stream.iter_lines()
        assert next(lines) == ": connected"
        body = {"model": "base", "messages": [{"role": "user", "content": asked}]}
        assert asker.post("/v1/decision", json=body).status_code == 200
        answer = chat(asker, "base", asked)
        assert answer.status_code == 200
        assert answer.headers["x-graftwork-policy"] == "have-a-look"
        decision = answer.headers["x-graftwork-decision-id"]
        told = (json.loads(each[6:]) for each in lines if each.startswith("data: "))
        data = next(each for each in told if each.get("decision_id") == decision)
    assert data["kind"] == "review"
    assert data["rules"] == ["have-a-look"]
    assert data["state"] == "open"


def test_a_change_of_rules_is_an_event_and_on_record(boss: httpx.Client) -> None:
    """Of kind ``policy``, with who did it."""
    with boss.stream("GET", f"{ADMIN}/events") as stream:
        lines = stream.iter_lines()
        assert next(lines) == ": connected"
        version = put_rules(boss, LOCAL)["version"]
        told = [next(line for line in lines if line.startswith(part)) for part in ("event", "data")]
    assert told[0] == "event: policy"
    assert version in told[1]
    records = boss.get(f"{ADMIN}/audit", params={"kind": "policy", "limit": "1000"}).json()["data"]
    assert records[-1]["actor"] == "ops"
    assert records[-1]["kind"] == "policy"


# Obligations

CAPPED = "rules: [{id: cap, oblige: {kind: max_discount, percent: 20}}]"
TOO_MUCH = "Sure! You get a quarter off your next order, and thank you for asking us today."
FINE = "Sure! You get 15 percent off your next order, and thank you for asking us today."


class Turns(dict[str, Says]):
    """What an engine says, one answer after the other; the last one for ever."""

    def __init__(self, *texts: str) -> None:
        super().__init__()
        self._texts = list(texts)

    def get(self, model: str, default: Any = None) -> Any:
        """The next answer."""
        text = self._texts.pop(0) if len(self._texts) > 1 else self._texts[0]
        return Says(text)

    def clear(self) -> None:
        """Nothing more to say."""


@pytest.fixture
def says(ruled: System) -> Iterator[Callable[..., None]]:
    """Have both engines say this, together one answer after the other."""
    before = [engine.says for engine in ruled.engines.values()]

    def say(*texts: str) -> None:
        turns = Turns(*texts)
        for engine in ruled.engines.values():
            engine.says = turns

    yield say
    for engine, found in zip(ruled.engines.values(), before, strict=True):
        engine.says = found


@pytest.mark.parametrize("path", list(BODIES))
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_an_answer_that_breaks_a_rule_is_asked_for_again_with_the_reason(
    boss: httpx.Client,
    asker: httpx.Client,
    ruled: System,
    says: Callable[..., None],
    path: str,
    stream: bool,
) -> None:
    """Once; the client sees the second answer and nothing of the first."""
    put_rules(boss, CAPPED)
    says(TOO_MUCH, FINE)
    answer = asker.post(path, json={"model": "base", "stream": stream, **BODIES[path]})
    assert answer.status_code == 200, answer.text
    assert "quarter" not in answer.text
    assert "15" in answer.text
    bodies = [str(body) for engine in ruled.engines.values() for _, body in engine.requests]
    assert len(bodies) == 2
    assert len([body for body in bodies if "was not acceptable" in body]) == 1


def test_who_breaks_a_rule_twice_is_replaced(
    boss: httpx.Client,
    asker: httpx.Client,
    ruled: System,
    says: Callable[..., None],
    frontier: FakeFrontier,
) -> None:
    """By the next permitted target; every call is on the bill and in the decision."""
    put_rules(boss, CAPPED)
    says(TOO_MUCH)
    answer = chat(asker, "auto")
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-graftwork-target"] == "frontier:cloud/big"
    assert answer.headers["x-graftwork-attempts"] == "3"
    found = boss.get(f"{ADMIN}/decisions/{answer.headers['x-graftwork-decision-id']}").json()
    assert [each["outcome"] for each in found["attempts"]] == ["violated", "violated", "ok"]
    assert len(ruled.asked()) == 2


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_an_obligation_that_nobody_keeps_ends_as_policy_denied(
    boss: httpx.Client, asker: httpx.Client, says: Callable[..., None], stream: bool
) -> None:
    """And nothing of the answer leaves."""
    put_rules(boss, CAPPED)
    says(TOO_MUCH)
    answer = chat(asker, "base", stream=stream)
    assert answer.status_code == 403, answer.text
    assert answer.json()["error"]["code"] == "policy_denied"
    assert "quarter" not in answer.text
    assert answer.headers["x-graftwork-policy"] == "cap"


def test_a_stream_that_breaks_a_rule_late_ends_with_an_error_event(
    boss: httpx.Client, asker: httpx.Client, says: Callable[..., None]
) -> None:
    """Before the offending bytes leave, and without a stop."""
    put_rules(boss, CAPPED)
    says("Thank you for asking us, dear customer. " * 20 + TOO_MUCH)
    answer = chat(asker, "base", stream=True)
    assert answer.status_code == 200
    assert "policy_denied" in answer.text
    assert "quarter" not in answer.text
    assert '"finish_reason":"stop"' not in answer.text.replace(" ", "")

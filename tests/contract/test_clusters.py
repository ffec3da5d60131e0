"""Clusters from outside: what is answered poorly is grouped, made an intent, dismissed, undone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from router.admit.keys import hash_key
from serving.cli.main import app
from tests.contract.client import ADMIN, chat, client, error_of, put_rules, until
from tests.contract.conftest import router_args
from tests.contract.test_erasures import erase, holding
from tests.fakes.frontier import FakeFrontier
from tests.fakes.whole_system import System, whole_system

CLUSTERS = f"{ADMIN}/clusters"
FIELDS = {"id", "name", "examples", "volume", "cost_usd", "trend"}
MODEL = "cloud/big"
WEATHER = (
    "What will the weather be like in Oslo tomorrow?",
    "Is it going to rain in Oslo on Saturday?",
    "Will it be sunny in Oslo this weekend?",
    "Tell me tomorrow's weather forecast for Oslo.",
)
GIFT = (
    "Can I pay with a gift card?",
    "How do I redeem my gift card at checkout?",
    "My gift card code is not accepted.",
    "What is the balance of my gift card?",
    "Do your gift cards expire?",
)


@pytest.fixture(scope="module")
def clustered(tmp_path_factory: pytest.TempPathFactory, frontier: FakeFrontier) -> Iterator[System]:
    """A system whose tenants consent, with intents of its own."""
    keys = [
        {"name": name, "sha256": hash_key(f"key-{name}"), "tenant": "acme", "scopes": scopes}
        for name, scopes in {
            "app": ["inference"],
            "ops": ["inference", "admin"],
            "reviewer": ["reviewer"],
        }.items()
    ]
    args = {
        **router_args(frontier),
        "auth": {"keys": keys},
        "capture": {"tenants": {"acme": {"consent": True, "share": 0.0}}},
    }
    with whole_system(tmp_path_factory.mktemp("clustered"), args) as running:
        yield running


@pytest.fixture
def boss(clustered: System) -> Iterator[httpx.Client]:
    """An operator."""
    with client(clustered, "ops") as found:
        yield found


@pytest.fixture
def asker(clustered: System) -> Iterator[httpx.Client]:
    """An application."""
    with client(clustered, "app") as found:
        yield found


def rows(boss: httpx.Client, **query: str) -> list[dict[str, Any]]:
    """All clusters."""
    answer = boss.get(CLUSTERS, params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


def dislikes(asker: httpx.Client, text: str, **headers: str) -> str:
    """Ask, and say that the answer was bad; the decision."""
    answer = chat(asker, MODEL, text, headers=headers)
    assert answer.status_code == 200, answer.text
    decision: str = answer.headers["x-graftwork-decision-id"]
    said = {"decision_id": decision, "kind": "boolean", "value": False}
    assert asker.post("/v1/feedback", json=said).status_code == 200
    return decision


def about(boss: httpx.Client, texts: tuple[str, ...], **query: str) -> dict[str, Any] | None:
    """The cluster of these texts, when all are in it."""
    for row in rows(boss, **query):
        if row["volume"] >= len(texts) and row["name"] in texts:
            return row
    return None


def test_what_is_answered_poorly_is_grouped(boss: httpx.Client, asker: httpx.Client) -> None:
    """By what is asked; a good answer is in no cluster."""
    for text in (*WEATHER, *GIFT):
        dislikes(asker, text)
    chat(asker, MODEL, "Will it snow in Oslo on Sunday?")
    weather = until(lambda: about(boss, WEATHER))
    gift = until(lambda: about(boss, GIFT))
    assert weather.keys() >= FIELDS
    assert set(weather["examples"]) == set(WEATHER)
    assert weather["volume"] == len(WEATHER)
    assert weather["cost_usd"] > 0
    assert weather["trend"] == len(WEATHER)
    assert gift["id"] != weather["id"]
    one = boss.get(f"{CLUSTERS}/{weather['id']}").json()
    assert len(one["exchanges"]) == len(WEATHER)
    assert one["history"] == []
    assert [row["volume"] for row in rows(boss)] == [len(GIFT), len(WEATHER)]
    first = boss.get(CLUSTERS, params={"limit": 1}).json()
    second = boss.get(CLUSTERS, params={"limit": 1, "cursor": first["next"]}).json()
    assert [row["id"] for row in first["data"] + second["data"]] == [gift["id"], weather["id"]]


def test_a_frontier_that_struggles_is_reviewed_first(
    boss: httpx.Client, asker: httpx.Client
) -> None:
    """By negative feedback, and by its own words."""
    chat(asker, MODEL, "say I'm sorry, but I can't help with that question about Mars.")

    def refused() -> dict[str, Any] | None:
        found = boss.get(f"{ADMIN}/reviews", params={"state": "open"}).json()["data"]
        fitting = [each for each in found if "Mars" in str(each["exchange"])]
        return fitting[0] if fitting else None

    review = until(refused)
    assert "refused" in str(review)


def test_what_is_asked_again_is_reviewed(boss: httpx.Client, asker: httpx.Client) -> None:
    """The answer to the first wording was not enough; the one to the second is a candidate."""
    session = {"x-graftwork-session": "s-1"}
    for text in (
        "say How long does a bank transfer abroad take?",
        "say When does money arrive that I transfer abroad?",
        "What colours does the tent come in?",
    ):
        assert chat(asker, MODEL, text, headers=session).status_code == 200

    def asked_again() -> dict[str, Any] | None:
        found = boss.get(f"{ADMIN}/reviews", params={"state": "open"}).json()["data"]
        fitting = [each for each in found if "How long does a bank" in str(each["exchange"])]
        return fitting[0] if fitting else None

    review = until(asked_again)["id"]

    def candidate() -> bool:
        found = boss.get(f"{ADMIN}/reviews/{review}").json()
        assert "asked_again" in str(found)
        answers = [each["answer"] for each in found["candidates"]]
        return "When does money arrive that I transfer abroad?" in answers

    until(candidate)


def test_what_nobody_could_answer_within_the_rules_is_kept(
    boss: httpx.Client, asker: httpx.Client
) -> None:
    """Without the answers that broke them."""
    rules = """
rules:
  - id: cap
    oblige: {kind: max_discount, percent: 20}
"""
    put_rules(boss, rules)
    refused = chat(asker, MODEL, "say Take 55 % off, dear capybara.")
    assert refused.status_code == 403, refused.text
    put_rules(boss, "rules: []")

    def kept() -> list[dict[str, Any]]:
        found = boss.get(f"{ADMIN}/exchanges").json()["data"]
        return [each for each in found if "capybara" in str(each["request"])]

    (row,) = until(kept)
    assert "violated" in row["signals"]
    assert row["response"] == ""


def test_one_becomes_an_intent_and_is_undone(
    clustered: System, boss: httpx.Client, asker: httpx.Client
) -> None:
    """Routers learn it; its exchanges have it and are reviewed."""
    gift = until(lambda: about(boss, GIFT))
    path = f"{CLUSTERS}/{gift['id']}/intent"
    assert decided(asker, "May I use a gift card to pay?") != "gift_cards"
    made = boss.post(path, json={"name": "gift_cards"})
    assert made.status_code == 201, made.text
    assert made.json()["state"] == "intent"
    assert made.json()["intent"] == made.json()["alias"] == "gift_cards"
    assert made.json()["exchanges"] == len(GIFT)
    until(lambda: decided(asker, "May I use a gift card to pay?") == "gift_cards")
    exchanges = boss.get(f"{ADMIN}/exchanges", params={"intent": "gift_cards"}).json()["data"]
    assert {each["request"]["messages"][-1]["content"] for each in exchanges} == set(GIFT)

    def queue() -> bool:
        query = {"intent": "gift_cards", "state": "open"}
        found = boss.get(f"{ADMIN}/reviews", params=query).json()["data"]
        return len(found) == len(GIFT)

    until(queue)
    assert boss.post(path, json={"name": "gift_cards"}).status_code == 201
    assert boss.post(path, json={"name": "others"}).status_code == 409
    assert boss.post(f"{CLUSTERS}/{gift['id']}/dismiss").status_code == 409
    dislikes(asker, "Is there a fee for using gift cards?")
    until(lambda: len(boss.get(f"{CLUSTERS}/{gift['id']}").json()["exchanges"]) == len(GIFT) + 1)
    undone = boss.delete(path)
    assert undone.status_code == 200, undone.text
    assert undone.json()["state"] == "open"
    until(lambda: decided(asker, "May I use a gift card to pay?") != "gift_cards")
    assert boss.delete(path).status_code == 409
    history = boss.get(f"{CLUSTERS}/{gift['id']}").json()["history"]
    assert [each["action"] for each in history] == ["intent-undone", "intent"]
    assert {each["actor"] for each in history} == {"ops"}


def decided(asker: httpx.Client, text: str) -> str | None:
    """The intent that a text has."""
    body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
    answer = asker.post("/v1/decision", json=body)
    assert answer.status_code == 200, answer.text
    found = answer.json()["intent"]
    name: str | None = found["name"] if isinstance(found, dict) else found
    return name


def test_one_dismissed_does_not_come_back(boss: httpx.Client, asker: httpx.Client) -> None:
    """It is listed on request only, and can be shown again."""
    weather = until(lambda: about(boss, WEATHER))
    path = f"{CLUSTERS}/{weather['id']}/dismiss"
    assert boss.post(path).json()["state"] == "dismissed"
    dislikes(asker, "What is the temperature in Oslo going to be on Monday?")

    def grown() -> bool:
        (row,) = rows(boss, state="dismissed")
        return bool(row["volume"] == len(WEATHER) + 1)

    until(grown)
    assert about(boss, WEATHER) is None
    assert weather["id"] in {row["id"] for row in rows(boss, state="all")}
    assert boss.delete(path).json()["state"] == "open"
    assert about(boss, (*WEATHER, "What is the temperature in Oslo going to be on Monday?"))


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/clu_nobody", None, 404),
        ("POST", "/clu_nobody/intent", {"name": "x"}, 404),
        ("DELETE", "/clu_nobody/intent", None, 404),
        ("POST", "/clu_nobody/dismiss", None, 404),
        ("POST", "/clu_nobody/intent", {}, 400),
        ("POST", "/clu_nobody/intent", {"name": ""}, 400),
        ("POST", "/clu_nobody/intent", {"name": "a\nb"}, 400),
        ("POST", "/clu_nobody/intent", {"name": "none"}, 400),
        ("POST", "/clu_nobody/intent", {"name": "x" * 129}, 400),
        ("POST", "/clu_nobody/intent", {"name": "x", "alias": "NOT AN ALIAS"}, 400),
        ("POST", "/clu_nobody/intent", {"name": "x", "alias": "auto"}, 400),
        ("POST", "/clu_nobody/intent", {"name": "x", "unknown": 1}, 400),
        ("GET", "?state=other", None, 400),
        ("GET", "?limit=0", None, 400),
        ("GET", "?cursor=%21", None, 400),
    ],
)
def test_wrong_input(
    boss: httpx.Client, method: str, path: str, body: dict[str, Any] | None, status: int
) -> None:
    """Each is told what is wrong."""
    answer = boss.request(method, CLUSTERS + path, json=body)
    assert answer.status_code == status, answer.text
    error_of(answer)


def test_the_command_line_says_the_same(clustered: System, boss: httpx.Client) -> None:
    """List, show, make an intent, undo, dismiss, undo; and what is wrong."""
    cluster = until(lambda: about(boss, GIFT))["id"]
    environ = {"GRAFTWORK_URL": clustered.url, "GRAFTWORK_API_KEY": "key-ops", "COLUMNS": "300"}

    def run(*words: str, status: int = 0) -> str:
        result = CliRunner(env=environ).invoke(app, ["clusters", *words])
        assert result.exit_code == status, result.output
        return str(result.output)

    def told(*words: str) -> Any:
        """Its JSON."""
        return json.loads(run(*words, "--json"))

    listed = told("list")
    assert cluster in {row["id"] for row in listed["data"]}
    assert cluster in run("list")
    assert GIFT[0] in run("show", cluster)
    assert told("show", cluster)["id"] == cluster
    assert told("intent", cluster, "gifts")["intent"] == "gifts"
    assert "gifts" in run("intent", cluster, "gifts")
    assert "open" in run("intent", cluster, "--undo")
    assert "dismissed" in run("dismiss", cluster)
    assert cluster in run("list", "--state", "dismissed")
    assert cluster not in run("list")
    assert "open" in run("dismiss", cluster, "--undo")
    assert "clusters list" in run("show", "clu_nobody", status=1)
    run("intent", cluster, status=2)
    run("intent", cluster, "gifts", "--undo", status=2)
    run("list", "--state", "other", status=1)


@pytest.mark.parametrize("key", ["app", "reviewer"])
def test_only_administrators_see_them(clustered: System, key: str) -> None:
    """Not an application, not a reviewer."""
    with client(clustered, key) as http:
        assert http.get(CLUSTERS).status_code == 403
        assert http.post(f"{CLUSTERS}/x/intent", json={"name": "x"}).status_code == 403


def test_who_is_erased_is_in_no_cluster(
    clustered: System, boss: httpx.Client, asker: httpx.Client
) -> None:
    """Neither name nor example, also where it taught an intent; nor in any file."""
    texts = [
        f"How do I sign up for the zyxwvish newsletter by {how}?"
        for how in ("mail", "phone", "fax")
    ]
    for text in texts:
        dislikes(asker, text, **{"x-graftwork-subject": "quillerby-7"})
    found = until(lambda: about(boss, tuple(texts)))
    made = boss.post(f"{CLUSTERS}/{found['id']}/intent", json={"name": "newsletter"})
    assert made.status_code == 201, made.text
    until(lambda: decided(asker, "How do I sign up for the zyxwvish newsletter?") == "newsletter")
    assert holding(clustered.root, "zyxwvish")
    erase(boss, "quillerby-7")
    left = boss.get(f"{CLUSTERS}/{found['id']}").json()
    assert left["examples"] == []
    assert left["volume"] == 0
    assert "zyxwvish" not in str(left)
    assert not holding(clustered.root, "zyxwvish")
    until(lambda: decided(asker, "How do I sign up for the zyxwvish newsletter?") != "newsletter")

"""Quality from outside: feedback, reviews and gates tell requests apart, as far as they may."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from adapters.corpus.exchange import Exchange
from adapters.records.sealing import AUDIT
from adapters.records.subjects import Subjects
from adapters.review.verdicts import Verdict
from router.admit.keys import hash_key
from tests.contract.client import chat, client, until
from tests.contract.test_erasures import erase
from tests.contract.test_quality import QUALITY, candidate, chore, decision, riddle
from tests.fakes.frontier import FakeFrontier
from tests.fakes.whole_system import System, whole_system

SMALL = "frontier:cloud/small"
ASKED = 72
KEYS = {"app": "acme", "other": "silent", "ops": "acme"}


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, frontier: FakeFrontier) -> Iterator[System]:
    """Of two tenants one consents; what was judged is looked at every half second."""
    keys = [
        {
            "name": name,
            "sha256": hash_key(f"key-{name}"),
            "tenant": tenant,
            "scopes": ["inference", *(["admin"] if name == "ops" else [])],
        }
        for name, tenant in KEYS.items()
    ]
    models = [
        {"id": name, "input_usd_per_mtok": 1.0, "output_usd_per_mtok": 1.0}
        for name in ("small", "other")
    ]
    router = {
        "providers": [{"name": "cloud", "base_url": frontier.openai_url, "models": models}],
        "auth": {"keys": keys},
        "capture": {"tenants": {"acme": {"consent": True, "share": 1.0}}},
        "routing": {"frontiers": ["*"], "routes": {"*": {"worth_usd": 0.05}}},
    }
    flywheel = {"outcomes": {"refit_s": 0.5}}
    root = tmp_path_factory.mktemp("learned")
    with whole_system(root, router, replicas=1, flywheel=flywheel) as running:
        yield running


@pytest.fixture
def boss(system: System) -> Iterator[httpx.Client]:
    """An operator."""
    with client(system, "ops") as found:
        yield found


def judged(boss: httpx.Client, target: str) -> dict[str, Any]:
    """What became of a target's outcomes."""
    told: list[dict[str, Any]] = boss.get(QUALITY).json()["targets"]
    found = {each["target"]: each for each in told}
    return found.get(target, {"judged": 0, "used": False})


def says(http: httpx.Client, model: str, n: int, **headers: str) -> None:
    """Ask, and say how good the answer was: riddles are answered badly."""
    answer = chat(http, model, riddle(n) if n % 2 else chore(n), headers=headers)
    decided = answer.headers["x-graftwork-decision-id"]
    said = {"decision_id": decided, "kind": "boolean", "value": n % 2 == 0}
    assert http.post("/v1/feedback", json=said).status_code == 200


def test_feedback_on_what_was_captured_teaches(system: System, boss: httpx.Client) -> None:
    """Good and bad; the belief of intent and target moves as ever, the head beside it."""
    with client(system, "app") as app:
        for n in range(ASKED):
            says(app, "cloud/small", n)
    until(lambda: judged(boss, SMALL)["judged"] >= ASKED and judged(boss, SMALL)["used"])

    def told() -> str:
        return str(candidate(decision(boss, riddle(901)), SMALL)["difficulty"])

    until(lambda: told().startswith("harder"))
    easy = candidate(decision(boss, chore(902)), SMALL)
    assert easy["difficulty"].startswith("easier")
    # A share of what was picked is no share: the prior is what it was.
    assert easy["prior"] == "0.900 (convention)"


def test_without_consent_nothing_is_learned(system: System, boss: httpx.Client) -> None:
    """Neither of a tenant that did not give it, nor of a request that says no (law 12)."""
    with client(system, "other") as silent:
        for n in range(4):
            says(silent, "cloud/other", n)
    with client(system, "app") as app:
        for n in range(4, 8):
            says(app, "cloud/other", n, **{"x-graftwork-no-capture": "true"})
        says(app, "cloud/other", 9)
    until(lambda: judged(boss, "frontier:cloud/other")["judged"])
    assert judged(boss, "frontier:cloud/other")["judged"] == 1


def kept(system: System, n: int, **fields: Any) -> str:
    """An exchange of the corpus; its id."""
    text = riddle(n) if n % 2 else chore(n)
    made = Exchange(
        id="",
        at=1_700_000_000.0 + n,
        intent="sums",
        tenant="acme",
        messages=({"role": "user", "content": f"{text} {fields['target']}"},),
        response=f"This is answer {n}.",
        **fields,
    )
    return system.registry.flywheel.exchanges.take(made)[0]


def test_reviews_teach(system: System, boss: httpx.Client) -> None:
    """The answer that was given is gold, or another is; what is rejected says nothing."""
    target, reviews = "frontier:cloud/reviewed", system.registry.flywheel.reviews
    for n in range(9):
        review = reviews.open(kept(system, n, target=target), "sampled")
        if n == 8:
            reviews.judge(review, "ann", Verdict.REJECT)
        elif n % 2:
            reviews.judge(review, "ann", Verdict.EDIT, answer="Something else.")
        else:
            reviews.judge(review, "ann", Verdict.ACCEPT)
    until(lambda: judged(boss, target)["judged"] == 8)
    assert judged(boss, target)["good"] == 4
    assert judged(boss, target)["why"].startswith("too few")


def test_what_is_erased_is_learned_no_longer(system: System, boss: httpx.Client) -> None:
    """The next fit is without it, soon after the erasure."""
    target, loop = "frontier:cloud/erased", system.registry.flywheel
    hashed = Subjects(system.root / AUDIT).hash("eve-4711")
    for n in range(4):
        subjects = (hashed,) if n < 3 else ()
        review = loop.reviews.open(kept(system, n, target=target, subjects=subjects), "sampled")
        loop.reviews.judge(review, "ann", Verdict.ACCEPT)
    until(lambda: judged(boss, target)["judged"] == 4)
    erase(boss, "eve-4711")
    until(lambda: judged(boss, target)["judged"] == 1)


def test_gates_teach(system: System, boss: httpx.Client) -> None:
    """Both versions' scores on the held-out questions that are still there."""
    loop = system.registry.flywheel
    for n in range(12):
        review = loop.reviews.open(kept(system, n, target="frontier:cloud/held"), "sampled")
        loop.reviews.judge(review, "ann", Verdict.ACCEPT)
    answer = boss.post(
        "/admin/v1/datasets", json={"name": "held", "intents": ["sums"], "holdout": 0.5}
    )
    assert answer.status_code == 201, answer.text
    rows = loop.datasets.holdout("sums")
    assert rows
    items = [
        {"id": row.digest, "slice": "intent=sums", "candidate": 1.0, "current": place % 2}
        for place, row in enumerate(rows)
    ]
    items.append({"id": "0" * 64, "slice": "intent=sums", "candidate": 0.0, "current": 0.0})
    report = {
        "alias": "sums",
        "digest": "5" * 64,
        "intents": ["sums"],
        "dataset": None,
        "current_target": "frontier:cloud/before",
        "verdict": "passed",
        "items": items,
    }
    loop.gating.reports.put("sums", "5" * 64, "evidence", report)
    until(lambda: judged(boss, "adapter:sums")["judged"] == len(rows))
    assert judged(boss, "adapter:sums")["good"] == len(rows)
    assert judged(boss, "frontier:cloud/before")["judged"] == len(rows)

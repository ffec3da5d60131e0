"""Reviews from outside: opened, claimed, judged, taken back; what rules demand; who may."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

from tests.contract.client import ADMIN, chat, client, error_of, put_rules, until
from tests.contract.conftest import router_args
from tests.contract.reviewing import REVIEWS, act, demanded, listed, shown
from tests.fakes.frontier import FakeFrontier
from tests.fakes.whole_system import System, whole_system


def test_a_rules_review_opens_within_seconds(desk: System, ann: httpx.Client) -> None:
    """Under the id that the client was told; it goes before all that is usual."""
    review = demanded(desk)
    found = shown(ann, review)
    assert found["state"] == "open"
    assert found["why"] == ["rule:look-first"]
    assert found["tenant"] == "app"
    assert found["claimed_by"] is None
    assert found["history"][0]["action"] == "opened"
    assert found["candidates"] == []
    assert review in listed(ann, state="open")
    assert review not in listed(ann, state="done")
    assert not desk.asked()


def test_who_claims_it_holds_it(desk: System, ann: httpx.Client, bob: httpx.Client) -> None:
    """Others get 409, until it is released or judged."""
    review = demanded(desk)
    claimed = act(ann, review, "claim")
    assert claimed.status_code == 200, claimed.text
    assert claimed.json()["state"] == "claimed"
    assert claimed.json()["claimed_by"] == "ann"
    assert act(ann, review, "claim").status_code == 200
    for what in ("claim", "release"):
        refused = act(bob, review, what)
        assert refused.status_code == 409
        assert error_of(refused)["code"] == "review_claimed"
    assert act(bob, review, verdict="accept").status_code == 409
    assert review in listed(bob, state="claimed")
    assert review not in listed(bob, state="open")
    assert act(ann, review, "release").json()["state"] == "open"
    assert act(bob, review, "claim").status_code == 200
    assert act(bob, review, verdict="reject").json()["state"] == "done"


def test_a_claim_ends_by_itself(
    tmp_path_factory: pytest.TempPathFactory, frontier: FakeFrontier
) -> None:
    """`flywheel.reviews.lock_s` after it began: it is anybody's again."""
    flywheel = {"reviews": {"lock_s": 2.0}}
    with (
        whole_system(
            tmp_path_factory.mktemp("lock"), router_args(frontier), flywheel=flywheel
        ) as running,
        client(running) as http,
    ):
        assert chat(http, "base", "Is the lamp in stock?").status_code == 200
        [review] = until(lambda: listed(http, state="open"))
        dan, eve = {"x-graftwork-actor": "dan"}, {"x-graftwork-actor": "eve"}
        path = f"{REVIEWS}/{review}/claim"
        assert http.post(path, headers=dan).json()["claimed_by"] == "dan"
        until(lambda: shown(http, review)["claimed_by"] is None)
        assert http.post(path, headers=eve).json()["claimed_by"] == "eve"


def test_a_verdict_is_one_and_may_be_taken_back(
    desk: System, ann: httpx.Client, bob: httpx.Client
) -> None:
    """A free item is claimed by judging it; each judges it once; one undoes one's own."""
    review = demanded(desk)
    done = act(ann, review, verdict="edit", answer="Hello there.", comment="politer")
    assert done.status_code == 200, done.text
    assert done.json()["answer"] == "Hello there."
    assert done.json()["yours"] == "edit"
    assert done.json()["claimed_by"] is None
    assert review in listed(ann, state="done")
    again = act(ann, review, verdict="accept")
    assert again.status_code == 409
    assert error_of(again)["code"] == "already_judged"
    assert act(ann, review, "claim").status_code == 409
    assert act(bob, review, "undo").status_code == 409
    undone = act(ann, review, "undo")
    assert undone.status_code == 200
    assert undone.json()["state"] == "open"
    assert undone.json()["answer"] is None
    assert error_of(act(ann, review, "undo"))["code"] == "nothing_to_undo"
    history = [line["action"] for line in shown(ann, review)["history"]]
    assert history == ["opened", "verdict", "undone"]


def test_verdicts_that_differ_wait_for_a_third(
    desk: System, ann: httpx.Client, bob: httpx.Client
) -> None:
    """Who has not judged what is done may claim it."""
    review = demanded(desk)
    assert act(ann, review, verdict="edit", answer="One.").json()["outcome"] == "gold"
    assert act(bob, review, "claim").status_code == 200
    disputed = act(bob, review, verdict="edit", answer="Two.").json()
    assert (disputed["state"], disputed["outcome"], disputed["disputed"]) == ("open", None, True)
    with client(desk, "cleo") as cleo:
        settled = act(cleo, review, verdict="accept", answer="two.").json()
    assert (settled["state"], settled["answer"]) == ("done", "Two.")
    assert settled["provenance"] == "verified"


def test_agreement_counts_what_several_judged(
    desk: System, ann: httpx.Client, bob: httpx.Client
) -> None:
    """Of one intent, or of all; numbers that one can reckon."""
    before = ann.get(f"{REVIEWS}/agreement").json()
    assert set(before) == {"intent", "items", "reviewers", "agreement", "alpha"}
    review = demanded(desk)
    act(ann, review, verdict="edit", answer="Same.")
    act(bob, review, verdict="edit", answer="same.")
    after = ann.get(f"{REVIEWS}/agreement").json()
    assert after["items"] == before["items"] + 1
    nothing = ann.get(f"{REVIEWS}/agreement", params={"intent": "nowhere"}).json()
    assert nothing == {
        "intent": "nowhere",
        "items": 0,
        "reviewers": 0,
        "agreement": None,
        "alpha": None,
    }
    names = {row["name"]: row for row in ann.get(f"{REVIEWS}/reviewers").json()["data"]}
    assert names["ann"]["verdicts"] >= 1
    assert names["ann"]["accuracy"] is None


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "verdict"),
        ({"verdict": "perhaps"}, "verdict"),
        ({"verdict": "accept", "note": "x"}, "note"),
        ({"verdict": "edit"}, None),
        ({"verdict": "edit", "answer": "  "}, None),
        ({"verdict": "edit", "answer": 3}, "answer"),
        ({"verdict": "reject", "answer": "No."}, None),
        ({"verdict": "accept", "answer": "nobody said this"}, None),
        ({"verdict": "accept", "comment": "x" * 5000}, "comment"),
    ],
)
def test_a_verdict_that_makes_no_sense_is_refused(
    desk: System, ann: httpx.Client, body: dict[str, Any], param: str | None
) -> None:
    """And changes nothing."""
    review = next(iter(listed(ann, state="open")), None) or demanded(desk)
    refused = act(ann, review, **body)
    assert refused.status_code == 400, refused.text
    assert error_of(refused)["param"] == param
    assert shown(ann, review)["state"] == "open"


@pytest.mark.parametrize("what", ["", "claim", "release", "undo"])
def test_an_unknown_review_is_404(ann: httpx.Client, what: str) -> None:
    """Whatever is asked of it."""
    body = {} if what else {"verdict": "accept"}
    refused = act(ann, "rev_none", what, **body)
    assert refused.status_code == 404
    assert error_of(refused)["code"] == "review_not_found"
    assert ann.get(f"{REVIEWS}/rev_none").status_code == 404


@pytest.mark.parametrize(
    "query", [{"state": "lost"}, {"limit": "0"}, {"limit": "1001"}, {"cursor": "x"}, {"to_do": "y"}]
)
def test_a_list_that_makes_no_sense_is_refused(ann: httpx.Client, query: dict[str, str]) -> None:
    """With the part that does not."""
    refused = ann.get(REVIEWS, params=query)
    assert refused.status_code == 400
    assert error_of(refused)["param"] == next(iter(query))


def test_a_cursor_of_another_list_is_refused(ann: httpx.Client) -> None:
    """It is base64 of something else."""
    assert ann.get(REVIEWS, params={"cursor": "YWJj"}).status_code == 400
    for tier in (1e30, -1, 2**63):
        cursor = base64.urlsafe_b64encode(json.dumps(["rev_1", tier, 0.0, 0.0]).encode()).decode()
        assert ann.get(REVIEWS, params={"cursor": cursor}).status_code == 400


def test_pages_show_each_item_once(desk: System, ann: httpx.Client) -> None:
    """Whatever their size."""
    for number in range(3):
        demanded(desk, f"Hello {number}")
    # The queue is put in order in the background: what is worth more meanwhile moves.
    before: list[str] = []
    paged: list[str] = []
    while before != (now := listed(ann)):
        before, paged = now, listed(ann, limit="2")
    assert sorted(paged) == sorted(before)
    todo = listed(ann, state="open", to_do="true")
    judged = todo[0]
    act(ann, judged, verdict="escalate", comment="for the lawyers")
    assert judged in listed(ann, state="open")
    assert judged not in listed(ann, state="open", to_do="true")


def test_guidelines_are_shown_with_each_item(desk: System, ann: httpx.Client) -> None:
    """By intent, and those for all; an empty text removes them."""
    review = demanded(desk)
    intent = shown(ann, review)["intent"]
    path = f"{REVIEWS}/guidelines"
    assert ann.put(path, json={"text": "Be kind."}).status_code == 200
    assert ann.put(path, params={"intent": intent}, json={"text": "Be brief."}).status_code == 200
    found = shown(ann, review)["guidelines"]
    assert "Be brief." in found
    rows = {row["intent"]: row for row in ann.get(path).json()["data"]}
    assert rows[intent or None]["text"] == "Be brief."
    assert rows[intent or None]["by"] == "ann"
    for query in ({}, {"intent": intent}):
        assert ann.put(path, params=query, json={"text": ""}).status_code == 200
    assert shown(ann, review)["guidelines"] == ""
    assert ann.put(path, json={"words": "x"}).status_code == 400
    assert ann.put(path, json={"text": "x" * 20_001}).status_code == 400


def test_scopes(desk: System, ann: httpx.Client) -> None:
    """A reviewer sees reviews and nothing else; who is neither reviewer nor operator sees none."""
    for name, status in [("app", 403), ("auditor", 403), ("ops", 200), ("ann", 200)]:
        with client(desk, name) as http:
            assert http.get(REVIEWS).status_code == status
            assert http.get(f"{REVIEWS}/agreement").status_code == status
    assert ann.get(f"{ADMIN}/datasets").status_code == 403
    with client(desk) as nobody:
        assert nobody.get(REVIEWS).status_code == 401


def test_every_action_is_on_record_once(desk: System, ann: httpx.Client) -> None:
    """With the reviewer, the item and the verdict, and no word of what was written."""
    review = demanded(desk)
    act(ann, review, "claim")
    act(ann, review, verdict="edit", answer="Zanzibar one.", comment="Zanzibar two.")
    act(ann, review, "undo")
    with client(desk, "ops") as ops:
        rows = ops.get(f"{ADMIN}/audit", params={"kind": "admin", "limit": "1000"}).json()["data"]
    own = [row for row in rows if review in str(row)]
    assert [row["actor"] for row in own] == ["ann"] * 3
    assert "Zanzibar" not in str(rows)


def test_what_a_reviewer_writes_is_redacted(desk: System, ann: httpx.Client) -> None:
    """Law 6: an address that somebody types into an answer or comment is not kept."""
    review = demanded(desk)
    done = act(
        ann,
        review,
        verdict="edit",
        answer="Write to jane.roe@example.com.",
        comment="her IBAN is DE89370400440532013000",
    )
    assert done.status_code == 200, done.text
    assert "jane.roe" not in done.text
    assert "DE89370400440532013000" not in done.text
    assert done.json()["answer"].startswith("Write to ")


def test_an_event_tells_of_every_change(desk: System, ann: httpx.Client) -> None:
    """With the item's id and state."""
    review = demanded(desk)
    with client(desk, "ops") as ops, ops.stream("GET", f"{ADMIN}/events") as stream:
        lines = stream.iter_lines()
        assert next(lines) == ": connected"
        act(ann, review, "claim")
        act(ann, review, verdict="reject")
        told: list[str] = []
        while len(told) < 2:
            line = next(lines)
            if line.startswith("data: ") and review in line:
                told.append(line)
    assert '"state": "claimed"' in told[0]
    assert '"state": "done"' in told[1]


def test_without_keys_the_header_names_the_reviewer(
    tmp_path_factory: pytest.TempPathFactory, frontier: FakeFrontier
) -> None:
    """With keys it does not: the key does."""
    with (
        whole_system(tmp_path_factory.mktemp("open"), router_args(frontier)) as running,
        client(running) as http,
    ):
        put_rules(http, "rules: [{id: r, review: before}]")
        review = chat(http, "base").json()["id"]
        until(lambda: http.get(f"{REVIEWS}/{review}").status_code == 200)
        dan = {"x-graftwork-actor": "dan"}
        eve = {"x-graftwork-actor": "eve"}
        assert http.post(f"{REVIEWS}/{review}/claim", headers=dan).json()["claimed_by"] == "dan"
        assert http.post(f"{REVIEWS}/{review}/claim", headers=eve).status_code == 409


def test_with_keys_the_key_names_the_reviewer(desk: System, ann: httpx.Client) -> None:
    """Whatever the header says."""
    review = demanded(desk)
    claimed = ann.post(f"{REVIEWS}/{review}/claim", headers={"x-graftwork-actor": "bob"})
    assert claimed.json()["claimed_by"] == "ann"


def test_several_verdicts_an_item(
    tmp_path_factory: pytest.TempPathFactory, frontier: FakeFrontier
) -> None:
    """`flywheel.reviews.per_item` of one mind settle it; until then nobody is led by the first."""
    flywheel = {"reviews": {"per_item": 2}}
    with (
        whole_system(
            tmp_path_factory.mktemp("two"), router_args(frontier), flywheel=flywheel
        ) as running,
        client(running) as http,
    ):
        answer = chat(http, "base", "Is the lamp in stock?")
        decision = answer.headers["x-graftwork-decision-id"]

        def opened() -> str | None:
            rows = http.get(REVIEWS, params={"state": "open"}).json()["data"]
            return next((str(row["id"]) for row in rows if row["decision_id"] == decision), None)

        path = f"{REVIEWS}/{until(opened)}"
        ann, bob = {"x-graftwork-actor": "ann"}, {"x-graftwork-actor": "bob"}
        accept = {"verdict": "accept", "comment": "as it was"}
        first = http.post(path, json=accept, headers=ann).json()
        assert (first["state"], first["outcome"]) == ("open", None)
        assert (first["verdicts"], first["needed"]) == (1, 2)
        assert first["exchange"]["state"] == "in_review"
        assert first["history"][-1]["verdict"] == "accept"
        unseen = http.get(path, headers=bob).json()["history"][-1]
        assert unseen["reviewer"] == "ann"
        assert "verdict" not in unseen
        assert "as it was" not in str(unseen)
        second = http.post(path, json={"verdict": "accept"}, headers=bob).json()
        assert (second["state"], second["outcome"]) == ("done", "gold")
        assert second["provenance"] == "verified"
        assert second["exchange"]["state"] == "gold"
        agreed = http.get(f"{REVIEWS}/agreement").json()
        assert (agreed["items"], agreed["reviewers"], agreed["agreement"]) == (1, 2, 1.0)
        assert agreed["alpha"] == 1.0


def test_an_escalation_that_nobody_answers_ends(
    tmp_path_factory: pytest.TempPathFactory, frontier: FakeFrontier
) -> None:
    """`flywheel.reviews.escalated_days` later: done, no gold, with the reason in the history."""
    flywheel = {"reviews": {"escalated_days": 1e-6}}
    with (
        whole_system(
            tmp_path_factory.mktemp("one"), router_args(frontier), flywheel=flywheel
        ) as running,
        client(running) as http,
    ):
        assert chat(http, "base", "Is the lamp in stock?").status_code == 200
        [review] = until(lambda: listed(http, state="open"))
        ann, bob = {"x-graftwork-actor": "ann"}, {"x-graftwork-actor": "bob"}
        path = f"{REVIEWS}/{review}"
        asked = http.post(path, json={"verdict": "escalate"}, headers=ann).json()
        assert (asked["state"], asked["escalated"]) == ("open", True)
        until(lambda: shown(http, review)["state"] != "open")
        found = shown(http, review)
        assert (found["outcome"], found["answer"]) == ("unanswered", None)
        assert found["exchange"]["state"] == "rejected"
        assert found["history"][-1]["action"] == "closed"
        assert "Closed: escalated" in http.get(f"/console/reviews/{review}").text
        refused = http.post(f"{ADMIN}/datasets", json={"name": "none"})
        assert refused.status_code == 422
        settled = http.post(path, json={"verdict": "accept"}, headers=bob).json()
        assert (settled["state"], settled["outcome"]) == ("done", "gold")
        assert settled["history"][-1]["action"] == "verdict"

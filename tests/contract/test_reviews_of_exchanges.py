"""From an answer to gold, from outside: what is captured is reviewed; what may not be, is not."""

from __future__ import annotations

import json
from typing import Any

import httpx

from tests.contract.client import ADMIN, chat, client, until
from tests.contract.reviewing import REVIEWS, act, demanded, listed, shown
from tests.contract.test_erasures import erase
from tests.fakes.whole_system import System

EXCHANGES = f"{ADMIN}/exchanges"


def captured(desk: System, text: str, tenant: str = "shop", **more: Any) -> tuple[str, str, str]:
    """An answered request of a tenant: its exchange, review and decision."""
    with client(desk, tenant) as app, client(desk, "ops") as ops:
        answer = chat(app, "base", text, **more)
        assert answer.status_code == 200, answer.text
        decision = answer.headers["x-graftwork-decision-id"]

        def found() -> dict[str, Any] | None:
            for state in ("open", "claimed"):
                page = ops.get(REVIEWS, params={"state": state, "limit": "1000"}).json()
                for row in page["data"]:
                    if row["decision_id"] == decision and row["exchange"]:
                        return dict(row)
            return None

        row = until(found)
    return row["exchange_id"], row["id"], decision


def state(desk: System, exchange: str) -> str:
    """Of an exchange."""
    with client(desk, "ops") as ops:
        return str(ops.get(f"{EXCHANGES}/{exchange}").json()["state"])


def test_what_is_captured_waits_for_a_reviewer(desk: System, ann: httpx.Client) -> None:
    """With all that he needs; the exchange follows what he does."""
    exchange, review, _ = captured(desk, "How do I return these lamps?")
    found = shown(ann, review)
    assert found["exchange"]["id"] == exchange
    said = found["exchange"]["request"]["messages"]
    assert said[-1] == {"role": "user", "content": "How do I return these lamps?"}
    assert found["exchange"]["response"]
    assert state(desk, exchange) == "captured"
    act(ann, review, "claim")
    assert state(desk, exchange) == "in_review"
    act(ann, review, "release")
    assert state(desk, exchange) == "captured"
    done = act(ann, review, verdict="accept").json()
    assert done["answer"] == found["exchange"]["response"]
    assert done["provenance"] == "teacher"
    assert state(desk, exchange) == "gold"
    act(ann, review, "undo")
    assert state(desk, exchange) == "captured"
    act(ann, review, verdict="reject")
    assert state(desk, exchange) == "rejected"


def test_gold_is_what_datasets_are_made_of(desk: System, ann: httpx.Client) -> None:
    """What was accepted and edited; neither rejected nor escalated nor open."""
    made = {}
    verdicts: list[tuple[str, dict[str, str]]] = [
        ("accept", {}),
        ("edit", {"answer": "Edited gold."}),
        ("reject", {}),
        ("escalate", {}),
    ]
    for verdict, more in verdicts:
        exchange, review, _ = captured(desk, f"Which {verdict} kettle is quiet?")
        act(ann, review, verdict=verdict, **more)
        made[verdict] = state(desk, exchange)
    assert made == {
        "accept": "gold",
        "edit": "gold",
        "reject": "rejected",
        "escalate": "in_review",
    }
    with client(desk, "ops") as ops:
        frozen = ops.post(f"{ADMIN}/datasets", json={"name": "kettles", "tenants": ["shop"]})
        assert frozen.status_code == 201, frozen.text
        digest = frozen.json()["digest"]
        rows = ops.get(f"{ADMIN}/datasets/{digest}/export", params={"format": "messages"}).text
    assert "accept kettle" in rows
    assert "edit kettle" in rows
    assert "Edited gold." in rows
    assert "reject kettle" not in rows
    assert "escalate kettle" not in rows


def test_verdicts_that_differ_take_it_out_of_gold(
    desk: System, ann: httpx.Client, bob: httpx.Client
) -> None:
    """Until a third settles it."""
    exchange, review, _ = captured(desk, "Is the river chair in stock?")
    act(ann, review, verdict="accept")
    assert state(desk, exchange) == "gold"
    act(bob, review, verdict="reject")
    assert state(desk, exchange) == "in_review"
    with client(desk, "cleo") as cleo:
        act(cleo, review, verdict="accept")
    assert state(desk, exchange) == "gold"


def test_a_demonstration_is_a_candidate(desk: System, ann: httpx.Client) -> None:
    """And may be accepted as it is."""
    _, review, decision = captured(desk, "When does the stamp garden open?")
    with client(desk, "shop") as app:
        said = {"decision_id": decision, "kind": "demonstration", "value": "At nine."}
        assert app.post("/v1/feedback", json=said).status_code in {200, 201, 202}
    candidates = until(lambda: shown(ann, review)["candidates"])
    assert candidates == [{"source": "demonstration", "answer": "At nine."}]
    done = act(ann, review, verdict="accept", answer="At nine.").json()
    assert (done["answer"], done["provenance"]) == ("At nine.", "human")


def test_asked_often_goes_first(desk: System, ann: httpx.Client) -> None:
    """Uncertainty, traffic and cost make the order."""
    _, once, _ = captured(desk, "Once about letters?")
    _, often, _ = captured(desk, "Often about windows?")
    with client(desk, "shop") as app:
        for _ in range(4):
            assert chat(app, "base", "Often about windows?").status_code == 200
    until(lambda: shown(ann, often)["exchange"]["count"] == 5)
    until(lambda: _before(listed(ann, state="open", limit="1000"), often, once))


def _before(ids: list[str], first: str, second: str) -> bool:
    return ids.index(first) < ids.index(second)


def test_a_rule_wants_it_looked_at_without_consent(desk: System, ann: httpx.Client) -> None:
    """The reviewer sees request and answer; nothing is learnt from it (law 12)."""
    with client(desk, "late") as app, client(desk, "ops") as ops:
        answer = chat(app, "base", "A secret lamp for nobody.")
        assert answer.status_code == 200
        assert answer.headers["x-graftwork-policy"] == "look-later"
        review = "rev" + answer.headers["x-graftwork-decision-id"].removeprefix("dec")
        until(lambda: ops.get(f"{REVIEWS}/{review}").status_code == 200)
        found = until(lambda: (it := shown(ann, review))["exchange"] and it)
        assert "A secret lamp for nobody." in str(found["exchange"]["request"])
        assert found["exchange"]["response"]
        assert found["why"][0] == "rule:look-later"
        done = act(ann, review, verdict="edit", answer="Never to be learnt.").json()
        assert done["state"] == "done"
        assert state(desk, found["exchange_id"]) != "gold"
        frozen = ops.post(f"{ADMIN}/datasets", json={"name": "late", "tenants": ["late"]})
    assert frozen.status_code != 201 or not sum(frozen.json()["counts"].values())


def test_what_waits_for_a_rule_shows_the_request(desk: System, ann: httpx.Client) -> None:
    """There is no answer yet: accepting it permits, and makes nothing to learn."""
    review = demanded(desk, "May I have all the kettles?")
    found = until(lambda: (it := shown(ann, review))["exchange"] and it)
    assert "all the kettles" in str(found["exchange"]["request"])
    assert found["exchange"]["response"] == ""
    done = act(ann, review, verdict="accept").json()
    assert (done["state"], done["outcome"], done["answer"]) == ("done", "permitted", None)


def test_an_erasure_takes_reviews_along(desk: System, ann: httpx.Client) -> None:
    """Of the person's exchanges, verdicts included."""
    person = "mia.reviewed@example.org"
    _, review, _ = captured(desk, "My garden letter?", user=person)
    act(ann, review, verdict="edit", answer="Planted verdict.")
    with client(desk, "ops") as ops:
        done = erase(ops, person)
        assert done["found"]["reviews"] == 1
        assert done["found"]["exchanges"] == 1
    assert ann.get(f"{REVIEWS}/{review}").status_code == 404
    kept = [path for path in desk.root.rglob("flywheel.db*") if path.is_file()]
    assert kept
    assert not any(b"Planted verdict" in path.read_bytes() for path in kept)


def test_a_list_of_one_intent(desk: System, ann: httpx.Client) -> None:
    """Only what was recognised as that."""
    _, review, _ = captured(desk, "I want a refund for the lamp")
    own = shown(ann, review)["intent"]
    assert review in listed(ann, intent=own)
    assert review not in listed(ann, intent=f"not-{own}")


def test_what_is_imported_is_reviewed(desk: System, ann: httpx.Client) -> None:
    """As what was captured is; an answer in the file is the one that may be accepted."""
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"Imported question about {thing}?"},
                {"role": "assistant", "content": f"Imported answer about {thing}."},
            ]
        }
        for thing in ("anvils", "bellows", "candles")
    ]
    raw = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    with client(desk, "ops") as ops:
        told = ops.post(
            f"{EXCHANGES}/import",
            params={"format": "messages", "tenant": "shop"},
            content=raw,
            headers={"content-type": "application/x-ndjson"},
        )
        assert told.status_code == 200, told.text
        assert told.json()["imported"] == 3, told.text

    def opened() -> dict[str, str] | None:
        page = ann.get(REVIEWS, params={"state": "open", "limit": "1000"}).json()["data"]
        own = {
            str(row["exchange"]["response"]): str(row["id"])
            for row in page
            if row["exchange"] and "Imported" in row["exchange"]["response"]
        }
        return own if len(own) == 3 else None

    reviews = until(opened)
    done = act(ann, reviews["Imported answer about anvils."], verdict="accept").json()
    assert (done["outcome"], done["answer"]) == ("gold", "Imported answer about anvils.")

"""A reviewer's work: claim, edit, save, undo; by keys alone; beside another reviewer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from serving.console.session import COOKIE
from tests.browser.conftest import HOSTILE, admin, log_in
from tests.browser.driver import Browser
from tests.contract.client import ADMIN, client
from tests.fakes.whole_system import System


def waiting(system: System) -> list[dict[str, Any]]:
    """The open reviews, in the queue's order; each has two answers to choose from."""
    with admin(system) as api:
        rows: list[dict[str, Any]] = api.get(f"{ADMIN}/reviews?state=open").json()["data"]
    return rows


@pytest.fixture(autouse=True)
def _nothing_is_held(system: System) -> Iterator[None]:
    yield
    with client(system, "reviewer") as http:
        for row in http.get(f"{ADMIN}/reviews?state=claimed").json()["data"]:
            http.post(f"{ADMIN}/reviews/{row['id']}/release")


def review(system: System, identity: str) -> dict[str, Any]:
    """One, as an administrator sees it."""
    with admin(system) as api:
        found: dict[str, Any] = api.get(f"{ADMIN}/reviews/{identity}").json()
    return found


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_a_review_is_claimed_edited_saved_and_taken_back(
    window: Browser, system: System, scripts: bool
) -> None:
    """The edit counts under the reviewer's name, the next item comes, and Undo undoes it."""
    identity = waiting(system)[0]["id"]
    log_in(window, system, "reviewer")
    window.scripts(allowed=scripts)
    window.go(f"{system.url}/console/reviews/{identity}")
    window.press("Claim")
    window.until(lambda: "done=claim" in window.url)
    assert review(system, identity)["claimed_by"] == "reviewer"
    window.press("Edit")
    if not scripts:
        window.until(lambda: "edit=1" in window.url)
    window.fill("The answer as it should be", "I am big and kind")
    window.press("Save")
    window.until(lambda: "done=edit" in window.url)
    assert identity not in window.url.split("?")[0]
    done = review(system, identity)
    assert (done["state"], done["answer"]) == ("done", "I am big and kind")
    said = [each for each in done["history"] if each["action"] == "verdict"]
    assert [each["reviewer"] for each in said if not each["undone"]] == ["reviewer"]
    window.press("Undo")
    window.until(lambda: "done=undo" in window.url)
    assert identity in window.url
    assert review(system, identity)["state"] != "done"


def test_a_queue_is_worked_off_by_keys_alone(window: Browser, system: System) -> None:
    """Open the first, accept, escalate the next; the focus is on each item that comes."""
    log_in(window, system, "reviewer")
    window.go(f"{system.url}/console/reviews")
    window.keys("n")
    first = window.until(lambda: _shown(window), "the first item")
    window.sees("yours until")
    window.keys("a")
    window.until(lambda: _shown(window) not in (first, ""), "the next item")
    second = _shown(window)
    assert window.run("return document.activeElement.id") == "question"
    window.keys("x")
    window.until(lambda: "done=escalate" in window.url)
    assert review(system, first)["answer"] == review(system, first)["exchange"]["response"]
    window.keys("u")
    window.until(lambda: "done=undo" in window.url)
    window.go(f"{system.url}/console/reviews/{first}")
    window.keys("u")
    window.until(lambda: "done=undo" in window.url)
    assert [review(system, each)["yours"] for each in (first, second)] == [None, None]


def _shown(window: Browser) -> str:
    """The id of the review that is shown; empty: none is."""
    path = window.url.split("?")[0]
    return path.rpartition("/reviews/")[2] if "/reviews/" in path else ""


def test_single_keys_can_be_switched_off(window: Browser, system: System) -> None:
    """Who speaks to the computer does not accept by a letter."""
    log_in(window, system, "reviewer")
    identity = waiting(system)[0]["id"]
    window.go(f"{system.url}/console/reviews/{identity}")
    window.press("Single keys")
    window.keys("r")
    window.go(f"{system.url}/console/reviews/{identity}")
    window.keys("r")
    assert review(system, identity)["state"] == "open"
    window.press("Single keys")


def test_what_another_holds_is_shown_and_cannot_be_judged(window: Browser, system: System) -> None:
    """As soon as it is claimed, without a click; free again, it can."""
    log_in(window, system, "reviewer")
    identity = waiting(system)[0]["id"]
    window.go(f"{system.url}/console/reviews/{identity}")
    with client(system, "second") as other:
        assert other.post(f"{ADMIN}/reviews/{identity}/claim").status_code == 200
        window.sees("second works on it")
        window.press("Accept")
        window.sees("second")
        assert review(system, identity)["state"] == "claimed"
        assert other.post(f"{ADMIN}/reviews/{identity}/release").status_code == 200


def test_answers_are_side_by_side_with_what_differs(window: Browser, system: System) -> None:
    """Words that came and went are elements of their own; hostile texts are texts."""
    log_in(window, system, "reviewer")
    identity = waiting(system)[0]["id"]
    window.go(f"{system.url}/console/reviews/{identity}")
    window.sees(HOSTILE)
    changed = "return [...document.querySelectorAll('.card ins')].map(e => e.textContent).join('')"
    assert "kind" in str(window.run(changed))
    window.fill("The answer as it should be", "I am huge")
    live = "return [...document.querySelectorAll('#changes ins')].map(e => e.textContent).join()"
    window.until(lambda: str(window.run(live)).strip() == "huge")
    window.press("Accept B")
    window.until(lambda: "done=accept" in window.url)
    assert "kind" in review(system, identity)["answer"]
    window.press("Undo")
    window.until(lambda: "done=undo" in window.url)


def test_reviewers_are_told_what_to_go_by(window: Browser, system: System) -> None:
    """Guidelines are kept, and shown beside every item."""
    log_in(window, system, "reviewer")
    window.press("Reviews")
    window.press("Change")
    window.fill("What reviewers of all intents are told", f"Be brief. {HOSTILE}")
    window.press("Keep")
    window.sees("The guidelines were kept.")
    window.go(f"{system.url}/console/reviews/{waiting(system)[0]['id']}")
    window.sees(f"Be brief. {HOSTILE}")
    links = window.run("return [...document.querySelectorAll('nav a')].map(a => a.textContent)")
    assert links == ["Reviews"]


def test_a_held_key_and_a_second_click_judge_nothing_more(window: Browser, system: System) -> None:
    """Only what was looked at is judged, once."""
    log_in(window, system, "reviewer")
    identity = waiting(system)[0]["id"]
    window.go(f"{system.url}/console/reviews/{identity}")
    held = (
        "document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'r', repeat: true,"
        " bubbles: true})); return document.body.hasAttribute('aria-busy')"
    )
    assert window.run(held) is False
    window.run("const a = document.querySelector('[data-key=a]'); a.click(); a.click()")
    window.until(lambda: "done=accept" in window.url)
    assert window.run("return document.querySelectorAll('.problem').length") == 0
    said = [each for each in review(system, identity)["history"] if each["action"] == "verdict"]
    assert [each["verdict"] for each in said if not each["undone"]] == ["accept"]
    window.press("Undo")
    window.until(lambda: "done=undo" in window.url)


def test_nothing_that_was_typed_is_lost(window: Browser, system: System) -> None:
    """Neither when the server is away nor when the session has ended meanwhile."""
    log_in(window, system, "reviewer")
    identity = waiting(system)[0]["id"]
    page = f"{system.url}/console/reviews/{identity}"
    window.go(page)
    field = "The answer as it should be"
    window.fill(field, "I am typed with care")
    typed = "return document.getElementById('answer').value"
    window.offline(away=True)
    window.press("Save")
    window.sees("The server did not answer.")
    window.offline(away=False)
    assert window.run(typed) == "I am typed with care"
    window.forget()
    window.press("Save")
    window.sees("You are logged out.")
    assert window.run(typed) == "I am typed with care"
    assert window.violations() == []
    link = str(window.run("return document.querySelector('#trouble a').href"))
    assert link == f"{system.url}/console/login"
    assert review(system, identity)["state"] != "done"
    # In another window, as far as the server knows.
    with client(system, "reviewer") as http:
        value = http.post(
            "/console/login", data={"key": "key-reviewer"}, headers={"origin": system.url}
        ).cookies[COOKIE]
    window.cookie(COOKIE, value)
    window.press("Save")
    window.until(lambda: "done=edit" in window.url)
    assert review(system, identity)["answer"] == "I am typed with care"
    window.press("Undo")
    window.until(lambda: "done=undo" in window.url)

"""The server is away, and what stands before it answers in its place."""

from __future__ import annotations

import json
import time
from urllib.parse import urlsplit

from tests.browser.between import standing_before
from tests.browser.conftest import admin, log_in
from tests.browser.driver import Browser
from tests.browser.test_reviewing import review, waiting
from tests.contract.client import ADMIN, chat, client
from tests.fakes.whole_system import System

_TYPED = "return document.getElementById('answer').value"
_FOOTER = "return document.querySelector('footer').textContent"


def test_an_answer_of_what_stands_before_the_server_replaces_no_page(
    window: Browser, system: System
) -> None:
    """Neither where somebody saves nor where the page looks again; it says so, then goes on."""
    port = urlsplit(system.url).port
    assert port is not None
    log_in(window, system, "reviewer")
    identity = waiting(system)[0]["id"]
    with standing_before(port) as before, client(system, "second") as other:
        page = f"{before.url}/console/reviews/{identity}"
        window.go(page)
        window.fill("The answer as it should be", "I am typed with care")
        made = window.run(_FOOTER)
        before.is_away = True
        assert other.post(f"{ADMIN}/reviews/{identity}/claim").status_code == 200
        window.sees("What is shown may be old")
        window.press("Save")
        window.sees("What you typed is still here")
        assert window.run(_TYPED) == "I am typed with care"
        assert window.url == page
        before.is_away = False
        assert other.post(f"{ADMIN}/reviews/{identity}/release").status_code == 200
        window.until(lambda: "The server did not answer" not in window.text(), "asked again")
        assert window.run(_TYPED) == "I am typed with care"
        window.until(lambda: window.run(_FOOTER) != made, "when it was looked at")
        window.press("Save")
        window.until(lambda: "done=edit" in window.url)
        assert review(system, identity)["answer"] == "I am typed with care"
        window.press("Undo")
        window.until(lambda: "done=undo" in window.url)
        window.go(f"{system.url}/console/login")
    away = [url for url in window.requested() if not url.startswith(system.url)]
    assert all(url.startswith(before.url) for url in away)


def test_a_page_of_what_is_gone_says_so(window: Browser, system: System) -> None:
    """As soon as it looks again; what was typed is still there to be copied."""
    identity = _review_of(system, "somebody-who-leaves", "Where do whales sing?")
    log_in(window, system, "reviewer")
    window.go(f"{system.url}/console/reviews/{identity}")
    window.fill("The answer as it should be", "I am typed with care")
    other = next(row["id"] for row in waiting(system) if row["id"] != identity)
    path = f"{ADMIN}/reviews/{identity}"
    with admin(system) as ops, client(system, "second") as second:
        asked = ops.post(f"{ADMIN}/erasures", json={"subject": "somebody-who-leaves"})
        assert asked.status_code == 202
        window.until(lambda: ops.get(path).status_code == 404, "erased")
        assert second.post(f"{ADMIN}/reviews/{other}/claim").status_code == 200
        window.sees(f"there is no review '{identity}'")
        assert window.run(_TYPED) == "I am typed with care"
        assert second.post(f"{ADMIN}/reviews/{other}/release").status_code == 200


def _review_of(system: System, subject: str, question: str) -> str:
    """One that was opened of a person's question."""
    with client(system, "app") as app:
        answer = chat(app, "base", question, headers={"x-graftwork-subject": subject})
        decision = answer.headers["x-graftwork-decision-id"]
        shown = {"decision_id": decision, "kind": "demonstration", "value": "In the sea."}
        assert app.post("/v1/feedback", json=shown).status_code == 200
    deadline = time.monotonic() + 60
    while True:
        found = [row["id"] for row in waiting(system) if question in json.dumps(row)]
        if found:
            return str(found[0])
        assert time.monotonic() < deadline, "no review was opened"
        time.sleep(0.1)

"""Candidates over HTTP: a canary keeps its sessions, a shadow is never shown, both climb."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.system.client import Json, chat, eventually, move, push, said, target

pytestmark = pytest.mark.system

ALIAS = "candidates"
SESSIONS = [f"session-{number}" for number in range(16)]


@pytest.fixture
def live(http: httpx.Client, variants: list[Path]) -> Iterator[Json]:
    """A live version, gone after the test."""
    yield push(http, ALIAS, variants[0])
    move(http, ALIAS, "retire")


def of_session(http: httpx.Client, session: str) -> str:
    """Who answers a session."""
    return target(chat(http, ALIAS, max_tokens=1, graftwork={"session": session}))


def test_a_canary_keeps_its_sessions(http: httpx.Client, live: Json, variants: list[Path]) -> None:
    """Half of the sessions get it, each the same version every time; then all of them do."""
    canary = push(http, ALIAS, variants[1], stage="canary", percent="50")
    assert canary["state"] == "canary"
    served = {session: of_session(http, session) for session in SESSIONS}
    assert set(served.values()) == {f"adapter:{live['name']}", f"adapter:{canary['name']}"}
    assert {session: of_session(http, session) for session in SESSIONS} == served
    assert move(http, ALIAS, "promote", digest=canary["digest"])["state"] == "live"
    assert {of_session(http, session) for session in SESSIONS} == {f"adapter:{canary['name']}"}
    state = http.get(f"/admin/v1/adapters/{ALIAS}").json()
    assert (state["live"], state["candidates"]) == (canary["digest"], [])


def test_a_shadow_is_never_shown(http: httpx.Client, live: Json, variants: list[Path]) -> None:
    """It answers every request in secret, and is compared; the live version's answers go out."""
    before = said(chat(http, ALIAS))
    shadow = push(http, ALIAS, variants[2], stage="shadow", percent="100")
    assert shadow["state"] == "shadow"
    assert said(chat(http, shadow["name"])) != before, "it would show"

    def compared() -> bool:
        answer = chat(http, ALIAS)
        assert (target(answer), said(answer)) == (f"adapter:{live['name']}", before)
        seen = http.get(f"/admin/v1/adapters/{ALIAS}/versions/{shadow['digest']}").json()
        return int(seen["traffic"]["shadowed"]) >= 3

    eventually(compared, "three secret answers")
    move(http, ALIAS, "canary", digest=shadow["digest"], percent=100)
    assert target(chat(http, ALIAS)) == f"adapter:{shadow['name']}"
    move(http, ALIAS, "promote", digest=shadow["digest"])
    assert target(chat(http, ALIAS)) == f"adapter:{shadow['name']}"
    assert move(http, ALIAS, "rollback")["digest"] == live["digest"]
    assert said(chat(http, ALIAS)) == before

"""What tests of reviews from outside have in common."""

from __future__ import annotations

from typing import Any

import httpx

from tests.contract.client import ADMIN, chat, client, until
from tests.fakes.whole_system import System

REVIEWS = f"{ADMIN}/reviews"


def shown(http: httpx.Client, review: str) -> dict[str, Any]:
    """One item."""
    answer = http.get(f"{REVIEWS}/{review}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def listed(http: httpx.Client, **query: str) -> list[str]:
    """Ids of a whole list."""
    ids: list[str] = []
    while True:
        answer = http.get(REVIEWS, params=query)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert page["object"] == "list"
        ids += [row["id"] for row in page["data"]]
        if page["next"] is None:
            return ids
        query = {**query, "cursor": page["next"]}


def act(http: httpx.Client, review: str, what: str = "", **body: Any) -> httpx.Response:
    """Claim, release, undo; or judge."""
    return http.post(f"{REVIEWS}/{review}{what and '/' + what}", json=body or None)


def demanded(desk: System, text: str = "Hello") -> str:
    """A review that the rule wants."""
    with client(desk, "app") as app, client(desk, "ops") as ops:
        answer = chat(app, "base", text)
        assert answer.status_code == 202, answer.text
        review = str(answer.json()["id"])
        until(lambda: ops.get(f"{REVIEWS}/{review}").status_code == 200)
    return review

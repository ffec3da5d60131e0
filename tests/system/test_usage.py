"""Budgets and usage in the real system: leased by the registry, settled by the router."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.system.client import chat, eventually
from tests.system.config import BUDGET, INPUT_USD, OPENAI_FRONTIER, OUTPUT_USD

pytestmark = pytest.mark.system


def usage(http: httpx.Client, by: str) -> dict[str, Any]:
    """What the admin plane says."""
    return dict(http.get("/admin/v1/usage", params={"by": by}).raise_for_status().json())


def frontier_row(http: httpx.Client) -> dict[str, Any]:
    """What was used of the frontier model; zeros before anything was."""
    rows = usage(http, "target")["data"]
    found = [row for row in rows if row["target"] == f"frontier:{OPENAI_FRONTIER}"]
    return found[0] if found else {"requests": 0, "usd": 0.0, "input_tokens": 0}


def money(http: httpx.Client) -> dict[str, Any]:
    """The budget's account of money."""
    rows = usage(http, "tenant")["budgets"]
    return next(row for row in rows if row["metric"] == "usd")


def test_what_is_used_is_booked_by_the_registry(http: httpx.Client) -> None:
    """A frontier's answer shows up in usage and in the budget, at its price, within seconds."""
    chat(http, OPENAI_FRONTIER, "warm up")
    eventually(lambda: frontier_row(http)["requests"], "the first usage")
    before, spent = frontier_row(http), money(http)["spent"]
    told = chat(http, OPENAI_FRONTIER, "one two three").json()["usage"]
    cost = (told["prompt_tokens"] * INPUT_USD + told["completion_tokens"] * OUTPUT_USD) / 1e6

    eventually(lambda: frontier_row(http)["requests"] > before["requests"], "the second usage")
    after = frontier_row(http)
    assert after["usd"] - before["usd"] >= cost * 0.999
    eventually(lambda: money(http)["spent"] > spent, "the budget's account")
    account = money(http)
    assert account["budget"] == BUDGET["name"]
    assert account["spent"] + account["leased"] <= account["limit"]


def test_headers_tell_the_budget(http: httpx.Client) -> None:
    """The limit that is configured, and what is left of it."""
    headers = chat(http, OPENAI_FRONTIER).headers
    assert headers["x-ratelimit-limit-requests"] == str(BUDGET["requests"])
    assert 0 < int(headers["x-ratelimit-remaining-requests"]) < int(str(BUDGET["requests"]))

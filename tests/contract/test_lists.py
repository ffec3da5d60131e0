"""Lists of the admin plane: one shape, pages, times, and who may read what."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.contract.client import ADMIN, chat, client, error_of, push
from tests.fakes.whole_system import System

LISTS = ("adapters", "replicas", "decisions")


@pytest.fixture(scope="module")
def _filled(ops: httpx.Client, app: httpx.Client) -> None:
    for number in range(5):
        push(ops, f"listed{number}", number)
        chat(app, "tiny")
    time.sleep(0.2)


def pages(http: httpx.Client, path: str, limit: int) -> Iterator[list[dict[str, Any]]]:
    """Every page of a list."""
    cursor: str | None = None
    while True:
        more = {"cursor": cursor} if cursor else {}
        answer = http.get(f"{ADMIN}/{path}", params={"limit": limit, **more})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert page["object"] == "list"
        assert len(page["data"]) <= limit
        yield page["data"]
        cursor = page["next"]
        if cursor is None:
            return


def totals(http: httpx.Client, **question: Any) -> tuple[int, float, list[dict[str, Any]]]:
    """Requests and USD of all rows, and the rows."""
    answer = http.get(f"{ADMIN}/usage", params={"since": int(time.time()) - 3600, **question})
    assert answer.status_code == 200, answer.text
    rows = answer.json()["data"]
    return sum(row["requests"] for row in rows), sum(row["usd"] for row in rows), rows


HEADINGS = {
    "routing",
    "governance",
    "context-stitching",
    "monitoring",
    "policy",
    "data-prep",
    "audit",
}


@pytest.mark.parametrize("by", ["intent", "target", "version"])
def test_usage_adds_up(ops: httpx.Client, keyed: System, by: str) -> None:
    """Rows by a dimension; what they cost is what the answers said they cost."""
    before, spent, _ = totals(ops, by=by, tenant="other")
    with client(keyed, "other") as http:
        costs = [float(chat(http, "cloud/big").headers["x-graftwork-cost-usd"]) for _ in range(3)]
    deadline = time.monotonic() + 12
    requests, usd, rows = totals(ops, by=by, tenant="other")
    while requests < before + 3 and time.monotonic() < deadline:
        time.sleep(0.2)
        requests, usd, rows = totals(ops, by=by, tenant="other")
    assert requests == before + 3
    assert usd - spent == pytest.approx(sum(costs), abs=1e-7)
    assert all(row.keys() >= {by, "time_ms", "input_tokens", "output_tokens"} for row in rows)


@pytest.mark.usefixtures("_filled")
def test_since_is_an_iso_time_or_epoch_seconds(ops: httpx.Client) -> None:
    """The same decisions by both; none from the future."""
    hour_ago, in_an_hour = time.time() - 3600, time.time() + 3600
    for stamp, some in ((hour_ago, True), (in_an_hour, False)):
        iso = datetime.fromtimestamp(stamp, UTC).isoformat()
        by_both = [
            ops.get(f"{ADMIN}/decisions", params={"since": since}).json()["data"]
            for since in (str(int(stamp)), iso)
        ]
        assert bool(by_both[0]) is some
        assert [each["id"] for each in by_both[0]] == [each["id"] for each in by_both[1]]


def test_what_is_not_there(ops: httpx.Client) -> None:
    """404 in the one envelope."""
    for path in ("nowhere", "decisions/dec_0", "adapters/nobody"):
        answer = ops.get(f"{ADMIN}/{path}")
        assert answer.status_code == 404, path
        assert error_of(answer).keys() >= {"message", "type", "code"}

"""Lists of the admin plane: one shape, pages, times, and who may read what."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.contract.client import ADMIN, chat, client, error_of, push, until
from tests.fakes.engine_speech import Says
from tests.fakes.whole_system import System

LISTS = ("adapters", "replicas", "decisions")
_WAITED_MS = 5 * 500
"""What the engine lets five requests wait."""
HEADINGS = {
    "routing",
    "governance",
    "context-stitching",
    "monitoring",
    "policy",
    "data-prep",
    "audit",
}


@pytest.fixture(scope="module")
def _filled(ops: httpx.Client, app: httpx.Client) -> None:
    for number in range(5):
        push(ops, f"listed{number}", number)
        chat(app, "tiny")
    until(lambda: len(ops.get(f"{ADMIN}/decisions").json()["data"]) >= 5)


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


@pytest.mark.usefixtures("_filled")
@pytest.mark.parametrize("path", LISTS)
def test_a_list_has_one_shape(ops: httpx.Client, path: str) -> None:
    """``{"object": "list", "data": […], "next": …}``."""
    page = ops.get(f"{ADMIN}/{path}").json()
    assert page["object"] == "list"
    assert isinstance(page["data"], list)
    assert page["data"]
    assert "next" in page


@pytest.mark.usefixtures("_filled")
@pytest.mark.parametrize(("path", "name"), [("adapters", "alias"), ("decisions", "id")])
def test_pages_hold_everything_once(ops: httpx.Client, path: str, name: str) -> None:
    """A cursor goes on where the last page ended."""
    whole = [each[name] for each in ops.get(f"{ADMIN}/{path}").json()["data"]]
    found = [each[name] for page in pages(ops, path, 2) for each in page]
    assert found == whole
    assert len(found) == len(set(found)) >= 5


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "x", "1.5"])
@pytest.mark.parametrize("path", ["adapters", "decisions"])
def test_a_limit_has_bounds(ops: httpx.Client, path: str, limit: str) -> None:
    """1 to 1000."""
    answer = ops.get(f"{ADMIN}/{path}", params={"limit": limit})
    assert answer.status_code in {400, 422}, answer.text
    assert error_of(answer)


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


@pytest.mark.usefixtures("_filled")
def test_times_are_iso(ops: httpx.Client) -> None:
    """Wherever one is told."""
    [decision, *_] = ops.get(f"{ADMIN}/decisions?limit=1").json()["data"]
    for name in decision.keys() & {"time", "at"}:
        datetime.fromisoformat(decision[name])
    detail = ops.get(f"{ADMIN}/adapters/listed0").json()
    for version in detail["versions"]:
        datetime.fromisoformat(version["created_at"])


@pytest.mark.usefixtures("_filled")
def test_who_may_read_what(keyed: System) -> None:
    """An auditor reads decisions and usage and moves nothing; a reviewer reads neither."""
    for name, path, status in (
        ("ops", "decisions", 200),
        ("auditor", "decisions", 200),
        ("auditor", "usage", 200),
        ("auditor", "adapters", 403),
        ("reviewer", "decisions", 403),
        ("reviewer", "adapters", 403),
        ("app", "decisions", 403),
        ("app", "usage", 403),
    ):
        with client(keyed, name) as http:
            assert http.get(f"{ADMIN}/{path}").status_code == status, (name, path)


def test_what_is_not_there(ops: httpx.Client) -> None:
    """404 in the one envelope."""
    for path in ("nowhere", "decisions/dec_0", "adapters/nobody"):
        answer = ops.get(f"{ADMIN}/{path}")
        assert answer.status_code == 404, path
        assert error_of(answer).keys() >= {"message", "type", "code"}


def totals(http: httpx.Client, **question: Any) -> tuple[int, float, list[dict[str, Any]]]:
    """Requests and USD of all rows, and the rows."""
    answer = http.get(f"{ADMIN}/usage", params={"since": int(time.time()) - 3600, **question})
    assert answer.status_code == 200, answer.text
    rows = answer.json()["data"]
    return sum(row["requests"] for row in rows), sum(row["usd"] for row in rows), rows


@pytest.mark.parametrize("by", ["intent", "target", "version"])
def test_usage_adds_up(ops: httpx.Client, keyed: System, by: str) -> None:
    """Rows by a dimension; what they cost is what the answers said they cost."""
    before, spent, _ = totals(ops, by=by, tenant="other")
    with client(keyed, "other") as http:
        costs = [float(chat(http, "cloud/big").headers["x-graftwork-cost-usd"]) for _ in range(3)]
    deadline = time.monotonic() + 60
    requests, usd, rows = totals(ops, by=by, tenant="other")
    while requests < before + 3 and time.monotonic() < deadline:
        time.sleep(0.2)
        requests, usd, rows = totals(ops, by=by, tenant="other")
    assert requests == before + 3
    assert usd - spent == pytest.approx(sum(costs), abs=1e-7)
    assert all(row.keys() >= {by, "time_ms", "input_tokens", "output_tokens"} for row in rows)


def test_usage_by_heading(ops: httpx.Client, keyed: System) -> None:
    """Only the seven headings; together they are the requests' overhead, waiting is apart."""
    for engine in keyed.engines.values():
        engine.says["tiny"] = Says(delay_s=0.5)
    try:
        with client(keyed, "reviewed") as http:
            answers = [chat(http, "tiny") for _ in range(5)]
    finally:
        for engine in keyed.engines.values():
            del engine.says["tiny"]
    overhead = sum(float(answer.headers["x-graftwork-overhead-ms"]) for answer in answers)

    def booked() -> list[dict[str, Any]]:
        """The rows; a request is counted before its last byte leaves, its time afterwards."""
        _, _, rows = totals(ops, by="heading", tenant="reviewed")
        told = sum(row["time_ms"] for row in rows)
        waited = sum(row["target_ms"] for row in rows)
        counted = sum(row["requests"] for row in rows) == len(answers) * len(HEADINGS)
        return rows if counted and told >= overhead and waited >= _WAITED_MS else []

    rows = until(booked)
    assert {row["heading"] for row in rows} == HEADINGS
    # The last byte's way out comes after the header was written, and a busy machine lets it wait.
    assert sum(row["time_ms"] for row in rows) <= 1.5 * overhead + _WAITED_MS

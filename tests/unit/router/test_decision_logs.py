"""Decisions and feedback are found again on this machine: by id, tenant, target and time."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from adapters.records import writer as writing
from adapters.records.config import AuditConfig, RecordsConfig
from adapters.records.line import Entry, Kind
from adapters.records.writer import RecordLog
from adapters.resources import BadField
from router.audit.decision import to_json
from router.audit.logs import DecisionLog, FeedbackLog, open_logs
from router.audit.query import RecordQuery, parse_query, place
from router.errors import AuditUnavailable, InvalidRequest


def record(number: int, **more: Any) -> dict[str, Any]:
    """A decision record, as far as anybody looks into it."""
    return {"id": f"dec_{number}", "at": float(number), "tenant": "shop", "target": "base", **more}


def ended(decision: dict[str, Any], at: float | None = None) -> Entry:
    """The end of a request."""
    fields = {"tenant": decision["tenant"], "target": decision["target"], "status": 200}
    at = decision["at"] if at is None else at
    return Entry(Kind.END, at, None, decision["id"], "app", fields, to_json(decision))


def ids(records: list[dict[str, Any]]) -> list[str]:
    """Which records these are."""
    return [each["id"] for each in records]


@asynccontextmanager
async def logs(root: Path) -> AsyncIterator[tuple[RecordLog, RecordLog]]:
    """Both logs of a router, running."""
    requests, feedback = open_logs(root, "one", RecordsConfig(), AuditConfig())
    requests.start()
    feedback.start()
    try:
        yield requests, feedback
    finally:
        requests.close()
        feedback.close()


async def test_filters(tmp_path: Path) -> None:
    """By time, target (of any version) and tenant."""
    async with logs(tmp_path) as (log, _):
        targets = ["base", "adapter:returns@0123456789ab", "frontier:cloud/big"]
        for number in range(30):
            tenant = "shop" if number % 2 else "bank"
            log.add(ended(record(number, target=targets[number % 3], tenant=tenant)))
        newest = DecisionLog(log).newest
        assert ids(await newest(RecordQuery(limit=2))) == ["dec_29", "dec_28"]
        assert len(await newest(RecordQuery(since_s=20.0))) == 10
        assert len(await newest(RecordQuery(target="adapter:returns"))) == 10
        assert len(await newest(RecordQuery(target=targets[1], tenant="shop"))) == 5
        assert await newest(RecordQuery(tenant="nobody")) == []
        found = await DecisionLog(log).find("dec_3")
        assert found == record(3, target="base", tenant="shop")
        assert await DecisionLog(log).find("dec_99") is None


async def test_the_newest_are_those_that_came_last_not_those_that_ended_last(
    tmp_path: Path,
) -> None:
    """A long request that came first stands below shorter ones that came later."""
    async with logs(tmp_path) as (log, _):
        for number in range(5):
            log.add(ended(record(number)))
        log.add(ended(record(-1), at=100.0))
        found = await DecisionLog(log).newest(RecordQuery(limit=3, since_s=0.0))
        assert ids(found) == ["dec_4", "dec_3", "dec_2"]


async def test_a_list_goes_on_where_a_page_ended(tmp_path: Path) -> None:
    """Whatever ended when, and however many came at the same moment; each once."""
    async with logs(tmp_path) as (log, _):
        for number in range(20):
            same_moment = {**record(number), "at": float(number // 4)}
            log.add(ended(same_moment, at=number // 4 + float(number % 7)))
        newest = DecisionLog(log).newest
        whole = await newest(RecordQuery())
        found: list[dict[str, Any]] = []
        while page := await newest(RecordQuery(3, before=place(found[-1]) if found else None)):
            found += page
        assert found == whole
        assert len(found) == 20


async def test_an_end_without_a_decision_is_told_as_far_as_it_is_known(tmp_path: Path) -> None:
    """Of a request that a crash cut off, or whose content was erased."""
    async with logs(tmp_path) as (log, _):
        fields = {"outcome": "lost", "status": 0, "tenant": "shop"}
        log.add(Entry(Kind.END, 5.0, "req_1", "dec_1", "app", fields))
        found = await DecisionLog(log).find("dec_1")
        assert found is not None
        assert (found["id"], found["caller"], found["tenant"]) == ("dec_1", "app", "shop")
        assert (found["at"], found["error"], found["status"]) == (5.0, "lost", 0)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", RecordQuery()),
        ("limit=5&tenant=a%26b", RecordQuery(5, tenant="a&b")),
        ("since=12.5&target=base", RecordQuery(since_s=12.5, target="base")),
        ("since=1970-01-02", RecordQuery(since_s=86_400.0)),
        ("before=12.5%2Cdec_1", RecordQuery(before=(12.5, "dec_1"))),
    ],
)
def test_queries_are_read_and_written(query: str, found: RecordQuery) -> None:
    """A query reaches a peer as it came."""
    assert parse_query(query) == found
    assert parse_query(found.encoded()) == found


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1002", "limit=x", "since=soon", "since=nan", "taget=base", "status=ok"],
)
def test_odd_queries_are_explained(query: str) -> None:
    """400, not an empty list."""
    with pytest.raises((InvalidRequest, BadField)):
        parse_query(query)


def test_what_json_cannot_hold_is_still_a_record() -> None:
    """An odd value must not stop the log."""
    found = orjson.loads(to_json({"id": "dec_1", "at": 1.0, "count": 2**80}))
    assert found["id"] == "dec_1"
    assert "unencodable" in found


async def test_feedback_is_acknowledged_only_when_it_is_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Durable when it returns; refused while the disk takes nothing."""
    async with logs(tmp_path) as (_, log):
        said = {"id": "fb_1", "at": 1.0, "decision_id": "dec_1", "value": True}
        await FeedbackLog(log).add(said)
        assert await FeedbackLog(log).about("dec_1") == [said]
        assert await FeedbackLog(log).about("dec_2") == []
        assert await FeedbackLog(log).newest(10, 0.0) == [said]
        disk, really = threading.Event(), os.write

        def write(handle: int, data: Any) -> int:
            disk.wait()
            return really(handle, data)

        monkeypatch.setattr(os, "write", write)
        monkeypatch.setattr(writing, "PATIENCE_S", 0.05)
        monkeypatch.setattr(writing, "STALLED_S", 0.05)
        try:
            for number in (2, 3):
                with pytest.raises(AuditUnavailable):
                    await FeedbackLog(log).add({**said, "id": f"fb_{number}"})
        finally:
            disk.set()

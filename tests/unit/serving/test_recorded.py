"""Admin actions are on record: one each, before the answer, with who did it; reading is not."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from adapters.records import writer as writing
from adapters.records.writer import RecordLog
from adapters.resources import Resource
from router.errors import NotFound
from router.wire.table import ResourceApp, bound
from serving.registry.recorded import RecordedAdmin
from tests.fakes.records import records, running_log

PREFIX = "/admin/v1"
BOSS = {"x-graftwork-actor": "boss", "x-request-id": "req_1"}


def client(log: RecordLog, done: list[str]) -> httpx.AsyncClient:
    """A caller of an admin plane with one action."""

    async def promote(request: Request) -> JSONResponse:
        done.append(request.method)
        return JSONResponse({"state": "live"}, status_code=201)

    route = Route(f"{PREFIX}/adapters/{{alias}}/promote", promote, methods=["GET", "POST"])
    inner: Any = Starlette(routes=[route])
    app: Any = RecordedAdmin(inner, log, PREFIX)
    transport = httpx.ASGITransport(app)
    return httpx.AsyncClient(transport=transport, base_url=f"http://test{PREFIX}", headers=BOSS)


async def refuses(log: RecordLog) -> None:
    """Who was given up had waited from before the disk was tried: it may not be stalled yet."""
    async with asyncio.timeout(30):
        while log.refusal() is None:  # noqa: ASYNC110 - the log has no event for it
            await asyncio.sleep(0.01)


async def test_an_action_has_one_record_when_it_is_answered(tmp_path: Path) -> None:
    """Who, what, and how it ended; what only reads leaves none; a refused one leaves one too."""
    done: list[str] = []
    with running_log(tmp_path) as log:
        async with client(log, done) as caller:
            assert (await caller.post("/adapters/returns/promote")).status_code == 201
            told = [each for each in records(tmp_path) if each["kind"] == "admin"]
            assert (await caller.get("/adapters/returns/promote")).status_code == 201
            assert (await caller.post("/adapters/returns/nothing")).status_code == 404
    [promoted] = told
    assert (promoted["actor"], promoted["request_id"]) == ("boss", "req_1")
    assert (promoted["action"], promoted["status"]) == ("POST /adapters/returns/promote", 201)
    everything = [each for each in records(tmp_path) if each["kind"] == "admin"]
    assert [each["status"] for each in everything] == [201, 404]


async def test_what_cannot_be_recorded_is_not_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 ``audit_unavailable`` while the disk takes nothing; nothing else was sent before."""
    disk, really = threading.Event(), os.write

    def write(handle: int, data: Any) -> int:
        disk.wait()
        return really(handle, data)

    monkeypatch.setattr(writing, "PATIENCE_S", 0.05)
    monkeypatch.setattr(writing, "STALLED_S", 0.05)
    done: list[str] = []
    with running_log(tmp_path) as log:
        monkeypatch.setattr(os, "write", write)
        try:
            async with client(log, done) as caller:
                for count in (1, 1):
                    answer = await caller.post("/adapters/returns/promote")
                    assert answer.status_code == 503
                    assert answer.json()["error"]["code"] == "audit_unavailable"
                    assert len(done) == count  # the second was refused before it was done
                    await refuses(log)
        finally:
            disk.set()
    assert len([each for each in records(tmp_path) if each["kind"] == "admin"]) == 1


async def test_what_somebody_typed_in_a_path_is_not_on_record(tmp_path: Path) -> None:
    """Of what is not there only the row; else what its form gives away is named by its kind."""

    async def done(_needed: object, _request: Request) -> JSONResponse:
        if _request.path_params["id"] == "Maria Quast":
            raise NotFound("There is none.")
        return JSONResponse({})

    rows = bound([Resource("admin", "DELETE", f"{PREFIX}/documents/{{id}}", done)], None)
    typed = ("Maria Quast", "ann@example.org", "4111111111111111", "doc_1")
    with running_log(tmp_path) as log:
        app: Any = RecordedAdmin(ResourceApp(rows), log, PREFIX)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as caller:
            for each in typed:
                await caller.delete(f"{PREFIX}/documents/{each}")
            assert (await caller.put(f"{PREFIX}/documents/ann@example.org")).status_code == 405
            assert (await caller.delete(f"{PREFIX}/ann@example.org")).status_code == 404
    kept = [each["action"] for each in records(tmp_path) if each["kind"] == "admin"]
    assert kept == [
        "DELETE /documents/{id}",
        "DELETE /documents/[EMAIL]",
        "DELETE /documents/[CREDIT_CARD]",
        "DELETE /documents/doc_1",
        "PUT /documents/{id}",
        "DELETE a path that is not there",
    ]

"""Several machines, a log each: one list, one verdict, proofs from whoever has the record."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest

from adapters.aliases import Peer
from adapters.records.auditing import Audit
from adapters.records.files import Layout
from adapters.records.holds import Holds
from router.admin import audit, holds
from router.wire.table import ResourceApp, bound
from serving.registry.auditing import RouterLogs
from tests.fakes.frontier import FakeFrontier
from tests.fakes.records import fill, lines, running_log
from tests.fakes.running_router import internal_surface, running_router
from tests.unit.serving.test_records_http import ask, settings

AUDIT = "/admin/v1/audit"
SHE = {"x-graftwork-subject": "Ada"}


@pytest.fixture
def frontier() -> Iterator[FakeFrontier]:
    """The provider."""
    with FakeFrontier() as running:
        yield running


@asynccontextmanager
async def auditor(root: Path, peers: list[Peer]) -> AsyncIterator[httpx.AsyncClient]:
    """Who asks a registry that has a log of its own in ``root``."""
    logs = RouterLogs(lambda: tuple(peers))
    with running_log(root, "registry") as log:
        await fill(log, 2)
        own = Audit(log)
        rows = bound(audit.RESOURCES, audit.Auditing(own, logs))
        rows += bound(holds.RESOURCES, holds.Holding(own.holds, logs))
        transport = httpx.ASGITransport(ResourceApp(rows))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield client
    await logs.aclose()


async def get(client: httpx.AsyncClient, path: str = "", **query: Any) -> dict[str, Any]:
    """A JSON answer."""
    answer = await client.get(AUDIT + path, params=query)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_one_question_is_answered_for_all_machines(
    tmp_path: Path, frontier: FakeFrontier
) -> None:
    """Records in one order over pages, each once, also where two share a disk; a person's by the
    name, whose hash differs on each machine; a change on one of them is found.
    """
    peers: list[Peer] = []
    async with (
        aiohttp.ClientSession() as http,
        running_router(settings(tmp_path / "far", frontier), "far") as (far, far_process),
        running_router(settings(tmp_path / "near", frontier), "near") as (near, near_process),
        internal_surface(far_process, "far") as far_peer,
        internal_surface(near_process, "near") as near_peer,
        auditor(tmp_path / "near" / "audit", peers) as client,
    ):
        peers += [far_peer, near_peer]
        for url in (far, near, far):
            await ask(http, url, headers=SHE)
        whole, cursor = [], None
        while True:
            page = await get(client, limit=4, **({} if cursor is None else {"cursor": cursor}))
            whole += page["data"]
            cursor = page["next"]
            assert "missing" not in page
            if cursor is None:
                break
            assert len(page["data"]) == 4
        assert whole == (await get(client, limit=1000))["data"]
        assert [each["time"] for each in whole] == sorted(each["time"] for each in whole)
        assert len({each["writer"].split("-")[0] for each in whole}) == 3
        hers = (await get(client, subject="Ada"))["data"]
        assert [each["kind"] for each in hers].count("request.end") == 3
        assert len({each["subjects"][0] for each in hers}) == 2
        writer = next(each["writer"] for each in hers if each["writer"].startswith("far"))
        proof = await get(client, "/1/proof", writer=writer)
        [leaf] = [e["hash"] for e in whole if (e["writer"], e["sequence"]) == (writer, 1)]
        assert proof["leaf_hash"] == leaf
        unknown = await client.get(f"{AUDIT}/1/proof", params={"writer": "nobody"})
        assert unknown.status_code == 404
        verdict = await get(client, "/verify")
        assert (verdict["ok"], verdict["problems"]) == (True, [])
        assert verdict["records"] == len(whole)
        [path] = (tmp_path / "far" / "audit" / "segments").iterdir()
        kept = lines(path)
        path.write_bytes(b"".join([kept[0], kept[1].replace(b'"Ada"', b'"Bob"'), *kept[3:]]))
        verdict = await get(client, "/verify")
        assert verdict["ok"] is False
        assert {each["writer"] for each in verdict["problems"]} == {writer}


async def test_a_machine_that_does_not_answer_is_named(
    tmp_path: Path, frontier: FakeFrontier
) -> None:
    """And nothing is said to be whole that nobody looked at."""
    peers = [Peer(id="gone", url="http://127.0.0.1:9", secret="x")]
    async with auditor(tmp_path / "audit", peers) as client:
        page = await get(client)
        assert page["missing"] == ["gone"]
        assert page["data"]
        verdict = await get(client, "/verify")
        assert (verdict["ok"], verdict["missing"], verdict["problems"]) == (False, ["gone"], [])


async def test_a_hold_is_kept_on_every_machine(tmp_path: Path, frontier: FakeFrontier) -> None:
    """Each hashes the name in its own way; who did not hear of it is named."""
    peers: list[Peer] = []
    async with (
        running_router(settings(tmp_path / "far", frontier), "far") as (_, process),
        internal_surface(process, "far") as peer,
        auditor(tmp_path / "near" / "audit", peers) as client,
    ):
        peers.append(peer)
        answer = await client.post(f"{AUDIT}/holds", json={"subject": "Ada", "tenant": "shop"})
        made = answer.json()
        assert "missing" not in made
        [kept] = Holds(Layout(tmp_path / "far" / "audit")).all()
        assert (kept.id, kept.tenant) == (made["id"], "shop")
        assert kept.subject_hash not in (None, made["subject_hash"])
        peers.append(Peer(id="gone", url="http://127.0.0.1:9", secret="x"))
        released = await client.delete(f"{AUDIT}/holds/{made['id']}")
        assert released.json()["missing"] == ["gone"]
        assert Holds(Layout(tmp_path / "far" / "audit")).all() == []

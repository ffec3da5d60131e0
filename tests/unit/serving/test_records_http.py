"""Decision records and feedback over real HTTP: after a restart, and from any router."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from adapters.aliases import RoutingTable
from adapters.records import writer as writing
from adapters.records.config import AuditConfig, Durability
from adapters.records.verify import verify
from router.admit.keys import hash_key
from serving.config.settings import Settings
from tests.fakes.frontier import FakeFrontier
from tests.fakes.records import records
from tests.fakes.running_router import internal_surface, running_router, settings_with

CARD = {"id": "big", "input_usd_per_mtok": 1.0, "output_usd_per_mtok": 2.0}


@pytest.fixture
def frontier() -> Iterator[FakeFrontier]:
    """The provider."""
    with FakeFrontier() as running:
        yield running


def settings(root: Path, frontier: FakeFrontier, **more: Any) -> Settings:
    """A router with one priced model."""
    provider = {"name": "cloud", "base_url": frontier.openai_url, "models": [CARD]}
    return settings_with(root, providers=[provider], **more)


async def ask(
    client: aiohttp.ClientSession, url: str, model: str = "cloud/big", **more: Any
) -> tuple[str, aiohttp.ClientResponse, bytes]:
    """One chat: the decision's id, the response, its body."""
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], **more}
    headers = body.pop("headers", {})
    async with client.post(f"{url}/v1/chat/completions", json=body, headers=headers) as answer:
        return answer.headers["x-graftwork-decision-id"], answer, await answer.read()


async def look(client: aiohttp.ClientSession, url: str, path: str = "") -> Any:
    """What the admin plane says of decisions."""
    async with client.get(f"{url}/admin/v1/decisions{path}") as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def test_records_and_feedback_survive_a_restart(
    tmp_path: Path, frontier: FakeFrontier
) -> None:
    """Answered and refused requests alike, with what was said of them."""
    config = settings(tmp_path, frontier)
    async with aiohttp.ClientSession() as client:
        async with running_router(config, "first") as (url, _):
            answered, _, _ = await ask(client, url)
            refused, _, _ = await ask(client, url, model="nobody")
            said = {"decision_id": answered, "kind": "boolean", "value": True}
            async with client.post(f"{url}/v1/feedback", json=said) as answer:
                assert answer.status == 200
            found = await look(client, url)
            assert {each["id"] for each in found["data"]} == {answered, refused}
        async with running_router(config, "second") as (url, _):
            record = await look(client, url, f"/{answered}")
            assert record["target"] == "frontier:cloud/big"
            assert record["attempts"][0]["estimated"] is False
            assert [each["value"] for each in record["feedback"]] == [True]
            assert (await look(client, url, f"/{refused}"))["status"] == 404
            [only] = (await look(client, url, "?target=frontier:cloud/big"))["data"]
            assert only["id"] == answered
            assert (await look(client, url, "?tenant=nobody"))["data"] == []


async def test_any_router_knows_what_another_recorded(
    tmp_path: Path, frontier: FakeFrontier
) -> None:
    """Two machines: each asks the other; nothing is told twice."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(aiohttp.ClientSession())
        urls, processes, peers = [], [], []
        for name in ("one", "two"):
            config = settings(tmp_path / name, frontier)
            url, process = await stack.enter_async_context(running_router(config, name))
            peers.append(await stack.enter_async_context(internal_surface(process, name)))
            urls.append(url)
            processes.append(process)
        for process in processes:
            table = RoutingTable(revision=2, base_id="tiny", routers=tuple(peers))
            process.holder.apply(table)
        ours = [(await ask(client, url))[0] for url in urls]
        for url in urls:
            found = await look(client, url)
            assert sorted(each["id"] for each in found["data"]) == sorted(ours)
        # Feedback on the other router's decision is seen from both.
        said = {"decision_id": ours[0], "kind": "comment", "value": "good"}
        async with client.post(f"{urls[1]}/v1/feedback", json=said) as answer:
            assert answer.status == 200
        for url in urls:
            record = await look(client, url, f"/{ours[0]}")
            assert [each["value"] for each in record["feedback"]] == ["good"]


async def test_feedback_is_about_ones_own(tmp_path: Path, frontier: FakeFrontier) -> None:
    """Another tenant's decisions do not exist for a caller; for an operator they do."""
    scopes = {"app": ["inference"], "other": ["inference"], "boss": ["inference", "admin"]}
    keys = [
        {"name": name, "sha256": hash_key(name), "tenant": name, "scopes": may}
        for name, may in scopes.items()
    ]
    config = settings(tmp_path, frontier, auth={"keys": keys})
    async with running_router(config) as (url, _), aiohttp.ClientSession() as client:
        identity, _, _ = await ask(client, url, headers={"x-api-key": "app"})
        said = {"decision_id": identity, "kind": "boolean", "value": True}
        for name, status in (("app", 200), ("other", 404), ("boss", 200)):
            headers = {"x-api-key": name}
            async with client.post(f"{url}/v1/feedback", json=said, headers=headers) as answer:
                assert answer.status == status


async def test_a_queue_that_is_full_refuses_and_loses_nothing(
    tmp_path: Path, frontier: FakeFrontier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With asynchronous records and a disk that hangs: 503 before a target is called."""
    disk, really = threading.Event(), os.write

    def write(handle: int, data: Any) -> int:
        disk.wait()
        return really(handle, data)

    config = settings(tmp_path, frontier, records={"max_queued": 10, "sync_ms": 0})
    config = config.model_copy(update={"audit": AuditConfig(durability=Durability.ASYNC)})
    async with running_router(config) as (url, _), aiohttp.ClientSession() as client:
        with monkeypatch.context() as patched:
            patched.setattr(os, "write", write)
            try:
                statuses = [(await ask(client, url))[1].status for _ in range(8)]
                assert statuses == [200] * 5 + [503] * 3
                assert len(frontier.requests) == 5
            finally:
                disk.set()
        found: dict[str, Any] = {"data": []}
        while len(found["data"]) < 5:
            found = await look(client, url)
        identity, answer, _ = await ask(client, url)
        assert answer.status == 200
        assert (await look(client, url, f"/{identity}"))["status"] == 200
    told = records(tmp_path / "audit")
    begun = [each for each in told if each["kind"] == "request.begin"]
    assert [each["durability"] for each in begun] == ["async"] * 6
    assert len([each for each in told if each["kind"] == "request.end"]) == 6
    [refused] = [each for each in told if each.get("about") == "refused"]
    assert refused["counts"] == {"503": 3}


async def test_everybody_who_was_admitted_has_both_records_and_nobody_else(
    tmp_path: Path, frontier: FakeFrontier
) -> None:
    """Answered, refused and unreadable alike; who only asks has none, strangers are summed up."""
    keys = [{"name": "app", "sha256": hash_key("app"), "tenant": "shop", "scopes": ["inference"]}]
    config = settings(tmp_path, frontier, auth={"keys": keys})
    mine = {"x-api-key": "app", "x-graftwork-subject": "Ada Lovelace"}
    async with running_router(config) as (url, _), aiohttp.ClientSession() as client:
        answered, _, _ = await ask(client, url, headers=mine, user="ada@example.com")
        nobody, _, _ = await ask(client, url, "nobody", headers=mine)
        async with client.post(f"{url}/v1/chat/completions", data=b"{", headers=mine) as unreadable:
            assert unreadable.status == 400
        body = {"model": "cloud/big", "messages": [{"role": "user", "content": "hi"}]}
        async with client.post(f"{url}/v1/decision", json=body, headers=mine) as told:
            assert told.status == 200
        for _ in range(3):
            _, stranger, _ = await ask(client, url, headers={"x-api-key": "wrong"})
            assert stranger.status == 401
    told_records = records(tmp_path / "audit")
    begins = [each for each in told_records if each["kind"] == "request.begin"]
    ends = [each for each in told_records if each["kind"] == "request.end"]
    names = [answered, nobody, unreadable.headers["x-graftwork-decision-id"]]
    assert [each["decision_id"] for each in begins] == names
    assert [(each["decision_id"], each["status"]) for each in ends] == list(
        zip(names, (200, 404, 400), strict=True)
    )
    assert [each["outcome"] for each in ends] == ["answered", "refused", "refused"]
    assert {each["actor"] for each in begins} == {"app"}
    [refused] = [each for each in told_records if each.get("about") == "refused"]
    assert refused["counts"] == {"401": 3}
    # Two names of one request, as keyed hashes; the names themselves are in no file.
    assert [len(each["subjects"]) for each in ends] == [2, 1, 1]
    assert begins[0]["subjects"][0] in ends[0]["subjects"]
    for path in (tmp_path / "audit").rglob("*"):
        if path.is_file():
            assert b"Lovelace" not in path.read_bytes()
            assert b"ada@example.com" not in path.read_bytes()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Writes wait while it is clear."""
    working, really = threading.Event(), os.write

    def write(handle: int, data: Any) -> int:
        working.wait(60)
        return really(handle, data)

    monkeypatch.setattr(os, "write", write)
    monkeypatch.setattr(writing, "PATIENCE_S", 60.0)
    working.set()
    yield working
    working.set()


@pytest.mark.parametrize("stream", [False, True])
async def test_no_byte_leaves_before_the_begin_is_on_disk(
    tmp_path: Path,
    frontier: FakeFrontier,
    disk: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
    *,
    stream: bool,
) -> None:
    """The target has answered, and the client hears nothing until the disk has the record."""
    async with (
        running_router(settings(tmp_path, frontier)) as (url, _),
        aiohttp.ClientSession() as client,
    ):
        await ask(client, url)
        disk.clear()
        asked = asyncio.create_task(ask(client, url, stream=stream))
        while len(frontier.requests) < 2:  # noqa: ASYNC110 - the provider has no event for it
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        assert not asked.done()
        disk.set()
        _, answer, body = await asked
        assert answer.status == 200
        assert (b"[DONE]" in body) is stream
        # A disk that stays away: the answer is given up, and the error says why.
        monkeypatch.setattr(writing, "PATIENCE_S", 0.5)
        disk.clear()
        _, refused, body = await ask(client, url, stream=stream)
        assert refused.status == 503
        assert b"audit_unavailable" in body
        disk.set()


async def test_a_stream_does_not_end_well_before_its_end_is_on_disk(
    tmp_path: Path,
    frontier: FakeFrontier,
    disk: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """When the disk goes away in its middle, an error event stands before the end mark."""
    frontier.delay_s = 0.2
    async with (
        running_router(settings(tmp_path, frontier)) as (url, _),
        aiohttp.ClientSession() as client,
    ):
        body = {
            "model": "cloud/big",
            "stream": True,
            "messages": [{"role": "user", "content": "x"}],
        }
        async with client.post(f"{url}/v1/chat/completions", json=body) as answer:
            assert answer.status == 200
            heard = await answer.content.readany()
            disk.clear()
            monkeypatch.setattr(writing, "PATIENCE_S", 0.5)
            heard += await answer.content.read()
        assert b'"code":"audit_unavailable"' in heard.split(b"[DONE]")[0]
        disk.set()
    assert verify(tmp_path / "audit").problems == []


async def test_feedback_and_dry_runs_are_limited(tmp_path: Path, frontier: FakeFrontier) -> None:
    """They count against the tenant's rate, and a judgement's size has a limit of its own."""
    limits = {"requests_per_minute": 6, "max_feedback_bytes": 1024}
    async with (
        running_router(settings(tmp_path, frontier, limits=limits)) as (url, _),
        aiohttp.ClientSession() as client,
    ):
        identity, _, _ = await ask(client, url)
        said = {"decision_id": identity, "kind": "comment", "value": "x" * 2000}
        async with client.post(f"{url}/v1/feedback", json=said) as answer:
            assert answer.status == 413
        said["value"] = "good"
        statuses = []
        for _ in range(3):
            async with client.post(f"{url}/v1/feedback", json=said) as answer:
                statuses.append(answer.status)
            body = {"model": "cloud/big", "messages": [{"role": "user", "content": "hi"}]}
            async with client.post(f"{url}/v1/decision", json=body) as answer:
                statuses.append(answer.status)
        assert statuses == [200, 200, 200, 200, 429, 429]


@pytest.mark.parametrize("durability", list(Durability))
async def test_readiness_tells_what_an_answer_waits_for(
    tmp_path: Path, frontier: FakeFrontier, durability: Durability
) -> None:
    """As configured; each begin record says it too."""
    config = settings(tmp_path, frontier)
    config = config.model_copy(update={"audit": AuditConfig(durability=durability)})
    async with running_router(config) as (url, _), aiohttp.ClientSession() as client:
        async with client.get(f"{url}/readyz") as answer:
            assert (await answer.json())["audit"] == {"durability": durability.value}
        await ask(client, url)
    [begun] = [each for each in records(tmp_path / "audit") if each["kind"] == "request.begin"]
    assert begun["durability"] == durability.value


async def test_odd_questions_are_refused(tmp_path: Path, frontier: FakeFrontier) -> None:
    """400 for a parameter that nobody knows; 404 for feedback on nothing."""
    async with (
        running_router(settings(tmp_path, frontier)) as (url, _),
        aiohttp.ClientSession() as client,
    ):
        async with client.get(f"{url}/admin/v1/decisions?tennant=shop") as answer:
            assert answer.status == 400
        said = {"decision_id": "dec_none", "kind": "boolean", "value": True}
        async with client.post(f"{url}/v1/feedback", json=said) as answer:
            assert answer.status == 404


async def test_the_same_request_again_comes_from_the_cache(
    tmp_path: Path, frontier: FakeFrontier
) -> None:
    """Whole and streamed; at no cost, with a record; never when it was not asked for."""
    config = settings(tmp_path, frontier, cache={"enabled": True})
    async with running_router(config) as (url, _), aiohttp.ClientSession() as client:
        for stream in (False, True):
            _, first, told = await ask(client, url, temperature=0, stream=stream)
            assert first.headers["x-graftwork-cache"] == "miss"
            calls = len(frontier.requests)
            identity, again, repeated = await ask(client, url, temperature=0, stream=stream)
            assert again.headers["x-graftwork-cache"] == "hit"
            assert again.headers["content-type"] == first.headers["content-type"]
            assert again.headers["x-graftwork-cost-usd"] == "0.000000000"
            assert repeated.split(b": graftwork")[0] == told.split(b": graftwork")[0]
            assert len(frontier.requests) == calls
            record = await look(client, url, f"/{identity}")
            assert (record["cache"], record["attempts"], record["cost_usd"]) == ("hit", [], 0)
        _, answer, _ = await ask(client, url)
        assert "x-graftwork-cache" not in answer.headers
        fresh = {"cache-control": "no-cache"}
        _, answer, _ = await ask(client, url, temperature=0, headers=fresh)
        assert answer.headers["x-graftwork-cache"] == "miss"


async def test_what_ended_badly_is_not_kept(tmp_path: Path, frontier: FakeFrontier) -> None:
    """A broken stream and an error in a 200 are asked for anew."""
    config = settings(
        tmp_path, frontier, cache={"enabled": True}, delivery={"retry": {"max_attempts": 1}}
    )
    async with running_router(config) as (url, _), aiohttp.ClientSession() as client:
        for stream, kind in ((True, "cut"), (True, "error_midway"), (False, "error_in_200")):
            prompt = [{"role": "user", "content": f"[[fault:{kind}]] say a b c d e f g h"}]
            for _ in range(2):
                asked = await ask(client, url, temperature=0, stream=stream, messages=prompt)
                assert asked[1].headers.get("x-graftwork-cache", "miss") == "miss"


async def test_strangers_are_summed_up_whatever_they_ask_for(
    tmp_path: Path, frontier: FakeFrontier
) -> None:
    """Lists, the admin plane and feedback, as inference: without a key and without the scope.
    What is answered or unknown is not counted. Whose key lacked the scope is said, and for what.
    """
    keys = [{"name": "app", "sha256": hash_key("app"), "tenant": "shop", "scopes": ["inference"]}]
    config = settings(tmp_path, frontier, auth={"keys": keys})
    wrong, mine = {"x-api-key": "wrong"}, {"x-api-key": "app"}
    asked: list[tuple[str, str, dict[str, str], int]] = [
        ("GET", "/v1/models", wrong, 401),
        ("GET", "/v1/models", mine, 200),
        ("GET", "/admin/v1/decisions", {}, 401),
        ("GET", "/admin/v1/decisions", mine, 403),
        ("DELETE", "/admin/v1/documents/ann@example.org", mine, 403),
        ("DELETE", "/admin/v1/documents/bob", mine, 403),
        ("POST", "/v1/feedback", wrong, 401),
        ("POST", "/v1/chat/completions", wrong, 401),
        ("POST", "/v1/messages/count_tokens", wrong, 401),
        ("POST", "/v1/decision", wrong, 401),
        ("POST", "/v1/decision", mine, 400),
        ("GET", "/nowhere", wrong, 404),
    ]
    async with running_router(config) as (url, _), aiohttp.ClientSession() as client:
        for method, path, headers, status in asked:
            json: dict[str, str] | None = {} if method == "POST" else None
            async with client.request(method, f"{url}{path}", headers=headers, json=json) as answer:
                assert (path, answer.status) == (path, status)
    [refused] = [each for each in records(tmp_path / "audit") if each.get("about") == "refused"]
    assert refused["counts"] == {"401": 6, "403": 3}
    assert refused["forbidden"] == [
        ["app", "DELETE /admin/v1/documents/{id}", 2],
        ["app", "GET /admin/v1/decisions", 1],
    ]

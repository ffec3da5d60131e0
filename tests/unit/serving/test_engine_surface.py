"""An engine replica's internal surface, over a fake engine: nothing is freed while it is in use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from obstore.store import MemoryStore

from adapters.config import StagingSettings
from adapters.format.manifest import Manifest, digest_directory
from adapters.store.objects import ObjectStore
from adapters.store.staging import StagingArea
from serving.engine.surface import EngineSurface
from serving.internal.paths import IN_USE
from tests.fakes.replica_engine import FakeEngine, surface_of
from tests.fakes.tiny_adapter import tiny_adapter

NAME = "returns@0123456789ab"


@pytest.fixture
async def engine() -> FakeEngine:
    """An engine that holds nothing."""
    return FakeEngine()


@pytest.fixture
def surface(engine: FakeEngine, tmp_path: Path) -> EngineSurface:
    """Its surface; whatever is loaded, the files are the tiny adapter's."""
    return surface_of(engine, tmp_path)


@pytest.fixture
async def http(surface: EngineSurface) -> AsyncIterator[httpx.AsyncClient]:
    """A client of it."""
    transport = httpx.ASGITransport(surface)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://engine") as client:
        yield client


async def load(http: httpx.AsyncClient) -> dict[str, Any]:
    """Load the version."""
    body = {"alias": "returns", "digest": "0" * 64}
    return dict((await http.put(f"/internal/adapters/{NAME}", json=body)).json())


async def call(http: httpx.AsyncClient) -> httpx.Response:
    """A request for the version, as a router sends it."""
    return await http.get(f"/{NAME}", headers={"x-graftwork-target": f"adapter:{NAME}"})


async def test_nothing_is_freed_while_a_request_runs_on_it(
    http: httpx.AsyncClient, engine: FakeEngine
) -> None:
    """The engine itself counts, so no router's word can be too old."""
    await load(http)
    engine.let.clear()
    request = asyncio.create_task(call(http))
    await engine.arrived.wait()
    refused = await http.delete(f"/internal/adapters/{NAME}")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, IN_USE)
    assert engine.held == set(engine.front) == {NAME}
    engine.let.set()
    assert (await request).status_code == 200
    freed = await http.delete(f"/internal/adapters/{NAME}")
    assert (freed.status_code, freed.json()["resident"]) == (200, [])


async def test_a_request_for_another_adapter_keeps_nothing(
    http: httpx.AsyncClient, engine: FakeEngine
) -> None:
    """The base's requests and other adapters' do not count."""
    await load(http)
    engine.let.clear()
    requests = [
        asyncio.create_task(http.get("/x", headers={"x-graftwork-target": target}))
        for target in ("base", "adapter:other@0123456789ab")
    ]
    await engine.arrived.wait()
    assert (await http.delete(f"/internal/adapters/{NAME}")).status_code == 200
    engine.let.set()
    await asyncio.gather(*requests)


async def test_who_comes_after_the_end_is_sent_elsewhere(http: httpx.AsyncClient) -> None:
    """404: the router asks another replica."""
    await load(http)
    assert (await call(http)).status_code == 200
    await http.delete(f"/internal/adapters/{NAME}")
    assert (await call(http)).status_code == 404


async def test_a_removal_that_fails_leaves_the_version_served(
    http: httpx.AsyncClient, engine: FakeEngine, surface: EngineSurface
) -> None:
    """Else it would be resident, chosen by routers and answered 404 for ever."""
    await load(http)

    def fault(call: str) -> None:
        if call == "remove_lora":
            raise RuntimeError("the worker is busy")

    engine.client.fault = fault
    assert (await http.delete(f"/internal/adapters/{NAME}")).status_code == 409
    assert (await surface.residency()).resident == {NAME}
    assert (await call(http)).status_code == 200


async def test_a_load_whose_answer_was_lost_is_told(
    http: httpx.AsyncClient, engine: FakeEngine, surface: EngineSurface
) -> None:
    """Else it would take a place that nobody sees, and the next load a second one."""
    lost = iter([True, True])

    def fault(call: str) -> None:
        if call == "list_loras" and next(lost, False):
            raise RuntimeError("the answer was lost")

    engine.client.fault = fault
    body = {"alias": "returns", "digest": "0" * 64}
    assert (await http.put(f"/internal/adapters/{NAME}", json=body)).status_code == 409
    assert (await surface.residency()).resident == {NAME}
    assert (await load(http))["already_resident"]
    assert len(engine.client.held) == 1


async def test_a_report_waits_for_no_load(
    http: httpx.AsyncClient, engine: FakeEngine, surface: EngineSurface
) -> None:
    """A replica that reports late is taken for dead, however long its engine reads."""
    reading = asyncio.Event()
    engine.client.reading = reading
    loading = asyncio.create_task(load(http))
    await asyncio.sleep(0.05)
    assert not loading.done()
    said = await asyncio.wait_for(surface.residency(), 60)
    assert said.resident == frozenset()
    reading.set()
    await loading
    assert (await surface.residency()).resident == {NAME}


async def test_a_pin_that_fails_is_not_told(
    http: httpx.AsyncClient, engine: FakeEngine, surface: EngineSurface
) -> None:
    """Else the registry, which compares, would never ask for it again."""
    await load(http)

    def fault(call: str) -> None:
        if call == "pin_lora":
            raise RuntimeError("no")

    engine.client.fault = fault
    assert (await http.put("/internal/pins", json={"names": [NAME]})).status_code == 409
    assert (await surface.residency()).pinned == frozenset()
    engine.client.fault = lambda call: None
    assert (await http.put("/internal/pins", json={"names": [NAME]})).status_code == 200
    assert (await surface.residency()).pinned == {NAME}


async def test_an_engine_that_gives_no_word_does_not_hide_the_others(
    http: httpx.AsyncClient, engine: FakeEngine, surface: EngineSurface
) -> None:
    """What no failed call touched is told as before, and the base goes on being served."""
    other = "refunds@0123456789ab"
    await load(http)
    body = {"alias": "refunds", "digest": "0" * 64}
    await http.put(f"/internal/adapters/{other}", json=body)

    def fault(call: str) -> None:
        raise RuntimeError("silence")

    engine.client.fault = fault
    assert (await http.delete(f"/internal/adapters/{NAME}")).status_code == 409
    assert (await surface.residency()).resident == {other}
    engine.client.fault = lambda call: None
    assert (await surface.residency()).resident == {NAME, other}


async def test_a_change_tells_what_is_held_without_another_question(
    http: httpx.AsyncClient, engine: FakeEngine, surface: EngineSurface
) -> None:
    """Each question waits for the end of a decoding step; later words have higher numbers."""
    loaded = await load(http)
    said = await surface.residency()
    assert (loaded["resident"], sorted(said.resident), engine.client.asked) == ([NAME], [NAME], 1)
    assert said.answer == loaded["answer"]
    listed = (await http.get("/internal/adapters")).json()
    assert (listed["resident"], engine.client.asked) == ([NAME], 2)
    assert listed["answer"] == loaded["answer"], "nothing changed"
    assert (await http.delete(f"/internal/adapters/{NAME}")).json()["answer"] > loaded["answer"]


async def test_pins_leave_a_slot_to_the_others(http: httpx.AsyncClient, engine: FakeEngine) -> None:
    """Two slots: one may be pinned, not both."""
    await load(http)
    assert (await http.put("/internal/pins", json={"names": [NAME]})).json() == {"pinned": [NAME]}
    assert engine.pinned == {NAME}
    refused = await http.put("/internal/pins", json={"names": [NAME, "other@0123456789ab"]})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "too-many")
    assert engine.pinned == {NAME}


async def test_the_files_of_what_the_engine_holds_stay_on_the_node(
    engine: FakeEngine, tmp_path: Path
) -> None:
    """From before the load until the engine has let go; then they may make room for others."""
    limits = StagingSettings(max_versions=1)
    bucket = MemoryStore()
    store = ObjectStore(bucket, "memory:///", StagingArea(tmp_path / "node", limits))
    digests = []
    for seed in range(2):
        files = tiny_adapter(tmp_path / str(seed), seed)
        digests.append(digest_directory(files))
        store.put(files, "returns", digests[-1], Manifest())
    surface = surface_of(engine, tmp_path, store=store)
    transport = httpx.ASGITransport(surface)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://engine") as http:

        async def put(number: int) -> httpx.Response:
            name = f"returns@{digests[number][:12]}"
            body = {"alias": "returns", "digest": digests[number]}
            return await http.put(f"/internal/adapters/{name}", json=body)

        assert (await put(0)).status_code == 200
        refused = await put(1)
        assert (refused.status_code, "adapters.staging" in refused.text) == (409, True)
        assert str(tmp_path) not in refused.text
        assert engine.held == {f"returns@{digests[0][:12]}"}

        def fault(call: str) -> None:
            if call in {"remove_lora", "list_loras"}:
                raise RuntimeError("silence")

        engine.client.fault = fault
        await http.delete(f"/internal/adapters/returns@{digests[0][:12]}")
        assert (await put(1)).status_code == 409, "perhaps the engine still holds it"
        engine.client.fault = lambda call: None
        await http.delete(f"/internal/adapters/returns@{digests[0][:12]}")
        assert (await put(1)).status_code == 200

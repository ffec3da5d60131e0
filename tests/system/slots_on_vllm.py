"""A real vLLM engine with three slots and five adapters; run by ``test_slots`` on its own.

Compares the mirror of the slots with the worker's own word after every move, and drives more
adapters than are left beside a pinned one: vLLM alone dies of that.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from adapters.format.base_model import read_base
from benchmarks.variants import variant_directory
from serving.config.deploy import load
from serving.config.settings import EngineSettings
from serving.embedded import BASE_DIR, BASE_MODEL_ID
from serving.engine.slots import Slots
from serving.engine.surface import EngineSurface
from serving.engine.vllm import VllmEngine

SIZE = 3
BAD = "bad"
NAMES = [f"adapter{number}@{number:012d}" for number in range(5)]


class Files:
    """Stands for the stager: each version's directory."""

    staged: frozenset[str] = frozenset()

    def __init__(self, root: Path) -> None:
        self._root = root

    @asynccontextmanager
    async def stage(self, alias: str, digest: str) -> AsyncIterator[Path]:
        """Write the variant."""
        target = self._root / alias
        if alias == BAD and not target.is_dir():
            target.mkdir()
            (target / "adapter_config.json").write_text("{}")
        if not target.is_dir():
            variant_directory("returns", 0.5, int(alias[-1]), target)
        yield target

    def keep(self, in_engine: frozenset[str]) -> None:
        """All files stay."""


async def main(root: Path, *, beside: bool) -> None:
    """All of it on one engine, whose adapters come between its steps or beside them."""
    settings = load(Path("config/local.yaml")).settings.engine
    settings = EngineSettings.model_validate(
        {**settings.model_dump(), "max_loras": SIZE, "max_cpu_loras": 8, "load_beside": beside}
    )
    engine = VllmEngine(settings, BASE_MODEL_ID, str(BASE_DIR))
    await engine.start()
    await engine.warm_up(read_base(BASE_DIR, BASE_MODEL_ID))
    assert await engine.adapters.ask() == frozenset(), "nothing is left of the warm-up"
    slots = Slots(SIZE)
    surface = EngineSurface(engine, Files(root), slots)  # type: ignore[arg-type]
    transport = httpx.ASGITransport(surface)  # type: ignore[arg-type]
    async with httpx.AsyncClient(
        transport=transport, base_url="http://engine", timeout=120
    ) as http:
        try:
            await _check(http, engine, slots)
        finally:
            await engine.stop()


async def _check(http: httpx.AsyncClient, engine: VllmEngine, slots: Slots) -> None:
    for name in NAMES:
        body = {"alias": name.partition("@")[0], "digest": name.partition("@")[2]}
        await _ok(http.put(f"/internal/adapters/{name}", json=body))
        await _agree(engine, slots)
    for name in (NAMES[0], NAMES[3], NAMES[0], NAMES[1]):
        await _chat(http, name)
        await _agree(engine, slots)
    await _ok(http.put("/internal/pins", json={"names": [NAMES[4]]}))
    await _agree(engine, slots)
    for name in NAMES[:4]:
        await _chat(http, name)
        await _agree(engine, slots)
    assert NAMES[4] in slots.held(), "it kept its slot although four others were used"
    everybody = [_chat(http, name, max_tokens=24) for name in [*NAMES[:4], *NAMES[:4]]]
    await asyncio.gather(*everybody)
    await engine.check()
    assert NAMES[4] in await engine.adapters.slots()
    await _ok(http.put("/internal/pins", json={"names": []}))
    for name in NAMES[:3]:
        await _chat(http, name)
    await _agree(engine, slots)
    assert NAMES[4] not in slots.held(), "unpinned, it makes room"
    await _ok(http.delete(f"/internal/adapters/{NAMES[0]}"))
    await _agree(engine, slots)
    await _bad_files(http)
    print(json.dumps(await _answers(http)))  # noqa: T201 - the parent compares it
    print("slots agree")  # noqa: T201 - the parent reads it


async def _bad_files(http: httpx.AsyncClient) -> None:
    """What cannot be read is refused, and leaves nothing behind."""
    before = (await http.get("/internal/adapters")).json()["resident"]
    body = {"alias": BAD, "digest": "0" * 12}
    refused = await http.put(f"/internal/adapters/{BAD}@{'0' * 12}", json=body)
    assert refused.status_code == 409, refused.text
    assert (await http.get("/internal/adapters")).json()["resident"] == before


async def _answers(http: httpx.AsyncClient) -> list[list[float]]:
    """What each adapter computes: the same, however it came."""
    said = []
    for name in NAMES[1:]:
        body = {"name": name, "prompts": ["How do I return a lamp?"]}
        scores = await _ok(http.post("/internal/probe", json=body))
        said.append(scores["adapter"][0])
    return said


async def _agree(engine: VllmEngine, slots: Slots) -> None:
    truth = await engine.adapters.slots()
    assert slots.held() == truth, f"mirror {sorted(slots.held())}, worker {sorted(truth)}"


async def _chat(http: httpx.AsyncClient, name: str, max_tokens: int = 2) -> None:
    message = {"role": "user", "content": "How do I return a lamp?"}
    body = {"model": name, "messages": [message], "max_tokens": max_tokens, "ignore_eos": True}
    headers = {"x-graftwork-target": f"adapter:{name}"}
    await _ok(http.post("/v1/chat/completions", json=body, headers=headers))


async def _ok(call: Any) -> Any:
    response = await call
    assert response.status_code == 200, response.text
    return response.json()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), beside=sys.argv[2] == "beside"))

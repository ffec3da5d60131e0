"""Law 8 on a real process: what a client heard is on record, whatever ends router or disk."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.records.verify import verify
from tests.fakes.frontier import FakeFrontier
from tests.fakes.records import whole_records
from tests.fakes.router_alone import MODEL, RouterAlone

_ID = "x-graftwork-decision-id"
_MESSAGES = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def frontier() -> Iterator[FakeFrontier]:
    """A provider that takes a moment for each event."""
    with FakeFrontier(delay_s=0.004) as running:
        yield running


@dataclass
class Heard:
    """What clients heard."""

    begun: set[str] = field(default_factory=set)
    """Decisions of which a byte arrived."""
    ended: set[str] = field(default_factory=set)
    """Decisions of which the last one did."""


async def _keep_asking(url: str, heard: Heard, *, stream: bool) -> None:
    body = {"model": MODEL, "messages": _MESSAGES, "stream": stream}
    async with httpx.AsyncClient(timeout=60) as client:
        while True:
            try:
                async with client.stream("POST", f"{url}/v1/chat/completions", json=body) as answer:
                    identity = answer.headers[_ID]
                    heard.begun.add(identity)
                    async for _ in answer.aiter_raw():
                        pass
                    heard.ended.add(identity)
            except httpx.TransportError:
                return


async def _load_until_killed(router: RouterAlone, heard: Heard, wanted: int) -> None:
    """Kill it amid load, when so many more answers have begun."""
    wanted += len(heard.begun)
    clients = [
        asyncio.create_task(_keep_asking(router.url, heard, stream=bool(number % 2)))
        for number in range(8)
    ]
    try:
        async with asyncio.timeout(60):
            while len(heard.begun) < wanted:  # noqa: ASYNC110 - the clients have no event for it
                await asyncio.sleep(0.002)
    finally:
        await asyncio.to_thread(router.kill)
        await asyncio.gather(*clients)


def _decisions(url: str) -> list[dict[str, Any]]:
    answer = httpx.get(f"{url}/admin/v1/decisions?limit=1000", timeout=60).json()
    return list(answer["data"])


def _told(root: Path, kind: str) -> dict[str, list[dict[str, Any]]]:
    """Records of a kind by decision."""
    found: dict[str, list[dict[str, Any]]] = {}
    for record in whole_records(root):
        if record["kind"] == kind:
            found.setdefault(record["decision_id"], []).append(record)
    return found


async def test_every_first_byte_is_on_record_however_often_the_router_is_killed(
    tmp_path: Path, frontier: FakeFrontier
) -> None:
    """Each restart closes what was open; every request has one end, and the log verifies."""
    heard, root = Heard(), tmp_path / "audit"
    for wanted in (10, 60, 110):
        router = await asyncio.to_thread(RouterAlone, tmp_path, frontier.openai_url)
        await _load_until_killed(router, heard, wanted)
        assert heard.begun <= _told(root, "request.begin").keys()
        assert heard.ended <= _told(root, "request.end").keys()
    router = await asyncio.to_thread(RouterAlone, tmp_path, frontier.openai_url)
    found = await asyncio.to_thread(_decisions, router.url)
    await asyncio.to_thread(router.stop)
    begins, ends = _told(root, "request.begin"), _told(root, "request.end")
    assert begins.keys() == ends.keys()
    assert {len(each) for each in [*begins.values(), *ends.values()]} == {1}
    outcomes = {identity: each[0]["outcome"] for identity, each in ends.items()}
    assert {outcomes[identity] for identity in heard.ended} == {"answered"}
    assert "lost" in outcomes.values()
    assert verify(root).problems == []
    assert heard.ended <= {each["id"] for each in found}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small file system takes root")
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "graftwork-test", str(place)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def _ask(url: str) -> httpx.Response:
    body = {"model": MODEL, "messages": _MESSAGES}
    return httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)


async def test_a_full_disk_refuses_before_a_target_is_called_and_loses_nothing(
    small_disk: Path, frontier: FakeFrontier
) -> None:
    """503 ``audit_unavailable``; answers are back within 10 s of room, and the log is whole.

    What was begun when it filled has room that was set aside: nobody is refused after a call.
    """
    router = await asyncio.to_thread(RouterAlone, small_disk, frontier.openai_url)
    try:
        answered = {(await asyncio.to_thread(_ask, router.url)).headers[_ID] for _ in range(5)}
        filler = small_disk / "filler"
        await asyncio.to_thread(_fill, filler)
        calls = len(frontier.requests) - len(answered)
        refused: list[httpx.Response] = []
        while len(refused) < 5:
            answer = await asyncio.to_thread(_ask, router.url)
            if answer.status_code == 200:  # into what was left of its last page
                answered.add(answer.headers[_ID])
                continue
            refused.append(answer)
        assert {answer.status_code for answer in refused} == {503}
        assert {answer.json()["error"]["code"] for answer in refused} == {"audit_unavailable"}
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
        assert len(frontier.requests) == calls + len(answered)
        await asyncio.to_thread(filler.unlink)
        async with asyncio.timeout(60):
            again = await asyncio.to_thread(_ask, router.url)
            while again.status_code != 200:
                await asyncio.to_thread(time.sleep, 0.1)
                again = await asyncio.to_thread(_ask, router.url)
        answered.add(again.headers[_ID])
    finally:
        await asyncio.to_thread(router.stop)
    root = small_disk / "audit"
    ends = _told(root, "request.end")
    assert answered <= ends.keys()
    assert _told(root, "request.begin").keys() == ends.keys()
    assert verify(root).problems == []

"""Whose time it is: every moment of a request is booked once; waiting for targets stands apart."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.aliases import Replica
from router import stages
from router.stages import DOOR, TARGET, Heading, Stopwatch
from tests.fakes.asgi_client import ask
from tests.fakes.engine import FakeEngine, Says
from tests.fakes.exchanges import BASE_ID, table
from tests.fakes.router_process import router
from tests.fakes.sending import until

_SLOW_S = 0.5


class Clock:
    """Stands for ``time``; a test moves it."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        """Seconds."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of every stopwatch that is made from now on."""
    found = Clock()
    monkeypatch.setattr(stages, "time", found)
    return found


def seconds(watch: Stopwatch) -> dict[str, float]:
    """By stage."""
    return {each.stage: each.seconds for each in watch}


def test_a_stage_has_its_own_time_only(clock: Clock) -> None:
    """What is inside another stage is not counted twice; what comes first is the door's."""
    watch = Stopwatch()
    clock.now += 1
    with watch.within(Heading.ROUTING, "send"):
        clock.now += 2
        with watch.within(Heading.POLICY, "budget"):
            clock.now += 4
        with watch.within(None, TARGET):
            clock.now += 8
        clock.now += 16
    assert seconds(watch) == {DOOR: 1, "send": 18, "budget": 4, TARGET: 8}
    assert watch.overhead_s == 23
    assert watch.read()[1][Heading.ROUTING] == 19


def test_the_stages_of_the_path_follow_each_other(clock: Clock) -> None:
    """Each ends where the next begins, whatever is open inside it; the same name goes on."""
    watch = Stopwatch()
    clock.now += 1
    watch.at(Heading.POLICY, "admit")
    clock.now += 2
    with watch.within(Heading.AUDIT, "inside"):
        watch.at(Heading.AUDIT, "end")
        clock.now += 4
    clock.now += 8
    watch.at(Heading.ROUTING, DOOR)
    clock.now += 16
    assert seconds(watch) == {DOOR: 17, "admit": 2, "inside": 4, "end": 8}


def test_a_stage_that_raises_is_booked(clock: Clock) -> None:
    """And the time after it is not its own."""
    watch = Stopwatch()

    def refuse() -> None:
        with watch.within(Heading.POLICY, "admit"):
            clock.now += 1
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        refuse()
    clock.now += 2
    assert seconds(watch) == {DOOR: 2, "admit": 1}


NAMES = st.sampled_from("abcd")


@given(st.lists(st.tuples(st.booleans(), NAMES, st.integers(0, 5)), max_size=40))
def test_nothing_is_unbooked(steps: list[tuple[bool, str, int]]) -> None:
    """However stages begin and end, in any order, their times add up to all the time there was."""
    found = Clock()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(stages, "time", found)
        watch, begun = Stopwatch(), 100.0
        open_stages = []
        for number, (enters, name, passed) in enumerate(steps):
            found.now += passed
            if enters and number % 3 == 0:
                watch.at(Heading.ROUTING, f"at-{name}")
            elif enters:
                stage = watch.within(None if name == "a" else Heading.AUDIT, name)
                stage.__enter__()
                open_stages.append(stage)
            elif open_stages:
                open_stages.pop(len(open_stages) // 2).__exit__()
        assert sum(seconds(watch).values()) == found.now - begun
        waited = seconds(watch).get("a", 0.0)
        assert sum(watch.read()[1].values()) == watch.overhead_s == found.now - begun - waited


async def _is_warm(client: Any) -> None:
    """What loads while a router starts is there: nobody is asked, and everything before is done."""
    body = {"model": "nobody", "messages": [{"role": "user", "content": "hi"}]}
    assert (await client.post("/v1/chat/completions", json=body)).status_code == 404


async def test_a_request_is_booked_whole(tmp_path: Path) -> None:
    """A record's stages add up to its time, its headings to the overhead; waiting is apart."""
    says = Says("one two three", pause_after=1)
    body = {"model": "base", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    async with FakeEngine({BASE_ID: says}) as engine:
        places = (Replica(id="r1", url=engine.url, secret="s"),)
        async with router(tmp_path, {}, table(replicas=places)) as (client, _):
            await _is_warm(client)

            async def goes_on() -> None:
                await until(lambda: engine.requests)
                await asyncio.sleep(0.3)
                says.go.set()

            going = asyncio.create_task(goes_on())
            began = asyncio.get_running_loop().time()
            response = await client.post("/v1/chat/completions", json=body)
            took_s = asyncio.get_running_loop().time() - began
            await going
            assert response.status_code == 200, response.text
            decision = response.headers["x-graftwork-decision-id"]
            record = (await client.get(f"/admin/v1/decisions/{decision}")).json()
    booked, headings = record["stages"], record["headings"]
    assert booked[TARGET] >= 0.2
    assert sum(headings.values()) == pytest.approx(sum(booked.values()) - booked[TARGET], abs=1e-4)
    assert sum(booked.values()) >= record["seconds"] > 0.2
    assert set(headings) == {heading.value for heading in Heading}
    assert booked.keys() >= {"admit", "read", "data-prep", "choose", "send", "settle", "respond"}
    comment = response.text.split(": graftwork ")[1].partition("\n")[0]
    assert orjson.loads(comment)["overhead_ms"] < 1000 * (took_s - 0.2)


def test_every_stage_has_one_heading_and_one_place() -> None:
    """The table of contents names each once."""
    text = (Path(stages.__file__).parent / "pipeline.py").read_text()
    named = re.findall(r"^ +at\(Heading\.\w+, \"([a-z-]+)\"\)", text, re.MULTILINE)
    assert len(named) == len(set(named)) > 15


def _overhead_s(metrics: str) -> float:
    total = re.search(r"^graftwork_overhead_seconds_sum\{[^}]*\} (\S+)$", metrics, re.MULTILINE)
    assert total is not None
    return float(total[1])


async def test_a_slow_client_is_no_overhead_of_ours(tmp_path: Path) -> None:
    """Neither while it sends its body nor while it reads its answer: the alert stays quiet."""
    body = {"model": "base", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    async with FakeEngine({BASE_ID: Says("one two three")}) as engine:
        places = (Replica(id="r1", url=engine.url, secret="s"),)
        async with router(tmp_path, {}, table(replicas=places)) as (client, process):
            await _is_warm(client)
            before = _overhead_s((await client.get("/metrics")).text)

            async def slow(scope: Any, receive: Any, send: Any) -> None:
                async def hear() -> Any:
                    await asyncio.sleep(_SLOW_S)
                    return await receive()

                async def say(message: Any) -> None:
                    await asyncio.sleep(_SLOW_S)
                    await send(message)

                await process.door(scope, hear, say)

            assert (await ask(slow, "/v1/chat/completions", body)).status == 200
            metrics = (await client.get("/metrics")).text
    assert _overhead_s(metrics) - before < _SLOW_S

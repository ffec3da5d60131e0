"""An answer that its own tokens doubt does not go out while somebody better may answer."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.aliases import Replica, RoutingTable, engine_name
from router.wire.said import answer_text
from tests.fakes.deciding import returns
from tests.fakes.engine import FakeEngine, Says
from tests.fakes.exchanges import BASE_ID, BEFORE, LIVE
from tests.fakes.frontier import FakeFrontier
from tests.fakes.router_process import router

SURE, UNSURE = -0.05, -2.0
CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
RESPONSES, MESSAGES = "/v1/responses", "/v1/messages"
PATHS = [CHAT, COMPLETIONS, RESPONSES, MESSAGES]
INCLUDED = "message.output_text.logprobs"
LONG = "one two three four five six seven eight"


def asked(path: str = CHAT, **fields: Any) -> dict[str, Any]:
    """A request for `auto`."""
    said: dict[str, Any] = {"messages": [{"role": "user", "content": "hello"}]}
    if path == COMPLETIONS:
        said = {"prompt": "hello"}
    elif path == RESPONSES:
        said = {"input": "hello"}
    elif path == MESSAGES:
        said["max_tokens"] = 50
    return {"model": "auto", **said, **fields}


@asynccontextmanager
async def world(
    state: Path,
    base: Says,
    confidence: Mapping[str, Any] | None = None,
    frontier: FakeFrontier | None = None,
    **routing: Any,
) -> AsyncIterator[tuple[httpx.AsyncClient, FakeEngine]]:
    """A base that says something, and a frontier model that is better."""
    config: dict[str, Any] = {"routing": {"frontiers": ["*"], **routing}}
    if confidence is not None:
        config["routing"]["routes"] = {"*": {"confidence": dict(confidence)}}
    if frontier is not None:
        prices = {"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 2.0}
        card = {"id": "big", "capabilities": ["chat", "completions", "responses"], **prices}
        config["providers"] = [{"name": "cloud", "base_url": frontier.openai_url, "models": [card]}]
    async with FakeEngine({BASE_ID: base}) as engine:
        replica = Replica(id="r1", url=engine.url, secret="s")
        table = RoutingTable(revision=1, base_id=BASE_ID, replicas=(replica,))
        async with router(state, config, table) as (client, _):
            yield client, engine


async def record_of(client: httpx.AsyncClient, response: httpx.Response) -> dict[str, Any]:
    """The decision record of a response."""
    identity = response.headers["x-graftwork-decision-id"]
    found = await client.get(f"/admin/v1/decisions/{identity}")
    return dict(found.json())


def events(response: httpx.Response) -> list[dict[str, Any]]:
    """The JSON events of a stream."""
    lines = [line for line in response.text.splitlines() if line.startswith("data: {")]
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def text_of(response: httpx.Response) -> str:
    """What a stream or a whole answer says."""
    streamed = response.headers["content-type"].startswith("text/event-stream")
    return answer_text(response.content, streamed=streamed)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_sure_answer_goes_out_unchanged(tmp_path: Path, path: str, stream: bool) -> None:
    """The client sees no logprobs that it did not ask for, and P(correct) in the header."""
    async with world(tmp_path, Says(LONG, SURE), {"threshold": 0.5}) as (client, engine):
        response = await client.post(path, json=asked(path, stream=stream))
        assert text_of(response) == LONG
        assert response.headers["x-graftwork-target"] == "base"
        assert response.headers["x-graftwork-confidence"] == "0.9512"  # exp(-0.05)
        assert "token_logprobs" not in response.text
        assert '"logprob"' not in response.text
        sent = engine.requests[0]
        assert sent.get("logprobs") in (True, 5) or sent["include"] == [INCLUDED]
        record = await record_of(client, response)
        told = record["assurance"][0]
        assert told["tokens"] >= (1 if stream else 8)
        assert told["calibrated"] is False
        assert record["review"] is None
        assert record["unjudged"] is None


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS, RESPONSES])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_judged_answer_has_the_bytes_of_an_unjudged_one(
    tmp_path: Path, path: str, stream: bool
) -> None:
    """What was asked for without the client's wish leaves no trace: vLLM's own bytes go out."""
    said = []
    for name, confidence in (("plain", None), ("judged", {"threshold": 0.5})):
        async with world(tmp_path / name, Says(LONG, SURE), confidence) as (client, _):
            response = await client.post(path, json=asked(path, stream=stream))
            said.append(response.content.partition(b": graftwork")[0])
    assert said[0] == said[1]
    assert b"eight" in said[0]


@pytest.mark.parametrize("stream", [False, True])
async def test_judged_messages_are_asked_through_chat(tmp_path: Path, stream: bool) -> None:
    """A message comes back, with nothing that Messages do not know, and its counts."""
    async with world(tmp_path, Says(LONG, SURE), {"threshold": 0.5}) as (client, engine):
        response = await client.post(MESSAGES, json=asked(MESSAGES, stream=stream))
        assert engine.paths == [CHAT]
        assert "logprob" not in response.text
        if not stream:
            message = response.json()
            assert message["content"] == [{"type": "text", "text": LONG}]
            assert message["usage"]["output_tokens"] == 8
            return
        kinds = [event["type"] for event in events(response)]
        assert kinds[:2] == ["message_start", "content_block_start"]
        assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
        assert events(response)[0]["message"]["usage"]["input_tokens"] == 7
        assert events(response)[-2]["usage"]["output_tokens"] == 8


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("path", "fields", "why"),
    [
        (MESSAGES, {"thinking": {"type": "enabled", "budget_tokens": 1024}}, "thinking"),
        (MESSAGES, {"tools": [{"type": "bash_20250124", "name": "bash"}]}, "a server's tool"),
        (MESSAGES, {"messages": [{"role": "user", "content": [{"type": "document"}]}]}, "a block"),
        (RESPONSES, {"include": "all"}, "include"),
    ],
)
async def test_what_cannot_tell_is_not_judged(
    tmp_path: Path, path: str, fields: dict[str, Any], why: str, stream: bool
) -> None:
    """It goes to vLLM's own route as it came, and the record says why nobody judged it."""
    async with world(tmp_path, Says(LONG, UNSURE), {"threshold": 0.5}) as (client, engine):
        body = asked(path, stream=stream, **fields)
        response = await client.post(path, json=body)
        assert text_of(response) == LONG
        assert engine.paths == [path]
        assert {**engine.requests[0], "model": "auto"} == body
        record = await record_of(client, response)
        assert why in record["unjudged"]
        assert record["assurance"] == []
        assert record["review"] is None


@pytest.mark.parametrize("stream", [False, True])
async def test_an_engine_that_cannot_tell_still_answers(tmp_path: Path, stream: bool) -> None:
    """gpt-oss refuses Responses with logprobs: it is asked again without, and is not judged."""
    says = Says(LONG, UNSURE, is_harmony=True)
    async with world(tmp_path, says, {"threshold": 0.5}) as (client, engine):
        response = await client.post(RESPONSES, json=asked(RESPONSES, stream=stream))
        assert text_of(response) == LONG
        assert [INCLUDED in body.get("include", []) for body in engine.requests] == [True, False]
        assert "no probabilities" in (await record_of(client, response))["unjudged"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("path", "wish"), [(CHAT, {"logprobs": True}), (RESPONSES, {"include": [INCLUDED]})]
)
async def test_a_client_that_asks_for_logprobs_gets_them(
    tmp_path: Path, path: str, wish: dict[str, Any], stream: bool
) -> None:
    """They are read in passing."""
    async with world(tmp_path, Says(LONG, SURE), {"threshold": 0.5}) as (client, engine):
        response = await client.post(path, json=asked(path, stream=stream, **wish))
        assert engine.requests[0].items() >= wish.items()
        assert "top_logprobs" not in engine.requests[0]
        assert '"logprob":-0.05' in response.text.replace(" ", "")
        assert (await record_of(client, response))["assurance"][0]["entropy"] is None


async def test_other_includes_of_the_client_stay(tmp_path: Path) -> None:
    """Ours is one more."""
    async with world(tmp_path, Says(LONG, SURE), {"threshold": 0.5}) as (client, engine):
        wish = {"include": ["reasoning.encrypted_content"], "top_logprobs": 2}
        response = await client.post(RESPONSES, json=asked(RESPONSES, **wish))
        assert engine.requests[0]["include"] == ["reasoning.encrypted_content", INCLUDED]
        assert response.json()["top_logprobs"] is None


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", PATHS)
async def test_without_the_section_nothing_is_asked(
    tmp_path: Path, path: str, stream: bool
) -> None:
    """Routes that do not judge cost nothing and change nothing."""
    async with world(tmp_path, Says(LONG, UNSURE)) as (client, engine):
        response = await client.post(path, json=asked(path, stream=stream))
        assert text_of(response) == LONG
        assert engine.paths == [path]
        assert not {"logprobs", "include"} & engine.requests[0].keys()
        assert response.headers["x-graftwork-confidence"] == "none"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("stream", "how"), [(False, "hold"), (True, "first_tokens"), (True, "hold")]
)
async def test_an_unsure_answer_escalates(
    tmp_path: Path, path: str, stream: bool, how: str
) -> None:
    """The better target answers; not a byte of the first answer is seen; both are paid."""
    with FakeFrontier(text="certainly") as frontier:
        settings = {"threshold": 0.5, "stream": how, "first_tokens": 3}
        price = {"replica_hour_usd": 3.6, "output_tokens_per_s": 1, "input_tokens_per_s": 1}
        async with world(
            tmp_path, Says(LONG, UNSURE), settings, frontier, local={"price": price}
        ) as (client, _):
            response = await client.post(path, json=asked(path, stream=stream))
            assert text_of(response) == "certainly"
            assert "three" not in response.text
            assert response.headers["x-graftwork-target"] == "frontier:cloud/big"
            assert response.headers["x-graftwork-attempts"] == "2"
            record = await record_of(client, response)
    first, second = record["attempts"]
    assert (first["outcome"], second["outcome"]) == ("escalated", "ok")
    assert first["output_tokens"] >= 3
    assert first["cost_usd"] == pytest.approx(
        0.001 * (first["input_tokens"] + first["output_tokens"])
    )
    assert record["cost_usd"] == pytest.approx(first["cost_usd"] + second["cost_usd"])
    assert "below 0.500" in record["review"]


@pytest.mark.parametrize("stream", [False, True])
async def test_nobody_better(tmp_path: Path, stream: bool) -> None:
    """Without anybody better the answer goes out, marked for review."""
    async with world(tmp_path, Says(LONG, UNSURE), {"threshold": 0.5}) as (client, engine):
        response = await client.post(CHAT, json=asked(stream=stream))
        assert text_of(response) == LONG
        assert response.headers["x-graftwork-confidence"] == "0.1353"
        assert engine.asked() == [BASE_ID]
        assert (await record_of(client, response))["review"]


@pytest.mark.parametrize("stream", [False, True])
async def test_the_better_one_is_down(tmp_path: Path, stream: bool) -> None:
    """The doubtful answer was kept and goes out whole: escalation never costs an answer."""
    with FakeFrontier(api_key="another") as frontier:  # refuses our credentials
        async with world(tmp_path, Says(LONG, UNSURE), {"threshold": 0.5}, frontier) as (client, _):
            response = await client.post(CHAT, json=asked(stream=stream))
            assert response.status_code == 200
            assert text_of(response) == LONG
            assert response.headers["x-graftwork-target"] == "base"


async def test_the_clients_cost_limit_holds_for_both_calls(tmp_path: Path) -> None:
    """What is left of the limit after the first call must cover the second."""
    price = {"replica_hour_usd": 3.6, "output_tokens_per_s": 1, "input_tokens_per_s": 1}
    with FakeFrontier(text="certainly") as frontier:
        async with world(
            tmp_path, Says(LONG, UNSURE), {"threshold": 0.5}, frontier, local={"price": price}
        ) as (client, _):
            body = asked(max_tokens=10)
            response = await client.post(
                CHAT, json=body, headers={"x-graftwork-max-cost-usd": "0.02"}
            )
            told = (await client.post("/v1/decision", json=body)).json()
            costs = [c["cost_usd"] for c in told["candidates"]]
            assert max(costs) < 0.02
            assert response.headers["x-graftwork-target"] == "frontier:cloud/big"
            tight = str(costs[0] + costs[1] / 2)
            response = await client.post(
                CHAT, json=body, headers={"x-graftwork-max-cost-usd": tight}
            )
            assert response.headers["x-graftwork-target"] == "base"


async def test_a_slow_stream_is_judged_at_its_deadline(tmp_path: Path) -> None:
    """What is there when time is over decides; the rest follows as it comes."""
    base = Says(LONG, SURE, pause_after=2)
    settings = {"threshold": 0.5, "first_tokens": 6, "deadline_s": 0.05}
    async with world(tmp_path, base, settings) as (client, _):
        begun = asyncio.Event()
        asking = asyncio.create_task(_post(client, asked(stream=True), begun))
        await begun.wait()  # the engine is still paused: only the deadline can have decided
        base.go.set()
        response = await asking
        assert text_of(response) == LONG
        assert (await record_of(client, response))["assurance"][0]["tokens"] == 2


async def _post(
    client: httpx.AsyncClient, body: dict[str, Any], begun: asyncio.Event
) -> httpx.Response:
    """POST to the door; ``begun`` is set when the response starts."""
    door = client._transport.app  # type: ignore[attr-defined]

    async def watched_app(scope: Any, receive: Any, send: Any) -> None:
        async def heard(message: Any) -> None:
            begun.set()
            await send(message)

        await door(scope, receive, heard)

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(watched_app), base_url=client.base_url
    ) as watching:
        return await watching.post(CHAT, json=body)


async def test_a_named_model_is_judged_but_stays(tmp_path: Path) -> None:
    """Who names the base gets the base: it has nobody to escalate to."""
    with FakeFrontier() as frontier:
        async with world(tmp_path, Says(LONG, UNSURE), {"threshold": 0.5}, frontier) as (client, _):
            response = await client.post(CHAT, json={**asked(), "model": "base"})
            assert response.headers["x-graftwork-target"] == "base"
            assert frontier.requests == []


async def test_policy_holds_for_escalation(tmp_path: Path) -> None:
    """What policy forbids is not asked, however unsure the answer is (law 5)."""
    with FakeFrontier() as frontier:
        async with FakeEngine({BASE_ID: Says(LONG, UNSURE)}) as engine:
            card = {"id": "big", "input_usd_per_mtok": 1.0, "output_usd_per_mtok": 2.0}
            config = {
                "routing": {
                    "frontiers": ["*"],
                    "routes": {"*": {"confidence": {"threshold": 0.9}}},
                },
                "policy": {"rules": [{"name": "r", "effect": "deny", "targets": ["frontier:*"]}]},
                "providers": [{"name": "cloud", "base_url": frontier.openai_url, "models": [card]}],
            }
            replica = Replica(id="r1", url=engine.url, secret="s")
            table = RoutingTable(revision=1, base_id=BASE_ID, replicas=(replica,))
            async with router(tmp_path, config, table) as (client, _):
                response = await client.post(CHAT, json=asked())
                assert response.headers["x-graftwork-target"] == "base"
        assert frontier.requests == []


async def test_feedback_reaches_quality_and_calibration(tmp_path: Path) -> None:
    """A judged answer moves the expected quality of its target for the next decision."""
    async with world(tmp_path, Says(LONG, SURE), {}) as (client, _):
        before = (await client.post("/v1/decision", json=asked())).json()["candidates"][0]
        response = await client.post(CHAT, json=asked())
        said = {"decision_id": response.headers["x-graftwork-decision-id"], "kind": "boolean"}
        for value in (True, False):  # the later one replaces the former
            given = await client.post("/v1/feedback", json={**said, "value": value})
            assert given.status_code == 200, given.text
        after = (await client.post("/v1/decision", json=asked())).json()["candidates"][0]
        assert after["quality"] == pytest.approx(before["quality"] * 20 / 21, abs=1e-3)


async def test_what_was_learned_survives_a_restart(tmp_path: Path) -> None:
    """A router that starts on the same state directory learns from the feedback that is there."""
    async with world(tmp_path, Says(LONG, SURE), {}) as (client, _):
        fresh = (await client.post("/v1/decision", json=asked())).json()["candidates"][0]
        for _ in range(5):
            response = await client.post(CHAT, json=asked())
            identity = response.headers["x-graftwork-decision-id"]
            said = {"decision_id": identity, "kind": "boolean", "value": False}
            assert (await client.post("/v1/feedback", json=said)).status_code == 200
        taught = (await client.post("/v1/decision", json=asked())).json()["candidates"][0]
        assert taught["quality"] < fresh["quality"]
    async with FakeEngine({BASE_ID: Says()}) as engine:
        replica = Replica(id="r1", url=engine.url, secret="s")
        table = RoutingTable(revision=1, base_id=BASE_ID, replicas=(replica,))
        config = {"routing": {"frontiers": ["*"]}}
        async with router(tmp_path, config, table) as (client, process):
            await process._refit.once()
            again = (await client.post("/v1/decision", json=asked())).json()["candidates"][0]
    assert again["quality"] == pytest.approx(taught["quality"], abs=1e-3)


async def test_an_adapter_escalates_past_its_kin_and_the_base(tmp_path: Path) -> None:
    """A doubtful adapter's question is none for the version before or for the weaker base."""
    adapters = {engine_name("returns", digest): Says(LONG, UNSURE) for digest in (LIVE, BEFORE)}
    card = {"id": "big", "input_usd_per_mtok": 1.0, "output_usd_per_mtok": 2.0}
    with FakeFrontier(text="certainly") as frontier:
        config = {
            "auto": {"intents": [{"name": "returns", "alias": "returns", "keywords": ["refund"]}]},
            "routing": {
                "frontiers": ["*"],
                "routes": {"returns": {"confidence": {"threshold": 0.5}}},
            },
            "providers": [{"name": "cloud", "base_url": frontier.openai_url, "models": [card]}],
        }
        async with FakeEngine({BASE_ID: Says(LONG, SURE), **adapters}) as engine:
            replica = Replica(id="r1", url=engine.url, secret="s", resident=frozenset(adapters))
            table = RoutingTable(
                revision=1,
                base_id=BASE_ID,
                aliases={"returns": returns(versions=(LIVE, BEFORE))},
                replicas=(replica,),
            )
            async with router(tmp_path, config, table) as (client, _):
                body = {**asked(), "messages": [{"role": "user", "content": "a refund"}]}
                response = await client.post(CHAT, json=body)
                assert response.headers["x-graftwork-target"] == "frontier:cloud/big"
                assert engine.asked() == [engine_name("returns", LIVE)]


async def test_memories_are_counted(tmp_path: Path) -> None:
    """Everything that grows has a gauge (law 9)."""
    async with world(tmp_path, Says(LONG, SURE)) as (client, _):
        await client.post(CHAT, json=asked(), headers={"x-graftwork-session": "s"})
        text = (await client.get("/metrics")).text
    assert "graftwork_routing_sessions{" in text
    assert re.search(r"^graftwork_routing_sessions\{.*\} 1\.0$", text, re.MULTILINE)
    for name in ("quality_cells", "calibration_cells", "measured_targets"):
        assert f"graftwork_routing_{name}" in text


async def test_the_headers_name_who_ended_a_held_stream(tmp_path: Path) -> None:
    """It broke while it was held back, before any header left: who went on is named, also to the
    session, and in the record.
    """
    adapter = engine_name("returns", LIVE)
    models = {adapter: Says(LONG, SURE, cut_after=4), BASE_ID: Says("five six", SURE)}
    config = {"routing": {"routes": {"*": {"confidence": {"threshold": 0.1, "stream": "hold"}}}}}
    async with FakeEngine(models) as engine:
        replica = Replica(id="r1", url=engine.url, secret="s", resident=frozenset({adapter}))
        alias = returns(versions=(LIVE,), previous=None)
        table = RoutingTable(
            revision=1, base_id=BASE_ID, aliases={"returns": alias}, replicas=(replica,)
        )
        async with router(tmp_path, config, table) as (client, process):
            body = {**asked(stream=True), "model": "returns"}
            response = await client.post(CHAT, json=body, headers={"x-graftwork-session": "s"})
            assert response.status_code == 200, response.text
            assert engine.asked() == [adapter, BASE_ID]
            assert response.headers["x-graftwork-target"] == "base"
            assert [each.target for each in process._learning.sessions._last.values()] == ["base"]


async def test_a_doubtful_stream_that_breaks_is_still_continued(tmp_path: Path) -> None:
    """Nobody better can be asked, so the doubtful stream goes out; when it is cut, the weaker base
    continues it: what is no remedy for doubt is one for a broken answer.
    """
    adapter = engine_name("returns", LIVE)
    models = {adapter: Says(LONG, UNSURE, cut_after=4), BASE_ID: Says("five six", SURE)}
    config = {
        "auto": {"intents": [{"name": "returns", "alias": "returns", "keywords": ["refund"]}]},
        "routing": {"routes": {"returns": {"confidence": {"threshold": 0.5, "first_tokens": 2}}}},
    }
    async with FakeEngine(models) as engine:
        replica = Replica(id="r1", url=engine.url, secret="s", resident=frozenset({adapter}))
        table = RoutingTable(
            revision=1,
            base_id=BASE_ID,
            aliases={"returns": returns(versions=(LIVE,), previous=None)},
            replicas=(replica,),
        )
        async with router(tmp_path, config, table) as (client, _):
            said = [{"role": "user", "content": "a refund"}]
            response = await client.post(CHAT, json={**asked(stream=True), "messages": said})
            assert response.status_code == 200
            assert engine.asked()[0] == adapter
            assert BASE_ID in engine.asked()
            *_, comment, end = response.text.rstrip().split("\n\n")
            assert (comment[:11], end) == (": graftwork", "data: [DONE]")
            assert text_of(response).startswith("one two three four")

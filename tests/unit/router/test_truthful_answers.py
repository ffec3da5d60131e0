"""What the door says of an answer is true: how it ended, whether it is kept, whose fault it was."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from adapters.aliases import Replica
from router.wire.dialects.base import MESSAGES_NAMES
from router.wire.endpoint import Endpoint
from router.wire.formats import FORMATS
from router.wire.upstream_error import UpstreamError, read_error, rejection
from tests.fakes.engine import FakeEngine, Says
from tests.fakes.exchanges import BASE_ID, table
from tests.fakes.frontier import FakeFrontier
from tests.fakes.router_process import router
from tests.fakes.streams import objects
from tests.fakes.wire import Piece, body, events, wire

HELLO = [{"role": "user", "content": "hi"}]
ANTHROPIC_TYPES = {
    "invalid_request_error",
    "authentication_error",
    "permission_error",
    "not_found_error",
    "request_too_large",
    "rate_limit_error",
    "api_error",
    "overloaded_error",
    "timeout_error",
}


@pytest.fixture
async def says() -> Says:
    """What the engine says."""
    return Says("one two three")


@pytest.fixture
async def engine(says: Says) -> AsyncIterator[FakeEngine]:
    """An engine that holds the base."""
    async with FakeEngine({BASE_ID: says}) as running:
        yield running


@pytest.fixture
async def client(tmp_path: Path, engine: FakeEngine) -> AsyncIterator[httpx.AsyncClient]:
    """A router in front of the engine, with a response cache."""
    places = (Replica(id="r1", url=engine.url, secret="s"),)
    async with router(tmp_path, {"cache": {"enabled": True}}, table(replicas=places)) as (http, _):
        yield http


def chunk(index: int, text: str = "", finish: str | None = None) -> bytes:
    """A chunk of one choice."""
    choice = {"index": index, "delta": {"content": text}, "finish_reason": finish}
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return b"data: " + orjson.dumps({**head, "choices": [choice]}) + b"\n\n"


async def asked(
    tmp_path: Path, script: list[Piece], path: str = "/v1/chat/completions", **fields: Any
) -> httpx.Response:
    """The router's answer when the engine says exactly these bytes."""
    async with wire(script) as server:
        places = (Replica(id="r1", url=server.url, secret="s"),)
        async with router(tmp_path, {}, table(replicas=places)) as (http, _):
            sent = {"model": "base", "messages": HELLO, "max_tokens": 9, **fields}
            return await http.post(path, json=sent)


# Several answers in one stream


@pytest.mark.parametrize(
    ("path", "more", "is_whole"),
    [
        ("/v1/chat/completions", {"n": 2}, False),
        ("/v1/completions", {"prompt": ["a", "b"]}, False),
        ("/v1/completions", {"prompt": ["a", "b"], "n": 2}, False),
        ("/v1/chat/completions", {}, True),
    ],
)
async def test_a_stream_of_several_answers_is_whole_only_when_all_have_ended(
    tmp_path: Path, path: str, more: dict[str, Any], is_whole: bool
) -> None:
    """Choice 0 ended and the connection broke: of one answer that is all, of two it is half."""
    script = events(chunk(0, "all"), chunk(0, "", "stop"))
    answer = await asked(tmp_path, script, path, stream=True, **more)
    found = objects(answer.content)
    assert any("error" in event for event in found if event) is not is_whole
    assert found[-1] is None


async def test_two_answers_that_have_ended_are_whole(tmp_path: Path) -> None:
    """Only the mark at the end was missing: it is written."""
    script = events(chunk(0, "a"), chunk(1, "b"), chunk(1, "", "stop"), chunk(0, "", "stop"))
    answer = await asked(tmp_path, script, stream=True, n=2)
    assert not any("error" in event for event in objects(answer.content) if event)
    assert answer.content.endswith(b"data: [DONE]\n\n")


# Responses that their limit cut


async def test_a_response_that_was_cut_at_its_bound_ends_as_incomplete(
    client: httpx.AsyncClient, says: Says
) -> None:
    """vLLM calls the event completed and the status incomplete; the event's name says it too."""
    says.is_limited = True
    asks = {"model": "base", "input": "hi", "max_output_tokens": 3}
    streamed = await client.post("/v1/responses", json={**asks, "stream": True})
    last = [event for event in objects(streamed.content) if event][-1]
    assert last["type"] == "response.incomplete"
    assert b"event: response.incomplete\n" in streamed.content
    assert b"response.completed" not in streamed.content
    whole = (await client.post("/v1/responses", json=asks)).json()
    for response in (last["response"], whole):
        assert response["status"] == "incomplete"
        assert response["incomplete_details"] == {"reason": "max_output_tokens"}
        assert response["output"][-1]["status"] == "incomplete"


async def test_a_response_that_ended_by_itself_stays_completed(client: httpx.AsyncClient) -> None:
    """Nothing is renamed without need."""
    answer = await client.post(
        "/v1/responses", json={"model": "base", "input": "hi", "stream": True}
    )
    last = [event for event in objects(answer.content) if event][-1]
    assert (last["type"], last["response"]["status"]) == ("response.completed", "completed")


@pytest.mark.parametrize("is_limited", [False, True])
async def test_long_streams_of_responses_are_cached(
    client: httpx.AsyncClient, says: Says, is_limited: bool
) -> None:
    """Their last event repeats the whole answer, so its beginning is far from the end."""
    says.text, says.is_limited = "long " * 600, is_limited
    asks = {"model": "base", "input": "hi", "stream": True, "temperature": 0}
    first = await client.post("/v1/responses", json=asks)
    again = await client.post("/v1/responses", json=asks)
    assert (first.headers["x-graftwork-cache"], again.headers["x-graftwork-cache"]) == (
        "miss",
        "hit",
    )
    assert len(first.content) > 4096
    assert objects(again.content) == objects(first.content)


async def test_long_streams_of_a_providers_responses_are_cached(tmp_path: Path) -> None:
    """Providers name the event at its beginning, the whole answer comes after it."""
    with FakeFrontier() as frontier:
        price = {"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 1.0}
        model = {"id": "m", "capabilities": ["responses"], **price}
        cloud = {"name": "cloud", "base_url": frontier.openai_url, "models": [model]}
        config = {"providers": [cloud], "cache": {"enabled": True}}
        async with router(tmp_path, config, table()) as (http, _):
            asks = {"model": "cloud/m", "input": "say " + "long " * 600, "stream": True, "seed": 1}
            found = [await http.post("/v1/responses", json=asks) for _ in range(2)]
    assert [answer.headers["x-graftwork-cache"] for answer in found] == ["miss", "hit"]
    assert objects(found[0].content) == objects(found[1].content)


# Messages whose answer the client began

BEGUN = [*HELLO, {"role": "assistant", "content": [{"type": "text", "text": "One"}]}]


@pytest.mark.parametrize("stream", [False, True])
async def test_messages_go_on_from_the_assistants_last_turn(
    client: httpx.AsyncClient, engine: FakeEngine, stream: bool
) -> None:
    """As Anthropic's API does: the engine continues the turn, and is not asked to begin anew."""
    asks = {"model": "base", "messages": BEGUN, "max_tokens": 9, "stream": stream}
    answer = await client.post("/v1/messages", json=asks)
    assert answer.status_code == 200, answer.text
    assert engine.paths == ["/v1/chat/completions"]
    sent = engine.requests[0]
    assert sent["messages"] == [*HELLO, {"role": "assistant", "content": "One"}]
    assert (sent["continue_final_message"], sent["add_generation_prompt"]) == (True, False)
    if not stream:
        assert answer.json()["content"] == [{"type": "text", "text": "one two three"}]


@pytest.mark.parametrize("last", ["One ", "One\n"])
async def test_a_beginning_that_ends_in_white_space_is_refused(
    client: httpx.AsyncClient, last: str
) -> None:
    """As Anthropic's API does: no model goes on well from there."""
    messages = [*HELLO, {"role": "assistant", "content": last}]
    asks = {"model": "base", "messages": messages, "max_tokens": 9}
    answer = await client.post("/v1/messages", json=asks)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("capabilities", "status"), [(["chat"], 400), (["chat", "prefill"], 200), (["messages"], 200)]
)
async def test_a_provider_that_cannot_go_on_is_not_asked(
    tmp_path: Path, capabilities: list[str], status: int
) -> None:
    """Through chat only where the model can; its own Messages API knows itself."""
    with FakeFrontier() as frontier:
        price = {"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 1.0}
        model = {"id": "m", "capabilities": capabilities, **price}
        cloud = {"name": "cloud", "base_url": frontier.openai_url, "models": [model]}
        async with router(tmp_path, {"providers": [cloud]}, table()) as (http, _):
            asks = {"model": "cloud/m", "messages": BEGUN, "max_tokens": 9}
            answer = await http.post("/v1/messages", json=asks)
        assert answer.status_code == status, answer.text
        assert bool(frontier.requests) is (status == 200)


async def test_an_engine_hears_no_null_that_means_absent(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    """Typed SDKs send every field that was not set as null; engines differ in which they bear."""
    unset: dict[str, None] = dict.fromkeys(["temperature", "stop", "tools", "seed", "user"])
    asks = {"model": "base", "messages": HELLO, "max_tokens": 5, **unset}
    answer = await client.post("/v1/chat/completions", json=asks)
    assert answer.status_code == 200, answer.text
    [heard] = engine.requests
    assert heard["max_tokens"] == 5
    assert not unset.keys() & heard.keys()


# Responses that refer to an earlier one


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("store", [{}, {"store": True}, {"store": False}])
async def test_an_engines_response_says_that_it_is_not_kept(
    client: httpx.AsyncClient, stream: bool, store: dict[str, bool]
) -> None:
    """SDKs ask for it by default: the answer comes all the same, and does not pretend."""
    asks = {"model": "base", "input": "hi", "stream": stream, **store}
    answer = await client.post("/v1/responses", json=asks)
    if not stream:
        assert answer.json()["store"] is False
        return
    told = [event["response"] for event in objects(answer.content) if event and "response" in event]
    assert len(told) == 3
    assert all(response["store"] is False for response in told)


@pytest.mark.parametrize("field", ["previous_response_id", "conversation"])
async def test_going_on_from_what_nobody_keeps_is_refused(
    client: httpx.AsyncClient, engine: FakeEngine, field: str
) -> None:
    """By name and with the remedy; the engine is not asked."""
    asks = {"model": "base", "input": "and?", field: "x_1"}
    answer = await client.post("/v1/responses", json=asks)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == (
        "previous_response_not_found",
        "previous_response_id",
    )
    assert "`input`" in error["message"]
    assert engine.requests == []


async def test_what_needs_a_kept_response_is_not_offered_locally(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    """An answer in the background could never be fetched; no variable of the engine is named."""
    answer = await client.post(
        "/v1/responses", json={"model": "base", "input": "hi", "background": True}
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "background"
    assert engine.requests == []


# Fields by the client's own names


async def test_errors_of_messages_name_the_clients_own_fields(tmp_path: Path) -> None:
    """The call was made as chat, where the bound has another name."""
    error = {
        "message": "max_completion_tokens=9999 cannot be greater than max_model_len=64.",
        "type": "BadRequestError",
        "param": "max_completion_tokens",
        "code": 400,
    }
    script: list[Piece] = [body(orjson.dumps({"error": error}), status=400)]
    answer = await asked(tmp_path, script, "/v1/messages", messages=BEGUN)
    assert answer.status_code == 400
    found = answer.json()
    assert (found["type"], found["error"]["type"]) == ("error", "invalid_request_error")
    assert found["error"]["message"].startswith("max_tokens=9999")
    assert found["error"]["param"] == "max_tokens"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("stop cannot contain an empty string.", "stop_sequences cannot contain an empty string."),
        (
            "`stop` is wrong (parameter=stop)",
            "`stop_sequences` is wrong (parameter=stop_sequences)",
        ),
        ("do not stop here", "do not stop here"),
        ("reasoning_effort must be low", "output_config.effort must be low"),
        ("nonstop max_completion_tokens_x", "nonstop max_completion_tokens_x"),
    ],
)
def test_only_names_of_fields_are_translated(said: str, told: str) -> None:
    """As whole words; a plain word only where it clearly is a field."""
    assert rejection(400, UpstreamError(said), MESSAGES_NAMES).message == told


async def test_a_broken_stream_of_messages_ends_with_one_of_anthropics_types(
    tmp_path: Path,
) -> None:
    """Their SDKs choose the exception by it."""
    start = b'event: message_start\ndata: {"type":"message_start","message":{"usage":{}}}\n\n'
    delta = (
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        b'"delta":{"type":"input_json_delta","partial_json":"{"}}\n\n'
    )
    answer = await asked(tmp_path, events(start, delta), "/v1/messages", stream=True)
    last = [event for event in objects(answer.content) if event][-1]
    assert last["type"] == "error"
    assert last["error"]["type"] in ANTHROPIC_TYPES


# Nobody was called


async def test_what_cannot_be_said_to_the_only_target_is_no_call(client: httpx.AsyncClient) -> None:
    """Nothing was sent: there is no attempt, nothing is to be paid, and the record says why."""
    sent = {"model": "base", "messages": HELLO, "audio": {"voice": "alloy"}}
    answer = await client.post("/v1/chat/completions", json=sent)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "audio"
    assert answer.headers["x-graftwork-attempts"] == "0"
    assert float(answer.headers["x-graftwork-cost-usd"]) == 0
    found = await client.get(f"/admin/v1/decisions/{answer.headers['x-graftwork-decision-id']}")
    record = found.json()
    assert record["attempts"] == []
    assert record["delivery"] == [{"unable": "base", "why": answer.json()["error"]["code"]}]


# Codes


@pytest.mark.parametrize("code", ["Maria Planted, 4 Elm Street", "x" * 500, "12 34", "a\nb", ""])
def test_a_code_is_one_word(code: str) -> None:
    """Codes go into records, messages do not: what a target says in one is not taken for a code."""
    error = read_error(400, orjson.dumps({"error": {"message": "No.", "type": code, "code": code}}))
    assert rejection(400, error).code == "invalid_request"
    told = FORMATS[Endpoint.CHAT].error_in({"error": {"message": "No.", "code": code}})
    assert told is not None
    assert told.code == "upstream_stream_broken"

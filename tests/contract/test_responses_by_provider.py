"""Responses of providers that have none of their own, through the whole system, from outside.

``claude`` speaks Messages, ``cloud`` Responses, ``plain`` only chat: one server is all of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pytest

from tests.contract.client import ADMIN, client, error_of, lines, put_rules, until
from tests.contract.conftest import router_args
from tests.fakes.faults import Fault, Kind
from tests.fakes.frontier import FakeFrontier
from tests.fakes.streams import objects
from tests.fakes.whole_system import System, whole_system

PATH = "/v1/responses"
MAIL, IBAN = "maria.planted@example.com", "DE89370400440532013000"
TEXT = "One two three four five six seven."
TARGETS = ["claude/opus", "plain/small"]
CAPPED = b"rules: [{id: cap, oblige: {kind: max_discount, percent: 20}}]"
TOOL: dict[str, Any] = {
    "type": "function",
    "name": "look_up",
    "parameters": {"type": "object", "properties": {"sku": {"type": "string"}}},
}


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, frontier: FakeFrontier) -> Iterator[System]:
    """Everybody consents; all models can go on from what was said."""
    router = router_args(frontier)
    price = {"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 2.0}
    cloud, claude = router["providers"]
    cloud["models"][0]["capabilities"] = [*cloud["models"][0]["capabilities"], "prefill"]
    claude["models"][0]["capabilities"] = ["messages", "tools", "prefill"]
    plain = {"id": "small", "capabilities": ["chat", "tools", "json_schema", "prefill"], **price}
    gone = {"id": "big", "capabilities": ["chat", "responses"], **price}
    router["providers"] += [
        {"name": "plain", "base_url": frontier.openai_url, "models": [plain]},
        # Nobody listens on port 1 of this machine.
        {"name": "gone", "base_url": "http://127.0.0.1:1", "models": [gone]},
    ]
    router["capture"] = {"tenants": {"default": {"consent": True, "share": 1.0}}}
    with whole_system(tmp_path_factory.mktemp("responses"), router, replicas=1) as running:
        yield running


@pytest.fixture(scope="module")
def http(system: System) -> Iterator[httpx.Client]:
    """Everybody: without keys each may do all."""
    with client(system) as found:
        yield found


@pytest.fixture(autouse=True)
def _as_it_was(frontier: FakeFrontier) -> Iterator[None]:
    frontier.text = TEXT
    yield
    frontier.text, frontier.piece_chars = "Hello from the frontier.", None


def ask(http: httpx.Client, model: str, said: Any, **more: Any) -> httpx.Response:
    """One response, whole unless asked for otherwise."""
    return http.post(PATH, json={"model": model, "input": said, **more})


def told(answer: httpx.Response) -> dict[str, Any]:
    """The response, or that of a stream's last event."""
    assert answer.status_code == 200, answer.text
    if answer.headers["content-type"].startswith("text/event-stream"):
        last = [event for event in objects(answer.content) if event][-1]
        assert last["type"] == "response.completed"
        found: dict[str, Any] = last["response"]
        return found
    return orjson.loads(answer.content)  # type: ignore[no-any-return]


def text_of(response: dict[str, Any]) -> str:
    """What its messages say."""
    parts = [part for item in response["output"] for part in item.get("content") or ()]
    return "".join(part["text"] for part in parts)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", TARGETS)
def test_what_must_not_leave_comes_back(
    http: httpx.Client, frontier: FakeFrontier, model: str, stream: bool
) -> None:
    """In words and in the tools that the response repeats, in pieces of three characters."""
    frontier.piece_chars = 3
    said = f"Write to {MAIL} about {IBAN}."
    tools = [{**TOOL, "description": f"asks {MAIL}"}]
    answer = ask(http, model, f"say {said}", stream=stream, tools=tools, tool_choice="none")
    response = told(answer)
    assert text_of(response) == said
    assert response["tools"] == tools
    assert answer.headers["x-graftwork-redacted"] == "EMAIL=1,IBAN=1"
    sent = b"".join(each.raw for each in frontier.requests)
    assert frontier.requests[0].path != PATH
    assert MAIL.encode() not in sent
    assert IBAN.encode() not in sent


@pytest.mark.parametrize("stream", [False, True])
def test_who_has_messages_only_answers_in_place_of_who_has_responses(
    http: httpx.Client, frontier: FakeFrontier, stream: bool
) -> None:
    """Before the first byte, with the same body."""
    more: Any = {"graftwork": {"fallbacks": ["claude/opus"]}}
    answer = ask(http, "gone/big", "Tell me.", stream=stream, **more)
    assert text_of(told(answer)) == TEXT
    assert answer.headers["x-graftwork-target"] == "frontier:claude/opus"
    assert frontier.requests[-1].path == "/v1/messages"


@pytest.mark.parametrize("store", [None, True, False])
@pytest.mark.parametrize(("model", "next_one"), [("claude/opus", "plain/small"),
                                                 ("plain/small", "cloud/big")])  # fmt: skip
def test_a_stream_that_breaks_goes_on_elsewhere(
    http: httpx.Client, frontier: FakeFrontier, model: str, next_one: str, store: bool | None
) -> None:
    """Whatever `store` says: nobody kept what was said. One response, one message, one end."""
    frontier.misbehave(Fault(Kind.BREAK_OFF, after=7))
    more: Any = {"graftwork": {"fallbacks": [next_one]}, "store": store}
    answer = ask(http, model, [{"role": "user", "content": "Tell me."}], stream=True, **more)
    assert text_of(told(answer)) == TEXT
    events = [event for event in objects(answer.content) if event]
    assert [each["sequence_number"] for each in events] == list(range(len(events)))
    comment = next(x.comment for x in lines(answer.content) if x.comment)
    facts = json.loads(comment.removeprefix("graftwork "))
    assert [each["by"] for each in facts["rescued"]] == [f"frontier:{next_one}"]


def test_a_stream_that_lacks_only_its_end_is_ended(
    http: httpx.Client, frontier: FakeFrontier
) -> None:
    """It had said why it ended."""
    frontier.misbehave(Kind.NO_END)
    answer = ask(http, "claude/opus", "Tell me.", stream=True)
    assert text_of(told(answer)) == TEXT
    assert answer.headers["x-graftwork-attempts"] == "1"


@pytest.mark.parametrize("stream", [False, True])
def test_what_the_target_does_not_get_is_named(http: httpx.Client, stream: bool) -> None:
    """As a coding agent sends it, in the header."""
    body: dict[str, Any] = {
        "instructions": "You are a coding agent.",
        "tools": [TOOL, {"type": "web_search", "external_web_access": False}],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "k",
    }
    items = [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Go."}]}
    ]
    answer = ask(http, "claude/opus", items, stream=stream, **body)
    [call] = told(answer)["output"]
    assert (call["type"], call["name"], call["arguments"]) == (
        "function_call",
        "look_up",
        '{"sku":"x"}',
    )
    _, _, names = answer.headers["x-graftwork-warning"].rpartition(": ")
    assert set(names.split(", ")) == {
        "tools.web_search",
        "reasoning.effort",
        "reasoning.summary",
        "include.reasoning.encrypted_content",
    }


@pytest.mark.parametrize("field", ["previous_response_id", "conversation"])
@pytest.mark.parametrize("model", TARGETS)
def test_who_keeps_nothing_is_not_asked_to_go_on(
    http: httpx.Client, frontier: FakeFrontier, model: str, field: str
) -> None:
    """With the code at which clients send the whole conversation."""
    answer = ask(http, model, "And now?", **{field: "resp_1"})
    assert answer.status_code == 400
    assert error_of(answer)["code"] == "previous_response_not_found"
    assert not frontier.requests


def test_auto_goes_on_only_at_who_keeps(http: httpx.Client, frontier: FakeFrontier) -> None:
    """The model that is chosen has Responses of its own."""
    answer = ask(http, "auto", "And now?", previous_response_id="resp_1")
    assert answer.headers["x-graftwork-target"] == "frontier:cloud/big"
    assert frontier.requests[0].path == PATH


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"background": True}, "background"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input.0"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]},
         "input.0.content.0.image_url"),
    ],
)  # fmt: skip
def test_what_cannot_be_said_is_refused_by_its_name(
    http: httpx.Client, frontier: FakeFrontier, body: dict[str, Any], param: str
) -> None:
    """Before anybody is asked."""
    answer = http.post(PATH, json={"model": "claude/opus", "input": "hi", **body})
    assert answer.status_code == 400, answer.text
    assert error_of(answer)["param"] == param
    assert not frontier.requests


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_breaks_a_rule_does_not_leave(
    http: httpx.Client, frontier: FakeFrontier, stream: bool
) -> None:
    """Obligations look at the response, whoever gave it."""
    put_rules(http, CAPPED)
    frontier.text = "Sure! You get a quarter off your next order, and thank you for asking us."
    try:
        answer = ask(http, "claude/opus", "Hello", stream=stream)
        assert "policy_denied" in answer.text
        assert "quarter" not in answer.text
        assert "response.completed" not in answer.text
    finally:
        put_rules(http, "rules: []")
        frontier.text = TEXT


def test_it_is_captured_and_booked_as_every_answer(http: httpx.Client) -> None:
    """With its target, and what the client was told that it cost."""
    answer = ask(http, "claude/opus", "What is a kettle that whistles called?")
    cost = float(answer.headers["x-graftwork-cost-usd"])
    usage = told(answer)["usage"]
    assert cost == pytest.approx((usage["input_tokens"] + 2 * usage["output_tokens"]) / 1e6)

    def captured() -> dict[str, Any] | None:
        rows = http.get(f"{ADMIN}/exchanges", params={"limit": "1000"}).json()["data"]
        return next((row for row in rows if "whistles" in str(row["request"])), None)

    row = until(captured)
    assert row["target"] == "frontier:claude/opus"
    assert TEXT in str(row["response"])

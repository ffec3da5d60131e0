"""What must not leave does not leave as a key, an id or a header either (law 6)."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest

from tests.contract.client import HELLO, error_of
from tests.fakes.frontier import FakeFrontier
from tests.fakes.whole_system import System

CHAT = "/v1/chat/completions"
MAIL = "bob.miller77@example.com"
SECRET = "sk-proj-abcdEFGH1234ijklMNOP5678qrstUVWX9012yzAB"


def _call(name: str, call_id: str) -> list[dict[str, Any]]:
    """A conversation with a tool's call in it."""
    function = {"name": name, "arguments": "{}"}
    call = {"id": call_id, "type": "function", "function": function}
    return [
        *HELLO,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call_id, "content": "x"},
    ]


def _tool(**fields: Any) -> dict[str, Any]:
    return {"messages": HELLO, "tools": [{"type": "function", "function": fields}]}


def _bodies(value: str) -> dict[str, dict[str, Any]]:
    choice = {"type": "function", "function": {"name": value}}
    return {
        "a key of metadata": {"messages": HELLO, "metadata": {value: "1"}},
        "a key of a new field": {"messages": HELLO, "brand_new": {"inner": [{value: 1}]}},
        "a bias": {"messages": HELLO, "logit_bias": {value: 1}},
        "an option of the stream": {"messages": HELLO, "stream_options": {"x": value}},
        "a tier": {"messages": HELLO, "service_tier": value},
        "a parameter": _tool(name="f", parameters={"properties": {value: {"type": "string"}}}),
        "a tool": _tool(name=value),
        "the choice of a tool": _tool(name="f") | {"tool_choice": choice},
        "the id of a call": {"messages": _call("f", value)},
        "the name of a call": {"messages": _call(value, "call_1")},
        "the model of a fallback": {"messages": HELLO, "brand_new": [{"model": value}]},
    }


@pytest.mark.parametrize("place", _bodies(""))
def test_personal_data_in_a_name_keeps_the_request_here(
    app: httpx.Client, frontier: FakeFrontier, place: str
) -> None:
    """Nothing can stand in its place there: the frontier is not asked, the base may answer."""
    body = _bodies(MAIL)[place]
    refused = app.post(CHAT, json={"model": "cloud/big", **body})
    assert refused.status_code == 403, refused.text
    assert "EMAIL" in error_of(refused)["message"]
    assert MAIL not in refused.text
    assert not frontier.requests
    here = app.post(CHAT, json={"model": "base", **body})
    assert here.status_code == 200, here.text


@pytest.mark.parametrize("place", _bodies(""))
@pytest.mark.parametrize("model", ["base", "cloud/big"])
def test_a_secret_in_a_name_leaves_for_nobody(
    app: httpx.Client, keyed: System, frontier: FakeFrontier, place: str, model: str
) -> None:
    """As in a text: 422, which does not repeat it."""
    refused = app.post(CHAT, json={"model": model, **_bodies(SECRET)[place]})
    assert refused.status_code == 422, refused.text
    assert error_of(refused)["code"] == "secret_blocked"
    assert SECRET not in refused.text
    assert not frontier.requests
    assert not keyed.asked()


@pytest.mark.parametrize(
    "call_id",
    [
        "call_abcdEFGH1234ijklMNOP5678",
        "toolu_01A09q90qw90lq917835lq9K",
        "fe48a2e5-65f3-4abd-9663-f003e28dbf66",
        "call_4111111111111111",
        "chatcmpl-tool-e7adab1480684b86917f392f223c4b1e",
    ],
)
def test_ordinary_ids_are_nobodys(app: httpx.Client, frontier: FakeFrontier, call_id: str) -> None:
    """Whatever their digits look like; and odd names that hold nothing pass."""
    body = {
        "messages": _call("get_weather", call_id),
        "metadata": {"@type": "1"},
    }
    answer = app.post(CHAT, json={"model": "cloud/big", **body})
    assert answer.status_code == 200, answer.text
    assert frontier.requests[-1].body["messages"][1]["tool_calls"][0]["id"] == call_id


@pytest.mark.parametrize("value", [MAIL, SECRET])
@pytest.mark.parametrize("name", ["traceparent", "tracestate", "anthropic-beta", "x-request-id"])
def test_headers_carry_nothing_else(
    app: httpx.Client, frontier: FakeFrontier, name: str, value: str
) -> None:
    """What is not of the header's form does not go on."""
    body = {"model": "claude/opus", "messages": HELLO, "max_tokens": 8}
    answer = app.post("/v1/messages", json=body, headers={name: value})
    assert answer.status_code == 200, answer.text
    assert value not in frontier.requests[-1].headers.values()
    assert value not in answer.headers.values()
    if name == "anthropic-beta":
        assert name in answer.headers["x-graftwork-warning"]


def test_headers_of_the_right_form_go_on(app: httpx.Client, frontier: FakeFrontier) -> None:
    """Tracing and betas work."""
    given = {
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "anthropic-beta": "context-1m-2025-08-07, fine-grained-tool-streaming-2025-05-14",
        "anthropic-version": "2023-06-01",
    }
    body = {"model": "claude/opus", "messages": HELLO, "max_tokens": 8}
    answer = app.post("/v1/messages", json=body, headers={**given, "x-request-id": "my-id-1"})
    assert answer.status_code == 200
    assert answer.headers["x-request-id"] == "my-id-1"
    sent = frontier.requests[-1].headers
    assert {name: sent.get(name) for name in given} == given


CARD = 4111111111111111
_BASE64 = base64.b64encode(b"x maria.quast@example.org").decode()


def _user(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


def _shown(part: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": "See:"}, part]}]}


ODD: dict[str, tuple[dict[str, Any], str]] = {
    "a number of metadata": ({"messages": HELLO, "metadata": {"card": CARD}}, str(CARD)),
    "a number in a new field": ({"messages": HELLO, "brand_new": [[{"a": CARD}]]}, str(CARD)),
    "a new field that is one": ({"messages": HELLO, "brand_new": CARD}, str(CARD)),
    "a fraction that is whole": ({"messages": HELLO, "brand_new": [float(CARD)]}, str(CARD)),
    "a number's default": (_tool(name="f", parameters={"default": CARD}), str(CARD)),
    "one of some numbers": (_tool(name="f", parameters={"enum": [1, CARD]}), str(CARD)),
    "a short file": (
        _shown({"type": "file", "source": {"type": "base64", "data": _BASE64}}),
        _BASE64[8:24],
    ),
    "an address in a URL": (
        _shown(
            {"type": "image_url", "image_url": {"url": "https://a.org/?m=maria.quast%40b.example"}}
        ),
        "quast",
    ),
    "an address in HTML": (_user("Write to maria.quast&#64;example.org."), "quast"),
    "an address in JSON": (_user('{"to": "maria.quast\\u0040example.org"}'), "quast"),
    "an address for people": (_user("It is maria.quast [at] example.org"), "quast"),
    "a card with dots": (_user("4111.1111.1111.1111"), "4111.1111"),
    "a card with strokes": (_user("4111_1111_1111_1111"), "4111_1111"),
}


@pytest.mark.parametrize("place", ODD)
def test_a_value_that_is_spelled_oddly_does_not_reach_a_provider(
    app: httpx.Client, frontier: FakeFrontier, place: str
) -> None:
    """As a number, encoded, or with signs between that nobody would expect."""
    body, planted = ODD[place]
    frontier.requests.clear()
    answer = app.post(CHAT, json={"model": "cloud/big", **body})
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-graftwork-redacted"]
    (sent,) = frontier.requests
    assert planted not in sent.raw.decode()


def test_a_number_that_is_nobodys_stays_a_number(app: httpx.Client, frontier: FakeFrontier) -> None:
    """Times, sizes and seeds reach the provider as they came."""
    fields = {"since": 1795765092123, "most": 2147483647, "half": 0.5, "sizes": [1 << 40, -1]}
    frontier.requests.clear()
    body = {"messages": HELLO, "brand_new": fields, "seed": CARD}
    assert app.post(CHAT, json={"model": "cloud/big", **body}).status_code == 200
    assert frontier.requests[-1].body["brand_new"] == fields
    assert frontier.requests[-1].body["seed"] == CARD


def test_where_a_hand_clicked_is_no_prompt_of_tokens(
    app: httpx.Client, frontier: FakeFrontier
) -> None:
    """Numbers in an item of a conversation are not those of token ids."""
    call = {"type": "computer_call", "call_id": "c", "id": "x", "status": "completed"}
    click = {"type": "click", "button": "left", "x": 5, "y": 6}
    items = [{"role": "user", "content": "Go on."}, {**call, "action": click}]
    body = {"model": "cloud/big", "input": items, "max_output_tokens": 16}
    answer = app.post("/v1/responses", json=body)
    assert answer.status_code == 200, answer.text
    assert frontier.requests[-1].body["input"][1]["action"] == click

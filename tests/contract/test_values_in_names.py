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
    "a number with a fraction": ({"messages": HELLO, "brand_new": CARD + 0.5}, str(CARD)),
    "a word with its probability": (
        {"messages": HELLO, "brand_new": {"logprobs": [f"to {MAIL}"]}},
        MAIL,
    ),
    "a file that is none": (
        _shown({"type": "file", "file": {"file_data": f"mail {MAIL} to", "filename": "x.txt"}}),
        MAIL,
    ),
    "a picture that is none": (
        _shown({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{MAIL}"}}),
        MAIL,
    ),
    "a picture in plain": (
        _shown({"type": "image_url", "image_url": {"url": f"data:image/png,{MAIL}"}}),
        MAIL,
    ),
    "a sound that is none": (_shown({"type": "input_audio", "input_audio": f"is {MAIL}"}), MAIL),
    "media in a new field": ({"messages": HELLO, "brand_new": {"b64_json": MAIL}}, MAIL),
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
    answer = app.post(CHAT, json={"model": "cloud/big", **body})
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-graftwork-redacted"]
    (sent,) = frontier.requests
    assert planted not in sent.raw.decode()


def test_a_number_that_is_nobodys_stays_a_number(app: httpx.Client, frontier: FakeFrontier) -> None:
    """Times, sizes and most seeds reach the provider as they came."""
    fields = {"since": 1795765092123, "most": 2147483647, "half": 0.5, "sizes": [1 << 40, -1]}
    body = {"messages": HELLO, "brand_new": fields, "seed": 4_294_967_295}
    assert app.post(CHAT, json={"model": "cloud/big", **body}).status_code == 200
    assert frontier.requests[-1].body["brand_new"] == fields
    assert frontier.requests[-1].body["seed"] == 4_294_967_295


def test_a_seed_that_is_a_cards_number_becomes_another_seed(
    app: httpx.Client, frontier: FakeFrontier
) -> None:
    """The same again for the same: that is what it is for. Local models get it as it is."""
    for body in ({"seed": CARD}, {"seed": CARD}, {"seed": CARD, "model": "base"}):
        answer = app.post(CHAT, json={"model": "cloud/big", "messages": HELLO, **body})
        assert answer.status_code == 200, answer.text
    seeds = {each.body["seed"] for each in frontier.requests}
    assert len(frontier.requests) == 2
    assert len(seeds) == 1
    assert isinstance((seed := seeds.pop()), int)
    assert 0 <= seed < 1 << 28


def _schema(**fields: Any) -> dict[str, Any]:
    properties = {"a": {"type": "string", **fields}}
    return _tool(name="f", parameters={"type": "object", "properties": properties})


_IN_SCHEMAS = {
    "a description": (_schema(description=f"such as {MAIL}"), MAIL),
    "a constant": (_schema(const=MAIL), MAIL),
    "an example": (_schema(examples=["x", MAIL]), MAIL),
    "a default": (_schema(default=MAIL), MAIL),
    "a choice": (_schema(enum=[MAIL, "x"]), MAIL),
    "a constant number": (_schema(const=CARD), str(CARD)),
    "a stop": ({"messages": HELLO, "stop": [str(CARD)]}, str(CARD)),
    "a prediction": (
        {"messages": HELLO, "prediction": {"type": "content", "content": f"It is {MAIL}."}},
        MAIL,
    ),
    "a place": (
        {
            "messages": HELLO,
            "web_search_options": {
                "user_location": {"type": "approximate", "approximate": {"city": MAIL}}
            },
        },
        MAIL,
    ),
    "a value of metadata": ({"messages": HELLO, "metadata": {"card": str(CARD)}}, str(CARD)),
    "a user": ({"messages": HELLO, "user": str(CARD)}, str(CARD)),
    "a user in figures": ({"messages": HELLO, "user": CARD}, str(CARD)),
}


@pytest.mark.parametrize("place", _IN_SCHEMAS)
def test_what_can_be_replaced_is(app: httpx.Client, frontier: FakeFrontier, place: str) -> None:
    """In definitions, stop words, predictions, and who and where somebody is."""
    body, planted = _IN_SCHEMAS[place]
    answer = app.post(CHAT, json={"model": "cloud/big", **body})
    assert answer.status_code == 200, answer.text
    (sent,) = frontier.requests
    assert planted not in sent.raw.decode()


_LONG = "an_id_of_somebodys_own." * 30
_FIXED = {
    "a pattern": (_schema(pattern=r"^bob\.miller77@example\.com$"), "EMAIL"),
    "one of two patterns": (_schema(pattern=r"^(?:x|bob@example\.com)$"), "EMAIL"),
    "a pattern in letters' codes": (_schema(pattern=r"^bob\x40example\.com$"), "EMAIL"),
    "a pattern of a card": (_schema(pattern=r"^4111\-1111\-1111\-1111$"), "CREDIT_CARD"),
    "a key of metadata": ({"messages": HELLO, "metadata": {str(CARD): "1"}}, "CREDIT_CARD"),
    "a telephone as a key": ({"messages": HELLO, "metadata": {"+491701234567": "1"}}, "PHONE"),
    "a number with its sort": ({"messages": HELLO, "metadata": {f"card-{CARD}": 1}}, "CREDIT_CARD"),
    "a bias": ({"messages": HELLO, "logit_bias": {str(CARD): 1}}, "CREDIT_CARD"),
    "how much of a bias": ({"messages": HELLO, "logit_bias": {"5": CARD}}, "CREDIT_CARD"),
    "an id in figures": ({"messages": HELLO, "previous_response_id": CARD}, "CREDIT_CARD"),
    "an option in figures": ({"messages": HELLO, "stream_options": {"x": [CARD]}}, "CREDIT_CARD"),
    "a call's id": ({"messages": _call("f", str(CARD))}, "CREDIT_CARD"),
    "an address as URLs have it": ({"messages": _call("f", "bob%40example.com")}, "EMAIL"),
    "a long name": ({"messages": HELLO, "metadata": {f"{_LONG} {MAIL}": "1"}}, "EMAIL"),
    "the form of a sound": (
        _shown({"type": "input_audio", "input_audio": {"data": "AAAA", "format": MAIL}}),
        "EMAIL",
    ),
    "a word's probability": ({"messages": HELLO, "top_logprobs": {MAIL: -0.1}}, "EMAIL"),
    "an embedding": ({"messages": HELLO, "brand_new": {"embedding": [MAIL]}}, "EMAIL"),
    "bytes": ({"messages": HELLO, "brand_new": {"bytes": [1, CARD]}}, "CREDIT_CARD"),
    "ids of tokens": ({"messages": HELLO, "brand_new": {"token_ids": {"a": [MAIL]}}}, "EMAIL"),
    "an engine's own": ({"messages": HELLO, "kv_transfer_params": {"a": MAIL}}, "EMAIL"),
    "a key of a signature": (
        {"messages": HELLO, "brand_new": {"signature": {MAIL: 1}}},
        "EMAIL",
    ),
    "what is not encoded": (
        {"messages": HELLO, "brand_new": [{"encrypted_content": f"it is {MAIL}"}]},
        "EMAIL",
    ),
}


@pytest.mark.parametrize("place", _FIXED)
def test_what_cannot_be_replaced_keeps_the_request_here(
    app: httpx.Client, frontier: FakeFrontier, place: str
) -> None:
    """Patterns, keys and ids would mean something else."""
    body, entity = _FIXED[place]
    refused = app.post(CHAT, json={"model": "cloud/big", **body})
    assert refused.status_code == 403, refused.text
    assert entity in error_of(refused)["message"]
    assert not frontier.requests


@pytest.mark.parametrize(
    "pattern",
    [
        r"^[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}$",
        r"^\w+([.-]?\w+)*@\w+([.-]?\w+)*(\.\w{2,3})+$",
        r"^[a-z.]+@example\.com$",
        r"^\S+@example\.com$",
        r"^\d{4}-\d{4}-\d{4}-\d{4}$",
        r"^\+?[1-9]\d{1,14}$",
    ],
)
def test_a_pattern_that_says_nobodys_value_goes_on(
    app: httpx.Client, frontier: FakeFrontier, pattern: str
) -> None:
    """What addresses and numbers look like is no address and no number."""
    answer = app.post(CHAT, json={"model": "cloud/big", **_schema(pattern=pattern)})
    assert answer.status_code == 200, answer.text
    assert pattern in str(frontier.requests[-1].body).replace("\\\\", "\\")


@pytest.mark.parametrize(
    "given",
    [
        {"x-request-id": str(CARD)},
        {"x-request-id": f"id-{CARD}"},
        {"traceparent": f"00-{CARD}{0:016}-b7ad6b7169203331-01"},
        {"traceparent": f"00-0af7651916cd43dd8448eb211c80319c-{CARD}-01"},
        {"anthropic-beta": str(CARD)},
    ],
)
def test_a_cards_number_in_a_header_does_not_go_on(
    app: httpx.Client, frontier: FakeFrontier, given: dict[str, str]
) -> None:
    """Neither to the provider nor into what is kept, which has the request's id."""
    body = {"model": "claude/opus", "messages": HELLO, "max_tokens": 8}
    answer = app.post("/v1/messages", json=body, headers=given)
    assert answer.status_code == 200, answer.text
    assert str(CARD) not in str([*frontier.requests[-1].headers.items()])
    assert str(CARD) not in str([*answer.headers.items()])


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

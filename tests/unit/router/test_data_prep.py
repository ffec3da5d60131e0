"""From bytes to a request: anything is either understood or refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from router.errors import InvalidRequest, TooLarge
from router.prepare import parse
from router.wire import texts
from router.wire.endpoint import Endpoint
from tests.fakes.exchanges import exchange

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
ANY_JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=12,
)
EXTENSION = st.dictionaries(
    st.sampled_from(["max_cost_usd", "session", "timeout_ms", "other"]), ANY_JSON, max_size=4
)
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "model": ANY_JSON,
        "stream": ANY_JSON,
        "messages": ANY_JSON
        | st.lists(
            st.fixed_dictionaries(
                {"role": st.sampled_from(["user", "system"]), "content": ANY_JSON}
            )
        ),
        "prompt": ANY_JSON,
        "input": ANY_JSON,
        "graftwork": ANY_JSON | EXTENSION,
    },
)
HEADERS = st.dictionaries(
    st.sampled_from(["x-graftwork-timeout-ms", "x-graftwork-session", "x-graftwork-max-cost-usd"]),
    st.text(max_size=30),
)


ASKED: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}


def parsed(body: Any, **options: Any) -> Any:
    """The request after the stage."""
    return parse(exchange(**options).request, json.dumps(body).encode())


@given(body=BODIES | ANY_JSON, headers=HEADERS, endpoint=st.sampled_from(list(Endpoint)))
@example(body={"graftwork": {"timeout_ms": 10**400}}, headers={}, endpoint=Endpoint.CHAT)
@example(body={"graftwork": {"max_cost_usd": "1e999"}}, headers={}, endpoint=Endpoint.CHAT)
def test_any_json_is_parsed_or_refused(
    body: Any, headers: dict[str, str], endpoint: Endpoint
) -> None:
    """No JSON ends in anything but a request or an ``InvalidRequest`` that the client can read."""
    asked = exchange(headers=headers, endpoint=endpoint).request
    try:
        found = parse(asked, json.dumps(body).encode())
    except InvalidRequest as error:
        json.dumps(error.body())
        return
    assert isinstance(found.model, str)
    assert isinstance(found.stream, bool)
    assert isinstance(found.text, str)
    assert "graftwork" not in found.body
    assert found.hints.timeout_s is None or 0 < found.hints.timeout_s < float("inf")


@given(st.binary(max_size=200))
@example(b"[" * 100_000)
@example(b'{"a":' * 100_000)
@example(b'{"model": "\xff"}')
@example(b'{"model": "\\ud800"}')
@example(b"")
@example(b"{}{}")
@example(b"NaN")
def test_any_bytes_are_parsed_or_refused(raw: bytes) -> None:
    """Bytes that are no JSON object are refused as such, however deep or broken."""
    try:
        parse(exchange().request, raw)
    except InvalidRequest as error:
        assert error.status == 400  # noqa: PT017 - valid bodies may come up


def test_defaults() -> None:
    """Messages alone are a request for ``auto``, not streamed, without wishes."""
    found = parsed(ASKED)
    assert (found.model, found.stream, found.text) == ("auto", False, "hi")
    assert found.hints.timeout_s is None


def test_unknown_fields_pass_through() -> None:
    """What the router does not read stays as it was; the extension goes."""
    body = {**ASKED, "model": "m", "logit_bias": {"7": 1}, "x": 7}
    found = parsed({**body, "graftwork": {"session": "s"}})
    assert found.body == body
    assert found.hints.session == "s"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": 3}, "model"),
        ({"model": ""}, "model"),
        ({"model": "x" * 257}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"stream": 1}, "stream"),
        ({"graftwork": []}, "graftwork"),
        ({"graftwork": {"budget": 1}}, "graftwork"),
        ({"graftwork": {"timeout_ms": 0}}, "graftwork.timeout_ms"),
        ({"graftwork": {"timeout_ms": True}}, "graftwork.timeout_ms"),
        ({"graftwork": {"timeout_ms": "soon"}}, "graftwork.timeout_ms"),
        ({"graftwork": {"max_cost_usd": -1}}, "graftwork.max_cost_usd"),
        ({"graftwork": {"session": 7}}, "graftwork.session"),
        ({"graftwork": {"session": "x" * 257}}, "graftwork.session"),
    ],
)
def test_the_field_at_fault_is_named(body: dict[str, Any], param: str) -> None:
    """A wrong value is refused with the field in ``param``, as OpenAI's clients expect."""
    with pytest.raises(InvalidRequest) as refused:
        parsed(body)
    assert refused.value.param == param


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b'"text"', b"{'a': 1}"])
def test_what_is_no_object(raw: bytes) -> None:
    """Only a JSON object is a request."""
    with pytest.raises(InvalidRequest) as refused:
        parse(exchange().request, raw)
    assert refused.value.code == "invalid_json"


def test_headers_come_before_the_body() -> None:
    """A header outdoes the same wish in the body, so that a gateway can set it."""
    found = parsed(
        {**ASKED, "graftwork": {"timeout_ms": 9, "session": "body", "max_cost_usd": 9}},
        headers={
            "x-graftwork-timeout-ms": "250",
            "x-graftwork-session": "header",
            "x-graftwork-max-cost-usd": "0.5",
        },
    )
    assert found.hints.timeout_s == 0.25
    assert found.hints.session == "header"
    assert found.hints.max_cost_usd == 0.5


PARTS = [{"type": "text", "text": "and"}, {"type": "image_url"}, "this", {"text": 7}]


@pytest.mark.parametrize(
    ("endpoint", "body", "text"),
    [
        (Endpoint.CHAT, {"messages": [{"role": "user", "content": "hi"}]}, "hi"),
        (Endpoint.CHAT, {"messages": [{"role": "user", "content": PARTS}]}, "and\nthis"),
        (
            Endpoint.MESSAGES,
            {
                "messages": [
                    {"role": "user", "content": "old"},
                    {"role": "user", "content": "new"},
                    {"role": "assistant", "content": "said"},
                ]
            },
            "new",
        ),
        (Endpoint.COMPLETIONS, {"prompt": "once"}, "once"),
        (Endpoint.COMPLETIONS, {"prompt": [1, 2, 3]}, ""),
        (Endpoint.RESPONSES, {"input": "once"}, "once"),
        (Endpoint.RESPONSES, {"input": [{"role": "user", "content": "hi"}]}, "hi"),
        (Endpoint.EMBEDDINGS, {"input": "once"}, "once"),
        (Endpoint.CHAT, {"messages": [{"role": "user"}]}, ""),
    ],
)
def test_the_newest_text(endpoint: Endpoint, body: dict[str, Any], text: str) -> None:
    """What the user said last is found in every dialect."""
    assert parsed(body, endpoint=endpoint).text == text


def test_what_is_recognised_is_read_in_one_spelling() -> None:
    """A refund is a refund in letters of any width; the target gets what was written."""
    content = "I want a ｒｅｆｕｎｄ for my оrder"  # noqa: RUF001
    found = parsed({"messages": [{"role": "user", "content": content}]})
    assert found.text == "I want a refund for my order"
    assert found.turns == (found.text,)
    assert found.body["messages"][0]["content"] == content


def test_what_is_nested_too_deeply_is_refused() -> None:
    """It could be read, but not be sent on."""
    with pytest.raises(InvalidRequest) as refused:
        parse(exchange().request, b'{"messages": ' + b"[" * 400 + b"]" * 400 + b"}")
    assert refused.value.code == "invalid_json"


def test_a_long_text_is_cut_at_its_beginning() -> None:
    """The end of a long text says what is wanted; the classifier's work is bounded (law 9)."""
    found = parsed({"messages": [{"role": "user", "content": "x" * 9000 + "end"}]})
    assert len(found.text) == 4000
    assert found.text.endswith("end")


def test_token_ids_are_counted_without_a_step_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """A prompt of a million numbers must not hold the event loop; it costs what it costs."""
    steps = 0
    really = texts._Walk._any

    def counted(walk: Any, *args: Any) -> Any:
        nonlocal steps
        steps += 1
        return really(walk, *args)

    monkeypatch.setattr(texts._Walk, "_any", counted)
    found = parsed({"prompt": list(range(1_000_000))}, endpoint=Endpoint.COMPLETIONS)
    assert found.needs.input_tokens == 1_000_000
    found = parsed({"prompt": [[1, 2, 3], [4, 5]]}, endpoint=Endpoint.COMPLETIONS)
    assert found.needs.input_tokens == 5
    assert steps < 10


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "user", "content": "x"}] * 60_000},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "y"}] * 60_000}]},
        {"tools": [{"type": "function", "function": {"parameters": {"x": [1] * 150_000}}}]},
        {"metadata": {"a": [[]] * 150_000}},
    ],
)
def test_a_body_of_very_many_values_is_refused(body: dict[str, Any]) -> None:
    """Whoever sends it would have everybody wait; the answer names the setting."""
    with pytest.raises(TooLarge, match="max_body_values"):
        parsed(body)


def test_a_large_table_in_a_string_is_one_text() -> None:
    """What a tool found is passed on, however large; only small JSON is opened."""
    table = json.dumps([{"a": 1}] * 200_000)
    found = parsed({"messages": [{"role": "tool", "tool_call_id": "1", "content": table}]})
    assert found.needs.input_tokens > len(table) // 5


@pytest.mark.parametrize(
    ("endpoint", "body", "param"),
    [
        (Endpoint.CHAT, {"n": 129}, "n"),
        (Endpoint.COMPLETIONS, {"prompt": "x", "best_of": 10**6}, "best_of"),
        (Endpoint.COMPLETIONS, {"prompt": ["x"] * 129}, "prompt"),
        (Endpoint.COMPLETIONS, {"prompt": [[1, 2]] * 129}, "prompt"),
        (Endpoint.COMPLETIONS, {"prompt": ["x"] * 13, "n": 10}, "prompt"),
        (Endpoint.EMBEDDINGS, {"input": ["x"] * 2049}, "input"),
    ],
)
def test_answers_that_one_request_may_ask_for_are_bounded(
    endpoint: Endpoint, body: dict[str, Any], param: str
) -> None:
    """400 that names the field and the setting."""
    with pytest.raises(InvalidRequest, match=r"limits\.max_") as refused:
        parsed(body, endpoint=endpoint)
    assert (refused.value.param, refused.value.code) == (param, "too_many_choices")


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        (Endpoint.CHAT, {**ASKED, "n": 128}),
        (Endpoint.CHAT, {**ASKED, "n": "many"}),
        (Endpoint.COMPLETIONS, {"prompt": list(range(5000)), "n": 2}),
        (Endpoint.COMPLETIONS, {"prompt": ["x"] * 64, "n": 2}),
        (Endpoint.EMBEDDINGS, {"input": ["x"] * 2048}),
    ],
)
def test_what_is_within_bounds_goes_on(endpoint: Endpoint, body: dict[str, Any]) -> None:
    """One prompt as token ids is one prompt; a wrong type is the target's to refuse."""
    assert parsed(body, endpoint=endpoint).body == body

"""A client's impossible grammar on real vLLM: 400 for it, and nobody else notices."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.system.client import chat_body

pytestmark = pytest.mark.system

SCHEMA = {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}
FORMAT = {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}
ENDLESS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"response_format": FORMAT},
    "/v1/completions": {"prompt": "hi", "structured_outputs": {"grammar": "root ::= root"}},
    "/v1/responses": {
        "input": "hi",
        "text": {"format": {"type": "json_schema", "name": "a", "schema": SCHEMA}},
    },
    "/v1/messages": {
        "max_tokens": 9,
        "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
    },
}


WRONG: list[dict[str, Any]] = [
    {"structured_outputs": {"grammar": "root ::= ((("}},
    {"structured_outputs": {"grammar": "root ::= nowhere"}},
    {"structured_outputs": {"regex": "(["}},
    {"structured_outputs": {"choice": []}},
    {"response_format": {**FORMAT, "json_schema": {"name": "a", "schema": {"type": "no"}}}},
    {"logit_bias": {"999999999": 1}},
    {"logit_bias": {"word": 1}},
    {"stop_token_ids": [999999999]},
    {"allowed_token_ids": []},
    {"bad_words": [""]},
    {"stop": ""},
    {"temperature": -1},
    {"top_logprobs": 9999, "logprobs": True},
    {"min_tokens": 50, "max_tokens": 5},
    {"max_tokens": 2**40},
]


def test_other_mistakes_of_a_client_are_told_as_such(http: httpx.Client) -> None:
    """Whatever is wrong with a request, vLLM says so before it generates."""
    for wrong in WRONG:
        answer = http.post("/v1/chat/completions", json={**chat_body("base", "hi"), **wrong})
        assert answer.status_code == 400, (wrong, answer.text)
    assert http.post("/v1/chat/completions", json=chat_body("base", "hi")).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_an_endless_grammar_is_the_clients_mistake(http: httpx.Client, stream: bool) -> None:
    """On every endpoint, again and again: the engine's breaker does not open for it."""
    messages = {"messages": [{"role": "user", "content": "hi"}]}
    for _ in range(6):
        for path, fields in ENDLESS.items():
            body = {"model": "base", "stream": stream, **fields}
            if path.endswith(("completions", "messages")) and "prompt" not in body:
                body |= messages
            answer = http.post(path, json=body)
            assert answer.status_code == 400, (path, answer.text)
            assert "refers only to itself" in answer.json()["error"]["message"]
    assert http.post("/v1/chat/completions", json=chat_body("base", "hi")).status_code == 200

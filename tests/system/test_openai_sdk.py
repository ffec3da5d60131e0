"""The endpoint as OpenAI's own client sees it, on real vLLM and on a frontier."""

from __future__ import annotations

import json
from typing import Any

import httpx
import openai
import pytest

from tests.fakes.frontier import FakeFrontier
from tests.fakes.frontier_answers import DIMENSIONS
from tests.system.client import BASE, RETURNS_QUESTION, chat_body, target
from tests.system.config import ANTHROPIC_FRONTIER, OPENAI_FRONTIER
from tests.system.running import Running

pytestmark = pytest.mark.system

LOOK_UP: Any = {
    "type": "function",
    "function": {
        "name": "look_up",
        "strict": True,
        "description": "Look up an order.",
        "parameters": {
            "type": "object",
            "properties": {"kind": {"type": "string", "enum": ["order", "return"]}},
            "required": ["kind"],
            "additionalProperties": False,
        },
    },
}
RECORD: Any = {
    "type": "json_schema",
    "json_schema": {
        "name": "record",
        "schema": {
            "type": "object",
            "properties": {
                "kind": {"type": "string", "enum": ["order", "return"]},
                "open": {"type": "boolean"},
                "tags": {
                    "type": "array",
                    "items": {"enum": ["a", "b"]},
                    "minItems": 2,
                    "maxItems": 2,
                },
            },
            "required": ["kind", "open", "tags"],
            "additionalProperties": False,
        },
    },
}
YES_OR_NO: Any = {
    "type": "json_schema",
    "json_schema": {"name": "answer", "schema": {"type": "string", "enum": ["yes", "no"]}},
}


def ask(prompt: str = RETURNS_QUESTION, model: str = BASE, **more: Any) -> Any:
    """Arguments of a chat call."""
    return chat_body(model, prompt, **more)


def test_chat(openai_client: openai.OpenAI) -> None:
    """A whole chat answer has text, a reason to end and counts that add up."""
    answer = openai_client.chat.completions.create(**ask())
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason in {"stop", "length"}
    assert answer.usage is not None
    assert 0 < answer.usage.completion_tokens <= 16
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


@pytest.mark.parametrize("model", [BASE, "returns", OPENAI_FRONTIER])
def test_streamed_chat_says_the_same(
    openai_client: openai.OpenAI, frontier: FakeFrontier, model: str
) -> None:
    """The pieces of a stream together are the whole answer, from each kind of target."""
    whole = openai_client.chat.completions.create(**ask(model=model))
    chunks = list(openai_client.chat.completions.create(**ask(model=model, stream=True)))
    pieces = [c.choices[0].delta.content or "" for c in chunks if c.choices]
    assert len(pieces) > 3
    assert "".join(pieces) == whole.choices[0].message.content
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] is not None


def _said(chunks: list[Any]) -> str:
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


@pytest.mark.parametrize("model", [BASE, OPENAI_FRONTIER, ANTHROPIC_FRONTIER])
def test_stream_counts_tokens_only_when_asked(
    openai_client: openai.OpenAI, frontier: FakeFrontier, model: str
) -> None:
    """`include_usage` decides on the extra chunk, though the router itself always counts."""
    create = openai_client.chat.completions.create
    silent = list(create(**ask(model=model, stream=True)))
    counted = list(create(**ask(model=model, stream=True, stream_options={"include_usage": True})))
    assert all(chunk.usage is None and chunk.choices for chunk in silent)
    assert counted[-1].choices == []
    assert counted[-1].usage.completion_tokens > 0
    # Not the number of chunks: vLLM puts tokens into one chunk when its reader is late.
    assert all(chunk.choices for chunk in counted[:-1])
    assert _said(counted) == _said(silent) != ""


def test_completions(openai_client: openai.OpenAI, frontier: FakeFrontier) -> None:
    """Plain completions, whole and streamed, from the base and from a frontier."""
    for model in (BASE, OPENAI_FRONTIER):
        body: Any = {"model": model, "prompt": "The shop opens", "max_tokens": 8, "temperature": 0}
        whole = openai_client.completions.create(**body)
        chunks = list(openai_client.completions.create(**body, stream=True))
        assert whole.choices[0].text
        assert "".join(c.choices[0].text for c in chunks) == whole.choices[0].text


@pytest.mark.parametrize("model", [BASE, OPENAI_FRONTIER])
def test_responses(openai_client: openai.OpenAI, frontier: FakeFrontier, model: str) -> None:
    """The Responses API: a stream's deltas are the text, and its last event completes it."""
    body: Any = {"model": model, "input": RETURNS_QUESTION, "temperature": 0}
    whole = openai_client.responses.create(**body, max_output_tokens=40)
    events = list(openai_client.responses.create(**body, max_output_tokens=40, stream=True))
    deltas = [e.delta for e in events if e.type == "response.output_text.delta"]
    assert whole.output_text
    assert "".join(deltas) == whole.output_text
    assert events[-1].type == "response.completed"
    assert events[-1].response.usage.output_tokens > 0


def test_a_response_that_is_cut_at_its_bound(openai_client: openai.OpenAI) -> None:
    """vLLM's stream ends as incomplete, and its answers say that they are kept nowhere."""
    body: Any = {"model": BASE, "input": RETURNS_QUESTION, "max_output_tokens": 3, "store": True}
    whole = openai_client.responses.create(**body)
    last = list(openai_client.responses.create(**body, stream=True))[-1]
    assert last.type == "response.incomplete"
    for response in (whole, last.response):
        assert response.status == "incomplete"
        assert response.incomplete_details.reason == "max_output_tokens"
        assert response.store is False
    with pytest.raises(openai.BadRequestError) as refused:
        openai_client.responses.create(model=BASE, input="And then?", previous_response_id=whole.id)
    assert refused.value.param == "previous_response_id"


def test_embeddings_from_a_frontier(openai_client: openai.OpenAI, frontier: FakeFrontier) -> None:
    """Embeddings reach a target that has them, each input in its place."""
    found = openai_client.embeddings.create(model=OPENAI_FRONTIER, input=["lamp", "kettle"])
    assert [each.index for each in found.data] == [0, 1]
    assert all(len(each.embedding) == DIMENSIONS for each in found.data)
    assert found.data[0].embedding != found.data[1].embedding


def test_embeddings_go_to_whoever_has_them(http: httpx.Client, frontier: FakeFrontier) -> None:
    """`auto` finds a target that embeds; naming a local model does not send the text out."""
    response = http.post("/v1/embeddings", json={"model": "auto", "input": "lamp"})
    assert response.status_code == 200, response.text
    assert target(response) == f"frontier:{OPENAI_FRONTIER}"
    frontier.forget()
    refused = http.post("/v1/embeddings", json={"model": BASE, "input": "lamp"})
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "unsupported_endpoint"
    assert not frontier.requests


def test_models(openai_client: openai.OpenAI) -> None:
    """The list has every kind of name that `model` takes, and each can be retrieved."""
    listed = {model.id: model for model in openai_client.models.list()}
    kinds = {str(getattr(model, "kind", "")) for model in listed.values()}
    assert {"auto", "returns", "extract", OPENAI_FRONTIER, ANTHROPIC_FRONTIER} <= listed.keys()
    assert {"auto", "base", "adapter", "version", "frontier"} <= kinds
    pinned = str(getattr(listed["returns"], "root", ""))
    for name in ("returns", pinned, OPENAI_FRONTIER):
        assert openai_client.models.retrieve(name).id == name
    with pytest.raises(openai.NotFoundError) as caught:
        openai_client.models.retrieve("nobody")
    assert caught.value.code == "model_not_found"


def test_required_tool_call(openai_client: openai.OpenAI) -> None:
    """`tool_choice: required` reaches vLLM: a call of the tool with arguments of its schema."""
    answer = openai_client.chat.completions.create(
        **ask(tools=[LOOK_UP], tool_choice="required", max_tokens=200)
    )
    calls = answer.choices[0].message.tool_calls
    assert calls
    assert calls[0].type == "function"
    assert calls[0].function.name == "look_up"
    assert json.loads(calls[0].function.arguments)["kind"] in {"order", "return"}


def test_structured_answer(openai_client: openai.OpenAI) -> None:
    """`response_format` reaches vLLM: the base can only say what the schema allows."""
    answer = openai_client.chat.completions.create(**ask(response_format=YES_OR_NO))
    assert json.loads(answer.choices[0].message.content or "") in {"yes", "no"}


def test_a_json_answer_has_no_room_for_white_space(openai_client: openai.OpenAI) -> None:
    """A small model would fill it until it is cut off (this one does, in every other answer)."""
    answer = openai_client.chat.completions.create(**ask(response_format=RECORD, max_tokens=60))
    text = answer.choices[0].message.content or ""
    assert answer.choices[0].finish_reason == "stop", text
    assert text == json.dumps(json.loads(text), separators=(",", ":"))


def test_logprobs(openai_client: openai.OpenAI) -> None:
    """Log probabilities pass through; at temperature 0 the chosen token is the most probable."""
    answer = openai_client.chat.completions.create(
        **ask(logprobs=True, top_logprobs=2, max_tokens=3)
    )
    assert answer.choices[0].logprobs is not None
    tokens = answer.choices[0].logprobs.content
    assert tokens is not None
    assert len(tokens) == 3
    for token in tokens:
        assert len(token.top_logprobs) == 2
        assert token.logprob == max(other.logprob for other in token.top_logprobs)


def test_several_choices(openai_client: openai.OpenAI) -> None:
    """`n` gives as many choices, each with its index."""
    answer = openai_client.chat.completions.create(**ask(n=2, temperature=1.0))
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert all(choice.message.content for choice in answer.choices)


def test_seed(openai_client: openai.OpenAI) -> None:
    """The same seed draws the same answer, other seeds do not all."""

    def drawn(seed: int) -> str:
        body = ask("Hello!", temperature=2.0, seed=seed, max_tokens=24)
        answer = openai_client.chat.completions.create(**body)
        return str(answer.choices[0].message.content)

    assert drawn(7) == drawn(7)
    assert len({drawn(seed) for seed in range(4)}) > 1


def test_stop(openai_client: openai.OpenAI) -> None:
    """A stop sequence ends the answer and is not in it."""
    whole = openai_client.chat.completions.create(**ask()).choices[0].message.content or ""
    word = whole.split()[2]
    cut = openai_client.chat.completions.create(**ask(stop=[word])).choices[0]
    assert cut.finish_reason == "stop"
    assert cut.message.content == whole.partition(word)[0]


# What is wrong with a request becomes the SDK's own exception


def test_unknown_model(openai_client: openai.OpenAI) -> None:
    """404 with OpenAI's own code, whether or not the name looks like a pinned version."""
    for model in ("nobody", "returns@000000000000", "stand-in/small"):
        with pytest.raises(openai.NotFoundError) as caught:
            openai_client.chat.completions.create(**ask(model=model))
        assert caught.value.code == "model_not_found"
        assert caught.value.param == "model"
        assert caught.value.type == "invalid_request_error"


def test_prompt_that_is_too_long(openai_client: openai.OpenAI) -> None:
    """A prompt beyond the base's window is the client's error, whole and streamed."""
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError, match="maximum context length"):
            openai_client.chat.completions.create(**ask("lamp " * 5000, stream=stream))


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": "hot"},
        {"messages": "hello"},
        {"messages": []},
        {"stream": "yes"},
        {"n": 0},
        {"model": 7},
        {"graftwork": {"colour": 1}},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_wrong_types(openai_client: openai.OpenAI, wrong: dict[str, Any]) -> None:
    """Fields of the wrong type or value are the client's error, never a stack trace."""
    with pytest.raises(openai.BadRequestError) as caught:
        openai_client.post("/chat/completions", body={**ask(), **wrong}, cast_to=httpx.Response)
    error = caught.value.response.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert "Traceback" not in error["message"]


@pytest.mark.parametrize("raw", [b"{", b"", b"[1]", b'{"model": "base"', b"\xff\xfe"])
def test_malformed_json(http: httpx.Client, raw: bytes) -> None:
    """A body that is no JSON object is refused with the error envelope."""
    response = http.post("/v1/chat/completions", content=raw)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "invalid_json"


def test_wrong_method(http: httpx.Client) -> None:
    """405 names the method that is allowed."""
    for path, allowed in {"/v1/chat/completions": "POST", "/v1/models": "GET"}.items():
        response = http.request("DELETE", path)
        assert response.status_code == 405
        assert response.headers["allow"] == allowed
        assert response.json()["error"]["code"] == "method_not_allowed"


def test_wrong_route(http: httpx.Client) -> None:
    """404 with the error envelope, not a framework's page; vLLM's own routes are not reachable."""
    for path in ("/v1/nothing", "/", "/v1/load_lora_adapter", "/tokenize"):
        response = http.post(path, json={})
        assert response.status_code == 404, path
        assert response.json()["error"]["code"] == "not_found", path


def test_huge_body(system: Running, http: httpx.Client) -> None:
    """413 before the body is read, and the next request is answered."""
    body = b'{"model": "base", "messages": "' + b"x" * (9 * 1024 * 1024) + b'"}'
    response = http.post("/v1/chat/completions", content=body)
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "request_too_large"
    # On a connection of its own: the other one ends with the body that nobody read.
    assert httpx.get(f"{system.url}/healthz", trust_env=False).status_code == 200

"""What clients in the field send, each as it was reported: it works, or is refused truthfully."""

from __future__ import annotations

import io
import tarfile
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from tests.contract.client import (
    BODIES,
    HELLO,
    archive,
    chat,
    client,
    error_of,
    lines,
    post_version,
    push,
    said,
)
from tests.fakes.engine_speech import Says
from tests.fakes.frontier import FakeFrontier
from tests.fakes.tiny_adapter import tiny_adapter
from tests.fakes.whole_system import System

LOCAL = ("tiny", "cloud/big", "claude/opus")


NULLS: dict[str, list[str]] = {
    "/v1/chat/completions": [
        "temperature",
        "top_p",
        "n",
        "stream",
        "stream_options",
        "stop",
        "max_tokens",
        "max_completion_tokens",
        "presence_penalty",
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "top_logprobs",
        "user",
        "seed",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "service_tier",
        "metadata",
        "store",
        "safety_identifier",
        "graftwork",
    ],
    "/v1/completions": [
        "suffix",
        "max_tokens",
        "temperature",
        "top_p",
        "n",
        "stream",
        "stream_options",
        "logprobs",
        "echo",
        "stop",
        "best_of",
        "logit_bias",
        "user",
        "seed",
    ],
    "/v1/responses": [
        "instructions",
        "max_output_tokens",
        "temperature",
        "top_p",
        "tools",
        "tool_choice",
        "store",
        "previous_response_id",
        "metadata",
        "stream",
        "include",
        "reasoning",
        "text",
        "user",
        "truncation",
        "parallel_tool_calls",
    ],
    "/v1/messages": [
        "system",
        "stop_sequences",
        "temperature",
        "top_p",
        "top_k",
        "tools",
        "tool_choice",
        "metadata",
        "stream",
        "thinking",
        "service_tier",
    ],
}


def packed(directory: Path, under: str = "") -> bytes:
    """A tar of everything below a directory."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        tar.add(directory, under or ".")
    return content.getvalue()


LITTER = {
    "optimizer.pt": b"\x80\x04.",
    "scheduler.pt": b"\x80\x04.",
    "rng_state.pth": b"\x80\x04.",
    "training_args.bin": b"\x80\x04.",
    "trainer_state.json": b"{}",
    "tokenizer.json": b"{}",
    "tokenizer_config.json": b"{}",
    "special_tokens_map.json": b"{}",
    "chat_template.jinja": b"{{ messages }}",
    "README.md": b"# card",
    "loss.png": b"\x89PNG",
    ".gitattributes": b"* text",
    "runs/Jan01/events.out.tfevents": b"x",
    "checkpoint-500/optimizer.pt": b"\x80\x04.",
}


def littered(directory: Path) -> Path:
    """A checkpoint as trainers leave it."""
    for name, content in LITTER.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return directory


@pytest.mark.parametrize(
    "declared",
    ["unsloth/tiny-bnb-4bit", "unsloth/tiny-unsloth-bnb-4bit", "/workspace/models/tiny", "./tiny"],
)
def test_a_base_by_the_name_that_trainers_write(
    ops: httpx.Client, tmp_path: Path, declared: str
) -> None:
    """Taken when shapes prove the fit; a refusal names the remedy."""
    directory = tiny_adapter(tmp_path / "adapter", 7)
    config = directory / "adapter_config.json"
    said_there = orjson.loads(config.read_bytes())
    config.write_bytes(orjson.dumps({**said_there, "base_model_name_or_path": declared}))
    answer = post_version(ops, "mirrored", packed(directory))
    if answer.status_code != 422:
        assert answer.status_code in {200, 201}, answer.text
        return
    [failed] = [check for check in answer.json()["checks"] if not check["ok"]]
    assert failed["name"] == "declared-base"
    assert "also_known_as" in failed["message"] or "graftwork.json" in failed["message"]


@pytest.mark.parametrize("under", ["", "checkpoint-500", "my-adapter", "outputs/run-1/default"])
def test_a_checkpoint_folder(ops: httpx.Client, keyed: System, tmp_path: Path, under: str) -> None:
    """Taken, or every file is named that stands in the way; never a path of the server's."""
    directory = littered(tiny_adapter(tmp_path / "adapter", 8))
    answer = post_version(ops, "checkpointed", packed(directory, under))
    if answer.status_code in {200, 201}:
        return
    assert answer.status_code == 422, answer.text
    assert str(Path(tempfile.gettempdir())) not in answer.text
    assert str(keyed.root) not in answer.text
    unwanted = [name for name in LITTER if name.endswith((".pt", ".pth", ".bin"))]
    assert under in answer.text or all(Path(name).name in answer.text for name in unwanted)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("model", LOCAL)
def test_a_messages_turn_that_the_assistant_began(
    app: httpx.Client, keyed: System, frontier: FakeFrontier, model: str, stream: bool
) -> None:
    """It goes on from there, as the target can be told to, or 400; it never starts over."""
    messages = [*HELLO, {"role": "assistant", "content": "The answer is"}]
    body = {"model": model, "messages": messages, "max_tokens": 8, "stream": stream}
    answer = app.post("/v1/messages", json=body)
    if answer.status_code == 400:
        assert error_of(answer)["type"] == "invalid_request_error"
        return
    assert answer.status_code == 200, answer.text
    if model == "tiny":
        [(path, sent)] = [call for engine in keyed.engines.values() for call in engine.requests]
        assert path != "/v1/messages"
        assert sent["continue_final_message"] is True
        assert sent["add_generation_prompt"] is False
    elif model == "claude/opus":
        assert frontier.requests[0].body["messages"][-1]["role"] == "assistant"
    else:
        pytest.fail("a provider that cannot go on was asked to")


def test_a_responses_stream_that_its_limit_cut(app: httpx.Client, keyed: System) -> None:
    """The last event is ``response.incomplete`` and says why."""
    for engine in keyed.engines.values():
        engine.says["tiny"] = Says("one two three", is_limited=True)
    body = {"model": "tiny", "input": "Hello", "max_output_tokens": 3, "stream": True}
    answer = app.post("/v1/responses", json=body)
    events = [line for line in lines(answer.content) if not line.comment]
    assert events[-1].event == "response.incomplete"
    ended = events[-1].json()
    assert ended["type"] == "response.incomplete"
    assert ended["response"]["status"] == "incomplete"
    assert ended["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    assert "response.completed" not in {line.event for line in events}


@pytest.mark.parametrize("model", ["tiny", "cloud/big"])
def test_an_answer_that_was_stored_can_be_gone_on_from_or_the_client_is_told(
    app: httpx.Client, model: str
) -> None:
    """``previous_response_id``: kept, or refused; no answer says that it was stored and was not."""
    first = app.post("/v1/responses", json={"model": model, "input": "Hello", "store": True})
    if first.status_code != 200:
        assert first.status_code == 400
        assert error_of(first)["param"] == "store"
        return
    given = first.json()
    following = app.post(
        "/v1/responses",
        json={"model": model, "input": "And?", "previous_response_id": given["id"]},
    )
    if following.status_code == 200:
        return
    assert following.status_code in {400, 404}
    assert error_of(following)["param"] == "previous_response_id"
    assert given.get("store") is not True


@pytest.mark.parametrize("stream", [False, True])
def test_what_local_models_take_and_do_not_do_is_named(app: httpx.Client, stream: bool) -> None:
    """A response that was to be stored, and is not; what is so anyway is not named."""
    body = {"model": "tiny", "input": "Hello", "stream": stream}
    asked = {"store": True, "max_tool_calls": 2, "service_tier": "flex"}
    named = app.post("/v1/responses", json={**body, **asked}).headers["x-graftwork-warning"]
    assert named.startswith("not taken by base: ")
    assert set(named.partition(": ")[2].split(", ")) == set(asked)
    for usual in ({}, {"store": False}, {"service_tier": "auto"}):
        answer = app.post("/v1/responses", json={**body, **usual})
        assert "x-graftwork-warning" not in answer.headers, usual


@pytest.mark.parametrize("model", [*LOCAL, "auto"])
@pytest.mark.parametrize("path", NULLS)
def test_every_optional_field_is_null(app: httpx.Client, path: str, model: str) -> None:
    """Typed SDKs send them: as if absent."""
    if model == "claude/opus" and path not in {"/v1/chat/completions", "/v1/messages"}:
        pytest.skip("this provider does not have the endpoint")
    body = {**dict.fromkeys(NULLS[path]), **BODIES[path], "model": model}
    answer = app.post(path, json=body)
    assert answer.status_code == 200, answer.text


def test_a_chunked_body_cut_inside_a_character(app: httpx.Client, keyed: System) -> None:
    """Each piece is half of something."""
    text = "größer als 日本語 🙂"
    plain = orjson.dumps({"model": "tiny", "messages": [{"role": "user", "content": text}]})
    answer = app.post(
        "/v1/chat/completions",
        content=(plain[place : place + 1] for place in range(len(plain))),
        headers={"content-type": "application/json"},
    )
    assert answer.status_code == 200, answer.text
    [(_, sent)] = [call for engine in keyed.engines.values() for call in engine.requests]
    assert sent["messages"][0]["content"] == text


@pytest.mark.parametrize("model", LOCAL)
@pytest.mark.parametrize(
    "more",
    [
        {"messages": [{"role": "developer", "content": "Be brief."}, *HELLO]},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": "f",
                        "description": None,
                        "strict": None,
                        "parameters": {"$ref": "#/$defs/x", "$defs": {"x": {"type": "object"}}},
                    },
                }
            ]
        },
        {
            "messages": [
                *HELLO,
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {
                            "id": "c1",
                            "type": "function",
                            "function": {"name": "f", "arguments": '{"x": '},
                        }
                    ],
                },
                {"role": "tool", "tool_call_id": "c1", "content": ""},
            ]
        },
    ],
    ids=["developer role", "tool without schema", "schema of references", "broken arguments"],
)
def test_odd_conversations(app: httpx.Client, model: str, more: dict[str, Any]) -> None:
    """Answered; only where a provider has no words for it, refused by the field's name."""
    answer = app.post(
        "/v1/chat/completions", json={"model": model, "messages": HELLO, "max_tokens": 8, **more}
    )
    if model == "claude/opus" and answer.status_code == 400:
        assert error_of(answer)["param"].startswith("messages.")
        return
    assert answer.status_code == 200, answer.text


def test_lm_eval_asks_for_echo_with_probabilities(app: httpx.Client, keyed: System) -> None:
    """Passed on as it is."""
    body = {"model": "tiny", "prompt": "Hello", "max_tokens": 0, "echo": True, "logprobs": 1}
    assert app.post("/v1/completions", json=body).status_code == 200
    [(_, sent)] = [call for engine in keyed.engines.values() for call in engine.requests]
    assert (sent["echo"], sent["logprobs"], sent["max_tokens"]) == (True, 1, 0)


def test_two_aliases_of_one_content(app: httpx.Client, ops: httpx.Client) -> None:
    """Each answers under its own name."""
    one, other = push(ops, "twin-one", 5), push(ops, "twin-two", 5)
    assert one.digest == other.digest
    assert said(chat(app, "twin-one")) == f"I am {one.name}"
    assert said(chat(app, "twin-two")) == f"I am {other.name}"


def test_pushes_at_once(ops: httpx.Client, app: httpx.Client, keyed: System) -> None:
    """Different aliases, and versions of one: all of them end well."""

    def one(number: int) -> int:
        with client(keyed, "ops") as http:
            alias = f"busy-{number % 3}"
            return post_version(http, alias, archive(100 + number)).status_code

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(one, range(6))) <= {200, 201}
    for number in range(3):
        assert said(chat(app, f"busy-{number}")).startswith(f"I am busy-{number}@")

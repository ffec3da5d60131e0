"""What the fake frontier streams: the events of each dialect, in order."""

from __future__ import annotations

from typing import Any

import orjson

from tests.fakes.frontier_answers import (
    CHAT,
    COMPLETIONS,
    CREATED,
    MESSAGES,
    RESPONSES,
    Json,
    Reply,
    chat_tool_call,
    ended,
    error_body,
    message_head,
    messages_usage,
    response_items,
    response_object,
    stop_reason,
    usage,
)

DONE = b"data: [DONE]\n\n"


def streamed(path: str, body: Json, reply: Reply) -> list[bytes]:
    """The events of a streamed answer; the last one is the dialect's end."""
    if path == CHAT:
        return _chat(body, reply)
    if path == COMPLETIONS:
        return _completions(body, reply)
    if path == RESPONSES:
        return _responses(reply)
    return _messages(reply)


def error_event(path: str, message: str, code: str | None) -> bytes:
    """How the dialect reports an error in the middle of a stream."""
    if path == MESSAGES:
        return _named("error", error_body(path, message, code))
    if path == RESPONSES:
        return _named("error", {"type": "error", "code": code, "message": message, "param": None})
    return _data(error_body(path, message, code))


def _chat(body: Json, reply: Reply) -> list[bytes]:
    deltas: list[Json] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": piece} for piece in reply.pieces]
    for number, call in enumerate(reply.calls):
        deltas += _call_deltas(number, chat_tool_call(call))
    chunks = [_chunk("chat.completion.chunk", reply, delta=delta) for delta in deltas]
    chunks.append(_chunk("chat.completion.chunk", reply, delta={}, finish_reason=reply.finish))
    return _with_usage(body, reply, chunks)


def _call_deltas(number: int, call: Json) -> list[Json]:
    arguments = call["function"]["arguments"]
    half = len(arguments) // 2
    opening = {**call, "index": number, "function": {**call["function"], "arguments": ""}}
    pieces = [{"index": number, "function": {"arguments": arguments[:half]}},
              {"index": number, "function": {"arguments": arguments[half:]}}]  # fmt: skip
    return [{"tool_calls": [piece]} for piece in [opening, *pieces]]


def _completions(body: Json, reply: Reply) -> list[bytes]:
    chunks = [_chunk("text_completion", reply, text=piece, logprobs=None) for piece in reply.pieces]
    chunks.append(
        _chunk("text_completion", reply, text="", logprobs=None, finish_reason=reply.finish)
    )
    return _with_usage(body, reply, chunks)


def _chunk(kind: str, reply: Reply, **choice: Any) -> Json:
    return {
        "id": "chatcmpl-fake",
        "object": kind,
        "created": CREATED,
        "model": reply.model,
        "choices": [{"index": 0, "finish_reason": None, **choice}],
    }


def _with_usage(body: Json, reply: Reply, chunks: list[Json]) -> list[bytes]:
    if (body.get("stream_options") or {}).get("include_usage"):
        chunks = [{**chunk, "usage": None} for chunk in chunks]
        chunks.append({**chunks[0], "choices": [], "usage": usage(reply)})
    return [*(_data(chunk) for chunk in chunks), DONE]


def _messages(reply: Reply) -> list[bytes]:
    events = [_typed("message_start", message=message_head(reply)), _typed("ping")]
    if reply.pieces:
        deltas = [{"type": "text_delta", "text": piece} for piece in reply.pieces]
        events += _block(0, {"type": "text", "text": ""}, deltas)
    for index, call in enumerate(reply.calls, start=int(bool(reply.pieces))):
        block = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
        text = orjson.dumps(call.arguments).decode() if call.arguments else ""
        halves = [text[: len(text) // 2], text[len(text) // 2 :]]
        deltas = [{"type": "input_json_delta", "partial_json": half} for half in halves]
        events += _block(index, block, deltas)
    delta = {"stop_reason": stop_reason(reply), "stop_sequence": None}
    counts = {"output_tokens": messages_usage(reply)["output_tokens"]}
    return [*events, _typed("message_delta", delta=delta, usage=counts), _typed("message_stop")]


def _block(index: int, block: Json, deltas: list[dict[str, str]]) -> list[bytes]:
    return [
        _typed("content_block_start", index=index, content_block=block),
        *(_typed("content_block_delta", index=index, delta=delta) for delta in deltas),
        _typed("content_block_stop", index=index),
    ]


def _responses(reply: Reply) -> list[bytes]:
    status = ended(reply)
    told: list[Json] = [
        {"type": "response.created", "response": response_object(reply, "in_progress")}
    ]
    for number, item in enumerate(response_items(reply, status)):
        told += _call_told(number, item) if reply.calls else _message_told(reply, item)
        told.append({"type": "response.output_item.done", "output_index": number, "item": item})
    told.append({"type": f"response.{status}", "response": response_object(reply, status)})
    return [_named(e["type"], {**e, "sequence_number": n}) for n, e in enumerate(told)]


def _message_told(reply: Reply, item: Json) -> list[Json]:
    part = {"type": "output_text", "text": "", "annotations": []}
    where: Json = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    begun = {**item, "status": "in_progress", "content": []}
    return [
        {"type": "response.output_item.added", "output_index": 0, "item": begun},
        {"type": "response.content_part.added", **where, "part": part},
        *(
            {"type": "response.output_text.delta", **where, "delta": piece, "logprobs": []}
            for piece in reply.pieces
        ),
        {"type": "response.output_text.done", **where, "text": reply.text, "logprobs": []},
        {"type": "response.content_part.done", **where, "part": {**part, "text": reply.text}},
    ]


def _call_told(number: int, item: Json) -> list[Json]:
    kind, said = "response.function_call_arguments", item["arguments"]
    where: Json = {"item_id": item["id"], "output_index": number}
    begun = {**item, "status": "in_progress", "arguments": ""}
    halves = (said[: len(said) // 2], said[len(said) // 2 :])
    return [
        {"type": "response.output_item.added", "output_index": number, "item": begun},
        *({"type": f"{kind}.delta", **where, "delta": half} for half in halves),
        {"type": f"{kind}.done", **where, "name": item["name"], "arguments": said},
    ]


def _typed(kind: str, **fields: Any) -> bytes:
    return _named(kind, {"type": kind, **fields})


def _named(event: str, data: Json) -> bytes:
    return b"event: " + event.encode() + b"\n" + _data(data)


def _data(data: Json) -> bytes:
    return b"data: " + orjson.dumps(data) + b"\n\n"

"""What the fake engine says, in each of vLLM's dialects: shapes as vLLM 0.32 writes them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

import orjson

Json = dict[str, Any]
INCLUDED = "message.output_text.logprobs"


@dataclass
class Says:
    """What a model answers.

    Attributes:
        text: one token a word.
        logprob: of each token.
        status: other than 200: an error.
        pause_after: tokens of a stream after which ``go`` is waited for.
        cut_after: tokens of a stream after which it ends, without its last event.
        go: lets a paused stream go on.
        is_limited: the limit on tokens ends it. On Responses vLLM calls that completed as an event,
            and incomplete as a status.
        is_harmony: its Responses refuse to tell probabilities, as gpt-oss's do.
        delay_s: seconds before it answers at all.
        calls: of a tool, name and arguments, in a whole chat answer where tools are offered.
    """

    text: str = "yes"
    logprob: float = -0.05
    status: int = 200
    pause_after: int | None = None
    cut_after: int | None = None
    go: asyncio.Event = field(default_factory=asyncio.Event)
    is_limited: bool = False
    is_harmony: bool = False
    delay_s: float = 0.0
    calls: tuple[tuple[str, str], ...] = ()

    @property
    def tokens(self) -> list[str]:
        """The words, spaces kept."""
        return _tokens(self.text)


@lru_cache(maxsize=64)  # asked for each piece of a stream
def _tokens(text: str) -> list[str]:
    words = text.split(" ")
    return [words[0], *(" " + word for word in words[1:])]


class Dialect(Protocol):
    """One endpoint's answers."""

    def whole(self, body: Json, says: Says) -> Json:
        """Not streamed."""
        ...

    def opening(self, body: Json, says: Says) -> bytes:
        """Events before the first token."""
        ...

    def piece(self, body: Json, says: Says, place: int) -> bytes:
        """One token."""
        ...

    def closing(self, body: Json, says: Says) -> bytes:
        """Events after the last token."""
        ...


class Chat:
    """Chat completions, and completions."""

    def __init__(self, *, chat: bool) -> None:
        self._is_chat = chat

    def whole(self, body: Json, says: Says) -> Json:
        """One choice."""
        finish = "length" if says.is_limited else "stop"
        choice: Json = {"index": 0, "finish_reason": finish}
        if self._is_chat:
            choice["message"] = {"role": "assistant", "content": says.text}
            if says.calls and body.get("tools"):
                choice["message"] |= {"content": None, "tool_calls": _calls(says)}
                choice["finish_reason"] = "tool_calls"
        else:
            choice["text"] = says.text
        choice["logprobs"] = self._logprobs(body, says.tokens, says)
        return {**_head(body), "choices": [choice], "usage": _usage(len(says.tokens))}

    def opening(self, body: Json, says: Says) -> bytes:
        """None."""
        return b""

    def piece(self, body: Json, says: Says, place: int) -> bytes:
        """A chunk."""
        token = says.tokens[place]
        choice: Json = {"index": 0, "finish_reason": None}
        choice |= {"delta": {"content": token}} if self._is_chat else {"text": token}
        choice["logprobs"] = self._logprobs(body, [token], says)
        chunk = {**_head(body), "choices": [choice]}
        if (body.get("stream_options") or {}).get("continuous_usage_stats"):
            chunk["usage"] = _usage(place + 1)
        return _event(chunk)

    def closing(self, body: Json, says: Says) -> bytes:
        """The counts, and the end."""
        end = b"data: [DONE]\n\n"
        if not (body.get("stream_options") or {}).get("include_usage"):
            return end
        return _event({**_head(body), "choices": [], "usage": _usage(len(says.tokens))}) + end

    def _logprobs(self, body: Json, tokens: list[str], says: Says) -> Json | None:
        if body.get("logprobs") is None or body["logprobs"] is False:
            return None
        if not self._is_chat:
            return {
                "tokens": tokens,
                "token_logprobs": [says.logprob for _ in tokens],
                "top_logprobs": [{token: says.logprob} for token in tokens],
                "text_offset": [0 for _ in tokens],
            }
        return {"content": _told(tokens, says, body.get("top_logprobs") or 0)}


class Responses:
    """OpenAI's Responses."""

    def whole(self, body: Json, says: Says) -> Json:
        """One message."""
        return self._response(body, says, done=True)

    def opening(self, body: Json, says: Says) -> bytes:
        """Four events that announce what is to come."""
        begun = self._response(body, says, done=False)
        item = {**_item([]), "status": "in_progress"}
        part = {"annotations": [], "text": "", "type": "output_text", "logprobs": []}
        return _numbered(
            0,
            {"response": begun, "type": "response.created"},
            {"response": begun, "type": "response.in_progress"},
            {"item": item, "output_index": 0, "type": "response.output_item.added"},
            {**_PLACE, "part": part, "type": "response.content_part.added"},
        )

    def piece(self, body: Json, says: Says, place: int) -> bytes:
        """A delta."""
        token = says.tokens[place]
        told = [] if _top(body) is None else _told([token], says, _top(body) or 0)
        delta = {"delta": token, "logprobs": told, "type": "response.output_text.delta"}
        return _numbered(4 + place, {**_PLACE, **delta})

    def closing(self, body: Json, says: Says) -> bytes:
        """Four events that repeat what was said."""
        part = self._part(body, says)
        said = {"logprobs": [], "text": says.text, "type": "response.output_text.done"}
        item = {"item": _item([part]), "output_index": 0, "type": "response.output_item.done"}
        whole = self._response(body, says, done=True)
        return _numbered(
            4 + len(says.tokens),
            {**_PLACE, **said},
            {**_PLACE, "part": part, "type": "response.content_part.done"},
            item,
            {"response": whole, "type": "response.completed"},
        )

    def _part(self, body: Json, says: Says) -> Json:
        top = _top(body)
        told = None if top is None else _told(says.tokens, says, top)
        return {"annotations": [], "text": says.text, "type": "output_text", "logprobs": told}

    def _response(self, body: Json, says: Says, *, done: bool) -> Json:
        count = len(says.tokens)
        usage = {"input_tokens": 7, "output_tokens": count, "total_tokens": 7 + count}
        end = "incomplete" if says.is_limited else "completed"
        cut = {"reason": "max_output_tokens"} if says.is_limited else None
        return {
            "id": "resp_1",
            "created_at": 1,
            "model": body["model"],
            "object": "response",
            "output": [_item([self._part(body, says)])] if done else [],
            "status": end if done else "in_progress",
            "incomplete_details": cut if done else None,
            "temperature": 1.0,
            "top_logprobs": _top(body),
            "usage": usage if done else None,
        }


class Messages:
    """Anthropic's Messages, as vLLM's own route answers them."""

    def whole(self, body: Json, says: Says) -> Json:
        """One block of text."""
        block = {"type": "text", "text": says.text}
        usage = {"input_tokens": 7, "output_tokens": len(says.tokens)}
        return {**_message(body), "content": [block], "stop_reason": "end_turn", "usage": usage}

    def opening(self, body: Json, says: Says) -> bytes:
        """A message, and a block."""
        block = {"type": "text", "text": ""}
        return _typed("message_start", message=_message(body)) + _typed(
            "content_block_start", index=0, content_block=block
        )

    def piece(self, body: Json, says: Says, place: int) -> bytes:
        """A delta."""
        delta = {"type": "text_delta", "text": says.tokens[place]}
        return _typed("content_block_delta", index=0, delta=delta)

    def closing(self, body: Json, says: Says) -> bytes:
        """The ends of both."""
        usage = {"input_tokens": 7, "output_tokens": len(says.tokens)}
        delta = {"stop_reason": "end_turn", "stop_sequence": None}
        return (
            _typed("content_block_stop", index=0)
            + _typed("message_delta", delta=delta, usage=usage)
            + _typed("message_stop")
        )


DIALECTS: dict[str, Dialect] = {
    "/v1/chat/completions": Chat(chat=True),
    "/v1/completions": Chat(chat=False),
    "/v1/responses": Responses(),
    "/v1/messages": Messages(),
}
_PLACE: Json = {"content_index": 0, "item_id": "msg_1", "output_index": 0}


def refuses(path: str, body: Json, says: Says) -> bool:
    """Whether the model cannot tell the probabilities that are asked for."""
    return path == "/v1/responses" and says.is_harmony and _top(body) is not None


def _head(body: Json) -> Json:
    return {"id": "cmpl-1", "object": "chat.completion", "created": 1, "model": body["model"]}


def _calls(says: Says) -> list[Json]:
    return [
        {"id": f"call_{n}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for n, (name, arguments) in enumerate(says.calls)
    ]


def _usage(count: int) -> Json:
    return {"prompt_tokens": 7, "completion_tokens": count, "total_tokens": 7 + count}


def _message(body: Json) -> Json:
    return {
        "id": "chatcmpl-1",
        "type": "message",
        "role": "assistant",
        "content": [],
        "model": body["model"],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 7, "output_tokens": 0},
    }


def _item(content: list[Json]) -> Json:
    return {
        "id": "msg_1",
        "content": content,
        "role": "assistant",
        "status": "completed",
        "type": "message",
    }


def _top(body: Json) -> int | None:
    """How many alternatives a Responses call wants; None: no probabilities at all."""
    return (body.get("top_logprobs") or 0) if INCLUDED in (body.get("include") or []) else None


def _told(tokens: list[str], says: Says, top: int) -> list[Json]:
    told = [{"token": token, "logprob": says.logprob, "bytes": None} for token in tokens]
    return [{**each, "top_logprobs": [each] if top else []} for each in told]


def _event(value: Json) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"


def _typed(kind: str, **fields: Any) -> bytes:
    return b"event: " + kind.encode() + b"\n" + _event({"type": kind, **fields})


def _numbered(first: int, *events: Json) -> bytes:
    return b"".join(
        b"event: %b\n" % event["type"].encode() + _event({**event, "sequence_number": number})
        for number, event in enumerate(events, first)
    )

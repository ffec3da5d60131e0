"""What the fake frontier says, in each dialect: pure functions of the request and a reply.

The reply is a fixed text, or the rest of a last user message that begins with ``say ``. When the
request has tools and its last message is not a tool's result, the tools that the prompt names are
called, else the first; a tool's arguments are its first parameter with the value ``"x"``.
"""

from __future__ import annotations

import base64
import hashlib
import re
import struct
from dataclasses import dataclass, field
from typing import Any

import orjson

Json = dict[str, Any]
CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
RESPONSES, MESSAGES, EMBEDDINGS = "/v1/responses", "/v1/messages", "/v1/embeddings"
CREATED = 1_700_000_000
DIMENSIONS = 8
_WORD = re.compile(r"\s*\S+|\s+$")


@dataclass(frozen=True)
class ToolCall:
    """A call that the fake decided to make."""

    id: str
    name: str
    arguments: Json


@dataclass(frozen=True)
class Reply:
    """What is to be said, before it is put into a dialect."""

    model: str
    pieces: list[str]
    calls: list[ToolCall] = field(default_factory=list)
    prompt_tokens: int = 0
    cached_tokens: int = 0
    finish: str = "stop"

    @property
    def text(self) -> str:
        """The whole answer."""
        return "".join(self.pieces)

    @property
    def output_tokens(self) -> int:
        """One token a piece, one a call."""
        return len(self.pieces) + len(self.calls)


def compose(path: str, body: Json, text: str, cached_tokens: int) -> Reply:
    """Decide on the reply to a request."""
    prompt = prompt_of(body)
    calls = _calls(body, prompt) if path in {CHAT, MESSAGES, RESPONSES} else []
    said = prompt[4:] if prompt.startswith("say ") else text
    prefill = _prefill(path, body)
    pieces = [] if calls else _pieces(said, prefill)
    limits = ("max_completion_tokens", "max_tokens", "max_output_tokens")
    limit = next((body[name] for name in limits if body.get(name)), None)
    cut = isinstance(limit, int) and limit < len(pieces)
    return Reply(
        model=str(body.get("model", "fake")),
        pieces=pieces[:limit] if cut else pieces,
        calls=calls,
        prompt_tokens=max(len(prompt.split()) + len(_WORD.findall(prefill)), cached_tokens),
        cached_tokens=cached_tokens,
        finish="tool_calls" if calls else "length" if cut else "stop",
    )


def prompt_of(body: Json) -> str:
    """The text of the last user message, or of the prompt."""
    said = body.get("messages", body.get("input"))
    if not isinstance(said, list) or not all(isinstance(m, dict) for m in said):
        found = body.get("input", body.get("prompt", ""))
        return found if isinstance(found, str) else orjson.dumps(found).decode()
    users = [m for m in said if m.get("role") == "user"]
    content = users[-1]["content"] if users else ""
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", "") for part in content)


def _pieces(said: str, prefill: str) -> list[str]:
    """The words of what is still to be said; white space belongs to the word that follows."""
    whole = " ".join(said.split()) if "  " not in said and "\n" not in said else said
    rest = whole.removeprefix(prefill)
    return _WORD.findall(rest)


def _prefill(path: str, body: Json) -> str:
    """What the assistant said already: its message is the last one, or follows a ``|``."""
    if path == COMPLETIONS:
        _, mark, prefill = str(body.get("prompt", "")).rpartition("|")
        return prefill if mark else ""
    said = body.get("messages") or body.get("input") or [{}]
    last = said[-1] if isinstance(said, list) and isinstance(said[-1], dict) else {}
    content = last.get("content") if last.get("role") == "assistant" else ""
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return content or ""


def _calls(body: Json, prompt: str) -> list[ToolCall]:
    said = body.get("messages") or body.get("input")
    last = said[-1] if isinstance(said, list) else {}
    content = last.get("content")
    answered = (
        last.get("role") == "tool"
        or last.get("type") == "function_call_output"
        or (isinstance(content, list) and any(p.get("type") == "tool_result" for p in content))
    )
    choice = body.get("tool_choice")
    if answered or not body.get("tools") or choice in ("none", {"type": "none"}):
        return []
    given = [tool.get("function", tool) for tool in body["tools"]]
    tools = [tool for tool in given if "name" in tool]  # hosted ones have none
    named = [tool for tool in tools if tool["name"] in prompt] or tools[:1]
    return [_call(number, tool) for number, tool in enumerate(named)]


def _call(number: int, tool: Json) -> ToolCall:
    schema = tool.get("parameters") or tool.get("input_schema") or {}
    arguments: Json = dict.fromkeys(list(schema.get("properties", {}))[:1], "x")
    return ToolCall(f"call_{number}", tool["name"], arguments)


def whole(path: str, body: Json, reply: Reply) -> Json:
    """The answer to a request that is not streamed."""
    match path:
        case "/v1/chat/completions":
            choice = {"index": 0, "message": _chat_message(reply), "finish_reason": reply.finish}
            return {**_head("chat.completion", reply), "choices": [choice], "usage": usage(reply)}
        case "/v1/completions":
            done = {"index": 0, "text": reply.text, "finish_reason": reply.finish, "logprobs": None}
            return {**_head("text_completion", reply), "choices": [done], "usage": usage(reply)}
        case "/v1/responses":
            return response_object(reply, ended(reply))
        case "/v1/messages":
            return {**message_head(reply), **_message_end(reply)}
        case _:
            return _embeddings(body, reply)


def usage(reply: Reply) -> Json:
    """OpenAI's counts."""
    return {
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.output_tokens,
        "total_tokens": reply.prompt_tokens + reply.output_tokens,
        "prompt_tokens_details": {"cached_tokens": reply.cached_tokens},
    }


def messages_usage(reply: Reply) -> Json:
    """Anthropic's counts: cached tokens apart."""
    return {
        "input_tokens": reply.prompt_tokens - reply.cached_tokens,
        "cache_read_input_tokens": reply.cached_tokens,
        "cache_creation_input_tokens": 0,
        "output_tokens": reply.output_tokens,
    }


def stop_reason(reply: Reply) -> str:
    """Why the reply ended, in Anthropic's words."""
    return {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}[reply.finish]


def message_head(reply: Reply) -> Json:
    """A message before its content."""
    return {
        "id": "msg_fake",
        "type": "message",
        "role": "assistant",
        "model": reply.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**messages_usage(reply), "output_tokens": 1},
    }


def _message_end(reply: Reply) -> Json:
    content: list[Json] = [{"type": "text", "text": reply.text}] if reply.pieces else []
    content += [
        {"type": "tool_use", "id": c.id, "name": c.name, "input": c.arguments} for c in reply.calls
    ]
    return {
        "content": content,
        "stop_reason": stop_reason(reply),
        "usage": messages_usage(reply),
    }


def ended(reply: Reply) -> str:
    """The status of a response that is over."""
    return "incomplete" if reply.finish == "length" else "completed"


def response_object(reply: Reply, status: str) -> Json:
    """A Responses API object."""
    counts = {
        "input_tokens": reply.prompt_tokens,
        "input_tokens_details": {"cached_tokens": reply.cached_tokens},
        "output_tokens": reply.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": reply.prompt_tokens + reply.output_tokens,
    }
    done = status != "in_progress"
    return {
        "id": "resp_fake",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "model": reply.model,
        "output": response_items(reply, status) if done else [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": counts if done else None,
    }


def response_items(reply: Reply, status: str) -> list[Json]:
    """What a response consists of: a message, or calls."""
    part = {"type": "output_text", "text": reply.text, "annotations": []}
    message: Json = {"id": "msg_fake", "type": "message", "role": "assistant", "content": [part]}
    calls: list[Json] = [
        {
            "id": f"fc_{number}",
            "type": "function_call",
            "call_id": call.id,
            "name": call.name,
            "arguments": orjson.dumps(call.arguments).decode(),
        }
        for number, call in enumerate(reply.calls)
    ]
    return [{**item, "status": status} for item in calls or [message]]


def error_body(path: str, message: str, code: str | None) -> Json:
    """An error in the endpoint's dialect."""
    if path == MESSAGES:
        return {"type": "error", "error": {"type": code or "api_error", "message": message}}
    error = {"message": message, "type": "server_error", "param": None, "code": code}
    return {"error": error}


def chat_tool_call(call: ToolCall) -> Json:
    """A call in chat's words."""
    function = {"name": call.name, "arguments": orjson.dumps(call.arguments).decode()}
    return {"id": call.id, "type": "function", "function": function}


def _head(kind: str, reply: Reply) -> Json:
    return {"id": "chatcmpl-fake", "object": kind, "created": CREATED, "model": reply.model}


def _chat_message(reply: Reply) -> Json:
    if reply.calls:
        calls = [chat_tool_call(call) for call in reply.calls]
        return {"role": "assistant", "content": None, "tool_calls": calls}
    return {"role": "assistant", "content": reply.text}


def _embeddings(body: Json, reply: Reply) -> Json:
    found = body.get("input", "")
    texts = found if isinstance(found, list) else [found]
    data = [
        {"object": "embedding", "index": n, "embedding": _vector(text, body)}
        for n, text in enumerate(texts)
    ]
    counts = {"prompt_tokens": reply.prompt_tokens, "total_tokens": reply.prompt_tokens}
    return {"object": "list", "model": reply.model, "data": data, "usage": counts}


def _vector(text: object, body: Json) -> list[float] | str:
    digest = hashlib.sha256(str(text).encode()).digest()
    floats = [byte / 255 for byte in digest[:DIMENSIONS]]
    if body.get("encoding_format") == "base64":
        return base64.b64encode(struct.pack(f"<{DIMENSIONS}f", *floats)).decode()
    return floats

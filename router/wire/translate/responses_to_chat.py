"""A Responses request about text as a chat completion request, to go on with a broken stream.

Only what ``router/send/answer.py`` lets pass comes here: instructions and messages of
text, without tools.
"""

from __future__ import annotations

from typing import Any

Body = dict[str, Any]

_SAME = (
    "model",
    "stream",
    "temperature",
    "top_p",
    "seed",
    "stop",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
)


def talk_of(body: Body, *, max_tokens_field: str, ask_for_usage: bool) -> Body:
    """Translate a request; ``body`` is left as it is.

    Args:
        body: the Responses request.
        max_tokens_field: what the upstream calls the bound on the answer.
        ask_for_usage: whether a stream is asked for its token counts.

    Raises:
        KeyError, TypeError: it is about more than text.
    """
    request = {name: body[name] for name in _SAME if body.get(name) is not None}
    said = body["input"]
    items = [{"role": "user", "content": said}] if isinstance(said, str) else said
    system = body.get("instructions")
    first = [{"role": "system", "content": system}] if system else []
    request["messages"] = [*first, *(_message(item) for item in items)]
    if body.get("max_output_tokens") is not None:
        request[max_tokens_field] = body["max_output_tokens"]
    if ask_for_usage:
        request["stream_options"] = {"include_usage": True}
    return request


def _message(item: Body) -> Body:
    role = "system" if item["role"] == "developer" else item["role"]
    content = item["content"]
    if not isinstance(content, str):
        content = [{"type": "text", "text": part["text"]} for part in content]
    return {"role": role, "content": content}

"""A text among the instructions of a request, in every dialect; the body is left as it is."""

from __future__ import annotations

from typing import Any

from router.wire.endpoint import Endpoint

Body = dict[str, Any]
_SYSTEM = frozenset({"system", "developer"})


def stitched(endpoint: Endpoint, body: Body, text: str) -> Body | None:
    """The body with the text behind its instructions; None where it has no place for one."""
    if endpoint is Endpoint.CHAT:
        return _chat(body, text)
    if endpoint is Endpoint.MESSAGES:
        return {**body, "system": _after(body.get("system"), text, "text")}
    if endpoint is Endpoint.RESPONSES:
        return {**body, "instructions": _after(body.get("instructions"), text, "input_text")}
    if endpoint is Endpoint.COMPLETIONS:
        return _completion(body, text)
    return None


def _chat(body: Body, text: str) -> Body | None:
    messages = body.get("messages")
    if not isinstance(messages, list):
        return None
    first = messages[0] if messages else None
    # One system message at the beginning is what every chat template can take.
    if isinstance(first, dict) and first.get("role") in _SYSTEM:
        head = {**first, "content": _after(first.get("content"), text, "text")}
        return {**body, "messages": [head, *messages[1:]]}
    return {**body, "messages": [{"role": "system", "content": text}, *messages]}


def _completion(body: Body, text: str) -> Body | None:
    prompt = body.get("prompt")
    if isinstance(prompt, str):
        return {**body, "prompt": f"{text}\n\n{prompt}"}
    if isinstance(prompt, list) and prompt and all(isinstance(each, str) for each in prompt):
        return {**body, "prompt": [f"{text}\n\n{each}" for each in prompt]}
    return None


def _after(value: Any, text: str, part: str) -> Any:
    if isinstance(value, list):
        return [*value, {"type": part, "text": text}]
    return f"{value}\n\n{text}" if isinstance(value, str) and value else text

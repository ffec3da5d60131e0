"""What rules and virtual models tell the model: a text in the place that each API has for one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from router.errors import Forbidden
from router.request import Request
from router.wire.endpoint import Endpoint

_BETWEEN: Final = "\n\n"
_SYSTEM: Final = frozenset({"system", "developer"})
_BYTES_PER_TOKEN: Final = 4
_OVERHEAD_TOKENS: Final = 8


def instructed(request: Request, said: Sequence[str]) -> Request:
    """The request with these texts for the model, and counted with them.

    Raises ``Forbidden`` where a request has no place for them: it would be answered without.
    """
    texts = [text for text in dict.fromkeys(said) if text]
    if not texts or request.endpoint is Endpoint.EMBEDDINGS:
        return request
    text = _BETWEEN.join(texts)
    body = _with_text(request.endpoint, request.body, text)
    tokens = len(text.encode()) // _BYTES_PER_TOKEN + _OVERHEAD_TOKENS
    needs = replace(request.needs, input_tokens=request.needs.input_tokens + tokens)
    return replace(
        request, body=body, needs=needs, body_bytes=request.body_bytes + len(text.encode())
    )


def _with_text(endpoint: Endpoint, body: dict[str, Any], text: str) -> dict[str, Any]:
    match endpoint:
        case Endpoint.CHAT:
            return {**body, "messages": _messages(body.get("messages"), text)}
        case Endpoint.MESSAGES:
            return {**body, "system": _joined(body.get("system"), text)}
        case Endpoint.RESPONSES:
            return {**body, "instructions": _joined(body.get("instructions"), text)}
        case _:
            return {**body, "prompt": _prompt(body.get("prompt"), text)}


def _messages(messages: Any, text: str) -> Any:
    """Into the first system message, since chat templates take one; before all others without."""
    if not isinstance(messages, list):
        return messages  # whoever is asked says what is wrong with it
    first = messages[0] if messages else None
    if isinstance(first, dict) and first.get("role") in _SYSTEM:
        return [{**first, "content": _joined(first.get("content"), text)}, *messages[1:]]
    return [{"role": "system", "content": text}, *messages]


def _joined(present: Any, text: str) -> Any:
    """After what is there: a text, or a list of parts."""
    if isinstance(present, list):
        return [*present, {"type": "text", "text": text}]
    return present + _BETWEEN + text if isinstance(present, str) and present else text


def _prompt(prompt: Any, text: str) -> Any:
    if isinstance(prompt, str):
        return text + _BETWEEN + prompt
    if isinstance(prompt, list) and all(isinstance(each, str) for each in prompt):
        return [text + _BETWEEN + each for each in prompt]
    raise Forbidden(
        "The model is to be told something, by a rule or by the virtual model that was named, and "
        "a prompt of token ids has no place for it. Send text.",
        code="policy_denied",
    )
